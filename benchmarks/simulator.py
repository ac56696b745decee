"""How fast the simulator is on one core: dials a second of CPU, setting up each day included.

Twenty agents (S1), whole days: progressive, and the full predictive pacer. With numba (the `fast`
extra) everything is compiled before the clock starts; without it the same code runs as it stands,
and no target applies.

    python -m benchmarks simulator [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace

from benchmarks.program import Found, Options, main, progress
from benchmarks.report import Target, at_least
from pacing.compiling import is_possible
from pacing.simulation import built_in, parse_pacer, play_days

TARGETS: dict[str, Target] = (
    {
        "progressive_dials_per_s": at_least(500_000),
        "predictive_dials_per_s": at_least(3000),
    }
    if is_possible()
    else {}
)


async def measure(options: Options) -> Found:
    """Time both pacers in this process."""
    metrics = await asyncio.to_thread(_measure, options)
    return Found(metrics, ("numba",) if is_possible() else ("no numba",))


def _measure(options: Options) -> dict[str, float]:
    fast = is_possible()
    share = 1.0 if fast else 0.125  # an hour, not a day, where nothing is compiled
    days = {"progressive": 40 if fast else 1, "predictive": 3 if fast else 1}
    if options.quick:
        days = {"progressive": 20 if fast else 1, "predictive": 1}
    metrics = {}
    scenario = built_in()["S1"]
    for pacer, count in days.items():
        spec = parse_pacer(pacer)
        progress(f"{pacer}: compiling and one day to warm up")
        short = replace(scenario, day_s=600.0)
        play_days(short, spec, seed=options.seed, replication=0, days=1)
        progress(f"{pacer}: {count} days of {8 * share:g} hours")
        start = time.thread_time()
        played = play_days(
            replace(scenario, day_s=scenario.day_s * share),
            spec,
            seed=options.seed,
            replication=1,
            days=count,
        )
        took_s = time.thread_time() - start
        metrics[f"{pacer}_dials_per_s"] = sum(day.dialed for day in played[0]) / took_s
    return metrics


if __name__ == "__main__":
    sys.exit(main("simulator", measure, TARGETS))
