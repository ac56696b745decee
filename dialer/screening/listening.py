"""Hearing calls without Python in the audio path: recorders whose growing files are read.

PJSIP's conference clock writes each tapped call into anonymous memory (a memfd) by a recorder, in
C; the line process reads what has been added when it has time. A busy interpreter then delays the
verdict, never the audio of an agent (decision record 0003). The files have no name, vanish with the
process, and are emptied when the tap is taken off.

Recorders are made once and kept: making and destroying conference ports at call rate is where
pjsua2 crashes. Everything here belongs to the one thread that talks to pjsua2.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pjsua2 as pj

from dialer.screening.frames import FRAME, FRAME_S

_FRAME_BYTES: Final = 2 * FRAME
_HEADER: Final = 44  # bytes of a WAV header
_LARGEST_BUFFER: Final = 8192  # a recorder's own 4000 bytes and stdio's 4096 behind it
_READ_AT_ONCE: Final = 16_000  # 1 s of audio


class AudioSource(Protocol):
    """What can be tapped: a `pjsua2.AudioMedia`."""

    def startTransmit(self, sink: Any, /) -> None:  # noqa: N802 - pjsua2's name
        """Connect to *sink*."""

    def stopTransmit(self, sink: Any, /) -> None:  # noqa: N802 - pjsua2's name
        """Disconnect from *sink*."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How well the taps hear, over the life of the process; frames of 20 ms.

    Fewer received than expected: the conference clock stood still, and so did the agents' audio.
    """

    attached: int
    pooled: int
    frames_received: int
    frames_expected: int
    step_ms: float


class _Recorder:
    """One recorder of PJSIP and the file it writes."""

    def __init__(self) -> None:
        try:
            self.fd = os.memfd_create("screening", os.MFD_CLOEXEC)
        except OSError as error:
            raise pj.Error(0, "no file for a tap", error.strerror, "", 0) from error
        try:
            os.fchmod(self.fd, 0o600)
            self.media = pj.AudioMediaRecorder()
            # PJSIP opens files by name and insists on the suffix: a link to the nameless file.
            with tempfile.TemporaryDirectory(prefix="overdial-") as folder:
                link = Path(folder) / "tap.wav"
                link.symlink_to(f"/proc/self/fd/{self.fd}")
                self.media.createRecorder(str(link))
        except (pj.Error, OSError) as error:
            os.close(self.fd)
            raise pj.Error(0, "no recorder for a tap", str(error), "", 0) from error
        self.idle_since = -math.inf
        self.stale = 0  # bytes of the call before that are still in the recorder's buffer
        self._forgotten = _HEADER

    def end(self) -> int:
        """Return where the recorder writes next, or wrote up to."""
        return max(self._forgotten, os.fstat(self.fd).st_size)

    def forget(self) -> None:
        """Free the audio. Writing goes on where it was, so the file is empty until then."""
        self._forgotten = self.end()
        os.ftruncate(self.fd, 0)


class Tap:
    """The ear on one call, from `Listener.attach` to `Listener.detach`."""

    def __init__(self, recorder: _Recorder, source: AudioSource, listener: Listener) -> None:
        # None once taken off: a recorder must not outlive the library on somebody's forgotten tap.
        self._recorder: _Recorder | None = recorder
        self._source = source
        self._listener = listener
        self._began = listener.now()
        self._start = self._at = recorder.end()
        self._skip = recorder.stale
        self._has_heard = False

    def read(self) -> bytes:
        """Return the audio added since the last read: 16-bit mono samples at 8 kHz."""
        if self._recorder is None:
            return b""
        heard = part = os.pread(self._recorder.fd, _READ_AT_ONCE, self._at)
        while len(part) == _READ_AT_ONCE:
            part = os.pread(self._recorder.fd, _READ_AT_ONCE, self._at + len(heard))
            heard += part
        if len(heard) & 1:
            heard = heard[:-1]
        if self._has_heard:
            # Not the first time: stdio's first block is shorter by the header.
            self._listener.learn_step(len(heard))
        elif heard:
            self._has_heard = True
        self._at += len(heard)
        if self._skip:
            skipped = min(self._skip, len(heard))
            self._skip -= skipped
            heard = heard[skipped:]
        return heard

    def restart(self) -> None:
        """Forget all audio up to now, written or not: this is the answer."""
        self.read()
        self._skip = max(self._skip, self._unwritten())

    @property
    def frames_expected(self) -> int:
        """Return how many frames must have been written since the tap was put on.

        The clock's ticks, less the one until the tap takes effect, the one under way and what
        buffers may hold back; at least what was written, so that no tap makes up for another.
        """
        # The clock first: what is written in between is no shortage.
        due = self._ticks() - 2 - self._listener.step_frames
        return max(self.frames_received, due)

    @property
    def frames_received(self) -> int:
        """Return how many frames have been written."""
        return (self._recorder.end() - self._start) // _FRAME_BYTES if self._recorder else 0

    def take_off(self) -> _Recorder | None:
        """Stop hearing and give the recorder back, emptied; None if it has been."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return None
        recorder.stale = self._unwritten_of(recorder)
        # Gone already if the call was: PJSIP disconnects what it removes.
        with contextlib.suppress(pj.Error):
            self._source.stopTransmit(recorder.media)
        recorder.forget()
        return recorder

    def _ticks(self) -> int:
        return int((self._listener.now() - self._began) / FRAME_S)

    def _unwritten(self) -> int:
        return self._unwritten_of(self._recorder) if self._recorder else 0

    def _unwritten_of(self, recorder: _Recorder) -> int:
        """Return how many bytes are probably still in buffers."""
        written = recorder.end() - self._start
        missing = self._ticks() * _FRAME_BYTES - written
        return min(max(0, missing), self._listener.largest_buffer) & ~1


class Listener:
    """All taps of a line process, and the recorders waiting to become one.

    Call `close` before `Endpoint.libDestroy`, with all calls gone.
    """

    # A disconnection takes effect at the next tick of the conference clock, 20 ms.
    _REST_S: Final = 0.2

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._pool: list[_Recorder] = []
        self._taps: set[Tap] = set()
        self._step = 0
        self._received = self._expected = 0

    def attach(self, source: AudioSource) -> Tap:
        """Put a tap on a call's audio; it hears from the next 20 ms on.

        Raises `pjsua2.Error` if no recorder or file is left; the call is then joined unheard.
        """
        recorder = self._take()
        tap = Tap(recorder, source, self)
        try:
            source.startTransmit(recorder.media)
        except pj.Error:
            self._pool.append(recorder)
            raise
        self._taps.add(tap)
        return tap

    def detach(self, tap: Tap) -> None:
        """Take a tap off, also from a call that is gone; its audio is forgotten. Harmless twice."""
        expected, received = tap.frames_expected, tap.frames_received
        recorder = tap.take_off()
        if recorder is None:
            return
        self._taps.discard(tap)
        self._expected += expected
        self._received += received
        recorder.idle_since = self.now()
        self._pool.append(recorder)

    def counts(self) -> Counts:
        """Return how well all taps have heard so far."""
        return Counts(
            attached=len(self._taps),
            pooled=len(self._pool),
            frames_received=self._received + sum(tap.frames_received for tap in self._taps),
            frames_expected=self._expected + sum(tap.frames_expected for tap in self._taps),
            step_ms=self._step / _FRAME_BYTES * FRAME_S * 1000,
        )

    def close(self) -> None:
        """Give recorders and memory back to the system."""
        for tap in tuple(self._taps):
            self.detach(tap)
        for recorder in self._pool:
            os.close(recorder.fd)
        self._pool.clear()

    @property
    def largest_buffer(self) -> int:
        """Return the most bytes a recorder can hold back: two of its steps."""
        return min(2 * self._step, _LARGEST_BUFFER) or _LARGEST_BUFFER

    @property
    def step_frames(self) -> int:
        """Return how many frames the build writes at a time, 0 before that is known."""
        return self._step // _FRAME_BYTES

    def learn_step(self, added: int) -> None:
        """Note by how much a file grew: all growth is a multiple of the build's write size."""
        if not self._step or added % self._step:
            self._step = math.gcd(self._step, added)

    def _take(self) -> _Recorder:
        ready = self.now() - self._REST_S
        for place, recorder in enumerate(self._pool):
            if recorder.idle_since <= ready:
                return self._pool.pop(place)
        return _Recorder()
