"""Why calls are or are not being made, in one line per reason, from rows and the last decision.

Reasons come in the order somebody would mend them: what must run, who must be there, what must be
dialed through, whom there is to call, and what the pacing rule says when all of that is fine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from campaigns.model import AgentState, CampaignState, Deny, DoneReason
from campaigns.rules import gate, registries
from campaigns.rules.calling_hours import window
from campaigns.rules.gate import RULE_TEXT, Rule
from campaigns.stores import decisions, gate_facts, leads, ledger, over_dialing, trunk_room
from campaigns.stores.readiness import readiness_of
from pacing import Bound, Mode
from pacing.guard import stand

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection
    from campaigns.stores.decisions import StoredDecision
    from campaigns.stores.ledger import LedgerWindow
    from campaigns.stores.trunk_room import Room

# A decision older than this says nothing about now: the engine ticks twice a second.
STALE_S = 10.0
ZONES_SHOWN = 3


class Cause(StrEnum):
    """What kind of reason it is."""

    NOT_RUNNING = "not_running"
    NO_ENGINE = "no_engine"
    NO_LINE_PROCESS = "no_line_process"
    NO_AGENT = "no_agent"
    AGENTS_PAUSED = "agents_paused"
    NO_READY_AGENT = "no_ready_agent"
    NO_TRUNK = "no_trunk"
    TRUNK_SUSPENDED = "trunk_suspended"
    TRUNK_FULL = "trunk_full"
    TRUNK_DAY = "trunk_day"
    CALLS_PER_SECOND = "calls_per_second"
    LIST_EMPTY = "list_empty"
    SCHEDULE = "schedule"
    WINDOW_CLOSED = "window_closed"
    RETRY_WAIT = "retry_wait"
    HELD = "held"
    DO_NOT_CALL = "do_not_call"
    GUARD = "guard"
    LAW = "law"
    STALE = "stale"
    LINES_FULL = "lines_full"
    STANDING = "standing"
    DIALING = "dialing"
    PREVIEW = "preview"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, as a sentence; `blocks` says that it alone keeps every call from starting.

    `leads` is how many leads it concerns, `until` when it ends by itself; None where that means
    nothing.
    """

    cause: Cause
    text: str
    blocks: bool = False
    leads: int | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


async def explain(
    connection: Connection, campaign: CampaignRow, *, now: datetime | None = None
) -> list[Reason]:
    """Return the reasons, most fundamental first; there is always at least one."""
    at = now or await connection.fetchval("SELECT clock_timestamp()")
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await _service(connection, campaign)
        found += await _agents(connection, campaign)
        found += await _trunks(connection, campaign, now=at)
        found += await _leads(connection, campaign, now=at)
        found += await _law(connection, campaign, now=at)
        found += await _closed(connection, campaign, now=at)
        last = await decisions.latest(connection, campaign.id)
        flying = await _in_flight(connection, campaign)
        shown = await _shown(connection, campaign)
        windows = await ledger.window_counts(connection, campaign, now=at)
    if campaign.mode is Mode.PREVIEW and not any(reason.blocks for reason in found):
        return [*found, *_preview(shown, flying)]
    if not any(reason.blocks for reason in found):
        found += _pacing(last, flying, now=at)
        found += _windows(windows, last, now=at)
        seeded = sum(window.seeded_answered for window in windows)
        if seeded and last is not None and last.bound in (Bound.LOSS_THRESHOLD, Bound.GUARD):
            found.append(
                Reason(Cause.GUARD, f"{seeded} of the counted answers are seeded lab history.")
            )
    return found


async def _service(connection: Connection, campaign: CampaignRow) -> list[Reason]:
    found = []
    if campaign.state is not CampaignState.RUNNING:
        found.append(await _not_running(connection, campaign))
    (row,) = await connection.fetch(
        """
        SELECT COALESCE((SELECT lease_until > clock_timestamp() FROM campaign WHERE id = $1), false)
                   AS has_engine,
               EXISTS (SELECT FROM process WHERE kind = 'engine' AND ended_at IS NULL
                                             AND lease_until > clock_timestamp()) AS any_engine,
               EXISTS (SELECT FROM process WHERE kind = 'lines' AND ended_at IS NULL
                       AND NOT draining AND lease_until > clock_timestamp()) AS has_lines
        """,
        campaign.id,
    )
    if campaign.state is CampaignState.RUNNING and not row["has_engine"]:
        text = (
            "No engine has taken the campaign yet: it does within seconds."
            if row["any_engine"]
            else "No engine is running: start one with `dialer serve` or `dialer engine`."
        )
        found.append(Reason(Cause.NO_ENGINE, text, blocks=True))
    if not row["has_lines"]:
        text = "No line process is running: start one with `dialer serve` or `dialer lines`."
        found.append(Reason(Cause.NO_LINE_PROCESS, text, blocks=True))
    return found


_STATES = {CampaignState.DRAFT: "not started yet (draft)"}


async def _not_running(connection: Connection, campaign: CampaignRow) -> Reason:
    missing = (await readiness_of(connection, campaign)).missing
    how = f"start it with `dialer campaign start {campaign.name}`"
    if campaign.state is CampaignState.STOPPING:
        text = "The campaign is stopping: calls in flight end, no new ones start."
    elif missing:
        state = _STATES.get(campaign.state, campaign.state)
        text = f"The campaign is {state} and cannot start: {'; '.join(missing)}."
    else:
        text = f"The campaign is {_STATES.get(campaign.state, campaign.state)}: {how}."
    return Reason(Cause.NOT_RUNNING, text, blocks=True)


async def _agents(connection: Connection, campaign: CampaignRow) -> list[Reason]:
    rows = await connection.fetch(
        "SELECT COALESCE(s.state, 'offline') AS state, s.id IS NOT NULL AS logged_in,"
        "       s.pause_reason"
        " FROM agent_campaign m LEFT JOIN agent_session s ON s.agent_id = m.agent_id"
        " WHERE m.campaign_id = $1",
        campaign.id,
    )
    if not rows:
        text = f"No agent is assigned: use `dialer agents assign NAME {campaign.name}`."
        return [Reason(Cause.NO_AGENT, text, blocks=True)]
    if not any(row["logged_in"] for row in rows):
        text = (
            "The only assigned agent is not logged in."
            if len(rows) == 1
            else f"None of the {len(rows)} assigned agents is logged in."
        )
        return [Reason(Cause.NO_AGENT, text, blocks=True)]
    states = Counter(AgentState(row["state"]) for row in rows)
    at_work = states.total() - states[AgentState.PAUSED] - states[AgentState.OFFLINE]
    if not at_work:
        reasons = Counter(
            row["pause_reason"] or ("phone not up" if row["state"] == "offline" else "paused")
            for row in rows
            if row["logged_in"]
        )
        why = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common(ZONES_SHOWN))
        who = _count(reasons.total(), "agent")
        text = f"Nobody takes calls: {who} logged in, all paused or without phone ({why})."
        return [Reason(Cause.AGENTS_PAUSED, text, blocks=True)]
    if not states[AgentState.READY]:
        busy = _states(states)
        # Predictive calls ahead of a free agent; it alone is no reason to stand still.
        return [Reason(Cause.NO_READY_AGENT, f"No agent is ready at this moment: {busy}.")]
    return []


def _states(states: Counter[AgentState]) -> str:
    shown = (AgentState.RESERVED, AgentState.TALKING, AgentState.WRAP_UP, AgentState.PAUSED)
    names = {AgentState.WRAP_UP: "in wrap-up"}
    return ", ".join(f"{states[s]} {names.get(s, s)}" for s in shown if states[s])


async def _trunks(connection: Connection, campaign: CampaignRow, *, now: datetime) -> list[Reason]:
    rooms = await trunk_room.of_campaign(connection, campaign.id, now=now, today={})
    use = await trunk_room.day_use(connection, [room.trunk_id for room in rooms], now=now)
    rooms = await trunk_room.of_campaign(connection, campaign.id, now=now, today=use)
    if not rooms:
        text = "No enabled trunk is attached: use `dialer campaign set --trunk`."
        return [Reason(Cause.NO_TRUNK, text, blocks=True)]
    none_left = not any(room.calls_now for room in rooms)
    waits_for_tokens = any(room.free_channels and not room.calls_now for room in rooms)
    return [
        _blocking(reason, blocks=none_left and not waits_for_tokens)
        for room in rooms
        if (reason := _trunk(room, now=now)) is not None
    ]


def _trunk(room: Room, *, now: datetime) -> Reason | None:
    """Return what keeps one trunk from taking a call at this instant."""
    name = f"Trunk {room.name!r}"
    if room.suspended_until is not None:
        until = _clock(room.suspended_until, now=now)
        text = f"{name} is suspended until {until}: {room.suspended_reason}."
        return Reason(Cause.TRUNK_SUSPENDED, text, until=room.suspended_until)
    if not room.caller_ids:
        text = f"{name} has no caller id: add one with `dialer trunk set --caller-id`."
        return Reason(Cause.NO_TRUNK, text)
    if not room.calls_left_today:
        calls = f"{room.today.calls + room.in_use} of {room.calls_per_day} calls"
        minutes = f"{room.today.minutes + room.live_minutes} of {room.minutes_per_day} minutes"
        return Reason(
            Cause.TRUNK_DAY, f"{name} has reached its daily cap: {calls}, {minutes} since 0:00 UTC."
        )
    if not room.free_channels:
        text = f"{name} is full: {room.in_use} of {room.channels} channels in use."
        return Reason(Cause.TRUNK_FULL, text)
    if not room.calls_now:
        text = f"{name} is at its {room.calls_per_second:g} calls per second."
        return Reason(Cause.CALLS_PER_SECOND, text)
    return None


def _blocking(reason: Reason, *, blocks: bool) -> Reason:
    return Reason(reason.cause, reason.text, blocks, reason.leads, reason.until)


async def _leads(connection: Connection, campaign: CampaignRow, *, now: datetime) -> list[Reason]:
    counts = await leads.lead_counts(connection, campaign.id, now=now)
    dry = not counts.callable_now
    found: list[Reason] = []
    if not counts.total:
        text = "The campaign's lists hold no leads: import some with `dialer leads import`."
        return [Reason(Cause.LIST_EMPTY, text, blocks=True)]
    open_leads = counts.waiting + sum(counts.held.values())
    if dry and not open_leads:
        left = f", {_count(counts.in_call, 'lead')} in a call" if counts.in_call else ""
        done = sum(counts.done.values())
        text = f"The list is finished: {_count(done, 'lead')} done{left}."
        found.append(Reason(Cause.LIST_EMPTY, text, blocks=True, leads=done))
    found += await _closed_windows(connection, campaign, dry=dry, now=now)
    if counts.waiting:
        due = await _next_retry(connection, campaign, now=now)
        when = f", the first until {_clock(due, now=now)}" if due else ""
        text = f"{_count(counts.waiting, 'lead waits', 'leads wait')} for the next call{when}."
        found.append(Reason(Cause.RETRY_WAIT, text, dry, counts.waiting, due))
    for rule, held in counts.held.items():
        if rule != Rule.HOURS:
            meaning = RULE_TEXT[Rule(rule)]
            text = f"{_count(held, 'lead is', 'leads are')} held back: {meaning} ({rule})."
            found.append(Reason(Cause.HELD, text, dry, held))
    suppressed = counts.done.get(DoneReason.SUPPRESSED, 0)
    if suppressed:
        text = f"{_count(suppressed, 'lead is', 'leads are')} on the do-not-call list."
        found.append(Reason(Cause.DO_NOT_CALL, text, leads=suppressed))
    return found


async def _closed(connection: Connection, campaign: CampaignRow, *, now: datetime) -> list[Reason]:
    """Return what keeps the campaign as a whole from calling: its schedule, its registries."""
    asked = await gate_facts.of_campaign(connection, campaign, now=now)
    attached = await gate_facts.trunks_of(connection, campaign.id, now=now)
    verdict = gate.may_work(asked, now, attached.facts)
    found = []
    own = campaign.schedule
    if isinstance(verdict, Deny) and Rule.SCHEDULE in verdict.rules and own is not None:
        opening = window(own.hours, (own.zone,), now, before_end_s=0).opens_in_s
        until = None if opening is None else now + timedelta(seconds=opening)
        when = "" if until is None else f" until {_clock(until, now=now, zone=own.zone)}"
        text = f"The campaign's own schedule is closed{when}."
        found.append(Reason(Cause.SCHEDULE, text, blocks=True, until=until))
    if isinstance(verdict, Deny) and Rule.REGISTRY_STALE in verdict.rules:
        law = campaign.profile_on(now)
        if law is not None:
            old = registries.stale(law, campaign.regions, asked.registries or {}, now)
            names = ", ".join(registry.name for registry in old)
            text = f"{RULE_TEXT[Rule.REGISTRY_STALE]} ({names}): use `dialer law load-registry`."
            found.append(Reason(Cause.LAW, text[0].upper() + text[1:], blocks=True))
    return found


async def _law(connection: Connection, campaign: CampaignRow, *, now: datetime) -> list[Reason]:
    """Return why the law wants an agent before each call, for how many leads, and the remedy."""
    if campaign.mode in (Mode.PREVIEW, Mode.PROGRESSIVE):
        return []
    asked = await gate_facts.of_campaign(connection, campaign, now=now)
    counted = await over_dialing.one_to_one_leads(connection, campaign, now=now)
    if counted is None or not counted.leads or Rule.ONE_TO_ONE in asked.waived:
        return []
    text = (
        f"Law forces one call per ready agent for {counted.leads} of {_count(counted.of, 'lead')}: "
        f"{RULE_TEXT[Rule.ONE_TO_ONE]} (TCPA-7). Consent records (`dialer consent add`) or a list "
        "that names landlines lift it, or counsel by a waiver."
    )
    return [Reason(Cause.LAW, text, leads=counted.leads)]


async def _closed_windows(
    connection: Connection, campaign: CampaignRow, *, dry: bool, now: datetime
) -> list[Reason]:
    rows = await connection.fetch(
        """
        -- Leads outside calling hours by where the person is and when the window opens.
        SELECT n.zones[1] AS zone, count(*) AS leads, min(l.next_call_at) AS opens_at
        FROM campaign_list cl
        JOIN lead l ON l.list_id = cl.list_id
        JOIN lead_number n ON n.lead_id = l.id AND n.position = l.next_position
        WHERE cl.campaign_id = $1 AND cl.active AND l.state = 'open' AND l.held_by = $2
          AND l.next_call_at > $3
        GROUP BY n.zones[1]
        ORDER BY count(*) DESC, 1
        """,
        campaign.id,
        Rule.HOURS,
        now,
    )
    found = []
    for row in rows[:ZONES_SHOWN]:
        opens = _clock(row["opens_at"], now=now, zone=row["zone"])
        text = f"Calling hours are closed until {opens} for {_count(row['leads'], 'lead')}."
        found.append(Reason(Cause.WINDOW_CLOSED, text, dry, row["leads"], row["opens_at"]))
    others = sum(row["leads"] for row in rows[ZONES_SHOWN:])
    if others:
        first = min(row["opens_at"] for row in rows[ZONES_SHOWN:])
        text = (
            f"Calling hours are closed in {_count(len(rows) - ZONES_SHOWN, 'more zone')} for "
            f"{_count(others, 'lead')}, the first until {_clock(first, now=now)}."
        )
        found.append(Reason(Cause.WINDOW_CLOSED, text, dry, others, first))
    return found


async def _next_retry(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> datetime | None:
    due: datetime | None = await connection.fetchval(
        "SELECT min(l.next_call_at) FROM campaign_list cl JOIN lead l ON l.list_id = cl.list_id"
        " WHERE cl.campaign_id = $1 AND cl.active AND l.state = 'open' AND l.held_by IS NULL"
        " AND l.next_call_at > $2",
        campaign.id,
        now,
    )
    return due


async def _shown(connection: Connection, campaign: CampaignRow) -> int:
    """Return how many agents see a lead they have not decided about."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM live_attempt WHERE campaign_id = $1 AND state = 'claimed'"
            " AND preview_until IS NOT NULL AND ordered_at IS NULL",
            campaign.id,
        )
    )


def _preview(shown: int, flying: int) -> list[Reason]:
    """Return what a preview campaign does when nothing keeps it from calling."""
    found = []
    if shown:
        sees = "sees a lead and decides" if shown == 1 else "see a lead each and decide"
        text = f"Waiting for agents to dial: {_count(shown, 'agent')} {sees}."
        found.append(Reason(Cause.PREVIEW, text))
    if flying > shown:
        ordered = _count(
            flying - shown, "call ordered by an agent is", "calls ordered by agents are"
        )
        found.append(Reason(Cause.DIALING, f"{ordered} on the way."))
    if not found:
        text = "Preview: each agent who becomes ready is shown the next lead."
        found.append(Reason(Cause.PREVIEW, text))
    return found


async def _in_flight(connection: Connection, campaign: CampaignRow) -> int:
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM live_attempt"
            " WHERE campaign_id = $1 AND state IN ('claimed', 'dialing', 'ringing')",
            campaign.id,
        )
    )


_BOUNDS = {
    Bound.AGENTS: "one call per ready agent",
    Bound.RATIO: "the ratio set for power dialing",
    Bound.LOSS_THRESHOLD: "one more call would be lost too often",
    Bound.GUARD: "the abandonment guard",
    Bound.LAW: "the law",
    Bound.STALE: "counts or clocks that cannot be trusted",
    Bound.LINES_PER_AGENT: "max_lines_per_agent",
    Bound.TRUNK_ROOM: "free trunk channels",
    Bound.CALLS_PER_SECOND: "the trunks' calls per second",
    Bound.LIST: "leads due now",
    Bound.NO_AGENTS: "no agent takes calls",
}
_RESTRAINTS = {Bound.LAW: Cause.LAW, Bound.STALE: Cause.STALE}


def _pacing(last: StoredDecision | None, flying: int, *, now: datetime) -> list[Reason]:
    """Return what the pacing rule says, from the last decision."""
    if last is None:
        return [Reason(Cause.NO_ENGINE, "The engine has not decided yet: it does within seconds.")]
    age_s = (now - last.decided_at).total_seconds()
    if age_s > STALE_S:
        text = f"The engine's last decision is {age_s:.0f} s old: see its log."
        return [Reason(Cause.STALE, text)]
    evidence = last.evidence
    found = []
    if evidence.get("guard"):
        cause = _RESTRAINTS.get(last.bound, Cause.GUARD)
        found.append(Reason(cause, f"One call per ready agent: {evidence['guard']}."))
    elif last.bound is Bound.GUARD:
        found.append(
            Reason(
                Cause.GUARD,
                f"The abandonment guard allows {evidence.get('cap_guard', 0)} calls where "
                f"{evidence.get('wanted', 0)} are wanted: {evidence.get('windows', '')}.",
            )
        )
    if evidence.get("line_room") == 0 and last.originate:
        found.append(Reason(Cause.LINES_FULL, "The line processes with agents are full."))
    found.append(_dialing(last, evidence, flying))
    return found


def _windows(
    windows: Sequence[LedgerWindow], last: StoredDecision | None, *, now: datetime
) -> list[Reason]:
    """Return where each window stands, in modes that may over-dial."""
    if last is None or last.evidence.get("mode") not in (Mode.POWER, Mode.PREDICTIVE):
        return []
    held = set(str(last.evidence.get("held", "")).split(", "))
    return [
        Reason(
            Cause.STANDING,
            f"Abandonment, {stand(window.as_count(now=now, held=window.name in held))}.",
        )
        for window in windows
    ]


def _dialing(last: StoredDecision, evidence: Any, flying: int) -> Reason:
    agents = _number(evidence.get("agents"))
    ready = _number(evidence.get("ready"))
    limit = _BOUNDS[last.bound]
    who = f"{agents} {'agent' if agents == '1' else 'agents'}, {ready} ready"
    if "." in agents:
        who += " (one shared with other campaigns counts in part)"
    text = f"Dialing: {_count(flying, 'call')} in flight for {who}; what decides is {limit}."
    return Reason(Cause.DIALING, text)


def _number(value: Any) -> str:
    return f"{float(value or 0):g}"


def _count(number: int, one: str, many: str | None = None) -> str:
    """Return "1 lead" or "3 leads"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _clock(at: datetime, *, now: datetime, zone: str = "UTC") -> str:
    """Return a time as people read it where they are, with the day when it is not today."""
    there = at.astimezone(ZoneInfo(zone) if zone != "UTC" else UTC)
    today = now.astimezone(there.tzinfo).date()
    day = "" if there.date() == today else f"{there:%a %d %b} "
    return f"{day}{there:%H:%M} {zone}"
