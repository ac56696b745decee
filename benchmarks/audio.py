"""From the customer's answer to the customer's voice in the agent's ear, with 50 agents.

Measured from the moment the 200 OK leaves the customer's side to the arrival of the first RTP
packet with the customer's tone at the agent's phone, on one host's clock; what the phone played of
it comes on top. Screening is off: the way from answer to agent is SIP, one reservation in Postgres
and the bridge. The peer is a pjsua2 process that joins the two legs in the callback of the answer,
with nobody to reserve and nothing to write.

    python -m benchmarks audio [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks import testbed
from benchmarks.bridge import FarEnds, until_free
from benchmarks.children import Child
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_most
from benchmarks.testbed import SCREENING_OFF, UP_WITHIN_S, Database, Lines
from campaigns.stores import session_sweeps
from tests.laboratory import free_rtp_range

TARGETS = {"p99_ms": at_most(100)}
AGENTS = 50
CUSTOMERS = 80
TALK_S = 3.0
# With three seconds of talk each, 24 of the 50 agents talk on average and hardly ever all of them:
# a customer who has to wait for an agent is another matter.
CALLS_PER_S = 8.0
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Length:
    """How many calls are measured, of ours and of the peer's."""

    calls: int
    peer_calls: int


LENGTHS = {False: Length(1500, 500), True: Length(180, 100)}


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation: which agent's phone heard the customer who had just answered."""

    customer: str
    answered_at: float
    agent: str


async def measure(options: Options) -> Found:
    """Measure ours, then the peer, with the same far ends and the same rhythm."""
    length = LENGTHS[options.quick]
    keep_s = length.calls / CALLS_PER_S + 30
    async with (
        testbed.postgres() as database,
        testbed.far_ends("customers", CUSTOMERS, **{"talk-s": TALK_S}) as customers,
        testbed.far_ends("agents", AGENTS, **{"keep-s": keep_s}) as agents,
    ):
        ends = FarEnds(customers, agents)
        progress(f"{length.calls} calls through a line process")
        ours, lost = await through_lines(database, ends, length.calls, options.seed)
        await until_free(ends)
        progress(f"{length.peer_calls} calls through bare pjsua2")
        peer, _, pjsip = await through_bare(ends, length.peer_calls, options.seed)
    metrics = percentiles(ours, "") | {"max_ms": max(ours), "calls": float(len(ours))}
    metrics |= {"calls_without_audio": float(lost)}
    metrics |= percentiles(peer, "bare_")
    metrics["p50_ratio_to_bare"] = metrics["p50_ms"] / metrics["bare_p50_ms"]
    return Found(metrics, (pjsip, database.version))


def percentiles(delays_ms: list[float], prefix: str) -> dict[str, float]:
    """Return the percentiles others rely on."""
    return {
        f"{prefix}p{share}_ms": float(np.percentile(delays_ms, share)) for share in (50, 95, 99)
    }


async def delays(ends: FarEnds, talks: list[Talk]) -> tuple[list[float], int]:
    """Return the delays in milliseconds, and how many conversations had no audio in their time."""
    talks = sorted(talks, key=lambda talk: talk.answered_at)[WARM_UP:]
    heard = await ends.agents.ask(
        "first_tones", asked=[[talk.agent, talk.answered_at] for talk in talks], within_s=120
    )
    found = [
        1000 * (at - talk.answered_at)
        for talk, at in zip(talks, heard, strict=True)
        if at is not None and at < talk.answered_at + TALK_S
    ]
    return found, len(talks) - len(found)


async def in_rhythm(count: int, seed: int, start: Callable[[int], Awaitable[None]]) -> None:
    """Start *count* calls at random moments."""
    rhythm = random.Random(seed)
    due = asyncio.get_running_loop().time()
    for number in range(count):
        due += rhythm.expovariate(CALLS_PER_S)
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        await start(number)


# Through a line process ---------------------------------------------------------------------------


@dataclass(slots=True)
class Housekeeper:
    """Does for a line process what an engine would: ends wrap-ups, takes ended calls away."""

    lines: Lines
    agents: dict[UUID, str]
    ended: list[tuple[str, datetime, str]]
    others: int = 0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._turn()
            await asyncio.sleep(0.1)

    async def _turn(self) -> None:
        async with self.lines.pool.acquire() as connection:
            await session_sweeps.end_wrap_ups(connection, now=datetime.now(UTC))
        rows = await self.lines.pool.fetch(
            "DELETE FROM live_attempt"
            " WHERE state = 'ended' AND (agent_session_id IS NULL OR disposition IS NOT NULL)"
            " RETURNING dialed_number, answered_at, agent_session_id"
        )
        for row in rows:
            agent = self.agents.get(row["agent_session_id"])
            if agent is None:
                self.others += 1
            else:
                self.ended.append((row["dialed_number"], row["answered_at"], agent))


async def through_lines(
    database: Database, ends: FarEnds, count: int, seed: int
) -> tuple[list[float], int]:
    """Return the delays through a line process, and how many calls got no agent or no audio."""
    numbers = testbed.numbers(CUSTOMERS)
    async with Lines(database) as lines:
        await lines.trunk_to(ends.customers.ready["port"])
        uris = await lines.log_in(ends.agents.ready["uris"])
        agents = {session: _name(uri) for session, uri in uris.items()}
        keeper = Housekeeper(lines, agents, [])
        keeping = asyncio.create_task(keeper.run(), name="housekeeper")

        async def start(number: int) -> None:
            if keeping.done():
                keeping.result()
            await lines.order(
                [numbers[number % CUSTOMERS]], **SCREENING_OFF, wrap_up_limit_s=0, max_call_s=20
            )

        try:
            await in_rhythm(count + WARM_UP, seed, start)
            async with asyncio.timeout(UP_WITHIN_S):
                while len(keeper.ended) + keeper.others < count + WARM_UP:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    talks = matched(keeper.ended, await ends.customers.ask("answers"))
    found, lost = await delays(ends, talks)
    return found, lost + keeper.others


def matched(ended: list[tuple[str, datetime, str]], answers: list[Any]) -> list[Talk]:
    """Return the conversations: the n-th answer at a number is that of its n-th call."""
    by_number: dict[str, list[float]] = defaultdict(list)
    for number, at in sorted(answers, key=lambda answer: answer[1]):
        by_number[number].append(at)
    talks = []
    for number, _, agent in sorted(ended, key=lambda call: call[1]):
        talks.append(Talk(number, by_number[number].pop(0), agent))
    return talks


def _name(uri: str) -> str:
    return uri.partition(":")[2].partition("@")[0]


# Through bare pjsua2 ------------------------------------------------------------------------------


async def through_bare(ends: FarEnds, count: int, seed: int) -> tuple[list[float], int, str]:
    """Return the delays through bare pjsua2, the calls without audio, and PJSIP's version."""
    customers = ends.customers.ready["uris"]
    names = {uri: _name(uri) for uri in customers}
    started: dict[str, list[str]] = defaultdict(list)
    async with Child("benchmarks.bare", *free_rtp_range(testbed.RTP_CALLS)) as bare:
        await bare.ask("agents", uris=ends.agents.ready["uris"], within_s=UP_WITHIN_S)

        async def start(number: int) -> None:
            uri = customers[number % CUSTOMERS]
            started[names[uri]].append(f"agent{number % AGENTS + 1}")
            await bare.ask("customers", uris={uri: number % AGENTS})

        # Round the agents in turn: each is free when it comes to them again.
        await in_rhythm(count + WARM_UP, seed, start)
        await asyncio.sleep(TALK_S + 0.5)
        answers = await ends.customers.ask("answers")
        await bare.ask("hang_up", within_s=UP_WITHIN_S)
        pjsip = str(bare.ready["pjsip"])
    talks = [
        Talk(number, at, started[number].pop(0))
        for number, at in sorted(answers, key=lambda answer: answer[1])
    ]
    found, lost = await delays(ends, talks)
    return found, lost, pjsip


if __name__ == "__main__":
    sys.exit(main("audio", measure, TARGETS))
