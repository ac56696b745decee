"""Which way to hear screened calls leaves the agents' audio alone? Decision record 0003 asks.

For each way and load a process of its own holds 50 agents bridged to customers and 100 calls under
screening; a far side on plain sockets counts what reaches the agents' phones.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import program
from benchmarks.audio_path_near import Run, Way
from benchmarks.children import Child
from benchmarks.program import Found, Options
from benchmarks.report import at_least, at_most

_LOADS = (0.0, 0.6)
_SECONDS, _QUICK_SECONDS = 12.0, 4.0
_ANSWER_WITHIN_S = 120.0

TARGETS = {
    "recorder_load60_agents_delivered": at_least(0.999),
    "recorder_load60_agents_delivered_worst": at_least(0.999),
    "recorder_load60_agents_on_time": at_least(0.999),
    "recorder_load60_frames_analysed": at_least(0.999),
    "recorder_load60_analysis_ms": at_most(3.0),
}


async def measure(options: Options) -> Found:
    """Measure every way, busy, and unless it has to be quick also idle."""
    metrics: dict[str, float] = {}
    for load in _LOADS[options.quick :]:
        for way in Way:
            program.progress(f"{way}, loop {load:.0%} busy")
            seconds = _QUICK_SECONDS if options.quick else _SECONDS
            run = asdict(Run(way, load, options.seed, seconds))
            async with Child("benchmarks.audio_path_near") as near:
                found = await near.ask("measure", within_s=_ANSWER_WITHIN_S, run=run)
            metrics |= {f"{way}_load{round(100 * load)}_{key}": v for key, v in found.items()}
    return Found(metrics)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a command line."""
    return program.main("audio_path", measure, TARGETS, arguments)


if __name__ == "__main__":
    sys.exit(main())
