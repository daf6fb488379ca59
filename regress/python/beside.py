#!/usr/bin/python3
"""Python clients and workers beside ours, on one queue: real connections, and statements of the kind that Chancy 0.25
sends, with the faults that it has. Needs a server (PG*), the extension installed, and CHANCY_PROGRAM.

    order   the backlog of both sides is fetched in one order by both
    journey an installation in Chancy's layout, with a job in every state, is adopted under Python's hands, worked on by
            both sides, and given back
    load    pushers, workers and listeners of both sides at once, a Python worker that dies and reports late, cancels;
            afterwards nothing is lost, no key was live twice, no stale result was kept
"""
import datetime
import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time

import psycopg
from psycopg.types.json import Json, Jsonb

DATABASE, ROLE = "python_beside", "python_beside"
LAYOUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sql", "include", "upstream.sql")
PATIENCE = 120  # seconds; bounds a failure only
CLEAR = datetime.timedelta(seconds=90)


def python_id():
    return f"{(time.time_ns() // 100 & (1 << 56) - 1) << 68 | 7 << 64 | 2 << 62 | secrets.randbits(62):032x}"


class Python:
    """A Chancy client: its connection, and what it sends. The role's search_path is all that is set."""

    def __init__(self, name="client", prefix="", role=ROLE):
        self.name, self.prefix = name, prefix
        self.connection = psycopg.connect(dbname=DATABASE, user=role, autocommit=True)

    def run(self, statement, parameters=None):
        return self.connection.execute(statement.replace("~", self.prefix), parameters)

    def start(self):
        """As each worker does before anything else."""
        self.run("CREATE TABLE IF NOT EXISTS ~schema_version (version_of varchar(255) PRIMARY KEY, version int)")
        for part, version in (("chancy", 6), ("cron", 2), ("workflow", 2), ("metrics", 1)):
            found = self.run("SELECT version FROM ~schema_version WHERE version_of = %s", [part]).fetchone()
            assert found == (version,), f"Python would migrate {part}: {found}"
        return self

    def notify(self, event, **body):
        self.run("SELECT pg_notify('~events', %s)", [json.dumps({"t": event, **body})])

    def declare(self, queue):
        self.run(
            "INSERT INTO ~queues (name, state, concurrency, tags, executor, executor_options, polling_interval, rate_limit,"
            " rate_limit_window, resume_at, eager_polling) VALUES (%s, 'active', 4, '{.*}', 'chancy.executors.process.ProcessExecutor',"
            " '{}', 5, NULL, NULL, NULL, false) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING state", [queue])
        self.notify("queue.declared", q=queue)

    def push_many(self, jobs):
        """One transaction, row by row, in the order of the list. Duplicates touch the live row."""
        ids = []
        with self.connection.transaction():
            for job in jobs:
                ids.append(self.run(
                    "INSERT INTO ~jobs (id, queue, func, kwargs, limits, meta, priority, max_attempts, scheduled_at, unique_key)"
                    " VALUES (%(id)s, 'default', 'py.job', %(kwargs)s, '[]', '{}', %(priority)s, %(max_attempts)s, %(at)s, %(key)s)"
                    " ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed')"
                    " DO UPDATE SET state = ~jobs.state RETURNING id",
                    {"id": python_id(), "kwargs": Json({}), "priority": job.get("priority", 0), "max_attempts": job.get("max_attempts", 1),
                     "at": datetime.datetime.now(datetime.timezone.utc) - job.get("ago", datetime.timedelta()), "key": job.get("key")}).fetchone()[0])
            self.notify("queue.pushed", q="default")
        return ids

    def fetch(self, up_to):
        with self.connection.transaction():
            rows = self.run(
                "WITH chosen AS (SELECT id FROM ~jobs WHERE queue = 'default' AND (state = 'pending' OR state = 'retrying')"
                " AND attempts < max_attempts AND (scheduled_at IS NULL OR scheduled_at <= now())"
                " ORDER BY priority DESC, id ASC LIMIT %s FOR UPDATE OF ~jobs SKIP LOCKED)"
                " UPDATE ~jobs SET started_at = now(), state = 'running', taken_by = %s FROM chosen WHERE ~jobs.id = chosen.id"
                " RETURNING ~jobs.id, started_at, scheduled_at, attempts, errors, meta, max_attempts, priority", [up_to, self.name]).fetchall()
        names = "id started_at scheduled_at attempts errors meta max_attempts priority".split()
        return [dict(zip(names, row)) for row in rows]

    def write_results(self, jobs, fail=lambda job: False):
        """All that the worker knows of its jobs, over their rows, in order of arrival."""
        results = []
        for job in jobs:
            failed = fail(job)
            over = not failed or job["attempts"] + 1 >= job["max_attempts"]
            errors = job["errors"] + [{"attempt": job["attempts"], "traceback": f"by {self.name}"}] if failed else job["errors"]
            results.append({"id": job["id"], "state": "succeeded" if not failed else "failed" if over else "retrying",
                            "started_at": job["started_at"], "completed_at": datetime.datetime.now(datetime.timezone.utc) if over else None,
                            "scheduled_at": job["scheduled_at"], "attempts": job["attempts"] + 1, "errors": Json(errors),
                            "meta": Json({**job["meta"], "by": self.name}), "max_attempts": job["max_attempts"]})
        with self.connection.transaction():
            self.connection.cursor().executemany(
                "UPDATE ~jobs SET state = %(state)s, started_at = %(started_at)s, completed_at = %(completed_at)s, scheduled_at = %(scheduled_at)s,"
                " attempts = %(attempts)s, errors = %(errors)s, meta = %(meta)s, max_attempts = %(max_attempts)s WHERE id = %(id)s"
                .replace("~", self.prefix), results)

    def announce(self, timeout=90):
        with self.connection.transaction():
            self.run("DELETE FROM ~workers WHERE expires_at < now()")
            self.run(
                "INSERT INTO ~workers (worker_id, last_seen, expires_at, tags, queues) VALUES (%s, now(), now() + %s, '{*}', '{default}')"
                " ON CONFLICT (worker_id) DO UPDATE SET last_seen = now(), expires_at = EXCLUDED.expires_at", [self.name, datetime.timedelta(seconds=timeout)])
            self.notify("worker.announced", worker_id=self.name)

    def recover(self):
        """Chancy's recovery: whatever runs and has no worker that was seen lately."""
        return self.run(
            "UPDATE ~jobs j SET state = 'pending', taken_by = NULL, started_at = NULL, max_attempts = max_attempts + 1"
            " WHERE NOT EXISTS (SELECT FROM ~workers w WHERE w.worker_id = j.taken_by AND w.last_seen >= now() - interval '90 s') AND state = 'running'").rowcount


def sql(statement, parameters=None, database=DATABASE):
    with psycopg.connect(dbname=database, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def insist(call):
    """Chancy's own statements can deadlock with anybody, themselves included: outside the promise. Again, then."""
    while True:
        try:
            return call()
        except psycopg.errors.DeadlockDetected:
            deadlocks.append(1)


deadlocks = []


# ---- order

def order():
    python = Python("py").start()
    python.declare("default")
    rng = random.Random(17)
    for _ in range(20):
        python.push_many([{"priority": rng.randrange(3)} for _ in range(2)])
        sql("SELECT count(*) FROM chancy.push_many(%s)", [Jsonb([{"func": "our.job", "priority": rng.randrange(3)} for _ in range(2)])])
    wanted = [row[0] for row in sql("SELECT id FROM chancy.jobs ORDER BY priority DESC, id")]
    assert len(wanted) == 80
    got = []
    while len(got) < 80:
        if rng.randrange(2):
            # An UPDATE returns its rows in no order: within a batch Python sorts for itself.
            batch = python.fetch(3)
            got += [job["id"] for job in sorted(batch, key=lambda job: (-job["priority"], job["id"]))]
        else:
            got += [row[0] for row in sql("SELECT id FROM chancy.fetch_jobs('default', 'our', 3)")]
    assert got == wanted, "the two sides fetch in two orders"
    # A key that lives on one side is met by the other, and has one job.
    first = python.push_many([{"key": "k"}])[0]
    assert sql("SELECT chancy.push('our.job', unique_key => 'k')") == [(first,)]
    second = sql("SELECT chancy.push('our.job', unique_key => 'l')")[0][0]
    assert python.push_many([{"key": "l"}]) == [second]
    sql("DELETE FROM chancy.jobs")


# ---- journey

def command(*arguments):
    done = subprocess.run([os.environ["CHANCY_PROGRAM"], "-d", f"dbname={DATABASE}", *arguments], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def gone(call):
    try:
        call()
    except psycopg.errors.UndefinedTable:
        return True
    return False


def journey():
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, "-v", "schema=public", "-v", "prefix=chancy_", "-f", LAYOUT],
                   check=True, stdout=subprocess.DEVNULL)
    old = Python("py0", prefix="chancy_", role=None).start()
    old.push_many([{"key": "mine"}, {}])
    running = old.fetch(1)
    everything = {row[0] for row in sql("SELECT id FROM public.chancy_jobs")}
    command("adopt", "--batch", "2")
    # Whoever has not heard of it is told.
    assert gone(lambda: old.push_many([{}])) and gone(lambda: old.fetch(1)) and gone(lambda: old.write_results(running))
    command("interop", "enable", "--role", ROLE)
    assert everything == {row[0] for row in sql("SELECT id FROM chancy.jobs")}
    # Both sides go on. A worker that is gone, and what it ran, is recovered by Python here; it reports all the same.
    new = Python("py7").start()
    new.announce()
    assert new.recover() == 2
    new.write_results(running)
    for _ in range(2):
        new.write_results(new.fetch(2))
    ours = [{"id": str(job), "started_at": start.isoformat(), "outcome": "succeeded"} for job, start in
            sql("SELECT id, started_at FROM chancy.fetch_jobs('default', 'our', 100)")]
    assert sql("SELECT applied FROM chancy.apply_updates('our', %s)", [Jsonb(ours)]) == [(True,), (True,)]
    assert new.push_many([{"key": "later"}]) == list(sql("SELECT id FROM public.chancy_jobs_adopted WHERE unique_key = 'later'")[0])
    everything.update(new.push_many([{"key": "mine"}, {"key": "fresh"}]))
    assert sql("SELECT count(*) FROM chancy.jobs WHERE queue = 'default' AND state IN ('running', 'retrying')") == [(0,)]
    # And back, with all that has happened since.
    command("adopt", "--back")
    assert gone(lambda: new.connection.execute("SELECT FROM chancy_jobs_adopted"))
    assert everything == {row[0] for row in sql("SELECT id FROM public.chancy_jobs")}
    assert sql("SELECT state FROM public.chancy_jobs WHERE id = %s", [running[0]["id"]]) == [("succeeded",)]
    assert sql("SELECT count(*) FROM chancy.jobs") == [(0,)]
    assert len(old.fetch(100)) == 2  # mine and fresh
    print(f"journey: {len(everything)} jobs there and back")


# ---- load

class Load:
    def __init__(self, seconds):
        self.until, self.give_up, self.all_seen = time.monotonic() + seconds, time.monotonic() + seconds + PATIENCE, False
        self.draining = threading.Event()
        self.pushed, self.failures, self.heard, self.turned_away = set(), [], [], 0
        self.lock = threading.Lock()

    def open(self):
        """Until the time is over and all that is to be seen has been seen, however slow the machine."""
        if self.failures or time.monotonic() > self.give_up:
            return False
        if time.monotonic() > self.until and not self.all_seen:
            self.all_seen = self.turned_away > 0 and all(self.completed())
        return time.monotonic() < self.until or not self.all_seen

    def completed(self):
        return sql("SELECT count(*) FILTER (WHERE result IS NULL), count(*) FILTER (WHERE result IS NOT NULL) FROM chancy.jobs WHERE state = 'succeeded'")[0]

    def pusher(self, python, rng):
        while self.open():
            keys = [f"k{n}" for n in range(12)]
            rng.shuffle(keys)
            jobs = [{"key": key, "max_attempts": 5, "ago": CLEAR} for key in keys[:6]] + [{"max_attempts": 5, "ago": CLEAR} for _ in range(3)]
            rng.shuffle(jobs)
            ids = insist(lambda: python.push_many(jobs))
            with self.lock:
                self.pushed.update(ids)
            time.sleep(0.02)

    def our_pusher(self, rng):
        """The command line, with the keys in another order each time: its client runs again what ends in a deadlock."""
        while self.open():
            keys = [f"k{n}" for n in range(12)]
            rng.shuffle(keys)
            lines = "".join(json.dumps({"unique_key": key, "max_attempts": 5}) + "\n" for key in keys) + '{"max_attempts": 5}\n'
            done = subprocess.run([os.environ["CHANCY_PROGRAM"], "-d", f"dbname={DATABASE}", "push", "py.job", "--file", "-"],
                                  input=lines, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr

    def worker(self, python, rng):
        python.start()
        results = []
        while not self.draining.is_set():
            python.announce()
            results += insist(lambda: python.fetch(8))
            rng.shuffle(results)
            time.sleep(0.02)
            if results:
                batch, results = results[:12], results[12:]
                insist(lambda: python.write_results(batch, fail=lambda job: rng.randrange(10) == 0))
        if results:
            insist(lambda: python.write_results(results))

    def zombie(self, python, rng):
        """Fetches, dies, is recovered by one side or the other, and reports all the same."""
        while self.open():
            python.name = f"zombie{rng.randrange(1000)}"
            by_python = rng.randrange(2)
            if not by_python:
                python.announce(timeout=0)
            insist(lambda: python.push_many([{"priority": 5, "max_attempts": 5}] * 4))
            jobs = insist(lambda: python.fetch(4))
            mine = [job["id"] for job in jobs]
            if by_python:
                insist(python.recover)
            else:
                insist(lambda: sql("SELECT recovered FROM chancy.recover_jobs(max_recoveries => 1000)"))
            still = {row[0] for row in sql("SELECT id FROM chancy.jobs WHERE id = ANY(%s) AND state = 'running' AND taken_by = %s", [mine, python.name])}
            stale = [job for job in jobs if job["id"] not in still]
            if stale:
                insist(lambda: python.write_results(stale, fail=lambda job: rng.randrange(2)))
            self.turned_away += len(stale)
            time.sleep(0.02)

    def canceller(self, rng):
        while self.open():
            for (job,) in sql("SELECT id FROM chancy.jobs WHERE state IN ('pending', 'running') ORDER BY random() LIMIT 2"):
                insist(lambda: sql("SELECT chancy.cancel_job(%s)", [job]))
            time.sleep(0.05)

    def listener(self, python):
        """As Chancy listens: one payload that it cannot read ends it."""
        python.connection.execute("LISTEN events")
        for notice in python.connection.notifies():
            body = json.loads(notice.payload)
            kind = body.pop("t")
            for field in {"queue.pushed": ["q"], "job.cancelled": ["j"], "workflow.step_completed": ["workflow_id"]}.get(kind, []):
                body[field]
            self.heard.append(kind)
            if kind == "test.end":
                return

    def watch_keys(self):
        while not self.draining.is_set():
            twice = sql("SELECT unique_key FROM chancy.jobs WHERE unique_key IS NOT NULL AND state NOT IN ('succeeded', 'failed')"
                        " GROUP BY 1 HAVING count(*) > 1")
            assert not twice, f"live twice: {twice}"
            time.sleep(0.05)

    def guarded(self, call, *arguments):
        def run():
            try:
                call(*arguments)
            except Exception as problem:  # told by check()
                self.failures.append(f"{call.__name__}: {type(problem).__name__}: {problem}")
                self.draining.set()
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def run(self):
        listening = self.guarded(self.listener, Python("listener"))
        workers = [self.guarded(self.worker, Python(f"py{n}"), random.Random(n)) for n in range(2)]
        workers.append(self.guarded(self.watch_keys))
        ours = subprocess.Popen([os.environ["CHANCY_PROGRAM"], "-d", f"dbname={DATABASE}", "worker", "--queue", "default", "--concurrency", "2",
                                 "--exec", "py.job=echo '\"ours\"'"], stderr=subprocess.PIPE, text=True)
        others = [self.guarded(self.pusher, Python(), random.Random(10 + n)) for n in range(2)]
        others += [self.guarded(self.our_pusher, random.Random(20)), self.guarded(self.canceller, random.Random(21)),
                   self.guarded(self.zombie, Python(), random.Random(22))]
        for thread in others:
            thread.join()
        give_up = time.monotonic() + PATIENCE
        while not self.failures and sql("SELECT FROM chancy.jobs WHERE state NOT IN ('succeeded', 'failed') LIMIT 1"):
            assert time.monotonic() < give_up, "jobs are left: %s" % sql("SELECT state, taken_by, count(*) FROM chancy.jobs GROUP BY 1, 2")
            # What a dead one had is recovered in the end too: its heartbeat has run out.
            sql("SELECT recovered FROM chancy.recover_jobs(max_recoveries => 1000)")
            time.sleep(0.1)
        self.draining.set()
        for thread in workers:
            thread.join()
        Python().notify("test.end")
        listening.join()
        ours.terminate()
        log = ours.communicate()[1]
        assert ours.returncode == 0, f"our worker ended with {ours.returncode}: {log}"
        self.check()

    def check(self):
        assert not self.failures, "; ".join(self.failures)
        there = {row[0] for row in sql("SELECT id FROM chancy.jobs")}
        assert self.pushed <= there, f"lost: {self.pushed - there}"
        # A zombie's result that was kept would bear its name.
        stale = sql("SELECT id, state, meta, errors FROM chancy.jobs WHERE meta ->> 'by' LIKE 'zombie%%' OR errors::text LIKE '%%zombie%%'")
        assert not stale, f"stale results were kept: {stale}"
        # Python writes meta, we write result: a job that both completed was completed twice.
        both = sql("SELECT id FROM chancy.jobs WHERE state = 'succeeded' AND result IS NOT NULL AND meta ? 'by'"
                   " AND NOT EXISTS (SELECT FROM jsonb_array_elements(errors) e WHERE e ->> 'traceback' LIKE 'by py%%')")
        assert not both, f"completed by both: {both}"
        odd = sql("SELECT id FROM chancy.jobs WHERE state = 'succeeded' AND attempts <> 1 + jsonb_array_length(errors)")
        assert not odd, f"an attempt was counted twice, or not: {odd}"
        python, ours = self.completed()
        assert python > 0 and ours > 0, f"Python completed {python}, we {ours}"
        assert self.turned_away > 0, "nothing was stale"
        for kind in ("queue.pushed", "job.cancelled", "worker.announced"):
            assert kind in self.heard, f"Python heard no {kind}"
        print(f"load: {len(there)} jobs, {python} completed by Python, {ours} by us; {self.turned_away} stale results turned away; "
              f"{len(deadlocks)} deadlocks of Python's; {len(self.heard)} events heard")


def main():
    seconds = 60 if os.environ.get("CHANCY_SOAK") else 4
    def new_database():
        sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", database="postgres")
        sql(f"CREATE DATABASE {DATABASE}", database="postgres")
        sql("CREATE EXTENSION chancy")
    def clean():
        sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", database="postgres")
        sql(f"DROP ROLE IF EXISTS {ROLE}", database="postgres")
    clean()
    try:
        sql(f"CREATE ROLE {ROLE} LOGIN", database="postgres")
        new_database()
        journey()
        new_database()
        sql(f"SELECT chancy.enable_python_interop('{ROLE}')")
        order()
        Load(seconds).run()
    finally:
        clean()


if __name__ == "__main__":
    sys.exit(main())
