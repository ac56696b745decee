"""People who will have answered minus agents who will be free: an exact count distribution.

Each call in flight answers, and each busy agent comes free, independently with a probability of its
own, so the difference X is a Poisson-binomial minus a Poisson-binomial. Its characteristic function
is a product of (1 + p z), z = exp(it) - 1, and a tail probability is a dot product with it (the
DFT method of Hong, 2013, Computational Statistics & Data Analysis 59). Probabilities are first
rounded to one of `_LEVELS` levels, so equal ones become one power: the cost then does not grow
with the team, and no normal approximation is needed at any size. Rounding keeps order, hence one
more free agent can never look worse; it moves a probability by less than 0.0016.

The answer rate itself is only an estimate. If it is wrong, all calls are wrong together, so its
relative standard deviation d adds a variance v = (d * expected answers)^2: a symmetric Skellam
variable with characteristic function exp(-v (1 - cos t)), whole calls like everything else here.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, pi

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_LEVELS = 512
_SIGMAS = 8.0
_HAIR = 1e-9
_PIECE = 96


class NetDemand:
    """X at several moments, as a function of how many calls are started now.

    `demand` and `supply` are arrays (moments, Bernoulli variables) of probabilities, `per_call`
    (moments,) is the probability that a call started now has been answered; `doubt` is the relative
    standard deviation of the answer rate; `most` bounds how many new calls are ever asked about.
    """

    def __init__(
        self,
        demand: Floats,
        supply: Floats,
        per_call: Floats,
        *,
        doubt: float,
        most: int,
    ) -> None:
        # Rounding may leave a probability a hair outside [0, 1], and a variance then negative.
        demand, supply = np.clip(demand, 0.0, 1.0), np.clip(supply, 0.0, 1.0)
        self.per_call = np.clip(per_call, 0.0, 1.0)
        per_call = self.per_call
        self._answers = demand.sum(axis=1)
        self._doubt = doubt
        mean = self._answers - supply.sum(axis=1)
        variance = (demand * (1 - demand)).sum(axis=1) + (supply * (1 - supply)).sum(axis=1)
        low_spread = _SIGMAS * np.sqrt(variance + self._doubt_variance(0))
        high_spread = _SIGMAS * np.sqrt(variance + most * per_call + self._doubt_variance(most))
        self.lowest = floor(float(np.min(mean - low_spread))) - 8
        self.highest = ceil(float(np.max(mean + most * per_call + high_spread))) + 8
        self._length = max(64, 1 << (self.highest - self.lowest).bit_length())
        self._log_existing = _log_product(demand, self._length)
        if supply.shape[1]:
            self._log_existing += _log_product(supply, self._length).conj()
        turn = np.exp(1j * _angles(self._length)) - 1.0
        self._log_new = np.log(1.0 + _off_half(per_call)[:, None] * turn)

    def at_least(self, count: int, new_calls: int) -> Floats:
        """Return P[X >= count] at each moment when *new_calls* are started now."""
        if count <= self.lowest:
            return np.ones(self.per_call.size)
        last = self.lowest + self._length - 1
        if count > last:
            return np.zeros(self.per_call.size)
        transform = self._transform(new_calls)
        sums = (transform * _tail_weights(self._length, count, last)).real.sum(axis=1)
        chances: Floats = np.clip(sums, 0.0, 1.0)
        return chances

    def quantile(self, share: float, new_calls: int) -> int:
        """Return the smallest x with P[X > x] <= 1 - share at every moment."""
        transform = self._transform(new_calls)
        chances = np.fft.irfft(transform.conj(), self._length, axis=1)
        ordered = np.roll(chances, -self.lowest, axis=1)  # from X = lowest upwards
        at_or_above = np.cumsum(ordered[:, ::-1], axis=1)[:, ::-1].max(axis=0)
        return self.lowest - 1 + int(np.count_nonzero(at_or_above > 1.0 - share))

    def _transform(self, new_calls: int) -> Complexes:
        """Return the characteristic function of X at each moment and frequency."""
        waves = np.outer(self._doubt_variance(new_calls), 1.0 - np.cos(_angles(self._length)))
        transform: Complexes = np.exp(self._log_existing + new_calls * self._log_new - waves)
        return transform

    def _doubt_variance(self, new_calls: int) -> Floats:
        variance: Floats = (self._doubt * (self._answers + new_calls * self.per_call)) ** 2
        return variance


def _off_half(probability: Floats) -> Floats:
    """Return *probability* a hair away from 1/2, where 1 + p z vanishes and has no logarithm."""
    nudged: Floats = np.where(np.abs(probability - 0.5) < _HAIR, 0.5 + _HAIR, probability)
    return nudged


@lru_cache(maxsize=1)
def _levels() -> Floats:
    """Return the probability levels, closest together near 0 and 1 (and none at 1/2)."""
    levels: Floats = np.sin(np.arange(_LEVELS) * (pi / 2 / (_LEVELS - 1))) ** 2
    return levels


@lru_cache(maxsize=16)
def _angles(length: int) -> Floats:
    return np.arange(length // 2 + 1, dtype=np.float64) * (2 * pi / length)


@lru_cache(maxsize=8)
def _log_factors(length: int) -> Floats:
    """Return log(1 + p z) for each level p and each frequency of a transform of *length*.

    Complex values as pairs of floats: products with real counts then cost half as much.
    """
    turn = np.exp(1j * _angles(length)) - 1.0
    factors: Complexes = np.log(1.0 + _levels()[:, None] * turn)
    return factors.view(np.float64)


def _log_product(probabilities: Floats, length: int) -> Complexes:
    """Return the log characteristic function of the sum of the variables, per moment."""
    moments = probabilities.shape[0]
    level = np.rint(np.arcsin(np.sqrt(probabilities)) * ((_LEVELS - 1) * 2 / pi)).astype(np.int64)
    level += np.arange(moments)[:, None] * _LEVELS
    counts = np.bincount(level.ravel(), minlength=moments * _LEVELS).reshape(moments, _LEVELS)
    table = _log_factors(length)
    if probabilities.size < _LEVELS // 2:  # a small team uses few of the levels
        used = np.flatnonzero(counts.any(axis=0))
        counts, table = counts[:, used], table[used]
    product = np.empty((moments, table.shape[1]))
    weights = counts.astype(np.float64)
    # Piece by piece: a whole product is large enough for BLAS to wake its threads, which on
    # a busy machine costs five times the product itself.
    for start in range(0, table.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        product[:, piece] = weights @ table[:, piece]
    return product.view(np.complex128)


def _tail_weights(length: int, first: int, last: int) -> Complexes:
    """Return the weights w with sum(Re(w * transform)) = P[first <= X <= last]."""
    angles = _angles(length)[1:]
    weights = np.empty(angles.size + 1, dtype=np.complex128)
    weights[0] = last - first + 1
    ends = np.exp(-1j * angles * first) - np.exp(-1j * angles * (last + 1))
    weights[1:] = ends / (1.0 - np.exp(-1j * angles))
    weights[1:-1] *= 2.0  # the other half of the spectrum is its mirror image
    return weights / length
