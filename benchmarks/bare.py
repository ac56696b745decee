"""The peer: pjsua2 with nothing around it, doing on one endpoint what a line process does.

No Postgres, no asyncio, no rules, no screening: a loop that polls PJSIP, and callbacks as short as
they can be. The endpoint is set up as `dialer.lines.endpoint` sets up its own. A child of
`benchmarks.lines`, `benchmarks.bridge` and `benchmarks.audio`.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from benchmarks.children import say
from dialer.lines.endpoint import CLOCK_RATE_HZ

POLL_MS = 5
WARM_UP = 200
_UP_WITHIN_S = 30.0


class Account(pj.Account):
    """The one account; nothing calls it."""


class Call(pj.Call):
    """A call that is joined to its partner as soon as both have audio."""

    def __init__(self, account: Account, ended: list[Call], partner: Call | None = None) -> None:
        super().__init__(account)
        self.audio: pj.AudioMedia | None = None
        self._ended = ended
        self._partner = partner

    def dial(self, uri: str) -> None:
        """Send the INVITE, for audio only."""
        params = pj.CallOpParam(True)  # noqa: FBT003 - pjsua2 takes it by position
        params.opt.audioCount = 1
        params.opt.videoCount = 0
        params.opt.textCount = 0
        self.makeCall(uri, params)

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        """Note the end."""
        if self.getInfo().state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.audio = None
            self._ended.append(self)

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        """Join the two, both ways."""
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self.audio = self.getAudioMedia(index)
        partner = self._partner
        if partner is not None and partner.audio is not None and self.audio is not None:
            self.audio.startTransmit(partner.audio)
            partner.audio.startTransmit(self.audio)


class Bare:
    """The endpoint, its calls, and the loop."""

    def __init__(self, rtp_low: int, rtp_high: int) -> None:
        self._endpoint = _endpoint()
        self._account = _account(rtp_low, rtp_high)
        self._ended: list[Call] = []
        self._calls: set[Call] = set()
        self._agents: list[Call] = []

    @property
    def version(self) -> str:
        """Return the version of PJSIP."""
        return f"PJSIP {self._endpoint.libVersion().full}"

    def serve(self) -> None:
        """Obey the parent until its end of standard input, polling PJSIP meanwhile."""
        while True:
            readable, _, _ = select.select([sys.stdin], [], [], 0)
            if not readable:
                self._poll()
                continue
            line = sys.stdin.readline()
            if not line:
                return
            say(answer=self._obey(json.loads(line)))

    def _obey(self, command: dict[str, Any]) -> Any:
        match command.pop("do"):
            case "attempts":
                return self._attempts(**command)
            case "agents":
                return self._call_agents(**command)
            case "customers":
                return self._call_customers(**command)
            case "hang_up":
                return self._hang_up()
            case other:
                raise ValueError(f"unknown command {other}")

    def _poll(self) -> None:
        self._endpoint.libHandleEvents(POLL_MS)
        if self._ended:
            self._calls.difference_update(self._ended)
            self._ended.clear()

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _UP_WITHIN_S
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {_UP_WITHIN_S:.0f} s: {what}")
            self._poll()

    def _dial(self, uri: str, partner: Call | None = None) -> Call:
        call = Call(self._account, self._ended, partner)
        call.dial(uri)
        self._calls.add(call)
        return call

    def _attempts(self, uri: str, count: int, window: int) -> dict[str, float]:
        """Make *count* calls that are refused, at most *window* at a time; return what it cost."""
        started = 0
        cpu, wall = time.process_time(), time.monotonic()
        while started < count or self._calls:
            while started < count and len(self._calls) < window:
                self._dial(uri)
                started += 1
            self._poll()
        return spent(cpu, wall)

    def _call_agents(self, uris: list[str]) -> int:
        self._agents = [self._dial(uri) for uri in uris]
        self._until(lambda: all(call.audio is not None for call in self._agents), "agents are up")
        return len(self._agents)

    def _call_customers(self, uris: dict[str, int]) -> int:
        """Call customers, each for the agent of that place in the order they were called."""
        for uri, agent in uris.items():
            self._dial(uri, self._agents[agent])
        return len(uris)

    def _hang_up(self) -> int:
        """End every call; return how many there were."""
        ended = len(self._calls)
        for call in tuple(self._calls):
            call.hangup(pj.CallOpParam())
        self._until(lambda: not self._calls, "all calls are over")
        self._agents = []
        return ended


def spent(cpu: float, wall: float) -> dict[str, float]:
    """Return the CPU and wall seconds since the given readings of this process's clocks."""
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall}


def _endpoint() -> pj.Endpoint:
    sys.setswitchinterval(1e-4)
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 0
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.uaConfig.maxCalls = min(1000, config.uaConfig.maxCalls)
    media = config.medConfig
    media.clockRate = media.sndClockRate = CLOCK_RATE_HZ
    media.channelCount = 1
    media.noVad = True
    media.ecTailLen = 0
    media.sndAutoCloseTime = -1
    media.maxMediaPorts = 2000
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    return endpoint


def _account(rtp_low: int, rtp_high: int) -> Account:
    config = pj.AccountConfig()
    config.idUri = "sip:bench@127.0.0.1"
    rtp = config.mediaConfig.transportConfig
    rtp.boundAddress = "127.0.0.1"
    rtp.port = rtp_low
    rtp.portRange = rtp_high - rtp_low
    # Otherwise PJSIP asks the name server for an IPv6 address of this host at every call.
    config.mediaConfig.ipv6Use = pj.PJSUA_IPV6_DISABLED
    account = Account()
    account.create(config)
    return account


def main() -> None:
    """Take the RTP range from the command line, and commands from standard input."""
    # PJSIP greets on standard output, which is the parent's, before it can be told not to.
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    bare = Bare(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os.dup2(answers, 1)
    say(ready=True, pjsip=bare.version)
    bare.serve()
    sys.stdout.flush()
    # The far ends are ended by whoever started them: nobody waits for a BYE.
    os._exit(0)


if __name__ == "__main__":
    main()
