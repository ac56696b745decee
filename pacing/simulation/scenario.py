"""What a simulated campaign is like: its people, agents, trunk, list and the hours of its day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite

from pacing.simulation.laws import Law, Mixture

PPM = 1_000_000
DAY_S = 8 * 3600.0
LEGAL_WINDOW_S = 30 * 86_400.0


class ScenarioError(ValueError):
    """A scenario that cannot be; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Window:
    """An accounting window for abandoned calls, as it stands when the first day begins.

    `limit` and `target` are shares of the people who answered. A `carried` window lasts over the
    days of a replication, another one starts anew each day. `length_s` is what is left of it at the
    start of a day, None without an end.
    """

    name: str
    limit: float = 0.03
    target: float = 0.0285
    answered: int = 0
    abandoned: int = 0
    carried: bool = False
    length_s: float | None = None

    @property
    def limit_ppm(self) -> int:
        """Return the limit in parts per million."""
        return round(self.limit * PPM)

    @property
    def target_ppm(self) -> int:
        """Return the target in parts per million."""
        return round(self.target * PPM)


@dataclass(frozen=True, slots=True)
class Screening:
    """Listening to who answered before an agent is joined: how long, and how often it is wrong.

    A share `false_positives` of the people is taken for a machine and hung up on. Nobody in
    production can see those, so they are counted apart and not as abandoned calls. `time` is spent
    on machines too, whose calls then end; without screening machines count as not answered.
    """

    time: Law
    false_positives: float = 0.0


@dataclass(frozen=True, slots=True)
class Shift:
    """A group of agents who are logged in from `from_s` to `to_s`, None to the end of the day.

    With `break_every_s` each takes a break of `break_s` so often, the group staggered over that
    time. Breaks and the end of a shift are announced: who is talking then finishes first.
    """

    agents: int
    from_s: float = 0.0
    to_s: float | None = None
    break_every_s: float | None = None
    break_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One campaign on one day; times in seconds.

    `answer_rate` is the chance that a person answers: (from second, probability) steps, ascending.
    `list_spread` is the coefficient of variation of that chance between stretches of `list_stretch`
    calls, since lists are sorted. A person who answered waits `patience_s` for an agent, or as long
    as the law `patience` says, then counts as abandoned. `leads` are called up to `attempts` times
    each, `retry_s` apart. With `campaigns` of 2 or more, that many such campaigns share the
    trunk's `channels` and `calls_per_s`. In an outage the carrier refuses every call. Occupancy
    counts after `warm_up_s`.
    """

    name: str
    agents: int
    answer_rate: tuple[tuple[float, float], ...]
    talk: Law
    wrap_up: Law
    ring_live: Law
    ring_other: Mixture
    day_s: float = DAY_S
    patience_s: float = 2.0
    patience: Law | None = None
    warm_up_s: float = 0.0
    tick_s: float = 0.5
    windows: tuple[Window, ...] = (Window("day", length_s=DAY_S),)
    leads: int | None = None
    attempts: int = 1
    retry_s: float = 7200.0
    channels: int | None = None
    calls_per_s: float | None = None
    max_lines_per_agent: float = 8.0
    ring_timeout_s: float = 22.0
    screening: Screening | None = None
    list_spread: float = 0.0
    list_stretch: int = 100
    shifts: tuple[Shift, ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    campaigns: int = 1
    description: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def mean_answer_rate(self) -> float:
        """Return the answer rate averaged over the day."""
        ends = [start for start, _ in self.answer_rate[1:]] + [self.day_s]
        lengths = [
            max(0.0, min(end, self.day_s) - start)
            for (start, _), end in zip(self.answer_rate, ends, strict=True)
        ]
        steps = zip(self.answer_rate, lengths, strict=True)
        return sum(p * length for (_, p), length in steps) / sum(lengths)

    def with_agents(self, agents: int) -> Scenario:
        """Return this scenario with another team, shifts in proportion; the trunk stays."""
        shifts = tuple(
            replace(shift, agents=max(1, round(shift.agents * agents / self.agents)))
            for shift in self.shifts
        )
        total = sum(shift.agents for shift in shifts) if shifts else agents
        return replace(self, agents=total, shifts=shifts)

    def warm(self, *, target: float = 0.0295, answered: int = 20_000) -> Scenario:
        """Return this scenario inside a legal window of 30 days that has just met its target.

        The first ten minutes of each day, when everybody waits, are not counted.
        """
        window = Window(
            "30 days",
            limit=0.03,
            target=target,
            answered=answered,
            abandoned=int(answered * target),
            carried=True,
            length_s=LEGAL_WINDOW_S,
        )
        return replace(self, windows=(window,), warm_up_s=600.0)


def _check(scenario: Scenario) -> None:
    name = scenario.name
    for what, value, least, most in (
        ("agents", scenario.agents, 1, 100_000),
        ("day_s", scenario.day_s, 60.0, 7 * 86_400.0),
        ("patience_s", scenario.patience_s, 0.0, 3600.0),
        ("warm_up_s", scenario.warm_up_s, 0.0, scenario.day_s - 60.0),
        ("tick_s", scenario.tick_s, 0.01, 60.0),
        ("attempts", scenario.attempts, 1, 100),
        ("retry_s", scenario.retry_s, 0.0, 7 * 86_400.0),
        ("max_lines_per_agent", scenario.max_lines_per_agent, 1.0, 100.0),
        ("ring_timeout_s", scenario.ring_timeout_s, 1.0, 300.0),
        ("list_spread", scenario.list_spread, 0.0, 10.0),
        ("list_stretch", scenario.list_stretch, 1, 1_000_000),
        ("campaigns", scenario.campaigns, 1, 64),
        ("leads", 1 if scenario.leads is None else scenario.leads, 1, 100_000_000),
        ("channels", 1 if scenario.channels is None else scenario.channels, 1, 1_000_000),
        ("calls_per_s", scenario.calls_per_s or 1.0, 0.01, 100_000.0),
    ):
        if not (isfinite(value) and least <= value <= most):
            raise ScenarioError(
                f"scenario {name}: {what} must be {least:g} to {most:g}, not {value:g}"
            )
    _check_rates(scenario)
    _check_hours(scenario)
    if not scenario.talk.mean_s > 0:
        raise ScenarioError(f"scenario {name}: talks must last longer than 0 s")
    for window in scenario.windows:
        if not 0 < window.target <= window.limit < 1:
            raise ScenarioError(
                f"scenario {name}: window {window.name} needs 0 < target <= limit < 1, "
                f"not target {window.target:g} and limit {window.limit:g}"
            )
        if not 0 <= window.abandoned <= window.answered:
            raise ScenarioError(
                f"scenario {name}: window {window.name} cannot have "
                f"{window.abandoned} abandoned of {window.answered} answered calls"
            )
    if scenario.screening is not None and not 0 <= scenario.screening.false_positives < 1:
        raise ScenarioError(
            f"scenario {name}: false_positives must be a share from 0 to below 1, "
            f"not {scenario.screening.false_positives:g}"
        )


def _check_rates(scenario: Scenario) -> None:
    name, steps = scenario.name, scenario.answer_rate
    if not steps or steps[0][0] != 0:
        raise ScenarioError(f"scenario {name}: the first answer rate must hold from second 0")
    if any(later[0] <= earlier[0] for earlier, later in pairwise(steps)):
        raise ScenarioError(f"scenario {name}: answer rates must be in the order of their times")
    for _, rate in steps:
        if not 0 < rate <= 1:
            raise ScenarioError(
                f"scenario {name}: an answer rate must be a share above 0 and up to 1, not {rate:g}"
            )


def _check_hours(scenario: Scenario) -> None:
    name = scenario.name
    for start, end in scenario.outages:
        if not 0 <= start < end:
            raise ScenarioError(
                f"scenario {name}: an outage must end after it begins, not {start:g} to {end:g}"
            )
    if scenario.shifts and sum(shift.agents for shift in scenario.shifts) != scenario.agents:
        raise ScenarioError(
            f"scenario {name}: its shifts have {sum(s.agents for s in scenario.shifts)} agents, "
            f"but it says {scenario.agents}"
        )
    for shift in scenario.shifts:
        end = float("inf") if shift.to_s is None else shift.to_s
        if shift.agents < 1 or not 0 <= shift.from_s < end:
            raise ScenarioError(
                f"scenario {name}: a shift needs an agent and an end after its start, "
                f"not {shift.agents} from {shift.from_s:g} to {end:g}"
            )
        if shift.break_every_s is not None and not 0 < shift.break_s < shift.break_every_s:
            raise ScenarioError(
                f"scenario {name}: a break must be shorter than the time between two, "
                f"not {shift.break_s:g} every {shift.break_every_s:g} s"
            )
