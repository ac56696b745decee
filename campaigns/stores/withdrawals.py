"""Taking calls back: claims returned untouched, ringing calls cancelled, lost calls interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import Reservation, new_id
from campaigns.stores import session_sweeps, sessions

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


# How far past its own timers a call must be before nobody can be holding it any more.
OVERDUE_S = 30.0


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a stop took back.

    `returned` claims went back to their list undialed; `cancelling` calls ring and are being
    cancelled by the line processes in `processes`, which want a NOTIFY 'lines'.
    """

    returned: int
    cancelling: int
    processes: frozenset[UUID]


async def return_claimed(
    connection: Connection,
    *,
    at: datetime,
    reason: str,
    campaign_id: UUID | None = None,
    process_id: UUID | None = None,
    claimed_before: datetime | None = None,
    attempt_ids: Sequence[UUID] | None = None,
    next_call_at: datetime | None = None,
) -> int:
    """Give claims that nobody has dialed back to their lists as they were; return how many.

    Those of the campaign, of the line process, claimed before a time, of these ids: what is given
    must all match. A claim that is being dialed at this moment stays, and a preview counts as
    claimed when it is ordered. Agents who were shown one are free again. The leads are called from
    *next_call_at* on, if it is given.
    """
    async with connection.transaction():
        rows = await connection.fetch(
            """
            -- The row goes, the event tells; the lead is as callable as it was.
            WITH gone AS (
                DELETE FROM live_attempt a
                WHERE a.state = 'claimed'
                  AND ($1::uuid IS NULL OR a.campaign_id = $1)
                  AND ($2::uuid IS NULL OR a.process_id = $2)
                  AND ($3::timestamptz IS NULL OR a.ordered_at < $3
                       OR (a.preview_until IS NULL AND a.claimed_at < $3))
                  AND ($4::uuid[] IS NULL OR a.id = ANY($4))
                RETURNING a.id, a.lead_id, a.process_id, a.reservation
            ), freed AS (
                UPDATE lead l
                SET state = 'open', next_call_at = COALESCE($5, l.next_call_at)
                FROM gone g
                WHERE l.id = g.lead_id AND l.state = 'in_call'
            )
            SELECT g.id, g.process_id, g.reservation FROM gone g
            """,
            campaign_id,
            process_id,
            claimed_before,
            None if attempt_ids is None else list(attempt_ids),
            next_call_at,
        )
        if rows:
            await _tell_returned(connection, rows, at=at, reason=reason)
        shown = [row["id"] for row in rows if row["reservation"] == Reservation.RESERVED]
        if shown:
            await _free_agents(connection, shown, at=at)
    return len(rows)


async def _tell_returned(
    connection: Connection, rows: Sequence[Any], *, at: datetime, reason: str
) -> None:
    await connection.execute(
        "INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)"
        " SELECT e.id, e.attempt_id, 'returned', $4, e.process_id, $5"
        " FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS e(id, attempt_id, process_id)",
        [new_id() for _ in rows],
        [row["id"] for row in rows],
        [row["process_id"] for row in rows],
        at,
        {"reason": reason},
    )


async def _free_agents(
    connection: Connection, attempt_ids: Sequence[UUID], *, at: datetime
) -> None:
    """Put the agents who were shown these calls back to work, or where they asked to go."""
    rows = await connection.fetch(
        f"SELECT {sessions.COLUMNS} FROM agent_session s"  # noqa: S608 - own columns
        " WHERE s.attempt_id = ANY($1::uuid[]) AND s.state = 'reserved' ORDER BY s.id FOR UPDATE",
        list(attempt_ids),
    )
    await sessions.rest(connection, [sessions.session_of(row) for row in rows], at=at)


async def order_cancel(
    connection: Connection, attempt_ids: Sequence[UUID], *, reason: str
) -> frozenset[UUID]:
    """Have calls nobody has answered yet cancelled at once; return the line processes to notify.

    For suppression and emergency stop, the two that may cut the minimum ring short.
    """
    rows = await connection.fetch(
        "SELECT id, process_id FROM live_attempt"
        " WHERE id = ANY($1::uuid[]) AND state IN ('claimed', 'dialing', 'ringing')",
        list(attempt_ids),
    )
    await connection.execute(
        "INSERT INTO line_command (id, process_id, kind, attempt_id, detail)"
        " SELECT n.id, n.process_id, 'cancel', n.attempt_id, $4"
        " FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS n(id, process_id, attempt_id)",
        [new_id() for _ in rows],
        [row["process_id"] for row in rows],
        [row["id"] for row in rows],
        {"reason": reason},
    )
    return frozenset(row["process_id"] for row in rows)


async def emergency_stop(connection: Connection, name: str, *, at: datetime) -> Withdrawn:
    """Stop campaign *name* now: nothing more is dialed, what rings is cancelled, talks go on.

    Raises `UserError` if there is no such campaign or it is not at work.
    """
    async with connection.transaction():
        # The engine's claims share-lock this row: after the update none of theirs is uncommitted.
        campaign_id = await connection.fetchval(
            "UPDATE campaign SET state = 'stopping'"
            " WHERE name = $1 AND state IN ('running', 'paused', 'stopping') RETURNING id",
            name,
        )
        if campaign_id is None:
            raise UserError(f"Campaign {name!r} is not running: there is nothing to stop.")
        returned = await return_claimed(
            connection, at=at, reason="emergency stop", campaign_id=campaign_id
        )
        unanswered = await connection.fetch(
            "SELECT id FROM live_attempt"
            " WHERE campaign_id = $1 AND state IN ('dialing', 'ringing')",
            campaign_id,
        )
        processes = await order_cancel(
            connection, [row["id"] for row in unanswered], reason="emergency stop"
        )
    return Withdrawn(returned, len(unanswered), processes)


async def interrupt(
    connection: Connection, process_id: UUID, *, at: datetime, by: UUID, reason: str
) -> list[UUID]:
    """End the calls of a dead line process as interrupted; return them.

    *by* is the process that cleans up. Claims are returned, agents lose their phone: those who
    talked or were reserved go offline, one in wrap-up finishes it. Call it after the BYEs.
    """
    async with connection.transaction():
        await return_claimed(connection, at=at, reason=reason, process_id=process_id)
        rows = await connection.fetch(
            "SELECT id FROM live_attempt"
            " WHERE process_id = $1 AND state NOT IN ('claimed', 'ended') ORDER BY id FOR UPDATE",
            process_id,
        )
        ended = [row["id"] for row in rows]
        await _end_interrupted(connection, ended, at=at, by=by, reason=reason)
        await session_sweeps.lose_process(connection, process_id, at=at, reason=reason)
        return ended


async def interrupt_overdue(connection: Connection, *, at: datetime, by: UUID) -> list[UUID]:
    """End the calls whose line process lives but has lost them; return them.

    A call that rings past its ring timeout, or lasts past its longest duration, by a wide margin is
    nobody's: the answer to its dial order was lost with the connection that asked for it.
    """
    async with connection.transaction():
        rows = await connection.fetch(
            """
            SELECT a.id
            FROM live_attempt a
            WHERE CASE WHEN a.state IN ('dialing', 'ringing')
                       THEN a.dialing_at + make_interval(
                                secs => (a.timers->>'ring_timeout_s')::float8 + $2)
                       WHEN a.state NOT IN ('claimed', 'ended')
                       THEN a.answered_at + make_interval(
                                secs => (a.timers->>'max_call_s')::float8 + $2)
                  END < $1
            ORDER BY a.id
            FOR UPDATE SKIP LOCKED
            """,
            at,
            OVERDUE_S,
        )
        ended = [row["id"] for row in rows]
        await _end_interrupted(connection, ended, at=at, by=by, reason="lost by its line process")
        return ended


async def _end_interrupted(
    connection: Connection, attempt_ids: Sequence[UUID], *, at: datetime, by: UUID, reason: str
) -> None:
    if not attempt_ids:
        return
    await connection.execute(
        """
        -- Reservations that never joined are forgotten; a joined agent stays on the record.
        UPDATE live_attempt a
        SET state = 'ended',
            outcome = 'interrupted',
            ended_by = 'us',
            ended_at = $2,
            end_reason = $3,
            disposition = CASE WHEN a.reservation = 'joined'
                               THEN COALESCE(a.disposition, 'none') ELSE a.disposition END,
            agent_session_id = CASE WHEN a.reservation = 'joined' THEN a.agent_session_id END,
            agent_id = CASE WHEN a.joined_at IS NULL THEN NULL ELSE a.agent_id END,
            reservation = CASE WHEN a.reservation = 'reserved' THEN 'released'
                               ELSE a.reservation END
        WHERE a.id = ANY($1::uuid[])
        """,
        list(attempt_ids),
        at,
        reason,
    )
    await connection.execute(
        "INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)"
        " SELECT e.id, e.attempt_id, 'interrupted', $3, $4, $5"
        " FROM unnest($1::uuid[], $2::uuid[]) AS e(id, attempt_id)",
        [new_id() for _ in attempt_ids],
        list(attempt_ids),
        at,
        by,
        {"reason": reason},
    )
