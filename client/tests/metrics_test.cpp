#include "support.hpp"

#include <algorithm>

using metrics = test::db_test;
using namespace std::chrono_literals;

namespace {

std::optional<chancy::metric_point> find(const std::vector<chancy::metric_point>& points, const std::string& key) {
    const auto at = std::ranges::find(points, key, &chancy::metric_point::metric_key);
    return at == points.end() ? std::nullopt : std::optional(*at);
}

}  // namespace

TEST_F(metrics, queues_now) {
    db.push({.func = "a.b", .queue = "nowhere"});
    db.push({.func = "a.b", .scheduled_at = chancy::now() + 1h});
    db.push({.func = "a.b"});
    const auto j = claim({.func = "a.c", .priority = 9});
    const auto all = db.queue_stats();
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].queue, "default");
    EXPECT_EQ(all[0].state, "active");
    EXPECT_EQ(all[0].pending, 2);
    EXPECT_EQ(all[0].scheduled, 1);
    EXPECT_EQ(all[0].retrying, 0);
    EXPECT_EQ(all[0].running, 1);
    EXPECT_GE(all[0].oldest_waiting, 0);
    EXPECT_EQ(all[1].queue, "nowhere");
    EXPECT_FALSE(all[1].state);
    EXPECT_EQ(all[1].workers, 0);
    EXPECT_EQ(chancy::json(all[1]).at("pending"), 1);
}

TEST_F(metrics, history_and_values_of_ones_own) {
    const auto j = claim({.func = "a.b"});
    const chancy::update done{.id = j.id, .started_at = *j.started_at};
    db.apply_updates("tester", {&done, 1});
    const chancy::metric own[] = {{.metric_key = "shop:orders", .value = 2}, {.metric_key = "shop:orders", .value = 1.5},
                                  {.metric_key = "shop:time", .value = 4, .type = "histogram"}};
    EXPECT_EQ(db.record_metrics(own), 3);
    EXPECT_TRUE(db.metric_points().empty());
    db.maintain();
    const auto points = db.metric_points({.resolution = "1day"});
    EXPECT_EQ(find(points, "shop:orders")->value, 3.5);
    EXPECT_EQ(find(points, "shop:time")->average, 4);
    EXPECT_EQ(find(points, "shop:time")->metric_type, "histogram");
    EXPECT_FALSE(find(points, "shop:orders")->least);
    EXPECT_EQ(db.metric_points({.prefix = "shop:", .resolution = "1day"}).size(), 2u);
    EXPECT_EQ(db.metric_points({.prefix = "shop:", .resolution = "1day", .up_to = 1}).size(), 1u);
    EXPECT_TRUE(db.metric_points({.resolution = "1day", .since = chancy::now() + 48h}).empty());
    const chancy::metric wrong{.metric_key = "x", .type = "meter"};
    EXPECT_THROW(db.record_metrics({&wrong, 1}), chancy::error);
}
