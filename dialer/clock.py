"""Time as the service sees it: UTC corrected to the database's, and monotonic seconds.

`happened_at` values are local time plus the offset to Postgres measured at each heartbeat, so that
events written by several hosts stand in one order. Durations are measured on monotonic time only.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Timekeeper(Protocol):
    """What anything that needs the time asks for; tests pass their own."""

    def now(self) -> datetime:
        """Return the time of day in UTC, corrected to the database's."""

    def monotonic(self) -> float:
        """Return seconds that never jump; only differences mean anything."""


class SystemClock:
    """The machine's clocks, with the offset to the database's learned from heartbeats.

    A measurement is as wrong as half its round trip, so the offset is the one of the shortest round
    trip among the last few.
    """

    def __init__(self, *, remembered: int = 8) -> None:
        self._measured: deque[tuple[float, float]] = deque(maxlen=remembered)
        self._offset_s = 0.0
        self._offset = timedelta(0)

    @property
    def offset_s(self) -> float:
        """Return how many seconds the database's clock is ahead of this machine's."""
        return self._offset_s

    def now(self) -> datetime:
        """Return the time of day in UTC, corrected to the database's."""
        return datetime.now(UTC) + self._offset

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def measured(self, sent: datetime, there: datetime, received: datetime) -> float:
        """Learn from one exchange: local time sent, the server's time, local time received."""
        round_trip = (received - sent).total_seconds()
        middle = sent + (received - sent) / 2
        self._measured.append((round_trip, (there - middle).total_seconds()))
        self._offset_s = min(self._measured)[1]
        self._offset = timedelta(seconds=self._offset_s)
        return self._offset_s
