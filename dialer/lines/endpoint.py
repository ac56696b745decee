"""The one pjsua2 endpoint of a line process, polled by the asyncio loop that owns everything.

PJSIP gets no thread of its own for SIP (`threadCnt=0`, `mainThreadOnly`): callbacks, Postgres and
timers share one thread, so nothing here takes a lock. The conference bridge runs on PJMEDIA's own
clock thread and never calls into Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import ssl
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pjsua2 as pj

from campaigns.errors import UserError
from campaigns.model import Transport
from dialer.lines.beat import next_beat, wake
from dialer.lines.retired import Retired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# While messages come, what gathers between two beats is handled together. After so many beats
# without any, PJSIP's sockets wake the loop; its timers are looked at this often.
QUIET_TURNS = 2
IDLE_POLL_S = 0.02
# Without PJSIP's socket of sockets (a build on select) an answer waits at most this long.
BLIND_POLL_S = 0.005
# One turn handles at most this many events before other tasks get their turn.
_EVENTS_PER_TURN = 64
# New containers between two looks for circles; Python's own figure is 700, for small programs.
_COLLECT_EVERY = 20_000
CLOCK_RATE_HZ = 8000
# Where systems keep their authorities when Python was built to look elsewhere.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
# What every offer holds, in this order: what carriers and phones speak.
G711 = ("PCMU", "PCMA")


@dataclass(frozen=True, slots=True)
class Network:
    """Where a line process speaks: one bind address, its SIP ports, its own RTP range."""

    bind_address: str = "127.0.0.1"
    public_address: str = ""
    sip_port: int = 0
    tls_port: int = 0
    rtp_low: int = 20_000
    rtp_high: int = 24_000
    tls_certificate: str = ""
    tls_key: str = ""
    tls_authorities: str = ""

    @property
    def is_ipv6(self) -> bool:
        """Say whether the bind address is an IPv6 one."""
        return ":" in self.bind_address


class Endpoint:
    """The started PJSIP library with its transports; one per process, stopped once."""

    def __init__(self, network: Network, *, wanted_calls: int = 1000) -> None:
        self.network = network
        self.codecs: tuple[str, ...] = G711
        self.retired = Retired()
        _raise_file_limit()
        self._transports: dict[Transport, int] = {}
        self._unverified_tls: int | None = None
        self._polling: asyncio.Task[None] | None = None
        self.turns = 0
        # A screening or database step in Python must not hold the media thread's callbacks long.
        sys.setswitchinterval(1e-4)
        self.pj = pj.Endpoint()
        known = _event_polls()
        with _quiet():
            self.pj.libCreate()
        new = _event_polls() - known
        # The epoll of PJSIP's SIP side; the one for media is made later, in `libInit`.
        self._sockets = new.pop() if len(new) == 1 else None
        config = pj.EpConfig()
        self.capacity = min(int(config.uaConfig.maxCalls), wanted_calls)
        config.logConfig.level = 0
        config.logConfig.consoleLevel = 0
        config.logConfig.msgLogging = 0
        agent = config.uaConfig
        agent.threadCnt = 0
        agent.mainThreadOnly = True
        agent.userAgent = "Overdial"
        agent.maxCalls = self.capacity
        media = config.medConfig
        media.clockRate = CLOCK_RATE_HZ
        media.sndClockRate = CLOCK_RATE_HZ
        media.channelCount = 1
        media.noVad = True
        media.ecTailLen = 0
        # The default closes the null device, and with it the bridge's clock, when nobody talks.
        media.sndAutoCloseTime = -1
        media.maxMediaPorts = max(16, min(2000, 3 * self.capacity))
        self.pj.libInit(config)

    def start(self) -> None:
        """Open the transports and the media clock; raises `UserError` when a port is taken."""
        for transport in (Transport.UDP, Transport.TCP):
            self._transports[transport] = self._open(transport, self.network.sip_port)
        if self.network.tls_certificate:
            self._transports[Transport.TLS] = self._open(Transport.TLS, self.network.tls_port)
        self.pj.libStart()
        self.pj.audDevManager().setNullDev()
        self._set_codecs()
        _calm_collector()

    def _open(self, transport: Transport, port: int, *, verify: bool = True) -> int:
        config = pj.TransportConfig()
        config.port = port
        config.boundAddress = self.network.bind_address
        if self.network.public_address:
            config.publicAddress = self.network.public_address
        if transport is Transport.TLS:
            tls = config.tlsConfig
            tls.certFile = self.network.tls_certificate
            tls.privKeyFile = self.network.tls_key
            tls.CaListFile = self.network.tls_authorities or _system_authorities()
            tls.verifyServer = verify
        kind = getattr(
            pj, f"PJSIP_TRANSPORT_{transport.upper()}{'6' if self.network.is_ipv6 else ''}"
        )
        try:
            return int(self.pj.transportCreate(kind, config))
        except pj.Error as error:
            raise UserError(
                f"SIP port {port}/{transport} on {self.network.bind_address} cannot be opened "
                f"({error.reason}): choose another DIALER_SIP_PORT or stop what uses it."
            ) from None

    def allow(self, codecs: Iterable[str]) -> None:
        """Let calls be offered and answered with *codecs* (encoding names), after those so far.

        PJSIP has one list for all calls. An offer that has to be shorter than the list is made
        anew for each call (`offer.restrict`), which is dear: the list holds what trunks ask for.
        """
        new = [codec for codec in codecs if codec not in self.codecs]
        if new:
            self.codecs = (*self.codecs, *new)
            self._set_codecs()

    def _set_codecs(self) -> None:
        for codec in self.pj.codecEnum2():
            name = codec.codecId.split("/")[0]
            place = self.codecs.index(name) if name in self.codecs else None
            self.pj.codecSetPriority(codec.codecId, 0 if place is None else 255 - place)

    def transport_id(self, transport: Transport, *, verify: bool = True) -> int:
        """Return PJSIP's id of a transport, opening one for TLS when first needed.

        *verify* false is for lab trunks only, whose certificates nobody has signed.
        """
        if transport is Transport.TLS and not verify:
            if self._unverified_tls is None:
                self._unverified_tls = self._open(transport, 0, verify=False)
            return self._unverified_tls
        if transport not in self._transports:
            self._transports[transport] = self._open(transport, self.network.tls_port)
        return self._transports[transport]

    def sip_port(self) -> int:
        """Return the UDP port the endpoint listens on."""
        name = self.pj.transportGetInfo(self._transports[Transport.UDP]).localName
        return int(name.rpartition(":")[2])

    def poll_forever(self, after_turn: Callable[[], None]) -> asyncio.Task[None]:
        """Poll PJSIP from the running loop until `stop`; *after_turn* runs after each busy turn."""
        self._polling = asyncio.create_task(self._poll(after_turn), name="pjsip-poll")
        return self._polling

    async def _poll(self, after_turn: Callable[[], None]) -> None:
        quiet = 0
        while True:
            events = 0
            while events < _EVENTS_PER_TURN:
                handled = self.pj.libHandleEvents(0)
                if handled <= 0:
                    break
                events += handled
            self.turns += 1
            after_turn()
            quiet = 0 if events else quiet + 1
            if quiet < QUIET_TURNS:
                await next_beat()
            elif self._sockets is None:
                await asyncio.sleep(BLIND_POLL_S)
            else:
                await _readable(self._sockets, within_s=IDLE_POLL_S)

    async def stop(self) -> None:
        """Stop polling and shut PJSIP down; every call must have ended before."""
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling
        self.retired.release()
        gc.collect()
        self.pj.libDestroy()


def _calm_collector() -> None:
    """Have Python look for circles seldom, and never among what is loaded by now.

    Looking stops every thread that needs the interpreter, and a call leaves no circle behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)


def _event_polls() -> set[int]:
    """Return the epoll descriptors this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, while they come and go
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":  # noqa: PTH115
                found.add(int(name))
    return found


async def _readable(descriptor: int, *, within_s: float) -> None:
    """Wait until *descriptor* has something to read, or *within_s* seconds."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    timer = loop.call_later(within_s, wake, woken)
    loop.add_reader(descriptor, wake, woken)
    try:
        await woken
    finally:
        loop.remove_reader(descriptor)
        timer.cancel()


def _system_authorities() -> str:
    """Return the system's bundle of authorities; empty refuses every certificate."""
    known = (ssl.get_default_verify_paths().cafile, *_BUNDLES)
    return next((path for path in known if path and os.path.isfile(path)), "")  # noqa: PTH113


def _raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: every call needs several."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep PJSIP's first lines off standard output: its log level can only be set after them."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(nowhere)
        os.close(kept)
