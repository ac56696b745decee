"""A campaign's own stored history as a past to fit to: its attempts and its agents' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import AgentState
from campaigns.rules import profiles
from campaigns.rules.profiles import WindowKind
from campaigns.stores import ledger
from campaigns.stores.snapshots import policy_of
from dialer.simulation.fit import Rules
from dialer.simulation.past import AtWork, CallEnd, Past, PastCall
from pacing.simulation import Window

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

_PPM = 1_000_000

# Closed attempts that were dialed, with what pacing needs of them.
_CALLS = """
SELECT a.id, a.dialing_at, a.outcome::text, a.verdict::text, a.answered_at, a.verdict_at,
       a.joined_at, a.ended_at, a.closed_at, a.answered_by_person, a.abandoned,
       a.agent_id::text AS agent
FROM attempt a
WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3 AND a.dialing_at IS NOT NULL
  AND a.outcome NOT IN ('cancelled', 'refused')
ORDER BY a.dialing_at
"""

# Talks that go on: they have lasted at least so long.
_RUNNING = """
SELECT a.dialing_at, a.answered_at, a.joined_at, a.agent_id::text AS agent
FROM live_attempt a
WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.joined_at IS NOT NULL AND a.ended_at IS NULL
  AND a.joined_at < $3
"""

# From each event of the campaign's agents to the next of the same session.
_STATES = """
SELECT e.agent_id::text AS agent, e.state::text AS state, e.attempt_id, e.happened_at AS since,
       coalesce(e.next_at, CASE WHEN s.id IS NULL THEN e.happened_at ELSE $3::timestamptz END)
           AS until
FROM (
    SELECT agent_id, session_id, state, attempt_id, happened_at,
           lead(happened_at) OVER (PARTITION BY session_id ORDER BY happened_at, id) AS next_at
    FROM agent_event
    WHERE happened_at >= $2::timestamptz - interval '1 day' AND happened_at < $3::timestamptz
) e
LEFT JOIN agent_session s ON s.id = e.session_id
WHERE e.state NOT IN ('offline', 'paused')
  AND e.agent_id IN (SELECT agent_id FROM agent_campaign WHERE campaign_id = $1
                     UNION
                     SELECT agent_id FROM attempt
                     WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3)
ORDER BY e.agent_id, e.happened_at, until
"""

_BEFORE = """
SELECT count(*) FILTER (WHERE answered_by_person) AS answered,
       count(*) FILTER (WHERE abandoned) AS abandoned
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3
"""

_SEEDED = """
SELECT coalesce(sum(answered_by_person), 0) AS answered, coalesce(sum(abandoned), 0) AS abandoned
FROM abandonment_hour
WHERE campaign_id = $1 AND origin = 'seeded' AND hour >= date_trunc('hour', $2::timestamptz)
"""

_BUSY = (AgentState.TALKING, AgentState.WRAP_UP)
_FAILED = frozenset(
    {"busy", "invalid_number", "unavailable", "declined", "blocked", "trunk_fault", "interrupted"}
)


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of history looked at."""

    since: datetime
    until: datetime


async def read(connection: Connection, campaign: CampaignRow, span: Span) -> tuple[Past, Rules]:
    """Return the past of *campaign* and what is set for it; call it in one read transaction."""
    rows = await connection.fetch(_CALLS, campaign.id, span.since, span.until)
    running = await connection.fetch(_RUNNING, campaign.id, span.since, span.until)
    states = await connection.fetch(_STATES, campaign.id, span.since, span.until)
    wrap_ups = {
        row["attempt_id"]: _seconds(row["since"], row["until"])
        for row in states
        if row["state"] == AgentState.WRAP_UP
    }
    calls = [_call(row, wrap_ups) for row in rows] + [_talk(row, span.until) for row in running]
    first = min((call.started_at for call in calls), default=span.since)
    last = min(span.until, max((row["ended_at"] for row in rows), default=span.until))
    seen = [row for row in states if row["until"] > first and row["since"] < last]
    past = Past(
        f"campaign {campaign.name}",
        calls,
        _stretches(seen, first, last),
        busy=_stretches([row for row in seen if row["state"] in _BUSY], first, last),
        until=last,
    )
    return past, await _rules(connection, campaign, first)


def _stretches(rows: Sequence[Any], first: datetime, last: datetime) -> list[AtWork]:
    """Return the rows of each agent as stretches inside the span, neighbours joined."""
    found: list[AtWork] = []
    for row in rows:
        since, until = max(row["since"], first), min(row["until"], last)
        before = found[-1] if found else None
        if before is not None and before.agent == row["agent"] and before.until == since:
            found[-1] = AtWork(before.agent, before.since, until)
        else:
            found.append(AtWork(row["agent"], since, until))
    return found


def _call(row: Any, wrap_ups: Mapping[UUID, float | None]) -> PastCall:
    joined, answered, ended = row["joined_at"], row["answered_at"], row["ended_at"]
    verdict_at = row["verdict_at"]
    return PastCall(
        started_at=row["dialing_at"],
        end=_end(row),
        ring_s=_seconds(row["dialing_at"], answered or ended),
        screening_s=None if answered is None else _seconds(answered, verdict_at),
        talk_s=_seconds(joined, ended),
        talk_ended=row["outcome"] != "interrupted",
        wrap_up_s=wrap_ups.get(row["id"]) if joined is not None else None,
        agent=row["agent"],
    )


def _end(row: Any) -> CallEnd:
    if row["abandoned"]:
        return CallEnd.ABANDONED
    if row["answered_by_person"] or row["joined_at"] is not None:
        return CallEnd.PERSON
    if row["answered_at"] is not None:
        # Nobody an agent was needed for: a machine, or a person gone before the time was up.
        return CallEnd.MACHINE
    return CallEnd.FAILED if row["outcome"] in _FAILED else CallEnd.NO_ANSWER


def _talk(row: Any, until: datetime) -> PastCall:
    return PastCall(
        started_at=row["dialing_at"],
        end=CallEnd.PERSON,
        ring_s=_seconds(row["dialing_at"], row["answered_at"]),
        talk_s=_seconds(row["joined_at"], until),
        talk_ended=False,
        agent=row["agent"],
    )


async def _rules(connection: Connection, campaign: CampaignRow, first: datetime) -> Rules:
    policy = policy_of(campaign)
    trunk = await connection.fetchrow(
        "SELECT sum(t.channels)::int AS channels, sum(t.calls_per_second)::float8 AS per_s"
        " FROM campaign_trunk ct JOIN trunk t ON t.id = ct.trunk_id"
        " WHERE ct.campaign_id = $1 AND t.enabled",
        campaign.id,
    )
    return Rules(
        windows=await _windows(connection, campaign, first),
        patience_s=policy.connect_limit_s,
        ring_timeout_s=policy.ring_timeout_s,
        channels=trunk["channels"] if trunk else None,
        calls_per_s=trunk["per_s"] if trunk else None,
        max_lines_per_agent=policy.max_lines_per_agent,
    )


async def _windows(
    connection: Connection, campaign: CampaignRow, first: datetime
) -> tuple[Window, ...]:
    """Return the profile's windows as they stood when the span's first call was dialed."""
    profile = campaign.profile
    if profile is None:
        return ()
    target = profiles.effective_target_ppm(profile, campaign.settings) / _PPM
    zone = ledger.home_zone(campaign)
    found = []
    for kind in profile.windows:
        started_at = campaign.started_at or first
        span = ledger.span_of(kind, now=first, started_at=started_at, zone=zone)
        (before,) = await connection.fetch(_BEFORE, campaign.id, span.starts_at, first)
        (seeded,) = await connection.fetch(_SEEDED, campaign.id, span.starts_at)
        ends_at = span.ends_at or first + timedelta(days=30)
        found.append(
            Window(
                ledger.WINDOW_NAMES[kind],
                limit=profile.limit_ppm / _PPM,
                target=target,
                answered=before["answered"] + int(seeded["answered"]),
                abandoned=before["abandoned"] + int(seeded["abandoned"]),
                carried=kind is not WindowKind.CALENDAR_DAY,
                length_s=(ends_at - first).total_seconds(),
            )
        )
    return tuple(found)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())
