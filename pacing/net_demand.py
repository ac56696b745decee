"""People who will have answered minus agents who will be free: an exact count distribution.

Each call in flight answers, and each busy agent comes free, independently with a probability of its
own, so the difference X is a Poisson-binomial minus a Poisson-binomial. Its characteristic function
phi is a product of (1 + p z), z = exp(it) - 1, and its tail follows from that by the inversion
formula of Gil-Pelaez (1951, Biometrika 38) on a lattice: with t_f = (2f + 1) pi / H,

    P[X >= c] = 1/2 + 1/H sum over f of Im[phi(t_f) exp(-i t_f (c - 1/2))] / sin(t_f / 2)

up to P[|X - c| >= H]. That is the DFT method of Hong (2013, Computational Statistics & Data
Analysis 59) with half the terms; where |phi|^2 = prod of 1 - 2 p (1 - p)(1 - cos t) has died out
no term is needed at all, so a large team costs hardly more than a small one. No normal
approximation is used at any size.

The logarithm of 1 + p z is read from a table and interpolated between two of `LEVELS` probabilities
a < p < b: a call counts as w calls at b and 1 - w at a. That keeps the mean exactly and takes
w (1 - w)(b - a)^2, under 0.00002, from its variance; tails come out right to 0.00005.

The answer rate itself is only an estimate. If it is wrong, all calls are wrong together, so its
relative standard deviation d adds a variance v = (d * expected answers)^2: a symmetric Skellam
variable with characteristic function exp(-v (1 - cos t)), whole calls like everything else here.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.compiling import kernel
from pacing.durations import Floats

LEVELS = 129
_SHORTEST = 32
_SIZES = 10
_MOST_TERMS = 512
SIGMAS = 6.0
MARGIN = 8.0
FADED = 23.0  # exp(-23) is as good as nothing


class Waves(NamedTuple):
    """What the inversion needs per frequency, for every H = 32, 64, …: one row per frequency.

    `first[j]` to `first[j + 1]` are the rows of H = 32 * 2**j. `log_modulus` and `argument` are
    those of 1 + p z per level of p; `turned` is 1 - cos t.
    """

    first: NDArray[np.int64]
    angle: Floats
    turned: Floats
    weight: Floats
    log_modulus: Floats
    argument: Floats


class NetDemand(NamedTuple):
    """X at several moments, as a function of how many calls are started now.

    Arrays run over frequencies, over moments, or over (frequencies, moments).
    """

    angle: Floats
    turned: Floats
    weight: Floats
    log_modulus: Floats
    argument: Floats
    new_log_modulus: Floats
    new_argument: Floats
    mean: Floats
    variance: Floats
    answers: Floats
    per_call: Floats
    doubt: float


@kernel
def net_demand(
    demand: Floats, supply: Floats, per_call: Floats, doubt: float, most: int, waves: Waves
) -> NetDemand:
    """Return X from arrays (moments, Bernoulli variables) of probabilities.

    `per_call` (moments,) is the probability that a call started now has been answered; `doubt` is
    the relative standard deviation of the answer rate; `most` bounds how many new calls are ever
    asked about.
    """
    # Rounding may leave a probability a hair outside [0, 1], and a variance then negative.
    answering = np.minimum(np.maximum(demand, 0.0), 1.0)
    freed = np.minimum(np.maximum(supply, 0.0), 1.0)
    new = np.minimum(np.maximum(per_call, 0.0), 1.0)
    answers = answering.sum(axis=1)
    mean = answers - freed.sum(axis=1)
    variance = answers - (answering * answering).sum(axis=1)
    variance += (freed * (1.0 - freed)).sum(axis=1)
    variance = np.maximum(variance, 0.0)

    widest = np.max(variance + most * new + (doubt * (answers + most * new)) ** 2)
    begin, end = rows(widest, np.min(variance), waves)

    asked, given = spread(answering), spread(freed)
    angle, turned = waves.angle[begin:end], waves.turned[begin:end]
    return NetDemand(
        angle,
        turned,
        waves.weight[begin:end],
        np.dot(waves.log_modulus[begin:end], asked + given),
        np.dot(waves.argument[begin:end], asked - given),
        0.5 * np.log(1.0 - (2.0 * new * (1.0 - new))[None, :] * turned[:, None] + 1e-300),
        np.arctan2(np.sin(angle)[:, None] * new[None, :], 1.0 - turned[:, None] * new[None, :]),
        mean,
        variance,
        answers,
        new,
        doubt,
    )


@kernel
def rows(widest: float, narrowest: float, waves: Waves) -> tuple[int, int]:
    """Return the first row of `Waves` to use and the one after the last, from two variances.

    The *widest* distribution asked about must fit into H; the terms go on until the *narrowest*
    has died out.
    """
    half = 2 * (SIGMAS * sqrt(widest) + MARGIN)
    size = 0
    while size < _SIZES - 1 and half > _SHORTEST << size:
        size += 1
    begin, end = waves.first[size], waves.first[size + 1]
    if narrowest > FADED / 2:
        faded = np.searchsorted(waves.turned[begin:end], FADED / narrowest)
        end = begin + min(end - begin, faded + 1)
    return begin, end


@kernel
def at_least(net: NetDemand, count: int, new_calls: int) -> Floats:
    """Return P[X >= count] at each moment when *new_calls* are started now."""
    added = new_calls * net.per_call
    doubtful = (net.doubt * (net.answers + added)) ** 2
    spread_out = np.sqrt(net.variance + added * (1.0 - net.per_call) + doubtful)
    beyond = (count - 0.5) - net.mean - added
    modulus = net.log_modulus + new_calls * net.new_log_modulus
    modulus -= net.turned[:, None] * doubtful[None, :]
    phase = net.argument + new_calls * net.new_argument - (net.angle * (count - 0.5))[:, None]
    tail = 0.5 + np.dot(net.weight, np.exp(modulus) * np.sin(phase))
    far = SIGMAS * spread_out + MARGIN
    tail = np.where(beyond > far, 0.0, np.where(beyond < -far, 1.0, tail))
    chances: Floats = np.minimum(np.maximum(tail, 0.0), 1.0)
    return chances


@kernel
def spread(probabilities: Floats) -> Floats:
    """Return how many variables stand at each level: (levels, moments)."""
    moments = probabilities.shape[0]
    at = probabilities * (LEVELS - 1.0)
    below = np.minimum(at, LEVELS - 2.0).astype(np.int64)
    upper = (at - below).ravel()
    index = (below * moments + np.arange(moments)[:, None]).ravel()
    lower = np.bincount(index, 1.0 - upper, LEVELS * moments)
    counts: Floats = np.asarray(
        lower + np.bincount(index + moments, upper, LEVELS * moments), dtype=np.float64
    )
    return counts.reshape((LEVELS, moments))


@lru_cache(maxsize=1)
def waves() -> Waves:
    """Return the tables of the inversion: 7 MB, 20 ms of arithmetic, once per process."""
    halves = [_SHORTEST << size for size in range(_SIZES)]
    angle = np.concatenate(
        [(2 * np.arange(min(half // 2, _MOST_TERMS)) + 1) * (pi / half) for half in halves]
    )
    weight = np.concatenate(
        [np.full(min(half // 2, _MOST_TERMS), 1.0 / half) for half in halves]
    ) / np.sin(angle / 2)
    first = np.cumsum([0, *(min(half // 2, _MOST_TERMS) for half in halves)]).astype(np.int64)
    turned = 1.0 - np.cos(angle)
    level = np.arange(LEVELS) / (LEVELS - 1.0)
    return Waves(
        first,
        angle,
        turned,
        weight,
        0.5 * np.log(1.0 - 2.0 * level * (1.0 - level) * turned[:, None]),
        np.arctan2(np.sin(angle)[:, None] * level, 1.0 - turned[:, None] * level),
    )
