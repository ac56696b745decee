"""The process under test of the audio path benchmark: built like a line process.

One pjsua2 endpoint without threads, polled by an asyncio loop that also burns a share of its time
in Python, as SIP callbacks and Postgres rows do; agents bridged to customers; more calls under
screening, every tap taken off and put back on every few seconds as calls come and go.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pjsua2 as pj

from benchmarks.children import Child, say, serve
from dialer.lines.endpoint import Endpoint, Network
from dialer.screening.batch import Screened, Screener
from dialer.screening.detector import DetectorBank

_STEP_S = 0.1
_BURST_S = 0.03


class Way(StrEnum):
    """The ways to hear a call: not at all, through a file PJSIP writes, through a Python port."""

    NONE = "none"
    RECORDER = "recorder"
    PORT = "port"


@dataclass(frozen=True, slots=True)
class Run:
    """One configuration; *load* is the share of the loop's time burnt in Python."""

    way: str
    load: float
    seed: int
    seconds: float
    agents: int = 50
    screened: int = 100
    tap_s: float = 4.0


class Call(pj.Call):
    """A call whose audio is handed to its owner once."""

    media: Any = None

    def onCallMediaState(self, prm: Any) -> None:
        """Keep the audio as soon as it runs."""
        info = self.getInfo()  # its list of media lives only as long as it does
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.media = self.getAudioMedia(index)


class PortTap(pj.AudioMediaPort):
    """The rejected way: a port whose frames of 100 ms are copied in a Python callback."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: collections.deque[bytes] = collections.deque()
        self._copy = bytearray(1600)
        shape = pj.MediaFormatAudio()
        shape.init(pj.PJMEDIA_FORMAT_PCM, 8000, 1, 100_000, 16)
        self.createPort("tap", shape)

    def onFrameReceived(self, frame: Any) -> None:
        """Copy, on the conference clock's thread."""
        if frame.size == 1600:
            frame.buf.copy_to_bytearray(self._copy)
            self.frames.append(bytes(self._copy))


class NoTaps:
    """The yardstick: calls up, nobody listens."""

    received = expected = 0

    def begin(self, media: pj.AudioMedia) -> None:
        """Do nothing."""

    def end(self, tap: None) -> None:
        """Do nothing."""

    def step(self) -> None:
        """Do nothing."""


class RecorderTaps:
    """The product's own way."""

    def __init__(self) -> None:
        self._screener = Screener()
        self.begin = self._screener.begin
        self.end = self._screener.end

    def step(self) -> list[Screened]:
        """Hear and judge all calls."""
        return self._screener.step()

    @property
    def received(self) -> int:
        """Return frames written."""
        return self._screener.listener.counts().frames_received

    @property
    def expected(self) -> int:
        """Return frames there was time for."""
        return self._screener.listener.counts().frames_expected


class PortTaps:
    """Pooled ports, judged by the same detectors."""

    def __init__(self) -> None:
        self._bank = DetectorBank()
        self._pool: list[tuple[float, PortTap]] = []
        self._taps: dict[int, tuple[PortTap, pj.AudioMedia, float]] = {}
        self._heard_s = 0.0
        self.received = 0

    @property
    def expected(self) -> int:
        """Return frames there was time for."""
        now = time.monotonic()
        live = sum(now - began for _, _, began in self._taps.values())
        return round((self._heard_s + live) / 0.02)

    def begin(self, media: pj.AudioMedia) -> int:
        """Take a port of the pool that has rested, or a new one."""
        now = time.monotonic()
        rested = self._pool and self._pool[0][0] < now - 0.2
        port = self._pool.pop(0)[1] if rested else PortTap()
        port.frames.clear()
        media.startTransmit(port)
        stream = self._bank.open()
        self._taps[stream] = (port, media, now)
        return stream

    def end(self, stream: int) -> None:
        """Back into the pool, never destroyed."""
        port, media, began = self._taps.pop(stream)
        media.stopTransmit(port)
        self._bank.close(stream)
        self._pool.append((time.monotonic(), port))
        self._heard_s += time.monotonic() - began

    def step(self) -> None:
        """Hear and judge all calls."""
        audio = {}
        for stream, (port, _, _) in self._taps.items():
            count = len(port.frames)
            audio[stream] = b"".join([port.frames.popleft() for _ in range(count)])
            self.received += 5 * count
        self._bank.feed(audio)


async def measure(run: Run) -> dict[str, float]:
    """Run one configuration and return what came of it."""
    endpoint = Endpoint(Network(), wanted_calls=2 * run.agents + run.screened)
    endpoint.start()
    endpoint.poll_forever(lambda: None)
    async with Child("benchmarks.audio_path_far", run.seed) as far:
        return await _measure(run, far)


async def _measure(run: Run, far: Child) -> dict[str, float]:
    account = pj.Account()
    config = pj.AccountConfig()
    config.idUri = "sip:bench@127.0.0.1"
    config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    account.create(config)
    roles = ["agent", "customer"] * run.agents + ["screened"] * run.screened
    calls: dict[str, list[Call]] = {"agent": [], "customer": [], "screened": []}
    for number, role in enumerate(roles):
        call = Call(account)
        parameters = pj.CallOpParam(True)  # noqa: FBT003 - pjsua2 takes no keywords
        parameters.opt.videoCount = parameters.opt.textCount = 0
        call.makeCall(f"sip:{role}-{number}@127.0.0.1:{far.ready['ready']}", parameters)
        calls[role].append(call)
        await asyncio.sleep(0.005)
    every = [call for group in calls.values() for call in group]
    while any(call.media is None for call in every):  # noqa: ASYNC110 - PJSIP is polled anyway
        await asyncio.sleep(0.05)
    for agent, customer in zip(calls["agent"], calls["customer"], strict=True):
        agent.media.startTransmit(customer.media)
        customer.media.startTransmit(agent.media)
    taps: Any = {Way.NONE: NoTaps, Way.RECORDER: RecorderTaps, Way.PORT: PortTaps}[Way(run.way)]()
    held = collections.deque((call.media, taps.begin(call.media)) for call in calls["screened"])
    spent = {"step": 0.0, "burnt": 0.0, "held": 0.0, "longest": 0.0}
    work = [
        asyncio.create_task(_screen(taps, spent), name="screen"),
        asyncio.create_task(_renew(taps, held, run.tap_s), name="renew"),
        asyncio.create_task(_burn(run.load, spent), name="burn"),
    ]
    await asyncio.sleep(2.0)
    await far.ask("mark")
    spent.update(dict.fromkeys(spent, 0.0))
    wall, cpu = time.monotonic(), time.process_time()
    received, expected = taps.received, taps.expected
    await asyncio.sleep(run.seconds)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    received, expected = taps.received - received, taps.expected - expected
    heard = await far.ask("report")
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    return {
        "agents_delivered": heard["agent"]["delivered"],
        "agents_delivered_worst": heard["agent"]["delivered_worst"],
        "agents_on_time": heard["agent"]["on_time"],
        "agents_silent": heard["agent"]["silent"],
        "agents_longest_gap_ms": heard["agent"]["longest_gap_ms"],
        "screened_delivered": heard["screened"]["delivered"],
        "cpu": (cpu - spent["burnt"]) / wall,
        # CPU of the loop's thread for each 100 ms of all calls: a late step has more to do.
        "analysis_ms": 1000 * spent["step"] / (wall / _STEP_S),
        "longest_step_ms": 1000 * spent["longest"],
        "frames_analysed": received / expected if expected else 1.0,
        "loop_load": spent["held"] / wall,
    }


async def _screen(taps: Any, spent: dict[str, float]) -> None:
    while True:
        began = time.thread_time()
        taps.step()
        took = time.thread_time() - began
        spent["step"] += took
        spent["longest"] = max(spent["longest"], took)
        await asyncio.sleep(_STEP_S)


async def _renew(taps: Any, held: collections.deque[Any], tap_s: float) -> None:
    """Take the oldest tap off and put one on, so that each lives about *tap_s*."""
    while True:
        await asyncio.sleep(tap_s / len(held))
        media, tap = held.popleft()
        taps.end(tap)
        held.append((media, taps.begin(media)))


async def _burn(load: float, spent: dict[str, float]) -> None:
    """Hold the interpreter for *load* of the time, in bursts of 30 ms, as a batch of rows does.

    Each burst is three calls into C of about 10 ms, which do not yield to other threads.
    """
    row = {"id": "0190f5e6", "state": "dialing", "timers": {"ring_timeout_s": 22.0}, "n": [1, 2, 3]}
    count, took, rows = 500, 0.0, ""
    while took < _BURST_S / 3:
        count = int(1.5 * count)
        rows, began = json.dumps([row] * count), time.thread_time()
        json.loads(rows)
        took = time.thread_time() - began
    while load:
        cpu, began = time.thread_time(), time.monotonic()
        while time.monotonic() < began + _BURST_S:
            json.loads(rows)
        spent["burnt"] += time.thread_time() - cpu
        spent["held"] += time.monotonic() - began
        await asyncio.sleep(_BURST_S * (1 - load) / load)


async def _answer(command: dict[str, Any]) -> dict[str, float]:
    return await measure(Run(**command["run"]))


if __name__ == "__main__":
    say(ready=True)
    asyncio.run(serve(_answer))
    sys.stdout.flush()
    # Two hundred calls are up and the far side is gone: nobody waits for a BYE.
    os._exit(0)
