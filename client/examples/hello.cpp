// Push a job, run it, and look at its result.
#include <chancy/chancy.hpp>

#include <iostream>
#include <thread>

int main() {
    chancy::client db;  // PGHOST, PGDATABASE, …

    chancy::worker worker({.queues = {"hello"}});
    worker.on("greet", [](chancy::job_context& job) {
        return chancy::json{{"greeting", "Hello, " + job.kwargs().at("name").get<std::string>() + "!"}};
    });
    std::thread running([&] { worker.run(); });

    const auto id = db.push({.func = "greet", .kwargs = {{"name", "world"}}, .queue = "hello"});
    chancy::listener ear;
    const auto done = chancy::wait_for_job(db, ear, id, std::chrono::minutes(1));

    worker.stop();
    running.join();
    std::cout << done->result->at("greeting").get<std::string>() << '\n';
}
