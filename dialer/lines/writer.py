"""The line process's pen: steps of calls in batches, and the few statements that cannot wait.

What happens on the wire is queued with the time it happened and written within a few milliseconds,
many calls in one statement (design §2). While Postgres is away the queue waits; the timers of the
calls do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from campaigns.lifecycle import CallEventKind
from campaigns.model import AttemptState, Outcome, new_id
from campaigns.stores import attempts, legs, reservations, suppressions, verdicts
from campaigns.stores.attempts import Step
from campaigns.stores.legs import LegRecord
from dialer.lines.beat import next_beat
from dialer.notify import Channel
from dialer.supervision import DATABASE_AWAY, Outage

if TYPE_CHECKING:
    from datetime import datetime

    from campaigns.model import EndedBy
    from campaigns.stores.attempts import DialOrder
    from campaigns.stores.database import Connection, Pool
    from campaigns.stores.reservations import ReservedAgent
    from campaigns.stores.verdicts import Finding
    from dialer.clock import Timekeeper
    from dialer.lines.leg import Leg
    from dialer.lines.outcome import Ending
    from dialer.notify import Notifier

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_S = 5.0
# What must not be written before a verdict or a join that came first.
_AFTER_ANSWER = frozenset(
    {AttemptState.ANNOUNCING, AttemptState.LEAVING_MESSAGE, AttemptState.ENDED}
)


@dataclass(slots=True)
class _LegRow:
    """A leg's row to be written; its dialog is read when it is."""

    leg: Leg
    kind: str
    state: str
    attempt_id: UUID | None
    agent_session_id: UUID | None
    trunk_id: UUID | None
    started_at: datetime
    answered_at: datetime | None

    def record(self, leg_id: UUID) -> LegRecord:
        """Return what is written."""
        dialog = self.leg.dialog
        return LegRecord(
            id=leg_id,
            kind=self.kind,
            attempt_id=self.attempt_id,
            agent_session_id=self.agent_session_id,
            trunk_id=self.trunk_id,
            state=self.state,
            dialog=dialog.to_json() if dialog else {},
            started_at=self.started_at,
            answered_at=self.answered_at,
        )


class Writer:
    """Queues what happened to calls and writes it in order; one per line process."""

    def __init__(
        self,
        pool: Pool,
        process_id: UUID,
        clock: Timekeeper,
        notifier: Notifier,
        *,
        on_orphan: Callable[[UUID], None],
    ) -> None:
        self._pool = pool
        self._process_id = process_id
        self._clock = clock
        self._notifier = notifier
        self._on_orphan = on_orphan
        self._outage = Outage()
        # queue
        self._steps: list[Step] = []
        self._legs: dict[int, _LegRow] = {}
        self._records: list[LegRecord] = []
        self._closed_legs: list[UUID] = []
        self._leg_ids: dict[int, UUID] = {}
        self._campaigns: dict[UUID, UUID] = {}
        self._joining: set[UUID] = set()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    def now(self) -> datetime:
        """Return the corrected time of day."""
        return self._clock.now()

    @property
    def backlog(self) -> int:
        """Return how many steps wait to be written."""
        return len(self._steps)

    # What is queued ---------------------------------------------------------------------------

    def started(self, order: DialOrder) -> None:
        """Remember whose call it is, for the hints."""
        self._campaigns[order.attempt_id] = order.campaign_id

    def step(self, step: Step) -> None:
        """Queue something that happened."""
        self._steps.append(step)
        self._wake.set()

    def ringing(self, attempt_id: UUID) -> None:
        """Queue the first 180 or 183."""
        self.step(Step(attempt_id, self.now(), state=AttemptState.RINGING))

    def answered(self, attempt_id: UUID, *, listening: bool) -> None:
        """Queue the answer."""
        self.step(Step(attempt_id, self.now(), state=AttemptState.ANSWERED, listening=listening))

    def announcing(self, attempt_id: UUID) -> None:
        """Queue the start of the announcement."""
        self.step(Step(attempt_id, self.now(), state=AttemptState.ANNOUNCING))

    def event(self, attempt_id: UUID, kind: CallEventKind, **detail: Any) -> None:
        """Queue an event that moves no state."""
        self.step(Step(attempt_id, self.now(), kind=kind, detail=detail))

    def ended(
        self,
        order: DialOrder,
        what: Outcome,
        who: EndedBy,
        ending: Ending,
        *,
        reason: str | None,
        retry_after_s: float | None,
    ) -> None:
        """Queue the end of the call."""
        self.step(
            Step(
                order.attempt_id,
                self.now(),
                state=AttemptState.ENDED,
                ending=attempts.Ending(
                    outcome=what,
                    ended_by=who,
                    sip_code=ending.code or None,
                    q850_cause=ending.cause,
                    reason=reason or ending.reason or None,
                    retry_after_s=retry_after_s,
                ),
            )
        )

    def leg(
        self,
        leg: Leg,
        *,
        kind: str,
        state: str,
        attempt_id: UUID | None = None,
        agent_session_id: UUID | None = None,
        trunk_id: UUID | None = None,
    ) -> None:
        """Queue the row of a leg; nothing without a dialog to keep."""
        if not leg.has_dialog:
            return
        known = self._legs.get(id(leg))
        now = self.now()
        self._legs[id(leg)] = _LegRow(
            leg=leg,
            kind=kind,
            attempt_id=attempt_id,
            agent_session_id=agent_session_id,
            trunk_id=trunk_id,
            state=state,
            started_at=known.started_at if known else now,
            answered_at=now if state == "up" else None,
        )
        self._wake.set()

    def leg_over(self, leg: Leg) -> None:
        """Queue the end of a leg's row; a leg that was over before its row was written gets none.

        A carrier that refuses at once is the case that matters: nobody has to end such a leg.
        """
        row = self._legs.pop(id(leg), None)
        leg_id = self._leg_ids.pop(id(leg), None)
        if leg_id is None:
            return
        if row is not None:
            self._records.append(row.record(leg_id))
        self._closed_legs.append(leg_id)
        self._wake.set()

    # Statements of their own ------------------------------------------------------------------

    async def reserve(
        self,
        attempt_id: UUID,
        finding: Finding,
        *,
        again: bool,
        within_s: float,
        token: str | None = None,
        avoided: Sequence[UUID] = (),
    ) -> ReservedAgent | None:
        """Record the verdict and hold an agent; None when there is none or Postgres is away.

        *token* is for an agent of another line process, but of none that is *avoided*.

        Without a verdict on the audio nothing has to be written first: what an agent is held for
        may still stand as dialing in its row, and the person waits one statement, not several.
        """
        try:
            async with asyncio.timeout(within_s):
                if finding.screening is not None:
                    await self.flush()
                async with self._pool.acquire() as connection:
                    agent = await reservations.reserve_agent(
                        connection,
                        self._process_id,
                        attempt_id,
                        at=self.now(),
                        finding=finding,
                        again=again,
                        token=token,
                        avoided=avoided,
                    )
        except DATABASE_AWAY as error:
            log.warning("reservation_failed", error=type(error).__name__)
            return None
        if agent is None:
            return None
        self._hint(attempt_id, agent.session_id)
        return agent

    async def joined(self, attempt_id: UUID, session_id: UUID, members: list[Leg]) -> bool:
        """Record that customer and agent hear each other; False if the call is not ours."""
        at = self.now()
        held: UUID | None = None
        self._joining.add(attempt_id)
        try:
            while True:
                try:
                    await self.flush()
                    async with (
                        asyncio.timeout(STATEMENT_TIMEOUT_S),
                        self._pool.acquire() as connection,
                    ):
                        held = await reservations.join(
                            connection, self._process_id, attempt_id, at=at
                        )
                        leg_ids = [i for i in map(self._id_of, members) if i is not None]
                        if held is not None and len(leg_ids) == len(members):
                            await legs.bridge(connection, self._process_id, leg_ids, at=at)
                    break
                except DATABASE_AWAY as error:
                    await asyncio.sleep(self._outage.began(error))
        finally:
            self._joining.discard(attempt_id)
            self._wake.set()
        self._outage.ended()
        self._hint(attempt_id, session_id)
        return held is not None

    async def bridged(self, members: list[Leg]) -> None:
        """Record that legs hear each other whose call is another process's."""
        at = self.now()
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                await self.flush()
                leg_ids = [i for i in map(self._id_of, members) if i is not None]
                async with self._pool.acquire() as connection:
                    if len(leg_ids) == len(members):
                        await legs.bridge(connection, self._process_id, leg_ids, at=at)
        except DATABASE_AWAY as error:
            # Nothing acts on the row; the legs' own rows are queued and not lost.
            log.warning("bridge_unwritten", error=type(error).__name__)

    async def release(self, attempt_id: UUID, session_id: UUID, reason: str) -> None:
        """Give a reserved agent back."""
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._pool.acquire() as connection:
                await reservations.release(
                    connection, self._process_id, attempt_id, at=self.now(), reason=reason
                )
        except DATABASE_AWAY as error:
            log.warning("release_failed", error=type(error).__name__)
        self._hint(attempt_id, session_id)

    async def opt_out(self, attempt_id: UUID) -> None:
        """Put the call's number on its seller's do-not-call list now, not when the call closes.

        Closing does it again (`end_reason`), should Postgres be away at this moment.
        """
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._pool.acquire() as connection:
                await suppressions.opt_out(connection, attempt_id)
        except DATABASE_AWAY as error:
            log.warning("opt_out_not_written_yet", error=type(error).__name__)

    def hold(self, attempt_id: UUID) -> None:
        """Keep what follows the answer back until `verdict` or `joined` has written its part."""
        self._joining.add(attempt_id)

    async def verdict(self, attempt_id: UUID, finding: Finding) -> None:
        """Record what screening found without an agent being needed; the call is on `hold`."""
        at = self.now()
        try:
            while True:
                try:
                    await self.flush()
                    async with (
                        asyncio.timeout(STATEMENT_TIMEOUT_S),
                        self._pool.acquire() as connection,
                    ):
                        await verdicts.record_verdict(
                            connection, self._process_id, attempt_id, finding, at=at
                        )
                    break
                except DATABASE_AWAY as error:
                    await asyncio.sleep(self._outage.began(error))
        finally:
            self._joining.discard(attempt_id)
            self._wake.set()

    # The queue --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            await next_beat()
            self._wake.clear()
            try:
                await self.flush()
            except DATABASE_AWAY as error:
                await asyncio.sleep(self._outage.began(error))
                self._wake.set()
            else:
                self._outage.ended()

    async def flush(self) -> None:
        """Write what is queued now; raises what says that Postgres is away, and keeps it then."""
        async with self._writing:
            steps = [step for step in self._steps if not self._has_to_wait(step)]
            held = [step for step in self._steps if self._has_to_wait(step)]
            opened = self._records + [
                row.record(self._named(leg)) for leg, row in self._legs.items()
            ]
            closed = self._closed_legs
            if not (steps or opened or closed):
                return
            self._steps, self._legs, self._records, self._closed_legs = held, {}, [], []
            try:
                async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._pool.acquire() as connection:
                    await self._write(connection, steps, opened, closed)
            except BaseException:
                # Writing a step twice changes nothing: the guard refuses the second time.
                self._steps = steps + self._steps
                self._records = opened + self._records
                self._closed_legs = closed + self._closed_legs
                raise

    def _has_to_wait(self, step: Step) -> bool:
        return step.attempt_id in self._joining and step.state in _AFTER_ANSWER

    async def _write(
        self,
        connection: Connection,
        steps: list[Step],
        opened: list[LegRecord],
        closed: list[UUID],
    ) -> None:
        if opened:
            await legs.save(connection, self._process_id, opened)
        if steps:
            applied = await attempts.advance(connection, self._process_id, steps)
            refused = {step.attempt_id for step in steps} - applied
            if refused:
                # A step whose first answer was lost is refused too, and its call is still ours.
                there = await attempts.states(connection, refused)
                refused = {i for i in refused if there.get(i) in {None, AttemptState.ENDED}}
            self._after(steps, refused)
        if closed:
            await legs.close(connection, closed, at=self.now())

    def _after(self, steps: list[Step], lost: set[UUID]) -> None:
        closable: set[UUID] = set()
        moved = False
        for step in steps:
            ended = step.state is AttemptState.ENDED
            campaign_id = self._campaigns.get(step.attempt_id)
            if lost and step.attempt_id in lost and not ended:
                self._on_orphan(step.attempt_id)
            if campaign_id is not None and step.state is not None:
                if ended:
                    del self._campaigns[step.attempt_id]
                    closable.add(campaign_id)
                moved = True
        for campaign_id in closable:
            self._notifier.post(Channel.ENGINE, campaign_id)
        if closable:
            self._notifier.post(Channel.AGENTS)
        if moved:
            self._notifier.post(Channel.BOARDS)

    def _hint(self, attempt_id: UUID, session_id: UUID) -> None:
        self._notifier.post(Channel.AGENTS, session_id)
        self._notifier.post(Channel.BOARDS)
        campaign_id = self._campaigns.get(attempt_id)
        if campaign_id is not None:
            self._notifier.post(Channel.ENGINE, campaign_id)

    def _named(self, key: int) -> UUID:
        if key not in self._leg_ids:
            self._leg_ids[key] = new_id()
        return self._leg_ids[key]

    def _id_of(self, leg: Leg) -> UUID | None:
        return self._leg_ids.get(id(leg))
