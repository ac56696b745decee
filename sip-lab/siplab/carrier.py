"""The carrier: SIPp processes that play the telephone network behind a trunk.

Errors: ``CarrierError`` (SIPp is missing, a port is in use, or SIPp ended by itself; the message
carries SIPp's own reason).
"""

import asyncio
import contextlib
import enum
import os
import shutil
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from siplab import books, plan_table, probe, scenario, speech
from siplab.plan_table import Pace
from siplab.scenario import Codec, Credentials
from siplab.tls import TlsError, TlsFront

_READY_TIMEOUT_S = 15.0
_READY_POLL_S = 0.05
# SIGTERM has SIPp wait for calls to end; the books are on disk line by line, so it need not.
_STOP_TIMEOUT_S = 1.0
_DEFAULT_LIFE_S = 4 * 3600
_TABLE = "plan.csv"
_LAST_WORDS = "sipp.err"


class CarrierError(RuntimeError):
    """The carrier could not start or is gone; the message says why and what to do."""


class Transport(enum.StrEnum):
    """How the trunk reaches the carrier. Debian's SIPp has no TLS, so a front of ours adds it."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Sipp:
    """One SIPp process serving a scenario; what its subclasses share."""

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
        self.folder = folder
        self.address = address
        self.transport = transport
        self.port = port or free_port(address)
        self.media_port = media_port or free_media_port(address)
        self._inner_port = self.port if transport is not Transport.TLS else free_port(address)
        """Where SIPp itself listens."""
        self._front: TlsFront | None = None
        self._life_s = life_s
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id while the carrier runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    @property
    def uri(self) -> str:
        """Return the SIP URI to configure as a trunk."""
        suffix = "" if self.transport is Transport.UDP else f";transport={self.transport.value}"
        return f"sip:{self.address}:{self.port}{suffix}"

    async def start(self) -> None:
        """Start SIPp and return once it answers OPTIONS."""
        if self.pid is not None:
            return
        if shutil.which("sipp") is None:
            message = "sipp is not installed: apt-get install sip-tester"
            raise CarrierError(message)
        self._check_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = self._arguments(self._run_number())
        with (self.folder / _LAST_WORDS).open("wb") as last_words:
            self._process = await asyncio.create_subprocess_exec(
                *_dying_with_us(),
                "sipp",
                *arguments,
                cwd=self.folder,
                # curses wants a terminal type even when nothing is drawn
                env={**os.environ, "TERM": "xterm"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=last_words,
            )
        try:
            if self.transport is Transport.TLS:
                self._front = TlsFront(self.address, self.port, self._inner_port)
                await self._front.open()
            await self._until_ready()
        except TlsError as error:
            await self.kill()
            raise CarrierError(str(error)) from error
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Ask SIPp to end and wait; calls that are up are dropped without a BYE."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Make the carrier vanish: SIGKILL, not a word on the wire."""
        await self._end(signal.SIGKILL)

    async def restart(self) -> None:
        """Stop if running, then start anew on the same ports; the books go on."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    def _run_number(self) -> int:
        run = 1
        while (self.folder / books.WIRE.format(run)).exists():
            run += 1
        return run

    def _arguments(self, run: int) -> list[str]:
        """Return SIPp's command line; *run* counts the starts in this folder."""
        path = self.folder / f"{type(self).__name__.lower()}.xml"
        path.write_text(self._scenario(), encoding="latin-1")
        transport = "u1" if self.transport is Transport.UDP else "t1"
        arguments = ["-sf", str(path), "-i", self.address, "-bind_local"]
        arguments += ["-p", str(self._inner_port)]
        arguments += ["-mi", self.address, "-mp", str(self.media_port), "-t", transport]
        arguments += ["-cp", str(free_port(self.address)), "-nostdin", "-f", "3600"]
        arguments += ["-timeout", f"{self._life_s}s", "-aa"]
        # A registration is refreshed under its old Call-ID, which SIPp would ignore for 33 s.
        arguments += ["-deadcall_wait", "2000"]
        # A stray message must not take a call down, nor a busy machine the carrier.
        arguments += ["-default_behaviors", "all,-abortunexp", "-max_socket", "20000"]
        arguments += ["-watchdog_major_maxtriggers", "1000000"]
        arguments += ["-watchdog_minor_maxtriggers", "1000000"]
        arguments += ["-trace_err", "-error_file", str(self.folder / f"errors-{run}.log")]
        return arguments

    def _scenario(self) -> str:
        raise NotImplementedError

    async def _until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline:
            if self.pid is None:
                raise CarrierError(self._reason())
            with contextlib.suppress(probe.NoResponseError, OSError):
                answer = await probe.options(
                    self.address, self.port, transport=self.transport.value, timeout_s=0.5
                )
                # The tag names the process: another one may hold the port.
                if answer.message.tag("to").startswith(f"siplab{self.pid}c"):
                    return
            await asyncio.sleep(_READY_POLL_S)
        message = f"the carrier did not answer OPTIONS within {_READY_TIMEOUT_S:.0f} s"
        raise CarrierError(message)

    def _check_port(self) -> None:
        """Raise CarrierError if another program holds the port."""
        kind = socket.SOCK_DGRAM if self.transport is Transport.UDP else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as trial:
            if kind is socket.SOCK_STREAM:
                # A connection of the last run may linger; that does not keep SIPp from listening.
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((self.address, self.port))
            except OSError as error:
                message = f"port {self.port} on {self.address} cannot be used: {error.strerror}"
                raise CarrierError(message) from None

    def _reason(self) -> str:
        """Return why SIPp ended, in its own words."""
        lines: list[str] = []
        for path in [self.folder / _LAST_WORDS, *sorted(self.folder.glob("errors-*.log"))]:
            with contextlib.suppress(FileNotFoundError):
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "no reason given")
        return f"SIPp ended at start on port {self.port}: {last.strip()}"

    async def _end(self, how: signal.Signals) -> None:
        if self._front is not None:
            await self._front.close()
            self._front = None
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


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
        self._codec = codec
        self._credentials = credentials

    def calls(self) -> list[books.CarrierCall]:
        """Return the books so far."""
        return books.read(self.folder)

    def live_calls(self) -> list[books.CarrierCall]:
        """Return the calls that are up now."""
        return books.live_calls(self.folder)

    async def start(self) -> None:
        """Make the sounds if need be, then start."""
        await asyncio.to_thread(speech.ensure)
        await super().start()

    def _arguments(self, run: int) -> list[str]:
        plan_table.write(self.folder / _TABLE, self.pace)
        arguments = super()._arguments(run)
        arguments += ["-inf", _TABLE, "-infindex", _TABLE, "0"]
        arguments += ["-trace_shortmsg", "-shortmessage_file"]
        arguments += [str(self.folder / books.WIRE.format(run))]
        arguments += ["-trace_logs", "-log_file", str(self.folder / books.CALLS.format(run))]
        return arguments

    def _scenario(self) -> str:
        suffix = "" if self.transport is Transport.UDP else f";transport={self.transport.value}"
        return scenario.carrier(
            scenario.Setting(
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


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that is free now for UDP and TCP."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((address, 0))
            port = int(udp.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
                try:
                    tcp.bind((address, port))
                except OSError:
                    continue
                return port
    message = f"no port is free on {address}"
    raise CarrierError(message)


def free_media_port(address: str = "127.0.0.1") -> int:
    """Return an even port to start RTP ports from."""
    return free_port(address) & ~1


def _dying_with_us() -> list[str]:
    """Return the command prefix that has the kernel end SIPp when this process is killed."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
