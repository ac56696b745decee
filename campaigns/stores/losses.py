"""Why people were abandoned: what pacing decided, and what no pacer can prevent.

All of them count against the limit. Those that came of a phone or a process that died are reported
apart, because calling fewer people would not have saved them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.lifecycle import CallEventKind
from campaigns.model import Outcome
from campaigns.rules import abandonment
from campaigns.stores import closings

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

UNANNOUNCED = (
    "phone hung up",
    "phone on hold",
    "no audio from the phone",
    "screen lost",
    "line process died",
    "line process ended",
)
"""Reasons with which an agent goes away without having said so before."""


class LossCause(StrEnum):
    """Why nobody heard a person in time.

    `NO_AGENT` is the pacer's doing. `AGENT_LOST`: the agent reserved for the call, or one who was
    there when it was dialed, went away unannounced. `INTERRUPTED`: the line process died. `LATE`:
    an agent was reserved and heard them too late.
    """

    NO_AGENT = "no_agent"
    AGENT_LOST = "agent_lost"
    INTERRUPTED = "interrupted"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Losses:
    """Abandoned calls by cause."""

    no_agent: int = 0
    agent_lost: int = 0
    interrupted: int = 0
    late: int = 0

    @property
    def unpreventable(self) -> int:
        """Return how many no pacing could have prevented."""
        return self.agent_lost + self.interrupted + self.late


_LOST = """
-- Abandoned calls of the period with what tells why.
SELECT a.claimed_at, a.answered_at, a.greeting_ended_at, a.reserved_at, a.joined_at, a.ended_at,
       a.ended_by, a.verdict, a.disposition, a.timers, a.outcome::text AS outcome,
       EXISTS (SELECT FROM call_event e WHERE e.attempt_id = a.id AND e.kind = $4) AS agent_lost
FROM attempt a
WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3 AND a.abandoned
ORDER BY a.answered_at
"""

_GONE = """
-- When agents of the campaign went away without having said so.
SELECT e.happened_at
FROM agent_event e
WHERE e.happened_at >= $2 AND e.happened_at < $3 AND e.state IN ('paused', 'offline')
  AND e.reason = ANY($4::text[])
  AND e.agent_id IN (SELECT agent_id FROM agent_campaign WHERE campaign_id = $1)
ORDER BY e.happened_at
"""


async def losses(
    connection: Connection, campaign_id: UUID, *, since: datetime, until: datetime
) -> Losses:
    """Return why the calls claimed in [since, until) that were abandoned were."""
    rows = await connection.fetch(_LOST, campaign_id, since, until, CallEventKind.AGENT_LOST)
    if not rows:
        return Losses()
    gone = await connection.fetch(
        _GONE, campaign_id, since, until + timedelta(minutes=10), list(UNANNOUNCED)
    )
    found = dict.fromkeys(LossCause, 0)
    for cause in causes(rows, [row["happened_at"] for row in gone]):
        found[cause] += 1
    return Losses(**{cause.value: count for cause, count in found.items()})


def causes(rows: Sequence[Any], gone: Sequence[datetime]) -> list[LossCause]:
    """Return the cause of each lost call; every agent *gone* explains one call at most.

    *rows* and *gone* are in order of time.
    """
    left = list(gone)
    found = []
    for row in rows:
        cause = _own_cause(row)
        if cause is LossCause.NO_AGENT:
            until = _deadline(row)
            went = next((at for at in left if row["claimed_at"] <= at <= until), None)
            if went is not None:
                left.remove(went)
                cause = LossCause.AGENT_LOST
        found.append(cause)
    return found


def _own_cause(row: Any) -> LossCause:
    if row["agent_lost"] and row["joined_at"] is None:
        return LossCause.AGENT_LOST
    if row["outcome"] == Outcome.INTERRUPTED and row["joined_at"] is None:
        return LossCause.INTERRUPTED
    in_time = row["reserved_at"] is not None and row["reserved_at"] <= _deadline(row)
    return LossCause.LATE if in_time else LossCause.NO_AGENT


def _deadline(row: Any) -> datetime:
    """Return when an agent had to be heard; abandoned calls were all answered."""
    limit = abandonment.deadline(closings.answered_call(row))
    at: datetime = row["answered_at"] if limit is None else limit
    return at
