"""Running what an analyst asked for: each point of a sweep under each pacer, with common luck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from campaigns.errors import UserError
from dialer.simulation.quantities import Quantity
from pacing.simulation import (
    Law,
    PacerSpec,
    Row,
    Scenario,
    ScenarioError,
    Study,
    Window,
    simulate,
    summarize,
)

MOST_POINTS = 60
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sweep: the scenario there, and the swept options' values by key."""

    scenario: Scenario
    at: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is simulated."""

    replications: int
    days: int = 1
    seed: int = 1
    processes: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One point simulated: a row for each pacer, in the order asked for."""

    point: Point
    study: Study
    rows: tuple[Row, ...]

    def row(self, pacer: str) -> Row | None:
        """Return the row of *pacer*."""
        return next((row for row in self.rows if row.pacer == pacer), None)


@dataclass(frozen=True, slots=True)
class Axis:
    """One option with the values it takes, and how a scenario is changed to one of them."""

    quantity: Quantity
    values: Sequence[float]
    change: Callable[[Scenario, float], Scenario]

    @property
    def key(self) -> str:
        """Return the option as a key: `answer_rate`."""
        return self.quantity.option.removeprefix("--").replace("-", "_")


def points(base: Scenario, axes: Sequence[Axis]) -> list[Point]:
    """Return every combination of the axes' values; raises `UserError` for too many or bad ones."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_POINTS:
        raise UserError(
            f"These sweeps make {count} combinations: at most {MOST_POINTS} are simulated in one "
            "run, so take larger steps."
        )
    found = []
    for combination in product(*(axis.values for axis in axes)):
        scenario = base
        for axis, value in zip(axes, combination, strict=True):
            try:
                scenario = axis.change(scenario, value)
            except (ScenarioError, ValueError) as error:
                shown = axis.quantity.shown(value)
                raise UserError(f"{axis.quantity.option} {shown}: {error}.") from None
        found.append(
            Point(
                scenario,
                {
                    axis.key: value
                    for axis, value in zip(axes, combination, strict=True)
                    if len(axis.values) > 1
                },
            )
        )
    return found


def run(
    wanted: Sequence[Point],
    pacers: Sequence[PacerSpec],
    effort: Effort,
    progress: Progress | None = None,
) -> list[Result]:
    """Simulate every point under every pacer."""
    each = effort.replications * len(pacers)
    total = each * len(wanted)
    found = []
    for index, point in enumerate(wanted):
        before = index * each

        def on_done(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        study = simulate(
            point.scenario,
            pacers,
            replications=effort.replications,
            days=effort.days,
            seed=effort.seed,
            processes=effort.processes,
            on_done=on_done,
        )
        found.append(Result(point, study, tuple(summarize(study))))
    return found


# Changes to a scenario ----------------------------------------------------------------------------


def with_answer_rate(scenario: Scenario, rate: float) -> Scenario:
    """Return the scenario with this answer rate on average, its course over the day kept."""
    factor = rate / scenario.mean_answer_rate
    steps = tuple((at, min(1.0, p * factor)) for at, p in scenario.answer_rate)
    return replace(scenario, answer_rate=steps)


def with_talk(scenario: Scenario, mean_s: float) -> Scenario:
    """Return the scenario with talks of this mean, the same shape."""
    return replace(scenario, talk=scenario.talk.scaled_to(mean_s))


def with_wrap_up(scenario: Scenario, mean_s: float) -> Scenario:
    """Return the scenario with wrap-ups of this mean, the same shape; 0 for none."""
    law = scenario.wrap_up.scaled_to(mean_s) if mean_s > 0 else Law.constant(0.0)
    return replace(scenario, wrap_up=law)


def with_ring(scenario: Scenario, mean_s: float) -> Scenario:
    """Return the scenario where people who answer ring this long on average, the same shape."""
    return replace(scenario, ring_live=scenario.ring_live.scaled_to(mean_s))


def with_target(scenario: Scenario, target: float) -> Scenario:
    """Return the scenario with this abandonment target in every window, within its limit."""

    def aimed(window: Window) -> Window:
        if target > window.limit:
            raise ScenarioError(
                f"it lies above the limit of {100 * window.limit:g} %; raise that with --limit"
            )
        return replace(window, target=target)

    return replace(scenario, windows=tuple(aimed(window) for window in scenario.windows))


def with_limit(scenario: Scenario, limit: float) -> Scenario:
    """Return the scenario with this legal limit; a target above it comes down to 95 % of it."""
    windows = tuple(
        replace(window, limit=limit, target=min(window.target, 0.95 * limit))
        for window in scenario.windows
    )
    return replace(scenario, windows=windows)


def with_hours(scenario: Scenario, hours: float) -> Scenario:
    """Return the scenario with days of so many hours; windows of a day end with it."""
    day_s = 3600.0 * hours
    windows = tuple(
        window if window.carried else replace(window, length_s=day_s) for window in scenario.windows
    )
    steps = tuple(step for step in scenario.answer_rate if step[0] < day_s)
    shifts = tuple(
        replace(shift, to_s=None if shift.to_s is None else min(shift.to_s, day_s))
        for shift in scenario.shifts
        if shift.from_s < day_s
    )
    agents = sum(shift.agents for shift in shifts) if shifts else scenario.agents
    return replace(
        scenario, day_s=day_s, windows=windows, answer_rate=steps, shifts=shifts, agents=agents
    )


def facts(scenario: Scenario) -> dict[str, Any]:
    """Return what a scenario says, as a reader compares it with their own campaign."""
    return {
        "scenario": scenario.name,
        "agents": scenario.agents,
        "answer_rate": scenario.mean_answer_rate,
        "talk_s": scenario.talk.mean_s,
        "wrap_up_s": scenario.wrap_up.mean_s,
        "ring_s": scenario.ring_live.mean_s,
        "ring_other_s": scenario.ring_other.mean_s,
        "hours": scenario.day_s / 3600,
        "windows": [
            {"name": window.name, "limit": window.limit, "target": window.target}
            for window in scenario.windows
        ],
    }


def handling_s(scenario: Scenario) -> float:
    """Return the mean time one conversation takes, wrap-up included."""
    return scenario.talk.mean_s + scenario.wrap_up.mean_s
