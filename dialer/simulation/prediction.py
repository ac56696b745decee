"""Where one real day should lie if the simulator is right: prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt

LEVEL = 0.99


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        """Say whether *value* lies inside."""
        return self.low <= value <= self.high


def prediction_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Return where one more value like *values* lies with probability *level*.

    With enough values their own order says it, whatever their law: of n the r-th smallest to the
    r-th largest hold one more with probability (n + 1 - 2r) / (n + 1). With fewer, Student's t as
    if they were normal: mean ± t s sqrt(1 + 1/n). Needs two values.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"needs at least two values, not {count}")
    rank = floor((count + 1) * (1 - level) / 2 + 1e-9)
    if rank >= 1:
        ordered = sorted(values)
        return Interval(ordered[rank - 1], ordered[count - rank])
    # scipy takes half a second to load; a run of many days does without.
    from scipy.stats import t  # noqa: PLC0415

    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    reach = float(t.ppf((1 + level) / 2, count - 1)) * sqrt(variance * (1 + 1 / count))
    return Interval(mean - reach, mean + reach)
