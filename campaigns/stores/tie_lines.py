"""The right to a SIP leg between two line processes: a token made once, taken once.

`reservations.reserve_agent` makes it in the statement that reserves the agent; here the agent's
process takes it. The database holds its hash only, so nobody can read a usable token out of it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

# Longer than a person waits for an agent; a token found later is worth nothing.
VALID_S = 5.0


@dataclass(frozen=True, slots=True)
class Tie:
    """What a token stands for: the call, and the agent reserved for it."""

    attempt_id: UUID
    session_id: UUID


def new_token() -> str:
    """Return a token nobody can guess: 256 bits, safe in a SIP header."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def take(connection: Connection, process_id: UUID, token: str) -> Tie | None:
    """Use a token up; None unless it is for this process and its reservation is alive."""
    row = await connection.fetchrow(
        """
        -- Taken or expired, it is gone; what it was for must still be reserved.
        WITH gone AS (
            DELETE FROM tie_line
            WHERE (token_hash = $1 AND process_id = $2) OR expires_at < clock_timestamp()
            RETURNING token_hash, attempt_id, agent_session_id, expires_at
        )
        SELECT g.attempt_id, g.agent_session_id
        FROM gone g
        JOIN live_attempt a ON a.id = g.attempt_id AND a.agent_session_id = g.agent_session_id
        JOIN agent_session s ON s.id = g.agent_session_id AND s.attempt_id = g.attempt_id
        WHERE g.token_hash = $1
          AND g.expires_at >= clock_timestamp()
          AND a.reservation = 'reserved'
          AND a.state <> 'ended'
          AND s.process_id = $2
        """,
        digest(token),
        process_id,
    )
    return None if row is None else Tie(row["attempt_id"], row["agent_session_id"])
