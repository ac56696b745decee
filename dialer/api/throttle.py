"""Guessing tokens is slow: a few wrong ones per address, then a wait that doubles."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_FAILURES = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
FORGET_AFTER_S = 900.0
# More addresses than this are forgotten oldest first, so that memory stays bounded.
MOST_ADDRESSES = 10_000


@dataclass(slots=True)
class _Record:
    failures: int
    last_at: float


class Throttle:
    """Remembers wrong tokens by address; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return how long *address* must wait before its next attempt is looked at; 0 for now."""
        record = self._records.get(address)
        if record is None:
            return 0.0
        idle = self._clock() - record.last_at
        if idle > FORGET_AFTER_S:
            del self._records[address]
            return 0.0
        over = record.failures - FREE_FAILURES
        if over < 0:
            return 0.0
        return max(0.0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 20)) - idle)

    def failed(self, address: str) -> None:
        """Count a wrong token from *address*."""
        record = self._records.pop(address, _Record(0, 0.0))
        record.failures += 1
        record.last_at = self._clock()
        self._records[address] = record
        while len(self._records) > MOST_ADDRESSES:
            self._records.popitem(last=False)
