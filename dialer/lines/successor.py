"""Cleaning up after a line process that died: end its calls on the wire, close its rows.

Every orphaned dialog gets its BYE or CANCEL before anything else (design §2: within 2 s of taking
over); then its attempts are closed as interrupted, its claims go back, and the phones of its agents
are called again from here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from campaigns.model import ProcessKind
from campaigns.stores import legs, takeover, trunks
from dialer import processes
from dialer.lines import orphans
from dialer.lines.dialog import Dialog
from dialer.lines.orphans import Credentials
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool
    from campaigns.stores.legs import OpenLeg
    from dialer.notify import Notifier
    from dialer.processes import Process

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 1.5


class Successor:
    """Looks for dead line processes and takes over from them; every line process has one."""

    def __init__(self, pool: Pool, process: Process, notifier: Notifier) -> None:
        self._pool = pool
        self._process = process
        self._notifier = notifier
        self._ending: set[asyncio.Task[int]] = set()

    async def turn(self) -> None:
        """Take over from each line process that is surely gone."""
        for row in await processes.unfinished(self._pool, ProcessKind.LINES):
            if row.id == self._process.id:
                continue
            gone = row.is_gone or (row.expired_s > 0 and self._process.is_steady)
            if gone and await processes.take_over(self._pool, row.id, self._process.id):
                await self._clean_up(row.id)
        await self._finish_interrupted_clean_ups()

    async def _finish_interrupted_clean_ups(self) -> None:
        """Repeat the clean-up of processes whose successor died before it was done."""
        async with self._pool.acquire() as connection:
            unfinished = await takeover.unfinished(connection, self._process.id)
        for dead in unfinished:
            await self._clean_up(dead)

    async def _clean_up(self, dead: UUID) -> None:
        async with self._pool.acquire() as connection:
            left = await legs.open_legs(connection, dead)
            known = {trunk.id: trunk for trunk in await trunks.list_trunks(connection)}
        credentials = {
            trunk.id: Credentials(trunk.username, trunk.password)
            for trunk in known.values()
            if trunk.username and trunk.password
        }
        results = await self._end_all(left, credentials)
        now = self._process.clock.now()
        async with self._pool.acquire() as connection:
            await legs.close(connection, [leg.id for leg in left], at=now)
            closed = await takeover.close_books(connection, dead, self._process.id, at=now)
        log.warning(
            "line_process_succeeded",
            dead=str(dead),
            legs_ended=len(left),
            legs_unanswered=len(left) - sum(1 for status in results if status),
            attempts_interrupted=closed.interrupted,
            claims_returned=closed.returned,
            agents_called_again=closed.agents,
        )
        self._notifier.post(Channel.ENGINE)
        self._notifier.post(Channel.AGENTS)
        self._notifier.post(Channel.LINES, self._process.id)

    async def _end_all(
        self, left: list[OpenLeg], credentials: dict[UUID, Credentials]
    ) -> list[int]:
        """Send every BYE and CANCEL now; return the answers that came within `ANSWERS_WITHIN_S`.

        Agents and leads do not wait for a peer that says nothing: the requests are repeated in the
        background meanwhile.
        """
        ending = [
            asyncio.create_task(self._end(leg, credentials), name=f"orphan-{leg.id}")
            for leg in left
        ]
        if not ending:
            return []
        done, pending = await asyncio.wait(ending, timeout=ANSWERS_WITHIN_S)
        self._ending.update(pending)
        for task in pending:
            task.add_done_callback(self._ending.discard)
        return [task.result() for task in done]

    async def _end(self, leg: OpenLeg, credentials: dict[UUID, Credentials]) -> int:
        dialog = Dialog.from_json(leg.dialog)
        if not dialog.peer:
            return 0
        known = credentials.get(leg.trunk_id) if leg.trunk_id is not None else None
        return await orphans.end(dialog, answered=leg.answered, credentials=known)
