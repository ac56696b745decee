"""One stored decision in plain words: what was seen, what was expected, which limit decided.

Everything is read from the decision's own evidence and snapshot. It is decided again from the
snapshot, and whatever the replay says differently is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from campaigns.stores.decisions import rule_fingerprint
from dialer.board_view import BOUND_WORDS, percent
from pacing import AgentStage, Bound, Mode
from pacing.guard import UNLIMITED, stand

if TYPE_CHECKING:
    from campaigns.stores.decisions import StoredDecision

_RULES = {
    Mode.PREVIEW: "agents start their own calls",
    Mode.PROGRESSIVE: "one call for each ready agent",
    Mode.POWER: "the campaign's fixed ratio",
    Mode.PREDICTIVE: "calls worth their risk of loss",
}
_CAPS = {
    "cap_guard": ("abandonment guard", Bound.GUARD),
    "cap_lines_per_agent": ("most lines per agent", Bound.LINES_PER_AGENT),
    "cap_trunk_room": ("free trunk channels", Bound.TRUNK_ROOM),
    "cap_calls_per_second": ("trunks' calls per second", Bound.CALLS_PER_SECOND),
    "cap_list": ("leads due now", Bound.LIST),
}


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One limit: at most `calls` could start under it; `decided` says this one was the tightest."""

    name: str
    calls: int
    decided: bool


@dataclass(frozen=True, slots=True)
class WindowLine:
    """Where an accounting window stood: A of H, as a share of H, against limit and target in ppm.

    `headroom` is how many more people may be lost at once (None: any number), `threshold` the loss
    probability this window would allow.
    """

    name: str
    answered: int
    abandoned: int
    limit_ppm: int
    target_ppm: int
    headroom: int | None
    threshold: float | None
    standing: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the model expected: people answered and agents free after each of `moments_s`."""

    answer_rate: float
    doubt: float
    moments_s: tuple[float, ...]
    answers: tuple[float, ...]
    free: tuple[float, ...]
    loss_of_last: float
    loss_of_next: float
    threshold: float
    losses_at_most: int
    talk_mean_s: float | None
    wrap_up_mean_s: float | None


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether deciding again gives the same; `rule` made the decision, `rule_now` is this one."""

    is_same: bool
    differs_in: tuple[str, ...]
    originate: int
    bound: str
    rule: str
    rule_now: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        if self.is_same:
            return "Decided again from the stored snapshot: the same answer."
        another = ""
        if self.rule != self.rule_now:
            another = (
                f" It was made by another version of the pacing rule ({self.rule or 'not noted'};"
                f" this is {self.rule_now})."
            )
        return (
            f"DECIDED AGAIN IT DIFFERS: {_calls(self.originate)}, bound {self.bound};"
            f" different: {', '.join(self.differs_in)}.{another}"
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its reasons; `asked_at` is the moment asked about."""

    campaign: str
    asked_at: datetime
    decided_at: datetime
    originate: int
    claimed: int
    bound: str
    mode: str
    situation: tuple[str, ...]
    limits: tuple[LimitLine, ...]
    windows: tuple[WindowLine, ...]
    outlook: Outlook | None
    notes: tuple[str, ...]
    replay: Replay

    def headline(self, zone: tzinfo) -> str:
        """Return the answer in one sentence, times in *zone*."""
        ago_s = (self.asked_at - self.decided_at).total_seconds()
        at = f"{self.decided_at.astimezone(zone):%H:%M:%S.%f}"[:-3]
        started = _calls(self.originate)
        if self.claimed != self.originate:
            started += f" ({self.claimed} really started)"
        words = BOUND_WORDS.get(self.bound, self.bound)
        return f"Decided at {at}, {ago_s:.1f} s before: {started}. What decided: {words}."


def explain(stored: StoredDecision, *, campaign: str, asked_at: datetime) -> Explanation:
    """Return *stored* in words; it is decided again for this."""
    evidence = stored.evidence
    return Explanation(
        campaign=campaign,
        asked_at=asked_at,
        decided_at=stored.decided_at,
        originate=stored.originate,
        claimed=stored.claimed,
        bound=stored.bound.value,
        mode=str(evidence.get("mode", stored.snapshot.policy.mode.value)),
        situation=_situation(stored),
        limits=_limits(stored),
        windows=_windows(stored),
        outlook=_outlook(evidence),
        notes=_notes(evidence),
        replay=_replay(stored),
    )


def _situation(stored: StoredDecision) -> tuple[str, ...]:
    snapshot = stored.snapshot
    stages = Counter(agent.stage for agent in snapshot.agents)
    leaving = sum(agent.leaving for agent in snapshot.agents)
    shared = sum(agent.share < 1 for agent in snapshot.agents)
    words = {AgentStage.WRAP_UP: "in wrap-up"}
    who = [
        f"{stages[stage]} {words.get(stage, stage.value)}" for stage in AgentStage if stages[stage]
    ]
    who += [f"{leaving} about to leave"] * bool(leaving)
    who += [f"{shared} shared with other campaigns"] * bool(shared)
    ringing = len(snapshot.pending)
    oldest = max((call.elapsed_s for call in snapshot.pending), default=0.0)
    calls = f"{ringing} ringing" + (f", the longest for {oldest:.0f} s" if ringing else "")
    served = sum(call.has_agent for call in snapshot.pending)
    served += sum(call.has_agent for call in snapshot.waiting)
    if served:
        calls += f"; {served} with an agent reserved"
    due = snapshot.callable_leads
    return (
        f"Agents: {', '.join(who) or 'nobody is logged in'}.",
        f"Calls: {calls}; {len(snapshot.waiting)} answered and not yet with an agent.",
        f"Leads: {due}{' or more' if due >= 1000 else ''} could be called.",
    )


def _limits(stored: StoredDecision) -> tuple[LimitLine, ...]:
    evidence, snapshot = stored.evidence, stored.snapshot
    if stored.bound is Bound.NO_AGENTS:
        return ()
    named = {bound for _, bound in _CAPS.values()}
    wanted = evidence.get("wanted")
    if wanted is None:
        # Without a guard to ask, the mode's own rule is the answer unless a cap is lower.
        wanted = stored.originate if stored.bound not in named else None
    lines = []
    if wanted is not None:
        rule = _RULES.get(snapshot.policy.mode, snapshot.policy.mode.value)
        lines.append(LimitLine(f"the mode: {rule}", int(wanted), stored.bound not in named))
    for key, (name, bound) in _CAPS.items():
        if key in evidence:
            decided = bound is stored.bound or (
                bound is Bound.GUARD and stored.bound in (Bound.LAW, Bound.STALE)
            )
            lines.append(LimitLine(name, int(evidence[key]), decided))
            if decided and lines[0].decided:
                lines[0] = LimitLine(lines[0].name, lines[0].calls, decided=False)
    return tuple(lines)


def _windows(stored: StoredDecision) -> tuple[WindowLine, ...]:
    thetas = _numbers(stored.evidence.get("window_theta"))
    lines = []
    for index, window in enumerate(stored.snapshot.windows):
        standing = stand(window)
        lines.append(
            WindowLine(
                name=window.name,
                answered=window.answered,
                abandoned=window.abandoned,
                limit_ppm=window.limit_ppm,
                target_ppm=window.target_ppm,
                headroom=None if standing.headroom >= UNLIMITED else standing.headroom,
                threshold=thetas[index] if index < len(thetas) else None,
                standing=str(standing),
            )
        )
    return tuple(lines)


def _outlook(evidence: Mapping[str, Any]) -> Outlook | None:
    if evidence.get("p_hat") is None or evidence.get("theta") is None:
        return None
    return Outlook(
        answer_rate=float(evidence["p_hat"]),
        doubt=float(evidence.get("p_doubt") or 0.0),
        moments_s=_numbers(evidence.get("moments_s")),
        answers=_numbers(evidence.get("expected_answers")),
        free=_numbers(evidence.get("expected_free")),
        loss_of_last=float(evidence.get("loss_last_call") or 0.0),
        loss_of_next=float(evidence.get("loss_next_call") or 0.0),
        threshold=float(evidence["theta"]),
        losses_at_most=int(evidence.get("losses_at_most") or 0),
        talk_mean_s=evidence.get("talk_mean_s"),
        wrap_up_mean_s=evidence.get("wrap_up_mean_s"),
    )


def _notes(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the engine met beside the pacing rule."""
    found = []
    if evidence.get("guard"):
        found.append(f"Over-dialing was off: {evidence['guard']}.")
    for rule, leads in dict(evidence.get("denied") or {}).items():
        found.append(f"The gate held back {leads} leads by rule {rule}.")
    if evidence.get("no_slot"):
        found.append(f"{evidence['no_slot']} calls found no free line or trunk channel.")
    if evidence.get("line_processes") == 0:
        found.append("No line process was running.")
    if evidence.get("seeded_answers"):
        found.append(f"{evidence['seeded_answers']} of the counted answers are seeded lab history.")
    return tuple(found)


def _replay(stored: StoredDecision) -> Replay:
    again = stored.replay()
    differs = tuple(stored.differences())
    return Replay(
        is_same=not differs,
        differs_in=differs,
        originate=again.originate,
        bound=again.bound.value,
        rule=stored.rule,
        rule_now=rule_fingerprint(),
    )


def sentences(explained: Explanation) -> list[str]:
    """Return what a person reads below the headline, one sentence or row each."""
    told = [*explained.situation]
    if explained.limits:
        told.append("At most, by each limit:")
        told += [
            f"  {line.calls:>6}  {line.name}{'   <- decided' if line.decided else ''}"
            for line in explained.limits
        ]
    outlook = explained.outlook
    if outlook is not None:
        told.append(
            f"Model: {percent(outlook.answer_rate * 1e6)} of calls are answered by a person "
            f"(give or take {percent(outlook.answer_rate * outlook.doubt * 1e6)})"
            + _handling(outlook)
        )
        expected = zip(outlook.moments_s, outlook.answers, outlook.free, strict=False)
        told += [
            f"  in {after:4.1f} s: {answers:.1f} people answered, {free:.1f} agents free"
            for after, answers, free in expected
        ]
        told.append(
            f"Risk: the last call started is lost with {percent(outlook.loss_of_last * 1e6)}, one "
            f"more would be with {percent(outlook.loss_of_next * 1e6)}; allowed are "
            f"{percent(outlook.threshold * 1e6)}. Surely (99.9 %) no more than "
            f"{outlook.losses_at_most} of all calls in flight are lost."
        )
    for window in explained.windows:
        told.append(
            f"Window {window.standing} (limit {percent(window.limit_ppm)}, target "
            f"{percent(window.target_ppm)})."
        )
    return [*told, *explained.notes, str(explained.replay)]


def _handling(outlook: Outlook) -> str:
    if outlook.talk_mean_s is None or outlook.wrap_up_mean_s is None:
        return "."
    return f"; talks last {outlook.talk_mean_s:.0f} s and wrap-ups {outlook.wrap_up_mean_s:.0f} s."


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values or ())


def _calls(count: int) -> str:
    return f"{count} new call" if count == 1 else f"{count} new calls"
