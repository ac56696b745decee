"""Legs and bridges as rows: what is up, and what a successor needs to end it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import new_id

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class LegRecord:
    """One leg as its line process knows it; `dialog` is JSON of `dialer.lines.dialog.Dialog`."""

    id: UUID
    kind: str
    attempt_id: UUID | None
    agent_session_id: UUID | None
    trunk_id: UUID | None
    state: str
    dialog: dict[str, Any]
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """A leg whose line process died: end it with BYE if `answered`, else with CANCEL."""

    id: UUID
    dialog: dict[str, Any]
    answered: bool
    trunk_id: UUID | None
    agent_session_id: UUID | None


async def save(connection: Connection, process_id: UUID, legs: Sequence[LegRecord]) -> None:
    """Insert or update legs in one statement; an ended leg never comes back."""
    latest = {leg.id: leg for leg in legs}
    rows = list(latest.values())
    await connection.execute(
        """
        -- A leg's row follows its latest state.
        INSERT INTO leg AS l (id, kind, attempt_id, agent_session_id, process_id, trunk_id, state,
                              dialog, started_at, answered_at, ended_at)
        SELECT g.id, g.kind, g.attempt_id, g.agent_session_id, $1, g.trunk_id, g.state,
               g.dialog, g.started_at, g.answered_at, g.ended_at
        FROM unnest($2::uuid[], $3::leg_kind[], $4::uuid[], $5::uuid[], $6::uuid[],
                    $7::leg_state[], $8::jsonb[], $9::timestamptz[], $10::timestamptz[],
                    $11::timestamptz[])
             AS g(id, kind, attempt_id, agent_session_id, trunk_id, state, dialog, started_at,
                  answered_at, ended_at)
        ON CONFLICT (id) DO UPDATE
        SET state = excluded.state,
            dialog = excluded.dialog,
            answered_at = COALESCE(l.answered_at, excluded.answered_at),
            ended_at = excluded.ended_at
        WHERE l.ended_at IS NULL
        """,
        process_id,
        [leg.id for leg in rows],
        [leg.kind for leg in rows],
        [leg.attempt_id for leg in rows],
        [leg.agent_session_id for leg in rows],
        [leg.trunk_id for leg in rows],
        [leg.state for leg in rows],
        [leg.dialog for leg in rows],
        [leg.started_at for leg in rows],
        [leg.answered_at for leg in rows],
        [leg.ended_at for leg in rows],
    )


async def open_legs(connection: Connection, process_id: UUID) -> list[OpenLeg]:
    """Return the legs of a process that were not ended when it died."""
    rows = await connection.fetch(
        "SELECT l.id, l.dialog, l.answered_at IS NOT NULL AS answered, l.trunk_id,"
        "       l.agent_session_id"
        " FROM leg l WHERE l.process_id = $1 AND l.ended_at IS NULL",
        process_id,
    )
    return [
        OpenLeg(
            id=row["id"],
            dialog=row["dialog"],
            answered=row["answered"],
            trunk_id=row["trunk_id"],
            agent_session_id=row["agent_session_id"],
        )
        for row in rows
    ]


async def close(connection: Connection, leg_ids: Sequence[UUID], *, at: datetime) -> None:
    """Mark legs ended, and the bridges they were in closed."""
    await connection.execute(
        """
        -- Closing a leg takes it out of its bridges; a bridge without members is closed.
        WITH gone AS (
            UPDATE leg SET state = 'ended', ended_at = $2
            WHERE id = ANY($1::uuid[]) AND ended_at IS NULL
        ), parted AS (
            UPDATE bridge_member SET left_at = $2
            WHERE leg_id = ANY($1::uuid[]) AND left_at IS NULL
            RETURNING bridge_id
        )
        UPDATE bridge SET closed_at = $2
        WHERE id IN (SELECT bridge_id FROM parted) AND closed_at IS NULL
        """,
        list(leg_ids),
        at,
    )


async def bridge(
    connection: Connection, process_id: UUID, leg_ids: Sequence[UUID], *, at: datetime
) -> UUID:
    """Record that these legs hear each other from *at* on; return the bridge."""
    bridge_id = new_id()
    await connection.execute(
        """
        -- One bridge, its members.
        WITH made AS (
            INSERT INTO bridge (id, process_id, opened_at) VALUES ($1, $2, $3) RETURNING id
        )
        INSERT INTO bridge_member (bridge_id, leg_id, joined_at)
        SELECT made.id, l.id, $3
        FROM made, leg l
        WHERE l.id = ANY($4::uuid[])
        """,
        bridge_id,
        process_id,
        at,
        list(leg_ids),
    )
    return bridge_id


async def forget_ended(connection: Connection, *, before: datetime) -> None:
    """Drop legs, and bridges, that ended before *before*: the attempt record outlives them."""
    await connection.execute("DELETE FROM bridge WHERE closed_at < $1", before)
    await connection.execute("DELETE FROM leg WHERE ended_at < $1", before)
