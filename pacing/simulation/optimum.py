"""The exact optimum of a memoryless campaign: the best any pacer could do, knowing everything.

A constrained Markov decision process. State (x, m): x people talking or waiting for an agent, m
calls ringing. A talk ends at rate 1/talk for each of min(x, N) agents, a ringing call ends at rate
1/ring and is answered with probability p, each waiting person gives up at rate 1/patience. After
every event any number of calls may be started. Maximise the mean share of busy agents subject to
people lost <= alpha * people who answered.

With a price c on each loss above the allowance this is an average-reward problem, solved by policy
iteration (Howard 1960): the value of a policy is one sparse linear system, the better action from
(x, m) is the m' >= m whose value is highest. The optimum of the constrained problem is the least
of these values over c >= 0 (linear programming duality, Altman 1999, ch. 4: randomising between
the two policies at that price attains it). The waiting room and the number of lines are cut where
the optimal policy never comes. See docs/explanation/simulation.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt

import numpy as np

from pacing.durations import Floats
from pacing.simulation.floor import Integers
from pacing.simulation.scenario import Scenario

_MOST_ROUNDS = 100
_MOST_PRICE = 16.0
_PRICE_TOLERANCE = 2e-3
_FORBIDDEN = -1e6


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best occupancy at *abandonment* and how it is reached.

    `levels[b]` is how many calls ring under the best policy with b agents busy, `price` what one
    person lost is worth in talks, `states` how many states were looked at.
    """

    occupancy: float
    abandonment: float
    price: float
    levels: tuple[int, ...]
    states: int


@lru_cache(maxsize=64)
def optimum(
    agents: int,
    *,
    answer_rate: float = 0.3,
    ring_s: float = 10.0,
    talk_s: float = 140.0,
    patience_s: float = 2.0,
    abandonment: float = 0.03,
) -> Optimum:
    """Return the optimum for *agents*; seconds for 20 of them, minutes for 100.

    ValueError for rates and times that are not positive or shares outside 0 to 1.
    """
    if agents < 1 or not 0 < answer_rate <= 1 or not 0 < abandonment < 1:
        raise ValueError("needs an agent, and shares between 0 and 1")
    if not (ring_s > 0 and talk_s > 0 and patience_s > 0):
        raise ValueError("ringing, talk and patience must last longer than 0 s")
    world = _world(agents, answer_rate, ring_s, talk_s, patience_s, abandonment)
    # The value is convex in the price: narrow down its minimum by the golden section.
    shrink = (sqrt(5) - 1) / 2
    low, high = 0.0, _MOST_PRICE
    policy = world.start
    prices = [high - shrink * (high - low), low + shrink * (high - low)]
    values: list[float] = []
    for price in prices:
        value, policy = _improve(world, price, policy)
        values.append(value)
    while high - low > _PRICE_TOLERANCE:
        if values[0] < values[1]:
            high = prices[1]
            prices = [high - shrink * (high - low), prices[0]]
            value, policy = _improve(world, prices[0], policy)
            values = [value, values[0]]
        else:
            low = prices[0]
            prices = [prices[1], low + shrink * (high - low)]
            value, policy = _improve(world, prices[1], policy)
            values = [values[1], value]
    levels = policy.reshape(world.places, world.lines + 1)[:, 0]
    return Optimum(
        occupancy=float(min(values)),
        abandonment=abandonment,
        price=(low + high) / 2,
        levels=tuple(levels[: agents + 1].tolist()),
        states=policy.size,
    )


def optimum_of(scenario: Scenario, *, abandonment: float = 0.03) -> Optimum | None:
    """Return the optimum of *scenario*, or None if it is not memoryless."""
    ring_other = scenario.ring_other.parts
    simple = (
        len(scenario.answer_rate) == 1
        and scenario.talk.kind == "exponential"
        and scenario.wrap_up.mean_s == 0
        and scenario.ring_live.kind == "exponential"
        and all(part.law == scenario.ring_live for part in ring_other)
        and scenario.screening is None
        and scenario.list_spread == 0
        and not scenario.shifts
        and not scenario.outages
        and scenario.campaigns == 1
    )
    if not simple:
        return None
    return optimum(
        scenario.agents,
        answer_rate=scenario.answer_rate[0][1],
        ring_s=scenario.ring_live.mean_s,
        talk_s=scenario.talk.mean_s,
        patience_s=scenario.patience_s,
        abandonment=abandonment,
    )


def twin_of(scenario: Scenario, *, abandonment: float = 0.03) -> Optimum:
    """Return the optimum of the memoryless twin: the same means, wrap-up as part of the talk.

    Not a bound on *scenario*: knowing how long a talk has lasted is worth something there.
    """
    rate = scenario.mean_answer_rate
    ring_s = rate * scenario.ring_live.mean_s + (1 - rate) * scenario.ring_other.mean_s
    return optimum(
        scenario.agents,
        answer_rate=rate,
        ring_s=ring_s,
        talk_s=scenario.talk.mean_s + scenario.wrap_up.mean_s,
        patience_s=scenario.patience_s,
        abandonment=abandonment,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """The rates of every state, numbered x * (lines + 1) + m."""

    agents: int
    places: int
    lines: int
    x: Integers
    m: Integers
    leaves: Floats
    answers: Floats
    fails: Floats
    busy: Floats
    excess: Floats
    start: Integers


def _world(
    agents: int,
    answer_rate: float,
    ring_s: float,
    talk_s: float,
    patience_s: float,
    abandonment: float,
) -> _World:
    places = agents + 1 + 4 + ceil(sqrt(agents))
    lines = 10 + ceil(2.6 * (agents * ring_s / talk_s + 3) / answer_rate)
    x = np.repeat(np.arange(places), lines + 1)
    m = np.tile(np.arange(lines + 1), places)
    waiting = np.maximum(x - agents, 0) / patience_s
    answers = m * answer_rate / ring_s
    lost = waiting + np.where(x == places - 1, answers, 0.0)
    start = np.clip(np.ceil(np.maximum(agents - x, 0) / answer_rate), m, lines).astype(np.int64)
    return _World(
        agents,
        places,
        lines,
        x,
        m,
        leaves=np.minimum(x, agents) / talk_s + waiting,
        answers=np.asarray(answers, dtype=np.float64),
        fails=np.asarray(m * (1 - answer_rate) / ring_s, dtype=np.float64),
        busy=np.minimum(x, agents) / agents,
        # In talks of the whole team, so that a price of 1 means: one talk per person lost.
        excess=(lost - abandonment * answers) * talk_s / agents,
        start=start,
    )


def _improve(world: _World, price: float, policy: Integers) -> tuple[float, Integers]:
    """Return the best mean reward at *price* and its policy, by policy iteration."""
    gain = 0.0
    shape = world.places, world.lines + 1
    policy = policy.copy()
    policy[0] = max(1, policy[0])  # with nobody busy and nothing ringing, something must ring
    for _ in range(_MOST_ROUNDS):
        gain, values = _evaluate(world, price, policy)
        table = values.reshape(shape)
        best = np.empty(shape, dtype=np.int64)
        row = np.arange(world.places)
        top = np.full(world.places, world.lines)
        for m in range(world.lines, -1, -1):
            top = np.where(table[:, m] >= table[row, top], m, top)
            best[:, m] = top
        now = policy.reshape(shape)
        better = np.take_along_axis(table, best, 1) > np.take_along_axis(table, now, 1) + 1e-10
        if not better.any():
            break
        policy = np.where(better, best, now).ravel()
        policy[0] = max(1, policy[0])
    return gain, policy


def _evaluate(world: _World, price: float, policy: Integers) -> tuple[float, Floats]:
    """Return the mean reward of *policy* and the relative value of sitting in each state."""
    # scipy's sparse solvers take a while to load, which simulating does not need.
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.linalg import splu  # noqa: PLC0415

    size, width = world.x.size, world.lines + 1
    state = np.arange(size)
    last = world.places - 1
    answered = np.minimum(world.x + 1, last)
    less = np.maximum(world.m - 1, 0)
    moves = (
        (
            world.leaves,
            policy[np.maximum(world.x - 1, 0) * width + world.m],
            np.maximum(world.x - 1, 0),
        ),
        (world.answers, policy[answered * width + less], answered),
        (world.fails, policy[world.x * width + less], world.x),
    )
    rows = np.concatenate([state] * 4)
    columns = np.concatenate([x * width + m for _, m, x in moves] + [state])
    rates = np.concatenate([rate for rate, _, _ in moves])
    total = world.leaves + world.answers + world.fails
    entries = np.concatenate([rates, -total])
    # The unknown of the reference state, whose value is 0 by choice, is the mean reward instead.
    # State 0, where nothing would ever happen, is forbidden by a value nobody would choose.
    reference = int(policy[0])
    keep = (columns != reference) & (rows != 0)
    others = state[1:]
    matrix = coo_matrix(
        (
            np.concatenate([entries[keep], -np.ones(size - 1), [1.0]]),
            (
                np.concatenate([rows[keep], others, [0]]),
                np.concatenate([columns[keep], np.full(size - 1, reference), [0]]),
            ),
        ),
        shape=(size, size),
    ).tocsc()
    reward = world.busy - price * world.excess
    right = -reward
    right[0] = _FORBIDDEN
    values = splu(matrix).solve(right)
    gain = float(values[reference])
    values[reference] = 0.0
    return gain, values
