"""What the pacer achieves on simulated days, beside its peers and the exact optimum.

Cold days: each scenario of the S family from nothing learned and an empty daily window (limit 3 %,
target 2.85 %), under the pacer, progressive and other dialers' rules, on the same luck. The same
days under the profile `strict-default` (target 2 %), and the first hour of small teams. Warm days:
the Markov twins inside a 30-day window (target 2.95 %), and how far below the optimum they stay.
Then how long a decision takes with 200 agents and 600 calls in flight.

Days are seeded 1000 and up. The full run plays 200 days per scenario and takes about two hours
on two cores with numba (the `fast` extra); --quick plays minutes of the smaller ones.

    python -m benchmarks pacing [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import quantiles

from numpy.random import default_rng

from benchmarks.program import Found, Options, main, progress
from benchmarks.report import Target, at_least, at_most
from pacing import (
    AgentStage,
    AgentView,
    History,
    Learner,
    Mode,
    PendingCall,
    Policy,
    RingEnd,
    Snapshot,
    TrunkRoom,
    WindowCount,
    decide,
)
from pacing.compiling import is_possible
from pacing.simulation import (
    Day,
    PacerSpec,
    Scenario,
    Window,
    built_in,
    optimum_of,
    parse_pacer,
    sales,
    simulate,
)
from pacing.simulation.scenario import DAY_S
from pacing.simulation.statistics import abandonment, mean_occupancy

FIRST_SEED = 999
LEAST_OCCUPANCY = {
    "S1": 88.9,
    "S2": 81.1,
    "S3": 97.3,
    "S4": 85.9,
    "S5": 85.1,
    "S6": 92.8,
    "S7": 88.1,
    "S9": 93.1,
}
"""Half a point below the reference's prototype, which knew no guard."""
MOST_GAP = {"M5": 0.8, "M10": 0.5, "M20": 0.5, "M50": 0.5, "M100": 0.5}
PEERS = (
    "progressive",
    "vicidial-hard",
    "vicidial-average",
    "vicidial-average:max=6,available-only",
    "vicidial-tapered",
    "issabel",
    "expected",
)
STRICT = Window("day", limit=0.03, target=0.02, length_s=DAY_S)
SMALL_TEAMS = (3, 5)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played: days per scenario, their length, and how many decisions are timed."""

    cold: tuple[str, ...]
    warm: tuple[str, ...]
    days: int
    warm_days: int
    day_s: float
    tick_s: float
    strict: tuple[str, ...]
    decisions: int
    processes: int | None = None


FULL = Plan(
    cold=tuple(LEAST_OCCUPANCY),
    warm=tuple(MOST_GAP),
    days=200,
    warm_days=25,
    day_s=DAY_S,
    tick_s=0.5,
    strict=("S1", "S2", "S3", "S4"),
    decisions=2000,
)
QUICK = replace(FULL, cold=("S1", "S2", "S4"), warm=("M5", "M20"), days=6, warm_days=2)
QUICK = replace(QUICK, strict=("S2",), decisions=300)
PLAIN = replace(QUICK, cold=("S2",), warm=("M5",), strict=(), days=2, day_s=3600.0, tick_s=1.0)
"""The quick plan where numba is missing: an hour of the small teams."""


def targets_of(plan: Plan) -> dict[str, Target]:
    """Return the targets that *plan* can be held to; an hour alone is no day."""
    targets: dict[str, Target] = {}
    if plan.day_s == DAY_S:
        targets |= {f"occupancy_{name}": at_least(LEAST_OCCUPANCY[name]) for name in plan.cold}
        targets |= {f"gap_{name}": at_most(MOST_GAP[name]) for name in plan.warm}
        targets |= {"worst_hour": at_most(5.0)}
    return targets | {"days_over_limit": at_most(0), "decide_p95_ms": at_most(1.0)}


def plan_of(options: Options) -> Plan:
    """Return what is played; the full plan needs numba to end within hours."""
    if options.quick:
        return QUICK if is_possible() else PLAIN
    return FULL


async def measure(options: Options) -> Found:
    """Play the plan in worker processes, and time decisions in this one."""
    return await asyncio.to_thread(_measure, plan_of(options), FIRST_SEED + options.seed)


def _measure(plan: Plan, seed: int) -> Found:
    metrics: dict[str, float] = {}
    over = days = 0
    worst_hour = 0.0
    for name in plan.cold:
        progress(f"{name}: {plan.days} cold days under {1 + len(PEERS)} pacers")
        scenario = replace(built_in()[name], day_s=plan.day_s, tick_s=plan.tick_s)
        played = _play(scenario, plan, ["predictive", *PEERS], plan.days, seed)
        metrics |= _found(name, played)
        mine = played["predictive"]
        over += sum(day.over_limit for day in mine)
        days += len(mine)
        hour = 100 * max(lost / max(1, answered) for lost, answered in _hours(mine))
        metrics[f"worst_hour_{name}"] = hour
        worst_hour = max(worst_hour, hour)
    metrics |= {"days_over_limit": over, "days": days, "worst_hour": worst_hour}
    metrics |= _strict(plan, seed)
    for name in plan.warm:
        progress(f"{name}: {plan.warm_days * 8} warm days beside the optimum")
        metrics |= _gap(name, plan, seed)
    progress("decisions with 200 agents and 600 calls in flight")
    metrics |= decision_times(plan.decisions)
    return Found(metrics, ("numba",) if is_possible() else ("no numba",))


def _strict(plan: Plan, seed: int) -> dict[str, float]:
    """Return the same cold days under strict-default, and small teams' first hours."""
    metrics: dict[str, float] = {}
    for name in plan.strict:
        progress(f"{name}: {plan.days} cold days under strict-default")
        scenario = replace(built_in()[name], tick_s=plan.tick_s, windows=(STRICT,))
        strict = _play(scenario, plan, ["predictive"], plan.days, seed)["predictive"]
        metrics[f"strict_occupancy_{name}"] = 100 * mean_occupancy(strict).mean
        metrics[f"strict_abandonment_{name}"] = 100 * abandonment(strict)
        metrics[f"strict_days_over_{name}"] = sum(day.over_limit for day in strict)
    for agents in SMALL_TEAMS if plan.strict else ():
        hour = replace(sales(f"S1 with {agents}", agents), day_s=3600.0, windows=(STRICT,))
        first = _play(hour, plan, ["predictive", "progressive"], plan.days, seed)
        for pacer, played in first.items():
            metrics[f"first_hour_{agents}_agents_{pacer}"] = 100 * mean_occupancy(played).mean
    return metrics


def _gap(name: str, plan: Plan, seed: int) -> dict[str, float]:
    """Return how many points below the optimum warm days stay: eight windows, days on end."""
    scenario = replace(built_in()[name].warm(), tick_s=plan.tick_s)
    if plan.day_s != DAY_S:
        scenario = replace(scenario, day_s=plan.day_s)
    study = simulate(
        scenario,
        [parse_pacer("predictive")],
        replications=8 if plan.warm_days > 1 else 2,
        days=plan.warm_days + 1,
        seed=seed,
        processes=plan.processes,
    )
    # The first day of each window is for learning.
    warm = [day for at, day in enumerate(study.days["predictive"]) if at % (plan.warm_days + 1) > 0]
    best = optimum_of(scenario)
    assert best is not None  # noqa: S101 - the twins are memoryless
    mean = mean_occupancy(warm)
    return {
        f"gap_{name}": 100 * (best.occupancy - mean.mean),
        f"gap_ci_{name}": 100 * mean.half_width,
        f"occupancy_{name}": 100 * mean.mean,
        f"abandonment_{name}": 100 * abandonment(warm),
        f"optimum_{name}": 100 * best.occupancy,
        f"windows_over_{name}": sum(day.over_limit for day in warm),
    }


def _play(
    scenario: Scenario, plan: Plan, pacers: Sequence[str], days: int, seed: int
) -> dict[str, list[Day]]:
    specs: list[PacerSpec] = [parse_pacer(pacer) for pacer in pacers]
    study = simulate(scenario, specs, replications=days, seed=seed, processes=plan.processes)
    return study.days


def _found(name: str, played: dict[str, list[Day]]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for pacer, days in played.items():
        prefix = "" if pacer == "predictive" else f"{pacer}_"
        mean = mean_occupancy(days)
        metrics[f"{prefix}occupancy_{name}"] = 100 * mean.mean
        metrics[f"{prefix}abandonment_{name}"] = 100 * abandonment(days)
        if not prefix:
            metrics[f"occupancy_ci_{name}"] = 100 * mean.half_width
        metrics[f"{prefix}days_over_{name}"] = sum(day.over_limit for day in days)
    return metrics


def _hours(days: Sequence[Day]) -> list[tuple[int, int]]:
    return [day.worst_hour for day in days]


def decision_times(decisions: int) -> dict[str, float]:
    """Return the 95th percentile of `decide`, in CPU milliseconds: 200 agents, and 2,000."""
    metrics = {}
    history = experienced()
    for key, agents, calls in (("decide_p95_ms", 200, 600), ("decide_2000_p95_ms", 2000, 3000)):
        took = []
        for turn in range(decisions):
            snapshot = busy_floor(agents, calls, turn, history)
            start = time.thread_time()
            decide(snapshot)
            took.append(1000 * (time.thread_time() - start))
        metrics[key] = quantiles(took, n=20)[18]
    return metrics


def experienced() -> History:
    """Return what a campaign knows after an hour of such a floor: 3,000 calls."""
    rng = default_rng(1)
    learner = Learner()
    for ring_s in rng.uniform(1.0, 22.0, 3000).tolist():
        is_live = ring_s < 15 and rng.random() < 0.45
        end = RingEnd.LIVE if is_live else RingEnd.NOT_LIVE
        learner.observe_end(end, ring_s, in_flight=600)
        if is_live:
            learner.observe_talk(float(rng.exponential(120.0)))
            learner.observe_wrap_up(float(rng.exponential(20.0)))
    return learner.history()


def busy_floor(agents: int, calls: int, turn: int, history: History) -> Snapshot:
    """Return a floor with everybody at something and *calls* ringing, another one each *turn*."""
    stages = (AgentStage.TALKING,) * 8 + (AgentStage.WRAP_UP,) + (AgentStage.READY,)
    return Snapshot(
        at_s=float(turn),
        agents=tuple(
            AgentView(stages[at % 10], float((at * 37 + turn) % 300)) for at in range(agents)
        ),
        pending=tuple(PendingCall(((at * 13 + turn) % 220) / 10) for at in range(calls)),
        trunks=(TrunkRoom("trunk", 10_000, 10_000),),
        windows=(WindowCount("day", 5000 + turn, 140, 30_000, 28_500, DAY_S),),
        callable_leads=100_000,
        history=history,
        policy=Policy(mode=Mode.PREDICTIVE),
        remaining_shift_s=DAY_S,
    )


def _targets(arguments: Sequence[str]) -> dict[str, Target]:
    return targets_of(plan_of(Options(quick="--quick" in arguments)))


if __name__ == "__main__":
    sys.exit(main("pacing", measure, _targets(sys.argv)))
