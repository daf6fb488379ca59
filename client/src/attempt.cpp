#include "attempt.hpp"

#include <algorithm>
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

// A throw is every job's; but where some are asked to stop, and it leaves because of that, the others are only given back.
void run_batch(const batch_handler& run, attempts of, const call_within& within, std::vector<ended>& out) {
    std::vector<batch_job> jobs;
    jobs.reserve(of.size());
    for (const attempt* a : of) jobs.emplace_back(a->job, a->stop.get_token(), a->deadline, a->to);
    batch all(std::move(jobs));
    std::exception_ptr thrown;
    bool leaves = false;
    try {
        within([&] { run(all); });
    } catch (const cancelled&) {
        thrown = std::current_exception();
        leaves = std::ranges::any_of(of, [](const attempt* a) { return a->stop.stop_requested(); });
    } catch (...) {
        thrown = std::current_exception();
    }
    for (std::size_t i = 0; i < of.size(); ++i) {
        if (leaves && !of[i]->stop.stop_requested()) {
            out.push_back({.what = release(of[i]->job)});
            continue;
        }
        out.push_back(conclude(*of[i], [&] {
            if (thrown) std::rethrow_exception(thrown);
            return all[i].answer();
        }));
    }
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

std::vector<ended> run_handler(const handlers& known, attempts of, const call_within& within) {
    const auto found = known.find(of[0]->job.func);
    std::vector<ended> out;
    if (found != known.end() && found->second.many) {
        run_batch(found->second.many, of, within, out);
        return out;
    }
    out.push_back(conclude(*of[0], [&] {
        if (found == known.end())
            throw std::runtime_error("this worker has no handler for \"" + of[0]->job.func + "\"; it knows: " + names(known));
        job_context context(of[0]->job, of[0]->stop.get_token(), of[0]->deadline, of[0]->to);
        std::optional<json> result;
        within([&] { result = found->second.one(context); });
        return result;
    }));
    return out;
}

std::vector<ended> run_within(const middlewares& around, attempts of, const std::function<std::vector<ended>(attempts)>& run,
                              const std::function<void(const std::string&)>& complain) {
    if (around.empty()) return run(of);
    const auto begin = clock::now();
    std::vector<ended> out;
    std::vector<std::size_t> entered(of.size(), 0);
    std::vector<attempt*> left;
    for (std::size_t i = 0; i < of.size(); ++i) {
        job_context context(of[i]->job, of[i]->stop.get_token(), of[i]->deadline, of[i]->to);
        out.push_back(conclude(*of[i], [&]() -> std::optional<json> {
            while (entered[i] < around.size()) around[entered[i]++]->before(context);
            return std::nullopt;
        }));
        if (out[i].what.how == outcome::succeeded) left.push_back(of[i]);
    }
    if (!left.empty()) {
        std::vector<ended> ends = run(left);
        auto next = ends.begin();
        for (std::size_t i = 0; i < of.size(); ++i)
            if (out[i].what.how == outcome::succeeded) out[i] = std::move(*next++);
    }
    for (std::size_t i = 0; i < of.size(); ++i) {
        job_context context(of[i]->job, of[i]->stop.get_token(), of[i]->deadline, of[i]->to);
        const attempt_end seen{out[i].what, std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - begin)};
        const auto tell = [&](void (middleware::*what)(job_context&, const attempt_end&), const char* name) {
            for (std::size_t m = entered[i]; m-- > 0;) {
                try {
                    ((*around[m]).*what)(context, seen);
                } catch (const std::exception& e) {
                    complain(std::string("middleware, ") + name + ": " + e.what());
                } catch (...) {
                    complain(std::string("middleware, ") + name + ": an exception that is not a std::exception");
                }
            }
        };
        if (out[i].what.error) tell(&middleware::on_error, "on_error");
        tell(&middleware::after, "after");
    }
    return out;
}

}  // namespace chancy::detail
