"""How long the claim of the next 50 callable leads takes among ten million.

Ten million leads on five lists: three in ten done, four waiting for later, three due; the embedded
Postgres as it ships. Measured are the statement that finds and locks the next leads, and the whole
claim with the gate and the attempts written; every claim is committed, so each meets other leads.
Last, fifty claimers at once, who must never get the same lead.

    python -m benchmarks claim [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import testbed
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_most
from campaigns.rules.dialable_numbers import NumberKind, examine
from campaigns.stores import claims, database
from tests.lists import NOON, Floor, add_list, fictional, open_floor

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Connection, Pool

TARGETS = {
    "p99_ms": at_most(5),
    "with_gate_p99_ms": at_most(15),
    "claimed_twice": at_most(0),
}
LEADS = {False: 10_000_000, True: 200_000}
COUNT = 50
LISTS = 5
ROUNDS = {False: 400, True: 100}
CLAIMERS = 50
_SETUP_S = 3600.0
_WARM_UP = 5


async def measure(options: Options) -> Found:
    """Fill the tables and claim."""
    leads, rounds = LEADS[options.quick], ROUNDS[options.quick]
    async with testbed.postgres() as at:
        async with at.pool.acquire() as connection:
            floor = await open_floor(connection)
            lists = [floor.list_id]
            lists += [
                await add_list(connection, floor.campaign.id, priority=place)
                for place in range(2, LISTS + 1)
            ]
            progress(f"{leads:,} leads")
            began = time.perf_counter()
            await fill(connection, lists, leads, options.seed)
            filled_s = time.perf_counter() - began
            size = await connection.fetchval(
                "SELECT sum(pg_total_relation_size(c)) FROM unnest("
                "ARRAY['subject', 'lead', 'lead_number']::regclass[]) AS c"
            )
        pool = await database.open_pool(at.dsn, size=CLAIMERS)
        try:
            progress("the statement, then the whole claim")
            async with pool.acquire() as connection:
                alone = await timed(rounds, lambda: find(connection, floor))
                whole = await timed(
                    rounds, lambda: claim(connection, floor), between=lambda: hang_up(connection)
                )
            progress(f"{CLAIMERS} claimers at once")
            twice = await claimed_twice(pool, floor)
        finally:
            await pool.close()
        return Found(
            {
                "p99_ms": _percentile(alone, 99),
                "with_gate_p99_ms": _percentile(whole, 99),
                "claimed_twice": float(twice),
                "p50_ms": _percentile(alone, 50),
                "with_gate_p50_ms": _percentile(whole, 50),
                "leads": float(leads),
                "gigabytes": float(size) / 1e9,
                "filled_s": filled_s,
            },
            (at.version,),
        )


async def fill(connection: Connection, lists: list[UUID], leads: int, seed: int) -> None:
    """Fill the tables by SQL, with their indexes away meanwhile; numbers are fictional."""
    numbers = [
        number
        for number in fictional(79_000, area=201)
        if examine(number).kind is NumberKind.ORDINARY and examine(number).region == "US"
    ]
    await connection.execute(
        "CREATE TEMPORARY TABLE stock AS SELECT n.place, n.number"
        " FROM unnest($1::text[]) WITH ORDINALITY AS n (number, place)",
        numbers,
    )
    indexes = await connection.fetch(
        """
        SELECT indexname, indexdef FROM pg_indexes i
        WHERE schemaname = 'public' AND tablename IN ('lead', 'lead_number')
          AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conname = i.indexname)
        """
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    for table in ("lead", "lead_number"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    identity = "('00000000-0000-7000-{}-' || lpad(to_hex(g), 12, '0'))::uuid"
    subject, lead, number = (identity.format(mark) for mark in ("8000", "9000", "a000"))
    series = "generate_series(1, $1::integer) AS g"
    await connection.execute(
        f"INSERT INTO subject (id) SELECT {subject} FROM {series}",  # noqa: S608 - our own words
        leads,
        timeout=_SETUP_S,
    )
    await connection.execute("SELECT setseed($1)", (seed % 1000) / 1000)
    await connection.execute(
        f"""
        INSERT INTO lead (id, list_id, subject_id, state, done_reason, priority, next_call_at, name,
                          fields, source_line)
        SELECT {lead}, $2::uuid[][1 + g % {len(lists)}], {subject},
               CASE WHEN lot < 0.3 THEN 'done' ELSE 'open' END::lead_state,
               CASE WHEN lot < 0.3 THEN 'reached'::done_reason END,
               g % 4,
               CASE WHEN lot < 0.3 OR lot >= 0.85 THEN '-infinity'
                    WHEN lot < 0.7 THEN $3::timestamptz + lot * interval '1 day'
                    ELSE $3::timestamptz - lot * interval '1 day' END,
               'Person ' || g, '{{"city": "Boston"}}', g
        FROM (SELECT g, random() AS lot FROM {series}) rows
        """.replace("$2::uuid[][", "($2::uuid[])["),  # noqa: S608 - our own words
        leads,
        lists,
        NOON,
        timeout=_SETUP_S,
    )
    await connection.execute(
        f"""
        INSERT INTO lead_number (id, lead_id, position, number, region, zones)
        SELECT {number}, {lead}, 0, s.number, 'US', '{{America/New_York}}'
        FROM {series} JOIN stock s ON s.place = 1 + g % $2
        """,  # noqa: S608 - our own words
        leads,
        len(numbers),
        timeout=_SETUP_S,
    )
    for table in ("lead", "lead_number"):
        await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
    for index in indexes:
        await connection.execute(index["indexdef"], timeout=_SETUP_S)
    await connection.execute("ANALYZE subject, lead, lead_number", timeout=_SETUP_S)
    await connection.execute("CHECKPOINT", timeout=_SETUP_S)


async def timed(
    rounds: int,
    once: Callable[[], Awaitable[object]],
    *,
    between: Callable[[], Awaitable[object]] | None = None,
) -> list[float]:
    """Return how many milliseconds each round took; the first few do not count."""
    found = []
    for _ in range(rounds + _WARM_UP):
        began = time.perf_counter()
        await once()
        found.append(1000 * (time.perf_counter() - began))
        if between is not None:
            await between()
    return found[_WARM_UP:]


async def hang_up(connection: Connection) -> None:
    """End the calls claimed, or a number would soon be in a call already when it comes again."""
    await connection.execute("DELETE FROM live_attempt")


async def find(connection: Connection, floor: Floor) -> None:
    """Find and lock the next leads, and let them go."""
    transaction = connection.transaction()
    await transaction.start()
    found = await connection.fetch(claims._CANDIDATES, floor.campaign.id, NOON, COUNT, [])  # noqa: SLF001 - the statement itself is measured
    await transaction.rollback()
    assert len(found) == COUNT, f"{len(found)} leads were found"  # noqa: S101 - benchmarks' errors


async def claim(connection: Connection, floor: Floor) -> list[UUID]:
    """Claim the next leads for good, through the gate; return which."""
    batch = await claims.claim(
        connection,
        campaign=floor.campaign,
        epoch=floor.epoch,
        now=NOON,
        count=COUNT,
        slots=floor.slots(COUNT),
    )
    return [claimed.lead_id for claimed in batch.claimed]


async def claimed_twice(pool: Pool, floor: Floor) -> int:
    """Return how many leads two of fifty simultaneous claimers both got."""

    async def one() -> list[UUID]:
        async with pool.acquire() as connection:
            return await claim(connection, floor)

    batches = await asyncio.gather(*(one() for _ in range(CLAIMERS)))
    assert any(batches), "nobody got a lead"  # noqa: S101 - benchmarks' errors
    got = [lead for batch in batches for lead in batch]
    return len(got) - len(set(got))


def _percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share))


if __name__ == "__main__":
    sys.exit(main("claim", measure, TARGETS))
