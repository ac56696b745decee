"""`dialer engine` as a process of its own: started, asked, stopped, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from campaigns.model import Outcome, ProcessKind
from campaigns.stores import decisions
from dialer import processes
from tests.calls import World
from tests.engines import until
from tests.lines import Plan, ScriptedLines, running

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]

EXIT_WITHIN_S = 60.0


@contextlib.asynccontextmanager
async def engine_process(dsn: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `dialer engine`; end it, if it still runs, when the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dialer",
        "engine",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"DIALER_DATABASE_URL": dsn},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def registered(pool: Pool, process: asyncio.subprocess.Process) -> processes.ProcessRow:
    """Wait until the process has its row; return it."""

    async def row() -> Any:
        rows = await processes.alive(pool, ProcessKind.ENGINE)
        return next((found for found in rows if found.pid == process.pid), None)

    found: processes.ProcessRow = await until(row, "the registration of the engine")
    return found


async def test_an_engine_starts_answers_and_stops(pool: Pool, dsn: str) -> None:
    """
    It shows health, readiness and metrics, logs JSON off a terminal, and SIGTERM ends it in order.
    """
    async with engine_process(dsn) as process:
        row = await registered(pool, process)
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://{row.endpoints.address}/readyz") as response:
                assert 200 == response.status
            async with client.get(f"http://{row.endpoints.address}/metrics") as response:
                assert "dialer_campaigns_held 0.0" in await response.text()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(EXIT_WITHIN_S):
            said, _ = await process.communicate()

    assert 0 == process.returncode
    lines = [json.loads(line) for line in said.splitlines()]
    assert "engine_started" == lines[0]["event"]
    assert "engine_stopped" == lines[-1]["event"]
    assert [] == await processes.unfinished(pool, ProcessKind.ENGINE)


async def test_an_engine_is_killed_and_another_goes_on(pool: Pool, dsn: str) -> None:
    """
    After kill -9 the other engine goes on: no lead called twice or lost, nothing forgotten.
    """
    world = await World(pool).build()
    await pool.execute("UPDATE trunk SET tokens_at = clock_timestamp()")
    for _ in range(3):
        await world.add_agent(since=datetime.now(UTC))
    await world.add_leads(60)
    lines = ScriptedLines(pool, world.process_id, lambda _: Plan(Outcome.NO_ANSWER, ring_s=0.2))

    async def some_dialed() -> bool:
        return len(lines.dialed) > 10

    async def all_closed() -> bool:
        return bool(await pool.fetchval("SELECT count(*) = 60 FROM attempt"))

    async def decided_again() -> bool:
        return bool(
            await pool.fetchval(
                "SELECT max(decided_at) > (SELECT max(closed_at) FROM attempt) FROM decision"
            )
        )

    async with running(lines), engine_process(dsn) as first:
        await until(some_dialed, "the first calls")
        async with engine_process(dsn) as second:
            await registered(pool, second)
            first.kill()
            await first.wait()
            await until(all_closed, "the last close")
            await until(decided_again, "a decision after the last close")

    called = Counter(order.lead_id for order in lines.dialed)
    assert (60, {1}) == (len(called), set(called.values()))
    assert 0 == await pool.fetchval("SELECT count(*) FROM live_attempt")
    async with pool.acquire() as connection:
        last = await decisions.latest(connection, world.campaign_id)
    assert last is not None
    # Sixty, of which each counts a little less with every later one.
    assert 45 < last.snapshot.history.not_live < 60
