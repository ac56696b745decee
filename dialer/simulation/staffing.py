"""How many agents it takes to be through a list by a given time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from dialer.simulation.runs import Effort, handling_s
from pacing.simulation import PacerSpec, Scenario, simulate

# So many of the simulated days must be through in time.
SURE = 0.9
MOST_AGENTS = 2000
_FIRST_GUESS_OCCUPANCY = 0.85
_LAST_CALLS_S = 300.0


@dataclass(frozen=True, slots=True)
class Staffing:
    """The smallest team found that is through by the deadline; None when no team is.

    `share_in_time` of the simulated days were; `tried` are the teams simulated.
    """

    agents: int | None
    share_in_time: float
    tried: tuple[int, ...]


def agents_needed(
    with_agents: Callable[[int], Scenario],
    pacer: PacerSpec,
    *,
    deadline_s: float,
    effort: Effort,
    on_try: Callable[[int], None] | None = None,
) -> Staffing:
    """Return the smallest team whose list is finished *deadline_s* after the start.

    More agents are never slower, so the answer lies where "in time" begins; it is found by
    doubling and halving from a first guess of the work in the list.
    """
    known: dict[int, float] = {}

    def in_time(agents: int) -> bool:
        if agents not in known:
            if on_try is not None:
                on_try(agents)
            known[agents] = _share_in_time(with_agents(agents), pacer, deadline_s, effort)
        return known[agents] >= SURE

    guess = min(MOST_AGENTS, max(1, _first_guess(with_agents(1), deadline_s)))
    low, high = guess, guess
    if in_time(guess):
        while low > 1 and in_time(low):
            high, low = low, max(1, low - max(1, low // 6))
        low = low if not in_time(low) else 0
    else:
        while not in_time(high):
            if high >= MOST_AGENTS:
                return Staffing(None, known[high], tuple(known))
            low, high = high, min(MOST_AGENTS, high + max(1, high // 6))
    while high - low > 1:
        middle = (low + high) // 2
        if in_time(middle):
            high = middle
        else:
            low = middle
    return Staffing(high, known[high], tuple(known))


def _first_guess(scenario: Scenario, deadline_s: float) -> int:
    work_s = (scenario.leads or 0) * scenario.mean_answer_rate * handling_s(scenario)
    usable_s = max(60.0, deadline_s - _LAST_CALLS_S) * _FIRST_GUESS_OCCUPANCY
    return ceil(work_s / usable_s)


def _share_in_time(
    scenario: Scenario, pacer: PacerSpec, deadline_s: float, effort: Effort
) -> float:
    # A day that goes on a little tells late from never.
    day = replace(scenario, day_s=max(scenario.day_s, deadline_s))
    study = simulate(
        day,
        [pacer],
        replications=effort.replications,
        seed=effort.seed,
        processes=effort.processes,
    )
    days = study.days[pacer.name]
    through = sum(one.finished_s is not None and one.finished_s <= deadline_s for one in days)
    return through / len(days)
