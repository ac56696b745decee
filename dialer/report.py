"""What came of a campaign, recomputed from its attempt rows: nothing here was ever incremented.

Definitions are printed beside the figures they define, because the trade uses one name for
several: see `DEFINITIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from campaigns.errors import UserError
from campaigns.rules import profiles
from campaigns.stores.losses import Losses, losses

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

DEFINITIONS: Mapping[str, str] = {
    "abandonment": "answered by a person and not given to an agent in time / answered by a person",
    "answer_rate": "answered / attempts dialed",
    "contact_rate": "answered by a person / attempts dialed",
    "connect_time": "from the profile's clock (answer, end of greeting) until an agent is joined",
    "occupancy": "(talking + wrap-up) / (talking + wrap-up + ready + reserved)",
    "penetration": "leads attempted at least once / leads on the campaign's active lists",
    "handle_time": "(talking + wrap-up) / calls joined",
}


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of times in seconds; `count` values stand behind it."""

    count: int
    p50: float | None
    p95: float | None
    longest: float | None


@dataclass(frozen=True, slots=True)
class Abandonment:
    """The ledger of the period: `abandoned` (A) of `answered_by_person` (H).

    `seeded_*` is labelled history of the same period that no call stands behind; it is never
    part of the measured figures.
    """

    answered_by_person: int
    abandoned: int
    seeded_answered_by_person: int
    seeded_abandoned: int
    limit_ppm: int

    @property
    def rate_ppm(self) -> int:
        """Return A / H in parts per million, zero without any H."""
        if not self.answered_by_person:
            return 0
        return round(1_000_000 * self.abandoned / self.answered_by_person)

    @property
    def with_seeded(self) -> Abandonment:
        """Return what the guard counts: the measured figures and the seeded ones together."""
        return Abandonment(
            answered_by_person=self.answered_by_person + self.seeded_answered_by_person,
            abandoned=self.abandoned + self.seeded_abandoned,
            seeded_answered_by_person=0,
            seeded_abandoned=0,
            limit_ppm=self.limit_ppm,
        )


@dataclass(frozen=True, slots=True)
class AgentReport:
    """One agent's share of the period; durations in seconds."""

    name: str
    calls: int
    talking_s: float
    wrap_up_s: float
    ready_s: float
    paused_s: float
    dispositions: Mapping[str, int]

    @property
    def occupancy(self) -> float | None:
        """Return the busy share of the time on duty, None when there was none."""
        busy = self.talking_s + self.wrap_up_s
        duty = busy + self.ready_s
        return busy / duty if duty > 0 else None

    @property
    def handle_time_s(self) -> float | None:
        """Return the mean time one joined call took, wrap-up included."""
        return (self.talking_s + self.wrap_up_s) / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class LeadReport:
    """Where the leads of the campaign's active lists stand now."""

    total: int
    attempted: int
    open: int
    in_call: int
    done: Mapping[str, int]

    @property
    def penetration(self) -> float | None:
        """Return the share attempted at least once, None for an empty list."""
        return self.attempted / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Everything about one campaign between `since` and `until`, by the time of claiming.

    `attempts` are closed; `still_open` attempts are live or in wrap-up and in no other figure.
    `returned_machines` counts calls an agent got and called a machine: the screening's misses.
    `losses` are the abandoned calls by cause.
    """

    campaign_id: UUID
    campaign: str
    state: str
    mode: str
    profile: str
    since: datetime
    until: datetime
    attempts: int
    dialed: int
    charged: int
    still_open: int
    outcomes: Mapping[str, int]
    verdicts: Mapping[str, int]
    dispositions: Mapping[str, int]
    trunks: Mapping[str, int]
    joined: int
    announced: int
    returned_machines: int
    abandonment: Abandonment
    answer_to_agent: Spread
    connect_time: Spread
    ring_time: Spread
    talk_time: Spread
    agents: tuple[AgentReport, ...]
    leads: LeadReport
    losses: Losses = field(default_factory=Losses)

    @property
    def answer_rate(self) -> float | None:
        """Return answered / dialed, None when nothing was dialed."""
        return self.outcomes.get("answered", 0) / self.dialed if self.dialed else None

    @property
    def contact_rate(self) -> float | None:
        """Return answered by a person / dialed, None when nothing was dialed."""
        return self.abandonment.answered_by_person / self.dialed if self.dialed else None


# The campaign and the period: from its first attempt, until now.
_CAMPAIGN = """
SELECT c.id, c.name, c.state, c.mode, c.profile, c.settings,
       coalesce($2, c.created_at) AS since, coalesce($3, clock_timestamp()) AS until
FROM campaign c
WHERE c.name = $1
"""

# Counts over the closed attempts of the period, and the four distributions of times.
_TOTALS = """
SELECT count(*) AS attempts,
       count(dialing_at) AS dialed,
       count(*) FILTER (WHERE charged) AS charged,
       count(joined_at) AS joined,
       count(message_started_at) AS announced,
       count(*) FILTER (WHERE joined_at IS NOT NULL AND disposition = 'machine')
           AS returned_machines,
       count(*) FILTER (WHERE answered_by_person) AS answered_by_person,
       count(*) FILTER (WHERE abandoned) AS abandoned,
       {spreads}
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3
"""
_SPREADS = {
    "answer_to_agent": "joined_at - answered_at",
    "connect_time": (
        "joined_at - CASE WHEN timers ->> 'clock' = 'greeting_end'"
        " THEN coalesce(greeting_ended_at, answered_at) ELSE answered_at END"
    ),
    "ring_time": "answered_at - coalesce(ringing_at, dialing_at)",
    "talk_time": "CASE WHEN joined_at IS NOT NULL THEN ended_at - joined_at END",
}

_COUNTS = """
SELECT 'outcomes' AS what, outcome::text AS name, count(*) AS n
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3
GROUP BY 2
UNION ALL
SELECT 'verdicts', verdict::text, count(*)
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3 AND verdict IS NOT NULL
GROUP BY 2
UNION ALL
SELECT 'dispositions', disposition::text, count(*)
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3 AND disposition IS NOT NULL
GROUP BY 2
UNION ALL
SELECT 'trunks', t.name, count(*)
FROM attempt a
JOIN trunk t ON t.id = a.trunk_id
WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3
GROUP BY 2
ORDER BY 1, 3 DESC, 2
"""

_SEEDED = """
SELECT coalesce(sum(answered_by_person), 0) AS answered_by_person,
       coalesce(sum(abandoned), 0) AS abandoned
FROM abandonment_hour
WHERE campaign_id = $1 AND origin = 'seeded' AND hour < $2
"""

_AGENT_CALLS = """
SELECT agent_id, disposition::text AS disposition, count(*) AS n, count(joined_at) AS joined
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3 AND agent_id IS NOT NULL
GROUP BY 1, 2
"""

# Time each assigned agent spent in each state: from one event to the next of the same session,
# and from the last one until the end of the period while the session lasts.
_AGENT_TIMES = """
SELECT a.id, a.name, e.state::text AS state,
       extract(epoch FROM sum(
           least(coalesce(e.next_at, CASE WHEN s.id IS NULL THEN e.happened_at ELSE $3 END), $3)
           - greatest(e.happened_at, $2))) AS seconds
FROM agent a
LEFT JOIN (
    SELECT agent_id, session_id, state, happened_at,
           lead(happened_at) OVER (PARTITION BY session_id ORDER BY happened_at, id) AS next_at
    FROM agent_event
    WHERE happened_at < $3
) e ON e.agent_id = a.id AND coalesce(e.next_at, $3) > $2
LEFT JOIN agent_session s ON s.id = e.session_id
WHERE a.id IN (SELECT agent_id FROM agent_campaign WHERE campaign_id = $1)
   OR a.id = ANY($4::uuid[])
GROUP BY a.id, a.name, e.state
ORDER BY a.name
"""

_LEADS = """
SELECT l.state::text AS state, l.done_reason::text AS done_reason,
       EXISTS (SELECT FROM attempt t WHERE t.lead_id = l.id AND t.dialing_at IS NOT NULL)
           AS attempted,
       count(*) AS n
FROM campaign_list cl
JOIN lead l ON l.list_id = cl.list_id
WHERE cl.campaign_id = $1 AND cl.active
GROUP BY 1, 2, 3
"""


async def read_report(
    pool: Pool, name: str, *, since: datetime | None = None, until: datetime | None = None
) -> CampaignReport:
    """Return what came of campaign *name*; raises `UserError` if there is no such campaign.

    Attempts count by when they were claimed: from *since*, by default the campaign's creation, to
    just before *until*, by default now. All figures are read in one transaction.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        campaign = await connection.fetchrow(_CAMPAIGN, name, since, until)
        if campaign is None:
            raise UserError(
                f"There is no campaign named {name!r}: `dialer campaign list` names them all."
            )
        return await _read(connection, campaign)


async def _read(connection: Connection, campaign: asyncpg.Record) -> CampaignReport:
    period = (campaign["id"], campaign["since"], campaign["until"])
    totals = await connection.fetchrow(_TOTALS.format(spreads=_spread_columns()), *period)
    assert totals is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    counts: dict[str, dict[str, int]] = {}
    for row in await connection.fetch(_COUNTS, *period):
        counts.setdefault(row["what"], {})[row["name"]] = row["n"]
    seeded = await connection.fetchrow(_SEEDED, campaign["id"], campaign["until"])
    still_open = await connection.fetchval(
        "SELECT count(*) FROM live_attempt WHERE campaign_id = $1", campaign["id"]
    )
    return CampaignReport(
        campaign_id=campaign["id"],
        campaign=campaign["name"],
        state=campaign["state"],
        mode=campaign["mode"],
        profile=campaign["profile"],
        since=campaign["since"],
        until=campaign["until"],
        attempts=totals["attempts"],
        dialed=totals["dialed"],
        charged=totals["charged"],
        still_open=still_open,
        outcomes=counts.get("outcomes", {}),
        verdicts=counts.get("verdicts", {}),
        dispositions=counts.get("dispositions", {}),
        trunks=counts.get("trunks", {}),
        joined=totals["joined"],
        announced=totals["announced"],
        returned_machines=totals["returned_machines"],
        abandonment=Abandonment(
            answered_by_person=totals["answered_by_person"],
            abandoned=totals["abandoned"],
            seeded_answered_by_person=seeded["answered_by_person"] if seeded else 0,
            seeded_abandoned=seeded["abandoned"] if seeded else 0,
            limit_ppm=profiles.get(campaign["profile"]).limit_ppm,
        ),
        answer_to_agent=_spread(totals, "answer_to_agent"),
        connect_time=_spread(totals, "connect_time"),
        ring_time=_spread(totals, "ring_time"),
        talk_time=_spread(totals, "talk_time"),
        agents=await _read_agents(connection, period),
        leads=await _read_leads(connection, campaign["id"]),
        losses=await losses(
            connection, campaign["id"], since=campaign["since"], until=campaign["until"]
        ),
    )


def _spread_columns() -> str:
    columns = []
    for name, interval in _SPREADS.items():
        seconds = f"extract(epoch FROM {interval})"
        columns += [
            f"count({interval}) AS {name}_count",
            f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {seconds}) AS {name}_p50",
            f"percentile_cont(0.95) WITHIN GROUP (ORDER BY {seconds}) AS {name}_p95",
            f"max({seconds}) AS {name}_longest",
        ]
    return ",\n       ".join(columns)


def _spread(row: asyncpg.Record, name: str) -> Spread:
    def seconds(suffix: str) -> float | None:
        value = row[f"{name}_{suffix}"]
        return None if value is None else float(value)

    return Spread(row[f"{name}_count"], seconds("p50"), seconds("p95"), seconds("longest"))


async def _read_agents(
    connection: Connection, period: tuple[UUID, datetime, datetime]
) -> tuple[AgentReport, ...]:
    calls: dict[UUID, int] = {}
    said: dict[UUID, dict[str, int]] = {}
    for row in await connection.fetch(_AGENT_CALLS, *period):
        calls[row["agent_id"]] = calls.get(row["agent_id"], 0) + row["joined"]
        if row["disposition"] is not None:
            said.setdefault(row["agent_id"], {})[row["disposition"]] = row["n"]
    times: dict[UUID, dict[str, float]] = {}
    names: dict[UUID, str] = {}
    for row in await connection.fetch(_AGENT_TIMES, *period, list(calls)):
        names[row["id"]] = row["name"]
        spent = times.setdefault(row["id"], {})
        if row["state"] is not None:
            spent[row["state"]] = float(row["seconds"] or 0)
    return tuple(
        AgentReport(
            name=name,
            calls=calls.get(key, 0),
            talking_s=times[key].get("talking", 0.0),
            wrap_up_s=times[key].get("wrap_up", 0.0),
            ready_s=times[key].get("ready", 0.0) + times[key].get("reserved", 0.0),
            paused_s=times[key].get("paused", 0.0),
            dispositions=dict(sorted(said.get(key, {}).items())),
        )
        for key, name in names.items()
    )


async def _read_leads(connection: Connection, campaign_id: UUID) -> LeadReport:
    rows = await connection.fetch(_LEADS, campaign_id)
    done: dict[str, int] = {}
    for row in rows:
        if row["done_reason"] is not None:
            done[row["done_reason"]] = done.get(row["done_reason"], 0) + row["n"]
    return LeadReport(
        total=sum(row["n"] for row in rows),
        attempted=sum(row["n"] for row in rows if row["attempted"]),
        open=sum(row["n"] for row in rows if row["state"] == "open"),
        in_call=sum(row["n"] for row in rows if row["state"] == "in_call"),
        done=dict(sorted(done.items(), key=lambda item: (-item[1], item[0]))),
    )
