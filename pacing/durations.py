"""How long things last: ringing, talking, wrapping up, learned with right-censoring.

A duration's law is a hazard per bin. Each bin's probability of ending is estimated the
Kaplan-Meier way, ended in the bin over still running when it began, with a prior that counts as
`weight` earlier durations:

    q_i = (events_i + weight * S0_i * q0_i) / (exposed_i + weight * S0_i)

where q0 and S0 are the prior's own hazard and survival. What is still running now is exposure
without an event; leaving it out would make the first minutes of a shift look like short talks.
(Kaplan and Meier, 1958, JASA 53; the prior is the beta process of Hjort, 1990, Ann. Stat. 18.)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from pacing.compiling import kernel
from pacing.types import Histogram

Floats = NDArray[np.float64]

_CERTAIN = 1.0 - 1e-9
_NEVER = 1e-12


class Duration(StrEnum):
    """The four durations a campaign learns, named as in `History`."""

    RING_LIVE = "ring_live"
    RING_OTHER = "ring_other"
    TALK = "talk"
    WRAP_UP = "wrap_up"


GRID: Mapping[Duration, tuple[float, int]] = {
    Duration.RING_LIVE: (1.0, 60),
    Duration.RING_OTHER: (1.0, 60),
    Duration.TALK: (2.0, 300),
    Duration.WRAP_UP: (1.0, 240),
}
"""Bin width in seconds and number of bins; after the last bin the hazard is constant."""

TALK_MEAN_S = 120.0
WRAP_UP_MEAN_S = 20.0
RING_MEAN_S = 9.0
_RING_SHAPE = 5.0
_LATE_S = 10.0
_OTHER_MEAN_S = 22.0


class Tally(NamedTuple):
    """Discounted events and exposure per bin, as `Histogram`, in arrays of one length."""

    width_s: float
    events: Floats
    exposed: Floats


class Tallies(NamedTuple):
    """The four durations of a campaign, of its learner or of what is believed beforehand."""

    ring_live: Tally
    ring_other: Tally
    talk: Tally
    wrap_up: Tally


class DurationLaw(NamedTuple):
    """A duration with constant hazard inside each bin.

    `cumulative[i]` is the hazard summed up to the start of bin i and `step[i]` what bin i adds;
    the last step holds for every bin after it.
    """

    width_s: float
    cumulative: Floats
    step: Floats


@kernel
def survival(law: DurationLaw, at_s: Floats) -> Floats:
    """Return the probability of still running after each of *at_s* seconds (one dimension)."""
    at = np.maximum(at_s, 0.0) / law.width_s
    index = np.minimum(at, law.step.size - 1.0).astype(np.int64)
    alive: Floats = np.exp(-(law.cumulative[index] + (at - index) * law.step[index]))
    return alive


@kernel
def quantiles(law: DurationLaw, shares: Floats) -> Floats:
    """Return the times by which each of *shares* of the durations have ended."""
    hazard = -np.log1p(-shares)
    index = np.searchsorted(law.cumulative, hazard, side="right") - 1
    times: Floats = law.width_s * (index + (hazard - law.cumulative[index]) / law.step[index])
    return times


@kernel
def mean_s(law: DurationLaw) -> float:
    """Return the mean duration in seconds."""
    alive = np.exp(-law.cumulative)
    within = (alive[:-1] + alive[1:]).sum() / 2
    return float(law.width_s * (within + alive[-1] / law.step[-1]))


@kernel
def learn(tally: Tally, prior: Tally, running_s: Floats, weights: Floats) -> DurationLaw:
    """Return the law given what ended (*tally*), its *prior*, and what still runs.

    `weights` says how much each running duration counts, 0 to 1: a pending call is only probably
    one that a person will answer.
    """
    bins = tally.events.size
    events = tally.events + prior.events
    exposed = tally.exposed + prior.exposed
    if running_s.size > 0:
        exposed += running_exposure(running_s, weights, tally.width_s, bins)
    ending = np.minimum(events / np.maximum(exposed, events + _NEVER), _CERTAIN)
    step = np.empty(bins + 1)
    step[:bins] = -np.log1p(-ending)
    cumulative = np.zeros(bins + 1)
    cumulative[1:] = np.cumsum(step[:bins])
    last = bins - max(1, bins // 4)
    pooled = min(_CERTAIN, events[last:].sum() / max(exposed[last:].sum(), _NEVER))
    step[bins] = max(-np.log1p(-pooled), 1e-6 * tally.width_s)
    return DurationLaw(tally.width_s, cumulative, step)


@kernel
def running_exposure(running_s: Floats, weights: Floats, width_s: float, bins: int) -> Floats:
    """Return the exposure of running durations: 1 per bin survived, a part of the last."""
    at = np.maximum(running_s, 0.0) / width_s
    reached = np.minimum(at, float(bins)).astype(np.int64)
    part = weights * (at - reached)
    partly = np.bincount(reached, part, bins + 1)[:bins]
    survived = np.cumsum(np.bincount(reached, weights, bins + 1)[::-1])[::-1]
    exposure: Floats = np.asarray(partly + survived[1:], dtype=np.float64)
    return exposure


@kernel
def add(tally: Tally, duration_s: float, has_ended: bool, memory: float) -> None:  # noqa: FBT001 - numba knows no keywords
    """Count one duration in place, fading what was counted before it by 1 / *memory*.

    A duration that was cut short from outside has not ended: it is exposure only. Two clocks may
    make a short duration slightly negative; that is 0, not an error.
    """
    bins = tally.events.size
    at = max(0.0, duration_s) / tally.width_s
    last = int(min(at, float(bins)))
    keep = 1.0 - 1.0 / memory
    tally.events[:] = tally.events * keep
    tally.exposed[:] = tally.exposed * keep
    tally.exposed[:last] += 1.0
    if last < bins:
        if has_ended:
            tally.exposed[last] += 1.0
            tally.events[last] += 1.0
        else:
            tally.exposed[last] += at - last


def empty_tally(duration: Duration) -> Tally:
    """Return the tally of a duration never seen."""
    width_s, bins = GRID[duration]
    return Tally(width_s, np.zeros(bins), np.zeros(bins))


@lru_cache(maxsize=64)
def tally_of(duration: Duration, histogram: Histogram | None) -> Tally:
    """Return a histogram as arrays, not to be written; the same one comes back at every tick."""
    if histogram is None:
        return empty_tally(duration)
    return Tally(float(histogram.width_s), np.array(histogram.events), np.array(histogram.exposed))


@lru_cache(maxsize=64)
def prior_of(duration: Duration, width_s: float, bins: int, ring_timeout_s: float) -> Tally:
    """Return the events and exposure that stand in for a campaign's first calls.

    `ring_timeout_s` places the spike of calls given up.
    """
    edges = np.arange(bins + 1, dtype=np.float64) * width_s
    match duration:
        case Duration.TALK:
            events, exposed = _pseudo_counts(15.0, np.exp(-edges / TALK_MEAN_S))
        case Duration.WRAP_UP:
            events, exposed = _pseudo_counts(15.0, np.exp(-edges / WRAP_UP_MEAN_S))
        case Duration.RING_LIVE:
            # scipy takes half a second to load, which a command that paces nothing need not pay.
            from scipy.special import gammaincc  # noqa: PLC0415

            bell = gammaincc(_RING_SHAPE, edges * (_RING_SHAPE / RING_MEAN_S))
            common = _pseudo_counts(14.0, np.asarray(bell, dtype=np.float64))
            # Some answer late. A bell alone would call every long ring unanswered, and a
            # campaign whose people do answer late would lose a whole first wave of them.
            late = _pseudo_counts(6.0, np.exp(-np.maximum(edges - RING_MEAN_S, 0.0) / _LATE_S))
            events, exposed = common[0] + late[0], common[1] + late[1]
        case Duration.RING_OTHER:
            early = _pseudo_counts(20.0, np.exp(-edges / _OTHER_MEAN_S))
            given_up = _pseudo_counts(20.0, (edges <= ring_timeout_s).astype(np.float64))
            events, exposed = early[0] + given_up[0], early[1] + given_up[1]
        case _:
            assert_never(duration)
    return Tally(width_s, events, exposed)


def _pseudo_counts(weight: float, alive: Floats) -> tuple[Floats, Floats]:
    return weight * (alive[:-1] - alive[1:]), weight * alive[:-1]
