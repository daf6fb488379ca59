#include "attempt.hpp"

#include <exception>

namespace chancy::detail {
namespace {

constexpr std::size_t longest_error = 64 * 1024;

std::string names(const handlers& known) {
    std::string out;
    for (const auto& [name, run] : known) out += (out.empty() ? "" : ", ") + name;
    return out.empty() ? "none" : out;
}

// The server's clock in so much time, whatever ours says: counted from the start, which the server told.
timestamp server_time(const attempt& of, std::chrono::milliseconds in) {
    return *of.job.started_at + std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - of.fetched_at) + in;
}

}  // namespace

std::string storable(std::string text) {
    if (text.size() > longest_error) text.erase(0, text.size() - longest_error);
    for (char& c : text)
        if (c == '\0') c = ' ';
    const std::string quoted = json(std::move(text)).dump(-1, ' ', false, json::error_handler_t::replace);
    return json::parse(quoted).get<std::string>();
}

update release(const job& what) { return {.id = what.id, .started_at = *what.started_at, .how = outcome::released}; }

std::optional<std::int64_t> limit_of(const job& of, const char* kind) {
    std::optional<std::int64_t> least;
    for (const json& limit : of.limits) {
        if (!limit.is_object() || limit.value("t", "") != kind || !limit.contains("v") || !limit["v"].is_number()) continue;
        const auto value = limit["v"].get<std::int64_t>();
        if (value > 0 && (!least || value < *least)) least = value;
    }
    return least;
}

std::string time_limit_exceeded(const job& of) {
    return "time limit of " + std::to_string(limit_of(of, "time").value_or(0)) + " s exceeded";
}

ended conclude(const attempt& of, const std::function<std::optional<json>()>& body) {
    ended end{.what = {.id = of.job.id, .started_at = *of.job.started_at}};
    update& out = end.what;
    const auto fail = [&](outcome how, std::string text) {
        out.result.reset();
        if (of.timed_out) {
            how = outcome::failed;
            if (text.find("time limit") == std::string::npos) text = time_limit_exceeded(of.job) + (text == "cancelled" ? "" : "\n" + text);
        } else if (of.stop.stop_requested()) {  // not the job's fault
            out.how = outcome::released;
            return;
        }
        out.how = how;
        out.error = storable(std::move(text));
        end.bytes = out.error->size();
    };
    try {
        out.result = body();
        if (out.result) end.bytes = out.result->dump().size();  // throws here, rather than when the batch is written
    } catch (const snooze& s) {
        out.how = outcome::snoozed;
        out.retry_at = s.in ? server_time(of, *s.in) : s.when;
    } catch (const discard& d) {
        out.how = outcome::discarded;
        out.error = storable(d.reason);
        end.bytes = out.error->size();
    } catch (const retry_at& r) {
        fail(outcome::failed, r.reason);
        if (out.how == outcome::failed) out.retry_at = r.in ? server_time(of, *r.in) : r.when;
    } catch (const cancelled&) {
        fail(outcome::failed, "cancelled");
    } catch (const std::exception& e) {
        fail(outcome::failed, e.what());
    } catch (...) {
        fail(outcome::failed, "an exception that is not a std::exception");
    }
    return end;
}

std::optional<json> call_handler(const handlers& known, const attempt& of, reports* to) {
    const auto found = known.find(of.job.func);
    if (found == known.end())
        throw std::runtime_error("this worker has no handler for \"" + of.job.func + "\"; it knows: " + names(known));
    job_context context(of.job, of.stop.get_token(), of.deadline, to);
    return found->second(context);
}

ended run_handler(const handlers& known, const attempt& of, reports* to) {
    return conclude(of, [&] { return call_handler(known, of, to); });
}

ended run_within(const middlewares& around, const attempt& of, reports* to, const std::function<ended()>& run,
                 const std::function<void(const std::string&)>& complain) {
    if (around.empty()) return run();
    const auto begin = clock::now();
    job_context context(of.job, of.stop.get_token(), of.deadline, to);
    std::size_t entered = 0;
    ended end = conclude(of, [&]() -> std::optional<json> {
        while (entered < around.size()) around[entered++]->before(context);
        return std::nullopt;
    });
    if (end.what.how == outcome::succeeded) end = run();
    const attempt_end seen{end.what, std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - begin)};
    const auto tell = [&](void (middleware::*what)(job_context&, const attempt_end&), const char* name) {
        for (std::size_t i = entered; i-- > 0;) {
            try {
                ((*around[i]).*what)(context, seen);
            } catch (const std::exception& e) {
                complain(std::string("middleware, ") + name + ": " + e.what());
            } catch (...) {
                complain(std::string("middleware, ") + name + ": an exception that is not a std::exception");
            }
        }
    };
    if (end.what.error) tell(&middleware::on_error, "on_error");
    tell(&middleware::after, "after");
    return end;
}

}  // namespace chancy::detail
