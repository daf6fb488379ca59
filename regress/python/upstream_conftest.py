"""Takes the place of tests/conftest.py in a checkout of Chancy: the same fixtures, on the extension's tables.

The tables are there already, and stay: migrating down, which upstream's fixtures do at the end of each test, empties
them instead.
"""
import sys

import psycopg
import pytest
import pytest_asyncio
from chancy import Chancy, Worker

TABLES = "jobs queues workers leader queue_rate_limits cron workflows workflow_steps metrics".split()


class Installed(Chancy):
    async def migrate(self, *, to_version=None):
        if to_version is None:
            await super().migrate()


def installed(**options):
    return Installed("application_name=chancy", prefix="", **options)


@pytest.fixture(autouse=True)
def empty_tables():
    yield
    with psycopg.connect() as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")


@pytest_asyncio.fixture()
async def chancy(request):
    async with installed(**getattr(request, "param", {})) as chancy:
        await chancy.migrate()
        yield chancy


@pytest.fixture
def chancy_just_app():
    return installed()


@pytest_asyncio.fixture()
async def worker(request, chancy):
    async with Worker(chancy, shutdown_timeout=60, **getattr(request, "param", {})) as worker:
        yield worker


@pytest_asyncio.fixture()
async def worker_no_start(chancy):
    return Worker(chancy)


@pytest.fixture(params=[Chancy.Executor.Process, Chancy.Executor.Threaded]
                + ([Chancy.Executor.SubInterpreter] if sys.version_info >= (3, 13) else []))
def sync_executor(request):
    return request.param


@pytest.fixture(params=[Chancy.Executor.Async])
def async_executor(request):
    return request.param
