"""The exact optimum against the values of an independent computation."""

from __future__ import annotations

import pytest

from pacing.simulation import built_in, markov, optimum, optimum_of, twin_of


@pytest.mark.parametrize(
    ("agents", "answer_rate", "ring_s", "talk_s", "percent"),
    [
        (5, 0.3, 10.0, 140.0, 85.1),
        (10, 0.3, 10.0, 140.0, 87.7),
        (20, 0.3, 10.0, 140.0, 91.0),
        (5, 0.3, 15.0, 140.0, 80.5),
        (10, 0.3, 15.0, 140.0, 84.6),
        (10, 0.3, 15.0, 60.0, 78.9),
        (10, 0.1, 18.0, 140.0, 80.5),
    ],
)
def test_known_optima(
    agents: int, answer_rate: float, ring_s: float, talk_s: float, percent: float
) -> None:
    """
    At 3 % abandonment the optimum is the known one to a tenth of a point.
    """
    best = optimum(agents, answer_rate=answer_rate, ring_s=ring_s, talk_s=talk_s)

    assert percent == pytest.approx(100 * best.occupancy, abs=0.06)


def test_optimum_grows_with_the_allowance_and_the_team() -> None:
    """
    More abandonment allowed, or a larger team, is never worse.
    """
    values = [optimum(5, abandonment=alpha).occupancy for alpha in (0.01, 0.03, 0.05)]

    assert values == sorted(values)
    assert optimum(5).occupancy < optimum(10).occupancy


def test_levels_fall_with_busy_agents() -> None:
    """
    The busier the team, the fewer calls ring; with everybody idle more ring than there are agents.
    """
    levels = optimum(5).levels

    assert list(levels) == sorted(levels, reverse=True)
    assert levels[0] > 5


def test_only_memoryless_scenarios_have_a_bound() -> None:
    """
    A Markov twin has its optimum, a campaign of the S family none but its twin's.
    """
    of_markov = optimum_of(markov(5))

    assert of_markov is not None
    assert optimum(5).occupancy == pytest.approx(of_markov.occupancy)
    assert optimum_of(built_in()["S2"]) is None
    assert 0.7 < twin_of(built_in()["S2"]).occupancy < 0.9


@pytest.mark.parametrize("wrong", [{"ring_s": 0.0}, {"answer_rate": 1.5}, {"abandonment": 0.0}])
def test_impossible_worlds_are_refused(wrong: dict[str, float]) -> None:
    """
    Times and shares that cannot be are refused with a sentence.
    """
    with pytest.raises(ValueError, match=r"needs|must"):
        optimum(5, **wrong)
