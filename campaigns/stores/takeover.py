"""Closing the books of a dead line process: its attempts, its claims, its agents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.model import AgentState, new_id
from campaigns.stores import sessions
from campaigns.stores.line_commands import CommandKind, send

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

LINES_DIED = "line process died"


@dataclass(frozen=True, slots=True)
class Closed:
    """What was left and what became of it."""

    interrupted: int
    returned: int
    agents: int


async def unfinished(connection: Connection, successor: UUID) -> list[UUID]:
    """Return dead processes whose clean-up is not done and whose successor is this one or gone."""
    rows = await connection.fetch(
        """
        -- A successor that died too leaves its work to whoever comes next.
        SELECT DISTINCT p.id
        FROM process p
        LEFT JOIN process s ON s.id = p.taken_over_by
        WHERE p.kind = 'lines'
          AND p.taken_over_by IS NOT NULL
          AND (p.taken_over_by = $1 OR s.ended_at IS NOT NULL)
          AND (EXISTS (SELECT FROM live_attempt a WHERE a.process_id = p.id AND a.state <> 'ended')
               OR EXISTS (SELECT FROM agent_session g WHERE g.process_id = p.id)
               OR EXISTS (SELECT FROM leg l WHERE l.process_id = p.id AND l.ended_at IS NULL))
        """,
        successor,
    )
    return [row["id"] for row in rows]


async def close_books(
    connection: Connection, dead: UUID, successor: UUID, *, at: datetime
) -> Closed:
    """Close what *dead* held, in one transaction.

    Claims that never left go back to the list untouched; every other attempt ends as interrupted;
    the agents come over to *successor*, which calls their phones and makes those ready who were at
    work.
    """
    async with connection.transaction():
        # Calls before agents, as everywhere, so that two writers never wait for each other.
        await connection.execute(
            "SELECT a.id FROM live_attempt a WHERE a.process_id = $1 ORDER BY a.id FOR UPDATE", dead
        )
        returned = await _return_claims(connection, dead, at=at)
        interrupted = await _interrupt(connection, dead, at=at)
        agents = await _move_agents(connection, dead, successor, at=at)
    return Closed(interrupted=interrupted, returned=returned, agents=agents)


async def _return_claims(connection: Connection, dead: UUID, *, at: datetime) -> int:
    rows = await connection.fetch(
        """
        -- The INVITE of a claim never left: dialing is committed before it does.
        WITH gone AS (
            DELETE FROM live_attempt a
            WHERE a.process_id = $1 AND a.state = 'claimed'
            RETURNING a.id, a.lead_id
        ), back AS (
            UPDATE lead SET state = 'open'
            FROM gone
            WHERE lead.id = gone.lead_id AND lead.state = 'in_call'
        )
        SELECT id FROM gone
        """,
        dead,
    )
    await _tell(connection, [row["id"] for row in rows], "returned", at=at)
    return len(rows)


async def _interrupt(connection: Connection, dead: UUID, *, at: datetime) -> int:
    rows = await connection.fetch(
        """
        -- Whatever the call had reached, nobody saw its end.
        UPDATE live_attempt a
        SET state = 'ended', ended_at = $2, outcome = 'interrupted', ended_by = 'network',
            end_reason = 'line process died',
            reservation = CASE WHEN a.reservation IN ('reserved', 'joined') THEN 'released'
                               ELSE a.reservation END,
            agent_session_id = NULL
        WHERE a.process_id = $1 AND a.state <> 'ended'
        RETURNING a.id
        """,
        dead,
        at,
    )
    await _tell(connection, [row["id"] for row in rows], "interrupted", at=at)
    return len(rows)


async def _move_agents(connection: Connection, dead: UUID, successor: UUID, *, at: datetime) -> int:
    rows = await connection.fetch(
        "SELECT s.id, s.state, s.pause_requested FROM agent_session s"
        " WHERE s.process_id = $1 ORDER BY s.id FOR UPDATE",
        dead,
    )
    for row in rows:
        state = AgentState(row["state"])
        working = state not in {AgentState.OFFLINE, AgentState.PAUSED}
        await sessions.phone_lost(connection, row["id"], at=at, reason=LINES_DIED)
        await connection.execute(
            "UPDATE agent_session SET process_id = $2 WHERE id = $1", row["id"], successor
        )
        await send(
            connection,
            successor,
            CommandKind.CALL_AGENT,
            agent_session_id=row["id"],
            detail={"resume": working and row["pause_requested"] is None},
        )
    return len(rows)


async def _tell(connection: Connection, ids: list[UUID], kind: str, *, at: datetime) -> None:
    await connection.execute(
        "INSERT INTO call_event (id, attempt_id, kind, happened_at)"
        " SELECT e.id, e.attempt_id, $3, $4 FROM unnest($1::uuid[], $2::uuid[])"
        " AS e(id, attempt_id)",
        [new_id() for _ in ids],
        ids,
        kind,
        at,
    )
