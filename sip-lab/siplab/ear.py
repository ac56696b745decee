"""What a phone hears: arrival time and loudness of every RTP packet, and questions about them.

Times are seconds since the epoch, taken by the kernel when the packet arrived, so a busy event
loop does not blur them. Loudness is the mean absolute sample of the packet on the 16-bit scale.
"""

import bisect
import itertools
from array import array
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siplab import g711

FRAME_S = 0.02
LOUD = 300.0
"""Mean absolute sample above which a packet carries speech or a tone, not comfort noise."""

_STEP = 32
"""Linear samples per unit of the loudness tables: one byte reaches to 8160."""
_MAX_FRAMES = 400_000
_HEADER = 12


def _loudness_table(linear: NDArray[np.int16]) -> bytes:
    steps = np.minimum(np.abs(linear.astype(np.int32)) // _STEP, 255)
    return bytes(steps.astype(np.uint8))


_LOUDNESS = {0: _loudness_table(g711.MULAW_TO_LINEAR), 8: _loudness_table(g711.ALAW_TO_LINEAR)}


@dataclass(frozen=True, slots=True)
class Delivery:
    """How complete a stretch of audio was."""

    received: int
    expected: int

    @property
    def ratio(self) -> float:
        """Return received / expected, 1.0 if nothing was expected."""
        return self.received / self.expected if self.expected else 1.0


class Ear:
    """Listens to one RTP stream."""

    def __init__(self, *, keep_audio_s: float = 0.0) -> None:
        """Start deaf; *keep_audio_s* seconds of the last audio are kept for `audio`."""
        self.times = array("d")
        self.levels = array("f")
        self.total = 0
        self.lost = 0
        """Packets missing by sequence number."""
        self.late = 0
        """Packets that came out of order or twice."""
        self.digits: list[tuple[float, str]] = []
        """RFC 4733 digits heard, with the arrival of their first packet."""
        self._kept: deque[tuple[float, int, bytes]] = deque(maxlen=round(keep_audio_s / FRAME_S))
        self._sequence: int | None = None
        self._event_timestamp = -1

    def hear(self, at: float, packet: bytes, event_type: int | None) -> None:
        """Take one packet that arrived *at*."""
        if len(packet) < _HEADER or packet[0] >> 6 != 2:
            return
        payload_type = packet[1] & 0x7F
        self._count(int.from_bytes(packet[2:4], "big"))
        if payload_type == event_type:
            self._hear_event(at, packet)
            return
        table = _LOUDNESS.get(payload_type)
        if table is None:
            return
        payload = packet[_HEADER + 4 * (packet[0] & 0x0F) :]
        loudness = sum(payload.translate(table)) * _STEP / max(1, len(payload))
        if len(self.times) >= _MAX_FRAMES:
            del self.times[: _MAX_FRAMES // 2]
            del self.levels[: _MAX_FRAMES // 2]
        self.times.append(at)
        self.levels.append(loudness)
        self.total += 1
        if self._kept.maxlen:
            self._kept.append((at, payload_type, payload))

    def forget(self) -> None:
        """Forget everything heard, as at the start of a call."""
        self.times, self.levels = array("d"), array("f")
        self.total = self.lost = self.late = 0
        self.digits.clear()
        self._kept.clear()
        self._sequence = None

    @property
    def last_at(self) -> float | None:
        """Return when the last audio packet arrived."""
        return self.times[-1] if self.times else None

    def first_after(self, moment: float) -> float | None:
        """Return when the first audio packet after *moment* arrived."""
        index = bisect.bisect_right(self.times, moment)
        return self.times[index] if index < len(self.times) else None

    def first_loud_after(self, moment: float, *, louder_than: float = LOUD) -> float | None:
        """Return when the first packet after *moment* that is no silence arrived."""
        for index in range(bisect.bisect_right(self.times, moment), len(self.times)):
            if self.levels[index] > louder_than:
                return self.times[index]
        return None

    def delivery(self, start: float, end: float) -> Delivery:
        """Return packets received and expected (one in 20 ms) from *start* to *end*."""
        first = bisect.bisect_left(self.times, start)
        received = bisect.bisect_right(self.times, end) - first
        return Delivery(received, max(0, round((end - start) / FRAME_S)))

    def gaps(
        self, start: float, end: float, *, longer_than: float = 0.1
    ) -> list[tuple[float, float]]:
        """Return the silences of the wire between *start* and *end*: (from, duration)."""
        inside = [start, *(t for t in self.times if start <= t <= end), end]
        pairs = itertools.pairwise(inside)
        return [(a, b - a) for a, b in pairs if b - a > longer_than]

    def mean_level(self, start: float, end: float) -> float:
        """Return the mean loudness from *start* to *end*, 0.0 if nothing was heard."""
        low, high = bisect.bisect_left(self.times, start), bisect.bisect_right(self.times, end)
        return float(np.mean(self.levels[low:high])) if high > low else 0.0

    def audio(self, start: float = 0.0) -> NDArray[np.int16]:
        """Return the kept audio that arrived from *start* on as 8 kHz samples."""
        parts = [g711.linear(data, kind) for at, kind, data in self._kept if at >= start]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)

    def frequency(self, start: float = 0.0) -> float:
        """Return the strongest frequency in Hz of the kept audio from *start* on, 0.0 if silent."""
        samples = self.audio(start).astype(np.float64)
        if not samples.size or not np.any(samples):
            return 0.0
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
        return float(np.argmax(spectrum) * 8000 / samples.size)

    def _count(self, sequence: int) -> None:
        if self._sequence is None:
            self._sequence = sequence
            return
        step = (sequence - self._sequence) & 0xFFFF
        if step == 0 or step > 0x8000:
            self.late += 1
            return
        # A jump of seconds is a new stream (a hold, a bridge made anew), not loss.
        if step <= 500:
            self.lost += step - 1
        self._sequence = sequence

    def _hear_event(self, at: float, packet: bytes) -> None:
        timestamp = int.from_bytes(packet[4:8], "big")
        event = packet[_HEADER]
        if timestamp != self._event_timestamp and event < len(EVENTS):
            self._event_timestamp = timestamp
            self.digits.append((at, EVENTS[event]))


EVENTS = "0123456789*#ABCD"
"""RFC 4733 event codes 0-15."""
