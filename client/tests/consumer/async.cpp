// A program outside of this tree that uses coroutines.
#include <chancy/async.hpp>
#include <chancy/async_event.hpp>
#include <chancy/future.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <iostream>

int main() {
    asio::io_context io;
    chancy::async_client db(io, "host=/nonexistent");
    bool lost = false;
    const chancy::new_job wanted{.func = "a"};
    asio::co_spawn(io, db.push(wanted), [&](std::exception_ptr e, chancy::uuid) {
        try {
            if (e) std::rethrow_exception(e);
        } catch (const chancy::error& error) {
            std::cout << error.sqlstate() << '\n';
            lost = error.connection_lost();
        }
    });
    io.run();
    return lost ? 0 : 1;
}
