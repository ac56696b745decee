"""Closing attempts: the live row becomes the record, the lead gets its future, in one transaction.

An attempt closes once it has ended and its agent, if there was one, has said what came of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import (
    CallTimers,
    Disposition,
    DoneReason,
    EndedBy,
    Outcome,
    Verdict,
    new_id,
)
from campaigns.rules import abandonment, retry
from campaigns.rules.abandonment import AnsweredCall, Count
from campaigns.rules.retry import CallAgain, NeverAgain
from campaigns.stores import callbacks, leads, leases, suppressions

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection
    from campaigns.stores.leases import Lease

DISPOSED = "disposition"


@dataclass(frozen=True, slots=True)
class ClosedAttempt:
    """An attempt that has just become a record; times are of the wall clock, None when not reached.

    `count` is how it counts in the abandonment ledger, `result` what becomes of the lead.
    """

    attempt_id: UUID
    lead_id: UUID
    lead_number_id: UUID
    number: str
    region: str
    mode: str
    process_id: UUID
    trunk_id: UUID
    agent_id: UUID | None
    outcome: Outcome
    verdict: Verdict | None
    disposition: Disposition | None
    ended_by: EndedBy | None
    sip_code: int | None
    q850_cause: int | None
    end_reason: str | None
    claimed_at: datetime
    dialing_at: datetime | None
    ringing_at: datetime | None
    answered_at: datetime | None
    reserved_at: datetime | None
    joined_at: datetime | None
    ended_at: datetime
    closed_at: datetime
    count: Count
    result: CallAgain | NeverAgain


_CLOSABLE = """
    -- What has ended and has nobody left to speak about it; one closer at a time.
    SELECT a.id, a.lead_id, a.lead_number_id, a.dialed_number, a.region, a.mode, a.process_id,
           a.trunk_id, a.agent_id, a.outcome, a.verdict, a.disposition, a.ended_by, a.sip_code,
           a.q850_cause, a.end_reason, a.timers, a.claimed_at, a.dialing_at, a.ringing_at,
           a.answered_at, a.greeting_ended_at, a.reserved_at, a.joined_at, a.ended_at
    FROM live_attempt a
    WHERE a.campaign_id = $1
      AND a.state = 'ended'
      AND (a.agent_session_id IS NULL OR a.disposition IS NOT NULL)
    ORDER BY a.ended_at, a.id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
"""

_CLOSE = """
-- The live row goes, the record and its last event come: all of it or nothing.
WITH given AS (
    SELECT *
    FROM unnest($1::uuid[], $2::boolean[], $3::boolean[], $4::boolean[], $5::uuid[])
         AS g(id, charged, answered_by_person, abandoned, event_id)
), gone AS (
    DELETE FROM live_attempt a
    USING given g
    WHERE a.id = g.id AND a.state = 'ended'
    RETURNING a.*
), kept AS (
    INSERT INTO attempt
        (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode, epoch, process_id,
         trunk_id, caller_id, timers, screening, reservation, agent_id, outcome, verdict,
         verdict_confidence, verdict_features, disposition, ended_by, sip_code, q850_cause,
         end_reason, claimed_at, dialing_at, ringing_at, answered_at, greeting_ended_at, verdict_at,
         reserved_at, joined_at, message_started_at, message_ended_at, ended_at, closed_at, charged,
         answered_by_person, abandoned)
    SELECT a.id, a.campaign_id, a.lead_id, a.lead_number_id, a.dialed_number, a.region, a.mode,
           a.epoch, a.process_id, a.trunk_id, a.caller_id, a.timers, a.screening, a.reservation,
           a.agent_id, a.outcome, a.verdict, a.verdict_confidence, a.verdict_features,
           a.disposition, a.ended_by, a.sip_code, a.q850_cause, a.end_reason, a.claimed_at,
           a.dialing_at, a.ringing_at, a.answered_at, a.greeting_ended_at, a.verdict_at,
           a.reserved_at, a.joined_at, a.message_started_at, a.message_ended_at, a.ended_at, $6,
           g.charged, g.answered_by_person, g.abandoned
    FROM gone a
    JOIN given g ON g.id = a.id
    RETURNING id, process_id, charged, answered_by_person, abandoned
)
INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
SELECT g.event_id, k.id, 'closed', $6, $7,
       jsonb_build_object('charged', k.charged, 'answered_by_person', k.answered_by_person,
                          'abandoned', k.abandoned)
FROM kept k
JOIN given g ON g.id = k.id
"""


async def close_ended(
    connection: Connection, lease: Lease, *, at: datetime, limit: int = 500
) -> list[ClosedAttempt]:
    """Close up to *limit* attempts of the campaign; return them. Raises `LeaseLost`.

    One transaction. Numbers whose agent said "do not call" are suppressed for the seller.
    """
    async with connection.transaction():
        campaign = await leases.hold(connection, lease)
        rows = await connection.fetch(_CLOSABLE, lease.campaign_id, limit)
        if not rows:
            return []
        pasts = await leads.pasts(
            connection, {row["lead_id"]: row["lead_number_id"] for row in rows}
        )
        closed = [_judge(row, pasts[row["lead_id"]], campaign, at=at) for row in rows]
        await connection.execute(
            _CLOSE,
            [attempt.attempt_id for attempt in closed],
            [attempt.result.charged for attempt in closed],
            [attempt.count.answered_by_person for attempt in closed],
            [attempt.count.abandoned for attempt in closed],
            [new_id() for _ in closed],
            at,
            lease.holder,
        )
        await leads.settle(connection, {attempt.lead_id: attempt.result for attempt in closed})
        await callbacks.after_calls(
            connection,
            [(one.lead_id, one.attempt_id, one.dialing_at is not None) for one in closed],
        )
        unwanted = [
            attempt.number
            for attempt in closed
            if isinstance(attempt.result, NeverAgain) and attempt.result.suppress
        ]
        if unwanted:
            await suppressions.add(connection, unwanted, seller=campaign.seller, source=DISPOSED)
        return closed


def _judge(row: Any, past: retry.LeadPast, campaign: CampaignRow, *, at: datetime) -> ClosedAttempt:
    call = answered_call(row)
    ending = retry.Ending(
        outcome=Outcome(row["outcome"]),
        verdict=call.verdict,
        disposition=call.disposition,
        joined=call.joined_at is not None,
        ended_by=call.ended_by,
    )
    return ClosedAttempt(
        attempt_id=row["id"],
        lead_id=row["lead_id"],
        lead_number_id=row["lead_number_id"],
        number=row["dialed_number"],
        region=row["region"],
        mode=row["mode"],
        process_id=row["process_id"],
        trunk_id=row["trunk_id"],
        agent_id=row["agent_id"],
        outcome=ending.outcome,
        verdict=ending.verdict,
        disposition=ending.disposition,
        ended_by=ending.ended_by,
        sip_code=row["sip_code"],
        q850_cause=row["q850_cause"],
        end_reason=row["end_reason"],
        claimed_at=row["claimed_at"],
        dialing_at=row["dialing_at"],
        ringing_at=row["ringing_at"],
        answered_at=row["answered_at"],
        reserved_at=row["reserved_at"],
        joined_at=row["joined_at"],
        ended_at=row["ended_at"],
        closed_at=at,
        count=abandonment.count(call),
        result=(
            NeverAgain(DoneReason.SUPPRESSED, retry.is_charged(ending.outcome), suppress=True)
            if row["end_reason"] == suppressions.OPTED_OUT
            else retry.after(ending, past=past, settings=campaign.settings, now=at)
        ),
    )


def answered_call(row: Any, *, now: datetime | None = None) -> AnsweredCall:
    """Return an attempt's row as the abandonment rule sees it; one still up ends *now*."""
    timers = CallTimers.model_validate(row["timers"])
    ended_at = row["ended_at"] or now
    if ended_at is None:
        raise ValueError("an attempt that has not ended needs the present time")
    return AnsweredCall(
        answered_at=row["answered_at"],
        ended_at=ended_at,
        clock=timers.clock,
        connect_limit_s=timers.connect_limit_s,
        greeting_ended_at=row["greeting_ended_at"],
        joined_at=row["joined_at"],
        ended_by=None if row["ended_by"] is None else EndedBy(row["ended_by"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        disposition=None if row["disposition"] is None else Disposition(row["disposition"]),
    )


async def closable(connection: Connection, campaign_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many attempts of each campaign wait to be closed; none is missing."""
    rows = await connection.fetch(
        "SELECT campaign_id, count(*) AS n FROM live_attempt"
        " WHERE campaign_id = ANY($1::uuid[]) AND state = 'ended'"
        " AND (agent_session_id IS NULL OR disposition IS NOT NULL)"
        " GROUP BY campaign_id",
        list(campaign_ids),
    )
    return Counter({row["campaign_id"]: row["n"] for row in rows})
