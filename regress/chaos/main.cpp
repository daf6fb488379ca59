// chancy-chaos: workers and applications at work on a server of their own, while faults are done to them again and again.
// Afterwards the laws are checked against the history: no acknowledged push lost, every job ends, no fenced result
// applied, no result lost that a worker holds, no key run twice at the same time, no worker ended by itself, recovery without help. It fails too when the
// fault was not done often enough, or hit nobody at work.
#include "check.hpp"
#include "worker.hpp"
#include "world.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <thread>

using namespace chaos;

namespace {

// The server and the workers that are there when the fault is over finish what is left.
void drain(world& w) {
    const auto give_up = steady::now() + 120s;
    while (!at_rest(*w.serving)) {
        if (steady::now() > give_up) {
            w.violations.push_back("jobs are left when all faults have been over for two minutes");
            return;
        }
        std::this_thread::sleep_for(50ms);
    }
}

nlohmann::ordered_json summary(const world& w, const findings& found, double seconds) {
    return {{"fault", w.how.faults}, {"seed", w.how.seed}, {"seconds", seconds}, {"faults", w.faults}, {"seen", w.seen},
            {"with_jobs_in_flight", w.with_jobs_in_flight}, {"calls", w.load->calls.load()}, {"calls_failed", w.load->failed.load()},
            {"calls_in_doubt", w.load->in_doubt.load()}, {"pushes_acknowledged", w.book.acknowledged().size()},
            {"jobs", found.jobs}, {"succeeded", found.succeeded}, {"failed", found.failed}, {"cancelled", w.load->cancels.load()},
            {"runs", found.runs}, {"runs_cut_short", found.cut_short}, {"runs_begun_anew", found.recovered},
            {"runs_of_sleepers_begun_anew", found.overlapped},
            {"longest_recovery_ms", w.longest_recovery.count()}, {"violations", w.violations.size()}};
}

void print(const nlohmann::ordered_json& s, bool json) {
    if (json) return static_cast<void>(std::printf("%s\n", s.dump().c_str()));
    for (const auto& [key, value] : s.items()) std::printf("%-28s %s\n", key.c_str(), value.dump().c_str());
}

int run(const options& o) {
    const auto begin = steady::now();
    world w(o);
    if (o.keep) std::fprintf(stderr, "everything is in %s\n", w.folder.c_str());
    std::vector<std::unique_ptr<fault>> all;
    for (const std::string& name : o.faults) all.push_back(make_fault(name));
    all.front()->prepare(w);
    w.workers.emplace(fleet::settings{.program = std::filesystem::read_symlink("/proc/self/exe"), .folder = w.folder, 
                                      .roads = w.roads.empty() ? std::vector<fleet::road>{{.conninfo = w.conninfo}} : w.roads, .concurrency = o.concurrency,
                                      .heartbeat_timeout = o.heartbeat_timeout}, w.book);
    for (int slot = 0; slot < o.workers; ++slot) w.workers->start(slot);
    w.load.emplace(w.conninfo, o.seed, o.heartbeat_timeout * 4 / 3, w.shared, w.book);
    w.load->start(o.pushers);
    w.await_recovery("the start");
    w.longest_recovery = {};
    for (const auto& f : all) {
        w.ends = steady::now() + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(o.seconds));
        f->inject(w);
        f->heal(w);
        w.await_recovery("the last fault");
    }
    w.load->stop();
    drain(w);
    w.workers->stop_all();
    for (const std::string& who : w.workers->deserters()) w.violations.push_back(who);
    for (const std::string& text : w.load->surprises()) w.violations.push_back("an error that the fault does not explain: " + text);
    for (const auto& f : all) w.check_injection(*f);
    w.check_jobs_in_flight();
    const findings found = check(*w.serving, w.book, w.workers->read_diaries());
    w.violations.insert(w.violations.end(), found.violations.begin(), found.violations.end());
    for (const auto* s : {&w.primary, &w.standby})
        if (*s)
            for (const std::string& line : bad_lines((*s)->log(), w.panic_allowed)) w.violations.push_back(line);
    print(summary(w, found, std::chrono::duration<double>(steady::now() - begin).count()), o.json);
    for (const std::string& v : w.violations) std::fprintf(stderr, "VIOLATION (--seed %u): %s\n", o.seed, v.c_str());
    return w.violations.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    options o;
    o.seed = std::random_device{}() % 1'000'000;
    double minutes = 0;
    CLI::App app{"Faults, done to workers and applications on a server of their own."};
    app.add_option("--fault", o.faults, "which; several: one after the other, the first says on what kind of server")->check(CLI::IsMember(fault_names()));
    app.add_option("--seconds", o.seconds, "for how long each fault is done")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--minutes", minutes, "the same, in minutes")->check(CLI::PositiveNumber);
    app.add_option("--seed", o.seed, "of random choices");
    app.add_option("--workers", o.workers)->capture_default_str()->check(CLI::Range(1, most_workers));
    app.add_option("--concurrency", o.concurrency, "handlers at once in a worker")->capture_default_str()->check(CLI::Range(1, 100));
    app.add_option("--pushers", o.pushers, "threads that push")->capture_default_str()->check(CLI::Range(1, 32));
    app.add_option("--heartbeat-timeout", o.heartbeat_timeout, "of the workers, milliseconds")->capture_default_str()->check(CLI::Range(1000, 90'000));
    app.add_flag("--json", o.json, "the summary as one JSON object");
    app.add_flag("--keep", o.keep, "leave folder and logs, to look at");
    worker_settings s;
    CLI::App* work = app.add_subcommand("worker", "What this program starts: one of its workers")->group("");
    work->add_option("--id", s.id);
    work->add_option("--conninfo", s.conninfo);
    work->add_option("--listen-conninfo", s.listen_conninfo);
    work->add_option("--diary", s.diary);
    work->add_option("--board", s.board);
    work->add_option("--slot", s.slot);
    work->add_option("--concurrency", s.concurrency);
    work->add_option("--heartbeat-timeout", s.heartbeat_timeout);
    work->add_flag("!--no-listen", s.listen);
    CLI11_PARSE(app, argc, argv);
    if (minutes > 0) o.seconds = minutes * 60;
    // A server of its own: what points at somebody else's goes.
    for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE", "PGOPTIONS", "PGTARGETSESSIONATTRS"})
        ::unsetenv(name);
    ::signal(SIGPIPE, SIG_IGN);
    try {
        if (*work) return run_worker(s);
        if (o.faults.empty()) throw CLI::ValidationError("--fault is missing");
        return run(o);
    } catch (const CLI::Error& e) {
        return app.exit(e);
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "chancy-chaos: %s\n", e.what());
        return e.code() == std::errc::operation_not_permitted ? 77 : 2;  // no namespaces here: not run
    } catch (const std::exception& e) {
        std::fprintf(stderr, "chancy-chaos: %s\n", e.what());
        return 2;
    }
}
