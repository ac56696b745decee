"""The machine a benchmark ran on, and what its processes cost."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def description(*parts: str) -> str:
    """Return the machine in one line; *parts* name what else the figures hang on, with versions.

    The load average of the last minute is part of it: above the number of cores, others were
    computing too.
    """
    load = os.getloadavg()[0]
    memory = psutil.virtual_memory().total / 2**30
    words = [
        f"{os.cpu_count()} cores {_processor()}",
        f"{memory:.0f} GiB",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        *parts,
        f"load {load:.1f} at the end",
    ]
    return ", ".join(words)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds process *pid* has used, all its threads, user and system."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The second field is the name in parentheses and may hold anything; utime is the 14th.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def tree_cpu_s(pid: int) -> float:
    """Return the CPU seconds of *pid* and its descendants, those that ended included."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
