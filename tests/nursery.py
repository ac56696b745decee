"""`dialer` processes started by a process that has imported everything already.

Importing costs each of them most of two seconds of processor time, and the suite starts a hundred.
The nursery imports once and forks: a child has its own pid, environment and log, runs the command
line from its first word on, and dies of kill -9 like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_IMPORTED = ("dialer.cli", "dialer.lines.process", "dialer.engine.process", "dialer.api.process")
_READY_WITHIN_S = 120.0
_FORKED_WITHIN_S = 60.0


class Child:
    """One forked process, with what a test needs of `asyncio.subprocess.Process`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    @property
    def returncode(self) -> int | None:
        """Return its exit code, minus the signal that ended it, None while it runs."""
        return self._nursery.codes.get(self.pid)

    def send_signal(self, what: int) -> None:
        """Send it a signal, unless it is gone."""
        if self.returncode is None:
            os.kill(self.pid, what)

    def kill(self) -> None:
        """End it without a word."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end and return the exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - its end comes from a thread
            await asyncio.sleep(0.02)
        return code


class Nursery:
    """The process that forks, as the tests see it."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._said: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="nursery", daemon=True)

    def fork(
        self, arguments: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path
    ) -> Child:
        """Start `dialer ARGUMENTS`; the first call waits for the imports."""
        process = self._running()
        assert process.stdin is not None
        order = {"arguments": [*arguments], "env": dict(env), "log": str(log), "cwd": str(cwd)}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        return Child(self, self._said.get(timeout=_FORKED_WITHIN_S))

    def close(self) -> None:
        """End the nursery; its children have been ended by their tests."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        process.wait()
        self._listener.join()
        process.stdout.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parent.parent,
            )
            self._listener.start()
            self._said.get(timeout=_READY_WITHIN_S)
        return self._process

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "code" in told:
                self.codes[told["pid"]] = told["code"]
            else:
                self._said.put(told["pid"])


@contextlib.contextmanager
def opened() -> Iterator[Nursery]:
    """Yield a nursery, which imports when it is first asked for a child."""
    nursery = Nursery()
    try:
        yield nursery
    finally:
        nursery.close()


def _say(**what: int) -> None:
    # One write is one line, also when a child's end interrupts another.
    os.write(1, json.dumps(what).encode() + b"\n")


def _reap(*_: object) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(pid=pid, code=os.waitstatus_to_exitcode(status))


def _become(order: dict[str, Any]) -> None:
    """Turn this fork into what was ordered; it ends as a program of its own ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = ["dialer", *order["arguments"]]
    importlib.import_module("dialer.cli").main()


def main() -> None:
    """Import, then fork what is ordered on standard input, one line of JSON each."""
    for module in _IMPORTED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, _reap)
    _say(pid=0)
    # Unbuffered: a fork must not inherit orders that wait behind its own.
    orders = os.fdopen(0, "rb", buffering=0, closefd=False)
    while line := orders.readline():
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            return
        _say(pid=pid)


if __name__ == "__main__":
    main()
