"""What a campaign is doing this moment: one read of Postgres, for the live board and the demo.

Every figure is counted from rows, in one repeatable-read transaction, so the parts of one
`BoardSnapshot` fit together. `board_view` draws it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from campaigns.errors import UserError
from campaigns.model import AgentState, AttemptState, CampaignState, Outcome
from campaigns.stores import campaigns, leads, ledger
from campaigns.stores.leads import LeadCounts
from campaigns.stores.losses import Losses, losses
from dialer.forecast import Forecast, read_forecast
from pacing import Mode
from pacing.guard import stand

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

# A board never looks further back than this, however long the campaign has been running.
LONGEST = timedelta(hours=24)
# After counting leads for t seconds, they are not counted again for this many times t.
LEADS_REST = 30.0
RATE_WINDOW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One assigned agent; times in seconds, `calls` and `mean_talk_s` since the board's start."""

    name: str
    state: AgentState
    since_s: float
    reason: str | None
    calls: int
    mean_talk_s: float | None


@dataclass(frozen=True, slots=True)
class TrunkLine:
    """One trunk of the campaign: channels in use by all campaigns, of how many."""

    name: str
    in_use: int
    channels: int
    suspended_reason: str | None


@dataclass(frozen=True, slots=True)
class PacingLine:
    """The engine's latest decision and what it has led to in the last minute."""

    decided_ago_s: float | None
    originate: int
    claimed: int
    bound: str
    evidence: Mapping[str, Any]
    attempts_last_minute: int


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Abandonment in one accounting window of the profile: A of H, against the limit.

    `seeded` of the H are labelled history that no call of this campaign stands behind. `standing`
    is what the guard says of it: "1:1 until 33 people answered, 12 to go".
    """

    name: str
    answered_by_person: int
    abandoned: int
    seeded: int
    limit_ppm: int
    target_ppm: int
    standing: str

    @property
    def rate_ppm(self) -> int:
        """Return A / H in parts per million, zero before the first answer."""
        if not self.answered_by_person:
            return 0
        return round(1_000_000 * self.abandoned / self.answered_by_person)

    @property
    def is_over(self) -> bool:
        """Whether the limit is broken; integers, because a legal comparison must be exact."""
        return 1_000_000 * self.abandoned > self.limit_ppm * self.answered_by_person


@dataclass(frozen=True, slots=True)
class LeadFigures:
    """Where the leads stand, counted at `at`, which took `cost_s` seconds."""

    at: datetime
    cost_s: float
    counts: LeadCounts


@dataclass(frozen=True, slots=True)
class BoardSnapshot:
    """Everything the board shows, read at `at`; counts are since `since`."""

    at: datetime
    since: datetime
    campaign_id: UUID
    campaign: str
    state: CampaignState
    mode: Mode
    profile: str
    engine_alive: bool
    line_processes: int
    agents: tuple[AgentLine, ...]
    trunks: tuple[TrunkLine, ...]
    calls: Mapping[AttemptState, int]
    waiting_for_agent: int
    pacing: PacingLine | None
    ledger: tuple[LedgerLine, ...]
    attempts: int
    outcomes: Mapping[Outcome, int]
    verdicts: Mapping[str, int]
    dispositions: Mapping[str, int]
    joined: int
    leads: LeadFigures
    forecast: Forecast | None
    losses: Losses

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen by itself: no call open and no lead left to call."""
        counts = self.leads.counts
        left = counts.callable_now + counts.waiting + counts.in_call + sum(counts.held.values())
        return not self.calls and (left == 0 or self.state is CampaignState.STOPPED)

    def agents_in(self, state: AgentState) -> int:
        """Return how many assigned agents are in *state*."""
        return sum(1 for agent in self.agents if agent.state is state)


# The campaign, and whether the engine that leases it is alive.
_CAMPAIGN = """
SELECT c.id, c.name, c.state, c.mode, c.profile, c.settings, c.started_at,
       clock_timestamp() AS at,
       coalesce(c.lease_until > clock_timestamp(), false) AS engine_alive,
       (SELECT count(*)
        FROM process
        WHERE kind = 'lines' AND ended_at IS NULL AND lease_until > clock_timestamp()) AS lines
FROM campaign c
WHERE c.name = $1
"""

# Every assigned agent, logged in or not, the longest in its state first.
_AGENTS = """
SELECT a.id, a.name, coalesce(s.state, 'offline') AS state, s.state_since,
       coalesce(s.pause_reason, s.pause_requested) AS reason
FROM agent_campaign ac
JOIN agent a ON a.id = ac.agent_id
LEFT JOIN agent_session s ON s.agent_id = a.id
WHERE ac.campaign_id = $1
ORDER BY a.name
"""

# Channels are shared by all campaigns of a trunk.
_TRUNKS = """
SELECT t.name, t.channels,
       CASE WHEN t.suspended_until > clock_timestamp() THEN t.suspended_reason END AS suspended,
       (SELECT count(*)
        FROM live_attempt l
        WHERE l.trunk_id = t.id AND l.state NOT IN ('claimed', 'ended')) AS in_use
FROM campaign_trunk ct
JOIN trunk t ON t.id = ct.trunk_id
WHERE ct.campaign_id = $1
ORDER BY t.priority, t.name
"""

# Calls in flight by state, and those answered that nobody has been found for yet.
_CALLS = """
SELECT state, count(*) AS n,
       count(*) FILTER (
           WHERE state = 'answered' AND reservation = 'none' AND screening = 'person') AS waiting,
       count(*) FILTER (WHERE claimed_at > $2) AS recent
FROM live_attempt
WHERE campaign_id = $1
GROUP BY state
"""

# Closed attempts since the board began, folded as far as the board needs them.
_CLOSED = """
SELECT outcome, verdict, disposition, agent_id,
       count(*) AS n,
       count(*) FILTER (WHERE claimed_at > $3) AS recent,
       count(joined_at) AS joined,
       sum(extract(epoch FROM ended_at - joined_at)) AS talk_s
FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2
GROUP BY outcome, verdict, disposition, agent_id
"""

# The engine's latest word.
_DECISION = """
SELECT decided_at, originate, claimed, bound, evidence
FROM decision
WHERE campaign_id = $1 AND decided_at > $2
ORDER BY decided_at DESC
LIMIT 1
"""


async def read_board(
    pool: Pool,
    name: str,
    *,
    since: datetime | None = None,
    previous: BoardSnapshot | None = None,
) -> BoardSnapshot:
    """Return what campaign *name* is doing; raises `UserError` if there is no such campaign.

    Counts begin at *since*, by default when the campaign was last started, at most `LONGEST` ago.
    Whoever looks again and again passes the *previous* board: counting leads reads them all, so on
    a long list its figures are taken over until they are due again.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        campaign = await connection.fetchrow(_CAMPAIGN, name)
        if campaign is None:
            raise UserError(
                f"There is no campaign named {name!r}: `dialer campaign list` names them all."
            )
        at: datetime = campaign["at"]
        began = since or campaign["started_at"] or at
        began = max(began, at - LONGEST)
        return await _read(connection, campaign, at, began, previous)


async def _read(
    connection: Connection,
    campaign: asyncpg.Record,
    at: datetime,
    since: datetime,
    previous: BoardSnapshot | None,
) -> BoardSnapshot:
    key = campaign["id"]
    leads_now = await _read_leads(connection, key, at, previous)
    recent = at - RATE_WINDOW
    live = await connection.fetch(_CALLS, key, recent)
    closed = await connection.fetch(_CLOSED, key, since, recent)
    decision = await connection.fetchrow(_DECISION, key, at - LONGEST)
    rate = sum(row["recent"] for row in live) + sum(row["recent"] for row in closed)
    return BoardSnapshot(
        at=at,
        since=since,
        campaign_id=key,
        campaign=campaign["name"],
        state=CampaignState(campaign["state"]),
        mode=Mode(campaign["mode"]),
        profile=campaign["profile"],
        engine_alive=campaign["engine_alive"],
        line_processes=campaign["lines"],
        agents=await _read_agents(connection, key, at, closed),
        trunks=tuple(
            TrunkLine(row["name"], row["in_use"], row["channels"], row["suspended"])
            for row in await connection.fetch(_TRUNKS, key)
        ),
        calls={AttemptState(row["state"]): row["n"] for row in live},
        waiting_for_agent=sum(row["waiting"] for row in live),
        pacing=_pacing(decision, at, rate),
        ledger=await _read_ledger(connection, key, at, _held(decision)),
        attempts=sum(row["n"] for row in closed) + sum(row["n"] for row in live),
        outcomes={Outcome(outcome): count for outcome, count in _fold(closed, "outcome").items()},
        verdicts=_fold(closed, "verdict"),
        dispositions=_fold(closed, "disposition"),
        joined=sum(row["joined"] for row in closed),
        leads=leads_now,
        forecast=await read_forecast(connection, key, at=at, since=since),
        losses=await losses(connection, key, since=since, until=at),
    )


async def _read_leads(
    connection: Connection, campaign_id: UUID, at: datetime, previous: BoardSnapshot | None
) -> LeadFigures:
    """Count the leads, unless that would take more than a small share of the board's time."""
    if previous is not None and previous.campaign_id == campaign_id:
        known = previous.leads
        if (at - known.at).total_seconds() < known.cost_s * LEADS_REST:
            return known
    began = time.monotonic()
    counts = await leads.lead_counts(connection, campaign_id, now=at)
    return LeadFigures(at, time.monotonic() - began, counts)


def _held(decision: asyncpg.Record | None) -> frozenset[str]:
    """Return the windows the latest decision held at one to one."""
    named = "" if decision is None else str(_evidence(decision).get("held", ""))
    return frozenset(filter(None, named.split(", ")))


def _evidence(decision: asyncpg.Record) -> Mapping[str, Any]:
    evidence = decision["evidence"]
    found: Mapping[str, Any] = json.loads(evidence) if isinstance(evidence, str) else evidence
    return found


async def _read_ledger(
    connection: Connection, campaign_id: UUID, at: datetime, held: frozenset[str]
) -> tuple[LedgerLine, ...]:
    row = await campaigns.by_id(connection, campaign_id)
    if row is None:
        return ()
    return tuple(
        LedgerLine(
            name=window.name,
            answered_by_person=window.answered_by_person,
            abandoned=window.abandoned,
            seeded=window.seeded_answered,
            limit_ppm=window.limit_ppm,
            target_ppm=window.target_ppm,
            standing=stand(window.as_count(now=at, held=window.name in held)).sentence,
        )
        for window in await ledger.window_counts(connection, row, now=at)
    )


async def _read_agents(
    connection: Connection, campaign_id: UUID, at: datetime, closed: list[asyncpg.Record]
) -> tuple[AgentLine, ...]:
    calls: dict[UUID, int] = {}
    talk: dict[UUID, float] = {}
    for row in closed:
        if row["agent_id"] is not None:
            calls[row["agent_id"]] = calls.get(row["agent_id"], 0) + row["joined"]
            talk[row["agent_id"]] = talk.get(row["agent_id"], 0.0) + float(row["talk_s"] or 0)
    return tuple(
        AgentLine(
            name=row["name"],
            state=AgentState(row["state"]),
            since_s=max(0.0, (at - row["state_since"]).total_seconds())
            if row["state_since"]
            else 0,
            reason=row["reason"],
            calls=calls.get(row["id"], 0),
            mean_talk_s=talk[row["id"]] / calls[row["id"]] if calls.get(row["id"]) else None,
        )
        for row in await connection.fetch(_AGENTS, campaign_id)
    )


def _pacing(decision: asyncpg.Record | None, at: datetime, rate: int) -> PacingLine | None:
    if decision is None:
        return None
    return PacingLine(
        decided_ago_s=(at - decision["decided_at"]).total_seconds(),
        originate=decision["originate"],
        claimed=decision["claimed"],
        bound=decision["bound"],
        evidence=_evidence(decision),
        attempts_last_minute=rate,
    )


def _fold(rows: list[asyncpg.Record], key: str) -> dict[str, int]:
    """Return how many attempts have each value of *key*, the most frequent first."""
    counts: dict[str, int] = {}
    for row in rows:
        if row[key] is not None:
            counts[row[key]] = counts.get(row[key], 0) + row["n"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
