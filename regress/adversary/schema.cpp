#include "schema.hpp"

namespace adversary {

namespace {

constexpr const char* book = R"sql(
CREATE EXTENSION chancy;
CREATE SCHEMA adv;

-- The application's own: rows and advisory locks are taken in ascending order of their numbers.
CREATE TABLE adv.account (n int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE adv.orders (tx bigint, key text, queue text);
CREATE UNLOGGED TABLE adv.invoices (tx bigint, key text, queue text);

-- The book. reserved: the id is the job's only if the push created it.
CREATE UNLOGGED TABLE adv.pushed (
    tx bigint, id uuid, key text, queue text, reserved boolean, created boolean, began timestamptz DEFAULT now(),
    mode text);  -- on_conflict, if the push is of this row's transaction
CREATE INDEX ON adv.pushed (tx);
CREATE UNLOGGED TABLE adv.decided (
    tx bigint, reserved uuid, id uuid, created boolean, key text, began timestamptz, ended timestamptz DEFAULT clock_timestamp());
CREATE UNLOGGED TABLE adv.withdrawn (tx bigint, id uuid);
CREATE UNLOGGED TABLE adv.undone (tx bigint, id uuid);
CREATE UNLOGGED TABLE adv.claimed (tx bigint, id uuid, started_at timestamptz, worker text);
CREATE UNLOGGED TABLE adv.applied (tx bigint, id uuid, started_at timestamptz, outcome text, worker text);

CREATE FUNCTION adv.push_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO adv.pushed (tx, id, key, queue, reserved)
    VALUES (NEW.tx, chancy.push('adv.row', queue => NEW.queue, unique_key => NEW.key), NEW.key, NEW.queue, true);
    RETURN NULL;
END $$;
CREATE TRIGGER push_row AFTER INSERT ON adv.orders FOR EACH ROW EXECUTE FUNCTION adv.push_row();
CREATE CONSTRAINT TRIGGER push_row AFTER INSERT ON adv.invoices DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION adv.push_row();

CREATE FUNCTION adv.mixed(tx bigint, key text, first int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO adv.pushed (tx, id, key, queue, reserved) VALUES (tx, chancy.push('adv.mixed', unique_key => key), key, 'default', true);
    FOR i IN first .. first + 2 LOOP
        UPDATE adv.account SET balance = balance + 1 WHERE n = i;
    END LOOP;
END $$;

-- Each COMMIT in a procedure flushes.
CREATE PROCEDURE adv.steps(tx bigint, keys text[], queue text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(keys) LOOP
        INSERT INTO adv.pushed (tx, id, key, queue, reserved)
        VALUES (steps.tx, chancy.push('adv.step', queue => steps.queue, unique_key => keys[i]), keys[i], steps.queue, true);
        COMMIT;
    END LOOP;
END $$;

SELECT chancy.declare_queue('q0');
SELECT chancy.declare_queue('q1');
SELECT chancy.declare_queue('limited', rate_limit => 200, rate_limit_window => 1);
SELECT chancy.declare_queue('brief');
SELECT chancy.declare_queue('few', max_running => 4, max_running_per_key => 2);
-- Ticks every second: of a key of their own, of keys that everybody pushes, and without a key.
SELECT chancy.schedule_cron('own', '* * * * * *', '{"func": "adv.tick", "queue": "q1"}', overlap => true, missed => 'all up to 5', grace => '2 s');
SELECT chancy.schedule_cron('keep', '* * * * * *', '{"func": "adv.tick", "queue": "q0", "unique_key": "k10"}');
SELECT chancy.schedule_cron('rerun', '* * * * * *', '{"func": "adv.tick", "queue": "q0", "unique_key": "k11", "on_conflict": "rerun"}');
-- maintain() has something to do all the time; the book forgives what is deleted of "brief".
INSERT INTO chancy.tasks (name, every, settings) VALUES ('recovery', '1 s', '{"grace": 2, "max_recoveries": 2}'),
    ('pruner', '1 s', '{"rule": {"queue": "brief"}}'), ('workers', '1 s', '{"keep": 60}'), ('next_runs', '1 s', '{}');
)sql";

}  // namespace

std::string parameters(const options& o, const std::string& name) {
    return "dbname=" + o.database + " application_name=" + name +
           " options='-c chancy.flush_timeout=" + std::to_string(o.bound) + "s -c synchronous_commit=off'";
}

void create_database(const options& o) {
    connection outer("dbname=postgres application_name=adversary");
    outer.need("CREATE DATABASE " + o.database);
    connection inner(parameters(o, "adversary"));
    inner.need(book);
    inner.need("INSERT INTO adv.account (n) SELECT generate_series(1, " + std::to_string(o.rows) + ")");
    if (o.seed % 2 == 0) inner.need("INSERT INTO chancy.tasks (name, enabled) VALUES ('workflows', false)");
    inner.run("CREATE EXTENSION amcheck");  // where it is installed
}

void drop_database(const options& o) {
    connection outer("dbname=postgres application_name=adversary");
    answer left = outer.run("SELECT gid FROM pg_prepared_xacts WHERE database = '" + o.database + "'");
    if (!left.rows.empty()) {
        connection inner(parameters(o, "adversary"));
        for (const auto& row : left.rows) inner.run("ROLLBACK PREPARED '" + row[0] + "'");
    }
    outer.run("DROP DATABASE IF EXISTS " + o.database + " WITH (FORCE)");
}

}  // namespace adversary
