// chancy-async: pushes from many coroutines over one connection, for tests with a server that comes and goes, and for figures.
//
//     chancy-async load keyed|keyless IN_FLIGHT      until standard input ends; what became of the pushes, as JSON
//     chancy-async measure COUNT                     pushes a second and processor time a call, by form and by calls in flight
//
// The server is the one that PG* names.
#include <chancy/async.hpp>
#include <chancy/future.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>
#include <iostream>

#include <sys/resource.h>
#include <unistd.h>

namespace {

using clock = std::chrono::steady_clock;

void rethrow(std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
}

// ---- load

struct tally {
    bool stop = false;
    long next = 0, acknowledged = 0, in_doubt = 0, failed = 0;
    std::string problem;
};

asio::awaitable<void> push_until_stopped(chancy::async_client& db, bool keyed, tally& all) {
    while (!all.stop) {
        chancy::new_job wanted{.func = "load", .kwargs = {{"n", all.next}}};
        if (keyed) wanted.unique_key = "load:" + std::to_string(all.next);
        ++all.next;
        try {
            co_await db.push(wanted);
            ++all.acknowledged;
        } catch (const chancy::error& e) {
            ++(e.in_doubt() ? all.in_doubt : all.failed);
            if (!e.connection_lost()) all.problem = e.what();
        }
    }
}

int load(bool keyed, int in_flight) {
    asio::io_context io;
    chancy::async_client db(io, "", {.max_in_flight = in_flight});
    tally all;
    for (int i = 0; i < in_flight; ++i) asio::co_spawn(io, push_until_stopped(db, keyed, all), rethrow);
    asio::posix::stream_descriptor in(io, ::dup(STDIN_FILENO));
    in.async_wait(asio::posix::stream_descriptor::wait_read, [&](const asio::error_code&) { all.stop = true; });
    io.run();
    std::cout << chancy::json{{"acknowledged", all.acknowledged}, {"in_doubt", all.in_doubt}, {"failed", all.failed}, {"problem", all.problem}} << '\n';
    return 0;
}

// ---- measure

double processor_seconds() {
    rusage u{};
    ::getrusage(RUSAGE_SELF, &u);
    return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

template <class F>
void measure(const std::string& what, int calls, F run) {
    const auto begin = clock::now();
    const double used = processor_seconds();
    run();
    const double seconds = std::chrono::duration<double>(clock::now() - begin).count();
    std::printf("%-24s %9.0f pushes/s %8.1f us of processor a call\n", what.c_str(), calls / seconds, (processor_seconds() - used) / calls * 1e6);
    std::fflush(stdout);
}

asio::awaitable<void> push_some(chancy::async_client& db, int n) {
    const chancy::new_job wanted{.func = "load", .kwargs = {{"to", "ann@example.com"}}};
    for (int i = 0; i < n; ++i) co_await db.push(wanted);
}

int measure_all(int count) {
    const chancy::new_job wanted{.func = "load", .kwargs = {{"to", "ann@example.com"}}};
    {
        chancy::client db;
        measure("client", count, [&] { for (int i = 0; i < count; ++i) db.push(wanted); });
    }
    for (const int width : {1, 4, 16, 64, 256}) {
        asio::io_context io(1);
        chancy::async_client db(io, "", {.max_in_flight = width});
        measure("async_client, " + std::to_string(width) + " in flight", count / width * width, [&] {
            for (int i = 0; i < width; ++i) asio::co_spawn(io, push_some(db, count / width), rethrow);
            io.run();
        });
    }
    for (const int width : {64, 256}) {
        chancy::future_client db("", {.max_in_flight = width});
        measure("future_client, " + std::to_string(width) + " in flight", count, [&] {
            std::vector<std::future<chancy::uuid>> ids;
            for (int i = 0; i < count; ++i) ids.push_back(db.push(wanted));
            for (auto& id : ids) id.get();
        });
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() == 3 && arguments[0] == "load") return load(arguments[1] == "keyed", std::stoi(arguments[2]));
    if (arguments.size() == 2 && arguments[0] == "measure") return measure_all(std::stoi(arguments[1]));
    std::cerr << "usage: chancy-async load keyed|keyless IN_FLIGHT | chancy-async measure COUNT\n";
    return 2;
}
