"""One line per stage of set-up: what happens, and how many seconds it took.

Errors: `SetupError` is the only one the user sees, as one sentence without a stack trace.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

EXIT_MISUSE = 2
TICK_S = 1.0
LOG_TAIL_LINES = 15


class SetupError(Exception):
    """A set-up step failed; the message says what, where and what to do."""


def cache_home() -> Path:
    """Return the folder for what survives a fresh clone: wheels, sources, logs of set-up."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "overdial"


def fresh_log(name: str) -> Path:
    """Return an empty log file of that name in the cache."""
    log = cache_home() / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    return log


def say(line: str) -> None:
    """Print one line of progress at once, also when output goes to a file."""
    print(line, flush=True)


def fail(error: SetupError) -> NoReturn:
    """Print *error* as one sentence and leave with the exit code for misuse."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    raise SystemExit(EXIT_MISUSE)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Show *name* while the block runs, then its elapsed seconds on the same line."""
    started = time.monotonic()
    done = threading.Event()
    on_terminal = sys.stdout.isatty()

    def count() -> None:
        while not done.wait(TICK_S):
            print(f"\r  {name} … {time.monotonic() - started:.0f} s", end="", flush=True)

    print(f"  {name} … ", end="", flush=True)
    counter = threading.Thread(target=count, name="stage-counter", daemon=True)
    if on_terminal:
        counter.start()
    failed = True
    try:
        yield
        failed = False
    finally:
        done.set()
        if on_terminal:
            counter.join()
            print(f"\r  {name} … ", end="")
        outcome = "failed after " if failed else ""
        print(f"{outcome}{time.monotonic() - started:.1f} s", flush=True)


def run(
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 900,
) -> None:
    """Run *command* with its output in *log*; raise `SetupError` with the log's end if it fails."""
    with log.open("ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        try:
            finished = subprocess.run(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError as exc:
            message = f"{command[0]} is not installed; run setup/packages.sh as root"
            raise SetupError(message) from exc
        except subprocess.TimeoutExpired as exc:
            message = f"{command[0]} did not finish in {timeout_s:.0f} s; its output is in {log}"
            raise SetupError(message) from exc
    if finished.returncode != 0:
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        end = "\n".join(f"    {line}" for line in lines)
        message = f"{command[0]} failed; the whole output is in {log}, its end is:\n{end}"
        raise SetupError(message)
