"""The abandonment guard: integers only, and it can only lower an answer.

For a window with H people answered and A of them abandoned, the headroom is the number of further
abandoned calls that keep A <= limit * H true at every step (compliance PACE-2):

    m = floor((limit * H - A) / (1 - limit))

With m = 0 one more abandoned call would break the limit, (A + 1) > limit * (H + 1), and the rule is
one call per ready agent. A window that went over its limit stays at one to one until it is back at
its target; that memory is carried by the caller in `WindowCount.held`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.compiling import kernel
from pacing.durations import Floats
from pacing.types import Bound, Snapshot, WindowCount

PPM = 1_000_000
ANSWERED, ABANDONED, LIMIT, TARGET = range(4)
"""Columns of `Windows.counts`."""
MAX_AGE_S = 5.0
MAX_CLOCK_SKEW_S = 0.5
UNLIMITED = 1_000_000_000
"""Headroom of a window whose limit is 100 % or more; as good as infinite, yet an integer."""


@dataclass(frozen=True, slots=True)
class WindowStanding:
    """Where one accounting window stands, in whole calls."""

    window: WindowCount
    headroom: int
    held: bool

    def __str__(self) -> str:
        """Say it in a supervisor's words, the window named."""
        return f"{self.window.name}: {self.sentence}"

    @property
    def sentence(self) -> str:
        """Say it in a supervisor's words."""
        answered, abandoned = self.window.answered, self.window.abandoned
        share = f"{abandoned} of {answered} abandoned"
        if self.held:
            until = _answers_at(abandoned, min(self.window.target_ppm, self.window.limit_ppm))
            reason = f"over its limit, {share}, 1:1"
        elif self.headroom == 0:
            until = _answers_for_headroom(self.window)
            reason = "1:1"
        else:
            return f"{share}, room for {self.headroom} more"
        if until is None:
            return f"{reason}, no abandoned call is allowed"
        return f"{reason} until {until} people answered, {until - answered} to go"


@dataclass(frozen=True, slots=True)
class Restraint:
    """Why over-dialing is off altogether: the bound to report and the sentence that says why."""

    bound: Bound
    reason: str


class Windows(NamedTuple):
    """The accounting windows, one row each.

    `counts` holds people answered and abandoned, limit and target in parts per million;
    `remaining_s` is infinite for a window without an end.
    """

    counts: NDArray[np.int64]
    remaining_s: Floats
    held: NDArray[np.bool_]


def headroom(window: WindowCount) -> int:
    """Return how many more abandoned calls *window* can take at once without passing its limit."""
    return room(window.answered, window.abandoned, window.limit_ppm)


def stand(window: WindowCount) -> WindowStanding:
    """Return where *window* stands, its hysteresis applied."""
    held = is_held(
        window.answered, window.abandoned, window.limit_ppm, window.target_ppm, window.held
    )
    return WindowStanding(window, 0 if held else headroom(window), held)


@kernel
def room(answered: int, abandoned: int, limit_ppm: int) -> int:
    """Return the headroom of a window with these counts."""
    if limit_ppm >= PPM:
        return UNLIMITED
    slack = limit_ppm * answered - PPM * abandoned
    return max(0, slack // (PPM - limit_ppm))


@kernel
def is_held(
    answered: int,
    abandoned: int,
    limit_ppm: int,
    target_ppm: int,
    was_held: bool,  # noqa: FBT001 - numba knows no keywords
) -> bool:
    """Return whether a window is over its limit, or was and is not back at its target."""
    if PPM * abandoned > limit_ppm * answered:
        return True
    return was_held and PPM * abandoned > min(target_ppm, limit_ppm) * answered


@kernel
def least_room(windows: Windows) -> int:
    """Return the headroom of the tightest window, 0 while one is held or when there is none."""
    if windows.held.size == 0:
        return 0
    least = UNLIMITED
    for i in range(windows.held.size):
        answered, abandoned = windows.counts[i, ANSWERED], windows.counts[i, ABANDONED]
        limit_ppm, target_ppm = windows.counts[i, LIMIT], windows.counts[i, TARGET]
        if is_held(answered, abandoned, limit_ppm, target_ppm, windows.held[i]):
            return 0
        least = min(least, room(answered, abandoned, limit_ppm))
    return least


def restraint(snapshot: Snapshot, standings: tuple[WindowStanding, ...]) -> Restraint | None:
    """Return what forbids every over-dialed call now, or None; unknown or old counts forbid it."""
    if not snapshot.age_s <= MAX_AGE_S:  # also true when it is not a number
        return Restraint(Bound.STALE, f"the counts are {snapshot.age_s:.1f} s old")
    if not abs(snapshot.clock_skew_s) <= MAX_CLOCK_SKEW_S:
        skew = abs(snapshot.clock_skew_s)
        return Restraint(Bound.STALE, f"the clock is {skew:.2f} s from the database's")
    if snapshot.over_dialing_forbidden is not None:
        return Restraint(Bound.LAW, snapshot.over_dialing_forbidden)
    if not standings:
        return Restraint(Bound.GUARD, "no accounting window says how many calls were abandoned")
    tightest = min(standings, key=lambda standing: standing.headroom)
    if tightest.headroom == 0:
        return Restraint(Bound.GUARD, str(tightest))
    return None


def _answers_for_headroom(window: WindowCount) -> int | None:
    """Return the smallest H that leaves room for one more abandoned call: ceil((A+1)/limit) - 1."""
    at = _answers_at(window.abandoned + 1, window.limit_ppm)
    return None if at is None else at - 1


def _answers_at(abandoned: int, ppm: int) -> int | None:
    """Return the smallest H with abandoned <= ppm * H, or None when there is none."""
    return -(-abandoned * PPM // ppm) if ppm > 0 else None
