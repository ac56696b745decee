"""The abandonment guard: whole calls, fail closed, and only ever downwards."""

from __future__ import annotations

import pytest

from pacing import Bound, GuardMode, Mode, WindowCount, decide, headroom
from tests.unit.pacing.snapshots import SAFE, agents, snapshot, window

OVER_DIALING = (Mode.POWER, Mode.PREDICTIVE)


@pytest.mark.parametrize(
    ("answered", "abandoned", "expected"),
    [(0, 0, 0), (32, 0, 0), (33, 0, 1), (100, 2, 1), (100, 0, 3), (100, 3, 0), (10, 9, 0)],
)
def test_headroom_at_three_per_cent(answered: int, abandoned: int, expected: int) -> None:
    """
    Headroom is the number of further abandoned calls possible now (compliance PACE-2).
    """
    assert expected == headroom(window(answered, abandoned))


@pytest.mark.parametrize(
    ("limit_ppm", "first"), [(30_000, 33), (50_000, 19), (20_000, 49), (1_000_000, 0)]
)
def test_first_abandoned_call_affordable(limit_ppm: int, first: int) -> None:
    """
    Over-dialing begins when the next person to answer could be lost: the 34th at 3 % (PACE-3).
    """
    afford = [
        answered
        for answered in range(100)
        if headroom(WindowCount("w", answered, 0, limit_ppm, limit_ppm)) > 0
    ]

    assert first == afford[0]


def test_limit_of_zero_never_has_room() -> None:
    """
    Where no abandoned call is allowed, no number of answers makes room, and the window says so.
    """
    never = WindowCount("it", 1_000_000, 0, limit_ppm=0, target_ppm=0)
    decision = decide(snapshot(Mode.PREDICTIVE, agents(ready=2, talking=9), windows=(never,)))

    assert 0 == headroom(never)
    assert 2 == decision.originate
    assert "no abandoned call is allowed" in str(decision.evidence["windows"])


@pytest.mark.parametrize("mode", OVER_DIALING)
def test_new_window_begins_one_to_one(mode: Mode) -> None:
    """
    While one more abandoned call would break the limit, calls go one to a ready agent.
    """
    decision = decide(
        snapshot(mode, agents(ready=3, wrapping=30), windows=(window(22, 0),), ratio=4)
    )

    assert 3 == decision.originate
    assert Bound.GUARD is decision.bound
    assert "day: 1:1 until 33 people answered, 11 to go" == decision.evidence["windows"]


def test_tightest_window_decides() -> None:
    """
    A legal window with room does not help while the day's window has none.
    """
    decision = decide(
        snapshot(Mode.POWER, agents(ready=3), windows=(SAFE, window(10, 0)), ratio=4.0)
    )

    assert 3 == decision.originate
    assert Bound.GUARD is decision.bound


def test_calls_in_flight_are_counted_against_the_room() -> None:
    """
    With room for one abandoned call, the ratio is cut to what surely loses no more than one.
    """
    open_wide = snapshot(Mode.POWER, agents(ready=5), ratio=6.0)
    tight = snapshot(Mode.POWER, agents(ready=5), ratio=6.0, windows=(window(40, 0),))

    assert 30 == decide(open_wide).originate
    assert 5 <= decide(tight).originate < 30
    assert Bound.GUARD is decide(tight).bound


def test_absolute_guard_takes_every_call_as_lost() -> None:
    """
    Under guard=absolute calls in flight exceed ready agents by no more than the headroom.
    """
    decision = decide(
        snapshot(
            Mode.POWER,
            agents(ready=5, wrapping=50),
            pending=1,
            waiting=1,
            windows=(window(100, 0),),
            ratio=9.0,
            guard=GuardMode.ABSOLUTE,
        )
    )

    assert 5 + 3 - 2 == decision.originate
    assert Bound.GUARD is decision.bound


@pytest.mark.parametrize("mode", OVER_DIALING)
@pytest.mark.parametrize("age_s", [5.1, float("inf"), float("nan")])
def test_stale_counts(mode: Mode, age_s: float) -> None:
    """
    Counts older than five seconds mean one to one, whatever the mode would like.
    """
    decision = decide(snapshot(mode, agents(ready=2, wrapping=20), ratio=5.0, age_s=age_s))

    assert 2 == decision.originate
    assert Bound.STALE is decision.bound


@pytest.mark.parametrize("skew_s", [0.6, -0.6, float("nan")])
def test_clock_skew(skew_s: float) -> None:
    """
    A clock half a second off, either way, means one to one.
    """
    decision = decide(snapshot(Mode.POWER, agents(ready=2), ratio=5.0, skew_s=skew_s))

    assert 2 == decision.originate
    assert Bound.STALE is decision.bound


def test_fresh_counts_are_trusted() -> None:
    """
    Exactly five seconds and exactly half a second are still inside.
    """
    decision = decide(snapshot(Mode.POWER, agents(ready=2), ratio=3.0, age_s=5.0, skew_s=0.5))

    assert 6 == decision.originate


def test_law_forbids_over_dialing() -> None:
    """
    Where law or settings force one to one, the decision names them.
    """
    decision = decide(
        snapshot(Mode.PREDICTIVE, agents(ready=2, wrapping=20), forbidden="DE: § 7 UWG")
    )

    assert 2 == decision.originate
    assert Bound.LAW is decision.bound
    assert "DE: § 7 UWG" == decision.evidence["guard"]


def test_no_accounting_window() -> None:
    """
    If no window says how many calls were abandoned, nothing shows that over-dialing is allowed.
    """
    decision = decide(snapshot(Mode.POWER, agents(ready=2), ratio=3.0, windows=()))

    assert 2 == decision.originate
    assert Bound.GUARD is decision.bound


def test_progressive_does_not_need_the_guard() -> None:
    """
    Progressive is one to one by itself: stale counts do not change its reason.
    """
    decision = decide(snapshot(Mode.PROGRESSIVE, agents(ready=2), age_s=60.0, windows=()))

    assert 2 == decision.originate
    assert Bound.AGENTS is decision.bound


def test_window_over_its_limit_stays_one_to_one_until_its_target() -> None:
    """
    A window that broke its limit is held at one to one until it is back at its target.
    """
    staff = agents(ready=1, wrapping=20)
    broken = decide(snapshot(Mode.PREDICTIVE, staff, windows=(window(1000, 31),)))
    inside = decide(snapshot(Mode.PREDICTIVE, staff, windows=(window(1070, 31, held=True),)))
    back = decide(snapshot(Mode.PREDICTIVE, staff, windows=(window(1088, 31, held=True),)))

    assert "day" == broken.evidence["held"]
    assert (
        "day: over its limit, 31 of 1000 abandoned, 1:1 until 1088 people answered, 88 to go"
        == (broken.evidence["windows"])
    )
    assert "day" == inside.evidence["held"]
    assert Bound.GUARD is inside.bound
    assert "" == back.evidence["held"]


def test_same_window_not_held_may_over_dial() -> None:
    """
    Between target and limit only a window that broke its limit is held.
    """
    free = decide(snapshot(Mode.POWER, agents(ready=9), ratio=1.2, windows=(window(1070, 31),)))

    assert "" == free.evidence["held"]
    assert [1] == free.evidence["window_headroom"]
