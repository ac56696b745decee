"""What conversations cost: 50 customers joined to 50 agents by a line process, and by bare pjsua2.

The far ends are processes of their own with real RTP both ways. The line process is a real one with
a real Postgres; its peer is a pjsua2 process that holds the same hundred legs, joined in pairs, and
does nothing else. What counts is the CPU of the process under test while nothing but talk goes on.

    python -m benchmarks bridge [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks import machine, testbed
from benchmarks.children import Child, ChildError
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_most
from benchmarks.testbed import SCREENING_OFF, UP_WITHIN_S, Database, Lines
from tests.laboratory import free_rtp_range

TARGETS = {"cpu_ratio_to_bare": at_most(1.3)}
BRIDGES = 50
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured: in turns, so many windows of so many seconds each."""

    turns: int
    windows: int
    seconds: float


LENGTHS = {False: Length(turns=3, windows=4, seconds=5.0), True: Length(1, 3, 3.0)}


@dataclass(frozen=True, slots=True)
class FarEnds:
    """Both sides of all conversations."""

    customers: Child
    agents: Child

    async def deaf(self) -> int:
        """Return how many agents do not hear a customer now."""
        since = time.time()
        await asyncio.sleep(0.5)
        names = [f"agent{number}" for number in range(1, BRIDGES + 1)]
        heard = await self.agents.ask("first_tones", asked=[[name, since] for name in names])
        return sum(at is None for at in heard)


async def measure(options: Options) -> Found:
    """Measure both in turns, and report medians."""
    length = LENGTHS[options.quick]
    ours: list[float] = []
    bare: list[float] = []
    deaf = 0
    pjsip = ""
    async with (
        testbed.postgres() as database,
        testbed.far_ends("customers", BRIDGES) as customers,
        testbed.far_ends("agents", BRIDGES) as agents,
    ):
        ends = FarEnds(customers, agents)
        for _ in range(length.turns):
            async with line_process(database, ends) as pid:
                ours += await watched(pid, length)
                deaf += await ends.deaf()
            async with bare_process(ends) as (pid, pjsip):
                bare += await watched(pid, length)
                deaf += await ends.deaf()
            progress(f"% of a core, ours and bare: {ours[-1]:.2f}, {bare[-1]:.2f}")
        versions = (pjsip, database.version)
    cost, peer = statistics.median(ours), statistics.median(bare)
    metrics = {
        "cpu_ratio_to_bare": cost / peer,
        "percent_of_a_core": cost,
        "percent_of_a_core_bare": peer,
        "cpu_ms_per_s_of_a_bridge": 10 * cost / BRIDGES,
        "bridges": float(BRIDGES),
        "deaf_agents": float(deaf),
    }
    return Found(metrics, versions)


async def watched(pid: int, length: Length) -> list[float]:
    """Return the share of a core in percent that *pid* used in each window."""
    await asyncio.sleep(SETTLE_S)
    shares = []
    for _ in range(length.windows):
        wall, used = time.monotonic(), machine.cpu_s(pid)
        await asyncio.sleep(length.seconds)
        shares.append(100 * (machine.cpu_s(pid) - used) / (time.monotonic() - wall))
    return shares


@contextlib.asynccontextmanager
async def line_process(database: Database, ends: FarEnds) -> AsyncIterator[int]:
    """Yield the pid of a line process in which every agent talks to a customer."""
    async with Lines(database) as lines:
        await lines.trunk_to(ends.customers.ready["port"])
        await lines.log_in(ends.agents.ready["uris"])
        for number in testbed.numbers(BRIDGES):
            await lines.order([number], **SCREENING_OFF)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(UP_WITHIN_S):
            while await talking(lines) < BRIDGES:  # noqa: ASYNC110 - rows are polled
                await asyncio.sleep(0.1)
        yield lines.pid
    await database.clear()


async def talking(lines: Lines) -> int:
    """Return how many agents of a line process talk."""
    return int(
        await lines.pool.fetchval(
            "SELECT count(*) FROM agent_session WHERE process_id = $1 AND state = 'talking'",
            lines.process_id,
        )
    )


@contextlib.asynccontextmanager
async def bare_process(ends: FarEnds) -> AsyncIterator[tuple[int, str]]:
    """Yield pid and PJSIP's version of a bare process that holds the same conversations."""
    async with Child("benchmarks.bare", *free_rtp_range(testbed.RTP_CALLS)) as bare:
        await until_free(ends)
        await bare.ask("agents", uris=ends.agents.ready["uris"], within_s=UP_WITHIN_S)
        for place, uri in enumerate(ends.customers.ready["uris"]):
            await bare.ask("customers", uris={uri: place})
            await asyncio.sleep(0.05)
        yield bare.pid, str(bare.ready["pjsip"])
        await bare.ask("hang_up", within_s=UP_WITHIN_S)
    await until_free(ends)


async def until_free(ends: FarEnds) -> None:
    """Wait until nobody is in a call."""
    until = time.monotonic() + UP_WITHIN_S
    while await ends.customers.ask("up") or await ends.agents.ask("up"):
        if time.monotonic() > until:
            raise ChildError("the far ends are still in their last calls")
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main("bridge", measure, TARGETS))
