"""Every benchmark there is: its name, its module, what it measures, how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark; its module takes --quick, --seed and --json and prints one report.

    A run that takes longer than its limit is ended: the limits are several times what a free
    machine needs.
    """

    name: str
    module: str
    what: str
    quick_limit_s: float = 180.0
    limit_s: float = 900.0


BENCHMARKS = (
    Benchmark(
        "lines",
        "benchmarks.lines",
        "call attempts/s of a line process, and its CPU beside a bare pjsua2 loop",
    ),
    Benchmark("path", "benchmarks.path", "call attempts/s from claim to call record"),
    Benchmark("bridge", "benchmarks.bridge", "CPU of 50 conversations beside a bare conference"),
    Benchmark("audio", "benchmarks.audio", "answer to first customer audio at the agent's phone"),
    Benchmark(
        "campaign",
        "benchmarks.campaign",
        "a real campaign through the lab against the simulator's forecast of it",
        quick_limit_s=900.0,
        limit_s=2400.0,
    ),
    Benchmark(
        "audio_path",
        "benchmarks.audio_path",
        "ways to hear screened calls, and what each does to the agents' audio",
    ),
    Benchmark(
        "import", "benchmarks.import_lists", "a million rows of a CSV beside COPY of the same bytes"
    ),
    Benchmark(
        "import_fuzz", "benchmarks.import_fuzz", "10,000 damaged CSV files, every row accounted for"
    ),
    Benchmark(
        "claim",
        "benchmarks.claim",
        "the next 50 callable leads among ten million",
        limit_s=1800.0,
    ),
    Benchmark(
        "pacing",
        "benchmarks.pacing",
        "occupancy and abandonment beside other dialers and the exact optimum",
        limit_s=4 * 3600.0,
    ),
    Benchmark("simulator", "benchmarks.simulator", "simulated dials a second of one core"),
)


def find(name: str) -> Benchmark | None:
    """Return the benchmark of that name."""
    return next((benchmark for benchmark in BENCHMARKS if benchmark.name == name), None)
