// push: batches and single calls.
#include "plain.hpp"
#include "scenario.hpp"

#include <atomic>
#include <memory>
#include <thread>

namespace bench {

namespace {

constexpr int batch_size = 1000, batches = 30;

std::vector<batch> make_batches(keys how) {
    std::vector<batch> all;
    for (int i = 0; i < batches; i++) all.push_back(make_batch(batch_size, how));
    return all;
}

// jobs single calls over connections that are open already, each a commit; returns the durations of the calls.
double run_single(std::vector<std::unique_ptr<connection>>& all, bool keyed, int jobs, std::vector<double>& durations) {
    std::vector<std::thread> threads;
    std::vector<std::vector<double>> took(all.size());
    static std::atomic<long long> serial{0};
    const int each = jobs / static_cast<int>(all.size());
    for (std::size_t i = 0; i < all.size(); i++)
        threads.emplace_back([&, i] {
            for (int n = 0; n < each; n++) {
                const long long key = serial++;
                const std::vector<std::string> parameters =
                    keyed ? std::vector<std::string>{"{\"n\": 1}", "single:" + std::to_string(key)} : std::vector<std::string>{"{\"n\": 1}"};
                const auto start = clock::now();
                all[i]->run_prepared("push", parameters);
                took[i].push_back(seconds_since(start));
            }
        });
    for (std::thread& t : threads) t.join();
    for (const auto& part : took) durations.insert(durations.end(), part.begin(), part.end());
    return each * static_cast<double>(all.size());
}

figure compare_single(const options& with, connection& server, int connections, bool keyed, bool durable, double reach) {
    const char* ours_sql = keyed ? "SELECT chancy.push('bench.work', kwargs => $1::jsonb, unique_key => $2)" : "SELECT chancy.push('bench.work', kwargs => $1::jsonb)";
    const char* other_sql = keyed ? "INSERT INTO bench.plain (id, queue, func, kwargs, unique_key) VALUES (gen_random_uuid(), 'default', 'bench.work', $1::jsonb, $2) RETURNING id"
                                  : "INSERT INTO bench.plain (id, queue, func, kwargs) VALUES (gen_random_uuid(), 'default', 'bench.work', $1::jsonb) RETURNING id";
    std::vector<std::unique_ptr<connection>> ours, other;
    for (int i = 0; i < connections; i++) {
        for (auto* list : {&ours, &other}) {
            list->push_back(std::make_unique<connection>(with.conninfo));
            list->back()->run(durable ? "SET synchronous_commit = on" : "SET synchronous_commit = off");
            list->back()->prepare("push", list == &ours ? ours_sql : other_sql);
        }
    }
    std::vector<double> ours_took, other_took;
    const int jobs = std::max(connections, durable ? 200 * connections : 1000 * connections);
    figure f = compare(server, "push" + std::string(keyed ? ", new keys" : "") + ", " + std::to_string(connections) + (connections == 1 ? " connection" : " connections") + (durable ? "" : ", not durable"),
                       reach, with.rounds, {"push()", {}, [&] { return run_single(ours, keyed, jobs, ours_took); }},
                       {"prepared INSERT", {}, [&] { return run_single(other, keyed, jobs, other_took); }});
    f.details["ours"] = percentiles(ours_took);
    f.details["other"] = percentiles(other_took);
    return f;
}

}  // namespace

figures push_batches(const options& with) {
    figures all;
    connection server(with.conninfo);
    const auto push = [&](std::vector<batch>& list) {
        return side{"push_many", {}, [&] {
                        for (const batch& b : list) server.run("SELECT * FROM chancy.push_many($1)", {b.json});
                        return static_cast<double>(batches * batch_size);
                    }};
    };
    const auto push_typed = [&](std::vector<batch>& list) {
        return side{"push_arrays", {}, [&] {
                        for (const batch& b : list) server.run(b.typed);
                        return static_cast<double>(batches * batch_size);
                    }};
    };
    const struct {
        const char* name;
        keys how;
        double against_copy, typed;
    } kinds[] = {{"push_many of 1000, no keys", keys::none, 0.9, 1.05}, {"push_many of 1000, new keys", keys::fresh, 0.75, 0.9}};
    for (const auto& kind : kinds) {
        make_empty(server);
        std::vector<batch> ours, other;
        side left = push(ours), typed = push_typed(ours), copy{"COPY (binary)", {}, {}}, unnest{"INSERT … unnest", {}, {}};
        left.prepare = typed.prepare = [&] { ours = make_batches(kind.how); return 0.0; };
        copy.prepare = unnest.prepare = [&] { other = make_batches(kind.how); return 0.0; };
        copy.work = [&] {
            for (const batch& b : other) server.copy(copy_statement, b.copy);
            return static_cast<double>(batches * batch_size);
        };
        unnest.work = [&] {
            for (const batch& b : other) server.run(unnest_statement, {b.kwargs[0], b.kwargs[1]});
            return static_cast<double>(batches * batch_size);
        };
        all.push_back(compare(server, kind.name, kind.against_copy, with.rounds, left, copy));
        all.push_back(compare(server, kind.name + std::string(", typed"), kind.typed, with.rounds, typed, copy));
        all.push_back(compare(server, kind.name, 0, with.rounds, left, unnest));
    }
    make_empty(server);
    const batch known = make_batch(batch_size, keys::same);
    server.run("SELECT count(*) FROM chancy.push_many($1)", {known.json});
    std::vector<batch> fresh, again(batches, known);
    const side copy{"COPY (binary), new keys", [&] { fresh = make_batches(keys::fresh); return 0.0; }, [&] {
                        for (const batch& b : fresh) server.copy(copy_statement, b.copy);
                        return static_cast<double>(batches * batch_size);
                    }};
    all.push_back(compare(server, "push_many of 1000 duplicates", 5, with.rounds, push(again), copy));
    all.push_back(compare(server, "push_many of 1000 duplicates, typed", 0, with.rounds, push_typed(again), copy));
    // What nobody can do without: to read the argument, and to find the keys; neither locks nor writes.
    const side parse{"$1::jsonb", {}, [&] {
                         for (const batch& b : again) server.run("SELECT jsonb_array_length($1::jsonb)", {b.json});
                         return static_cast<double>(batches * batch_size);
                     }};
    server.run("SET enable_seqscan = off");  // which is only cheaper since the table is small
    const side find{"SELECT … unique_key = ANY", {}, [&] {
                        for (const batch& b : again)
                            server.run("SELECT id FROM chancy.jobs WHERE unique_key = ANY($1) AND state IN ('pending', 'running', 'retrying')", {b.kwargs[1]});
                        return static_cast<double>(batches * batch_size);
                    }};
    all.push_back(compare(server, "of it reading the JSON", 0, with.rounds, parse, copy));
    all.push_back(compare(server, "of it finding the keys", 0, with.rounds, find, copy));
    server.run("RESET enable_seqscan");
    return all;
}

figures push_single(const options& with) {
    figures all;
    connection server(with.conninfo);
    for (const bool durable : {true, false})
        for (const int connections : {1, 8, 16})
            for (const bool keyed : {false, true}) {
                make_empty(server);
                all.push_back(compare_single(with, server, connections, keyed, durable, connections == 8 && durable && !keyed ? 0.9 : 0));
            }
    return all;
}

}  // namespace bench
