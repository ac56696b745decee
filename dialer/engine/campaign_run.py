"""One campaign under this engine's lease: close what ended, look, decide, claim, order.

A turn runs at every tick and whenever something happens, one at a time. Each of its writes carries
the lease's epoch, so an engine that was only slow can do no harm; nothing is kept between turns
that the rows do not hold, but what was learned and which windows the guard holds at one to one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

import pacing
from campaigns.errors import LeaseLost
from campaigns.model import CampaignState, Outcome
from campaigns.rules.retry import CallAgain
from campaigns.stores import callbacks as promises
from campaigns.stores import (
    campaigns,
    claims,
    closings,
    decisions,
    leases,
    schedules,
    snapshots,
    trunk_room,
    trunks,
    withdrawals,
)
from campaigns.stores.claims import ClaimBatch
from campaigns.stores.decisions import Quiet
from campaigns.stores.snapshots import Known
from dialer import metrics
from dialer.engine import callbacks, learning, placement, previews
from dialer.notify import Channel
from dialer.supervision import DATABASE_AWAY, Backoff
from pacing import Bound, Decision, Mode

if TYPE_CHECKING:
    from campaigns.stores.closings import ClosedAttempt
    from campaigns.stores.database import Connection, Pool
    from campaigns.stores.leases import Lease
    from campaigns.stores.snapshots import View
    from dialer.clock import Timekeeper
    from dialer.engine.day_book import DayBook
    from dialer.engine.learning import CampaignModel
    from dialer.notify import Notifier
    from dialer.supervision import Outage

log = structlog.get_logger(__name__)

TICK_S = 0.5
_UNSAVED: tuple[type[BaseException], ...] = (LeaseLost, *DATABASE_AWAY)
# The first hint is followed at once; of a burst, what it concerns is looked at once per this long.
SETTLE_S = 0.1
CLOSE_AT_ONCE = 500
SAVE_EVERY_S = 10.0
# Decisions that only repeat the last one are stored together this often, which is a sign of life.
STORE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What the runs of one engine share."""

    pool: Pool
    clock: Timekeeper
    notifier: Notifier
    day_book: DayBook
    outage: Outage
    clock_skew_s: Callable[[], float]


class CampaignRun:
    """Runs one campaign until its lease is lost, its work is done, or the engine stops."""

    def __init__(self, desk: Desk, lease: Lease) -> None:
        self.lease = lease
        self.is_done = False
        self._desk = desk
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._model: CampaignModel | None = None
        # between turns
        self._held: frozenset[str] = frozenset()
        self._stored: tuple[Bound, float] | None = None
        self._quiet: list[Quiet] = []
        self._turned_at = desk.clock.monotonic()
        self._saved_at = desk.clock.monotonic()
        self._trouble = Backoff(first_s=0.5, most_s=30.0)
        self._log = log.bind(campaign=str(lease.campaign_id), epoch=lease.epoch)

    def wake(self) -> None:
        """Have the next turn come at once."""
        self._wake.set()

    def stop(self) -> None:
        """Have the run end after the turn it is in."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Run turns; returns when the campaign needs no engine, or another one has it."""
        while not self._stopping.is_set():
            self._wake.clear()
            self._turned_at = self._desk.clock.monotonic()
            try:
                self.is_done = await self.turn()
            except LeaseLost:
                self._log.warning("campaign_lost")
                return
            except DATABASE_AWAY as error:
                await self._pause(self._desk.outage.began(error))
                continue
            except Exception:  # noqa: BLE001 - told with its trace, and tried again
                # One campaign's trouble must not stop the others; this one dials nothing meanwhile.
                pause_s = self._trouble.failed()
                self._log.exception("campaign_turn_failed", again_in_s=round(pause_s, 1))
                await self._pause(pause_s)
                continue
            self._desk.outage.ended()
            self._trouble.worked()
            if self.is_done:
                break
            await self._until_next()
        await self._save(at_once=True)
        await self._store_quiet()

    async def _pause(self, seconds: float) -> None:
        """Wait out a trouble; hints do not shorten it, the stop does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _until_next(self) -> None:
        """Wait for the next tick or a hint; both count from when the last turn began."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, TICK_S - self._since_turn_s())):
                await self._wake.wait()
                await asyncio.sleep(max(0.0, SETTLE_S - self._since_turn_s()))

    def _since_turn_s(self) -> float:
        return self._desk.clock.monotonic() - self._turned_at

    async def turn(self) -> bool:
        """Close, look, decide, claim and order once; True when there is nothing left to do."""
        now = self._desk.clock.now()
        with metrics.tick_seconds.time():
            async with self._desk.pool.acquire() as connection:
                if self._model is None:
                    self._model = await learning.load(connection, self.lease.campaign_id)
                    self._held = await decisions.held(connection, self.lease.campaign_id)
                closed = await self._close(connection, now=now)
                view = await self._look(connection, now=now)
                if view is None or view.campaign.lease_epoch != self.lease.epoch:
                    raise LeaseLost(f"campaign {self.lease.campaign_id} has another engine")
                self._model.see(view.calls)
                self._show(view)
                match view.campaign.state:
                    case CampaignState.RUNNING:
                        if await self._end_after_last_day(connection, view, now=now):
                            return False
                        await self._pace(connection, view, now=now)
                    case _:
                        if await self._wind_down(connection, view, now=now):
                            return True
        if len(closed) == CLOSE_AT_ONCE:
            self._wake.set()
        await self._save(at_once=False)
        return False

    # Closing ----------------------------------------------------------------------------------

    async def _close(self, connection: Connection, *, now: datetime) -> list[ClosedAttempt]:
        if not await closings.closable(connection, [self.lease.campaign_id]):
            return []
        closed = await closings.close_ended(connection, self.lease, at=now, limit=CLOSE_AT_ONCE)
        if self._model is not None:
            self._model.closed(learning.resolved(attempt) for attempt in closed)
        for attempt in closed:
            self._tell(attempt)
        failed = {a.trunk_id for a in closed if a.outcome is Outcome.TRUNK_FAULT}
        if failed:
            for rest in await trunks.review_faults(connection, sorted(failed), now=now):
                self._log.warning(
                    "trunk_suspended",
                    trunk=rest.name,
                    until=rest.until.isoformat(timespec="seconds"),
                    reason=rest.reason,
                )
        if closed:
            self._desk.notifier.post(Channel.BOARDS)
        return closed

    def _tell(self, attempt: ClosedAttempt) -> None:
        """Write the canonical line of an attempt."""
        again = attempt.result.at if isinstance(attempt.result, CallAgain) else None
        done = None if isinstance(attempt.result, CallAgain) else attempt.result.reason
        metrics.attempts_ended.labels(
            campaign=str(self.lease.campaign_id),
            outcome=attempt.outcome.value,
            verdict=attempt.verdict.value if attempt.verdict else "",
        ).inc()
        self._log.info(
            "attempt_ended",
            attempt=str(attempt.attempt_id),
            lead=str(attempt.lead_id),
            trunk=str(attempt.trunk_id),
            agent=_text(attempt.agent_id),
            region=attempt.region,
            mode=attempt.mode,
            outcome=attempt.outcome.value,
            verdict=_text(attempt.verdict),
            disposition=_text(attempt.disposition),
            ended_by=_text(attempt.ended_by),
            sip_code=attempt.sip_code,
            q850_cause=attempt.q850_cause,
            reason=attempt.end_reason,
            dial_s=_seconds(attempt.claimed_at, attempt.dialing_at),
            ring_s=_seconds(attempt.dialing_at, attempt.answered_at or attempt.ended_at),
            wait_s=_seconds(attempt.answered_at, attempt.joined_at),
            talk_s=_seconds(attempt.joined_at, attempt.ended_at),
            charged=attempt.result.charged,
            answered_by_person=attempt.count.answered_by_person,
            abandoned=attempt.count.abandoned,
            call_again_at=_text(again and again.isoformat(timespec="seconds")),
            done=_text(done),
        )

    # Pacing -----------------------------------------------------------------------------------

    async def _look(self, connection: Connection, *, now: datetime) -> View | None:
        model = self._model or learning.CampaignModel()
        today = await self._desk.day_book.today(connection, self.lease.campaign_id, now=now)
        known = Known(
            history=model.history(),
            person_share=model.person_share,
            held=self._held,
            today=today,
            clock_skew_s=self._desk.clock_skew_s(),
        )
        return await snapshots.take(connection, self.lease.campaign_id, known, now=now)

    async def _pace(self, connection: Connection, view: View, *, now: datetime) -> None:
        decision = pacing.decide(view.snapshot)
        self._held = frozenset(filter(None, str(decision.evidence.get("held", "")).split(", ")))
        if decision.bound is Bound.NO_AGENTS and view.claimed:
            await self._return_claims(connection, "no agent is left", now=now)
        batch = ClaimBatch([], {})
        if view.claimed:
            await previews.settle(connection, self.lease, view, self._desk.notifier, now=now)
        if view.ready:
            await self._offer_callbacks(connection, view, now=now)
        if view.campaign.mode is Mode.PREVIEW and view.ready and view.snapshot.callable_leads:
            batch = await self._offer(connection, view, decision, now=now)
        elif decision.originate > 0:
            batch = await self._claim(connection, view, decision, now=now)
        elif self._is_news(decision):
            await self._store(connection, view, decision, batch, now=now)
        else:
            self._quiet.append(Quiet(now, view.snapshot, decision))
        self._report(decision, batch)

    async def _claim(
        self, connection: Connection, view: View, decision: Decision, *, now: datetime
    ) -> ClaimBatch:
        """Claim and order the calls of one decision; it is stored in the same transaction."""
        today = await self._desk.day_book.today(connection, self.lease.campaign_id, now=now)
        async with connection.transaction():
            await leases.hold(connection, self.lease)
            rooms = await trunk_room.lock(connection, self.lease.campaign_id, now=now, today=today)
            batch = await claims.claim(
                connection,
                campaign=view.campaign,
                epoch=self.lease.epoch,
                now=now,
                count=decision.originate,
                slots=placement.slots(decision.originate, view.lines, rooms),
                one_to_one=view.snapshot.over_dialing_forbidden is not None
                or view.campaign.mode in (pacing.Mode.PROGRESSIVE, pacing.Mode.PREVIEW),
            )
            used = Counter(claimed.trunk_id for claimed in batch.claimed)
            await trunk_room.spend(connection, rooms, used, now=now)
            await self._store(connection, view, decision, batch, now=now)
        for process_id in {claimed.process_id for claimed in batch.claimed}:
            self._desk.notifier.post(Channel.LINES, process_id)
        if batch.claimed and self._model is not None:
            theta = decision.evidence.get("theta_at_dial")
            self._model.dialed(
                len(batch.claimed), float(theta) if isinstance(theta, int | float) else None
            )
            self._desk.notifier.post(Channel.BOARDS)
        return batch

    async def _offer_callbacks(self, connection: Connection, view: View, *, now: datetime) -> None:
        """Show due personal callbacks to their agents, whatever mode the campaign is in."""
        due = await promises.due_for_ready_agents(connection, self.lease.campaign_id, now=now)
        if not due:
            return
        today = await self._desk.day_book.today(connection, self.lease.campaign_id, now=now)
        async with connection.transaction():
            await leases.hold(connection, self.lease)
            shown = await callbacks.offer(connection, self.lease, view, due, today=today, now=now)
        if shown:
            self._desk.notifier.post(Channel.AGENTS)
            self._desk.notifier.post(Channel.BOARDS)

    async def _offer(
        self, connection: Connection, view: View, decision: Decision, *, now: datetime
    ) -> ClaimBatch:
        """Show ready agents a lead each; what was claimed is stored in the same transaction."""
        today = await self._desk.day_book.today(connection, self.lease.campaign_id, now=now)
        async with connection.transaction():
            await leases.hold(connection, self.lease)
            batch = await previews.offer(connection, self.lease, view, today=today, now=now)
            if batch.claimed or self._is_news(decision):
                await self._store(connection, view, decision, batch, now=now)
            else:
                self._quiet.append(Quiet(now, view.snapshot, decision))
        if batch.claimed:
            self._desk.notifier.post(Channel.AGENTS)
            self._desk.notifier.post(Channel.BOARDS)
        return batch

    def _is_news(self, decision: Decision) -> bool:
        if self._stored is None:
            return True
        bound, at = self._stored
        return bound is not decision.bound or self._desk.clock.monotonic() - at > STORE_EVERY_S

    async def _store(
        self,
        connection: Connection,
        view: View,
        decision: Decision,
        batch: ClaimBatch,
        *,
        now: datetime,
    ) -> None:
        await decisions.store(
            connection,
            campaign_id=self.lease.campaign_id,
            epoch=self.lease.epoch,
            at=now,
            snapshot=view.snapshot,
            decision=decision,
            claimed=len(batch.claimed),
            extra=_circumstances(view, batch),
            quiet=self._quiet,
        )
        self._quiet = []
        self._stored = (decision.bound, self._desk.clock.monotonic())

    async def _store_quiet(self) -> None:
        """Store the decisions that still wait for a row to ride on."""
        if not self._quiet:
            return
        *before, last = self._quiet
        try:
            async with self._desk.pool.acquire() as connection:
                await decisions.store(
                    connection,
                    campaign_id=self.lease.campaign_id,
                    epoch=self.lease.epoch,
                    at=last.at,
                    snapshot=last.snapshot,
                    decision=last.decision,
                    claimed=0,
                    quiet=before,
                )
        except DATABASE_AWAY as error:
            self._log.debug("decisions_unsaved", error=type(error).__name__)
        self._quiet = []

    def _report(self, decision: Decision, batch: ClaimBatch) -> None:
        """Write the canonical line of a tick; one that starts nothing is for debugging only."""
        campaign = str(self.lease.campaign_id)
        metrics.decisions_made.labels(campaign=campaign, bound=decision.bound.value).inc()
        if decision.originate:
            # In preview the claims are shown, and agents order the calls.
            metrics.calls_started.labels(campaign=campaign).inc(len(batch.claimed))
        write = self._log.info if batch.claimed else self._log.debug
        evidence = decision.evidence
        write(
            "paced",
            originate=decision.originate,
            claimed=len(batch.claimed),
            bound=decision.bound.value,
            agents=evidence.get("agents"),
            ready=evidence.get("ready"),
            pending=evidence.get("pending"),
            waiting=evidence.get("waiting"),
            guard=evidence.get("guard"),
            denied={str(rule): leads for rule, leads in batch.denied.items()} or None,
        )

    async def _end_after_last_day(
        self, connection: Connection, view: View, *, now: datetime
    ) -> bool:
        """Stop a campaign whose schedule is over; the next turn winds it down."""
        if not schedules.is_over(view.campaign.schedule, now):
            return False
        if await schedules.stop_after_last_day(
            connection, self.lease.campaign_id, self.lease.epoch
        ):
            self._log.info("campaign_over", name=view.campaign.name)
        self._wake.set()
        return True

    async def _wind_down(self, connection: Connection, view: View, *, now: datetime) -> bool:
        """Start nothing; True once the campaign needs no engine any more."""
        if view.claimed:
            await self._return_claims(connection, f"campaign {view.campaign.state}", now=now)
            return False
        if view.live:
            return False
        if view.campaign.state is CampaignState.STOPPING:
            if not await campaigns.finish_stopping(
                connection, self.lease.campaign_id, self.lease.epoch
            ):
                return False
            self._log.info("campaign_stopped", name=view.campaign.name)
            self._desk.notifier.post(Channel.BOARDS)
        return True

    async def _return_claims(self, connection: Connection, reason: str, *, now: datetime) -> None:
        async with connection.transaction():
            await leases.hold(connection, self.lease)
            returned = await withdrawals.return_claimed(
                connection, at=now, reason=reason, campaign_id=self.lease.campaign_id
            )
        if returned:
            self._log.info("claims_returned", calls=returned, reason=reason)

    # What is kept and shown -------------------------------------------------------------------

    async def _save(self, *, at_once: bool) -> None:
        """Keep what was learned; a failure costs a little learning and nothing else."""
        due = self._desk.clock.monotonic() - self._saved_at > SAVE_EVERY_S
        if self._model is None or not self._model.changed or not (due or at_once):
            return
        try:
            async with self._desk.pool.acquire() as connection, connection.transaction():
                await leases.hold(connection, self.lease)
                await learning.save(
                    connection, self.lease.campaign_id, self._model, at=self._desk.clock.now()
                )
        except _UNSAVED as error:
            self._log.debug("model_unsaved", error=type(error).__name__)
        self._saved_at = self._desk.clock.monotonic()

    def _show(self, view: View) -> None:
        name = view.campaign.name
        metrics.calls_in_flight.labels(campaign=name).set(len(view.snapshot.pending))
        states = Counter(agent.stage.value for agent in view.snapshot.agents)
        for stage in pacing.AgentStage:
            metrics.agents_logged_in.labels(campaign=name, state=stage.value).set(
                states[stage.value]
            )
        for window in view.windows:
            labels = {"campaign": name, "window": window.name}
            metrics.answered_by_person.labels(**labels).set(window.answered_by_person)
            metrics.abandoned_calls.labels(**labels).set(window.abandoned)


def _circumstances(view: View, batch: ClaimBatch) -> dict[str, Any]:
    """Return what the engine knows beside the pacer's evidence."""
    return {
        "denied": {str(rule): leads for rule, leads in batch.denied.items()},
        "no_slot": batch.no_slot,
        "line_processes": len(view.lines),
        "line_room": sum(line.free for line in view.lines if line.agents),
        "seeded_answers": sum(window.seeded_answered for window in view.windows),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return round((end - start).total_seconds(), 3)
