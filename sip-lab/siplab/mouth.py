"""What a phone says: 20 ms RTP packets of a quiet tone, DTMF digits, or nothing."""

import random
import struct
from collections import deque
from dataclasses import dataclass

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
    return sound_frames(g711.alaw(samples) if payload_type == 8 else g711.mulaw(samples))


def sound_frames(encoded: bytes) -> list[bytes]:
    """Return G.711 bytes as 20 ms payloads."""
    whole = len(encoded) - len(encoded) % SAMPLES_PER_FRAME
    return [encoded[i : i + SAMPLES_PER_FRAME] for i in range(0, whole, SAMPLES_PER_FRAME)]


@dataclass(frozen=True, slots=True)
class _DigitPacket:
    """One RFC 4733 packet of a digit, *frames* of 20 ms into it."""

    code: int
    frames: int
    is_first: bool = False
    is_end: bool = False


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
        self._position = -1
        source = random.Random()
        self._sequence = source.getrandbits(15)
        self._timestamp = source.getrandbits(31)
        self._ssrc = source.getrandbits(32)
        self._events: deque[_DigitPacket | None] = deque()
        self._event_timestamp = 0
        self._starts = True

    def press(self, digits: str) -> None:
        """Queue DTMF digits; ValueError if one is none of 0-9 * # A-D."""
        for digit in digits:
            code = EVENTS.find(digit.upper())
            if code < 0 or not digit:
                message = "DTMF digits are 0-9, *, # and A-D"
                raise ValueError(message)
            for frame in range(_DIGIT_FRAMES):
                self._events.append(_DigitPacket(code, frame + 1, is_first=frame == 0))
            end = _DigitPacket(code, _DIGIT_FRAMES, is_end=True)
            self._events.extend([end] * _END_REPEATS)
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
                return self._event_packet(timestamp, event)
        marker, self._starts = (0x80 if self._starts else 0), False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.sent += 1
        kind = self.payload_type | marker
        self._position = (self._position + 1) % len(self._loop)
        head = _HEADER.pack(0x80, kind, self._sequence, timestamp, self._ssrc)
        return head + self._loop[self._position]

    def _event_packet(self, timestamp: int, digit: _DigitPacket) -> bytes:
        if digit.is_first:
            self._event_timestamp = timestamp
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.sent += 1
        kind = (self.event_type or 0) | (0x80 if digit.is_first else 0)
        head = _HEADER.pack(0x80, kind, self._sequence, self._event_timestamp, self._ssrc)
        volume = _EVENT_VOLUME | (0x80 if digit.is_end else 0)
        return head + _EVENT.pack(digit.code, volume, digit.frames * SAMPLES_PER_FRAME)
