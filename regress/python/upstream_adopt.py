#!/usr/bin/python3
"""An installation that Chancy itself has migrated, under its default prefix, is adopted, worked on by Chancy, and given
back. Needs CHANCY_SRC in PYTHONPATH, a server (PG*), and the database that PGDATABASE names, with the extension."""
import asyncio
import sys

import psycopg
from chancy import Chancy, Job, Queue
from chancy.plugins.cron import Cron
from chancy.plugins.workflow import Workflow, WorkflowPlugin


def sql(statement):
    with psycopg.connect("", autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def a_job(key=None, **more):
    return Job(func="builtins.print", unique_key=key, **more)


async def fill(chancy):
    await chancy.migrate()
    await chancy.declare(Queue("default", tags={".*"}))
    await chancy.declare(Queue("mail", concurrency=2, rate_limit=10, rate_limit_window=60))
    for n in range(5):
        await chancy.push(a_job(f"k{n}", priority=n))
    await chancy.push(a_job(max_attempts=3, queue="mail"))
    await Cron.schedule(chancy, "0 3 * * *", a_job("nightly"))
    await WorkflowPlugin.push(chancy, Workflow("w").add("one", a_job()).add("two", a_job(), ["one"]))


async def main():
    # Chancy's own layout, under its own prefix, by its own migrations.
    async with Chancy("", plugins=[Cron()]) as chancy:
        await fill(chancy)
    moved = dict(sql("SELECT what, copied FROM chancy.adopt('public')"))
    expected = {"workflows": 1, "workflow_steps": 2, "jobs": 6, "queues": 2, "cron": 1, "metrics": 0, "workers": 0, "queue_rate_limits": 0}
    assert moved == expected, moved
    assert sql("SELECT done FROM chancy.adopt_history('public')") == [(True,)]
    # It goes on on our tables: the same keys, the same schedules.
    sql("SELECT chancy.enable_python_interop()")
    async with Chancy("options='-c search_path=chancy,public'", prefix="", plugins=[Cron()]) as chancy:
        assert await chancy.is_up_to_date()
        ref = await chancy.push(a_job("k3"))
        assert [(ref.identifier,)] == sql("SELECT (chancy.get_live_job('k3')).id")
        assert set(await Cron.get_schedules(chancy)) == {"nightly"}
        assert [w.name for w in await WorkflowPlugin.fetch_workflows(chancy)] == ["w"]
        await chancy.push(a_job("new"))
    assert sql("SELECT count(*) FROM chancy.jobs") == [(7,)]
    # And back.
    sql("SELECT chancy.give_back('public'), chancy.disable_python_interop()")
    async with Chancy("", plugins=[Cron()]) as chancy:
        assert await chancy.is_up_to_date()
        ref = await chancy.push(a_job("new"))
        assert (await chancy.get_job(ref)).unique_key == "new"
        assert len(await chancy.get_all_queues()) == 2
        assert set(await Cron.get_schedules(chancy)) == {"nightly"}
        await WorkflowPlugin.push(chancy, Workflow("again").add("one", a_job()))
    assert sql("SELECT count(*) FROM public.chancy_jobs") == [(7,)]
    print("an installation that Chancy migrated was adopted, and given back")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
