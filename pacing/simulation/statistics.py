"""What simulated days add up to: means with intervals, worst cases, paired differences.

Intervals of means are Student's t at 95 %, those of shares of days Wilson's (1927). Days that
follow one another in a replication are correlated; with many replications of one day, or state
carried but luck independent, they count as independent here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf, sqrt
from statistics import fmean, median, stdev

from pacing.simulation.day import Day, Slot
from pacing.simulation.study import Study

CONFIDENCE = 0.95
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Return half the width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Row:
    """One pacer in a study.

    Shares are 0 to 1. `occupancy` is the mean of the days', `abandonment` that of all people
    together. `days_over_limit` counts days that ended with a window over its limit, its interval
    is of the share of days. `worst_day` and `worst_hour` are the highest shares abandoned of one
    day and of 60 minutes in a row. `talk_minutes_per_hour` includes wrap-up;
    `predictive_gain` is how many of them more than progressive, None without it in the study.
    `finished_s` is the median time at which the list was finished, None if it was not on most days.
    """

    pacer: str
    occupancy: float
    occupancy_ci: tuple[float, float]
    abandonment: float
    days_over_limit: int
    worst_day: float
    connects_per_agent_hour: float
    dials_per_live: float
    days: int
    days_over_limit_ci: tuple[float, float]
    worst_hour: float
    talk_minutes_per_hour: float
    predictive_gain: float | None
    finished_s: float | None
    dials_per_day: float
    misjudged: float

    def as_dict(self) -> dict[str, object]:
        """Return the row by its names, as JSON has them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def summarize(study: Study) -> list[Row]:
    """Return one row per pacer, in the order in which they were asked for."""
    progressive = study.days.get("progressive")
    base = 60 * mean_occupancy(progressive).mean if progressive else None
    return [_row(pacer, days, base) for pacer, days in study.days.items()]


def compare(study: Study, pacer: str, other: str) -> Interval:
    """Return how much higher the occupancy of *pacer* is than that of *other*, day by day."""
    pairs = zip(study.days[pacer], study.days[other], strict=True)
    return interval([mine.occupancy - theirs.occupancy for mine, theirs in pairs])


def mean_occupancy(days: Sequence[Day]) -> Interval:
    """Return the mean occupancy of *days*."""
    return interval([day.occupancy for day in days])


def abandonment(days: Sequence[Day]) -> float:
    """Return the share abandoned of all people who answered on *days*."""
    return sum(day.abandoned for day in days) / max(1, sum(day.answered for day in days))


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of *values* with its t interval; endless with fewer than two."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, -inf, inf)
    # scipy takes half a second to load.
    from scipy.stats import t  # noqa: PLC0415

    spread = stdev(values) / sqrt(len(values))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return Interval(mean, mean - half, mean + half)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's interval of a share of which *hits* in *of* were seen."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == of else min(1.0, middle + half)
    return low, high


def timeline(days: Sequence[Day]) -> list[Slot]:
    """Return the five-minute slots of *days*, added up."""
    return [
        Slot(
            slots[0].start_s,
            sum(slot.dialed for slot in slots),
            sum(slot.answered for slot in slots),
            sum(slot.abandoned for slot in slots),
            sum(slot.busy_s for slot in slots),
            sum(slot.staffed_s for slot in slots),
        )
        for slots in zip(*(day.timeline for day in days), strict=True)
    ]


def _row(pacer: str, days: list[Day], base: float | None) -> Row:
    occupancy = mean_occupancy(days)
    over = sum(day.over_limit for day in days)
    staffed_h = sum(day.staffed_s for day in days) / 3600
    answered = sum(day.answered for day in days)
    finished = [inf if day.finished_s is None else day.finished_s for day in days]
    typical = median(finished)
    return Row(
        pacer=pacer,
        occupancy=occupancy.mean,
        occupancy_ci=(occupancy.low, occupancy.high),
        abandonment=abandonment(days),
        days_over_limit=over,
        worst_day=max(day.abandonment for day in days),
        connects_per_agent_hour=sum(day.connected for day in days) / max(staffed_h, 1e-9),
        dials_per_live=sum(day.dialed for day in days) / max(1, answered),
        days=len(days),
        days_over_limit_ci=wilson(over, len(days)),
        worst_hour=max(_share(*day.worst_hour) for day in days),
        talk_minutes_per_hour=60 * occupancy.mean,
        predictive_gain=None if base is None else 60 * occupancy.mean - base,
        finished_s=None if typical == inf else typical,
        dials_per_day=sum(day.dialed for day in days) / len(days),
        misjudged=sum(day.misjudged for day in days) / max(1, answered),
    )


def _share(abandoned: int, answered: int) -> float:
    return abandoned / max(1, answered)
