// The worker's side of a child: gives it a job, passes on what it reports, stops it in time, and tells how it ended.
#include "frame.hpp"
#include "nursery.hpp"
#include "runner.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace chancy::detail {
namespace {

using namespace std::chrono_literals;

constexpr auto never = clock::time_point::max();

// From SIGTERM to SIGKILL: it ends before the heartbeat does that was not renewed for two thirds of its time.
std::chrono::milliseconds patience(const worker_options& o) { return std::min<std::chrono::milliseconds>(5s, o.heartbeat_timeout / 4); }

class child_runner : public runner {
public:
    child_runner(int jobs_per_child, std::shared_ptr<const shared> with)
        : m_jobs_per_child(jobs_per_child), m_shared(std::move(with)), m_nursery(m_shared->children) {}
    ~child_runner() override { dismiss(); }

    std::vector<ended> run(attempts of) override {
        if (!begin(of)) return all(of, [](const attempt& a) { return ended{.what = release(a.job)}; });
        m_asked = false;
        // It is asked to stop when all of its jobs are: one that was cancelled in a batch is cancelled, whatever becomes of it here.
        const descriptor wish(::eventfd(0, EFD_CLOEXEC));
        std::atomic<std::size_t> wanted = of.size();
        const auto one_less = [&] { if (--wanted == 0) ::eventfd_write(wish.get(), 1); };
        std::deque<std::stop_callback<decltype(one_less)>> asks;
        for (attempt* a : of) asks.emplace_back(a->stop.get_token(), one_less);
        std::optional<std::vector<ended>> end;
        auto until = never;
        for (const attempt* a : of) until = std::min(until, a->deadline.value_or(never));
        while (!end) {
            const auto left = until == never ? 3'600'000 : std::max<long long>(0, std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count());
            pollfd p[] = {{m_child.socket.get(), static_cast<short>(POLLIN | (m_out.empty() ? 0 : POLLOUT)), 0},
                          {m_asked ? -1 : wish.get(), POLLIN, 0}};
            if (::poll(p, 2, static_cast<int>(std::min(left, 3'600'000ll))) < 0) continue;
            if ((p[0].revents & POLLOUT) != 0) write();
            if ((p[0].revents & ~POLLOUT) != 0) end = read(of);
            if (end) break;
            if (const auto now = clock::now(); now >= until) {
                if (m_asked) return crash(of);
                for (attempt* a : of)
                    if (a->deadline && now >= *a->deadline) a->timed_out = true;
            } else if (p[1].revents == 0) {
                continue;
            }
            m_asked = true;
            until = clock::now() + patience(m_shared->options);
            for (attempt* a : of) a->stop.request_stop();
            try {
                m_nursery->ask_to_stop(m_child.pid);
            } catch (const std::exception&) {  // then it has ended, and we shall read so
            }
        }
        // A child that was asked to stop may be asked a moment too late, in its next job.
        m_jobs += static_cast<int>(of.size());
        if (m_child.pid >= 0 && (m_asked || (m_jobs_per_child > 0 && m_jobs >= m_jobs_per_child))) dismiss();
        return std::move(*end);
    }

private:
    template <class F>
    static std::vector<ended> all(attempts of, F end) {
        std::vector<ended> out;
        for (const attempt* a : of) out.push_back(end(*a));
        return out;
    }

    bool begin(attempts of) {
        try {
            char none;
            if (m_child.pid >= 0 && ::recv(m_child.socket.get(), &none, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) dismiss();  // it ended while it had no job
            if (m_child.pid < 0) {
                m_child = m_nursery->fork_child();
                m_jobs = 0;
                m_in = {};
            }
            json jobs = json::array();
            for (const attempt* a : of) {
                jobs.push_back({{"job", pack(a->job)}});
                if (a->deadline) jobs.back()["microseconds"] = std::chrono::duration_cast<std::chrono::microseconds>(*a->deadline - clock::now()).count();
            }
            m_out = frame({{"jobs", std::move(jobs)}});
            write();
            return true;
        } catch (const std::exception& e) {
            m_shared->log(log_level::error, std::string(e.what()) + "; job " + of[0]->job.id.to_string() + " is given back");
            if (m_nursery->gone()) m_shared->give_up(e.what());
            std::this_thread::sleep_for(1s);  // no storm: there may be too many processes for a while
            return false;
        }
    }

    void write() {
        const ssize_t n = ::send(m_child.socket.get(), m_out.data(), m_out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) m_out.erase(0, static_cast<std::size_t>(n));
        else if (n < 0 && errno != EAGAIN && errno != EINTR) m_out.clear();  // it has ended, and we shall read so
    }

    std::optional<std::vector<ended>> read(attempts of) {
        char bytes[65536];
        const ssize_t n = ::recv(m_child.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
        if (n <= 0) return crash(of);
        m_in.add({bytes, static_cast<std::size_t>(n)});
        try {
            while (auto said = m_in.next()) {
                if (said->contains("end")) return conclude_with(of, said->at("end"));
                if (said->contains("progress")) {
                    const json& told = (*said)["progress"];
                    progress p;
                    if (told.contains("percent")) p.percent = told["percent"].get<double>();
                    if (told.contains("message")) p.message = told["message"].get<std::string>();
                    if (told.contains("checkpoint")) p.checkpoint = told["checkpoint"];
                    if (reports* to = of[index(of, told.at("of"))]->to) to->report(std::move(p));
                }
                if (said->contains("load")) {
                    reports* to = of[index(of, said->at("load"))]->to;
                    answer([&] {
                        const auto state = to ? to->checkpoint() : std::nullopt;
                        return state ? json::array({*state}) : json::array();
                    });
                }
                if (said->contains("steps")) {
                    reports* to = of[index(of, said->at("steps"))]->to;
                    answer([&] { return to ? json(to->step_results()) : json::array(); });
                }
            }
        } catch (const std::exception&) {  // it writes nonsense: memory that was overwritten
            return crash(of);
        }
        return std::nullopt;
    }

    // What the handler asked for, or why it does not come: what the handler would have had thrown on a thread.
    template <class F>
    void answer(F wanted) {
        json out;
        try {
            out["is"] = wanted();
        } catch (const cancelled&) {
            out["cancelled"] = true;
        } catch (const std::exception& e) {
            out["error"] = e.what();
        }
        m_out += frame(out);
        write();
    }

    static std::size_t index(attempts of, const json& said) {
        const auto i = said.get<std::size_t>();
        if (i >= of.size()) throw std::runtime_error("no such job");
        return i;
    }

    std::vector<ended> conclude_with(attempts of, const json& said) {
        if (said.size() != of.size()) throw std::runtime_error("not of these jobs");
        auto packed = said.begin();
        return all(of, [&](const attempt& a) {
            ended end{.what = unpack_update(*packed, a.job)};
            // It left because of our answer, before it was asked to stop itself.
            if (end.what.how == outcome::failed && end.what.error == "cancelled" && a.stop.stop_requested()) end.what = release(a.job);
            if (end.what.how == outcome::released && a.timed_out) {
                end.what.how = outcome::failed;
                end.what.error = time_limit_exceeded(a.job);
            }
            if (end.what.error) end.bytes = end.what.error->size();
            if (end.what.result) end.bytes = packed->at("result").dump().size();
            ++packed;
            return end;
        });
    }

    // The child is no more, or is killed now.
    std::vector<ended> crash(attempts of) {
        std::string how = "the child process was lost";
        bool ours = m_asked;
        try {
            const int status = m_nursery->end(m_child.pid);
            if (WIFSIGNALED(status)) how = "the child process was killed by signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
            else how = "the child process exited, with status " + std::to_string(WEXITSTATUS(status));
        } catch (const std::exception&) {
            ours = true;  // with the process that forks them, all children have ended
        }
        m_child = nursery::child();
        return all(of, [&](const attempt& a) -> ended {
            if (ours && !a.timed_out) return {.what = release(a.job)};
            std::string text = how;
            if (const auto bytes = limit_of(a.job, "memory")) text += "; it had a memory limit of " + std::to_string(*bytes) + " bytes";
            if (a.timed_out) text = time_limit_exceeded(a.job) + "; " + text;
            return {.what = {.id = a.job.id, .started_at = *a.job.started_at, .how = outcome::failed, .error = text}, .bytes = text.size()};
        });
    }

    void dismiss() {
        if (m_child.pid < 0) return;
        try {
            (void)m_nursery->end(m_child.pid);
        } catch (const std::exception&) {  // then all of them have ended
        }
        m_child = nursery::child();
    }

    const int m_jobs_per_child;
    const std::shared_ptr<const shared> m_shared;
    const std::shared_ptr<nursery> m_nursery;
    nursery::child m_child;
    int m_jobs = 0;
    bool m_asked = false;
    std::string m_out;
    frames m_in;
};

}  // namespace

std::unique_ptr<runner> make_child_runner(int jobs_per_child, std::shared_ptr<const shared> with) {
    return std::make_unique<child_runner>(jobs_per_child, std::move(with));
}

}  // namespace chancy::detail
