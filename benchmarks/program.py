"""A benchmark as a program: its options, its bounded run, its report and its exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.children import ChildError
from benchmarks.report import Report, Target
from campaigns.errors import UserError
from siplab.carrier import CarrierError

MISSED = 1
MISUSE = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; `quick` bounds a run to a minute at the price of wider scatter."""

    quick: bool = False
    seed: int = 1
    as_json: bool = False

    def words(self) -> list[str]:
        """Return the options as a command line has them."""
        return ["--quick"] * self.quick + ["--seed", str(self.seed)] + ["--json"] * self.as_json


@dataclass(frozen=True, slots=True)
class Found:
    """What a run measured, and the versions of what it hangs on."""

    metrics: Mapping[str, float]
    versions: tuple[str, ...] = ()


Measure = Callable[[Options], Awaitable[Found]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options every benchmark has."""
    parser.add_argument("--quick", action="store_true", help="less than a minute, wider scatter")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn at random")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def options_of(parsed: argparse.Namespace) -> Options:
    """Return the options of a parsed command line."""
    return Options(quick=parsed.quick, seed=parsed.seed, as_json=parsed.json)


def main(
    name: str,
    measure: Measure,
    targets: Mapping[str, Target],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run one benchmark and print its report; 0 if every target is met, else 1."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    add_options(parser)
    options = options_of(parser.parse_args(arguments))
    _forget_settings()
    try:
        found = asyncio.run(_interruptible(measure(options)))
    except (UserError, CarrierError, ChildError, AssertionError) as error:
        print(f"error: the benchmark {name} could not be run: {error}", file=sys.stderr)
        return MISUSE
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    report = Report(
        benchmark=name,
        command=" ".join(["python -m benchmarks", name, *options.words()]),
        seed=options.seed,
        machine=machine.description(*found.versions),
        metrics=found.metrics,
        targets=targets,
    )
    print(report.to_json() if options.as_json else report.to_table())
    return 0 if report.is_met else MISSED


async def _interruptible(work: Awaitable[Found]) -> Found:
    """Let SIGTERM cancel the run, so that every process it started is ended."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


def _forget_settings() -> None:
    """Measure the defaults, whatever the user's own service is set to."""
    for name in [name for name in os.environ if name.startswith("DIALER_")]:
        del os.environ[name]


def progress(text: str) -> None:
    """Tell a waiting person where the run stands, beside the report."""
    print(f"  … {text}", file=sys.stderr, flush=True)
