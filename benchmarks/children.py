"""Helpers of a benchmark in processes of their own, spoken to in lines of JSON.

A child says ``{"ready": …}`` once it can work, answers each command line with one line, and ends
when its standard input closes. Whatever else it prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).parent.parent
_END_WITHIN_S = 10.0
# A report of a few thousand calls fits into one line.
_LONGEST_LINE = 16 * 2**20


class ChildError(RuntimeError):
    """A helper process ended or said something else than JSON; its own words stand above."""


class Child:
    """One helper process; `async with` starts it and ends it."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.ready: dict[str, Any] = {}
        self._module = module
        self._arguments = [str(argument) for argument in arguments]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Return the process id; it must have been started."""
        return self._running().pid

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ChildError(f"{self._module} was not started")
        return self._process

    async def __aenter__(self) -> Self:
        """Start it and wait until it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            limit=_LONGEST_LINE,
        )
        try:
            self.ready = await self._answer(30.0)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        await self._end()

    async def ask(self, do: str, *, within_s: float = 30.0, **what: Any) -> Any:
        """Give a command and return what came of it; raises `ChildError`."""
        process = self._running()
        if process.stdin is None:
            raise ChildError(f"{self._module} has no standard input")
        process.stdin.write((json.dumps({"do": do} | what) + "\n").encode())
        return (await self._answer(within_s))["answer"]

    async def _answer(self, within_s: float) -> dict[str, Any]:
        process = self._running()
        if process.stdout is None:
            raise ChildError(f"{self._module} has no standard output")
        try:
            async with asyncio.timeout(within_s):
                line = await process.stdout.readline()
        except TimeoutError:
            raise ChildError(f"{self._module} said nothing within {within_s:.0f} s") from None
        try:
            held: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ChildError(f"{self._module} ended or said no JSON: {line[:200]!r}") from None
        return held

    async def _end(self) -> None:
        process = self._running()
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def say(**what: Any) -> None:
    """Print one line for the parent."""
    print(json.dumps(what), flush=True)


async def serve(answer: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
    """Answer the parent's commands until its end of standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        say(answer=await answer(json.loads(line)))
