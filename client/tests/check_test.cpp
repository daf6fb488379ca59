// check_installation, and chancy doctor as a whole program. What the server finds: regress/tests/check.sh.
#include "support.hpp"

#include <algorithm>

namespace {

const std::string doctor = CHANCY_PROGRAM " doctor";

// The findings about this, of a doctor's JSON.
std::vector<chancy::json> about(const std::string& out, const std::string& what) {
    std::vector<chancy::json> found;
    std::istringstream in(out);
    for (std::string line; std::getline(in, line);)
        if (const auto f = chancy::json::parse(line); f.at("finding") == what) found.push_back(f);
    return found;
}

class check : public test::db_test {
protected:
    void TearDown() override { test::sql("DROP TRIGGER IF EXISTS mine ON chancy.cron"); }
};

}  // namespace

TEST_F(check, call) {
    const auto before = chancy::now();
    test::sql("CREATE TRIGGER mine BEFORE INSERT ON chancy.cron EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()");
    const chancy::installation there = db.check_installation();
    EXPECT_EQ(there.library_version, there.extension_version);
    EXPECT_GE(there.server_time, before - std::chrono::hours(1));
    const auto at = std::ranges::find(there.findings, "trigger", &chancy::finding::about);
    ASSERT_NE(at, there.findings.end());
    EXPECT_EQ(at->severity, "warning");
    EXPECT_EQ(at->what, "trigger mine on chancy.cron is not chancy's");
    EXPECT_FALSE(at->hint.empty());
}

TEST_F(check, doctor_tells_and_exits) {
    test::sql("CREATE TRIGGER mine BEFORE INSERT ON chancy.cron EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()");
    const auto json = test::shell(doctor + " --json");
    EXPECT_EQ(json.code, 6) << json.err;
    EXPECT_EQ(about(json.out, "trigger").size(), 1u) << json.out;
    EXPECT_EQ(about(json.out, "clock").size(), 0u) << json.out;
    EXPECT_EQ(about(json.out, "version").size(), 0u) << json.out;
    const auto text = test::shell(doctor);
    EXPECT_NE(text.out.find("warning: trigger: trigger mine on chancy.cron is not chancy's\n    A trigger"), std::string::npos) << text.out;
    EXPECT_EQ(test::shell(doctor + " --long never").code, 2);
}

TEST_F(check, versions_and_clock_of_the_client) {
    test::sql("CREATE SCHEMA other; CREATE FUNCTION other.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT pg_catalog.now() - interval '1 h'$$");
    const auto late = test::shell("PGOPTIONS='-c search_path=other,pg_catalog' " + doctor + " --json");
    test::sql("DROP SCHEMA other CASCADE");
    ASSERT_EQ(about(late.out, "clock").size(), 1u) << late.out << late.err;
    EXPECT_EQ(about(late.out, "clock")[0].at("severity"), "warning");
    EXPECT_EQ(late.code, 6);

    test::sql("UPDATE pg_catalog.pg_extension SET extversion = '0.0' WHERE extname = 'chancy'");
    const auto drift = test::shell(doctor + " --json");
    test::sql("UPDATE pg_catalog.pg_extension SET extversion = chancy.library_version() WHERE extname = 'chancy'");
    EXPECT_EQ(about(drift.out, "version").size(), 3u) << drift.out << drift.err;  // client, library, disk
}

TEST_F(check, nothing_to_ask) {
    const auto away = test::shell(doctor + " -d 'host=/nowhere' --json");
    EXPECT_EQ(away.code, 6) << away.err;
    EXPECT_EQ(about(away.out, "connection").size(), 1u) << away.out;
    const auto bare = test::shell(doctor + " -d " + test::database() + "_bare --json");
    EXPECT_EQ(bare.code, 6) << bare.err;
    EXPECT_EQ(about(bare.out, "version").size(), 1u) << bare.out;
    test::sql("DROP ROLE IF EXISTS check_nobody; CREATE ROLE check_nobody LOGIN");
    const auto nobody = test::shell(doctor + " -d 'user=check_nobody dbname=" + test::database() + "' --json");
    test::sql("DROP ROLE check_nobody");
    EXPECT_EQ(nobody.code, 6) << nobody.err;
    EXPECT_EQ(about(nobody.out, "grants").size(), 1u) << nobody.out;
}
