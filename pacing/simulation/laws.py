"""How long things last in a simulated world: ringing, talking, wrapping up.

Every law is used through one table: its quantile as a function of x = -log(1 - u), u uniform, on an
even grid of x. A draw is one exponential number and one interpolation, whatever the law, so the
same draw means the same luck under every pacer. Exponential laws are exact in this form; the mean
of any law is computed from the table that is drawn from, not from the formula it was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log, log1p

import numpy as np

from pacing.durations import Floats

CELLS_PER_UNIT = 64
_END = 24
CELLS = _END * CELLS_PER_UNIT
"""Cells of the table; beyond the last, one draw in 10^10, the last quantile stands."""


@dataclass(frozen=True, slots=True)
class Law:
    """One distribution of durations in seconds; made by the class methods, which check it."""

    kind: str
    numbers: tuple[float, ...]

    @classmethod
    def exponential(cls, mean_s: float) -> Law:
        """Return the memoryless law."""
        return cls("exponential", (_positive(mean_s, "mean"),))

    @classmethod
    def lognormal(cls, mean_s: float, cv: float) -> Law:
        """Return the lognormal law with this mean and coefficient of variation."""
        return cls("lognormal", (_positive(mean_s, "mean"), _positive(cv, "cv")))

    @classmethod
    def gamma(cls, mean_s: float, cv: float, *, shift_s: float = 0.0) -> Law:
        """Return *shift_s* plus a gamma time; *mean_s* and *cv* are those of the gamma part."""
        numbers = _positive(mean_s, "mean"), _positive(cv, "cv"), _not_negative(shift_s, "shift")
        return cls("gamma", numbers)

    @classmethod
    def pareto(cls, mean_s: float, shape: float) -> Law:
        """Return the Lomax law of this mean, P[X > t] = (1 + t/s)^-shape; *shape* above 1."""
        if not shape > 1:
            raise ValueError(f"shape must be above 1 for the law to have a mean, not {shape}")
        return cls("pareto", (_positive(mean_s, "mean"), shape))

    @classmethod
    def uniform(cls, least_s: float, most_s: float) -> Law:
        """Return the law that is even between two times."""
        if not 0 <= least_s <= most_s:
            raise ValueError(f"needs 0 <= least <= most, not {least_s} and {most_s}")
        return cls("uniform", (least_s, most_s))

    @classmethod
    def normal(cls, mean_s: float, deviation_s: float, *, least_s: float, most_s: float) -> Law:
        """Return the normal law with its values clipped to a range."""
        _positive(deviation_s, "deviation")
        if not 0 <= least_s <= most_s:
            raise ValueError(f"needs 0 <= least <= most, not {least_s} and {most_s}")
        return cls("normal", (mean_s, deviation_s, least_s, most_s))

    @classmethod
    def constant(cls, seconds: float) -> Law:
        """Return the law of something that always lasts the same."""
        return cls("constant", (_not_negative(seconds, "seconds"),))

    @classmethod
    def from_values(cls, values_s: Sequence[float]) -> Law:
        """Return the law that *values_s*, observed in full, suggest."""
        if not values_s:
            raise ValueError("needs at least one observed duration")
        return cls(
            "values", tuple(sorted(_not_negative(value, "a duration") for value in values_s))
        )

    @classmethod
    def from_survival(cls, times_s: Sequence[float], survival: Sequence[float]) -> Law:
        """Return the law with P[X > times_s[i]] = survival[i], linear between (Kaplan-Meier).

        What is left after the last time ends exponentially, at the mean rate so far.
        """
        times, alive = np.asarray(times_s, dtype=float), np.asarray(survival, dtype=float)
        if times.size != alive.size or times.size < 2:
            raise ValueError("needs as many survival probabilities as times, at least two")
        if np.any(np.diff(times) <= 0) or np.any(np.diff(alive) > 0) or times[0] < 0:
            raise ValueError("times must rise and survival must not")
        if not (alive[0] <= 1 and 0 <= alive[-1] < 1):
            raise ValueError("survival must lie between 0 and 1 and fall below 1")
        return cls("survival", (*times.tolist(), *alive.tolist()))

    @property
    def mean_s(self) -> float:
        """Return the mean of what is drawn."""
        table = quantiles(self)
        ends = np.exp(-np.arange(CELLS + 1) / CELLS_PER_UNIT)
        slopes = np.diff(table) * CELLS_PER_UNIT
        return float(table[0] + slopes @ (ends[:-1] - ends[1:]))

    def scaled_to(self, mean_s: float) -> Law:
        """Return the law of the same shape with another mean."""
        if self.mean_s <= 0:
            return Law.constant(mean_s)
        factor = _positive(mean_s, "mean") / self.mean_s
        return Law.from_values((quantiles(self, even=True) * factor).tolist())

    def survival(self, at_s: Floats) -> Floats:
        """Return the probability of lasting longer than each of *at_s*."""
        table = quantiles(self)
        grid = np.arange(CELLS + 1) / CELLS_PER_UNIT
        index = np.clip(np.searchsorted(table, at_s, side="right"), 0, CELLS)
        low = np.maximum(index - 1, 0)
        rise = np.maximum(table[index] - table[low], 1e-12)
        part = np.clip((at_s - table[low]) / rise, 0.0, 1.0)
        x = np.where(index == 0, 0.0, grid[low] + part / CELLS_PER_UNIT)
        alive: Floats = np.asarray(np.where(at_s >= table[-1], 0.0, np.exp(-x)), dtype=np.float64)
        return alive


@dataclass(frozen=True, slots=True)
class Part:
    """One way in which a call is not answered by a person; `machine` says a machine answers it."""

    weight: float
    law: Law
    machine: bool = False


@dataclass(frozen=True, slots=True)
class Mixture:
    """How calls end that no person answers."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts or any(part.weight < 0 for part in self.parts) or self.total <= 0:
            raise ValueError("needs parts with weights of at least 0, not all of them 0")

    @classmethod
    def of(cls, law: Law) -> Mixture:
        """Return the mixture of one."""
        return cls((Part(1.0, law),))

    @property
    def total(self) -> float:
        """Return the sum of the weights."""
        return sum(part.weight for part in self.parts)

    @property
    def mean_s(self) -> float:
        """Return the mean time to the end."""
        return sum(part.weight * part.law.mean_s for part in self.parts) / self.total


@lru_cache(maxsize=256)
def quantiles(law: Law, *, even: bool = False) -> Floats:
    """Return the quantiles of *law* on the grid of x, or at 999 *even* steps of probability."""
    if even:
        x = -np.log1p(-np.arange(1, 1000) / 1000.0)
        return np.interp(x, np.arange(CELLS + 1) / CELLS_PER_UNIT, quantiles(law))
    x = np.arange(CELLS + 1) / CELLS_PER_UNIT
    table = _quantile(law, x)
    table.setflags(write=False)
    return table


def _quantile(law: Law, x: Floats) -> Floats:
    # scipy takes half a second to load, which reading a scenario need not pay.
    from scipy.special import gammainccinv, ndtri_exp  # noqa: PLC0415

    numbers = law.numbers
    tiny = 1e-12
    match law.kind:
        case "exponential":
            values = numbers[0] * x
        case "lognormal":
            sigma2 = log1p(numbers[1] ** 2)
            z = -ndtri_exp(-np.maximum(x, tiny))
            values = np.exp(log(numbers[0]) - sigma2 / 2 + sigma2**0.5 * z)
            values[0] = 0.0
        case "gamma":
            shape = 1 / numbers[1] ** 2
            scaled = np.asarray(gammainccinv(shape, np.exp(-x)), dtype=np.float64)
            values = numbers[2] + scaled * (numbers[0] / shape)
        case "pareto":
            mean, shape = numbers
            values = mean * (shape - 1) * np.expm1(x / shape)
        case "uniform":
            values = numbers[0] + (numbers[1] - numbers[0]) * -np.expm1(-x)
        case "normal":
            z = -ndtri_exp(-np.maximum(x, tiny))
            values = np.clip(numbers[0] + numbers[1] * z, numbers[2], numbers[3])
        case "constant":
            values = np.full(x.size, numbers[0])
        case "values":
            middles = (np.arange(len(numbers)) + 0.5) / len(numbers)
            values = np.interp(-np.expm1(-x), middles, np.array(numbers))
        case "survival":
            values = _inverted(np.array(numbers), x)
        case _:
            raise ValueError(f"there is no law {law.kind!r}")
    return np.asarray(values, dtype=np.float64)


def _inverted(numbers: Floats, x: Floats) -> Floats:
    times, alive = numbers.reshape(2, -1)
    hazard = -np.log(np.maximum(alive, 1e-12))
    values = np.interp(x, hazard, times)
    beyond = np.maximum(x - hazard[-1], 0.0)
    if alive[-1] > 1e-9:
        values += beyond * (times[-1] / hazard[-1])
    return np.asarray(values, dtype=np.float64)


def _positive(value: float, name: str) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be above 0, not {value}")
    return float(value)


def _not_negative(value: float, name: str) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be at least 0, not {value}")
    return float(value)
