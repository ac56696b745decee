"""Whole hours of a virtual call centre, paced by the very `decide` of production."""

from __future__ import annotations

from dataclasses import replace

import pytest
from numpy.random import default_rng

from pacing import Bound, GuardMode, Mode, Policy
from pacing.simulation import BUILT_IN, DayResult, markov, simulate_day

HOUR_S = 3600.0


@pytest.fixture(scope="module")
def predictive_morning() -> DayResult:
    """Return two hours of M20 from a cold start, occupancy counted after the first half hour."""
    scenario = replace(markov(20), day_s=2 * HOUR_S)
    policy = Policy(mode=Mode.PREDICTIVE)
    return simulate_day(scenario, policy, default_rng(1), tick_s=1.0, warm_up_s=HOUR_S / 2)


@pytest.mark.parametrize(("ring_s", "tick_s"), [(15.0, 0.5), (10.0, 2.0)])
def test_progressive_agrees_with_theory(ring_s: float, tick_s: float) -> None:
    """
    One call per ready agent keeps agents busy as renewal theory says, and loses nobody.

    Each conversation of 140 s is preceded by 1/p attempts of a ring and half a tick: 73.7 % of
    the time with rings of 15 s and 80.8 % with 10 s if ticks took no time.
    """
    scenario = replace(markov(20, ring_s=ring_s), day_s=3 * HOUR_S)
    policy = Policy(mode=Mode.PROGRESSIVE)
    days = [
        simulate_day(scenario, policy, default_rng(seed), tick_s=tick_s, warm_up_s=600.0)
        for seed in range(3)
    ]
    theory = 140.0 / (140.0 + (ring_s + tick_s / 2) / 0.3)
    occupancy = sum(day.occupancy for day in days) / len(days)

    assert theory == pytest.approx(occupancy, abs=0.012)
    assert 0 == sum(day.abandoned for day in days)


def test_predictive_keeps_twenty_agents_busy(predictive_morning: DayResult) -> None:
    """
    After its first half hour predictive keeps 20 agents busy at least 88 % of the time.

    Progressive reaches 80 % here, the exact optimum at 3 % is 91 %.
    """
    assert predictive_morning.occupancy >= 0.88


def test_predictive_stays_within_the_limit(predictive_morning: DayResult) -> None:
    """
    The window that began with the morning closes at 3 % or less.
    """
    abandoned, answered = predictive_morning.window

    assert answered > 600
    assert 100 * abandoned <= 3 * answered


def test_predictive_dials_ahead(predictive_morning: DayResult) -> None:
    """
    The threshold, not the guard, decides most of the time.
    """
    bounds = predictive_morning.bounds

    assert bounds[Bound.LOSS_THRESHOLD] > 4 * bounds[Bound.GUARD]


def test_predictive_with_slow_answers() -> None:
    """
    With rings of 15 s, 73.7 % progressive, predictive reaches 86 % in a window that is warm.
    """
    scenario = replace(markov(20, ring_s=15.0), day_s=HOUR_S).warm()
    policy = Policy(mode=Mode.PREDICTIVE)
    day = simulate_day(scenario, policy, default_rng(3), tick_s=1.0, warm_up_s=900.0)
    abandoned, answered = day.window

    assert day.occupancy >= 0.86
    assert 100 * abandoned <= 3 * answered


def test_predictive_with_five_agents() -> None:
    """
    A small team gains too: at least 2 points over progressive's 80 %, inside the limit.
    """
    scenario = replace(markov(5), day_s=1.5 * HOUR_S).warm()
    policy = Policy(mode=Mode.PREDICTIVE)
    day = simulate_day(scenario, policy, default_rng(2), tick_s=1.0, warm_up_s=900.0)
    abandoned, answered = day.window

    assert day.occupancy >= 0.82
    assert 100 * abandoned <= 3 * answered


def test_cold_start_with_two_hundred_agents() -> None:
    """
    Fast failures resolve first; the pacer must not take that for a list where nobody answers.

    The prototype that did dialed without end and abandoned 97.8 % of the people.
    """
    scenario = replace(BUILT_IN["S3"], day_s=600.0)
    day = simulate_day(scenario, Policy(mode=Mode.PREDICTIVE), default_rng(4), tick_s=1.0)
    abandoned, answered = day.window

    assert day.most_in_flight <= 3 * 200
    assert answered > 500
    assert abandoned <= 0.05 * answered
    assert day.occupancy > 0.7


def test_power_under_the_absolute_guard() -> None:
    """
    Even an absurd ratio never takes a window past its limit under guard=absolute.
    """
    scenario = replace(markov(20), day_s=4 * HOUR_S)
    policy = Policy(mode=Mode.POWER, ratio=6.0, guard=GuardMode.ABSOLUTE)
    day = simulate_day(scenario, policy, default_rng(5), tick_s=1.0)
    abandoned, answered = day.worst

    assert abandoned > 0
    assert 100 * abandoned <= 3 * answered


def test_same_seed_same_day() -> None:
    """
    A seed fixes the day to the last call; another seed is another day.
    """
    scenario = replace(markov(10), day_s=600.0)
    policy = Policy(mode=Mode.PREDICTIVE)
    first, again, other = (
        simulate_day(scenario, policy, default_rng(seed), tick_s=1.0) for seed in (6, 6, 7)
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_scenarios_run(name: str) -> None:
    """
    Every built-in scenario is complete: its first five minutes start and answer calls.
    """
    scenario = replace(BUILT_IN[name], day_s=300.0)
    day = simulate_day(scenario, Policy(mode=Mode.PROGRESSIVE), default_rng(8), tick_s=1.0)

    assert name == scenario.name
    assert day.dialed > 0
    assert 0.0 < day.occupancy < 1.0
