"""Several pacers on the same simulated days, in as many processes as there are cores.

Replication r sees the same people, talks and luck under every pacer, so differences between pacers
are paired. Results depend on the seed only, never on how many processes computed them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import cpu_count, get_context

from pacing.simulation.day import Day, play_days
from pacing.simulation.pacers import PacerSpec
from pacing.simulation.scenario import Scenario

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Study:
    """The days of each pacer, by its name, in the order of (replication, campaign, day)."""

    scenario: Scenario
    seed: int
    days: dict[str, list[Day]]


def simulate(
    scenario: Scenario,
    pacers: Sequence[PacerSpec],
    *,
    replications: int = 8,
    days: int = 1,
    seed: int = 1,
    processes: int | None = None,
    fast: bool | None = None,
    on_done: Progress | None = None,
) -> Study:
    """Return *replications* times *days* consecutive days of *scenario* under each of *pacers*.

    Over the days of one replication windows marked as carried, what the pacer learned and another
    dialer's level live on. *processes* is 1 for this process alone, None for one per core. *fast*
    says whether to compile with numba first, None wherever it is installed; the days are the same.
    *on_done* is told (replications finished, of how many), all pacers counted.
    """
    if replications < 1 or days < 1:
        raise ValueError(f"needs at least one replication and day, not {replications} and {days}")
    tasks = [(spec, replication) for replication in range(replications) for spec in pacers]
    played: dict[tuple[str, int], list[list[Day]]] = {}
    workers = min(processes or cpu_count(), len(tasks), cpu_count())
    if workers <= 1:
        for done, (spec, replication) in enumerate(tasks, start=1):
            played[spec.name, replication] = play_days(
                scenario, spec, seed=seed, replication=replication, days=days, fast=fast
            )
            if on_done is not None:
                on_done(done, len(tasks))
    else:
        # Fresh processes, not forks: the caller may have threads or an open database.
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        try:
            futures: dict[Future[list[list[Day]]], tuple[str, int]] = {
                pool.submit(
                    play_days,
                    scenario,
                    spec,
                    seed=seed,
                    replication=replication,
                    days=days,
                    fast=fast,
                ): (spec.name, replication)
                for spec, replication in tasks
            }
            for done, future in enumerate(as_completed(futures), start=1):
                played[futures[future]] = future.result()
                if on_done is not None:
                    on_done(done, len(tasks))
        finally:
            pool.shutdown(cancel_futures=True)
    return Study(
        scenario,
        seed,
        {
            spec.name: [
                day
                for replication in range(replications)
                for campaign in played[spec.name, replication]
                for day in campaign
            ]
            for spec in pacers
        },
    )
