#include "attempt.hpp"

#include <exception>

namespace chancy::detail {
namespace {

constexpr std::size_t longest_error = 64 * 1024;

// Text that any PostgreSQL in UTF-8 takes: no NUL, no broken UTF-8, and not endless (the end tells most).
std::string storable(std::string text) {
    if (text.size() > longest_error) text.erase(0, text.size() - longest_error);
    for (char& c : text)
        if (c == '\0') c = ' ';
    const std::string quoted = json(std::move(text)).dump(-1, ' ', false, json::error_handler_t::replace);
    return json::parse(quoted).get<std::string>();
}

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

update release(const job& what) { return {.id = what.id, .started_at = *what.started_at, .how = outcome::released}; }

ended run_handler(const handlers& known, const attempt& of) {
    ended end{.what = {.id = of.job.id, .started_at = *of.job.started_at}};
    update& out = end.what;
    const auto fail = [&](outcome how, std::string text) {
        out.result.reset();
        if (of.stop.stop_requested()) {  // not the job's fault
            out.how = outcome::released;
            return;
        }
        out.how = how;
        out.error = storable(std::move(text));
        end.bytes = out.error->size();
    };
    const auto found = known.find(of.job.func);
    if (found == known.end()) {
        fail(outcome::failed, "this worker has no handler for \"" + of.job.func + "\"; it knows: " + names(known));
        return end;
    }
    try {
        job_context context(of.job, of.stop.get_token());
        out.result = found->second(context);
        if (out.result) end.bytes = out.result->dump().size();  // throws here, rather than when the batch is written
    } catch (const snooze& s) {
        out.how = outcome::snoozed;
        out.retry_at = s.in ? server_time(of, *s.in) : s.when;
    } catch (const discard& d) {
        out.how = outcome::discarded;
        out.error = storable(d.reason);
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

}  // namespace chancy::detail
