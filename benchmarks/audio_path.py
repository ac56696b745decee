"""Which way to hear screened calls leaves the agents' audio alone? Decision record 0003 asks.

One process like a line process: one pjsua2 endpoint without threads, polled by an asyncio loop that
also burns a share of its time in Python, as SIP callbacks and Postgres rows do; agents bridged to
customers; a hundred more calls under screening, every tap taken off and put back on every few
seconds as calls come and go. The far side is another process on plain sockets: what reached the
agents' phones is counted there.

    python -m benchmarks.audio_path [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import pjsua2 as pj

from dialer.screening.batch import Screened, Screener
from dialer.screening.detector import DetectorBank

_POLL_S = 0.003
_STEP_S = 0.1
_BURST_S = 0.03
WAYS = ("none", "recorder", "port")
LOADS = (0.0, 0.6)


@dataclass(frozen=True, slots=True)
class Run:
    """One configuration; seconds are of measuring, *load* the share of the loop burnt in Python."""

    way: str
    load: float
    seed: int
    agents: int = 50
    screened: int = 100
    seconds: float = 12.0
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


def measure(run: Run) -> dict[str, float]:
    """Run one configuration in this process and return what came of it."""
    far = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.audio_path_far", str(run.seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    endpoint = _endpoint()
    try:
        return asyncio.run(asyncio.wait_for(_measure(run, endpoint, far), 120))
    finally:
        far.kill()
        far.wait()


async def _measure(run: Run, endpoint: pj.Endpoint, far: subprocess.Popen[str]) -> dict[str, float]:
    sip_port = (await _ask(far, ""))["sip"]
    polling = asyncio.create_task(_poll(endpoint), name="poll")
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
        call.makeCall(f"sip:{role}-{number}@127.0.0.1:{sip_port}", parameters)
        calls[role].append(call)
        await asyncio.sleep(0.005)
    every = [call for group in calls.values() for call in group]
    while any(call.media is None for call in every):  # noqa: ASYNC110 - PJSIP is polled anyway
        await asyncio.sleep(0.05)
    for agent, customer in zip(calls["agent"], calls["customer"], strict=True):
        agent.media.startTransmit(customer.media)
        customer.media.startTransmit(agent.media)
    taps: Any = {"none": NoTaps, "recorder": RecorderTaps, "port": PortTaps}[run.way]()
    held = collections.deque((call.media, taps.begin(call.media)) for call in calls["screened"])
    spent = {"step": 0.0, "steps": 0.0, "burnt": 0.0, "held": 0.0, "longest": 0.0}
    work = [
        asyncio.create_task(_screen(taps, spent), name="screen"),
        asyncio.create_task(_renew(taps, held, run.tap_s), name="renew"),
        asyncio.create_task(_burn(run.load, spent), name="burn"),
    ]
    await asyncio.sleep(2.0)
    await _ask(far, "mark")
    spent.update(dict.fromkeys(spent, 0.0))
    wall, cpu = time.monotonic(), time.process_time()
    received, expected = taps.received, taps.expected
    await asyncio.sleep(run.seconds)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    received, expected = taps.received - received, taps.expected - expected
    heard = await _ask(far, "report")
    for task in [*work, polling]:
        task.cancel()
    await asyncio.gather(*work, polling, return_exceptions=True)
    return {
        "agents_delivered": heard["agent"]["delivered"],
        "agents_delivered_worst": heard["agent"]["delivered_worst"],
        "agents_silent": heard["agent"]["silent"],
        "agents_longest_gap_ms": heard["agent"]["longest_gap_ms"],
        "screened_delivered": heard["screened"]["delivered"],
        "cpu": (cpu - spent["burnt"]) / wall,
        "step_ms": 1000 * spent["step"] / max(1.0, spent["steps"]),
        "step_worst_ms": 1000 * spent["longest"],
        "frames_analysed": received / expected if expected else 1.0,
        "loop_load": spent["held"] / wall,
    }


async def _ask(far: subprocess.Popen[str], word: str) -> Any:
    """Send a word if there is one, and return the far side's answer."""
    if far.stdin is None or far.stdout is None:
        raise RuntimeError("the far side was started without pipes")
    if word:
        print(word, file=far.stdin, flush=True)
    return json.loads(await asyncio.to_thread(far.stdout.readline))


def _endpoint() -> pj.Endpoint:
    """Return an endpoint set up as the line process sets up its own."""
    sys.setswitchinterval(1e-4)
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 0
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.uaConfig.maxCalls = min(500, config.uaConfig.maxCalls)
    media = config.medConfig
    media.clockRate = media.sndClockRate = 8000
    media.noVad = True
    media.ecTailLen = 0
    media.sndAutoCloseTime = -1
    media.maxMediaPorts = 1000
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    return endpoint


async def _poll(endpoint: pj.Endpoint) -> None:
    while True:
        while endpoint.libHandleEvents(0) > 0:
            pass
        await asyncio.sleep(_POLL_S)


async def _screen(taps: Any, spent: dict[str, float]) -> None:
    while True:
        began = time.thread_time()
        taps.step()
        took = time.thread_time() - began
        spent["step"] += took
        spent["steps"] += 1
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


def main(arguments: list[str] | None = None) -> int:
    """Measure every way under every load, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audio_path", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure 4 s each instead of 12 s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(Run(**json.loads(options.one)))), flush=True)
        sys.stdout.flush()
        os._exit(0)  # two hundred calls are up: the far side is gone, nobody waits for a BYE
    metrics: dict[str, float] = {}
    for load in LOADS:
        for way in WAYS:
            run = Run(way, load, options.seed, seconds=4.0 if options.quick else 12.0)
            finished = subprocess.run(
                [sys.executable, "-m", "benchmarks.audio_path", "--one", json.dumps(asdict(run))],
                capture_output=True,
                text=True,
                check=True,
                timeout=180,
            )
            found = json.loads(finished.stdout.splitlines()[-1])
            metrics |= {f"{way}_load{round(100 * load)}_{k}": v for k, v in found.items()}
            if not options.json:
                print(f"{way:9} load {load:.0%} " + _line(found), flush=True)
    busy = f"_load{round(100 * LOADS[-1])}"
    targets = {
        f"recorder{busy}_agents_delivered": [">=", 0.999],
        f"recorder{busy}_frames_analysed": [">=", 0.999],
        f"recorder{busy}_step_ms": ["<=", 3.0],
    }
    if options.json:
        report = {
            "benchmark": "audio_path",
            "command": "python -m benchmarks.audio_path" + " --quick" * options.quick,
            "seed": options.seed,
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
            f"{platform.python_version()}, {platform.system()} {platform.release()}",
            "metrics": metrics,
            "targets": targets,
        }
        print(json.dumps(report, indent=1))
    return 0


def _line(found: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
