"""Postgres killed under a working engine, for real: it waits, says so, and goes on by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from campaigns.errors import DatabaseError
from campaigns.model import Outcome
from campaigns.stores import database
from dialer import embedded
from dialer.supervision import DATABASE_AWAY
from tests.calls import World
from tests.engines import engine_on, until
from tests.lines import Plan, ScriptedLines, running


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder for a cluster of this test's own, stopped and removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="overdial-outage-"))
    root.chmod(0o755)
    yield root / "data"
    embedded.stop(root / "data")
    shutil.rmtree(root, ignore_errors=True)


def kill(folder: Path) -> None:
    """End the cluster's main process at once, as a crash would; its children follow."""
    pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)


async def start_again(folder: Path) -> None:
    """Start the crashed cluster; its last children may still hold its memory for a moment."""

    async def started() -> bool:
        try:
            await asyncio.to_thread(embedded.start, folder)
        except DatabaseError:
            return False
        return True

    await until(started, "the restart of Postgres")


async def test_postgres_is_killed_in_mid_campaign(folder: Path) -> None:
    """
    After the restart every lead has been called exactly once and nothing is left open.
    """
    dsn, _ = await asyncio.to_thread(embedded.start, folder)
    await database.migrate(dsn)
    pool = await database.open_pool(dsn, size=10)
    try:
        world = await World(pool).build()
        await pool.execute("UPDATE trunk SET tokens_at = clock_timestamp()")
        for _ in range(4):
            await world.add_agent(since=datetime.now(UTC))
        await world.add_leads(80)
        lines = ScriptedLines(pool, world.process_id, lambda _: Plan(Outcome.NO_ANSWER, ring_s=0.2))

        async def some_dialed() -> bool:
            return len(lines.dialed) > 20

        async def all_closed() -> bool:
            try:
                return bool(await pool.fetchval("SELECT count(*) = 80 FROM attempt"))
            except DATABASE_AWAY:
                return False

        events: list[Any]
        with capture_logs() as events:
            async with engine_on(dsn, pool), running(lines):
                await until(some_dialed, "the first calls")
                kill(folder)
                await asyncio.sleep(2)
                during = len(lines.dialed)
                await start_again(folder)
                await until(all_closed, "the last close")

        called = Counter(order.lead_id for order in lines.dialed)
        assert (80, {1}) == (len(called), set(called.values()))
        assert during < 80
        assert 0 == await pool.fetchval("SELECT count(*) FROM live_attempt")
        assert 0 == await pool.fetchval("SELECT count(*) FROM lead WHERE state = 'in_call'")
        said = Counter(event["event"] for event in events)
        # A statement that was answered just before the crash may be heard of just after it.
        assert said["database_lost"] in {1, 2}
        assert said["database_lost"] == said["database_back"]
    finally:
        await pool.close()
