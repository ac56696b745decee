"""A line process without a telephone: moves real rows through the real stores, as a script says.

It is what tests of the engine put where pjsua2 is: it takes claimed calls, lets them ring, answers,
screens, reserves and joins agents, and ends calls, all through the statements a real one uses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.model import AttemptState, Disposition, EndedBy, Outcome, Screening, Verdict
from campaigns.stores import attempts, reservations, sessions
from campaigns.stores.attempts import DialOrder, Ending, Step
from campaigns.stores.verdicts import Finding

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

PERSON = Finding(Verdict.PERSON, Screening.PERSON, 0.9)
MACHINE = Finding(Verdict.MACHINE, Screening.MACHINE, 0.9)


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one call; times in seconds, `disposition` None lets the wrap-up limit act."""

    outcome: Outcome = Outcome.NO_ANSWER
    ring_s: float = 0.02
    verdict: Verdict = Verdict.PERSON
    talk_s: float = 0.05
    wrap_up_s: float = 0.02
    disposition: Disposition | None = Disposition.INTERESTED


@dataclass(slots=True)
class ScriptedLines:
    """Runs every call addressed to `process_id` by the plan the script gives it."""

    pool: Pool
    process_id: UUID
    script: Callable[[DialOrder], Plan]
    most_at_once: int = 1000
    dialed: list[DialOrder] = field(default_factory=list)
    abandoned: int = 0
    joined: int = 0
    most_up: int = 0
    _up: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Take and run calls until cancelled."""
        while True:
            async with self.pool.acquire() as connection:
                orders = await attempts.take_claimed(
                    connection,
                    self.process_id,
                    at=datetime.now(UTC),
                    limit=self.most_at_once - len(self._up),
                )
            for order in orders:
                self.dialed.append(order)
                task = asyncio.create_task(self._call(order), name=f"call {order.attempt_id}")
                self._up.add(task)
                task.add_done_callback(self._up.discard)
            self.most_up = max(self.most_up, len(self._up))
            await asyncio.sleep(0.01)

    async def _call(self, order: DialOrder) -> None:
        plan = self.script(order)
        call = order.attempt_id
        await self._step(Step(call, datetime.now(UTC), AttemptState.RINGING))
        await asyncio.sleep(plan.ring_s)
        if plan.outcome is not Outcome.ANSWERED:
            ending = Ending(plan.outcome, EndedBy.THEM, sip_code=486)
            await self._step(Step(call, datetime.now(UTC), AttemptState.ENDED, ending=ending))
            return
        await self._step(Step(call, datetime.now(UTC), AttemptState.ANSWERED, listening=True))
        if plan.verdict is Verdict.PERSON:
            await self._person(order, plan)
        else:
            await self._machine(order)

    async def _machine(self, order: DialOrder) -> None:
        from campaigns.stores import verdicts  # noqa: PLC0415 - used by this path only

        async with self.pool.acquire() as connection:
            await verdicts.record_verdict(
                connection, self.process_id, order.attempt_id, MACHINE, at=datetime.now(UTC)
            )
        await self._end(order, EndedBy.US)

    async def _person(self, order: DialOrder, plan: Plan) -> None:
        deadline = asyncio.get_running_loop().time() + order.timers.connect_limit_s
        agent = None
        again = False
        while agent is None and asyncio.get_running_loop().time() < deadline:
            async with self.pool.acquire() as connection:
                agent = await reservations.reserve_agent(
                    connection,
                    self.process_id,
                    order.attempt_id,
                    at=datetime.now(UTC),
                    finding=PERSON,
                    again=again,
                )
            again = True
            if agent is None:
                await asyncio.sleep(0.02)
        if agent is None:
            self.abandoned += 1
            await self._end(order, EndedBy.US)
            return
        async with self.pool.acquire() as connection:
            await reservations.join(
                connection, self.process_id, order.attempt_id, at=datetime.now(UTC)
            )
        self.joined += 1
        await asyncio.sleep(plan.talk_s)
        await self._end(order, EndedBy.THEM)
        if plan.disposition is None:
            return
        await asyncio.sleep(plan.wrap_up_s)
        async with self.pool.acquire() as connection:
            await sessions.dispose(
                connection, order.attempt_id, plan.disposition, at=datetime.now(UTC)
            )

    async def _end(self, order: DialOrder, by: EndedBy) -> None:
        ending = Ending(Outcome.ANSWERED, by)
        await self._step(
            Step(order.attempt_id, datetime.now(UTC), AttemptState.ENDED, ending=ending)
        )

    async def _step(self, step: Step) -> None:
        async with self.pool.acquire() as connection:
            await attempts.advance(connection, self.process_id, [step])


@contextlib.asynccontextmanager
async def running(lines: ScriptedLines) -> AsyncIterator[ScriptedLines]:
    """Run scripted lines while the block lasts."""
    task = asyncio.create_task(lines.run(), name="scripted lines")
    try:
        yield lines
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
