"""Run benchmarks: ``python -m benchmarks [NAME …] [--quick] [--seed N] [--json]``.

Each runs in a process of its own, beside its peer or bound, within a time limit. Exit code 0 means
that every target was met, 1 that one was missed or a benchmark failed, 2 that it was asked wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import program
from benchmarks.program import MISSED, MISUSE, Options
from benchmarks.registry import BENCHMARKS, Benchmark, find
from benchmarks.report import Report

_END_WITHIN_S = 45.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named, or all; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Benchmarks of Overdial, each beside its peer or bound. Without a name, all.",
        epilog="\n".join(f"  {each.name:12} {each.what}" for each in BENCHMARKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run, see below")
    program.add_options(parser)
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if find(name) is None]
    if unknown:
        known = ", ".join(each.name for each in BENCHMARKS)
        print(f"error: there is no benchmark {unknown[0]}: choose from {known}", file=sys.stderr)
        return MISUSE
    wanted = [each for each in BENCHMARKS if not parsed.names or each.name in parsed.names]
    options = program.options_of(parsed)
    try:
        reports = [report for each in wanted if (report := _run_and_show(each, options))]
    except KeyboardInterrupt:
        return 130
    if len(wanted) > 1 and not options.as_json:
        print(summary(wanted, reports))
    return 0 if len(reports) == len(wanted) and all(r.is_met for r in reports) else MISSED


def _run_and_show(benchmark: Benchmark, options: Options) -> Report | None:
    if not options.as_json:
        program.progress(f"{benchmark.name}: {benchmark.what}")
    report = run(benchmark, options)
    if report is not None:
        print(report.to_json() if options.as_json else report.to_table() + "\n", flush=True)
    return report


def run(benchmark: Benchmark, options: Options) -> Report | None:
    """Run one benchmark to its report; None, with the reason said, when there is none."""
    limit_s = benchmark.quick_limit_s if options.quick else benchmark.limit_s
    command = [sys.executable, "-m", benchmark.module, *replace(options, as_json=True).words()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as it:
        try:
            output, _ = it.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            _end(it)
            _fail(benchmark, f"it took longer than {limit_s:.0f} s")
            return None
        except BaseException:
            _end(it)
            raise
    try:
        report = Report.from_json(output)
    except ValueError:
        _fail(benchmark, f"it ended with code {it.returncode} and no report")
        return None
    words = ["python -m benchmarks", benchmark.name, *options.words()]
    return replace(report, benchmark=benchmark.name, command=" ".join(words))


def _end(running: subprocess.Popen[str]) -> None:
    """Have a benchmark end what it started; then make sure of its whole session."""
    running.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(_END_WITHIN_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def _fail(benchmark: Benchmark, why: str) -> None:
    print(f"error: {benchmark.name} gave no result: {why}", file=sys.stderr, flush=True)


def summary(wanted: Sequence[Benchmark], reports: Sequence[Report]) -> str:
    """Return one line per target of all reports, and what is missing."""
    lines = []
    for report in reports:
        for name, target in report.targets.items():
            measured = report.metrics.get(name)
            shown = "-" if measured is None else f"{measured:.4g}"
            verdict = "MISSED" if name in report.missed else "met"
            wish = f"{target.relation} {target.value:g}"
            lines.append(f"  {report.benchmark:12} {name:34} {shown:>9}  {wish:>9}  {verdict}")
    done = {report.benchmark for report in reports}
    lines += [f"  {each.name:12} NO RESULT" for each in wanted if each.name not in done]
    return "\n".join(["All targets:", *lines])


if __name__ == "__main__":
    sys.exit(main())
