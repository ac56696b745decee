"""How calling went, added up per campaign, list, agent or hour: sums only, figures come of them.

Sums are of calls claimed in the period and of the agents' time in it; everything is counted from
attempts and agent events when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_LONG_S = 600.0


class By(StrEnum):
    """What the sums are split by."""

    TOTAL = "total"
    CAMPAIGN = "campaign"
    LIST = "list"
    AGENT = "agent"
    HOUR = "hour"


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts, and times in seconds, of one part; None where a part has no such thing.

    `joined` calls were given to an agent, `quick` of them within two seconds of the answer.
    `available_s` is ready and reserved time, `duty_s` all time logged in, pauses included.
    """

    name: str
    dialed: int = 0
    answered: int = 0
    persons: int = 0
    abandoned: int = 0
    joined: int = 0
    conversions: int = 0
    right_party: int = 0
    leads_dialed: int = 0
    leads_spoken: int = 0
    closed_at_once: int = 0
    wait_s: float = 0.0
    quick: int = 0
    talk_s: float = 0.0
    wrap_s: float = 0.0
    available_s: float | None = None
    duty_s: float | None = None
    leads_attempted: int | None = None
    leads_dialable: int | None = None


# What an agent says when the right person spoke, and when that settled the matter.
_RIGHT_PARTY = "('sale', 'interested', 'not_interested', 'callback', 'do_not_call')"
_SETTLED = "('sale', 'not_interested', 'do_not_call')"
_CONVERSIONS = "('sale')"

_KEYS: Mapping[By, str] = {
    By.TOTAL: "'all'",
    By.CAMPAIGN: "c.name",
    By.LIST: "coalesce(ll.name, '(list removed)')",
    By.AGENT: "g.name",
    By.HOUR: "to_char(date_trunc('hour', a.claimed_at AT TIME ZONE $4), 'YYYY-MM-DD HH24:00')",
}

# Agents' states as spans, from one event to the next of the same session. The first events are
# looked for a week back, which is longer than any shift.
_SPANS = """
spans AS (
    SELECT e.agent_id, e.state::text AS state, coalesce(e.reason, '') AS reason, e.attempt_id,
           e.happened_at AS starts,
           coalesce(lead(e.happened_at) OVER (PARTITION BY e.session_id
                                              ORDER BY e.happened_at, e.id),
                    CASE WHEN s.id IS NULL THEN e.happened_at
                         ELSE least($3, clock_timestamp()) END) AS ends
    FROM agent_event e
    LEFT JOIN agent_session s ON s.id = e.session_id
    WHERE e.happened_at >= $2::timestamptz - interval '7 days' AND e.happened_at < $3
)
"""

_CALLS = """
WITH {spans}, wrapped AS (
    SELECT attempt_id, sum(extract(epoch FROM ends - starts)) AS seconds
    FROM spans WHERE state = 'wrap_up' AND attempt_id IS NOT NULL GROUP BY 1
), calls AS (
    SELECT {key} AS name, a.*, coalesce(w.seconds, 0) AS wrap_s,
           row_number() OVER talks AS nth, count(*) OVER (PARTITION BY a.lead_id,
               a.joined_at IS NOT NULL) AS talks_of_lead
    FROM attempt a
    JOIN campaign c ON c.id = a.campaign_id
    LEFT JOIN lead l ON l.id = a.lead_id
    LEFT JOIN lead_list ll ON ll.id = l.list_id
    LEFT JOIN agent g ON g.id = a.agent_id
    LEFT JOIN wrapped w ON w.attempt_id = a.id
    WHERE a.claimed_at >= $2 AND a.claimed_at < $3 AND ($1::uuid IS NULL OR a.campaign_id = $1)
      AND length($4::text) > 0
    WINDOW talks AS (PARTITION BY a.lead_id, a.joined_at IS NOT NULL ORDER BY a.joined_at, a.id)
)
SELECT name,
       count(dialing_at) AS dialed,
       count(answered_at) AS answered,
       count(*) FILTER (WHERE answered_by_person) AS persons,
       count(*) FILTER (WHERE abandoned) AS abandoned,
       count(joined_at) AS joined,
       count(*) FILTER (WHERE disposition IN {conversions}) AS conversions,
       count(*) FILTER (WHERE joined_at IS NOT NULL AND disposition IN {right_party})
           AS right_party,
       count(DISTINCT lead_id) FILTER (WHERE dialing_at IS NOT NULL) AS leads_dialed,
       count(*) FILTER (WHERE joined_at IS NOT NULL AND nth = 1) AS leads_spoken,
       count(*) FILTER (WHERE joined_at IS NOT NULL AND nth = 1 AND talks_of_lead = 1
                          AND disposition IN {settled}) AS closed_at_once,
       coalesce(sum(extract(epoch FROM joined_at - answered_at)), 0)::float8 AS wait_s,
       count(*) FILTER (WHERE joined_at - answered_at <= interval '2 seconds') AS quick,
       coalesce(sum(extract(epoch FROM ended_at - joined_at)), 0)::float8 AS talk_s,
       coalesce(sum(wrap_s), 0)::float8 AS wrap_s
FROM calls
WHERE name IS NOT NULL
GROUP BY name
ORDER BY name
"""

# An agent who works for several campaigns is available to each of them.
_TIMES = """
WITH {spans}, parts AS (
    SELECT {key} AS name, p.agent_id, p.state,
           greatest(p.starts, $2, part.starts) AS starts, least(p.ends, $3, part.ends) AS ends
    FROM spans p
    JOIN agent g ON g.id = p.agent_id
    {joins}
    WHERE p.ends > $2 AND p.state <> 'offline' AND length($4::text) > 0
      AND ($1::uuid IS NULL OR EXISTS (SELECT FROM agent_campaign ac
                                       WHERE ac.agent_id = p.agent_id AND ac.campaign_id = $1))
)
SELECT name,
       coalesce(sum(extract(epoch FROM ends - starts))
                FILTER (WHERE state IN ('ready', 'reserved')), 0)::float8 AS available_s,
       coalesce(sum(extract(epoch FROM ends - starts)), 0)::float8 AS duty_s
FROM parts
WHERE ends > starts
GROUP BY name
ORDER BY name
"""
_WHOLE = "CROSS JOIN LATERAL (SELECT p.starts, p.ends) part"
_OF_CAMPAIGNS = """CROSS JOIN LATERAL (SELECT p.starts, p.ends) part
    JOIN agent_campaign m ON m.agent_id = p.agent_id
    JOIN campaign c ON c.id = m.campaign_id AND ($1::uuid IS NULL OR c.id = $1)"""
_HOURS = """CROSS JOIN LATERAL (
        SELECT h AS starts, h + interval '1 hour' AS ends
        FROM generate_series(date_trunc('hour', greatest(p.starts, $2)), least(p.ends, $3),
                             interval '1 hour') AS h) part"""
_TIME_PARTS: Mapping[By, tuple[str, str]] = {
    By.TOTAL: ("'all'", _WHOLE),
    By.AGENT: ("g.name", _WHOLE),
    By.CAMPAIGN: ("c.name", _OF_CAMPAIGNS),
    By.HOUR: ("to_char(part.starts AT TIME ZONE $4, 'YYYY-MM-DD HH24:00')", _HOURS),
}

_LEADS = """
SELECT {key} AS name, count(*) FILTER (WHERE x.attempted) AS leads_attempted,
       count(*) FILTER (WHERE x.attempted OR x.done_reason IS NULL
                           OR x.done_reason NOT IN ('invalid_number', 'suppressed'))
           AS leads_dialable
FROM campaign_list cl
JOIN campaign c ON c.id = cl.campaign_id
JOIN lead_list ll ON ll.id = cl.list_id
CROSS JOIN LATERAL (
    SELECT l.done_reason, EXISTS (SELECT FROM attempt t WHERE t.lead_id = l.id
                                  AND t.dialing_at IS NOT NULL) AS attempted
    FROM lead l WHERE l.list_id = cl.list_id) x
WHERE cl.active AND ($1::uuid IS NULL OR cl.campaign_id = $1)
GROUP BY 1
"""


async def read(
    connection: Connection,
    by: By,
    *,
    campaign_id: UUID | None,
    since: datetime,
    until: datetime,
    zone: str = "UTC",
) -> list[Sums]:
    """Return the sums of each part; *zone* (IANA) is whose hours they are."""
    arguments = (campaign_id, since, until, zone)
    parts: dict[str, dict[str, Any]] = {}
    calls = _CALLS.format(
        spans=_SPANS.strip(),
        key=_KEYS[by],
        conversions=_CONVERSIONS,
        right_party=_RIGHT_PARTY,
        settled=_SETTLED,
    )
    for row in await connection.fetch(calls, *arguments, timeout=_LONG_S):
        parts.setdefault(row["name"], {}).update(row)
    if by in _TIME_PARTS:
        key, joins = _TIME_PARTS[by]
        times = _TIMES.format(spans=_SPANS.strip(), key=key, joins=joins)
        for row in await connection.fetch(times, *arguments, timeout=_LONG_S):
            parts.setdefault(row["name"], {"name": row["name"]}).update(row)
    if by in {By.TOTAL, By.CAMPAIGN, By.LIST}:
        leads = _LEADS.format(key=_KEYS[by])
        for row in await connection.fetch(leads, campaign_id, timeout=_LONG_S):
            parts.setdefault(row["name"], {"name": row["name"]}).update(row)
    return [Sums(**parts[name]) for name in sorted(parts)]


@dataclass(frozen=True, slots=True)
class Timesheet:
    """One agent's day: first and last sign of work, and seconds by state and by pause code."""

    agent: str
    day: str
    first_at: datetime
    last_at: datetime
    states: Mapping[str, float]
    pauses: Mapping[str, float] = field(default_factory=dict)

    @property
    def logged_in_s(self) -> float:
        """Return all the time logged in, pauses included."""
        return sum(self.states.values())


_TIMESHEETS = """
WITH {spans}, parts AS (
    SELECT g.name AS agent, d::date AS day, p.state, p.reason,
           greatest(p.starts, $2, d AT TIME ZONE $4) AS starts,
           least(p.ends, $3, (d + interval '1 day') AT TIME ZONE $4) AS ends
    FROM spans p
    JOIN agent g ON g.id = p.agent_id
    CROSS JOIN LATERAL generate_series(
        date_trunc('day', greatest(p.starts, $2) AT TIME ZONE $4),
        least(p.ends, $3) AT TIME ZONE $4, interval '1 day') AS d
    WHERE p.ends > $2 AND p.state <> 'offline'
      AND ($1::uuid IS NULL OR EXISTS (SELECT FROM agent_campaign ac
                                       WHERE ac.agent_id = p.agent_id AND ac.campaign_id = $1))
)
SELECT agent, day::text AS day, state, CASE WHEN state = 'paused' THEN reason ELSE '' END AS reason,
       min(starts) AS first_at, max(ends) AS last_at,
       sum(extract(epoch FROM ends - starts))::float8 AS seconds
FROM parts
WHERE ends > starts
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2
"""


async def timesheets(
    connection: Connection,
    *,
    campaign_id: UUID | None,
    since: datetime,
    until: datetime,
    zone: str = "UTC",
) -> list[Timesheet]:
    """Return the timesheet of each agent and day; *zone* (IANA) is whose days they are."""
    found: dict[tuple[str, str], list[Any]] = {}
    rows = await connection.fetch(
        _TIMESHEETS.format(spans=_SPANS.strip()), campaign_id, since, until, zone, timeout=_LONG_S
    )
    for row in rows:
        found.setdefault((row["agent"], row["day"]), []).append(row)
    sheets = []
    for (agent, day), parts in found.items():
        states: dict[str, float] = {}
        pauses: dict[str, float] = {}
        for part in parts:
            states[part["state"]] = states.get(part["state"], 0.0) + part["seconds"]
            if part["state"] == "paused":
                code = part["reason"] or "no reason"
                pauses[code] = pauses.get(code, 0.0) + part["seconds"]
        first = min(part["first_at"] for part in parts)
        last = max(part["last_at"] for part in parts)
        sheets.append(Timesheet(agent, day, first, last, states, pauses))
    return sheets
