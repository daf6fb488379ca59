#include "plain.hpp"
#include "scenario.hpp"

namespace bench {

void make_empty(connection& server) {
    server.run("TRUNCATE chancy.jobs; DELETE FROM chancy.workers; SELECT chancy.declare_queue('default')");
    make_plain(server);
    server.run("VACUUM chancy.jobs");
    server.run("CHECKPOINT");
}

void fill(connection& server, const std::string& table, long long jobs) {
    constexpr long long step = 100'000;
    for (long long done = 0; done < jobs; done += step) {
        const std::string n = std::to_string(std::min(step, jobs - done));
        if (table == "chancy.jobs")
            server.run("SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'bench.work', 'kwargs',"
                       " jsonb_build_object('n', n))) FROM generate_series(1, " + n + ") n))");
        else  // ids that rise, as push gives them
            server.run("INSERT INTO " + table + " (id, queue, func, kwargs) SELECT ((lpad(to_hex(" + std::to_string(done) +
                       " + n), 16, '0')) || '8000000000000000')::uuid, 'default', 'bench.work', jsonb_build_object('n', n) FROM generate_series(1, " + n + ") n");
    }
    server.run("VACUUM ANALYZE " + table);
    server.run("CHECKPOINT");
}

}  // namespace bench
