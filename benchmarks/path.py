"""How many attempts a second go the whole way: from the claim of a lead to its call record.

Engine, line process, Postgres, SIPp and the agents' phones are real processes on one machine. A
campaign with a fixed ratio keeps claiming for agents who are always free, because SIPp answers 486
to everything; each attempt passes the gate, the INVITE, the outcome table and the close. The bound
of the same run is the line process alone, fed with rows as fast as it takes them.

    python -m benchmarks path [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks import machine, testbed
from benchmarks.children import Child
from benchmarks.lines import wired
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_least
from benchmarks.testbed import Database, Lines
from campaigns.model import CampaignSettings, ScreeningMode, new_id
from campaigns.stores import ledger
from siplab.carrier import BusyCarrier
from tests.laboratory import DialerProcess

TARGETS = {"attempts_per_s": at_least(150)}
AGENTS = 25
RATIO = 10.0
# More than can be dialed in the time there is: nobody is called twice.
LEADS = 30_000
WARM_UP_S = 6.0
# So many answered calls without a loss, seeded and marked so, let the guard allow any ratio.
SEEDED_ANSWERS = 100_000


@dataclass(frozen=True, slots=True)
class Length:
    """How many seconds are measured, of the whole path and of the bound."""

    seconds: float
    bound_s: float


LENGTHS = {False: Length(60.0, 30.0), True: Length(12.0, 8.0)}


async def measure(options: Options) -> Found:
    """Measure the whole path, then the bound."""
    length = LENGTHS[options.quick]
    async with (
        testbed.postgres() as database,
        BusyCarrier(database.folder / "sipp") as carrier,
        testbed.far_ends("agents", AGENTS, **{"keep-s": 0}) as agents,
    ):
        async with Lines(database) as lines:
            await lines.trunk_to(carrier.port)
            await campaign_in_power_mode(lines)
            await add_leads(lines, LEADS, random.Random(options.seed))
            await lines.log_in(agents.ready["uris"])
            metrics = await under_way(database, lines, carrier, agents, length)
        await database.clear()
        bound = await wired(database, carrier, length.bound_s)
        metrics["ratio_to_lines_alone"] = metrics["attempts_per_s"] / bound["attempts_per_s"]
        metrics["lines_alone_attempts_per_s"] = bound["attempts_per_s"]
        return Found(metrics, (database.version,))


async def campaign_in_power_mode(lines: Lines) -> None:
    """Have the campaign dial a fixed ratio, as far as its line process and trunk can take it."""
    settings = CampaignSettings(ratio=RATIO, max_lines_per_agent=20, screening=ScreeningMode.OFF)
    await lines.pool.execute(
        "UPDATE campaign SET mode = 'power', settings = $2, started_at = $3 WHERE id = $1",
        lines.world.campaign_id,
        settings.model_dump(mode="json"),
        datetime.now(UTC),
    )
    async with lines.pool.acquire() as connection:
        await ledger.seed(
            connection,
            await lines.world.campaign(),
            answered_by_person=SEEDED_ANSWERS,
            abandoned=0,
            hour=datetime.now(UTC) + timedelta(minutes=1),
        )


async def add_leads(lines: Lines, count: int, shuffle: random.Random) -> None:
    """Put *count* leads on the campaign's list, in an order of chance."""
    numbers = testbed.numbers(count)
    shuffle.shuffle(numbers)
    subjects, leads = [new_id() for _ in numbers], [new_id() for _ in numbers]
    zones = ["America/New_York"]
    await _copy(lines, "subject", ("id",), [(subject,) for subject in subjects])
    await _copy(
        lines,
        "lead",
        ("id", "list_id", "subject_id"),
        [
            (lead, lines.world.list_id, subject)
            for lead, subject in zip(leads, subjects, strict=True)
        ],
    )
    await _copy(
        lines,
        "lead_number",
        ("id", "lead_id", "position", "number", "region", "zones"),
        [
            (new_id(), lead, 0, number, "US", zones)
            for lead, number in zip(leads, numbers, strict=True)
        ],
    )
    await lines.pool.execute("ANALYZE")


async def _copy(
    lines: Lines, table: str, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> None:
    async with lines.pool.acquire() as connection:
        await connection.copy_records_to_table(table, records=rows, columns=columns)


async def under_way(
    database: Database, lines: Lines, carrier: BusyCarrier, agents: Child, length: Length
) -> dict[str, float]:
    """Start the engine, let it get going, and measure; everything is running meanwhile."""
    environment = {
        "DIALER_DATABASE_URL": database.dsn,
        "DIALER_DATA": str(database.folder / "data"),
    }
    engine = DialerProcess(("engine",), environment, database.folder / "engine.log")
    await engine.start()
    try:
        await asyncio.sleep(WARM_UP_S)
        pids = {"engine": engine.pid, "lines": lines.pid, "phones": agents.pid}
        began, before = time.time(), _spent(database, carrier, pids)
        progress(f"the whole path: measuring for {length.seconds:.0f} s")
        await asyncio.sleep(length.seconds)
        ended, after = time.time(), _spent(database, carrier, pids)
    except BaseException:
        sys.stderr.write(engine.log.read_text(errors="replace")[-4000:])
        raise
    finally:
        await engine.stop()
    closed = await closed_between(lines, began, ended)
    busy = await closed_between(lines, began, ended, outcome="busy")
    each = {
        f"{name}_cpu_ms": 1000 * (after[name] - before[name]) / max(1, closed) for name in before
    }
    cores = sum(after[name] - before[name] for name in before) / (ended - began)
    return {
        "attempts_per_s": closed / (ended - began),
        "not_busy": float(closed - busy),
        **each,
        "cores_used": cores,
        "claim_to_close_p50_s": await _median_life_s(lines),
    }


def _spent(database: Database, carrier: BusyCarrier, pids: dict[str, int]) -> dict[str, float]:
    cost = {name: machine.cpu_s(pid) for name, pid in pids.items()}
    cost["postgres"] = database.cpu_s()
    cost["sipp"] = machine.cpu_s(carrier.pid) if carrier.pid else 0.0
    return cost


async def closed_between(
    lines: Lines, start: float, end: float, *, outcome: str | None = None
) -> int:
    """Return how many attempts became call records in a stretch of the wall clock."""
    return int(
        await lines.pool.fetchval(
            "SELECT count(*) FROM attempt WHERE closed_at >= to_timestamp($1)"
            " AND closed_at < to_timestamp($2) AND ($3::call_outcome IS NULL OR outcome = $3)",
            start,
            end,
            outcome,
        )
    )


async def _median_life_s(lines: Lines) -> float:
    return float(
        await lines.pool.fetchval(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM"
            " closed_at - claimed_at)) FROM attempt"
        )
        or 0.0
    )


if __name__ == "__main__":
    sys.exit(main("path", measure, TARGETS))
