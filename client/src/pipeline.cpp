#include <chancy/pipeline.hpp>

#include "event.hpp"
#include "pipeline.hpp"
#include "prepared.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace chancy::detail {
namespace {

using namespace std::chrono_literals;

// As much may wait in libpq's buffer: then the server has to read before more is sent, and we have to read what it answers.
constexpr std::size_t enough_unflushed = 64 << 10;

bool good(const PGresult* r) { return PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK; }

// The same error, as it is told to another call.
error told(const error& why, const char* function, bool doubt) {
    return error(why.what(), {.sqlstate = why.sqlstate(), .function = function, .detail = why.detail(), .hint = why.hint(),
                              .connection_lost = why.connection_lost(), .in_doubt = doubt});
}

// Did a backend say itself that it ends? Then it has not begun what was sent after the call that it ends in. (What a pooler
// says in its place tells nothing; it names no function of its source.)
bool said_by_backend(const PGresult* r) {
    const char* severity = r ? PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED) : nullptr;
    return severity && std::strcmp(severity, "FATAL") == 0 && PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);
}

// A sync that is sent together with what follows, where libpq can.
int end_call(PGconn* connection) {
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    return PQsendPipelineSync(connection);
#else
    return PQpipelineSync(connection);
#endif
}

std::string setting(PGconn* connection, const char* keyword) {
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all(PQconninfo(connection), PQconninfoFree);
    for (const PQconninfoOption* o = all.get(); o && o->keyword; ++o)
        if (std::strcmp(o->keyword, keyword) == 0) return o->val ? o->val : "";
    return {};
}

// "a,b,c" becomes "b,c,a".
std::string rotated(const std::string& list) {
    const auto comma = list.find(',');
    return comma == std::string::npos ? list : list.substr(comma + 1) + ',' + list.substr(0, comma);
}

}  // namespace

pipeline::pipeline(std::string conninfo, async_options options, bool listens)
    : m_conninfo(std::move(conninfo)), m_options(std::move(options)), m_listens(listens),
      m_prepared(std::make_unique<prepared>()), m_backoff(m_options.retry), m_head(nullptr, PQclear) {}

pipeline::~pipeline() { drop(); }

void pipeline::submit(std::shared_ptr<pending> call) {
    m_waiting.push_back(std::move(call));
    ++m_outstanding;
}

bool pipeline::cancel(pending& call, bool if_sent) {
    if (call.m_stage == pending::stage::finished) return false;
    const bool sent = call.m_stage == pending::stage::sent;
    if (sent && !if_sent) return false;
    call.m_doubt = call.m_doubt || (sent && call.m_what.again != repeat::harmless);
    fail(call, error(sent ? "the call was given up before its answer" : "the call was cancelled before it was sent", {.sqlstate = "57014"}));
    return true;
}

pipeline::interest pipeline::step(bool readable, bool writable) {
    const time now = std::chrono::steady_clock::now();
    if (m_stage == stage::connecting) {
        if (m_poll_for_read ? readable : writable) go_on_connecting(now);
        else if (now >= m_connect_until) next_host(now);
    } else if (m_stage == stage::ready) {
        if (readable) receive(now);
        if (m_stage == stage::ready && !m_sent.empty() && m_options.timeout > 0ms && now >= m_head_since + m_options.timeout)
            lost(error("no answer from the server in time", {.sqlstate = "08006", .connection_lost = true}), now);
    }
    for (std::size_t i = 0; i < m_resting.size();) {
        if (m_resting[i]->m_due > now) {
            ++i;
            continue;
        }
        m_waiting.push_back(std::move(m_resting[i]));
        m_resting.erase(m_resting.begin() + static_cast<std::ptrdiff_t>(i));
    }
    while (!m_waiting.empty() && m_waiting.front()->m_stage == pending::stage::finished) m_waiting.pop_front();  // cancelled
    if (!m_waiting.empty()) {
        if (m_stage == stage::ready && m_sent.empty() && !alive(m_connection)) drop();
        if (m_stage == stage::none && now >= m_connect_at) connect(now);
    }
    if (m_stage == stage::ready && (!m_waiting.empty() || m_unflushed > 0)) send(now);
    if (m_listens && m_connection)
        if (std::vector<event> heard = collect_events(m_connection); !heard.empty()) on_events(std::move(heard));
    return wants();
}

// ---- connecting

void pipeline::connect(time now) {
    m_connection = start_connection(m_conninfo, m_options.connect_timeout, m_hosts ? *m_hosts : host_list{});
    ++m_generation;
    if (PQstatus(m_connection) == CONNECTION_BAD) return not_connected(connect_error(trimmed(PQerrorMessage(m_connection))), now);
    m_stage = stage::connecting;
    m_poll_for_read = false;
    m_host.clear();
    // Two seconds at least, as libpq has it; 0 or nothing: no limit.
    const std::string limit = setting(m_connection, "connect_timeout");
    m_host_limit = std::chrono::seconds(std::atoi(limit.c_str()));
    if (m_host_limit == 1s) m_host_limit = 2s;
    m_connect_until = m_host_limit > 0s ? now + m_host_limit : time::max();
}

void pipeline::go_on_connecting(time now) {
    const PostgresPollingStatusType how = PQconnectPoll(m_connection);
    ++m_generation;
    if (how == PGRES_POLLING_FAILED) return not_connected(connect_error(trimmed(PQerrorMessage(m_connection))), now);
    m_poll_for_read = how == PGRES_POLLING_READING;
    const std::string host = std::string(PQhost(m_connection)) + ' ' + PQhostaddr(m_connection) + ' ' + PQport(m_connection);
    if (host != m_host) {  // the next one of the list
        m_host = host;
        m_connect_until = m_host_limit > 0s ? now + m_host_limit : time::max();
    }
    if (how != PGRES_POLLING_OK) return;
    if (!settle_connection(m_connection) || !PQenterPipelineMode(m_connection)) return not_connected(connect_error(trimmed(PQerrorMessage(m_connection))), now);
    m_stage = stage::ready;
    m_was_ready = true;
}

// A host that keeps silent: libpq goes on to the next one of the list only when a host refuses, so we begin with that.
void pipeline::next_host(time now) {
    const host_list tried{setting(m_connection, "host"), setting(m_connection, "hostaddr"), setting(m_connection, "port")};
    m_hosts = std::make_unique<host_list>(host_list{rotated(tried.host), rotated(tried.hostaddr), rotated(tried.port)});
    not_connected(error("no answer from the server in time", {.sqlstate = "08001", .connection_lost = true}), now);
}

// Calls wait for the server as long as they may be tried again; but without a first connection something is wrong that waiting
// does not mend, most likely.
void pipeline::not_connected(const error& why, time now) {
    drop();
    const auto pause = m_backoff.next();
    m_connect_at = now + pause;
    const auto wait = [&](std::shared_ptr<pending>& call) {
        if (call->m_stage == pending::stage::finished) return false;
        if (m_was_ready && try_again(*call, now, pause)) return true;
        fail(*call, why);
        return false;
    };
    std::erase_if(m_waiting, [&](std::shared_ptr<pending>& call) { return !wait(call); });
    std::erase_if(m_resting, [&](std::shared_ptr<pending>& call) { return !wait(call); });
}

void pipeline::drop() noexcept {
    if (m_connection) PQfinish(m_connection);
    m_connection = nullptr;
    m_stage = stage::none;
    m_unflushed = 0;
    m_head.reset();
    *m_prepared = {};
}

// ---- calls

void pipeline::send(time now) {
    for (;;) {
        while (!m_waiting.empty() && static_cast<int>(m_sent.size()) < std::max(m_options.max_in_flight, 1) && m_unflushed < enough_unflushed) {
            const std::shared_ptr<pending> call = std::move(m_waiting.front());
            m_waiting.pop_front();
            if (call->m_stage == pending::stage::finished) continue;
            try {
                const prepared::way how = m_prepared->choose(call->m_what.sql);
                const std::string name = prepared::name_of(call->m_what.sql);
                call->m_named = how != prepared::way::text;
                if ((how == prepared::way::prepare && !PQsendPrepare(m_connection, name.c_str(), call->m_what.sql, 0, nullptr)) ||
                    !detail::send(m_connection, call->m_what, call->m_named ? name.c_str() : nullptr)) {
                    if (PQstatus(m_connection) != CONNECTION_BAD) throw error(trimmed(PQerrorMessage(m_connection)), {.sqlstate = "55000"});
                    m_waiting.push_front(call);
                    return not_sent(now);
                }
            } catch (const error& e) {
                fail(*call, e);
                continue;
            }
            if (m_sent.empty()) m_head_since = now;
            call->m_stage = pending::stage::sent;
            m_sent.push_back(call);
            if (!end_call(m_connection)) return not_sent(now);
            m_unflushed += 256;
            for (const parameter& p : call->m_what.parameters) m_unflushed += p ? p->size() : 0;
        }
        const int left = PQflush(m_connection);
        if (left < 0) return not_sent(now);
        if (left > 0) return;
        m_unflushed = 0;
        if (m_waiting.empty() || static_cast<int>(m_sent.size()) >= std::max(m_options.max_in_flight, 1)) return;
    }
}

// What the server has said, and how far it has come, still waits to be read.
void pipeline::not_sent(time now) {
    const error why = loss(m_connection, "send");
    receive(now);
    if (m_connection) lost(why, now);
}

void pipeline::receive(time now) {
    const bool open = PQconsumeInput(m_connection) != 0;
    // Between two answers there is nothing, twice at most; in a connection that is gone, nothing for ever.
    for (int nothing = 0; !m_sent.empty() && nothing < 3 && (!open || !PQisBusy(m_connection));) {
        PGresult* r = PQgetResult(m_connection);
        if (!r) {
            ++nothing;
            continue;
        }
        nothing = 0;
        if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            answered(now);
            continue;
        }
        // Rows count only once the commit has followed them; the first error stays.
        if (!m_head || good(m_head.get())) m_head.reset(r);
        else PQclear(r);
        if (PQstatus(m_connection) == CONNECTION_BAD) break;
    }
    if (!open || PQstatus(m_connection) == CONNECTION_BAD) lost(loss(m_connection, "receive"), now);
}

void pipeline::answered(time now) {
    const std::shared_ptr<pending> call = std::move(m_sent.front());
    m_sent.pop_front();
    m_head_since = now;
    m_backoff.reset();
    auto answer = std::exchange(m_head, {nullptr, PQclear});
    if (call->m_stage == pending::stage::finished) return;  // cancelled
    if (good(answer.get())) {
        call->m_stage = pending::stage::finished;
        --m_outstanding;
        call->done(result(answer.release()));
        return;
    }
    const error why = refusal(m_connection, answer.get(), call->m_what.function);
    if (call->m_named && m_prepared->disowned(why.sqlstate())) {
        call->m_stage = pending::stage::waiting;
        call->m_due = now;
        m_resting.push_back(call);
        return;
    }
    if (why.sqlstate() == "40P01" || why.sqlstate() == "40001") {
        if (!call->m_backoff) call->m_backoff.emplace(m_options.retry);
        if (try_again(*call, now, call->m_backoff->next())) {
            m_resting.push_back(call);
            return;
        }
    }
    fail(*call, why);
}

// Of the calls in flight, those that may be repeated come first when there is a connection again, in their order; the others
// are in doubt, unless the backend has not come to them.
void pipeline::lost(error why, time now) {
    const bool ended = said_by_backend(m_head.get());
    if (m_head && !good(m_head.get())) why = refusal(m_connection, m_head.get(), "receive");
    why = told(error(why.what(), {.sqlstate = why.sqlstate(), .detail = why.detail(), .hint = why.hint(), .connection_lost = true}), "", false);
    drop();
    const auto pause = m_backoff.next();
    m_connect_at = now + pause;
    std::vector<std::shared_ptr<pending>> again;
    bool may_have_begun = true;
    for (const std::shared_ptr<pending>& call : std::exchange(m_sent, {})) {
        const bool doubt = std::exchange(may_have_begun, !ended);
        if (call->m_stage == pending::stage::finished) continue;
        call->m_doubt = call->m_doubt || (doubt && call->m_what.again != repeat::harmless);
        if ((!doubt || call->m_what.again != repeat::never) && try_again(*call, now, pause)) again.push_back(call);
        else fail(*call, why);
    }
    m_waiting.insert(m_waiting.begin(), again.begin(), again.end());
    if (on_lost) on_lost(why);
}

bool pipeline::try_again(pending& call, time now, std::chrono::milliseconds pause) {
    if (call.m_give_up == time{}) call.m_give_up = now + m_options.retry.total;
    call.m_stage = pending::stage::waiting;
    call.m_due = now + pause;
    return call.m_due < call.m_give_up;
}

void pipeline::fail(pending& call, const error& why) {
    call.m_stage = pending::stage::finished;
    --m_outstanding;
    call.m_what.parameters.clear();
    call.failed(told(why, call.m_what.function, call.m_doubt));
}

void pipeline::close(const char* why) {
    drop();
    const auto end = [&](const std::shared_ptr<pending>& call) {
        const bool sent = call->m_stage == pending::stage::sent;
        if (call->m_stage == pending::stage::finished) return;
        call->m_doubt = call->m_doubt || (sent && call->m_what.again != repeat::harmless);
        fail(*call, error(why, {.sqlstate = "57014"}));
    };
    std::ranges::for_each(std::exchange(m_sent, {}), end);
    std::ranges::for_each(std::exchange(m_waiting, {}), end);
    std::ranges::for_each(std::exchange(m_resting, {}), end);
}

pipeline::interest pipeline::wants() const {
    interest out{.socket = m_connection ? PQsocket(m_connection) : -1, .generation = m_generation};
    const auto by = [&](time when) { out.until = out.until ? std::min(*out.until, when) : when; };
    switch (m_stage) {
        case stage::none:
            if (!m_waiting.empty()) by(m_connect_at);
            break;
        case stage::connecting:
            (m_poll_for_read ? out.read : out.write) = true;
            if (m_connect_until != time::max()) by(m_connect_until);
            break;
        case stage::ready:
            out.read = m_listens || !m_sent.empty();
            out.write = m_unflushed > 0;
            if (!m_sent.empty() && m_options.timeout > 0ms) by(m_head_since + m_options.timeout);
            break;
    }
    for (const std::shared_ptr<pending>& call : m_resting) by(call->m_due);
    return out;
}

}  // namespace chancy::detail
