"""A decision carries the numbers behind it, as JSON."""

from __future__ import annotations

import json

import pytest

from pacing import Bound, Mode, decide
from tests.unit.pacing.snapshots import SAFE, agents, snapshot, window


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("staff", [(), agents(ready=3, talking=10, wrapping=3)])
def test_evidence_is_json(mode: Mode, staff: tuple[()]) -> None:
    """
    Every decision's evidence survives JSON unchanged, without NaN or infinity.
    """
    evidence = decide(snapshot(mode, staff, pending=3, waiting=1)).evidence

    assert evidence == json.loads(json.dumps(evidence, allow_nan=False))


def test_predictive_evidence_tells_the_reasoning() -> None:
    """
    Answer rate, expected answers and free agents, threshold and the losses on either side of it.
    """
    decision = decide(snapshot(Mode.PREDICTIVE, agents(talking=20, wrapping=20), pending=5))
    evidence = decision.evidence

    assert Bound.LOSS_THRESHOLD is decision.bound
    assert 0.3 == pytest.approx(evidence["p_hat"], abs=0.03)
    assert isinstance(evidence["theta"], float)
    assert isinstance(evidence["loss_last_call"], float)
    assert isinstance(evidence["loss_next_call"], float)
    assert evidence["loss_last_call"] <= evidence["theta"] < evidence["loss_next_call"]
    assert evidence["theta"] == evidence["theta_at_dial"]
    for key in ("moments_s", "expected_answers", "expected_free"):
        values = evidence[key]
        assert isinstance(values, list)
        assert 5 == len(values)
        assert sorted(values) == values


def test_evidence_names_each_window() -> None:
    """
    Each window's counts and headroom stand in the same order as its name.
    """
    evidence = decide(
        snapshot(Mode.PREDICTIVE, agents(ready=1), windows=(SAFE, window(40, 0)))
    ).evidence

    assert "legal, day" == evidence["window_names"]
    assert [20_000, 40] == evidence["window_answered"]
    assert [300, 0] == evidence["window_abandoned"]
    assert [309, 1] == evidence["window_headroom"]
    assert (
        "legal: 300 of 20000 abandoned, room for 309 more; day: 0 of 40 abandoned, room for 1 more"
        == (evidence["windows"])
    )


def test_evidence_has_every_cap() -> None:
    """
    Each cap's value is told, also of those that did not decide.
    """
    evidence = decide(snapshot(Mode.PROGRESSIVE, agents(ready=2), pending=1, leads=77)).evidence

    assert 15 == evidence["cap_lines_per_agent"]
    assert 1000 == evidence["cap_trunk_room"]
    assert 1000 == evidence["cap_calls_per_second"]
    assert 77 == evidence["cap_list"]


def test_same_snapshot_same_decision() -> None:
    """
    A stored snapshot decided again gives the very same decision.
    """
    view = snapshot(Mode.PREDICTIVE, agents(ready=2, talking=9), pending=4)

    assert decide(view) == decide(view)
