"""The engine: takes campaign leases, runs each campaign, sweeps up after everybody.

Any number of engines may run. Each campaign belongs to one of them at a time; when an engine dies
its leases run out within seconds and the others take them. Calls, agents and conversations do not
notice: they live in line processes and rows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from campaigns.stores import leases
from dialer import metrics
from dialer.engine import sweeps
from dialer.engine.campaign_run import CampaignRun, Desk
from dialer.engine.day_book import DayBook
from dialer.notify import Channel
from dialer.supervision import DATABASE_AWAY, Backoff

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool
    from campaigns.stores.leases import Lease
    from dialer.notify import Hint, Notifier
    from dialer.processes import Process
    from dialer.supervision import Outage, Supervisor

log = structlog.get_logger(__name__)

LEASE_EVERY_S = 1.0
AGENTS_EVERY_S = 0.25
CALLS_EVERY_S = 1.0
DEAD_EVERY_S = 1.0
HOURS_EVERY_S = 60.0
RECOUNT_EVERY_S = 86_400.0
HOUSEKEEPING_EVERY_S = 3600.0
# A turn that is under way may finish this long after the stop.
LAST_TURN_S = 10.0


class Engine:
    """Holds leases and runs their campaigns; `run` it under a supervisor."""

    def __init__(self, pool: Pool, process: Process, notifier: Notifier) -> None:
        self._pool = pool
        self._process = process
        self._notifier = notifier
        self._day_book = DayBook(process.clock)
        self._runs: dict[UUID, CampaignRun] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    @property
    def outage(self) -> Outage:
        """Return what this process knows about Postgres being away: said once, by whoever sees."""
        return self._process.outage

    @property
    def held(self) -> list[Lease]:
        """Return the leases held."""
        return [run.lease for run in self._runs.values()]

    def hear(self, hint: Hint) -> None:
        """Wake what a hint on channel `engine` may concern."""
        if hint.channel is not Channel.ENGINE:
            return
        run = None
        with contextlib.suppress(ValueError):
            run = self._runs.get(UUID(hint.payload))
        if run is not None:
            run.wake()
            return
        for each in self._runs.values():
            each.wake()
        self._wake.set()

    async def ready(self) -> str | None:
        """Return why this engine cannot work now, None when it can."""
        if self.outage.away:
            return "Postgres does not answer."
        return None if self._process.holds_lease else "The lease of this process has run out."

    async def run(self, supervisor: Supervisor) -> None:
        """Work until the supervisor stops; then finish the turns under way and give leases back."""
        side_tasks = [
            supervisor.spawn(name, self._repeat(supervisor, every_s, turn))
            for name, every_s, turn in (
                ("sweep agents", AGENTS_EVERY_S, self._sweep_agents),
                ("sweep calls", CALLS_EVERY_S, self._sweep_calls),
                ("sweep the dead", DEAD_EVERY_S, self._sweep_the_dead),
                ("close hours", HOURS_EVERY_S, self._close_hours),
                ("recount", RECOUNT_EVERY_S, self._recount),
                ("housekeeping", HOUSEKEEPING_EVERY_S, self._housekeeping),
            )
        ]
        try:
            while not supervisor.stopping.is_set():
                await self._lease_turn(supervisor)
        finally:
            for task in side_tasks:
                task.cancel()
            await self._let_go()

    # Leases -----------------------------------------------------------------------------------

    async def _lease_turn(self, supervisor: Supervisor) -> None:
        self._wake.clear()
        pause_s = LEASE_EVERY_S
        try:
            await self._hold_leases(supervisor)
        except DATABASE_AWAY as error:
            pause_s = self.outage.began(error)
            # Connections that died with the server would fail one by one once it is back.
            with contextlib.suppress(*DATABASE_AWAY):
                await self._pool.expire_connections()
        else:
            self.outage.ended()
        metrics.campaigns_held.set(len(self._runs))
        metrics.database_away.set(self.outage.away)
        await self._rest(supervisor, pause_s)

    async def _rest(self, supervisor: Supervisor, pause_s: float) -> None:
        """Wait for the next turn: a hint or the stop may end it early."""
        waits = [
            asyncio.create_task(event.wait(), name=f"lease turn: {name}")
            for name, event in (("hint", self._wake), ("stop", supervisor.stopping))
        ]
        try:
            await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _hold_leases(self, supervisor: Supervisor) -> None:
        finished = [run for key, run in self._runs.items() if self._tasks[key].done()]
        async with self._pool.acquire() as connection:
            for run in finished:
                self._forget(run)
            done = [run.lease for run in finished if run.is_done]
            if done:
                await leases.give_back(connection, done)
            kept = await leases.renew(connection, self.held)
            for lease in set(self.held) - kept:
                log.warning("lease_lost", campaign=str(lease.campaign_id), epoch=lease.epoch)
                self._runs[lease.campaign_id].stop()
            if not self._process.holds_lease:
                return
            for lease in await leases.take_free(connection, self._process.id):
                self._start(supervisor, lease)

    def _start(self, supervisor: Supervisor, lease: Lease) -> None:
        log.info("lease_taken", campaign=str(lease.campaign_id), epoch=lease.epoch)
        previous = self._runs.get(lease.campaign_id)
        if previous is not None:
            # Our own lease ran out unnoticed, and we got it back: the old run must not go on.
            previous.stop()
        run = CampaignRun(
            Desk(
                pool=self._pool,
                clock=self._process.clock,
                notifier=self._notifier,
                day_book=self._day_book,
                outage=self.outage,
                clock_skew_s=lambda: self._process.clock.offset_s,
            ),
            lease,
        )
        self._runs[lease.campaign_id] = run
        self._tasks[lease.campaign_id] = supervisor.spawn(
            f"campaign {lease.campaign_id}", run.run()
        )

    def _forget(self, run: CampaignRun) -> None:
        del self._runs[run.lease.campaign_id]
        del self._tasks[run.lease.campaign_id]

    async def _let_go(self) -> None:
        for run in self._runs.values():
            run.stop()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=LAST_TURN_S)
        for task in self._tasks.values():
            task.cancel()
        held = self.held
        with contextlib.suppress(*DATABASE_AWAY):
            async with self._pool.acquire() as connection:
                await leases.give_back(connection, held)
        self._runs.clear()
        self._tasks.clear()

    # Sweeps -----------------------------------------------------------------------------------

    async def _repeat(
        self, supervisor: Supervisor, every_s: float, turn: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Run a sweep for ever; one that fails is told and tried again later."""
        trouble = Backoff(first_s=1.0, most_s=60.0)

        async def guarded() -> None:
            try:
                await turn()
            except DATABASE_AWAY:
                raise
            except Exception:
                pause_s = trouble.failed()
                log.exception("sweep_failed", sweep=turn.__name__, again_in_s=round(pause_s, 1))
                await supervisor.pause(pause_s)
            else:
                trouble.worked()

        await supervisor.repeat(every_s, guarded, outage=self.outage)

    async def _sweep_agents(self) -> None:
        async with self._pool.acquire() as connection:
            await sweeps.agents(connection, self._notifier, now=self._process.clock.now())

    async def _sweep_calls(self) -> None:
        async with self._pool.acquire() as connection:
            await sweeps.calls(connection, self._process.id, now=self._process.clock.now())

    async def _sweep_the_dead(self) -> None:
        now = self._process.clock.now()
        async with self._pool.acquire() as connection:
            await self._bury(connection)
            await sweeps.stuck_agents(connection, self._notifier, now=now)
            await sweeps.lost_phones(connection, self._notifier, now=now)

    async def _bury(self, connection: Connection) -> None:
        await sweeps.dead_lines(
            connection, self._process, self._notifier, now=self._process.clock.now()
        )

    async def _close_hours(self) -> None:
        await sweeps.hours(self._pool, list(self._runs), now=self._process.clock.now())

    async def _recount(self) -> None:
        await sweeps.recount(self._pool, list(self._runs), now=self._process.clock.now())

    async def _housekeeping(self) -> None:
        async with self._pool.acquire() as connection:
            await sweeps.housekeeping(connection, now=self._process.clock.now())
