"""What a phone says: 20 ms RTP packets of a quiet tone, DTMF digits, or nothing."""

import random
import struct
from collections import deque

import numpy as np

from siplab import g711, speech
from siplab.ear import EVENTS

SAMPLES_PER_FRAME = 160
_TONE_PEAK = 250
"""About -42 dBFS: heard, but quieter than any speech."""
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_EVENT_VOLUME = 10
_DIGIT_FRAMES = 6
_DIGIT_PAUSE_FRAMES = 5
_END_REPEATS = 3


def tone_frames(frequency: int, payload_type: int, *, peak: int = _TONE_PEAK) -> list[bytes]:
    """Return one second of a tone in 20 ms payloads; whole Hz, so it repeats without a click."""
    time = np.arange(speech.RATE) / speech.RATE
    samples = (peak * np.sin(2 * np.pi * frequency * time)).astype(np.int16)
    return _frames(samples.tobytes(), payload_type)


def sound_frames(samples: bytes, payload_type: int) -> list[bytes]:
    """Return 16-bit samples as 20 ms payloads."""
    return _frames(samples, payload_type)


def _frames(samples: bytes, payload_type: int) -> list[bytes]:
    linear = np.frombuffer(samples, dtype=np.int16)
    encoded = g711.alaw(linear) if payload_type == 8 else g711.mulaw(linear)  # noqa: PLR2004
    whole = len(encoded) - len(encoded) % SAMPLES_PER_FRAME
    return [encoded[i : i + SAMPLES_PER_FRAME] for i in range(0, whole, SAMPLES_PER_FRAME)]


class Mouth:
    """Makes one RTP stream, packet by packet."""

    def __init__(self, frames: list[bytes], payload_type: int, event_type: int | None) -> None:
        """Speak *frames* over and over."""
        self.payload_type = payload_type
        self.event_type = event_type
        self.is_silent = False
        """No packets at all, as when a network cable is pulled."""
        self.sent = 0
        self._loop = frames
        self._position = 0
        source = random.Random()  # noqa: S311 - RFC 3550 wants unlikely, not secret
        self._sequence = source.getrandbits(15)
        self._timestamp = source.getrandbits(31)
        self._ssrc = source.getrandbits(32)
        self._once: deque[bytes] = deque()
        self._events: deque[tuple[int, int, bool, bool] | None] = deque()
        self._event_timestamp = 0
        self._starts = True

    def say(self, frames: list[bytes]) -> None:
        """Say *frames* once, then go back to the tone."""
        self._once.extend(frames)

    def press(self, digits: str) -> None:
        """Queue DTMF digits; ValueError if one is none of 0-9 * # A-D."""
        for digit in digits:
            code = EVENTS.find(digit.upper())
            if code < 0 or not digit:
                message = "DTMF digits are 0-9, *, # and A-D"
                raise ValueError(message)
            for frame in range(_DIGIT_FRAMES):
                self._events.append((code, frame + 1, False, frame == 0))
            self._events.extend([(code, _DIGIT_FRAMES, True, False)] * _END_REPEATS)
            self._events.extend([None] * _DIGIT_PAUSE_FRAMES)

    @property
    def is_pressing(self) -> bool:
        """Tell whether digits are still being sent."""
        return bool(self._events)

    def next_packet(self) -> bytes | None:
        """Return the next packet, None in silence; to be called every 20 ms."""
        timestamp = self._timestamp
        self._timestamp = (timestamp + SAMPLES_PER_FRAME) & 0xFFFFFFFF
        if self.is_silent:
            self._starts = True
            return None
        if self._events and self.event_type is not None:
            event = self._events.popleft()
            if event is not None:
                return self._event_packet(timestamp, *event)
        marker, self._starts = (0x80 if self._starts else 0), False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.sent += 1
        kind = self.payload_type | marker
        head = _HEADER.pack(0x80, kind, self._sequence, timestamp, self._ssrc)
        return head + self._payload()

    def _payload(self) -> bytes:
        if self._once:
            return self._once.popleft()
        self._position = (self._position + 1) % len(self._loop)
        return self._loop[self._position]

    def _event_packet(
        self, timestamp: int, code: int, frames: int, is_end: bool, is_first: bool  # noqa: FBT001
    ) -> bytes:
        if is_first:
            self._event_timestamp = timestamp
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.sent += 1
        kind = (self.event_type or 0) | (0x80 if is_first else 0)
        head = _HEADER.pack(0x80, kind, self._sequence, self._event_timestamp, self._ssrc)
        volume = _EVENT_VOLUME | (0x80 if is_end else 0)
        return head + _EVENT.pack(code, volume, frames * SAMPLES_PER_FRAME)
