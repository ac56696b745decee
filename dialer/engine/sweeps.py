"""What nobody else looks after: wrap-ups past their limit, trunks that rested, what the dead left.

Every sweep is one guarded statement or a few, safe to run in several engines at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from campaigns.model import ProcessKind
from campaigns.stores import ledger, legs, records, session_sweeps, trunks, withdrawals
from dialer import processes
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool
    from dialer.notify import Notifier
    from dialer.processes import Process

log = structlog.get_logger(__name__)

# A claim not dialed for this long is given back: its line process is stuck or full.
UNDIALED_S = 10.0
# How long line processes have to take over from a dead one before the engine closes its books.
SUCCESSION_S = 15.0
KEEP_DECISIONS = timedelta(days=14)
KEEP_LEGS = timedelta(days=1)
KEEP_COMMANDS = timedelta(days=1)
LINES_DIED = "line process died"
# How long a stuck state must last before it is mended: longer than any transaction.
STUCK_S = 5.0


async def agents(connection: Connection, notifier: Notifier, *, now: datetime) -> None:
    """End the wrap-ups whose limit has passed."""
    for session in await session_sweeps.end_wrap_ups(connection, now=now):
        log.info("wrap_up_ended", session=str(session.id), state=session.state.value)
        notifier.post(Channel.AGENTS, session.id)
        notifier.post(Channel.ENGINE)


async def calls(connection: Connection, process_id: UUID, *, now: datetime) -> None:
    """Give back claims nobody dials, end calls nobody holds, let rested trunks work again."""
    undialed = await withdrawals.return_claimed(
        connection,
        at=now,
        reason="not dialed in time",
        claimed_before=now - timedelta(seconds=UNDIALED_S),
    )
    if undialed:
        log.warning("claims_returned", calls=undialed, reason="not dialed in time")
    lost = await withdrawals.interrupt_overdue(connection, at=now, by=process_id)
    if lost:
        log.warning("calls_lost", attempts=[str(attempt) for attempt in lost])
    for trunk in await trunks.resume_due(connection, now=now):
        log.info("trunk_resumed", trunk=trunk)


async def stuck_agents(connection: Connection, notifier: Notifier, *, now: datetime) -> None:
    """Free agents whose call is over or gone: no crash may leave a reservation behind."""
    rows = await connection.fetch(
        """
        -- A session in a call that no live call knows, for longer than any transaction lasts.
        SELECT s.id
        FROM agent_session s
        LEFT JOIN live_attempt a ON a.id = s.attempt_id AND a.agent_session_id = s.id
        WHERE s.state IN ('reserved', 'talking', 'wrap_up') AND s.state_since < $1
          AND (a.id IS NULL OR (a.state = 'ended' AND s.state <> 'wrap_up'))
        """,
        now - timedelta(seconds=STUCK_S),
    )
    for row in rows:
        async with connection.transaction():
            freed = await session_sweeps.free_stuck(connection, row["id"], at=now)
        log.warning("agent_freed", session=str(row["id"]), state=freed and freed.value)
        notifier.post(Channel.AGENTS, row["id"])


async def dead_lines(
    connection: Connection, process: Process, notifier: Notifier, *, now: datetime
) -> None:
    """Do for a dead line process what its successor does, when there is no successor.

    Claims go back at once; the rest only when no line process has come for a while. After an outage
    of Postgres all leases have run out, so this waits until it has renewed its own for a whole one.
    """
    if not process.is_steady:
        return
    dead = await processes.expired(connection, ProcessKind.LINES)
    for row in dead:
        returned = await withdrawals.return_claimed(
            connection, at=now, reason=LINES_DIED, process_id=row.id
        )
        if returned:
            log.warning("claims_returned", calls=returned, reason=LINES_DIED, dead=str(row.id))
    if not dead or await processes.alive(connection, ProcessKind.LINES):
        return
    for row in dead:
        late = row.expired_s > SUCCESSION_S
        if late and await processes.take_over(connection, row.id, process.id):
            ended = await withdrawals.interrupt(
                connection, row.id, at=now, by=process.id, reason=LINES_DIED
            )
            log.warning("line_process_closed", dead=str(row.id), attempts_interrupted=len(ended))
            notifier.post(Channel.AGENTS)
            notifier.post(Channel.ENGINE)


async def lost_phones(connection: Connection, notifier: Notifier, *, now: datetime) -> None:
    """Take agents offline whose line process ended and whom no other one has taken over."""
    rows = await connection.fetch(
        "SELECT DISTINCT p.id FROM agent_session s JOIN process p ON p.id = s.process_id"
        " WHERE p.ended_at < clock_timestamp() - make_interval(secs => $1)"
        " AND s.state IN ('paused', 'ready')",
        STUCK_S,
    )
    for row in rows:
        for session in await session_sweeps.lose_process(
            connection, row["id"], at=now, reason="line process ended"
        ):
            log.warning("agent_offline", session=str(session.id), reason="line process ended")
            notifier.post(Channel.AGENTS, session.id)


async def hours(pool: Pool, campaign_ids: Sequence[UUID], *, now: datetime) -> None:
    """Close the ledger's hours of the campaigns held."""
    for campaign_id in campaign_ids:
        async with pool.acquire() as connection:
            closed = await ledger.close_hours(connection, campaign_id, now=now)
        if closed:
            log.info("ledger_hours_closed", campaign=str(campaign_id), hours=closed)


async def recount(pool: Pool, campaign_ids: Sequence[UUID], *, now: datetime) -> None:
    """Check the ledger's closed hours of the last month against the attempts (PACE-7)."""
    for campaign_id in campaign_ids:
        async with pool.acquire() as connection:
            wrong = await ledger.recount(connection, campaign_id, since=now - timedelta(days=31))
        for hour in wrong:
            log.error(
                "ledger_hour_wrong",
                campaign=str(campaign_id),
                hour=hour.hour.isoformat(timespec="minutes"),
                stored=list(hour.stored),
                recounted=list(hour.recounted),
            )


async def housekeeping(connection: Connection, *, now: datetime) -> None:
    """Make partitions ahead, drop what is kept no longer."""
    await connection.execute("SELECT ensure_partitions($1)", now)
    dropped = await connection.fetchval("SELECT drop_old_decisions($1)", now - KEEP_DECISIONS)
    await legs.forget_ended(connection, before=now - KEEP_LEGS)
    await connection.execute(
        "DELETE FROM line_command WHERE taken_at < $1 OR created_at < $1", now - KEEP_COMMANDS
    )
    if dropped:
        log.info("decisions_dropped", days=dropped)
    await _keep_records(connection, now=now)


async def _keep_records(connection: Connection, *, now: datetime) -> None:
    """Seal the days that are over, look for gaps in them, drop what no law wants kept."""
    sealed = await records.seal_days(connection, now=now)
    if sealed:
        log.info("records_sealed", days=len(sealed), last=sealed[-1].day.isoformat())
        since = datetime.combine(sealed[0].day, time(), UTC)
        _, gaps = await records.gaps(connection, since=since, until=now)
        await records.note_gaps(connection, gaps)
        for gap in gaps:
            log.error("record_gap", day=gap.day.isoformat(), field=gap.field, attempts=gap.attempts)
    months = await records.drop_old_months(connection, now=now)
    if months:
        log.info("records_dropped", months=months)
