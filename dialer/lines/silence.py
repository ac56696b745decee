"""Noticing that a leg whose far side should always send audio sends none."""

from __future__ import annotations

import time

# A phone or process that is there sends a packet every 20 ms, silence included.
SILENT_AFTER_S = 2.0


class Silence:
    """Watches the count of received RTP packets of one leg."""

    def __init__(self) -> None:
        self._packets = 0
        self._since = 0.0

    def began(self) -> None:
        """Start counting: the leg is up."""
        self._since = time.monotonic()

    def lasts(self, packets: int | None) -> bool | None:
        """Say whether it has been silent for `SILENT_AFTER_S`; None while that is not known.

        *packets* is the count so far, None without media.
        """
        if packets is None:
            return None
        now = time.monotonic()
        if packets != self._packets:
            self._packets = packets
            self._since = now
            return False
        return True if now - self._since >= SILENT_AFTER_S else None
