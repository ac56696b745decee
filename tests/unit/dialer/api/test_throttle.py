"""Wrong tokens: a few are free, then the wait doubles, and memory stays bounded."""

from __future__ import annotations

from dataclasses import dataclass

from dialer.api import throttle
from dialer.api.throttle import (
    FIRST_WAIT_S,
    FORGET_AFTER_S,
    FREE_FAILURES,
    LONGEST_WAIT_S,
    Throttle,
)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    at: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.at


def failed(times: int, clock: Clock) -> Throttle:
    """Return a throttle after so many failures from one address at one moment."""
    guard = Throttle(clock)
    for _ in range(times):
        guard.failed("a")
    return guard


def test_first_failures_are_free() -> None:
    """
    Mistyping a token a few times makes nobody wait.
    """
    assert 0.0 == failed(FREE_FAILURES - 1, Clock()).wait_s("a")


def test_wait_doubles_up_to_a_limit() -> None:
    """
    From then on each failure doubles the wait, up to the longest.
    """
    waits = [failed(FREE_FAILURES + more, Clock()).wait_s("a") for more in (0, 1, 2, 50)]

    assert [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, LONGEST_WAIT_S] == waits


def test_wait_runs_down_and_is_forgotten() -> None:
    """
    The wait shrinks as time passes, and after a quiet while nothing is held against an address.
    """
    clock = Clock()
    guard = failed(FREE_FAILURES + 3, clock)

    clock.at += 3.0
    left = guard.wait_s("a")
    clock.at += FORGET_AFTER_S
    guard.wait_s("a")
    guard.failed("a")

    assert 5.0 == left
    assert 0.0 == guard.wait_s("a")


def test_addresses_are_apart() -> None:
    """
    What one address gets wrong is not held against another.
    """
    assert 0.0 == failed(FREE_FAILURES + 9, Clock()).wait_s("b")


def test_oldest_addresses_are_forgotten() -> None:
    """
    However many addresses try, memory is bounded; the oldest are forgotten first.
    """
    clock = Clock()
    guard = failed(FREE_FAILURES + 9, clock)
    for index in range(throttle.MOST_ADDRESSES):
        guard.failed(f"other {index}")

    assert 0.0 == guard.wait_s("a")
