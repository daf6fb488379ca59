// A row of the application's and its job: both, or neither. The connection is the application's own.
#include <chancy/chancy.hpp>

#include <libpq-fe.h>

#include <iostream>

int main() {
    PGconn* conn = PQconnectdb("");
    if (PQstatus(conn) != CONNECTION_OK) return 1;
    const auto sql = [&](const char* text) { PQclear(PQexec(conn, text)); };
    sql("CREATE TEMPORARY TABLE orders (id int)");

    chancy::session queue(conn);
    sql("BEGIN");
    sql("INSERT INTO orders VALUES (1)");
    queue.push({.func = "order.confirm", .kwargs = {{"order", 1}}, .queue = "orders"});
    sql("ROLLBACK");  // the customer left

    sql("BEGIN");
    sql("INSERT INTO orders VALUES (2)");
    queue.push({.func = "order.confirm", .kwargs = {{"order", 2}}, .queue = "orders"});
    sql("COMMIT");

    for (const chancy::job& j : queue.list_jobs({.queue = "orders"})) std::cout << j.func << ' ' << j.kwargs.dump() << '\n';
    PQfinish(conn);
}
