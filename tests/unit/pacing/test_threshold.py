"""The loss threshold: what each window can still afford."""

from __future__ import annotations

import pytest

from pacing import WindowCount
from pacing.reading import read_windows
from pacing.threshold import Threshold, set_threshold


def threshold(
    *windows: WindowCount, kappa: float = 0.5, people: float = 20.0, shift_s: float | None = None
) -> Threshold:
    """Return the threshold now, with *people* talking for 140 s each."""
    return set_threshold(read_windows(windows, shift_s), kappa, people / 140.0)


def theta(*windows: WindowCount, kappa: float = 0.5, agents_now: float = 20.0) -> float:
    """Return the threshold's number."""
    return threshold(*windows, kappa=kappa, people=agents_now).theta


def legal(abandoned: int, *, answered: int = 20_000) -> WindowCount:
    """Return a 30-day window with 2.85 % as its target."""
    return WindowCount("legal", answered, abandoned, 30_000, 28_500, 864_000.0)


def test_on_target_the_threshold_spends_the_target() -> None:
    """
    With exactly the target used so far, a call may risk the target over kappa.
    """
    assert 0.0285 / 0.5 == pytest.approx(theta(legal(570)))


def test_surplus_raises_and_deficit_lowers_the_threshold() -> None:
    """
    Fewer people lost than planned allow more risk, more allow less.
    """
    assert theta(legal(300)) > theta(legal(570)) > theta(legal(580))


def test_smallest_window_wins() -> None:
    """
    Each window has a threshold of its own and the most careful one counts.
    """
    careful = WindowCount("strict", 20_000, 395, 20_000, 20_000, None)

    assert theta(careful) == theta(legal(300), careful)
    assert theta(careful) < theta(legal(300))


def test_losses_above_expectation_lower_the_threshold() -> None:
    """
    If people are lost twice as often as the threshold says, it is halved.
    """
    assert theta(legal(570), kappa=1.0) == pytest.approx(2 * theta(legal(570), kappa=2.0))


def test_kappa_is_bounded() -> None:
    """
    Neither a lucky nor a disastrous morning makes kappa absurd.
    """
    assert 0.05 == threshold(legal(570), kappa=0.0).kappa
    assert 10.0 == threshold(legal(570), kappa=1e9).kappa


def test_no_room_left_means_hardly_any_risk() -> None:
    """
    At the limit the threshold is as good as zero, not negative.
    """
    assert 1e-4 == theta(legal(60, answered=2000))


def test_small_window_keeps_a_reserve() -> None:
    """
    With few answers counted, the threshold aims below the limit by a few people.

    Falling back to one to one costs more than the people kept in reserve.
    """
    assert theta(legal(3, answered=150)) < theta(legal(0, answered=150)) / 3


def test_more_agents_never_lower_the_threshold() -> None:
    """
    The forecast grows with the team, but a surplus does not look at it.
    """
    for abandoned in (0, 300, 570, 585, 599):
        thetas = [theta(legal(abandoned), agents_now=count) for count in (1.0, 5.0, 50.0, 500.0)]
        assert sorted(thetas) == thetas


def test_end_of_shift_shortens_the_plan_of_a_daily_window() -> None:
    """
    A deficit of the day must be made good before the shift ends, not by midnight.
    """
    day = WindowCount("day", 20_000, 571, 30_000, 28_500, 40_000.0)

    assert threshold(day, shift_s=600.0).theta < threshold(day).theta
