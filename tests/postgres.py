"""A real Postgres for tests: one throw-away cluster per run, one cloned database per test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from campaigns.stores import database
from dialer import embedded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# A test's data is thrown away: durability would only cost time. A database for each test is written
# through the log page by page unless its files are copied; compressing those pages, and vacuuming
# databases that live for a second, cost more than the tests themselves.
_FAST = (
    "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n"
    "wal_compression = off\nautovacuum = off\n"
)


async def _make_template(dsn: str) -> None:
    admin = await asyncpg.connect(dsn)
    await admin.execute("CREATE DATABASE overdial_template")
    await admin.close()
    await database.migrate(_with_database(dsn, "overdial_template"))


def _with_database(dsn: str, name: str) -> str:
    head, _, query = dsn.partition("?")
    base = head.rsplit("/", 1)[0]
    return f"{base}/{name}?{query}" if query else f"{base}/{name}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Yield the DSN of a running cluster whose template database has the current schema."""
    given = os.environ.get("OVERDIAL_TEST_DSN")
    if given:
        asyncio.run(_make_template(given))
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="overdial-pg-"))
    folder.chmod(0o755)
    try:
        dsn, _ = embedded.start(folder / "data", extra=_FAST)
        asyncio.run(_make_template(dsn))
        yield dsn
    finally:
        embedded.stop(folder / "data")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def dsn(cluster: str) -> AsyncIterator[str]:
    """Yield the DSN of a database of this test's own, with the current schema and no rows."""
    name = f"test_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(cluster)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE overdial_template STRATEGY file_copy")
    try:
        yield _with_database(cluster, name)
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[database.Pool]:
    """Yield a pool on this test's own database."""
    opened = await database.open_pool(dsn, size=10)
    try:
        yield opened
    finally:
        await opened.close()
