"""People whom screening took for machines, and the British abandoned-call rate that counts them.

Formulas: Ofcom's statement on persistent misuse (2016) and its predecessors, as in compliance §2.1.
Everything is a fraction of integers, so that no verdict hangs on a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil, isqrt

VALID_FOR = timedelta(days=90)
"""How long a test of screening may be relied on; without a valid one it hangs up on nobody."""

_PPM = 1_000_000
# The square of the 97.5 % quantile of the normal distribution: a two-sided 95 % interval.
_Z2 = Fraction(38_414_588, 10_000_000)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A test of screening: of `people` live answers `taken_for_machines` were called machines."""

    tested_at: datetime
    people: int
    taken_for_machines: int

    def is_valid(self, now: datetime) -> bool:
        """Say whether the test may be relied on at *now*."""
        return self.tested_at <= now <= self.tested_at + VALID_FOR

    @property
    def upper_bound_ppm(self) -> int:
        """Return the upper end of the 95 % Wilson interval of the false-positive rate, in ppm."""
        n, k = self.people, self.taken_for_machines
        p = Fraction(k, n)
        spread = _Z2 * (p * (1 - p) + _Z2 / (4 * n)) / n
        root = _root_up(spread)
        bound = (p + _Z2 / (2 * n) + root) / (1 + _Z2 / n)
        return min(_PPM, ceil(bound * _PPM))


def _root_up(value: Fraction) -> Fraction:
    """Return the square root, at most a hundred-millionth too large and never too small."""
    scale = 10**16
    return Fraction(isqrt(value.numerator * scale // value.denominator) + 1, isqrt(scale))


@dataclass(frozen=True, slots=True)
class Rate:
    """The British rate and its parts, people and calls as fractions."""

    dropped_people: Fraction
    false_positives: Fraction
    people: Fraction

    @property
    def rate(self) -> Fraction:
        """Return abandoned calls as a share of all people reached."""
        if not self.people:
            return Fraction(0)
        return (self.dropped_people + self.false_positives) / self.people


def british_rate(*, dropped: int, live: int, machines: int, false_positive_ppm: int) -> Rate:
    """Return the rate of a day and campaign (compliance §2.1).

    *dropped* are calls the dialer gave to nobody, *live* the people agents spoke to, *machines* the
    answering machines agents found; the share of people among those found is taken for the dropped
    ones too. *false_positive_ppm* is a share of all live answers, 0 with screening off.
    """
    found = live + machines
    share = Fraction(live, found) if found else Fraction(1)
    dropped_people = dropped * share
    wrong = Fraction(false_positive_ppm, _PPM)
    people = (live + dropped_people) / (1 - wrong) if wrong < 1 else Fraction(0)
    return Rate(dropped_people, wrong * people, people)


def estimated(people: int, false_positive_ppm: int) -> int:
    """Return how many more people screening has hung up on, rounded up, of *people* counted."""
    wrong = Fraction(false_positive_ppm, _PPM)
    return 0 if wrong >= 1 else ceil(people * wrong / (1 - wrong))
