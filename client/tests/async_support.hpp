// What the tests of coroutines share.
#pragma once

#include "support.hpp"

#include <chancy/async.hpp>
#include <chancy/async_event.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

namespace test {

inline void rethrow(std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
}

inline chancy::error error_of(std::exception_ptr e) {
    try {
        rethrow(e);
    } catch (const chancy::error& error) {
        return error;
    } catch (const std::exception& other) {
        ADD_FAILURE() << other.what();
    }
    ADD_FAILURE() << "no error";
    return {"", {}};
}

// One coroutine, run to its end.
template <class F>
void run(F body) {
    asio::io_context io;
    asio::co_spawn(io, body(io), rethrow);
    io.run();
}

}  // namespace test
