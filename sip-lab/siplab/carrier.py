"""The carrier: SIPp processes that play the telephone network behind a trunk.

Errors: ``CarrierError`` (SIPp is missing, a port is in use, or SIPp ended by itself).
"""

import abc
import asyncio
import contextlib
import enum
import signal
import socket
from pathlib import Path

from siplab import books, plan_table, probe, scenario, speech
from siplab.plan_table import Pace
from siplab.program import Program, ProgramError, check_port, free_port
from siplab.setting import Codec, Credentials, Setting
from siplab.tls import TlsFront

__all__ = [
    "BusyCarrier",
    "Carrier",
    "CarrierError",
    "Codec",
    "Credentials",
    "Pace",
    "Sipp",
    "Transport",
    "free_port",
]

_DEFAULT_LIFE_S = 4 * 3600
_MEDIA_PORT_TRIES = 5
_TABLE = "plan.csv"

CarrierError = ProgramError
"""The carrier could not start or is gone; the message says why and what to do."""


class Transport(enum.StrEnum):
    """How the trunk reaches the carrier. Debian's SIPp has no TLS, so a front of ours adds it."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Sipp(Program):
    """One SIPp process serving a scenario; what its subclasses share.

    It ends within a second when asked and drops the calls that are up without a BYE: SIPp would
    wait for them, but the books are on disk line by line.
    """

    executable = "sipp"
    package = "sip-tester"

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        media_port: int = 0,
        address: str = "127.0.0.1",
        transport: Transport = Transport.UDP,
        life_s: int = _DEFAULT_LIFE_S,
    ) -> None:
        """Prepare a carrier on *port* (0: a free one) that ends by itself after *life_s*."""
        super().__init__(folder)
        self.address = address
        self.transport = transport
        self.port = port or free_port(address)
        self.media_port = media_port or free_port(address) & ~1
        self._chose_media_port = not media_port
        self._inner_port = self.port if transport is not Transport.TLS else free_port(address)
        """Where SIPp itself listens."""
        self._front: TlsFront | None = None
        self._life_s = life_s
        self._run = 0

    @property
    def uri(self) -> str:
        """Return the SIP URI to configure as a trunk."""
        suffix = "" if self.transport is Transport.UDP else f";transport={self.transport.value}"
        return f"sip:{self.address}:{self.port}{suffix}"

    async def start(self) -> None:
        """Start; a media port of our own choice that somebody else took meanwhile is changed."""
        for tries_left in reversed(range(_MEDIA_PORT_TRIES)):
            try:
                await super().start()
            except ProgramError as error:
                taken = "RTP socket" in str(error) and self._chose_media_port
                if not taken or not tries_left:
                    raise
                self.media_port = free_port(self.address) & ~1
            else:
                return

    async def _prepare(self) -> None:
        await super()._prepare()
        udp = self.transport is Transport.UDP
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        check_port(self.address, self.port, kind)
        self._run += 1
        while (self.folder / books.WIRE.format(self._run)).exists():
            self._run += 1
        path = self.folder / f"{type(self).__name__.lower()}.xml"
        path.write_text(self._scenario(), encoding="latin-1")
        if self.transport is Transport.TLS:
            self._front = TlsFront(self.address, self.port, self._inner_port)
            await self._front.open()

    def _arguments(self) -> list[str]:
        path = self.folder / f"{type(self).__name__.lower()}.xml"
        transport = "u1" if self.transport is Transport.UDP else "t1"
        arguments = ["-sf", str(path), "-i", self.address, "-bind_local"]
        arguments += ["-p", str(self._inner_port), "-t", transport]
        arguments += ["-mi", self.address, "-mp", str(self.media_port)]
        arguments += ["-cp", str(free_port(self.address)), "-nostdin", "-f", "3600"]
        arguments += ["-timeout", f"{self._life_s}s", "-aa"]
        # A registration is refreshed under its old Call-ID, which SIPp would ignore for 33 s.
        arguments += ["-deadcall_wait", "2000"]
        # A stray message must not take a call down, nor a busy machine the carrier.
        arguments += ["-default_behaviors", "all,-abortunexp", "-max_socket", "20000"]
        arguments += ["-watchdog_major_maxtriggers", "1000000"]
        arguments += ["-watchdog_minor_maxtriggers", "1000000"]
        arguments += ["-trace_err", "-error_file", str(self.folder / f"errors-{self._run}.log")]
        return arguments

    @abc.abstractmethod
    def _scenario(self) -> str:
        """Return SIPp's scenario as XML."""

    async def _is_ready(self) -> bool:
        with contextlib.suppress(probe.NoResponseError, OSError):
            answer = await probe.options(
                self.address, self.port, transport=self.transport.value, timeout_s=0.5
            )
            # The tag names the process: another one may hold the port.
            return answer.message.tag("to").startswith(f"siplab{self.pid}c")
        return False

    async def _end(self, how: signal.Signals) -> None:
        if self._front is not None:
            await self._front.close()
            self._front = None
        await super()._end(how)


class Carrier(Sipp):
    """The telephone network: what happens follows the number dialed (`siplab.number_plan`)."""

    def __init__(  # noqa: PLR0913 - a network has that many knobs, all with a default
        self,
        folder: Path,
        *,
        port: int = 0,
        media_port: int = 0,
        address: str = "127.0.0.1",
        transport: Transport = Transport.UDP,
        pace: Pace | None = None,
        codec: Codec = Codec.PCMU,
        credentials: Credentials | None = None,
        life_s: int = _DEFAULT_LIFE_S,
    ) -> None:
        """Prepare the carrier; *credentials* make it challenge every INVITE."""
        super().__init__(
            folder,
            port=port,
            media_port=media_port,
            address=address,
            transport=transport,
            life_s=life_s,
        )
        self.pace = pace or Pace()
        self._books = books.Books(folder)
        self._codec = codec
        self._credentials = credentials

    def calls(self) -> list[books.CarrierCall]:
        """Return the books so far."""
        return self._books.calls()

    def live_calls(self) -> list[books.CarrierCall]:
        """Return the calls that are up now."""
        return [call for call in self.calls() if call.is_live]

    async def _prepare(self) -> None:
        await asyncio.to_thread(speech.ensure)
        await super()._prepare()
        plan_table.write(self.folder / _TABLE, self.pace)

    def _arguments(self) -> list[str]:
        arguments = super()._arguments()
        arguments += ["-inf", _TABLE, "-infindex", _TABLE, "0"]
        arguments += ["-trace_shortmsg", "-shortmessage_file"]
        arguments += [str(self.folder / books.WIRE.format(self._run))]
        arguments += ["-trace_logs", "-log_file", str(self.folder / books.CALLS.format(self._run))]
        return arguments

    def _scenario(self) -> str:
        suffix = "" if self.transport is Transport.UDP else f";transport={self.transport.value}"
        return scenario.carrier(
            Setting(
                sounds_folder=speech.cache_folder(),
                table=_TABLE,
                contact=f"sip:carrier@{self.address}:{self.port}{suffix}",
                codec=self._codec,
                credentials=self._credentials,
            )
        )


class BusyCarrier(Sipp):
    """A carrier for load: 486 to every INVITE, no books, as fast as SIPp goes."""

    def _scenario(self) -> str:
        return scenario.busy()
