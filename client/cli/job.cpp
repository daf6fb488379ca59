#include "job.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <thread>

namespace chancy::cli {
namespace {

using namespace std::chrono_literals;

int missing(const uuid& id) {
    std::cerr << "chancy: there is no job " << id.to_string() << '\n';
    return not_found;
}

void print_job(const context& with, const job& j) {
    if (with.json) return print_json(j);
    const auto line = [](const char* name, const std::string& value) {
        if (!value.empty()) std::cout << name << std::string(14 - std::string_view(name).size(), ' ') << value << '\n';
    };
    const auto document = [&](const char* name, const json& value) {
        if (!value.empty()) line(name, value.dump(-1, ' ', false, json::error_handler_t::replace));
    };
    line("id", j.id.to_string());
    line("func", j.func);
    line("queue", j.queue);
    line("state", std::string(to_string(j.state)));
    document("kwargs", j.kwargs);
    if (j.result) line("result", j.result->dump());
    line("priority", std::to_string(j.priority));
    line("attempts", std::to_string(j.attempts) + " of " + std::to_string(j.max_attempts));
    if (j.recoveries > 0) line("recoveries", std::to_string(j.recoveries));
    line("unique key", j.unique_key.value_or(""));
    line("concurrency", j.concurrency_key.value_or(""));
    line("worker", j.taken_by.value_or(""));
    document("limits", j.limits);
    document("meta", j.meta);
    line("created", relative(j.created_at));
    line("scheduled", relative(j.scheduled_at));
    line("started", relative(j.started_at));
    line("completed", relative(j.completed_at));
    print_errors(j);
}

std::string in_words(const reported_progress& p) {
    char percent[32] = "";
    if (p.percent) std::snprintf(percent, sizeof percent, "%.4g %%", *p.percent);
    const std::string message = p.message.value_or("");
    return percent + ((p.percent && !message.empty() ? ", " : "") + message);
}

int show(const context& with, const uuid& id) {
    client db = with.connect();
    const auto found = db.get_job(id);
    if (!found) return missing(id);
    const auto told = db.get_progress(id);
    if (with.json) {
        json out = *found;
        out["progress"] = told ? json(*told) : json();
        print_json(out);
        return ok;
    }
    print_job(with, *found);
    if (!told) return ok;
    if (told->percent || !told->message.value_or("").empty()) std::cout << "progress      " << in_words(*told) << " (" << relative(told->reported_at) << ")\n";
    if (told->checkpoint) std::cout << "checkpoint    " << told->checkpoint->dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
    return ok;
}

int list(const context& with, const job_filter& filter) {
    client db = with.connect();
    table out({"id", "queue", "func", "state", "priority", "attempts", "created", "unique key", "error"});
    for (const job& j : db.list_jobs(filter)) {
        if (with.json) print_json(j);
        else
            out.add({j.id.to_string(), j.queue, j.func, std::string(to_string(j.state)), std::to_string(j.priority),
                     std::to_string(j.attempts) + "/" + std::to_string(j.max_attempts), relative(j.created_at), j.unique_key.value_or(""), last_error(j)});
    }
    if (!with.json) out.print();
    return ok;
}

int report(const context& with, const uuid& id, const char* what, bool done, const char* otherwise) {
    if (with.json) print_json({{"id", id.to_string()}, {what, done}});
    else if (done) std::cout << id.to_string() << ' ' << what << '\n';
    else std::cerr << "chancy: " << id.to_string() << ' ' << otherwise << '\n';
    return done ? ok : not_found;
}

int cancel(const context& with, const std::vector<uuid>& ids) {
    client db = with.connect();
    const std::vector<bool> done = db.cancel_jobs(ids);
    int code = ok;
    for (std::size_t i = 0; i < ids.size(); ++i)
        code = std::max(code, report(with, ids[i], "cancelled", done.at(i), "is missing or finished"));
    return code;
}

int retry(const context& with, const std::vector<uuid>& ids, const std::optional<json>& kwargs) {
    client db = with.connect();
    int code = ok;
    for (const uuid& id : ids)
        code = std::max(code, report(with, id, "retried", db.retry_job(id, kwargs), "is missing, unfinished, or its key is live again"));
    return code;
}

int copy(const context& with, const uuid& id, const job_changes& changed) {
    const auto made = with.connect().copy_job(id, changed);
    if (!made) return report(with, id, "copied", false, "is missing or unfinished");
    const bool created = made->created.value_or(true);
    if (with.json) print_json({{"id", made->id.to_string()}, {"created", created}});
    else if (created) std::cout << made->id.to_string() << '\n';
    else std::cerr << "chancy: its key is taken by the live job " << made->id.to_string() << '\n';
    return created ? ok : not_found;
}

// How it ended: the exit code.
int code_of(const std::vector<uuid>& ids, const std::vector<job>& found) {
    if (found.size() < ids.size()) {
        for (const uuid& id : ids)
            if (std::ranges::find(found, id, &job::id) == found.end()) (void)missing(id);
        return not_found;
    }
    if (!std::ranges::all_of(found, &job::finished)) return timed_out;
    return std::ranges::all_of(found, [](const job& j) { return j.state == job_state::succeeded; }) ? ok : job_failed;
}

int wait(const context& with, const std::vector<uuid>& ids, const std::string& timeout, bool progress) {
    std::function<void(const reported_progress&)> tell;
    if (progress) tell = [&](const reported_progress& p) { std::cerr << (with.json ? json(p).dump(-1, ' ', false, json::error_handler_t::replace) : in_words(p)) << '\n'; };
    const auto deadline = std::chrono::steady_clock::now() + (timeout.empty() ? 24h * 365 * 10 : read_duration(timeout));
    client db = with.connect();
    listener ear(with.conninfo);
    for (backoff pause;;) {
        try {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            std::vector<job> found;
            if (ids.size() > 1) found = wait_for_jobs(db, ear, ids, left);
            else if (auto one = wait_for_job(db, ear, ids[0], left, tell)) found.push_back(std::move(*one));
            for (const job& j : found) print_job(with, j);
            return code_of(ids, found);
        } catch (const error& e) {  // the server was restarted, say: nothing to give up for
            if (!e.connection_lost() || std::chrono::steady_clock::now() >= deadline) throw;
            std::this_thread::sleep_for(pause.next());
            try {
                ear = listener(with.conninfo);
            } catch (const error&) {
                continue;
            }
        }
    }
}

}  // namespace

void add_job(CLI::App& app, context& with) {
    CLI::App* jobs = app.add_subcommand("job", "Show, list, cancel, retry, copy, wait for jobs");
    jobs->fallthrough()->require_subcommand(1);
    jobs->footer("Examples:\n  chancy job list --queue mail --state failed\n  chancy job show ID\n  chancy job retry --queue mail --dry-run\n  chancy job wait ID --timeout 5m");

    struct options {
        std::vector<std::string> ids;
        std::string state, after, since, before, timeout, kwargs;
        bool progress = false, dry_run = false, yes = false;
        job_filter filter;
        job_changes changed;
    };
    auto o = std::make_shared<options>();
    const auto add = [&](const char* name, const char* description, auto run) {
        CLI::App* c = jobs->add_subcommand(name, description);
        c->fallthrough();
        c->callback([o, &with, run] { with.command = [o, run] { return run(*o); }; });
        return c;
    };
    const auto read_filter = [](options& given) {
        for (job_state s : {job_state::pending, job_state::running, job_state::retrying, job_state::succeeded, job_state::failed})
            if (to_string(s) == given.state) given.filter.state = s;
        if (!given.after.empty()) given.filter.after = read_id(given.after);
        if (!given.since.empty()) given.filter.since = read_time(given.since);
        if (!given.before.empty()) given.filter.before = read_time(given.before);
        return given.filter;
    };
    const auto add_filter = [&](CLI::App* c, const std::vector<std::string>& states) {
        c->add_option("--queue", o->filter.queue, "Of this queue");
        c->add_option("--state", o->state, join(states))->check(CLI::IsMember(states));
        c->add_option("--func", o->filter.func, "Of this func");
        c->add_option("--key", o->filter.unique_key, "Of this unique_key");
        c->add_option("--since", o->since, "Pushed at this time or later");
        c->add_option("--before", o->before, "Pushed before this time");
    };
    // Ids, or a filter; with a filter what is changed is counted and asked about.
    const auto add_choice = [&](CLI::App* c, const std::vector<std::string>& states) {
        CLI::Option* named = c->add_option("id", o->ids, "The jobs' ids; without them all that match");
        add_filter(c, states);
        for (const char* option : {"--queue", "--state", "--func", "--key", "--since", "--before"}) c->get_option(option)->excludes(named);
        c->add_flag("--dry-run", o->dry_run, "Say how many match, and change nothing")->excludes(named);
        c->add_flag("-y,--yes", o->yes, "Do not ask")->excludes(named);
    };
    const auto choose = [&with, read_filter](options& given, std::vector<job_state> states, bulk how) {
        const job_filter f = read_filter(given);
        if (!f.queue && !f.state && !f.func && !f.unique_key && !f.since && !f.before)
            throw CLI::ValidationError("which jobs? Name ids, or a filter such as --queue");
        how.states = f.state ? std::vector{*f.state} : std::move(states);
        how.dry_run = given.dry_run;
        how.yes = given.yes;
        return change_matching(with, f, how);
    };
    const auto ids = [](const options& given) {
        std::vector<uuid> out;
        for (const std::string& text : given.ids) out.push_back(read_id(text));
        return out;
    };

    CLI::App* c = add("show", "Show a job with its errors and result; exit code 3 if there is none",
                      [&with, ids](const options& given) { return show(with, ids(given)[0]); });
    c->add_option("id", o->ids, "The job's id")->required()->expected(1);

    c = add("list", "List jobs, newest first", [&with, read_filter](options& given) { return list(with, read_filter(given)); });
    add_filter(c, {"pending", "running", "retrying", "succeeded", "failed"});
    c->add_option("--after", o->after, "The next page: the last id of the page before");
    c->add_option("--limit", o->filter.up_to, "At most so many")->capture_default_str();

    c = add("cancel", "Cancel live jobs; running handlers are asked to stop; exit code 3 if one was not live",
            [&with, ids, choose](options& given) {
                if (!given.ids.empty()) return cancel(with, ids(given));
                return choose(given, {job_state::pending, job_state::running, job_state::retrying},
                              {"cancelled", {}, false, false, [](client& db, std::span<const uuid> of) { return std::ranges::count(db.cancel_jobs(of), true); }});
            });
    add_choice(c, {"pending", "running", "retrying"});
    c->footer("Examples:\n  chancy job cancel ID\n  chancy job cancel --queue mail --state pending --dry-run");

    c = add("retry", "Make finished jobs pending again, those that failed unless --state is given; exit code 3 if one could not be",
            [&with, ids, choose](options& given) {
                std::optional<json> kwargs;
                if (!given.kwargs.empty()) kwargs = read_json("--kwargs", given.kwargs);
                if (kwargs && given.ids.size() != 1) throw CLI::ValidationError("--kwargs is for one job");
                if (!given.ids.empty()) return retry(with, ids(given), kwargs);
                return choose(given, {job_state::failed}, {"retried", {}, false, false, [](client& db, std::span<const uuid> of) {
                    return std::ranges::count_if(of, [&](const uuid& id) { return db.retry_job(id); });
                }});
            });
    add_choice(c, {"failed", "succeeded"});
    c->add_option("--kwargs", o->kwargs, "Of one job: a JSON object in place of all its kwargs. Of a step of a workflow too, which goes on");
    c->footer(R"(By a filter each job is a transaction of its own. `job copy` leaves the old job as it was instead.

Examples:
  chancy job retry ID --kwargs '{"to": "a@b.c"}'
  chancy job retry --queue mail --func mail.send --since 2026-01-31 --yes)");

    c = add("copy", "Push a finished job anew, with what is given changed, and print the id; the old one stays as it was. Exit code 3 if it is not finished",
            [&with, ids](options& given) {
                if (!given.kwargs.empty()) given.changed.kwargs = read_json("--kwargs", given.kwargs);
                return copy(with, ids(given)[0], given.changed);
            });
    c->add_option("id", o->ids, "The job's id")->required()->expected(1);
    c->add_option("--kwargs", o->kwargs, "A JSON object in place of all its kwargs");
    c->add_option("--queue", o->changed.queue, "In place of its queue");
    c->add_option("--priority", o->changed.priority, "In place of its priority");
    c->add_option("--max-attempts", o->changed.max_attempts, "In place of its max_attempts");
    c->footer("Example:\n  chancy job copy ID --kwargs '{\"to\": \"a@b.c\"}'");

    c = add("wait", "Wait until jobs have finished, and show them; exit code 4 if one failed, 5 at the timeout, 3 if one is missing",
            [&with, ids](const options& given) {
                if (given.progress && given.ids.size() > 1) throw CLI::ValidationError("--progress is for one job");
                return wait(with, ids(given), given.timeout, given.progress);
            });
    c->add_option("id", o->ids, "The jobs' ids")->required();
    c->add_option("--timeout", o->timeout, "Wait at most so long: 90, 10m, 1h");
    c->add_flag("--progress", o->progress, "Of one job: write what its handler reports to standard error");
}

}  // namespace chancy::cli
