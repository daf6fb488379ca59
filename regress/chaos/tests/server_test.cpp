// A server whose postmaster is killed: what it leaves behind keeps its files until it is gone.
#include "process.hpp"
#include "server.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>

using namespace chaos;
using namespace std::chrono_literals;

TEST(server, files_stay_while_a_process_outlives_the_postmaster) {
    const std::string folder = make_folder(), data = folder + "/primary";
    {
        server one(folder, "primary");
        one.create("fsync = off\n");
        one.start();
        const pid_t writer = std::stoi(one.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'").at(0));
        ::kill(writer, SIGSTOP);
        one.stop(server::stop_mode::kill);
        const auto removed = std::async(std::launch::async, [&] { one.remove_data(); });
        EXPECT_EQ(removed.wait_for(500ms), std::future_status::timeout);
        EXPECT_TRUE(std::filesystem::exists(data + "/pg_wal"));
        ::kill(writer, SIGCONT);
        removed.wait();
        EXPECT_FALSE(std::filesystem::exists(data));
    }
    std::filesystem::remove_all(folder);
}
