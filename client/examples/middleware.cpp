// Middleware that writes a line of JSON for each attempt: what a tracer or an error reporter would be told. The attempt is a span of its
// own in the trace that the job came with.
#include <chancy/chancy.hpp>

#include <iostream>
#include <mutex>
#include <thread>

using namespace std::chrono_literals;

class json_lines : public chancy::middleware {
public:
    void before(chancy::job_context& job) override {
        chancy::json line = {{"event", "begin"}, {"func", job.job().func}, {"attempt", job.attempt()}};
        if (const auto from = chancy::trace_context::of(job.job().meta)) {
            const auto mine = from->child();  // the calls for one attempt come from one thread: a member that is thread_local would keep it
            line["trace"] = mine.trace_id(), line["parent"] = from->span_id(), line["new span"] = mine.span_id() != from->span_id();
        }
        write(line);
    }
    void on_error(chancy::job_context& job, const chancy::attempt_end& end) override {
        write({{"event", "error"}, {"func", job.job().func}, {"error", *end.result.error}});
    }
    void after(chancy::job_context& job, const chancy::attempt_end& end) override {
        write({{"event", "end"}, {"func", job.job().func}, {"outcome", to_string(end.result.how)}, {"slow", end.took > 1min}});
    }

private:
    void write(const chancy::json& line) {
        const std::lock_guard lock(m_mutex);  // handlers run on several threads
        std::cout << line.dump() << std::endl;
    }
    std::mutex m_mutex;
};

int main() {
    chancy::worker worker({.queues = {"middleware"}, .log = [](chancy::log_level, const std::string&) {}});
    worker.use(std::make_shared<json_lines>());
    worker.on("flaky", [](chancy::job_context& job) {
        if (!job.last_attempt()) throw chancy::retry_at(0s, "the first try always fails");
    });
    std::thread running([&] { worker.run(); });

    chancy::client db;
    chancy::listener ear;
    const auto id = db.push({.func = "flaky", .queue = "middleware", .max_attempts = 2,
                             .meta = {{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}});
    (void)chancy::wait_for_job(db, ear, id, 1min);
    worker.stop();
    running.join();
}
