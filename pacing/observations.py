"""What a campaign's events do to what it has learned, over plain arrays.

`estimators.Learner` keeps such a state for production and saves it; the simulator keeps one per
simulated campaign and calls the same functions. Recent events weigh more: each new one discounts
those before it.
"""

from __future__ import annotations

from math import exp, isnan, nan
from typing import NamedTuple

import numpy as np

from pacing.answer_rate import memory
from pacing.compiling import kernel
from pacing.durations import Duration, Floats, Tallies, add, empty_tally
from pacing.kernel import Learned
from pacing.threshold import PRIOR_LOSS_RATE

LIVE, NOT_LIVE, RING_S, DIALED, LOST, RISKED, THETA = range(7)
"""Places in `State.numbers`."""

_FIRST_RING_S = 15.0
_KEEP_RING = 0.99
_KEEP_LOSSES = 0.998
_KEEP_THETA = 0.97
_PRIOR_RISKED = 20 * 0.03

# How many durations are remembered; many more than ever run at once, or those count twice.
_MEMORY_RING_LIVE = 1000.0
_MEMORY_RING_OTHER = 2000.0
_MEMORY_TALK = 5000.0
_MEMORY_WRAP_UP = 5000.0


class State(NamedTuple):
    """Everything learned so far, changed in place; `numbers` is read by the names above.

    `numbers[THETA]` is the mean threshold of the calls dialed lately, NaN before the first.
    """

    numbers: Floats
    tallies: Tallies


def fresh_state() -> State:
    """Return the state of a campaign that has seen nothing yet."""
    numbers = np.zeros(7)
    numbers[RING_S], numbers[THETA] = _FIRST_RING_S, nan
    return State(numbers, Tallies(*(empty_tally(duration) for duration in Duration)))


@kernel
def observe_dialed(state: State, calls: int, theta_at_dial: float) -> None:
    """Count *calls* started by a decision whose evidence has *theta_at_dial*."""
    numbers = state.numbers
    numbers[DIALED] += calls
    before = theta_at_dial if isnan(numbers[THETA]) else numbers[THETA]
    keep = _KEEP_THETA**calls
    numbers[THETA] = keep * before + (1 - keep) * theta_at_dial


@kernel
def observe_end(state: State, is_live: bool, ring_s: float, in_flight: int) -> None:  # noqa: FBT001 - numba knows no keywords
    """Count a call that rang *ring_s* seconds; *in_flight* others are still ringing.

    A call counts by when it was dialed: the longer it rang, the more calls were dialed since
    (in_flight * ring_s / mean ring, by Little's law). Without that, long rings would weigh
    more than short ones dialed at the same time, and those are rarely live.
    """
    numbers = state.numbers
    rate = (1 + numbers[LIVE]) / (4 + numbers[LIVE] + numbers[NOT_LIVE])
    remembered = memory(in_flight, rate)
    dialed_since = in_flight * max(0.0, ring_s) / numbers[RING_S]
    numbers[RING_S] = _KEEP_RING * numbers[RING_S] + (1 - _KEEP_RING) * max(1.0, ring_s)
    numbers[LIVE] *= 1 - 1 / remembered
    numbers[NOT_LIVE] *= 1 - 1 / remembered
    weight = exp(-dialed_since / remembered)
    if is_live:
        numbers[LIVE] += weight
        add(state.tallies.ring_live, ring_s, True, max(_MEMORY_RING_LIVE, 10.0 * in_flight))  # noqa: FBT003
    else:
        numbers[NOT_LIVE] += weight
        add(state.tallies.ring_other, ring_s, True, max(_MEMORY_RING_OTHER, 10.0 * in_flight))  # noqa: FBT003


@kernel
def observe_answered(state: State, is_abandoned: bool, theta_at_dial: float) -> None:  # noqa: FBT001 - numba knows no keywords
    """Count a person who answered; losses per unit of threshold give kappa.

    With NaN for *theta_at_dial* the mean threshold of the calls dialed lately stands in.
    """
    numbers = state.numbers
    theta = numbers[THETA] if isnan(theta_at_dial) else theta_at_dial
    if isnan(theta):
        return
    numbers[LOST] = _KEEP_LOSSES * numbers[LOST] + (1.0 if is_abandoned else 0.0)
    numbers[RISKED] = _KEEP_LOSSES * numbers[RISKED] + theta


@kernel
def observe_talk(state: State, talk_s: float, has_ended: bool) -> None:  # noqa: FBT001 - numba knows no keywords
    """Count a talk of *talk_s* seconds; one that has not ended was cut short from outside."""
    add(state.tallies.talk, talk_s, has_ended, _MEMORY_TALK)


@kernel
def observe_wrap_up(state: State, wrap_up_s: float, has_ended: bool) -> None:  # noqa: FBT001 - numba knows no keywords
    """Count a wrap-up of *wrap_up_s* seconds, 0 when the agent was ready at once."""
    add(state.tallies.wrap_up, wrap_up_s, has_ended, _MEMORY_WRAP_UP)


@kernel
def kappa(numbers: Floats) -> float:
    """Return how many people were lost per unit of threshold."""
    return float(
        (_PRIOR_RISKED * PRIOR_LOSS_RATE + numbers[LOST]) / (_PRIOR_RISKED + numbers[RISKED])
    )


@kernel
def learned(state: State, priors: Tallies, answer_rate_prior: float) -> Learned:
    """Return what `kernel.look_ahead` reads."""
    numbers = state.numbers
    return Learned(
        numbers[LIVE],
        numbers[NOT_LIVE],
        answer_rate_prior,
        kappa(numbers),
        state.tallies,
        priors,
    )
