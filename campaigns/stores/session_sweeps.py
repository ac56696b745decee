"""Sessions that nobody moves on: wrap-ups past their limit, agents of the dead, stuck states."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import AgentState
from campaigns.stores import sessions
from campaigns.stores.sessions import Move, Session

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


async def end_wrap_ups(connection: Connection, *, now: datetime) -> list[Session]:
    """End the wrap-ups whose limit has passed, with disposition none; return where they went."""
    async with connection.transaction():
        due = await connection.fetch(
            "SELECT s.attempt_id FROM agent_session s"
            " WHERE s.state = 'wrap_up' AND s.wrap_up_until <= $1",
            now,
        )
        if not due:
            return []
        await sessions.give_disposition(connection, [row["attempt_id"] for row in due])
        rows = await connection.fetch(
            f"SELECT {sessions.COLUMNS} FROM agent_session s"  # noqa: S608 - own columns
            " WHERE s.attempt_id = ANY($1::uuid[]) AND s.state = 'wrap_up'"
            " AND s.wrap_up_until <= $2 ORDER BY s.id FOR UPDATE",
            [row["attempt_id"] for row in due],
            now,
        )
        return await sessions.rest(connection, [sessions.session_of(row) for row in rows], at=now)


async def lose_process(
    connection: Connection, process_id: UUID, *, at: datetime, reason: str
) -> list[Session]:
    """Take the agents offline whose phone legs died with their line process.

    An agent in wrap-up finishes it first; the next call of this takes that one too. Call it after
    the process's calls were ended (`withdrawals.interrupt` does).
    """
    rows = await connection.fetch(
        "SELECT s.id FROM agent_session s"
        " WHERE s.process_id = $1 AND s.state IN ('paused', 'ready', 'reserved', 'talking')"
        " ORDER BY s.id FOR UPDATE",
        process_id,
    )
    return await sessions.move(
        connection, [Move(row["id"], AgentState.OFFLINE, at, reason) for row in rows]
    )


async def free_stuck(
    connection: Connection, session_id: UUID, *, at: datetime
) -> AgentState | None:
    """Put an agent back to work whose call is over or gone; None if there is nothing to mend."""
    try:
        session = await sessions.locked(connection, session_id)
    except UserError:
        return None
    if session.state not in sessions.IN_CALL:
        return None
    going = await connection.fetchval(
        "SELECT true FROM live_attempt WHERE id = $1 AND agent_session_id = $2"
        " AND (state <> 'ended' OR $3)",
        session.attempt_id,
        session_id,
        session.state is AgentState.WRAP_UP,
    )
    if going:
        return None
    if session.state is AgentState.TALKING:
        await sessions.move(connection, [Move(session_id, AgentState.WRAP_UP, at, None, at)])
    await sessions.rest(connection, [session], at=at)
    return session.next_rest
