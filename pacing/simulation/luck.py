"""A day's luck, drawn before it begins, and the floor the day starts on.

Each stream of luck has a seed of its own made of (seed, replication, day, campaign, stream), so
that the n-th call and an agent's n-th talk are the same for every pacer (common random numbers),
and a day can be repeated alone.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng

from pacing.durations import Floats
from pacing.simulation import floor as books
from pacing.simulation.floor import Floor
from pacing.simulation.laws import CELLS, Law, quantiles
from pacing.simulation.scenario import Scenario, Shift

_MOST_CALLS = 1 << 20
_FEWEST_CALLS = 1 << 12
_SLOTS_PER_AGENT = 12


def new_floor(scenario: Scenario, key: tuple[int, ...]) -> Floor:
    """Return the floor at the start of a day of *scenario*; *key* makes its luck."""
    streams = [default_rng(child) for child in SeedSequence(list(key)).spawn(6)]
    agents = scenario.agents
    calls = _calls_drawn(scenario)
    talks = int(scenario.day_s / max(1.0, scenario.talk.mean_s + scenario.wrap_up.mean_s) * 2) + 40
    slots = max(64, _SLOTS_PER_AGENT * agents, int(agents * scenario.max_lines_per_agent) + 64)
    leads = scenario.leads
    retries = 0 if leads is None or scenario.attempts == 1 else leads
    parts = scenario.ring_other.parts
    edges = np.cumsum([part.weight for part in parts]) / scenario.ring_other.total
    floor = Floor(
        counts=np.zeros(books.COUNTS, np.int64),
        reals=np.zeros(books.REALS),
        draws=np.stack(
            (
                _live_draws(scenario, streams[0], calls),
                streams[1].random(calls),
                streams[2].standard_exponential(calls),
                streams[5].standard_exponential(calls),
            ),
            axis=1,
        ),
        talk_draws=np.stack(
            [stream.standard_exponential((agents, talks)) for stream in streams[3:5]], axis=2
        ),
        laws=_laws(scenario),
        parts=np.stack((edges, np.array([float(part.machine) for part in parts])), axis=1),
        rates=np.array(scenario.answer_rate, dtype=float),
        outages=np.array(scenario.outages, dtype=float).reshape(-1, 2),
        events=np.zeros((6 * slots + 6 * agents + retries + 64, books.EVENT_COLUMNS)),
        agents=np.zeros((agents, books.AGENT_COLUMNS)),
        calls=np.zeros((slots, books.CALL_COLUMNS)),
        lists=np.zeros((3, slots), np.int64),
        leads=np.full(1, -1, np.int64),
        seen=np.zeros((8 * slots + 8 * agents, 4)),
        minutes=np.zeros((ceil(scenario.day_s / books.MINUTE_S), books.BOOK_COLUMNS)),
    )
    floor.agents[:, books.AGENT_STAGE] = books.OFFLINE
    floor.agents[:, books.AGENT_NEXT_BREAK_AT] = books.NEVER
    floor.agents[:, books.AGENT_LEAVES_AT] = books.NEVER
    floor.calls[:, books.CALL_NUMBER] = -1
    floor.lists[books.FREE_CALLS] = np.arange(slots)[::-1]
    if leads is not None:
        floor = floor._replace(leads=np.zeros(scenario.attempts, np.int64))
        floor.leads[0] = leads
    floor.counts[books.FREE_SLOTS] = slots
    floor.reals[books.RETRY_S] = scenario.retry_s
    floor.reals[books.FINISHED_S] = -1.0
    floor.reals[books.DAY_END_S] = scenario.day_s
    if scenario.screening is not None:
        floor.reals[books.FALSE_POSITIVES] = scenario.screening.false_positives
    _enrol(floor, scenario)
    return floor


def _calls_drawn(scenario: Scenario) -> int:
    """Return how many calls get luck of their own; a day with more begins again from the first."""
    cycle_s = max(1.0, scenario.talk.mean_s + scenario.wrap_up.mean_s)
    rate = min(rate for _, rate in scenario.answer_rate)
    calls = 1.3 * scenario.agents * scenario.day_s / cycle_s / rate + 1000
    return int(min(_MOST_CALLS, max(_FEWEST_CALLS, calls)))


def _live_draws(scenario: Scenario, rng: Generator, calls: int) -> Floats:
    """Return uniforms that are below p where a person answers, good and bad stretches included."""
    uniform = rng.random(calls)
    if scenario.list_spread > 0:
        shape = 1 / scenario.list_spread**2
        stretches = rng.gamma(shape, 1 / shape, calls // scenario.list_stretch + 1)
        # A rate of p times this factor answers exactly where the uniform over it is below p.
        uniform /= np.maximum(np.repeat(stretches, scenario.list_stretch)[:calls], 1e-9)
    return uniform


def _laws(scenario: Scenario) -> Floats:
    screening = scenario.screening.time if scenario.screening is not None else Law.constant(0.0)
    patience = scenario.patience or Law.constant(scenario.patience_s)
    laws = (scenario.ring_live, scenario.talk, scenario.wrap_up, screening, patience)
    table = np.zeros((len(laws) + len(scenario.ring_other.parts), CELLS + 1))
    for row, law in enumerate((*laws, *(part.law for part in scenario.ring_other.parts))):
        table[row] = quantiles(law)
    return table


def _enrol(floor: Floor, scenario: Scenario) -> None:
    """Give every agent a shift."""
    agent = 0
    for shift in scenario.shifts or (Shift(scenario.agents),):
        for place in range(shift.agents):
            if shift.to_s is not None:
                floor.agents[agent, books.AGENT_LEAVES_AT] = shift.to_s
            if shift.break_every_s is not None:
                floor.agents[agent, books.AGENT_BREAK_EVERY_S] = shift.break_every_s
                floor.agents[agent, books.AGENT_BREAK_S] = shift.break_s
                part = (place + 0.5) / shift.agents
                floor.agents[agent, books.AGENT_NEXT_BREAK_AT] = (
                    shift.from_s + part * shift.break_every_s
                )
            books.push(floor, shift.from_s, books.LOG_IN, agent)
            agent += 1
