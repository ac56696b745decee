"""The simulated floor against formulas: queues and policies whose exact values are known."""

from __future__ import annotations

from dataclasses import replace
from math import exp, factorial, sqrt

import numpy as np

from pacing.simulation import Law, Mixture, Scenario, markov, optimum, parse_pacer, play_days
from pacing.simulation import floor as books
from pacing.simulation.luck import new_floor

SURE = 2.861  # 99 % of Student's t with the 19 degrees of freedom of 20 batches
HOUR_S = 3600.0


def queue(servers: int, talk_s: float, patience: Law, *, hours: float) -> Scenario:
    """Return a floor on which calls are answered at once and always."""
    at_once = Law.constant(0.0)
    return Scenario(
        name="queue",
        agents=servers,
        answer_rate=((0.0, 1.0),),
        talk=Law.exponential(talk_s),
        wrap_up=at_once,
        ring_live=at_once,
        ring_other=Mixture.of(at_once),
        patience=patience,
        day_s=hours * HOUR_S,
    )


def played(scenario: Scenario, per_s: float, seed: int) -> tuple[float, float]:
    """Return the share of Poisson arrivals that found everybody busy, and the share lost."""
    floor = new_floor(scenario, (seed,))
    rng = np.random.default_rng(seed)
    arrivals = found_busy = 0
    now = rng.exponential(1 / per_s)
    while now < scenario.day_s:
        books.advance(floor, now)
        arrivals += 1
        found_busy += int(floor.counts[books.IDLE] == 0)
        books.start_calls(floor, 1, 0.0)
        now += rng.exponential(1 / per_s)
    books.advance(floor, scenario.day_s)
    lost = floor.counts[books.ABANDONED] / floor.counts[books.ANSWERED]
    return found_busy / arrivals, float(lost)


def erlang_c(servers: int, load: float) -> float:
    """Return the share of arrivals that wait in M/M/c (Erlang 1917)."""
    last = load**servers / factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / factorial(k) for k in range(servers)) + last)


def erlang_a(servers: int, per_s: float, talk_s: float, patience_s: float) -> float:
    """Return the share lost in M/M/c+M (Palm 1957), from its birth-death chain."""
    weights = [1.0]
    for n in range(1, servers + 200):
        death = min(n, servers) / talk_s + max(0, n - servers) / patience_s
        weights.append(weights[-1] * per_s / death)
    waiting = sum(max(0, n - servers) * weight for n, weight in enumerate(weights))
    return waiting / sum(weights) / patience_s / per_s


def lost_within(servers: int, per_s: float, talk_s: float, limit_s: float) -> float:
    """Return the share lost in M/M/c+D, everybody waiting *limit_s* (Baccelli and Hebuterne 1981).

    In the form of Zeltyn and Mandelbaum (2005), Queueing Systems 51, for constant patience.
    """
    out = servers / talk_s
    gain = per_s - out
    waiting = (exp(gain * limit_s) - 1) / gain + exp(gain * limit_s) / out
    none = sum(
        factorial(servers - 1) / factorial(servers - 1 - k) * (per_s * talk_s) ** -k
        for k in range(servers)
    )
    return (1 + gain * waiting) / (none + per_s * waiting)


def distance(theory: float, values: list[float]) -> float:
    """Return how far *theory* is from the mean of *values*, in its standard errors."""
    return abs(float(np.mean(values)) - theory) / (
        float(np.std(values, ddof=1)) / sqrt(len(values))
    )


def test_waiting_as_erlang_c_says() -> None:
    """
    With endless patience the share that waits is Erlang C's.
    """
    scenario = queue(5, 140.0, Law.constant(1e9), hours=12)
    shares = [played(scenario, 3.5 / 140.0, seed)[0] for seed in range(20)]

    assert distance(erlang_c(5, 3.5), shares) < SURE


def test_losses_as_erlang_a_says() -> None:
    """
    With memoryless patience the share lost is Erlang-A's.
    """
    scenario = queue(8, 140.0, Law.exponential(20.0), hours=8)
    per_s = 8.0 / 140.0
    shares = [played(scenario, per_s, seed)[1] for seed in range(20)]

    assert distance(erlang_a(8, per_s, 140.0, 20.0), shares) < SURE


def test_losses_with_the_legal_two_seconds() -> None:
    """
    With everybody waiting exactly 2 s the share lost is that of M/M/c+D.
    """
    scenario = queue(5, 140.0, Law.constant(2.0), hours=8)
    per_s = 4.0 / 140.0
    shares = [played(scenario, per_s, seed)[1] for seed in range(20)]

    assert distance(lost_within(5, per_s, 140.0, 2.0), shares) < SURE


def test_progressive_as_renewal_theory_says() -> None:
    """
    One call per ready agent: each talk of 140 s follows 1/p rings of 15 s, 73.7 % of the time.
    """
    # A ring's end is acted on at the next tick; 0.05 s of that is in the theory's ring.
    scenario = replace(markov(3, ring_s=15.0), tick_s=0.05, day_s=2 * HOUR_S, warm_up_s=600.0)
    days = [
        play_days(scenario, parse_pacer("progressive"), seed=1, replication=r, days=1)[0][0]
        for r in range(20)
    ]
    theory = 140.0 / (140.0 + 15.025 / 0.3)

    assert distance(theory, [day.occupancy for day in days]) < SURE
    assert 0 == sum(day.abandoned for day in days)


def test_best_policy_does_what_its_value_says() -> None:
    """
    The optimal levels, followed on the floor, are worth what was computed.

    At the optimum's price for people lost: two policies share the optimum, and the one followed
    here may lie a little to either side of 3 %.
    """
    best = optimum(5)
    scenario = replace(markov(5), patience=Law.exponential(2.0))
    worth = []
    for seed in range(20):
        floor = new_floor(scenario, (seed, 7))
        now = 0.0
        while now < scenario.day_s:
            books.advance(floor, now)
            busy = 5 - int(floor.counts[books.IDLE])
            wanted = best.levels[busy] - int(floor.counts[books.PENDING])
            books.start_calls(floor, wanted, 0.0)
            now = float(floor.events[0, books.EVENT_WHEN])
        books.advance(floor, scenario.day_s)
        books.settle_books(floor)
        _, answered, abandoned, busy_s, staffed_s = floor.minutes[10:].sum(axis=0).tolist()
        occupancy, loss = busy_s / staffed_s, abandoned / answered
        worth.append(occupancy - best.price * (loss - 0.03) * occupancy / (1 - loss))

    assert distance(best.occupancy, worth) < SURE
