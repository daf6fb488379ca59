// Statements are kept prepared, and what a pooler in transaction mode makes of that.
#include "support.hpp"

#include <libpq-fe.h>

#include <chancy/future.hpp>

#include <memory>
#include <set>

namespace {

class prepared : public test::db_test {
protected:
    std::string own(const char* sql) {
        const std::unique_ptr<PGresult, decltype(&PQclear)> r(PQexec(db.connection(), sql), PQclear);
        EXPECT_TRUE(PQresultStatus(r.get()) == PGRES_TUPLES_OK || PQresultStatus(r.get()) == PGRES_COMMAND_OK) << PQresultErrorMessage(r.get());
        return PQntuples(r.get()) > 0 ? PQgetvalue(r.get(), 0, 0) : "";
    }
    std::string known() { return own("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'chancy\\_%'"); }
    static std::string pushed() { return test::sql("SELECT count(*) FROM chancy.jobs").at(0); }
};

}  // namespace

TEST_F(prepared, from_the_second_call_on) {
    db.push({.func = "a"});
    EXPECT_EQ(known(), "0");
    for (int i = 0; i < 3; ++i) db.push({.func = "a"});
    EXPECT_EQ(known(), "1");
    EXPECT_EQ(own("SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE name LIKE 'chancy%'"), "3");
    EXPECT_EQ(own("SELECT count(*) FROM pg_listening_channels()"), "0");  // and that is all the session keeps
    EXPECT_EQ(pushed(), "4");
}

TEST_F(prepared, a_server_that_has_forgotten_it_costs_nothing) {
    for (int i = 0; i < 3; ++i) db.push({.func = "a"});
    own("DEALLOCATE ALL");
    for (int i = 0; i < 3; ++i) db.push({.func = "a"});
    EXPECT_EQ(pushed(), "6");
    EXPECT_EQ(known(), "0");  // what has happened once, happens again
}

TEST_F(prepared, a_server_that_has_one_of_the_name_costs_nothing) {
    for (int i = 0; i < 2; ++i) db.push({.func = "a"});
    const std::string name = own("SELECT name FROM pg_prepared_statements WHERE name LIKE 'chancy%'");
    chancy::client other("");
    other.push({.func = "a"});
    PQclear(PQexec(other.connection(), ("PREPARE " + name + " AS SELECT 1").c_str()));
    for (int i = 0; i < 2; ++i) other.push({.func = "a"});
    EXPECT_EQ(pushed(), "5");
}

TEST_F(prepared, in_a_transaction_block_the_text_is_sent) {
    for (int i = 0; i < 3; ++i) db.push({.func = "a"});
    {
        chancy::transaction tx(db);
        PQclear(PQexec(tx.connection(), "DEALLOCATE ALL"));
        tx.push({.func = "a"});
        tx.commit();
    }
    own("BEGIN");
    db.push({.func = "a"});
    own("COMMIT");
    EXPECT_EQ(pushed(), "5");
}

TEST_F(prepared, another_connection_begins_anew) {
    for (int i = 0; i < 3; ++i) db.push({.func = "a", .unique_key = std::to_string(i)});
    test::sql("SELECT pg_terminate_backend(" + std::to_string(PQbackendPID(db.connection())) + ", 10000)");
    for (int i = 3; i < 6; ++i) db.push({.func = "a", .unique_key = std::to_string(i)});
    EXPECT_EQ(pushed(), "6");
    EXPECT_EQ(known(), "1");
}

TEST_F(prepared, many_calls_in_flight_share_one) {
    chancy::future_client many("");
    std::vector<std::future<chancy::uuid>> told;
    for (int i = 0; i < 200; ++i) told.push_back(many.push({.func = "a"}));
    std::set<chancy::uuid> ids;
    for (auto& t : told) ids.insert(t.get());
    EXPECT_EQ(ids.size(), 200u);
    EXPECT_EQ(pushed(), "200");
    // What a call of the pipeline throws before it is sent harms none behind it.
    auto bad = many.push({.func = std::string("\0", 1)});
    auto good = many.push({.func = "a"});
    EXPECT_THROW(bad.get(), chancy::error);
    EXPECT_NO_THROW(good.get());
}
