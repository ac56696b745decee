"""When agents will be free, given what each is doing and for how long.

A talking agent is free once talk and wrap-up are over, a wrapping-up agent once the wrap-up is:

    talk:     g(tau) = sum over u of [f_T(e + u) / S_T(e)] * F_W(tau - u)
    wrap-up:  g(tau) = [F_W(e + tau) - F_W(e)] / S_W(e)

A reserved agent is about to talk. Paused agents and those leaving never come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.compiling import kernel
from pacing.durations import DurationLaw, Floats, Tallies, learn, survival

READY, RESERVED, TALKING, WRAP_UP, PAUSED = range(5)
"""Stages as numbers, in the order of `AgentStage`."""

STEPS = 24
_NEVER = 1e-12


class Staff(NamedTuple):
    """The logged-in agents, one entry each; `share` is 0 for those who take no further call."""

    stage: NDArray[np.int64]
    elapsed_s: Floats
    share: Floats


class Supply(NamedTuple):
    """`ready_now` whole agents, and each other agent's chance per moment: (moments, agents)."""

    ready_now: int
    chances: Floats
    talk: DurationLaw
    wrap_up: DurationLaw


@kernel
def foresee(staff: Staff, tallies: Tallies, priors: Tallies, ahead_s: Floats) -> Supply:
    """Return who is free now and who may be free within each of *ahead_s* seconds (ascending).

    The laws are learned from everybody's talks and wrap-ups, also of those about to leave.
    """
    stage, elapsed_s, share = staff.stage, staff.elapsed_s, staff.share
    takes_calls = share > 0.0
    is_ready = (stage == READY) & takes_calls
    ready = int((is_ready & (share >= 1.0)).sum())
    partly = share[is_ready & (share < 1.0)]

    is_talking, is_wrapping = stage == TALKING, stage == WRAP_UP
    running = elapsed_s[is_talking]
    talk = learn(tallies.talk, priors.talk, running, np.ones(running.size))
    running = elapsed_s[is_wrapping]
    wrap_up = learn(tallies.wrap_up, priors.wrap_up, running, np.ones(running.size))

    will_talk = takes_calls & (is_talking | (stage == RESERVED))
    talked_s = np.where(stage[will_talk] == RESERVED, 0.0, elapsed_s[will_talk])
    will_wrap = takes_calls & is_wrapping
    chances = np.concatenate(
        (
            np.ones((ahead_s.size, 1)) * partly[None, :],
            free_after_talk(talk, wrap_up, talked_s, ahead_s) * share[will_talk][None, :],
            free_after_wrap_up(wrap_up, elapsed_s[will_wrap], ahead_s) * share[will_wrap][None, :],
        ),
        axis=1,
    )
    return Supply(ready, chances, talk, wrap_up)


@kernel
def free_after_wrap_up(wrap_up: DurationLaw, elapsed_s: Floats, ahead_s: Floats) -> Floats:
    """Return P[an agent wrapping up for *elapsed_s* is free within *ahead_s*]."""
    alive = np.maximum(survival(wrap_up, elapsed_s), _NEVER)
    later = survival(wrap_up, (ahead_s[:, None] + elapsed_s[None, :]).ravel())
    free: Floats = 1.0 - later.reshape((ahead_s.size, elapsed_s.size)) / alive[None, :]
    return free


@kernel
def free_after_talk(
    talk: DurationLaw, wrap_up: DurationLaw, elapsed_s: Floats, ahead_s: Floats
) -> Floats:
    """Return P[an agent talking for *elapsed_s* has talked and wrapped up within *ahead_s*]."""
    grid = np.arange(STEPS + 1) * (ahead_s[-1] / STEPS)
    alive = survival(talk, (grid[:, None] + elapsed_s[None, :]).ravel())
    alive = alive.reshape((STEPS + 1, elapsed_s.size))
    ending = (alive[:-1] - alive[1:]) / np.maximum(alive[0], _NEVER)
    free: Floats = np.dot(wrapped_up(wrap_up, ahead_s), ending)
    return free


@kernel
def wrapped_up(wrap_up: DurationLaw, ahead_s: Floats) -> Floats:
    """Return P[a wrap-up begun in the middle of each step has ended by *ahead_s*]."""
    middle_s = (np.arange(STEPS) + 0.5) * (ahead_s[-1] / STEPS)
    left_s = np.maximum(ahead_s[:, None] - middle_s[None, :], 0.0).ravel()
    wrapped: Floats = (1.0 - survival(wrap_up, left_s)).reshape((ahead_s.size, STEPS))
    return wrapped
