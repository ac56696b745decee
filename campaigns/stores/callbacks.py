"""Calls that were promised: by one agent for a while, then, or from the start, by anybody.

A promise moves its lead to the time promised and before all others. While a personal one is its
agent's alone the gate keeps the lead from everybody else (rule CALLBACK); the engine shows it to
the agent as a preview when both are due and ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import new_id

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

# A personal callback is its agent's alone for this long (Genesys' default, ux §2).
ANYONE_AFTER = timedelta(hours=1)
LONGEST_AHEAD = timedelta(days=365)
_FIRST = 1_000_000


@dataclass(frozen=True, slots=True)
class Promise:
    """What was promised in call `attempt_id`; `agent_id` None is whoever is free."""

    lead_id: UUID
    campaign_id: UUID
    due_at: datetime
    agent_id: UUID | None = None
    attempt_id: UUID | None = None
    anyone_after: timedelta = ANYONE_AFTER
    note: str = ""


@dataclass(frozen=True, slots=True)
class CallbackRow:
    """An open promise as shown to people."""

    id: UUID
    campaign: str
    lead_id: UUID
    name: str
    number: str
    agent: str | None
    due_at: datetime
    anyone_from: datetime
    note: str


@dataclass(frozen=True, slots=True)
class DueCallback:
    """A personal callback that is due while its agent is ready."""

    lead_id: UUID
    session_id: UUID
    process_id: UUID


async def promise(connection: Connection, new: Promise, *, now: datetime) -> UUID:
    """Record a promise, in place of an open one of the same lead; return its id.

    Raises `UserError` for a time that is past or more than a year ahead, and for a lead that may
    not be called any more (suppressed, or no number left).
    """
    if not now - timedelta(minutes=1) <= new.due_at <= now + LONGEST_AHEAD:
        raise UserError("A call can be promised from now to a year ahead, not at that time.")
    async with connection.transaction():
        lead = await connection.fetchrow(
            "SELECT state, done_reason, priority FROM lead WHERE id = $1 FOR UPDATE", new.lead_id
        )
        if lead is None or lead["done_reason"] in ("suppressed", "invalid_number", "refused"):
            raise UserError("That person may not be called again: no call was promised.")
        before = await _close(connection, [new.lead_id], "replaced")
        callback_id = new_id()
        await connection.execute(
            "INSERT INTO callback (id, lead_id, campaign_id, agent_id, attempt_id, due_at,"
            " anyone_from, note, priority_before) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            callback_id,
            new.lead_id,
            new.campaign_id,
            new.agent_id,
            new.attempt_id,
            new.due_at,
            new.due_at if new.agent_id is None else new.due_at + new.anyone_after,
            new.note,
            before.get(new.lead_id, lead["priority"]),
        )
        await _move(connection, [new.lead_id])
    return callback_id


async def _move(connection: Connection, lead_ids: Sequence[UUID]) -> None:
    """Put leads that are in no call where their open promises want them."""
    await connection.execute(
        """
        UPDATE lead l
        SET state = 'open', done_reason = NULL, held_by = NULL, next_call_at = c.due_at,
            priority = $2
        FROM callback c
        WHERE c.lead_id = l.id AND c.closed_at IS NULL AND l.id = ANY($1::uuid[])
          AND (l.state = 'open' OR l.done_reason IN ('reached', 'disposition',
                                                     'attempts_exhausted'))
        """,
        list(lead_ids),
        _FIRST,
    )


async def _close(
    connection: Connection,
    lead_ids: Sequence[UUID],
    how: str,
    *,
    besides: Sequence[UUID] = (),
) -> dict[UUID, int]:
    """Close open promises but those made in attempts *besides*; return leads' old priorities."""
    rows = await connection.fetch(
        "UPDATE callback SET closed_at = clock_timestamp(), closed_as = $2"
        " WHERE lead_id = ANY($1::uuid[]) AND closed_at IS NULL"
        " AND (attempt_id IS NULL OR attempt_id <> ALL($3::uuid[]))"
        " RETURNING lead_id, COALESCE(priority_before, 0) AS priority",
        list(lead_ids),
        how,
        list(besides),
    )
    before = {row["lead_id"]: row["priority"] for row in rows}
    if before:
        await connection.execute(
            "UPDATE lead l SET priority = b.priority"
            " FROM unnest($1::uuid[], $2::integer[]) AS b(id, priority) WHERE l.id = b.id",
            list(before),
            list(before.values()),
        )
    return before


async def after_calls(connection: Connection, closed: Sequence[tuple[UUID, UUID, bool]]) -> None:
    """Settle promises once calls have closed: (lead, attempt, whether it was dialed).

    A call that was dialed keeps the promise made before it; one made in the call itself moves its
    lead. The caller's transaction has just settled the leads.
    """
    dialed = [lead_id for lead_id, _, was_dialed in closed if was_dialed]
    attempts = [attempt_id for _, attempt_id, _ in closed]
    await _close(connection, dialed, "called", besides=attempts)
    await _move(connection, [lead_id for lead_id, _, _ in closed])


async def cancel(connection: Connection, callback_id: UUID) -> bool:
    """Take a promise back; the lead is due as it was before. Return whether it was open."""
    async with connection.transaction():
        lead_id = await connection.fetchval(
            "SELECT lead_id FROM callback WHERE id = $1 AND closed_at IS NULL", callback_id
        )
        if lead_id is None:
            return False
        await _close(connection, [lead_id], "cancelled")
        return True


async def open_ones(
    connection: Connection, *, campaign_id: UUID | None = None, agent_id: UUID | None = None
) -> list[CallbackRow]:
    """Return the open promises in the order they fall due, of a campaign or an agent if given."""
    rows = await connection.fetch(
        """
        SELECT c.id, p.name AS campaign, c.lead_id, l.name, n.number, a.name AS agent, c.due_at,
               c.anyone_from, c.note
        FROM callback c
        JOIN campaign p ON p.id = c.campaign_id
        JOIN lead l ON l.id = c.lead_id
        JOIN LATERAL (
            SELECT n.number FROM lead_number n WHERE n.lead_id = l.id
            ORDER BY n.position <> l.next_position, n.position LIMIT 1
        ) n ON true
        LEFT JOIN agent a ON a.id = c.agent_id
        WHERE c.closed_at IS NULL AND ($1::uuid IS NULL OR c.campaign_id = $1)
          AND ($2::uuid IS NULL OR c.agent_id = $2)
        ORDER BY c.due_at, c.id
        """,
        campaign_id,
        agent_id,
    )
    return [CallbackRow(**dict(row)) for row in rows]


async def due_for_ready_agents(
    connection: Connection, campaign_id: UUID, *, now: datetime
) -> list[DueCallback]:
    """Return the personal callbacks to be shown now, the one due longest first, one per agent."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (c.due_at, s.id) c.lead_id, s.id AS session_id, s.process_id
        FROM callback c
        JOIN agent_session s ON s.agent_id = c.agent_id AND s.state = 'ready'
        JOIN lead l ON l.id = c.lead_id AND l.state = 'open'
            -- What only keeps it from the others does not keep it from its agent.
            AND (l.next_call_at <= $2 OR l.held_by = 'CALLBACK')
        WHERE c.campaign_id = $1 AND c.closed_at IS NULL AND c.due_at <= $2 AND c.anyone_from > $2
        ORDER BY c.due_at, s.id, c.id
        """,
        campaign_id,
        now,
    )
    seen: set[UUID] = set()
    found = []
    for row in rows:
        if row["session_id"] not in seen and row["process_id"] is not None:
            seen.add(row["session_id"])
            found.append(DueCallback(row["lead_id"], row["session_id"], row["process_id"]))
    return found
