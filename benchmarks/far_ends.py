"""Customers or agents' phones of a benchmark, in a process of their own.

``python -m benchmarks.far_ends customers 60 --talk-s 3`` or ``… agents 50``. Customers have numbers
for names, answer at once, say a loud steady tone and hang up after a while, if asked to. What
agents hear is kept, so that the first frame of a customer's tone can be found afterwards, whatever
else was to be heard: the tone of the join, silence, another phone's hum.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
from typing import Any

import numpy as np

from benchmarks import testbed
from benchmarks.children import say, serve
from siplab import mouth
from siplab.ear import Ear
from siplab.phones import Phone, PhoneBank, PhoneError, PhoneEvent

TONE_HZ = 400
TONE_PEAK = 8000
# Of the tone's peak, in one 20 ms frame of 160 samples: a third of it, and far above the leakage of
# any other tone.
_HEARD = TONE_PEAK / 3
_FRAME = 160
_BIN = TONE_HZ * _FRAME // 8000


class LoudBank(PhoneBank):
    """Phones that all say the same loud tone."""

    def frames(self, phone: Phone, payload_type: int) -> list[bytes]:
        """Return the tone's packets."""
        key = ("", TONE_HZ, payload_type)
        if key not in self._said:
            self._said[key] = mouth.tone_frames(TONE_HZ, payload_type, peak=TONE_PEAK)
        return self._said[key]


class FarEnds:
    """A bank, and what the parent asks about it."""

    def __init__(self, kind: str, count: int, *, talk_s: float, keep_s: float) -> None:
        self._talk_s = talk_s
        self._answers: list[tuple[str, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        if kind == "customers":
            names = testbed.numbers(count)
            self.bank: PhoneBank = LoudBank(names=names, on_event=self._happened)
        else:
            self.bank = PhoneBank(count, keep_audio_s=keep_s)

    def _happened(self, event: PhoneEvent) -> None:
        if event.what != "answered":
            return
        self._answers.append((event.phone, event.at))
        if self._talk_s > 0:
            task = asyncio.create_task(self._talk(event.phone), name=f"talk-{event.phone}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _talk(self, name: str) -> None:
        await asyncio.sleep(self._talk_s)
        with contextlib.suppress(PhoneError):
            await self.bank[name].hang_up()

    async def answer(self, command: dict[str, Any]) -> Any:
        """Answer one command of the parent."""
        match command["do"]:
            case "answers":
                answers, self._answers = self._answers, []
                return answers
            case "first_tones":
                return [first_tone(self.bank[name].ear, at) for name, at in command["asked"]]
            case "up":
                return sum(phone.is_up for phone in self.bank)
            case other:
                raise ValueError(f"unknown command {other}")


def first_tone(ear: Ear, after: float) -> float | None:
    """Return when the first frame with a customer's tone after a moment arrived at an ear."""
    first = bisect.bisect_left(ear.times, after)
    samples = ear.audio(after)
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    peaks = 2 * np.abs(np.fft.rfft(frames.astype(np.float64), axis=1)[:, _BIN]) / _FRAME
    found = np.flatnonzero(peaks >= _HEARD)
    # Older audio than what is kept cannot be asked for: then the two would not be in step.
    if not found.size or len(ear.times) - first != len(frames):
        return None
    return float(ear.times[first + int(found[0])])


async def _run(options: argparse.Namespace) -> None:
    ends = FarEnds(options.kind, options.count, talk_s=options.talk_s, keep_s=options.keep_s)
    async with ends.bank as bank:
        say(ready=True, port=bank.port, uris=[phone.uri for phone in bank])
        await serve(ends.answer)


def main() -> None:
    """Take who to be from the command line, and questions from standard input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.far_ends")
    parser.add_argument("kind", choices=("customers", "agents"))
    parser.add_argument("count", type=int)
    parser.add_argument("--talk-s", type=float, default=0.0)
    parser.add_argument("--keep-s", type=float, default=60.0)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
