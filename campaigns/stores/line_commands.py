"""What line processes are asked to do, besides dialing: rows that are taken once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import PhoneKind, new_id

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


class CommandKind(StrEnum):
    """The five things a line process can be asked."""

    CALL_AGENT = "call_agent"
    RELEASE_AGENT = "release_agent"
    HANG_UP = "hang_up"
    CANCEL = "cancel"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class LineCommand:
    """One command taken from its row."""

    id: UUID
    kind: CommandKind
    attempt_id: UUID | None
    agent_session_id: UUID | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentPhone:
    """How to reach the phone of a session's agent; `pin_hash` is argon2, for call-in phones."""

    session_id: UUID
    agent_id: UUID
    kind: PhoneKind
    address: str
    trunk_id: UUID | None
    pin_hash: str | None


async def send(
    connection: Connection,
    process_id: UUID,
    kind: CommandKind,
    *,
    attempt_id: UUID | None = None,
    agent_session_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Ask a line process for something; NOTIFY 'lines' afterwards."""
    await connection.execute(
        "INSERT INTO line_command (id, process_id, kind, attempt_id, agent_session_id, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        new_id(),
        process_id,
        kind,
        attempt_id,
        agent_session_id,
        dict(detail or {}),
    )


async def take(connection: Connection, process_id: UUID) -> list[LineCommand]:
    """Take every open command of this process, oldest first; each is taken once."""
    rows = await connection.fetch(
        """
        WITH taken AS (
            UPDATE line_command SET taken_at = clock_timestamp()
            WHERE process_id = $1 AND taken_at IS NULL
            RETURNING id, kind, attempt_id, agent_session_id, detail, created_at
        )
        SELECT * FROM taken ORDER BY created_at, id
        """,
        process_id,
    )
    return [
        LineCommand(
            id=row["id"],
            kind=CommandKind(row["kind"]),
            attempt_id=row["attempt_id"],
            agent_session_id=row["agent_session_id"],
            detail=row["detail"],
        )
        for row in rows
    ]


_PHONE = (
    "SELECT s.id, s.agent_id, a.phone_kind, a.phone_address, a.phone_trunk_id, a.pin_hash"
    " FROM agent_session s JOIN agent a ON a.id = s.agent_id"
)


def _phone(row: Any) -> AgentPhone:
    return AgentPhone(
        session_id=row["id"],
        agent_id=row["agent_id"],
        kind=PhoneKind(row["phone_kind"]),
        address=row["phone_address"],
        trunk_id=row["phone_trunk_id"],
        pin_hash=row["pin_hash"],
    )


async def phone_of(connection: Connection, session_id: UUID) -> AgentPhone | None:
    """Return how the agent of a session is reached; None if logged out meanwhile."""
    row = await connection.fetchrow(f"{_PHONE} WHERE s.id = $1", session_id)
    return None if row is None else _phone(row)


async def calling_in(connection: Connection, process_id: UUID) -> Sequence[AgentPhone]:
    """Return the sessions on this process whose agents are expected to call in."""
    rows = await connection.fetch(
        f"{_PHONE} WHERE s.process_id = $1 AND s.state = 'offline' AND a.phone_kind = 'call_in'",
        process_id,
    )
    return [_phone(row) for row in rows]
