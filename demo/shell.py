"""The demo types the commands a user would type, and shows them before they run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from campaigns.errors import UserError

COMMAND_TIMEOUT_S = 120.0
_STOP_GRACE_S = 10.0
_DIALER = str(Path(sys.executable).with_name("dialer"))


class Shell:
    """Runs `dialer …` in the demo's folder with the demo's settings, and keeps what it said."""

    def __init__(self, folder: Path, environment: Mapping[str, str], console: Console) -> None:
        self.folder = folder
        self.environment = environment
        self.console = console
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)

    def echo(self, *words: str) -> None:
        """Show a command the way it would be typed."""
        self.console.print(Text("$ " + shlex.join(["dialer", *words]), "bold"), soft_wrap=True)

    async def run(self, *words: str, lines: int = 1, after: str = "", quiet: bool = False) -> str:
        """Run a command to its end, show some of its output, and return all of it.

        Shown are *lines* lines from the first one that begins with *after*. Raises `UserError`
        with the command's own last line if it fails.
        """
        if not quiet:
            self.echo(*words)
        process = await asyncio.create_subprocess_exec(
            _DIALER,
            *words,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                said, _ = await process.communicate()
        except BaseException:
            await end(process)
            raise
        text = said.decode(errors="replace").strip()
        with (self.logs / "commands.log").open("a", encoding="utf-8") as out:
            out.write(f"$ {shlex.join(['dialer', *words])}\n{text}\n\n")
        if process.returncode:
            last = text.splitlines()[-1] if text else f"exit code {process.returncode}"
            raise UserError(f"`dialer {' '.join(words[:2])}` failed: {last}")
        if not quiet:
            said_lines = [line.rstrip() for line in text.splitlines() if line.strip()]
            for line in itertools.islice(_from(said_lines, after), lines):
                self.console.print(Text("  " + line, "dim"), soft_wrap=True)
        return text

    async def show(self, *words: str) -> None:
        """Run a command that writes straight to this terminal."""
        self.echo(*words)
        process = await asyncio.create_subprocess_exec(
            _DIALER,
            *words,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                code = await process.wait()
        except BaseException:
            await end(process)
            raise
        if code:
            raise UserError(f"`dialer {' '.join(words[:2])}` failed with exit code {code}.")

    @contextlib.asynccontextmanager
    async def background(
        self, *words: str, log: str, grace_s: float = _STOP_GRACE_S
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Keep a command running while the block lasts, its output in *log*; end it by its pid."""
        with (self.logs / log).open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *_ending_with_us(),
                _DIALER,
                *words,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Ctrl-C is for the demo alone, which then ends everything in order.
                start_new_session=True,
            )
        try:
            yield process
        finally:
            await end(process, grace_s=grace_s)

    def last_line(self, log: str) -> str:
        """Return the last thing a background command said."""
        with contextlib.suppress(OSError):
            text = (self.logs / log).read_text(encoding="utf-8", errors="replace")
            said = [line.strip() for line in text.splitlines() if line.strip()]
            if said:
                return said[-1][:300]
        return f"nothing, see {self.logs / log}"


def _from(lines: Iterable[str], first: str) -> Iterator[str]:
    return itertools.dropwhile(lambda line: not line.startswith(first), lines)


async def end(process: asyncio.subprocess.Process, *, grace_s: float = _STOP_GRACE_S) -> None:
    """Ask a process to stop, and kill it if it does not; harmless when it is gone."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _ending_with_us() -> Sequence[str]:
    """Return the prefix that has the kernel stop a command when the demo itself is killed."""
    found = [Path(folder) / "setpriv" for folder in os.environ.get("PATH", "").split(":")]
    program = next((path for path in found if path.is_file()), None)
    return () if program is None else (str(program), "--pdeathsig", "TERM")
