"""A line process without a telephone: moves real rows through the real stores, as a script says.

It is what tests of the engine put where pjsua2 is: it takes claimed calls, lets them ring, answers,
screens, reserves and joins agents, and ends calls, all through the statements a real one uses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from campaigns.model import AttemptState, Disposition, EndedBy, Outcome, Screening, Verdict
from campaigns.stores import attempts, reservations, sessions, verdicts
from campaigns.stores.attempts import DialOrder, Ending, Step
from campaigns.stores.reservations import ReservedAgent
from campaigns.stores.verdicts import Finding
from dialer.supervision import DATABASE_AWAY

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

T = TypeVar("T")

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
            orders = await self._persist(self._take)
            for order in orders:
                self.dialed.append(order)
                task = asyncio.create_task(self._call(order), name=f"call {order.attempt_id}")
                self._up.add(task)
                task.add_done_callback(self._up.discard)
            self.most_up = max(self.most_up, len(self._up))
            await asyncio.sleep(0.01)

    async def _take(self, connection: Connection) -> list[DialOrder]:
        room = self.most_at_once - len(self._up)
        return await attempts.take_claimed(
            connection, self.process_id, at=datetime.now(UTC), limit=room
        )

    async def _reserve(
        self,
        attempt_id: UUID,
        again: bool,  # noqa: FBT001 - bound by partial
        connection: Connection,
    ) -> ReservedAgent | None:
        return await reservations.reserve_agent(
            connection,
            self.process_id,
            attempt_id,
            at=datetime.now(UTC),
            finding=PERSON,
            again=again,
        )

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
        await self._persist(
            lambda connection: verdicts.record_verdict(
                connection, self.process_id, order.attempt_id, MACHINE, at=datetime.now(UTC)
            )
        )
        await self._end(order, EndedBy.US)

    async def _person(self, order: DialOrder, plan: Plan) -> None:
        if order.agent_session_id is not None:
            await self._talk(order, plan)
            return
        deadline = asyncio.get_running_loop().time() + order.timers.connect_limit_s
        agent = None
        again = False
        while agent is None and asyncio.get_running_loop().time() < deadline:
            agent = await self._persist(partial(self._reserve, order.attempt_id, again))
            again = True
            if agent is None:
                await asyncio.sleep(0.02)
        if agent is None:
            self.abandoned += 1
            await self._end(order, EndedBy.US)
            return
        await self._talk(order, plan)

    async def _talk(self, order: DialOrder, plan: Plan) -> None:
        await self._persist(
            lambda connection: reservations.join(
                connection, self.process_id, order.attempt_id, at=datetime.now(UTC)
            )
        )
        self.joined += 1
        await asyncio.sleep(plan.talk_s)
        await self._end(order, EndedBy.THEM)
        disposition = plan.disposition
        if disposition is None:
            return
        await asyncio.sleep(plan.wrap_up_s)
        await self._persist(
            lambda connection: sessions.dispose(
                connection, order.attempt_id, disposition, at=datetime.now(UTC)
            )
        )

    async def _end(self, order: DialOrder, by: EndedBy) -> None:
        ending = Ending(Outcome.ANSWERED, by)
        await self._step(
            Step(order.attempt_id, datetime.now(UTC), AttemptState.ENDED, ending=ending)
        )

    async def _step(self, step: Step) -> None:
        await self._persist(
            lambda connection: attempts.advance(connection, self.process_id, [step])
        )

    async def _persist(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do a piece of work, again and again while Postgres is away."""
        while True:
            try:
                async with self.pool.acquire() as connection:
                    return await work(connection)
            except DATABASE_AWAY:
                await asyncio.sleep(0.1)


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
