"""What Overdial wrote down about the demo's campaign, read from Postgres for the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from campaigns.model import CallTimers, Disposition, EndedBy, Outcome, Verdict
from demo.books import OurCall

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

_ATTEMPTS = """
SELECT a.id, a.dialed_number, a.timers, a.outcome, a.sip_code, a.ended_by, a.end_reason, a.verdict,
       a.disposition, a.answered_by_person, a.abandoned, a.dialing_at, a.answered_at,
       a.greeting_ended_at, a.joined_at, a.message_started_at, a.ended_at
FROM attempt a
WHERE a.campaign_id = $1
ORDER BY a.claimed_at, a.id
"""

# A lead without an attempt may only be open when the demo was ended early or a rule holds it.
_LEADS = """
SELECT CASE
           WHEN l.state = 'done' THEN 'final'
           WHEN l.state = 'in_call' THEN 'in a call'
           WHEN l.held_by IS NOT NULL THEN 'held by a rule'
           WHEN l.next_call_at > $2 THEN 'waiting for a retry'
           WHEN EXISTS (SELECT FROM attempt a WHERE a.lead_id = l.id) THEN 'due again'
           ELSE 'never called'
       END AS standing,
       count(*) AS n
FROM campaign_list cl
JOIN lead l ON l.list_id = cl.list_id
WHERE cl.campaign_id = $1
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the leads of the campaign stand when all is over, and what is still open."""

    leads: Mapping[str, int]
    live_attempts: int
    held_agents: int

    @property
    def lost(self) -> int:
        """Return how many leads have neither a final state nor a time for the next call."""
        return self.leads.get("in a call", 0)

    @property
    def left(self) -> int:
        """Return how many leads could be called now but were not, as when time ran out."""
        return self.leads.get("never called", 0) + self.leads.get("due again", 0)


async def read_calls(pool: Pool, campaign_id: UUID) -> list[OurCall]:
    """Return every closed attempt of the campaign, oldest first."""
    return [_call(row) for row in await pool.fetch(_ATTEMPTS, campaign_id)]


async def read_standing(pool: Pool, campaign_id: UUID) -> Standing:
    """Return what is left over."""
    rows = await pool.fetch(_LEADS, campaign_id, await pool.fetchval("SELECT clock_timestamp()"))
    return Standing(
        leads={row["standing"]: row["n"] for row in rows},
        live_attempts=await pool.fetchval(
            "SELECT count(*) FROM live_attempt WHERE campaign_id = $1", campaign_id
        ),
        held_agents=await pool.fetchval(
            "SELECT count(*) FROM agent_session WHERE attempt_id IS NOT NULL"
        ),
    )


def _call(row: asyncpg.Record) -> OurCall:
    return OurCall(
        attempt_id=str(row["id"]),
        number=row["dialed_number"],
        timers=CallTimers.model_validate(row["timers"]),
        outcome=Outcome(row["outcome"]),
        sip_code=row["sip_code"],
        ended_by=None if row["ended_by"] is None else EndedBy(row["ended_by"]),
        end_reason=row["end_reason"],
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        disposition=None if row["disposition"] is None else Disposition(row["disposition"]),
        answered_by_person=row["answered_by_person"],
        abandoned=row["abandoned"],
        dialing_at=row["dialing_at"],
        answered_at=row["answered_at"],
        greeting_ended_at=row["greeting_ended_at"],
        joined_at=row["joined_at"],
        message_started_at=row["message_started_at"],
        ended_at=row["ended_at"],
    )
