// history: what a fetch costs when the table is large: of finished jobs, or of waiting ones.
//
// Two databases of one server take turns, one with a small table and one with the large one, so that both share the disk's and the
// machine's moods.
#include "drain.hpp"

#include "scenario.hpp"

#include <cmath>
#include <map>

namespace bench {

namespace {

constexpr int fetches = 40;  // of a turn

// The connection string of server, with some of its words changed.
std::string changed(connection& server, std::map<std::string, std::string> words) {
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all(PQconninfo(server.get()), PQconninfoFree);
    for (const PQconninfoOption* o = all.get(); o->keyword != nullptr; o++)
        if (o->val != nullptr) words.try_emplace(o->keyword, o->val);
    std::string made;
    for (const auto& [word, value] : words) {
        made += word + "='";
        for (const char c : value) made += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        made += "' ";
    }
    return made;
}

// What the server has looked at, of all that has ended in this database.
long long pages(connection& server) {
    server.run("SELECT pg_stat_force_next_flush()");
    return server.number("SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()");
}

struct turns {
    std::vector<double> took, medians;  // seconds: of each fetch, and of each turn
    std::vector<double> pages;          // of a fetch, of each turn
    double cpu = 0;                     // of the server for a fetch, in µs, summed over the turns
};

// Fetches of 100, each with the results of the one before, over a queue with a few thousand jobs.
void take_turn(const std::string& conninfo, connection& server, turns& all) {
    fill(server, "chancy.jobs", 100LL * fetches);
    std::vector<double> took;
    const long long before = pages(server);
    {
        exchange_worker worker(conninfo, "bench:history");
        worker.exchange(100);
        meter m(server);
        for (int i = 1; i < fetches; i++) {
            const auto start = clock::now();
            worker.exchange(100);
            took.push_back(seconds_since(start));
        }
        const json used = m.per_job(fetches - 1);
        all.cpu += used.value("server_cpu_us", 0.0);
        worker.exchange(0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // its backend ends, and tells what it looked at
    all.pages.push_back(static_cast<double>(pages(server) - before) / fetches);
    all.medians.push_back(median(took));
    all.took.insert(all.took.end(), took.begin(), took.end());
}

json told(const turns& t) {
    json out = percentiles(t.took);
    out["pages_per_fetch"] = median(t.pages);
    if (t.cpu > 0) out["server_cpu_us_per_fetch"] = std::round(t.cpu / static_cast<double>(t.medians.size()));
    return out;
}

figure compare_sizes(const options& with, connection& large, connection& small, const std::string& name, bool durable) {
    turns both[2];
    std::vector<double> ratios;
    connection* sides[] = {&large, &small};
    for (int round = -1; round < with.rounds; round++) {
        turns warm[2];
        for (int i = 0; i < 2; i++) {
            const int turn = (i + round + 2) % 2;  // who goes first changes
            take_turn(changed(*sides[turn], {{"options", durable ? "-c synchronous_commit=on" : "-c synchronous_commit=off"}}), *sides[turn],
                      round < 0 ? warm[turn] : both[turn]);
        }
        if (round >= 0) ratios.push_back(both[0].medians.back() / both[1].medians.back());
    }
    figure f;
    f.name = "exchange of 100, " + name + (durable ? "" : ", not durable");
    f.reach = 1.2;
    f.at_most = true;
    f.unit = "ms";
    f.ours = "large table";
    f.other = "small table";
    f.our_value = median(both[0].medians) * 1e3;
    f.other_value = median(both[1].medians) * 1e3;
    f.ratio = median(ratios);
    f.details = {{"rounds", ratios}, {"large", told(both[0])}, {"small", told(both[1])}};
    return f;
}

}  // namespace

figures history(const options& with) {
    figures all;
    connection server(with.conninfo);
    server.run("DROP DATABASE IF EXISTS chancy_bench_small");
    server.run("CREATE DATABASE chancy_bench_small");
    {
        connection small(changed(server, {{"dbname", "chancy_bench_small"}}));
        small.run("CREATE EXTENSION chancy");
        make_empty(small);
        make_empty(server);
        std::fprintf(stderr, "  writing %lld finished jobs …\n", with.history);
        server.run("SET synchronous_commit = off");
        for (long long done = 0; done < with.history; done += 1'000'000)
            server.run("INSERT INTO chancy.jobs (id, queue, func, kwargs, state, attempts, taken_by, started_at, completed_at)"
                       " SELECT (lpad(to_hex(" + std::to_string(done) + " + n), 16, '0') || '8000000000000000')::uuid, 'default', 'bench.work',"
                       " jsonb_build_object('n', n), 'succeeded', 1, 'bench:old', now(), now() FROM generate_series(1, " +
                       std::to_string(std::min(1'000'000LL, with.history - done)) + ") n");
        server.run("VACUUM ANALYZE chancy.jobs");
        for (const bool durable : {true, false})
            all.push_back(compare_sizes(with, server, small, std::to_string(with.history) + " finished jobs", durable));

        make_empty(server);
        make_empty(small);
        fill(server, "chancy.jobs", with.backlog);
        for (const bool durable : {true, false})
            all.push_back(compare_sizes(with, server, small, std::to_string(with.backlog) + " waiting jobs", durable));
    }
    server.run("DROP DATABASE chancy_bench_small");
    return all;
}

}  // namespace bench
