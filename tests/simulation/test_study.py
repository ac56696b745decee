"""Several pacers on the same days: processes, rows, intervals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import binomtest

from pacing.simulation import (
    Window,
    built_in,
    compare,
    interval,
    parse_pacer,
    simulate,
    summarize,
    timeline,
    wilson,
)

SCENARIO = replace(built_in()["S2"], day_s=900.0, tick_s=1.0)
PACERS = [parse_pacer(name) for name in ("progressive", "vicidial-ratio:3")]


def test_processes_do_not_change_results() -> None:
    """
    Two worker processes give the days that one gives, in the same order, and progress is told.
    """
    told: list[tuple[int, int]] = []
    alone = simulate(SCENARIO, PACERS, replications=2, days=2, seed=3, processes=1)
    spread = simulate(
        SCENARIO,
        PACERS,
        replications=2,
        days=2,
        seed=3,
        processes=2,
        fast=False,
        on_done=lambda done, total: told.append((done, total)),
    )

    assert alone == spread
    assert [(1, 4), (2, 4), (3, 4), (4, 4)] == told


def test_rows_add_up() -> None:
    """
    A row's figures are those of its days; the gain is over progressive.
    """
    study = simulate(SCENARIO, PACERS, replications=4, processes=1)
    progressive, ratio = summarize(study)
    days = study.days["vicidial-ratio:3"]

    assert "progressive" == progressive.pacer
    assert 0.0 == progressive.predictive_gain
    assert 0.0 == progressive.abandonment
    assert ratio.days_over_limit == sum(day.over_limit for day in days) > 0
    assert ratio.worst_day == max(day.abandoned / day.answered for day in days)
    assert ratio.predictive_gain == pytest.approx(60 * (ratio.occupancy - progressive.occupancy))
    assert compare(study, "vicidial-ratio:3", "progressive").mean == pytest.approx(
        ratio.occupancy - progressive.occupancy
    )
    assert sum(slot.dialed for slot in timeline(days)) == 4 * ratio.dials_per_day
    assert ratio.occupancy_ci[0] < ratio.occupancy < ratio.occupancy_ci[1]


def test_a_day_is_over_its_limit_to_the_integer() -> None:
    """
    Exactly at the limit is inside it, one person more is not.
    """
    at = replace(SCENARIO, windows=(Window("w", answered=10**6, abandoned=30_000),))
    over = replace(SCENARIO, windows=(Window("w", answered=1000, abandoned=900),))
    days = [
        simulate(each, PACERS[:1], replications=1, processes=1).days["progressive"][0]
        for each in (at, over)
    ]

    assert [False, True] == [day.over_limit for day in days]


def test_intervals() -> None:
    """
    Student's t for means and Wilson's for shares, against a table and another computation.
    """
    known = interval([1.0, 2.0, 3.0, 4.0, 5.0])

    assert 3.0 == known.mean
    assert 1.963 == pytest.approx(known.half_width, abs=0.001)
    assert (0.0, 0.0188) == pytest.approx(wilson(0, 200), abs=0.0001)
    low, high = binomtest(6, 140).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx(wilson(6, 140), abs=1e-6)


def test_no_replications_are_refused() -> None:
    """
    A study of nothing is an error, not an empty table.
    """
    with pytest.raises(ValueError, match="at least one"):
        simulate(SCENARIO, PACERS, replications=0)
