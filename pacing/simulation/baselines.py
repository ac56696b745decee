"""Other dialers' rules, for comparison only: how many calls they would start at one tick.

Re-implemented from published descriptions, none of their code: VICIdial's RATIO and ADAPT modes
(the level that follows idle agents and is cut at the drop limit), lines per idle agent, Issabel's
predictor (agents soon free by an exponential law), and matching of expected answers to expected
free agents with a factor that follows the abandonment (US patent 5,640,445, expired). They see the
same floor at the same ticks as the pacer; that favours VICIdial, whose own loop takes 2.5 s.

None of them has a guard: what they abandon is what they abandon.
"""

from __future__ import annotations

from enum import IntEnum
from math import exp

import numpy as np

from pacing.compiling import kernel
from pacing.durations import Floats
from pacing.simulation.floor import (
    ABANDONED,
    AGENT_ANNOUNCED,
    AGENT_SINCE,
    AGENT_STAGE,
    ANSWERED,
    CALL_DIALED_AT,
    DIALED,
    IDLE,
    NOW,
    PENDING,
    PENDING_CALLS,
    SEEN,
    SEEN_LIVE,
    SEEN_OTHER,
    SEEN_SETTLED,
    SEEN_TALK,
    SEEN_WRAP_UP,
    STAFF,
    TALKS,
    WAITING,
    Floor,
)
from pacing.supply import TALKING, WRAP_UP


class Rule(IntEnum):
    """The rules there are."""

    PROGRESSIVE = 0
    LINES_PER_IDLE = 1
    VICIDIAL_RATIO = 2
    VICIDIAL_HARD = 3
    VICIDIAL_AVERAGE = 4
    VICIDIAL_TAPERED = 5
    ISSABEL = 6
    EXPECTED = 7


_PROGRESSIVE, _LINES_PER_IDLE = int(Rule.PROGRESSIVE), int(Rule.LINES_PER_IDLE)
_RATIO, _HARD, _AVERAGE = (
    int(Rule.VICIDIAL_RATIO),
    int(Rule.VICIDIAL_HARD),
    int(Rule.VICIDIAL_AVERAGE),
)
_ISSABEL = int(Rule.ISSABEL)

# Options, by place; which rule reads which is in `pacers.py`.
RULE, LEVEL, MOST_LEVEL, INTENSITY, DIFFERENCE, AVAILABLE_ONLY, LIMIT, QOS, OVERCOMMIT, DAY_S = (
    range(10)
)
OPTIONS = 10

# Memory, by place. The level and the averages outlive the day, as they do in the products.
(
    _LEVEL,
    _LEVEL_AT,
    _DROPS_AT,
    _SAMPLE_AT,
    _SAMPLES,
    _DIALED_BEFORE,
    _LOST_BEFORE,
    _CALLS_1M,
    _DROPS_1M,
    _DROP_SHARE,
    _TALK_S,
    _TALK_COUNT,
    _RING_S,
    _RING_COUNT,
    _LIVE,
    _NOT_LIVE,
    _FACTOR,
    _WRAP_UP_S,
    _WRAP_UP_COUNT,
) = range(19)
_WINDOW = 20
_SAMPLES_KEPT = 15
MEMORY = _WINDOW + 3 * _SAMPLES_KEPT

COUNTS_ONLY = int(Rule.VICIDIAL_RATIO)
"""Rules up to this one look at counts only."""
_RATE_MEMORY = 200.0
_FACTOR_STEP = 0.02
_PATIENCE_S = 2.0


def fresh_memory(options: Floats) -> Floats:
    """Return the memory of a rule on its first day."""
    memory = np.zeros(MEMORY)
    memory[_LEVEL] = max(1.0, options[LEVEL])
    memory[_LIVE], memory[_NOT_LIVE] = 5.0, 15.0
    memory[_FACTOR] = 1.0
    return memory


def begin_day(memory: Floats) -> None:
    """Start the clocks of a new day; level and averages stay."""
    memory[_LEVEL_AT : _CALLS_1M + 3] = 0.0
    memory[_WINDOW:] = 0.0


@kernel
def baseline_calls(floor: Floor, options: Floats, memory: Floats) -> int:
    """Return how many calls the rule of *options* starts now."""
    rule = int(options[RULE])
    counts = floor.counts
    free = counts[IDLE] - counts[WAITING]
    if rule == _PROGRESSIVE:
        return int(free - counts[PENDING])
    if rule == _LINES_PER_IDLE:
        return int(np.rint(options[LEVEL] * max(0, free)) - counts[PENDING])
    if rule == _RATIO:
        return _vicidial_calls(floor, options, options[LEVEL])
    _observe(floor, options, memory)
    if rule == _ISSABEL:
        return _issabel_calls(floor, options, memory)
    if rule < _ISSABEL:
        _adapt(floor, options, memory)
        return _vicidial_calls(floor, options, memory[_LEVEL])
    return _expected_calls(floor, memory)


@kernel
def _vicidial_calls(floor: Floor, options: Floats, level: float) -> int:
    """Keep level x agents lines busy; agents in wrap-up count as paused."""
    counts = floor.counts
    active = counts[PENDING] + counts[WAITING] + counts[TALKS]
    if options[AVAILABLE_ONLY] > 0:
        goal = np.rint(level * counts[IDLE] + counts[TALKS])
    else:
        goal = np.rint(level * (counts[IDLE] + counts[TALKS]))
    return int(goal - active)


@kernel
def _adapt(floor: Floor, options: Floats, memory: Floats) -> None:
    """Move VICIdial's level: samples each second, level each 15 s, drops each minute."""
    counts, now = floor.counts, floor.reals[NOW]
    if now >= memory[_SAMPLE_AT]:
        memory[_SAMPLE_AT] = now + 1.0
        at = _WINDOW + 3 * (int(memory[_SAMPLES]) % _SAMPLES_KEPT)
        memory[at] = counts[IDLE]
        memory[at + 1] = counts[WAITING]
        memory[at + 2] = counts[STAFF]
        memory[_SAMPLES] += 1
    if now >= memory[_DROPS_AT]:
        memory[_DROPS_AT] = now + 60.0
        memory[_CALLS_1M] = counts[DIALED] - memory[_DIALED_BEFORE]
        lost = counts[ABANDONED] - memory[_LOST_BEFORE]
        memory[_DROPS_1M] = lost / max(1.0, memory[_CALLS_1M])
        memory[_DIALED_BEFORE] = counts[DIALED]
        memory[_LOST_BEFORE] = counts[ABANDONED]
        memory[_DROP_SHARE] = counts[ABANDONED] / max(1, counts[ANSWERED])
    if now < memory[_LEVEL_AT]:
        return
    memory[_LEVEL_AT] = now + 15.0
    kept = min(int(memory[_SAMPLES]), _SAMPLES_KEPT)
    difference, agents = options[DIFFERENCE], 0.0
    for sample in range(kept):
        at = _WINDOW + 3 * sample
        difference += (memory[at] - memory[at + 1]) / kept
        agents += memory[at + 2] / kept
    gain = difference / agents if agents > 0 else 0.0
    intensity = options[INTENSITY] / 100.0
    gain = gain * abs(intensity - 1.0) if gain < 0 else gain * (intensity + 1.0)
    level = max(1.0, min(memory[_LEVEL] * (1.0 + gain), options[MOST_LEVEL]))
    if memory[_CALLS_1M] > 20 and memory[_DROPS_1M] > 0.5:
        level /= 2.0
    if counts[DIALED] > 50 and memory[_DROP_SHARE] > options[LIMIT]:
        if options[RULE] == _HARD:
            level = 1.0
        elif options[RULE] == _AVERAGE:
            level /= 2.0
        else:  # tapered: less the nearer the end of the day, in hundredths of an hour
            left = (options[DAY_S] - now) / 36.0
            level *= min(1.0, max(0.0, left / 1000.0))
    memory[_LEVEL] = max(1.0, level)


@kernel
def _issabel_calls(floor: Floor, options: Floats, memory: Floats) -> int:
    """Count agents as free soon once their talk is old enough, by an exponential law."""
    counts, now = floor.counts, floor.reals[NOW]
    soon = 0
    if memory[_TALK_COUNT] >= 10:
        mean_talk_s = memory[_TALK_S] / memory[_TALK_COUNT]
        mean_ring_s = memory[_RING_S] / max(1.0, memory[_RING_COUNT])
        for agent in range(floor.agents.shape[0]):
            if (
                floor.agents[agent, AGENT_STAGE] == TALKING
                and floor.agents[agent, AGENT_ANNOUNCED] == 0
            ):
                ahead = now - floor.agents[agent, AGENT_SINCE] + mean_ring_s
                if 1.0 - exp(-ahead / mean_talk_s) >= options[QOS]:
                    soon += 1
    wanted = float(counts[IDLE] + soon - counts[WAITING])
    if options[OVERCOMMIT] > 0 and wanted > 0:
        rate = memory[_LIVE] / (memory[_LIVE] + memory[_NOT_LIVE])
        wanted = np.rint(wanted / max(rate, 0.2))
    return int(wanted - counts[PENDING])


@kernel
def _expected_calls(floor: Floor, memory: Floats) -> int:
    """Start calls until expected answers match expected free agents times a factor."""
    counts, now = floor.counts, floor.reals[NOW]
    rate = memory[_LIVE] / (memory[_LIVE] + memory[_NOT_LIVE])
    ring_s = (90.0 + memory[_RING_S]) / (10.0 + memory[_RING_COUNT])
    talk_s = (1200.0 + memory[_TALK_S]) / (10.0 + memory[_TALK_COUNT])
    wrap_up_s = (200.0 + memory[_WRAP_UP_S]) / (10.0 + memory[_WRAP_UP_COUNT])
    ahead = ring_s + _PATIENCE_S
    free = float(counts[IDLE])
    for agent in range(floor.agents.shape[0]):
        if floor.agents[agent, AGENT_ANNOUNCED] != 0:
            continue
        if floor.agents[agent, AGENT_STAGE] == WRAP_UP:
            free += 1.0 - exp(-ahead / max(wrap_up_s, 0.1))
        elif floor.agents[agent, AGENT_STAGE] == TALKING:
            free += 1.0 - exp(-max(0.0, ahead - wrap_up_s) / talk_s)
    answers = float(counts[WAITING])
    for at in range(counts[PENDING]):
        rung = now - floor.calls[floor.lists[PENDING_CALLS, at], CALL_DIALED_AT]
        # Past the usual time of an answer a ringing call rarely is one.
        answers += rate if rung <= 1.5 * ring_s else 0.3 * rate
    wanted = (memory[_FACTOR] * free - answers) / rate
    return int(min(float(floor.agents.shape[0]), np.floor(wanted + 0.5)))


@kernel
def _observe(floor: Floor, options: Floats, memory: Floats) -> None:
    """Take in what happened since the last tick."""
    for row in range(floor.counts[SEEN]):
        kind, value = int(floor.seen[row, 0]), floor.seen[row, 1]
        if kind == SEEN_TALK:
            memory[_TALK_S] += value
            memory[_TALK_COUNT] += 1
        elif kind == SEEN_WRAP_UP:
            memory[_WRAP_UP_S] += value
            memory[_WRAP_UP_COUNT] += 1
        elif kind == SEEN_SETTLED:
            push = options[LIMIT] - value
            memory[_FACTOR] = min(3.0, max(0.2, memory[_FACTOR] * exp(_FACTOR_STEP * push)))
        else:
            # Fast failures end first: without the pending calls the rate would collapse.
            keep = 1.0 - 1.0 / (_RATE_MEMORY + 3.0 * floor.counts[PENDING])
            memory[_LIVE] *= keep
            memory[_NOT_LIVE] *= keep
            if kind == SEEN_LIVE:
                memory[_LIVE] += 1
                memory[_RING_S] += value
                memory[_RING_COUNT] += 1
            elif kind == SEEN_OTHER:
                memory[_NOT_LIVE] += 1
