"""The whole suite in one command: what can share the machine in parallel, then what needs it alone.

Calls over real wires and processes that get killed mostly wait, but compete for processor time with
everything else, so they run three at a time once the rest is done. They are handed out one by one,
the longest first: no worker is then left alone with a row of long ones. `python -m tests.suite`
passes its arguments to pytest; with a path among them it is pytest and nothing more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
TOGETHER = ("architecture", "unit", "property", "simulation", "integration", "migration")
ALONE = ("acceptance", "sip")
MOST_WORKERS = 8
WIRES = 3
NOTHING_COLLECTED = 5


def folders(categories: tuple[str, ...]) -> list[str]:
    """Return the folders of *categories* that hold tests."""
    present = (TESTS / category for category in categories)
    return [str(path.relative_to(ROOT)) for path in present if any(path.rglob("test_*.py"))]


def run(arguments: list[str]) -> int:
    """Run pytest in a process of its own and return its exit code."""
    env = {"HYPOTHESIS_PROFILE": "ci"} | dict(os.environ)
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def names_a_path(arguments: list[str]) -> bool:
    """Tell whether the user asked for particular files or folders."""
    return any((ROOT / argument.split("::")[0]).exists() for argument in arguments if argument)


def main() -> None:
    """Run both halves, also when the first fails; leave with a failure if either failed."""
    arguments = sys.argv[1:]
    if names_a_path(arguments):
        raise SystemExit(run(arguments))
    started = time.monotonic()
    workers = max(2, min(MOST_WORKERS, os.cpu_count() or 2))
    halves = [
        ["-n", str(workers), "--dist", "loadfile", *arguments, *folders(TOGETHER)],
        ["-n", str(WIRES), "--dist", "load", "--maxschedchunk", "1", *arguments, *folders(ALONE)],
    ]
    codes = [run(half) for half in halves]
    failed = [code for code in codes if code not in {0, NOTHING_COLLECTED}]
    # Nothing collected anywhere means a -k or -m that matches no test: not a success.
    empty = all(code == NOTHING_COLLECTED for code in codes)
    verdict = "failed" if failed or empty else "passed"
    print(f"suite: {verdict} in {time.monotonic() - started:.0f} s", flush=True)
    raise SystemExit(failed[0] if failed else NOTHING_COLLECTED if empty else 0)


if __name__ == "__main__":
    main()
