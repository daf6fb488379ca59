// What a handler can do: fail and be retried, snooze, discard, notice that it is to stop.
#include <chancy/chancy.hpp>

#include <atomic>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;

int main() {
    chancy::worker worker({.queues = {"handlers"}, .log = [](chancy::log_level, const std::string&) {}});
    std::atomic<int> naps = 0;
    worker.on("flaky", [](chancy::job_context& job) {
        if (job.job().attempts == 0) throw chancy::retry_at(0s, "the first try always fails");
    });
    worker.on("sleepy", [&](chancy::job_context&) {
        if (naps++ == 0) throw chancy::snooze(0s);  // no attempt is used
    });
    worker.on("hopeless", [](chancy::job_context&) { throw chancy::discard("there is no such page"); });
    worker.on("endless", [](chancy::job_context& job) {
        for (;;) {
            job.check_cancelled();
            std::this_thread::sleep_for(1ms);
        }
    });
    std::thread running([&] { worker.run(); });

    chancy::client db;
    chancy::listener ear;
    for (const char* func : {"flaky", "sleepy", "hopeless"}) {
        const auto id = db.push({.func = func, .queue = "handlers", .max_attempts = 3});
        const auto done = chancy::wait_for_job(db, ear, id, 1min);
        std::cout << func << ": " << to_string(done->state) << " after " << done->attempts << " attempts\n";
    }
    const auto id = db.push({.func = "endless", .queue = "handlers"});
    while (db.get_job(id)->state != chancy::job_state::running) std::this_thread::sleep_for(10ms);
    db.cancel_job(id);
    std::cout << "endless: " << to_string(db.get_job(id)->state) << '\n';

    worker.stop();
    running.join();
}
