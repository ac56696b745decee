"""How many call attempts a second one line process makes, and what one costs beside bare pjsua2.

With the wire: a real `dialer lines` on a real Postgres, claimed attempts put in front of it as fast
as it takes them, a SIPp that answers 486. Without it: the same calls made by the line process's own
code with its rows kept in memory, and by a bare pjsua2 loop, in turns, against the same SIPp; what
counts is the CPU of the process under test.

    python -m benchmarks lines [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from benchmarks import machine, testbed
from benchmarks.bare import WARM_UP
from benchmarks.children import Child
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_least
from benchmarks.testbed import Database, Lines
from siplab.carrier import BusyCarrier
from tests.laboratory import free_rtp_range

TARGETS = {"attempts_per_s": at_least(300), "ratio_to_bare": at_least(0.7)}
# In flight at a time without the wire: enough that neither waits for the other end.
WINDOW = 30
# Claimed rows kept waiting, so that the line process never lacks work.
BACKLOG = 300


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured."""

    rounds: int
    attempts: int
    seconds: float


LENGTHS = {False: Length(rounds=40, attempts=500, seconds=45.0), True: Length(15, 300, 12.0)}


async def measure(options: Options) -> Found:
    """Run both halves; the figures without the wire are medians of many short rounds."""
    length = LENGTHS[options.quick]
    async with testbed.postgres() as database, BusyCarrier(database.folder / "sipp") as carrier:
        progress(f"without Postgres: {length.rounds} rounds of {length.attempts} attempts each")
        metrics, pjsip = await unwired_beside_bare(carrier.port, length)
        metrics |= await wired(database, carrier, length.seconds)
        return Found(metrics, (pjsip, database.version))


async def unwired_beside_bare(port: int, length: Length) -> tuple[dict[str, float], str]:
    """Return the CPU of an attempt in milliseconds for both, their ratio, and PJSIP's version."""
    cost: dict[str, list[float]] = {"bare": [], "unwired": []}
    pace: dict[str, list[float]] = {"bare": [], "unwired": []}
    uri = f"sip:+12025550145@127.0.0.1:{port}"
    async with (
        Child("benchmarks.bare", *free_rtp_range(200)) as bare,
        Child("benchmarks.unwired", port, *free_rtp_range(200)) as unwired,
    ):
        for number in range(length.rounds + 1):
            count = length.attempts if number else WARM_UP
            for name, child in (("bare", bare), ("unwired", unwired)):
                took = await child.ask(
                    "attempts", uri=uri, count=count, window=WINDOW, within_s=120
                )
                if number:
                    cost[name].append(1000 * took["cpu_s"] / count)
                    pace[name].append(count / took["wall_s"])
    # Neighbours in time share what else the machine was doing.
    ratios = [bare / ours for bare, ours in zip(cost["bare"], cost["unwired"], strict=True)]
    found = {
        "ratio_to_bare": statistics.median(ratios),
        "bare_cpu_ms": statistics.median(cost["bare"]),
        "unwired_cpu_ms": statistics.median(cost["unwired"]),
        "bare_attempts_per_s": statistics.median(pace["bare"]),
        "unwired_attempts_per_s": statistics.median(pace["unwired"]),
    }
    return found, str(bare.ready["pjsip"])


@dataclass(slots=True)
class Feeder:
    """Keeps claimed attempts in front of a line process and takes the ended ones away."""

    lines: Lines
    ended_at: list[float] = field(default_factory=list)
    not_busy: int = 0
    _numbers: deque[str] = field(default_factory=lambda: deque(testbed.numbers(6000)))

    async def run(self) -> None:
        """Feed until cancelled."""
        while True:
            await self._turn()
            await asyncio.sleep(0.05)

    async def _turn(self) -> None:
        rows = await self.lines.pool.fetch(
            "DELETE FROM live_attempt WHERE state = 'ended'"
            " RETURNING extract(epoch FROM ended_at)::float8 AS ended_at, outcome"
        )
        self.ended_at += [row["ended_at"] for row in rows]
        self.not_busy += sum(row["outcome"] != "busy" for row in rows)
        waiting = await self.lines.pool.fetchval(
            "SELECT count(*) FROM live_attempt WHERE process_id = $1 AND state = 'claimed'",
            self.lines.process_id,
        )
        if waiting < BACKLOG:
            wanted = [self._numbers[index] for index in range(BACKLOG)]
            self._numbers.rotate(-BACKLOG)
            await self.lines.order(wanted)

    def ended_between(self, start: float, end: float) -> int:
        """Return how many attempts ended in a stretch of the wall clock."""
        return sum(start <= moment < end for moment in self.ended_at)


async def wired(database: Database, carrier: BusyCarrier, seconds: float) -> dict[str, float]:
    """Return attempts a second with the wire, and what each process spends on one."""
    async with Lines(database) as lines:
        await lines.trunk_to(carrier.port)
        feeder = Feeder(lines)
        feeding = asyncio.create_task(feeder.run(), name="feeder")
        try:
            await asyncio.sleep(4.0)
            began, before = time.time(), spent(database, lines, carrier)
            progress(f"with Postgres: measuring for {seconds:.0f} s")
            await asyncio.sleep(seconds)
            ended, after = time.time(), spent(database, lines, carrier)
            # What was written just before the end is still to be collected.
            await asyncio.sleep(0.3)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    count = feeder.ended_between(began, ended)
    each = {
        f"wired_{name}_cpu_ms": 1000 * (after[name] - before[name]) / max(1, count)
        for name in before
    }
    return {
        "attempts_per_s": count / (ended - began),
        "not_busy": float(feeder.not_busy),
        **each,
    }


def spent(database: Database, lines: Lines, carrier: BusyCarrier) -> dict[str, float]:
    """Return the CPU seconds of every process that takes part, the benchmark's own included."""
    return {
        "lines": machine.cpu_s(lines.pid),
        "postgres": database.cpu_s(),
        "sipp": machine.cpu_s(carrier.pid) if carrier.pid else 0.0,
        "feeder": time.process_time(),
    }


if __name__ == "__main__":
    sys.exit(main("lines", measure, TARGETS))
