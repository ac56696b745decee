"""How long things last: ringing, talking, wrapping up, learned with right-censoring.

A duration's law is a hazard per bin. Each bin's probability of ending is estimated the
Kaplan-Meier way, ended in the bin over still running when it began, with a prior that counts as
`weight` earlier durations:

    q_i = (events_i + weight * S0_i * q0_i) / (exposed_i + weight * S0_i)

where q0 and S0 are the prior's own hazard and survival. What is still running now is exposure
without an event; leaving it out would make the first minutes of a shift look like short talks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pacing.types import Histogram

Floats = NDArray[np.float64]

_CERTAIN = 1.0 - 1e-9


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


@dataclass(frozen=True, slots=True, eq=False)
class DurationLaw:
    """A duration with constant hazard inside each bin.

    `cumulative[i]` is the hazard summed up to the start of bin i; `tail_rate` per second holds
    after the last bin.
    """

    edges: Floats
    cumulative: Floats
    tail_rate: float

    def survival(self, at_s: Floats) -> Floats:
        """Return the probability of still running after each of *at_s* seconds."""
        beyond = np.maximum(at_s - self.edges[-1], 0.0) * self.tail_rate
        alive: Floats = np.exp(-np.interp(at_s, self.edges, self.cumulative) - beyond)
        return alive

    def ended(self, at_s: Floats) -> Floats:
        """Return the probability of having ended within each of *at_s* seconds."""
        return 1.0 - self.survival(at_s)

    def quantiles(self, shares: Floats) -> Floats:
        """Return the times by which each of *shares* of the durations have ended."""
        hazard = -np.log1p(-shares)
        beyond = np.maximum(hazard - self.cumulative[-1], 0.0) / self.tail_rate
        times: Floats = np.interp(hazard, self.cumulative, self.edges) + beyond
        return times

    def mean_s(self) -> float:
        """Return the mean duration in seconds."""
        alive = np.exp(-self.cumulative)
        widths = np.diff(self.edges)
        return float(np.sum((alive[:-1] + alive[1:]) / 2 * widths) + alive[-1] / self.tail_rate)


def learn(
    duration: Duration,
    histogram: Histogram | None,
    *,
    running_s: Floats,
    weights: Floats,
    ring_timeout_s: float,
) -> DurationLaw:
    """Return the law of *duration* given what ended (*histogram*) and what still runs.

    `weights` says how much each running duration counts, 0 to 1: a pending call is only probably
    one that a person will answer. `ring_timeout_s` places the prior's spike of calls given up.
    """
    if histogram is None:
        width, bins = GRID[duration]
        events, exposed = np.zeros(bins), np.zeros(bins)
    else:
        width, bins = histogram.width_s, len(histogram.events)
        events, exposed = _arrays(histogram)
    prior_events, prior_exposed = _prior(duration, width, bins, ring_timeout_s)
    events = events + prior_events
    exposed = exposed + prior_exposed
    if running_s.size:
        exposed += _running_exposure(running_s, weights, width, bins)
    ending = np.minimum(events / np.maximum(exposed, events + 1e-12), _CERTAIN)
    cumulative = np.concatenate(([0.0], np.cumsum(-np.log1p(-ending))))
    tail = slice(-max(1, bins // 4), None)
    pooled = min(_CERTAIN, float(events[tail].sum() / max(exposed[tail].sum(), 1e-12)))
    return DurationLaw(_edges(width, bins), cumulative, max(-np.log1p(-pooled) / width, 1e-6))


def _running_exposure(running_s: Floats, weights: Floats, width: float, bins: int) -> Floats:
    """Return the exposure of running durations: 1 per bin survived, a part of the last."""
    at = np.maximum(running_s, 0.0) / width
    reached = np.minimum(at.astype(np.int64), bins)
    whole: Floats = np.bincount(reached, weights=weights, minlength=bins + 1).astype(np.float64)
    part = np.bincount(reached, weights=weights * (at - reached), minlength=bins + 1)
    survived = np.cumsum(whole[::-1])[::-1]
    exposure: Floats = survived[1:] + part[:-1].astype(np.float64)
    return exposure


@lru_cache(maxsize=64)
def _arrays(histogram: Histogram) -> tuple[Floats, Floats]:
    """Return a histogram as arrays; the same histogram comes back at every tick."""
    return np.array(histogram.events), np.array(histogram.exposed)


@lru_cache(maxsize=32)
def _edges(width: float, bins: int) -> Floats:
    return np.arange(bins + 1, dtype=np.float64) * width


@lru_cache(maxsize=32)
def _prior(
    duration: Duration, width: float, bins: int, ring_timeout_s: float
) -> tuple[Floats, Floats]:
    """Return the events and exposure that stand in for a campaign's first calls."""
    edges = _edges(width, bins)
    match duration:
        case Duration.TALK:
            return _pseudo_counts(15.0, np.exp(-edges / TALK_MEAN_S))
        case Duration.WRAP_UP:
            return _pseudo_counts(15.0, np.exp(-edges / WRAP_UP_MEAN_S))
        case Duration.RING_LIVE:
            # scipy takes half a second to load, which a command that paces nothing need not pay.
            from scipy.special import gammaincc  # noqa: PLC0415

            bell = gammaincc(_RING_SHAPE, edges * (_RING_SHAPE / RING_MEAN_S))
            common = _pseudo_counts(14.0, np.asarray(bell, dtype=np.float64))
            # Some answer late. A bell alone would call every long ring unanswered, and a
            # campaign whose people do answer late would lose a whole first wave of them.
            late = _pseudo_counts(6.0, np.exp(-np.maximum(edges - RING_MEAN_S, 0.0) / _LATE_S))
            return common[0] + late[0], common[1] + late[1]
        case Duration.RING_OTHER:
            early = _pseudo_counts(20.0, np.exp(-edges / _OTHER_MEAN_S))
            given_up = _pseudo_counts(20.0, (edges <= ring_timeout_s).astype(np.float64))
            return early[0] + given_up[0], early[1] + given_up[1]


def _pseudo_counts(weight: float, survival: Floats) -> tuple[Floats, Floats]:
    return weight * (survival[:-1] - survival[1:]), weight * survival[:-1]
