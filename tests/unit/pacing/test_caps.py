"""The caps that no mode may exceed, and the names they give their decisions."""

from __future__ import annotations

import pytest

from pacing import Bound, Decision, Mode, TrunkRoom, decide
from tests.unit.pacing.snapshots import agents, snapshot

DIALING = (Mode.PROGRESSIVE, Mode.POWER, Mode.PREDICTIVE)


def outcome(decision: Decision) -> tuple[int, Bound]:
    """Return the two parts of a decision that the engine acts on."""
    return decision.originate, decision.bound


@pytest.mark.parametrize("mode", DIALING)
def test_trunk_room_is_summed_over_trunks(mode: Mode) -> None:
    """
    Free channels of all trunks together cap the calls.
    """
    trunks = (TrunkRoom("a", 2, 50), TrunkRoom("b", 1, 50))
    decision = decide(snapshot(mode, agents(ready=10), trunks=trunks, ratio=2.0))

    assert (3, Bound.TRUNK_ROOM) == outcome(decision)


@pytest.mark.parametrize("mode", DIALING)
def test_calls_per_second(mode: Mode) -> None:
    """
    What the trunks may start now caps the calls.
    """
    trunks = (TrunkRoom("a", 50, 2), TrunkRoom("b", 50, 2))
    decision = decide(snapshot(mode, agents(ready=10), trunks=trunks, ratio=2.0))

    assert (4, Bound.CALLS_PER_SECOND) == outcome(decision)


def test_one_trunk_cannot_use_the_room_of_another() -> None:
    """
    A trunk with channels but no calls per second left, beside one the other way round, is no room.
    """
    trunks = (TrunkRoom("a", 10, 0), TrunkRoom("b", 0, 10))
    decision = decide(snapshot(Mode.PROGRESSIVE, agents(ready=5), trunks=trunks))

    assert (0, Bound.CALLS_PER_SECOND) == outcome(decision)


@pytest.mark.parametrize("mode", DIALING)
def test_no_trunk_at_all(mode: Mode) -> None:
    """
    Without a trunk nothing starts.
    """
    decision = decide(snapshot(mode, agents(ready=5), trunks=()))

    assert (0, Bound.TRUNK_ROOM) == outcome(decision)


@pytest.mark.parametrize("mode", DIALING)
def test_end_of_list(mode: Mode) -> None:
    """
    No more calls start than leads may be called.
    """
    decision = decide(snapshot(mode, agents(ready=10), leads=3, ratio=2.0))

    assert (3, Bound.LIST) == outcome(decision)


@pytest.mark.parametrize("mode", [Mode.POWER, Mode.PREDICTIVE])
def test_lines_per_agent_counts_what_is_in_flight(mode: Mode) -> None:
    """
    Calls in flight and new ones together stay within the lines per logged-in agent.
    """
    decision = decide(
        snapshot(mode, agents(ready=8, talking=2), pending=9, waiting=2, lines=1.5, ratio=9.0)
    )

    assert (4, Bound.LINES_PER_AGENT) == outcome(decision)


def test_predictive_starts_at_most_one_call_per_agent_at_once() -> None:
    """
    A decision starts no more calls than there are agents; the next one sees how those fare.
    """
    decision = decide(snapshot(Mode.PREDICTIVE, agents(ready=10), lines=50.0))

    assert (10, Bound.AGENTS) == outcome(decision)


def test_equal_cap_leaves_the_name_to_the_rule() -> None:
    """
    A cap that merely equals the mode's answer did not decide.
    """
    decision = decide(snapshot(Mode.PROGRESSIVE, agents(ready=3), leads=3))

    assert (3, Bound.AGENTS) == outcome(decision)


@pytest.mark.parametrize("setting", [float("nan"), float("inf"), -1.0])
def test_senseless_settings_start_nothing(setting: float) -> None:
    """
    A ratio or a line cap that is no sensible number means no calls, not an error.
    """
    ratio = decide(snapshot(Mode.POWER, agents(ready=3), ratio=setting))
    lines = decide(snapshot(Mode.PROGRESSIVE, agents(ready=3), lines=setting))

    assert 0 == ratio.originate
    assert 0 == lines.originate
