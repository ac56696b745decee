"""From a campaign's past to a scenario of one of its days, beside what really happened.

Ring times are taken as they were; talk and wrap-up times the Kaplan-Meier way, so that a talk that
was cut short counts as one that lasted at least so long (Kaplan & Meier, JASA 53, 1958). Answer
rates and the number of agents follow the hours of the day where there is enough to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from math import ceil

import numpy as np

from campaigns.errors import UserError
from dialer.simulation.past import ANSWERED_BY_PERSON, AtWork, CallEnd, Past, PastCall
from pacing.simulation import Law, Mixture, Part, Scenario, Screening, Shift, Window

LEAST_CALLS = 50
LEAST_PEOPLE = 10
# A rate of an hour leans on the day's own with the weight of so many calls.
_RATE_WEIGHT = 50.0
# Shorter pasts are taken as one even stretch.
_EVEN_S = 2 * 3600.0
_HOUR_S = 3600.0
_SLOT_S = 900.0
_LEAST_DAY_S = 120.0
_MOST_VALUES = 4000
_KNOTS = 1000
_RING_S = 9.0
_TALK_S = 120.0
_WRAP_S = 20.0
_TIMEOUT_S = 22.0
_LONGEST_RING_S = 120.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a campaign is set and not learned: its windows, patience, caps, screening."""

    windows: tuple[Window, ...] = ()
    patience_s: float = 2.0
    ring_timeout_s: float | None = None
    channels: int | None = None
    calls_per_s: float | None = None
    max_lines_per_agent: float = 8.0


@dataclass(frozen=True, slots=True)
class Happened:
    """What really came of the days fitted to; the same figures as of a simulated row."""

    days: int
    dialed: int
    answered: int
    abandoned: int
    connected: int
    busy_s: float
    staffed_s: float
    talk_s: float

    @property
    def occupancy(self) -> float | None:
        """Return talk and wrap-up per time at work, None when nobody wrote that down."""
        return min(1.0, self.busy_s / self.staffed_s) if self.staffed_s else None

    @property
    def abandonment(self) -> float:
        """Return abandoned per answered by a person."""
        return self.abandoned / max(1, self.answered)

    @property
    def connects_per_agent_hour(self) -> float | None:
        """Return connected calls per hour an agent was at work."""
        return 3600 * self.connected / self.staffed_s if self.staffed_s else None

    @property
    def dials_per_live(self) -> float:
        """Return calls dialed per person who answered."""
        return self.dialed / max(1, self.answered)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A scenario with what it was fitted to; `agents_by_slot` is the team over the day."""

    scenario: Scenario
    happened: Happened
    starts_at_s: float
    agents_by_slot: tuple[int, ...]
    told: tuple[str, ...]

    @property
    def most_agents(self) -> int:
        """Return how many agents were at work when it were the most."""
        return max(self.agents_by_slot)

    def with_agents(self, agents: int) -> Scenario:
        """Return the scenario with *agents* when they are the most, the hours in proportion."""
        factor = agents / self.most_agents
        team = tuple(round(present * factor) for present in self.agents_by_slot)
        if max(team) < 1:
            team = tuple(1 if n == self.most_agents else 0 for n in self.agents_by_slot)
        return _staffed(self.scenario, team)


def fit(past: Past, *, rules: Rules, zone: tzinfo, agents: int | None = None) -> Fitted:
    """Return the scenario that *past* suggests; raises `UserError` when it says too little.

    *agents* stands in where the past does not tell who was at work.
    """
    calls = [call for call in past.calls if call.ring_s is None or call.ring_s >= 0]
    people = sum(call.end in ANSWERED_BY_PERSON for call in calls)
    if len(calls) < LEAST_CALLS or people < LEAST_PEOPLE:
        raise UserError(
            f"{past.source} has {len(calls)} calls, {people} of them answered by a person: a fit "
            f"needs at least {LEAST_CALLS} and {LEAST_PEOPLE}."
        )
    if not past.at_work and agents is None:
        raise UserError(
            f"{past.source} does not say who was at work: name the column with --map "
            "agent=COLUMN, or how many there were with --agents."
        )
    frame = _Frame.around(calls, zone, past.until)
    team = frame.team(past.at_work) if past.at_work else (agents or 1,) * frame.slots
    other, told_other = _ring_other(calls, rules)
    live = [call.ring_s for call in calls if call.end in ANSWERED_BY_PERSON and call.ring_s]
    talk = [call for call in calls if call.talk_s is not None and call.end is CallEnd.PERSON]
    wraps = [call.wrap_up_s for call in calls if call.wrap_up_s is not None]
    screened = [call.screening_s for call in calls if call.screening_s is not None]
    scenario = Scenario(
        name=past.source,
        agents=max(team),
        answer_rate=frame.answer_rate(calls),
        talk=_survival_law(talk) if talk else Law.exponential(_TALK_S),
        wrap_up=_law(wraps) if wraps else Law.constant(0.0),
        ring_live=_law(live) if live else Law.gamma(_RING_S - 2.0, 0.5, shift_s=2.0),
        ring_other=other,
        day_s=frame.day_s,
        patience_s=rules.patience_s,
        windows=rules.windows or (Window("day", length_s=frame.day_s),),
        channels=rules.channels,
        calls_per_s=rules.calls_per_s,
        max_lines_per_agent=rules.max_lines_per_agent,
        ring_timeout_s=rules.ring_timeout_s or _TIMEOUT_S,
        screening=Screening(_law(screened)) if len(screened) >= LEAST_PEOPLE else None,
        description=f"fitted to {len(calls)} calls of {past.source}",
    )
    missing = [
        f"{what} is not in it: {stand_in} is taken"
        for what, known, stand_in in (
            ("talk time", talk, f"{_TALK_S:.0f} s on average"),
            ("wrap-up time", wraps, "none"),
            ("ring time of answered calls", live, f"{_RING_S:.0f} s on average"),
        )
        if not known
    ]
    scenario = _staffed(scenario, team)
    return Fitted(
        scenario=scenario,
        happened=_happened(calls, past, frame, team),
        starts_at_s=frame.starts_at_s,
        agents_by_slot=team,
        told=(*past.told, *told_other, *(f"{sentence}." for sentence in missing)),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """The part of a day that is looked at: from `starts_at_s` after local midnight on."""

    zone: tzinfo
    dates: tuple[date, ...]
    starts_at_s: float
    day_s: float
    slots: int

    @classmethod
    def around(cls, calls: Sequence[PastCall], zone: tzinfo, until: datetime | None) -> _Frame:
        """Return the frame that holds every call."""
        starts = [call.started_at for call in calls]
        end = max(call.started_at + timedelta(seconds=_length_s(call)) for call in calls)
        end = end if until is None else min(end, until)
        days = tuple(sorted({start.astimezone(zone).date() for start in starts}))
        if len(days) == 1:
            first = _seconds_of_day(min(starts), zone)
            day_s = max(_LEAST_DAY_S, (end - min(starts)).total_seconds())
        else:
            # The bulk of the calls: a test call at midnight makes no shift.
            at = np.array([_seconds_of_day(start, zone) for start in starts])
            low, high = np.quantile(at, [0.002, 0.998])
            first = float(low // _SLOT_S * _SLOT_S)
            day_s = float(ceil((high - first) / _SLOT_S) * _SLOT_S) or _SLOT_S
        slots = max(1, round(day_s / _SLOT_S)) if day_s >= _EVEN_S else 1
        return cls(zone, days, first, day_s, slots)

    @property
    def slot_s(self) -> float:
        return self.day_s / self.slots

    def midnight_of(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone)

    def answer_rate(self, calls: Sequence[PastCall]) -> tuple[tuple[float, float], ...]:
        """Return the rate by the hours of the day, leaning on the whole day's where few called."""
        people = sum(call.end in ANSWERED_BY_PERSON for call in calls)
        overall = people / len(calls)
        hours = max(1, round(self.day_s / _HOUR_S)) if self.slots > 1 else 1
        width = self.day_s / hours
        dialed, answered = np.zeros(hours), np.zeros(hours)
        for call in calls:
            at = int((_seconds_of_day(call.started_at, self.zone) - self.starts_at_s) // width)
            if 0 <= at < hours:
                dialed[at] += 1
                answered[at] += call.end in ANSWERED_BY_PERSON
        rates = (answered + _RATE_WEIGHT * overall) / (dialed + _RATE_WEIGHT)
        return tuple(
            (hour * width, float(min(max(rate, 1e-4), 1.0))) for hour, rate in enumerate(rates)
        )

    def team(self, at_work: Sequence[AtWork]) -> tuple[int, ...]:
        """Return the mean number of agents at work in each slot, over the days."""
        seconds = np.zeros(self.slots)
        for day in self.dates:
            start = self.midnight_of(day) + timedelta(seconds=self.starts_at_s)
            edges = [
                start + timedelta(seconds=self.slot_s * slot) for slot in range(self.slots + 1)
            ]
            for stretch in at_work:
                if stretch.until <= edges[0] or stretch.since >= edges[-1]:
                    continue
                first = int(max(0.0, (stretch.since - start).total_seconds()) // self.slot_s)
                for slot in range(first, self.slots):
                    if stretch.until <= edges[slot]:
                        break
                    since = max(stretch.since, edges[slot])
                    until = min(stretch.until, edges[slot + 1])
                    seconds[slot] += max(0.0, (until - since).total_seconds())
        team = [round(value) for value in seconds / (self.slot_s * len(self.dates))]
        if max(team) < 1:
            team[int(np.argmax(seconds))] = 1
        return tuple(team)


def _staffed(scenario: Scenario, team: Sequence[int]) -> Scenario:
    """Return the scenario with the team that *team* says, slot by slot, as shifts."""
    if len(set(team)) == 1:
        return replace(scenario, agents=team[0], shifts=())
    slot_s = scenario.day_s / len(team)
    shifts: list[Shift] = []
    stack: list[tuple[int, float]] = []
    present = 0
    for slot, wanted in enumerate(team):
        at_s = slot * slot_s
        if wanted > present:
            stack.append((wanted - present, at_s))
        going = present - wanted
        while going > 0:
            count, since_s = stack.pop()
            leaving = min(count, going)
            shifts.append(Shift(leaving, from_s=since_s, to_s=at_s))
            if count > leaving:
                stack.append((count - leaving, since_s))
            going -= leaving
        present = wanted
    shifts += [Shift(count, from_s=since_s) for count, since_s in stack]
    return replace(scenario, agents=sum(s.agents for s in shifts), shifts=tuple(shifts))


def _ring_other(calls: Sequence[PastCall], rules: Rules) -> tuple[Mixture, tuple[str, ...]]:
    """Return how calls end that no person answers: failures, machines, ringing out."""
    parts: list[Part] = []
    for end in (CallEnd.FAILED, CallEnd.MACHINE, CallEnd.NO_ANSWER):
        rings = [call.ring_s for call in calls if call.end is end and call.ring_s is not None]
        count = sum(call.end is end for call in calls)
        rings = [min(ring, _LONGEST_RING_S) for ring in rings]
        if count:
            stand_in = 3.0 if end is CallEnd.FAILED else rules.ring_timeout_s or _TIMEOUT_S
            law = _law(rings) if rings else Law.constant(stand_in)
            parts.append(Part(float(count), law, machine=end is CallEnd.MACHINE))
    if not parts:
        # Everybody answered; a scenario still needs to know how a call would end otherwise.
        return Mixture.of(Law.constant(rules.ring_timeout_s or _TIMEOUT_S)), ()
    return Mixture(tuple(parts)), ()


def _happened(
    calls: Sequence[PastCall], past: Past, frame: _Frame, team: Sequence[int]
) -> Happened:
    talked = [call for call in calls if call.end is CallEnd.PERSON]
    talk_s = sum(call.talk_s or 0.0 for call in talked)
    wrap_s = sum(call.wrap_up_s or 0.0 for call in talked)
    busy_s = talk_s + wrap_s
    if past.busy is not None:
        busy_s = sum(stretch.seconds for stretch in past.busy)
    staffed_s = sum(stretch.seconds for stretch in past.at_work)
    if not past.at_work:
        staffed_s = sum(team) * frame.slot_s * len(frame.dates)
    return Happened(
        days=len(frame.dates),
        dialed=len(calls),
        answered=sum(call.end in ANSWERED_BY_PERSON for call in calls),
        abandoned=sum(call.end is CallEnd.ABANDONED for call in calls),
        connected=len(talked),
        busy_s=busy_s,
        staffed_s=staffed_s,
        talk_s=talk_s,
    )


def _law(values: Sequence[float]) -> Law:
    return Law.from_values(_thinned(values))


def _survival_law(calls: Sequence[PastCall]) -> Law:
    """Return the Kaplan-Meier estimate of talk times.

    What lasts longer than the longest talk that ended is taken as memoryless, at the mean rate.
    """
    lasted = np.array([call.talk_s for call in calls], dtype=float)
    ended = np.array([call.talk_ended for call in calls], dtype=bool)
    if ended.all() or ended.sum() < LEAST_PEOPLE:
        return _law([float(value) for value in lasted])
    order = np.argsort(lasted, kind="stable")
    lasted, ended = lasted[order], ended[order]
    times, first = np.unique(lasted, return_index=True)
    events = np.add.reduceat(ended.astype(float), first)
    over = 1 - np.cumprod(1 - events / (lasted.size - first))
    shares = (np.arange(_KNOTS) + 0.5) / _KNOTS
    place = np.searchsorted(over, shares)
    known = place < times.size
    values = times[np.minimum(place, times.size - 1)]
    left = (1 - shares[~known]) / (1 - over[-1]) if not known.all() else shares[~known]
    values[~known] = times[-1] - np.log(left) * lasted.sum() / ended.sum()
    return Law.from_values([float(value) for value in values])


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most `_MOST_VALUES` of *values*, quantiles of them."""
    if len(values) <= _MOST_VALUES:
        return list(values)
    shares = (np.arange(_MOST_VALUES) + 0.5) / _MOST_VALUES
    return [float(value) for value in np.quantile(np.asarray(values), shares)]


def _length_s(call: PastCall) -> float:
    parts = (call.ring_s, call.screening_s, call.talk_s, call.wrap_up_s)
    return sum(part or 0.0 for part in parts)


def _seconds_of_day(at: datetime, zone: tzinfo) -> float:
    local = at.astimezone(zone)
    return local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
