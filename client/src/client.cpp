#include <chancy/client.hpp>
#include <chancy/session.hpp>

#include "connection.hpp"
#include "prepared.hpp"

#include <libpq-fe.h>

#include <optional>
#include <thread>

namespace chancy {

using detail::repeat;

namespace {

// Inside an open transaction a lost connection leaves no doubt: without COMMIT nothing happened.
detail::result run_borrowed(PGconn* connection, const detail::statement& what, std::chrono::milliseconds timeout) {
    const bool block = PQtransactionStatus(connection) != PQTRANS_IDLE;
    try {
        return detail::run(connection, what, timeout);
    } catch (const error& e) {
        throw e.with_doubt(e.in_doubt() && !block && what.again != repeat::harmless);
    }
}

}  // namespace

detail::result session::execute(const detail::statement& what) { return run_borrowed(m_connection, what, m_timeout); }

struct client::state {
    std::string conninfo;
    client_options options;
    std::optional<detail::connection> connection;
    detail::prepared prepared{};  // at it

    PGconn* open() {
        if (connection && !connection->alive()) connection.reset();
        if (!connection) {
            connection.emplace(conninfo, options.connect_timeout);
            prepared = {};
        }
        return connection->get();
    }
};

client::client(const std::string& conninfo, client_options options) : m_state(new state{conninfo, options, {}, {}}) {
    m_state->open();
}
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;
client::~client() = default;

PGconn* client::connection() { return m_state->open(); }

detail::result client::execute(const detail::statement& what) {
    const retry_policy& policy = m_state->options.retry;
    const auto give_up = std::chrono::steady_clock::now() + policy.total;
    backoff pause(policy);
    bool doubt = false;  // an earlier try may have been committed
    for (;;) {
        try {
            PGconn* const connection = m_state->open();
            return m_state->prepared.run(connection, what, m_state->options.timeout);
        } catch (const error& e) {
            if (e.connection_lost() || e.read_only()) m_state->connection.reset();
            doubt = doubt || (e.in_doubt() && what.again != repeat::harmless);
            const bool again = e.with_doubt(false).retryable() && !(e.in_doubt() && what.again == repeat::never);
            const auto wait = pause.next();
            if (!again || std::chrono::steady_clock::now() + wait >= give_up) throw e.with_doubt(doubt);
            std::this_thread::sleep_for(wait);
        }
    }
}

transaction::transaction(client& on) : m_state(on.m_state.get()) {
    on.execute({"begin", "BEGIN"});
    m_connection = m_state->connection->get();
}

transaction::~transaction() { rollback(); }

detail::result transaction::execute(const detail::statement& what) {
    try {
        return run_borrowed(m_connection, what, m_state->options.timeout);
    } catch (const error& e) {
        m_lost = m_lost || e.connection_lost();
        throw;
    }
}

void transaction::commit() {
    m_open = false;
    detail::result told(nullptr);
    try {
        told = detail::run(m_connection, {"commit", "COMMIT"}, m_state->options.timeout);
    } catch (const error& e) {
        if (e.connection_lost()) m_state->connection.reset();
        throw;
    }
    // After an error in the transaction the server answers COMMIT with ROLLBACK, and calls it a success.
    if (told.command() != "COMMIT")
        throw error("the transaction was rolled back, since a statement in it had failed", {.sqlstate = "25P02", .function = "commit"});
}

// Closing the connection is a rollback too, for one that does not answer any more.
void transaction::rollback() noexcept {
    if (!m_open) return;
    m_open = false;
    try {
        const auto timeout = m_state->options.timeout;
        if (!m_lost) detail::run(m_connection, {"rollback", "ROLLBACK"}, timeout.count() > 0 ? timeout : std::chrono::seconds(30));
    } catch (const std::exception&) {
        m_lost = true;
    }
    if (m_lost) m_state->connection.reset();
}

}  // namespace chancy
