// Many pushes in flight on one connection, as coroutines over asio; then the end of one of the jobs is awaited.
#include <chancy/async.hpp>
#include <chancy/async_event.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <iostream>
#include <thread>

using namespace std::chrono_literals;

namespace {

// Several of these at once: each has one push in flight.
asio::awaitable<void> push_some(chancy::async_client& db, int first, int last) {
    for (int i = first; i < last; ++i) {
        const chancy::new_job wanted{.func = "square", .kwargs = {{"n", i}}, .queue = "async"};
        co_await db.push(wanted);
    }
}

asio::awaitable<void> wait_for_one(chancy::async_listener& ear) {
    const chancy::new_job wanted{.func = "square", .kwargs = {{"n", 12}}, .queue = "async"};
    const chancy::uuid id = co_await ear.push(wanted);
    std::thread elsewhere([&] {  // a worker
        chancy::client db;
        for (const chancy::job& job : db.fetch_jobs("async", "example", 1000)) {
            const int n = job.kwargs.at("n");
            const chancy::update done{.id = job.id, .started_at = *job.started_at, .result = n * n};
            db.apply_updates("example", {&done, 1});
        }
    });
    const auto done = co_await ear.wait_for_job(id, 1min);
    std::cout << done->kwargs.at("n") << " squared is " << *done->result << '\n';
    elsewhere.join();
}

void rethrow(std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
}

}  // namespace

int main() {
    chancy::client().declare_queue({.name = "async"});
    {
        asio::io_context io;
        chancy::async_client db(io);
        for (int i = 0; i < 10; ++i) asio::co_spawn(io, push_some(db, 10 * i, 10 * i + 10), rethrow);
        io.run();
    }
    asio::io_context io;
    chancy::async_listener ear(io);  // reads on until it is destroyed, so it is stopped by hand
    asio::co_spawn(io, wait_for_one(ear), [&](std::exception_ptr e) {
        rethrow(e);
        io.stop();
    });
    io.run();
    std::cout << chancy::client().list_jobs({.queue = "async", .up_to = 1000}).size() << " jobs\n";
}
