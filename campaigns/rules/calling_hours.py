"""When a person may be called: local wall clocks of every candidate zone, at the time of dialing.

Windows are half-open `[start, end)` in local time (HOURS-1) and a call must start early enough that
its phone does not ring past the end. A local time that a change to or from summer time makes
ambiguous or skips is read the stricter way.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

# A week and a little: the next opening of any weekly table that opens at all.
_AHEAD_DAYS = 9
_DAY_MIN = 24 * 60

Span = tuple[int, int]
"""Start and end in minutes after local midnight, end exclusive; 1440 is the next midnight."""


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """For each weekday, Monday first, the spans in which calls are allowed; empty means none.

    On the local dates in `closed`, holidays, nothing is allowed.
    """

    days: tuple[tuple[Span, ...], ...]
    closed: frozenset[date] = frozenset()

    @classmethod
    def every_day(cls, *spans: Span) -> WeeklyHours:
        """Return the same spans on all seven days."""
        return cls((spans,) * 7)

    def only(self, weekdays: tuple[int, ...]) -> WeeklyHours:
        """Return these hours on *weekdays* (0 is Monday) and none on the others."""
        return WeeklyHours(
            tuple(spans if day in weekdays else () for day, spans in enumerate(self.days)),
            self.closed,
        )

    def without(self, closed: frozenset[date]) -> WeeklyHours:
        """Return these hours with more local dates on which nothing is allowed."""
        return WeeklyHours(self.days, self.closed | closed)

    def within(self, other: WeeklyHours) -> WeeklyHours:
        """Return the hours that both allow."""
        return WeeklyHours(
            tuple(
                _common(mine, theirs) for mine, theirs in zip(self.days, other.days, strict=True)
            ),
            self.closed | other.closed,
        )


ALWAYS = WeeklyHours.every_day((0, _DAY_MIN))

_DAYS = {
    "all": range(7),
    "mon_fri": range(5),
    "mon_sat": range(6),
    "sat_sun": range(5, 7),
    "mon": range(1),
    "tue": range(1, 2),
    "wed": range(2, 3),
    "thu": range(3, 4),
    "fri": range(4, 5),
    "sat": range(5, 6),
    "sun": range(6, 7),
}
_SPAN = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)")


def parse_hours(table: Mapping[str, Sequence[str]]) -> WeeklyHours:
    """Return hours written as days to spans, `{"mon_fri": ["08:00-21:00"]}`; other days are closed.

    Raises `ValueError` with a sentence that names the day or span that cannot be read.
    """
    days: list[tuple[Span, ...]] = [()] * 7
    for name, texts in table.items():
        if name not in _DAYS:
            raise ValueError(f"{name!r} is no day: use one of {', '.join(_DAYS)}")
        spans = tuple(sorted(_read_span(text) for text in texts))
        for day in _DAYS[name]:
            days[day] = spans
    return WeeklyHours(tuple(days))


def _read_span(text: str) -> Span:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no span of hours: write it like 09:00-17:30")
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if not start < end <= _DAY_MIN:
        raise ValueError(f"{text!r} ends before it begins: write it like 09:00-17:30")
    return start, end


def _common(left: tuple[Span, ...], right: tuple[Span, ...]) -> tuple[Span, ...]:
    found = (
        (max(a_start, b_start), min(a_end, b_end))
        for a_start, a_end in left
        for b_start, b_end in right
    )
    return tuple(sorted(span for span in found if span[0] < span[1]))


@dataclass(frozen=True, slots=True)
class Window:
    """Whether calls are allowed at the asked instant; else when they will be, None if never.

    `closes_in_s` is how long an open window still lasts, its margin not taken off.
    """

    is_open: bool
    opens_in_s: float | None = None
    closes_in_s: float | None = None


def _instant(day: date, minutes: int, zone: ZoneInfo, *, latest: bool) -> datetime:
    """Return local *minutes* of *day* in UTC; of two readings the later or the earlier one."""
    if minutes >= _DAY_MIN:
        day += timedelta(days=1)
        minutes -= _DAY_MIN
    wall = datetime.combine(day, time(minutes // 60, minutes % 60), tzinfo=zone)
    readings = [wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    return max(readings) if latest else min(readings)


def _merge(spans: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def _of_zone(hours: WeeklyHours, zone: str, first: date) -> list[tuple[datetime, datetime]]:
    info = ZoneInfo(zone)
    found = []
    for ahead in range(-2, _AHEAD_DAYS + 2):
        day = first + timedelta(days=ahead)
        if day in hours.closed:
            continue
        for start, end in hours.days[day.weekday()]:
            if start == 0 and end == _DAY_MIN:
                # Whole days join to one span; a skipped or doubled midnight must not split them.
                opens = _instant(day, 0, info, latest=False)
                closes = _instant(day, _DAY_MIN, info, latest=True)
            else:
                opens = _instant(day, start, info, latest=True)
                closes = _instant(day, end, info, latest=False)
            if opens < closes:
                found.append((opens, closes))
    return _merge(found)


def _intersect(
    left: list[tuple[datetime, datetime]], right: list[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    found = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found


@lru_cache(maxsize=4096)
def _open_spans(
    hours: WeeklyHours, zones: tuple[str, ...], day: date
) -> tuple[tuple[datetime, ...], tuple[datetime, ...]]:
    spans = _of_zone(hours, zones[0], day)
    for zone in zones[1:]:
        spans = _intersect(spans, _of_zone(hours, zone, day))
    return tuple(start for start, _ in spans), tuple(end for _, end in spans)


def window(
    hours: WeeklyHours, zones: tuple[str, ...], now: datetime, *, before_end_s: float
) -> Window:
    """Say whether *now* is inside *hours* in all *zones*, at least *before_end_s* before the end.

    *now* must carry a time zone. No zone at all means closed for good: the caller must not guess.
    """
    if not zones:
        return Window(is_open=False)
    starts, ends = _open_spans(hours, zones, now.astimezone(UTC).date())
    margin = timedelta(seconds=before_end_s)
    at = bisect_right(starts, now) - 1
    if at >= 0 and now < ends[at] - margin:
        return Window(is_open=True, closes_in_s=(ends[at] - now).total_seconds())
    for start, end in zip(starts[at + 1 :], ends[at + 1 :], strict=True):
        if start < end - margin:
            return Window(is_open=False, opens_in_s=(start - now).total_seconds())
    return Window(is_open=False)
