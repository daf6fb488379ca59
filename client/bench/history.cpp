// history: what a fetch costs when the table is large: of finished jobs, or of waiting ones.
#include "drain.hpp"

#include "scenario.hpp"

namespace bench {

namespace {

// The time of one fetch of 100 and of its results, over a queue with a few thousand jobs.
double time_fetches(const options& with, connection& server, std::vector<double>& took) {
    constexpr int fetches = 40;
    fill(server, "chancy.jobs", 100 * fetches);
    exchange_worker worker(with.conninfo, "bench:history");
    worker.exchange(100);
    for (int i = 1; i < fetches; i++) {
        const auto start = clock::now();
        worker.exchange(100);
        took.push_back(seconds_since(start));
    }
    worker.exchange(0);
    return median(took);
}

figure against_empty(const std::string& name, double empty, std::vector<double> with_rows) {
    figure f;
    f.name = name;
    f.reach = 1.2;
    f.at_most = true;
    f.unit = "ms";
    f.ours = "large table";
    f.other = "empty table";
    f.our_value = median(with_rows) * 1e3;
    f.other_value = empty * 1e3;
    f.ratio = f.our_value / f.other_value;
    f.details = percentiles(with_rows);
    return f;
}

}  // namespace

figures history(const options& with) {
    figures all;
    connection server(with.conninfo);
    make_empty(server);
    std::vector<double> took;
    time_fetches(with, server, took);  // caches are warm from here on
    took.clear();
    const double empty = time_fetches(with, server, took);

    std::fprintf(stderr, "  writing %lld finished jobs …\n", with.history);
    server.run("SET synchronous_commit = off");
    for (long long done = 0; done < with.history; done += 1'000'000)
        server.run("INSERT INTO chancy.jobs (id, queue, func, kwargs, state, attempts, taken_by, started_at, completed_at)"
                   " SELECT (lpad(to_hex(" + std::to_string(done) + " + n), 16, '0') || '8000000000000000')::uuid, 'default', 'bench.work',"
                   " jsonb_build_object('n', n), 'succeeded', 1, 'bench:old', now(), now() FROM generate_series(1, " +
                   std::to_string(std::min(1'000'000LL, with.history - done)) + ") n");
    server.run("VACUUM ANALYZE chancy.jobs");
    took.clear();
    time_fetches(with, server, took);
    all.push_back(against_empty("exchange of 100, " + std::to_string(with.history) + " finished jobs", empty, took));

    make_empty(server);
    took.clear();
    time_fetches(with, server, took);
    took.clear();
    const double again = time_fetches(with, server, took);
    fill(server, "chancy.jobs", with.backlog);
    took.clear();
    time_fetches(with, server, took);
    all.push_back(against_empty("exchange of 100, " + std::to_string(with.backlog) + " waiting jobs", again, took));
    return all;
}

}  // namespace bench
