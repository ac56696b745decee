"""One campaign at one instant, read in one database view: what `pacing.decide` is asked about.

Agents shared by several campaigns are supply in each of them, but never twice: a ready one is lent
to exactly one campaign at a time (`lent_to`), the others count as a share of 1/k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import (
    AgentState,
    AttemptState,
    Clock,
    Deny,
    Outcome,
    Reservation,
    Screening,
    ScreeningMode,
    Verdict,
)
from campaigns.rules import abandonment, gate, profiles
from campaigns.rules.calling_hours import window
from campaigns.stores import (
    campaigns,
    closings,
    gate_facts,
    leads,
    ledger,
    over_dialing,
    trunk_room,
)
from pacing import (
    AgentStage,
    AgentView,
    History,
    PendingCall,
    Policy,
    Snapshot,
    TrunkRoom,
    WaitingCall,
)

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection
    from campaigns.stores.ledger import LedgerWindow
    from campaigns.stores.trunk_room import DayUse, Room

CALLABLE_AT_MOST = 1000
# A line process that missed a heartbeat or two is not dead yet.
_GRACE_S = 3.0
# Decisions of other campaigns older than this say nothing about now.
_FRESH = timedelta(seconds=30)
_STAGES = {
    AgentState.PAUSED: AgentStage.PAUSED,
    AgentState.READY: AgentStage.READY,
    AgentState.RESERVED: AgentStage.RESERVED,
    AgentState.TALKING: AgentStage.TALKING,
    AgentState.WRAP_UP: AgentStage.WRAP_UP,
}
_UNANSWERED = (AttemptState.CLAIMED, AttemptState.DIALING, AttemptState.RINGING)
# Screening has decided against a person, or nobody needs an agent any more.
_NO_PERSON = frozenset({Screening.MACHINE, Screening.FAX, Screening.TONE})


@dataclass(frozen=True, slots=True)
class Known:
    """What the engine brings along: learned history, and what is too dear to count per tick.

    `person_share` is how many of the answered calls turn out to need an agent; `held` names the
    windows the previous decision held at one to one; `clock_skew_s` is this host's.
    """

    history: History
    person_share: float = 1.0
    held: frozenset[str] = frozenset()
    today: Mapping[UUID, DayUse] | None = None
    clock_skew_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LineRoom:
    """One line process: the campaign's agents on it, its calls, and what it can still take."""

    process_id: UUID
    free: int
    agents: int
    ready: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class ReadyAgent:
    """An agent who is ready and works for this campaign now; the longest idle come first."""

    session_id: UUID
    process_id: UUID


@dataclass(frozen=True, slots=True)
class LiveCall:
    """An attempt that is not closed, as far as learning from it goes; times None until reached."""

    attempt_id: UUID
    state: AttemptState
    outcome: Outcome | None
    verdict: Verdict | None
    dialing_at: datetime | None
    answered_at: datetime | None
    reserved_at: datetime | None
    joined_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot with the rows that placing its calls needs."""

    campaign: CampaignRow
    snapshot: Snapshot
    lines: tuple[LineRoom, ...]
    rooms: tuple[Room, ...]
    windows: tuple[LedgerWindow, ...]
    calls: tuple[LiveCall, ...]
    ready: tuple[ReadyAgent, ...] = ()

    @property
    def live(self) -> int:
        """Return how many attempts are not closed."""
        return len(self.calls)

    @property
    def claimed(self) -> int:
        """Return how many calls were ordered and not yet dialed."""
        return sum(call.state is AttemptState.CLAIMED for call in self.calls)


@dataclass(frozen=True, slots=True)
class SharedCampaign:
    """A running campaign an agent may be lent to; `can_dial` says a call could start there now."""

    campaign_id: UUID
    priority: int
    can_dial: bool


_AGENTS = """
    -- The campaign's agents whose line process lives, and for how many running campaigns they work.
    SELECT s.id, s.agent_id, s.state, s.state_since, s.process_id,
           s.pause_requested IS NOT NULL OR s.logout_requested AS leaving,
           ARRAY(SELECT jsonb_build_array(o.campaign_id, o.priority)
                 FROM agent_campaign o
                 JOIN campaign c ON c.id = o.campaign_id AND c.state = 'running'
                 WHERE o.agent_id = s.agent_id) AS running
    FROM agent_campaign m
    JOIN agent_session s ON s.agent_id = m.agent_id
    JOIN process p ON p.id = s.process_id
    WHERE m.campaign_id = $1 AND s.state <> 'offline'
      AND p.ended_at IS NULL AND p.lease_until > clock_timestamp() - make_interval(secs => $2)
    ORDER BY s.state_since, s.id
"""

_CALLS = """
    -- Calls that are not closed.
    SELECT a.id, a.state, a.screening, a.reservation, a.timers, a.claimed_at, a.dialing_at,
           a.answered_at, a.greeting_ended_at, a.reserved_at, a.joined_at, a.ended_at, a.ended_by,
           a.outcome, a.verdict, a.disposition, a.process_id, t.name AS trunk
    FROM live_attempt a
    JOIN trunk t ON t.id = a.trunk_id
    WHERE a.campaign_id = $1
"""

_LINES = """
    -- Line processes that take calls, and what they hold: every campaign's calls, every agent leg.
    SELECT p.id, p.capacity, p.clock_offset_ms,
           (SELECT count(*) FROM live_attempt a WHERE a.process_id = p.id AND a.state <> 'ended')
           + (SELECT count(*) FROM agent_session s
              WHERE s.process_id = p.id AND s.state <> 'offline') AS used
    FROM process p
    WHERE p.kind = 'lines' AND p.ended_at IS NULL AND NOT p.draining
      AND p.lease_until > clock_timestamp()
    ORDER BY p.id
"""

_CAN_DIAL = """
    -- What the latest decision of other campaigns says about leads and trunks, if it is fresh.
    SELECT c.id,
           COALESCE((d.evidence->>'cap_list')::integer > 0
                    AND (d.evidence->>'cap_trunk_room')::integer > 0, true)
           OR EXISTS (SELECT FROM live_attempt a
                      WHERE a.campaign_id = c.id
                        AND a.state IN ('claimed', 'dialing', 'ringing')) AS can_dial
    FROM campaign c
    LEFT JOIN LATERAL (
        SELECT d.evidence
        FROM decision d
        WHERE d.campaign_id = c.id AND d.decided_at > $2
        ORDER BY d.decided_at DESC
        LIMIT 1
    ) d ON true
    WHERE c.id = ANY($1::uuid[]) AND c.lease_until > clock_timestamp()
"""


async def take(
    connection: Connection, campaign_id: UUID, known: Known, *, now: datetime
) -> View | None:
    """Return the campaign as it stands at *now*, None if there is no such campaign."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        campaign = await campaigns.by_id(connection, campaign_id)
        if campaign is None:
            return None
        sessions = await connection.fetch(_AGENTS, campaign_id, _GRACE_S)
        calls = await connection.fetch(_CALLS, campaign_id)
        lines = await connection.fetch(_LINES)
        rooms = await trunk_room.of_campaign(
            connection, campaign_id, now=now, today=known.today or {}
        )
        due = await leads.callable_count(connection, campaign_id, now=now, cap=CALLABLE_AT_MOST)
        windows = await ledger.window_counts(connection, campaign, now=now)
        asked = await gate_facts.of_campaign(connection, campaign, now=now)
        attached = await gate_facts.trunks_of(connection, campaign.id, now=now)
        if isinstance(gate.may_work(asked, now, attached.facts), Deny):
            due = 0
        forbidden = await over_dialing.forbidden_by(connection, campaign, now=now)
        able = await _who_can_dial(connection, sessions, campaign_id, now=now)
    pending, waiting = _split(calls, known, now=now)
    skews = [abs(row["clock_offset_ms"]) / 1000 for row in lines]
    snapshot = Snapshot(
        at_s=now.timestamp(),
        agents=tuple(_agent(row, campaign_id, able, now=now) for row in sessions),
        pending=tuple(pending),
        waiting=tuple(waiting),
        trunks=tuple(TrunkRoom(room.name, room.free_channels, room.calls_now) for room in rooms),
        windows=tuple(
            window.as_count(now=now, held=window.name in known.held) for window in windows
        ),
        callable_leads=due,
        history=known.history,
        policy=policy_of(campaign),
        remaining_shift_s=_remaining_shift_s(campaign, now=now),
        over_dialing_forbidden=forbidden,
        clock_skew_s=max((known.clock_skew_s, *skews)),
    )
    return View(
        campaign=campaign,
        snapshot=snapshot,
        lines=tuple(_line_room(row, sessions, calls) for row in lines),
        rooms=tuple(rooms),
        windows=windows,
        calls=tuple(_live_call(row) for row in calls),
        ready=tuple(
            ReadyAgent(row["id"], row["process_id"])
            for row, agent in zip(sessions, snapshot.agents, strict=True)
            if agent.stage is AgentStage.READY and agent.share == 1.0 and not agent.leaving
        ),
    )


def _remaining_shift_s(campaign: CampaignRow, *, now: datetime) -> float | None:
    """Return how long the campaign's own schedule still lets it dial, None without one."""
    own = campaign.schedule
    if own is None:
        return None
    return window(own.hours, (own.zone,), now, before_end_s=0).closes_in_s or 0.0


def policy_of(campaign: CampaignRow) -> Policy:
    """Return the campaign's pacing settings inside its profile's law."""
    settings = campaign.settings
    profile = campaign.profile
    if profile is None:
        return Policy()
    timers = profiles.call_timers(settings, profile)
    return Policy(
        mode=campaign.mode,
        ratio=settings.ratio,
        max_lines_per_agent=settings.max_lines_per_agent,
        guard=settings.guard,
        connect_limit_s=timers.connect_limit_s if timers.join_by_s is None else timers.join_by_s,
        ring_timeout_s=timers.ring_timeout_s,
    )


def lent_to(agent_id: UUID, since: datetime, running: Sequence[SharedCampaign]) -> UUID | None:
    """Return the campaign a ready shared agent works for now, None when none can dial.

    The highest priority among those that can dial; equals share by chance, drawn anew each time the
    agent becomes ready and the same for whoever asks.
    """
    able = [campaign for campaign in running if campaign.can_dial]
    if not able:
        return None
    first = min(campaign.priority for campaign in able)
    equals = sorted(c.campaign_id for c in able if c.priority == first)
    drawn = (agent_id.int ^ int(since.timestamp() * 1000)) * 0x9E3779B97F4A7C15
    return equals[(drawn >> 32) % len(equals)]


async def _who_can_dial(
    connection: Connection, sessions: Sequence[Any], campaign_id: UUID, *, now: datetime
) -> dict[UUID, bool]:
    """Return which campaigns of shared agents could start a call now."""
    shared = {
        UUID(other)
        for row in sessions
        if row["state"] == AgentState.READY and len(row["running"]) > 1
        for other, _ in row["running"]
    }
    if not shared:
        return {campaign_id: True}
    rows = await connection.fetch(_CAN_DIAL, list(shared), now - _FRESH)
    return {row["id"]: row["can_dial"] for row in rows}


def _agent(row: Any, campaign_id: UUID, able: Mapping[UUID, bool], *, now: datetime) -> AgentView:
    running = [
        SharedCampaign(UUID(other), priority, able.get(UUID(other), False))
        for other, priority in row["running"]
    ]
    state = AgentState(row["state"])
    share = 1.0 / max(1, len(running))
    if state is AgentState.READY and len(running) > 1:
        lent = lent_to(row["agent_id"], row["state_since"], running)
        share = 1.0 if lent == campaign_id else 0.0
    return AgentView(
        stage=_STAGES[state],
        elapsed_s=max(0.0, (now - row["state_since"]).total_seconds()),
        leaving=row["leaving"],
        share=share,
    )


def _split(
    calls: Sequence[Any], known: Known, *, now: datetime
) -> tuple[list[PendingCall], list[WaitingCall]]:
    """Return the calls nobody has answered, and those answered that still need an agent."""
    pending: list[PendingCall] = []
    waiting: list[WaitingCall] = []
    for row in calls:
        has_agent = row["reservation"] in (Reservation.RESERVED, Reservation.JOINED)
        if AttemptState(row["state"]) in _UNANSWERED:
            since = row["dialing_at"] or row["claimed_at"]
            elapsed_s = max(0.0, (now - since).total_seconds())
            pending.append(PendingCall(elapsed_s, row["trunk"], has_agent))
        elif row["state"] == AttemptState.ANSWERED and row["joined_at"] is None:
            chance = _person_chance(row, known, now=now)
            if chance > 0:
                elapsed_s = max(0.0, (now - row["answered_at"]).total_seconds())
                waiting.append(WaitingCall(elapsed_s, chance, has_agent))
    return pending, waiting


def _person_chance(row: Any, known: Known, *, now: datetime) -> float:
    """Return how likely an answered call still needs an agent: not once its time has run out."""
    if Screening(row["screening"]) in _NO_PERSON:
        return 0.0
    limit = abandonment.deadline(closings.answered_call(row, now=now))
    is_known = row["greeting_ended_at"] is not None or row["timers"]["clock"] == Clock.ANSWER
    if is_known and limit is not None and limit < now:
        return 0.0
    if row["screening"] == Screening.LISTENING and row["timers"]["screening"] == ScreeningMode.ON:
        return known.person_share
    return 1.0


def _live_call(row: Any) -> LiveCall:
    return LiveCall(
        attempt_id=row["id"],
        state=AttemptState(row["state"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        dialing_at=row["dialing_at"],
        answered_at=row["answered_at"],
        reserved_at=row["reserved_at"],
        joined_at=row["joined_at"],
        ended_at=row["ended_at"],
    )


def _line_room(row: Any, sessions: Sequence[Any], calls: Sequence[Any]) -> LineRoom:
    here = [s for s in sessions if s["process_id"] == row["id"] and not s["leaving"]]
    return LineRoom(
        process_id=row["id"],
        free=max(0, row["capacity"] - row["used"]),
        agents=sum(s["state"] != AgentState.PAUSED for s in here),
        ready=sum(s["state"] == AgentState.READY for s in here),
        in_flight=sum(
            c["process_id"] == row["id"]
            and c["state"] != AttemptState.ENDED
            and c["joined_at"] is None
            and c["reservation"] not in (Reservation.RESERVED, Reservation.JOINED)
            for c in calls
        ),
    )
