"""A foreign program the lab runs: started quietly, ended by its pid, even when we are killed.

Errors: ``ProgramError`` (it is missing, a port is in use, it ended by itself; the message carries
the program's own reason).
"""

import abc
import asyncio
import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

_READY_TIMEOUT_S = 20.0
_READY_POLL_S = 0.05
_STOP_TIMEOUT_S = 1.0
_LAST_WORDS = "last-words.log"


class ProgramError(RuntimeError):
    """The program could not start or is gone; the message says why and what to do."""


class Program(abc.ABC):
    """One process with a folder of its own; subclasses say what runs and when it is ready."""

    executable: ClassVar[str]
    package: ClassVar[str]
    """Debian package that has the executable."""

    def __init__(self, folder: Path) -> None:
        """Prepare a run in *folder*, which is made if need be."""
        # The program runs inside it, where a relative path would mean another place.
        self.folder = folder.absolute()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id while the program runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start and return once the program is ready."""
        if self.pid is not None:
            return
        if shutil.which(self.executable) is None:
            message = f"{self.executable} is not installed: apt-get install {self.package}"
            raise ProgramError(message)
        await self._prepare()
        with (self.folder / _LAST_WORDS).open("wb") as last_words:
            self._process = await asyncio.create_subprocess_exec(
                *_dying_with_us(),
                self.executable,
                *self._arguments(),
                cwd=self.folder,
                # curses wants a terminal type even when nothing is drawn
                env={**os.environ, "TERM": "xterm"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=last_words,
                stderr=last_words,
                # A group of its own, so that children of the program end with it.
                start_new_session=True,
            )
        try:
            await self._until_ready()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Ask the program to end and wait, for a moment only."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Make the program vanish: SIGKILL."""
        await self._end(signal.SIGKILL)

    async def restart(self) -> None:
        """Stop if running, then start anew on the same ports."""
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

    async def _prepare(self) -> None:
        """Make ready what the program reads."""
        self.folder.mkdir(parents=True, exist_ok=True)

    @abc.abstractmethod
    def _arguments(self) -> list[str]:
        """Return the command line without the program's name."""

    @abc.abstractmethod
    async def _is_ready(self) -> bool:
        """Tell whether the program does its work already."""

    async def _until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline:
            if self.pid is None:
                raise ProgramError(self._reason())
            if await self._is_ready():
                return
            await asyncio.sleep(_READY_POLL_S)
        message = f"{self.executable} was not ready within {_READY_TIMEOUT_S:.0f} s"
        raise ProgramError(f"{message}; its last words: {self._last_words()}")

    def _reason(self) -> str:
        """Return why the program ended, in its own words."""
        return f"{self.executable} ended at start: {self._last_words()}"

    def _last_words(self) -> str:
        lines: list[str] = []
        for path in [self.folder / _LAST_WORDS, *sorted(self.folder.glob("errors-*.log"))]:
            with contextlib.suppress(FileNotFoundError):
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "none")

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            # What is left of the group, which has the pid of its first process as its name.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


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
    raise ProgramError(message)


def check_port(address: str, port: int, kind: socket.SocketKind) -> None:
    """Raise ProgramError if another program holds the port."""
    with socket.socket(socket.AF_INET, kind) as trial:
        if kind is socket.SOCK_STREAM:
            # A connection of the last run may linger; that does not keep anybody from listening.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as error:
            message = f"port {port} on {address} cannot be used: {error.strerror}"
            raise ProgramError(message) from None


def _dying_with_us() -> list[str]:
    """Return the command prefix that has the kernel end the program when we are killed."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
