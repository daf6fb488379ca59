#include "support.hpp"

TEST(value, uuid_reads_what_it_writes) {
    const auto id = chancy::uuid::parse("03F1c2d4-0000-7abc-8def-0123456789ab");
    ASSERT_TRUE(id);
    EXPECT_EQ(id->to_string(), "03f1c2d4-0000-7abc-8def-0123456789ab");
    EXPECT_EQ(chancy::uuid::parse("03f1c2d400007abc8def0123456789ab"), id);
    for (const char* wrong : {"", "03f1c2d4", "03f1c2d4-0000-7abc-8def-0123456789a", "03f1c2d4-0000-7abc-8def-0123456789ag",
                              "03f1c2d40000-7abc-8def-0123456789ab-", "03f1c2d4-0000-7abc-8def-0123456789abc"})
        EXPECT_FALSE(chancy::uuid::parse(wrong)) << wrong;
}

TEST(value, timestamps_are_exact_and_in_utc) {
    using namespace std::chrono;
    const chancy::timestamp when = sys_days(2024y / February / 29) + 23h + 59min + 58s + 7us;
    EXPECT_EQ(chancy::to_string(when), "2024-02-29T23:59:58.000007Z");
    EXPECT_EQ(chancy::to_string(chancy::timestamp::max()), "infinity");
    EXPECT_EQ(chancy::to_string(sys_days(1969y / December / 31) + 1us), "1969-12-31T00:00:00.000001Z");
}

TEST(value, backoff_doubles_up_to_its_limit) {
    using namespace std::chrono_literals;
    chancy::backoff pause({.first = 8ms, .limit = 32ms});
    for (const auto whole : {8ms, 16ms, 32ms, 32ms}) {
        const auto next = pause.next();
        EXPECT_GE(next, whole / 2);
        EXPECT_LE(next, whole);
    }
    pause.reset();
    EXPECT_LE(pause.next(), 8ms);
}

TEST(value, errors_know_whether_to_try_again) {
    const chancy::error deadlock("", {.sqlstate = "40P01"}), refused("", {.sqlstate = "22023"});
    const chancy::error lost("", {.sqlstate = "08006", .connection_lost = true, .in_doubt = true});
    EXPECT_TRUE(deadlock.retryable());
    EXPECT_FALSE(refused.retryable());
    EXPECT_FALSE(lost.retryable());
    EXPECT_TRUE(lost.with_doubt(false).retryable());
}
