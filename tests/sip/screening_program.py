"""A process with one pjsua2 endpoint that screens calls, as a line process does.

`python -m tests.sip.screening_program SCENARIO FOLDER` prints what came of it as one JSON object.
PJSIP allows one endpoint in a process, so that tests of screening have one of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pjsua2 as pj

from campaigns.model import CallTimers
from dialer.lines.endpoint import Endpoint, Network
from dialer.screening import STEP_S, Action, Listener, Move, Screened, Screener, decide
from siplab.carrier import Carrier
from siplab.phones import PhoneBank
from siplab.plan_table import Pace

PATIENCE_S = 60.0


class Call(pj.Call):
    """A call that keeps its audio and the time of its answer."""

    media: Any = None
    answered_at: float | None = None

    def onCallState(self, prm: pj.OnCallStateParam) -> None:  # noqa: N802 - pjsua2's name
        """Note the answer."""
        if self.getInfo().state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.answered_at = time.monotonic()

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:  # noqa: N802
        """Keep the audio."""
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.media = self.getAudioMedia(index)


class Caller:
    """Makes calls from one account."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._account = pj.Account()
        config = pj.AccountConfig()
        config.idUri = "sip:screening@127.0.0.1"
        config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        self._account.create(config)

    def dial(self, uri: str) -> Call:
        """Send an INVITE."""
        call = Call(self._account)
        parameters = pj.CallOpParam(True)  # noqa: FBT003 - pjsua2 takes no keywords
        parameters.opt.videoCount = parameters.opt.textCount = 0
        call.makeCall(uri, parameters)
        self.calls.append(call)
        return call


async def until(fact: Any) -> None:
    """Wait until *fact* holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not fact():  # noqa: ASYNC110 - PJSIP tells nobody, it is asked
            await asyncio.sleep(0.02)


async def verdicts(folder: Path) -> dict[str, Any]:
    """Call one number of each kind in the lab, and return what was decided about it."""
    numbers = {
        "person": "+12125550100",
        "person_early_media": "+12125550125",
        "voicemail": "+12125550130",
        "fax": "+12125550186",
        "sit": "+12125550187",
        "silence": "+12125550188",
        "no_rtp": "+12125550195",
    }
    pace = Pace(ring=1.0, talk=20.0, voicemail=20.0, silence=20.0)
    caller, screener = Caller(), Screener()
    async with Carrier(folder, pace=pace) as carrier:
        calls = {
            kind: caller.dial(f"sip:{number}@127.0.0.1:{carrier.port}")
            for kind, number in numbers.items()
        }
        screened: dict[str, Screened] = {}
        heard_early: list[str] = []
        actions: dict[str, Action] = {}
        async with asyncio.timeout(PATIENCE_S):
            while len(actions) < len(calls):
                await asyncio.sleep(STEP_S)
                for kind, call in calls.items():
                    if kind not in screened and call.media is not None:
                        screened[kind] = screener.begin(call.media)
                        if call.answered_at is None:
                            heard_early.append(kind)
                    elif kind in heard_early and call.answered_at is not None:
                        heard_early.remove(kind)
                        screener.restart(screened[kind])
                screener.step()
                for kind, one in screened.items():
                    answered_at = calls[kind].answered_at
                    if kind in actions or answered_at is None:
                        continue
                    packets = int(calls[kind].getStreamStat(0).rtcp.rxStat.pkt)
                    action = decide(
                        one.posterior,
                        CallTimers(),
                        since_answer_s=time.monotonic() - answered_at,
                        media_packets=packets,
                    )
                    if action.move is not Move.WAIT:
                        actions[kind] = action
                        screener.end(one)
    screener.close()
    return {kind: [action.move, action.verdict] for kind, action in actions.items()}


async def bystanders(folder: Path) -> dict[str, Any]:
    """Bridge agents to customers beside screened calls; return what agents and taps received.

    Both come from the same conference clock, so on a machine that is too slow both are short.
    """
    agents, screened = 3, 12
    caller, screener = Caller(), Screener()
    pace = Pace(ring=0.5, talk=60.0, voicemail=60.0)
    async with PhoneBank(agents) as bank, Carrier(folder, pace=pace) as carrier:
        trunk = f"127.0.0.1:{carrier.port}"
        phones = [caller.dial(phone.uri) for phone in bank]
        customers = [caller.dial(f"sip:+121255501{n:02d}@{trunk}") for n in range(agents)]
        others = [caller.dial(f"sip:+121255501{n:02d}@{trunk}") for n in range(30, 30 + screened)]
        await until(lambda: all(call.media is not None for call in caller.calls))
        await until(lambda: all(call.answered_at is not None for call in caller.calls))
        for phone, customer in zip(phones, customers, strict=True):
            phone.media.startTransmit(customer.media)
            customer.media.startTransmit(phone.media)
        held = [screener.begin(call.media) for call in others]
        await asyncio.sleep(0.5)
        before = [phone.ear.total for phone in bank], screener.listener.counts().frames_received
        for turn in range(40):
            screener.step()
            # Calls come and go: taps are taken off and put on all the time.
            place = turn % screened
            screener.end(held[place])
            held[place] = screener.begin(others[place].media)
            await asyncio.sleep(STEP_S)
        counts = screener.listener.counts()
        heard = [phone.ear.total - was for phone, was in zip(bank, before[0], strict=True)]
        found = {
            "agents": heard,
            "lost": sum(phone.ear.lost for phone in bank),
            "tap": (counts.frames_received - before[1]) / screened,
            "attached": counts.attached,
            "recorders": counts.attached + counts.pooled,
        }
    screener.close()
    return found


async def taps(folder: Path) -> dict[str, Any]:
    """Move one recorder from tone to tone; return the frequencies heard and what is left over."""
    del folder
    listener = Listener()
    source = tone(1000)
    other = tone(600)
    first = listener.attach(source)
    await asyncio.sleep(0.6)
    heard = [pitch(first.read())]
    source.stop()
    source.play(tones(1500), loop=True)
    first.restart()
    await asyncio.sleep(0.6)
    heard.append(pitch(first.read()))
    listener.detach(first)
    listener.detach(first)
    await asyncio.sleep(0.4)
    second = listener.attach(other)
    await asyncio.sleep(0.6)
    heard.append(pitch(second.read()))
    again = second.read()
    counts = listener.counts()
    found = {
        "heard": heard,
        "again": len(again),
        "pooled": counts.pooled,
        "attached": counts.attached,
        "step_ms": counts.step_ms,
        "received": counts.frames_received,
        "expected": counts.frames_expected,
        "files": sorted(name for name in open_files() if "screening" in name),
    }
    listener.close()
    return found


def open_files() -> set[str]:
    """Return what this process has open, by name."""
    links = list(Path("/proc/self/fd").iterdir())
    return {str(link.readlink()) for link in links if link.is_symlink()}


def tones(hertz: float) -> Any:
    """Return a tone without end."""
    one = pj.ToneDesc()
    one.freq1, one.on_msec, one.off_msec = int(hertz), 20_000, 0
    all_of_it = pj.ToneDescVector()
    all_of_it.append(one)
    return all_of_it


def tone(hertz: float) -> Any:
    """Return a source that plays a tone."""
    source = pj.ToneGenerator()
    source.createToneGenerator(8000, 1)
    source.play(tones(hertz), True)  # noqa: FBT003 - pjsua2 takes no keywords
    return source


def pitch(pcm: bytes) -> list[float]:
    """Return every frequency that dominates a tenth of a second, to 20 Hz, in order."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    found: list[float] = []
    for at in range(0, len(samples) - 800, 800):
        spectrum = np.abs(np.fft.rfft(samples[at : at + 800] * np.hanning(800)))
        hertz = round(float(spectrum.argmax()) * 10 / 20) * 20.0
        if spectrum.max() > 1e4 and hertz not in found:
            found.append(hertz)
    return found


async def main(scenario: str, folder: Path) -> None:
    """Run a scenario on an endpoint of its own."""
    endpoint = Endpoint(Network(), wanted_calls=64)
    endpoint.start()
    endpoint.poll_forever(lambda: None)
    run = {"verdicts": verdicts, "bystanders": bystanders, "taps": taps}[scenario]
    async with asyncio.timeout(PATIENCE_S * 2):
        print(json.dumps(await run(folder)), flush=True)
    # Calls may still be up; nobody needs their BYE, and PJSIP dies with the process.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
