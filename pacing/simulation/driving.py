"""A day played tick by tick: the floor moves on, a pacer decides, calls begin.

The pacer is production's: `pacer_tick` and `one_to_one_tick` show the floor to the functions that
`pacing.decide` calls, as the arrays that `decide` makes of its snapshot, and feed what happened to
the functions that `Learner` calls. (`witness.py` goes by `decide` and `Learner` themselves; a test
holds both to the same decisions.) All of this compiles with numba and runs unchanged without.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from pacing.compiling import kernel
from pacing.durations import Floats, Tallies
from pacing.guard import Windows, is_held
from pacing.kernel import (
    NO_AGENTS,
    Calls,
    Settings,
    caps,
    choose,
    choose_one_to_one,
    look_ahead,
    most_worth_asking,
    take_census,
)
from pacing.net_demand import Waves
from pacing.observations import (
    State,
    learned,
    observe_answered,
    observe_dialed,
    observe_end,
    observe_talk,
    observe_wrap_up,
)
from pacing.simulation.baselines import COUNTS_ONLY, RULE, baseline_calls
from pacing.simulation.floor import (
    ABANDONED,
    AGENT_ANNOUNCED,
    AGENT_SINCE,
    AGENT_STAGE,
    ANSWERED,
    CALL_DIALED_AT,
    CALL_SCREENED,
    DAY_END_S,
    EVENT_WHEN,
    EVENTS,
    FAILURES_IN_A_ROW,
    MACHINES,
    NOW,
    OFFLINE,
    PENDING,
    PENDING_CALLS,
    PEOPLE,
    SEEN,
    SEEN_LIVE,
    SEEN_OTHER,
    SEEN_SETTLED,
    SEEN_TALK,
    STAFF,
    STAYS,
    STREAK,
    SUSPENDED_UNTIL,
    WAITING,
    WAITING_CALLS,
    Floor,
    Integers,
    advance,
    callable_now,
    lines_in_use,
    settle_books,
    start_calls,
)
from pacing.supply import PAUSED, Staff

# A trunk, by place: channels, calls per second, tokens, when they were counted, others' lines.
CHANNELS, CALLS_PER_S, TOKENS, COUNTED_AT, OTHERS = 0, 1, 2, 3, 4
_DAY_S = 86_400.0


class Pacer(NamedTuple):
    """Production's pacer on one day of one campaign.

    `windows` as they stood when the day began, `lengths_s` what was left of them; `bounds` counts
    decisions by the limit that decided.
    """

    state: State
    priors: Tallies
    prior_rate: float
    windows: Windows
    lengths_s: Floats
    bounds: Integers
    mode: int
    ratio: float
    max_lines: float
    is_absolute: bool
    connect_limit_s: float
    waves: Waves


@kernel
def trunk_room(trunk: Floats, floor: Floor) -> tuple[int, int]:
    """Return free channels, and calls the rate cap allows now: a second's worth at most."""
    now = floor.reals[NOW]
    if floor.counts[STREAK] >= FAILURES_IN_A_ROW:
        # Suspended: after a while one call tries whether the carrier is back.
        probe = 0
        if now >= floor.reals[SUSPENDED_UNTIL] and floor.counts[PENDING] == 0:
            probe = 1
        return probe, probe
    most = max(1.0, trunk[CALLS_PER_S])
    trunk[TOKENS] = min(most, trunk[TOKENS] + trunk[CALLS_PER_S] * (now - trunk[COUNTED_AT]))
    trunk[COUNTED_AT] = now
    channels = int(trunk[CHANNELS] - trunk[OTHERS]) - lines_in_use(floor)
    return max(0, channels), int(trunk[TOKENS])


@kernel
def baseline_tick(
    floor: Floor, trunk: Floats, options: Floats, memory: Floats, max_lines: float
) -> tuple[int, int]:
    """Let another dialer's rule decide within the caps that hold for all: calls asked, begun."""
    asked = baseline_calls(floor, options, memory)
    floor.counts[SEEN] = 0
    if asked <= 0:
        return 0, 0
    channels, rate_room = trunk_room(trunk, floor)
    in_flight = floor.counts[PENDING] + floor.counts[WAITING]
    lines = int(max_lines * floor.counts[STAFF]) - in_flight
    calls = min(asked, channels, rate_room, lines)
    if calls <= 0:
        return asked, 0
    began = start_calls(floor, calls, 0.0)
    trunk[TOKENS] -= began
    return asked, began


@kernel
def play_baseline(
    floor: Floor,
    trunk: Floats,
    options: Floats,
    memory: Floats,
    max_lines: float,
    tick_s: float,
) -> None:
    """Play the whole day of one campaign under another dialer's rule."""
    end = floor.reals[DAY_END_S]
    tick = 0
    while tick * tick_s < end:
        advance(floor, tick * tick_s)
        asked, began = baseline_tick(floor, trunk, options, memory, max_lines)
        tick += 1
        if options[RULE] <= COUNTS_ONLY and began >= asked:
            tick = _next_change(floor, tick, tick_s)
    advance(floor, end)
    settle_books(floor)


@kernel
def play_one_to_one(floor: Floor, trunk: Floats, pacer: Pacer, tick_s: float) -> None:
    """Play the whole day of one campaign in the modes that look at counts only."""
    end = floor.reals[DAY_END_S]
    tick = 0
    while tick * tick_s < end:
        advance(floor, tick * tick_s)
        asked, began = one_to_one_tick(floor, trunk, pacer)
        tick += 1
        if began >= asked:
            tick = _next_change(floor, tick, tick_s)
    advance(floor, end)
    settle_books(floor)


@kernel
def one_to_one_tick(floor: Floor, trunk: Floats, pacer: Pacer) -> tuple[int, int]:
    """Let a mode decide that starts no call without an agent: calls wanted, calls begun."""
    floor.counts[SEEN] = 0  # what was learned would change nothing
    staff, calls = read_staff(floor), read_calls(floor)
    census = take_census(staff, calls)
    if census.enrolled <= 0.0:
        pacer.bounds[NO_AGENTS] += 1
        return 0, 0
    settings = read_settings(floor, trunk, pacer)
    choice = choose_one_to_one(settings, census, caps(settings, census, calls))
    pacer.bounds[choice.bound] += 1
    if choice.calls <= 0:
        return choice.wanted, 0
    began = start_calls(floor, choice.calls, 0.0)
    trunk[TOKENS] -= began
    return choice.wanted, began


@kernel
def play_pacer(floor: Floor, trunk: Floats, pacer: Pacer, tick_s: float) -> None:
    """Play the whole day of one campaign in the modes that dial ahead."""
    end = floor.reals[DAY_END_S]
    tick = 0
    while tick * tick_s < end:
        advance(floor, tick * tick_s)
        pacer_tick(floor, trunk, pacer)
        tick += 1
    advance(floor, end)
    settle_books(floor)


@kernel
def pacer_tick(floor: Floor, trunk: Floats, pacer: Pacer) -> int:
    """Let production's pacer decide in a mode that dials ahead; return how many calls began."""
    feed(floor, pacer.state)
    staff, calls = read_staff(floor), read_calls(floor)
    settings = read_settings(floor, trunk, pacer)
    census = take_census(staff, calls)
    if census.enrolled <= 0.0:
        pacer.bounds[NO_AGENTS] += 1
        return 0
    limits = caps(settings, census, calls)
    windows = windows_now(floor, pacer)
    most = most_worth_asking(settings, census, limits)
    known = learned(pacer.state, pacer.priors, pacer.prior_rate)
    outlook = look_ahead(staff, calls, windows, known, settings, most, pacer.waves)
    choice = choose(settings, census, limits, windows, outlook, most)
    for at in range(windows.held.size):
        pacer.windows.held[at] = is_held(
            windows.counts[at, 0],
            windows.counts[at, 1],
            windows.counts[at, 2],
            windows.counts[at, 3],
            windows.held[at],
        )
    pacer.bounds[choice.bound] += 1
    if choice.calls <= 0:
        return 0
    began = start_calls(floor, choice.calls, choice.theta_at_dial)
    trunk[TOKENS] -= began
    observe_dialed(pacer.state, began, choice.theta_at_dial)
    return began


@kernel
def read_settings(floor: Floor, trunk: Floats, pacer: Pacer) -> Settings:
    """Return the policy and the caps of this instant."""
    channels, rate_room = trunk_room(trunk, floor)
    return Settings(
        pacer.mode,
        pacer.ratio,
        pacer.max_lines,
        pacer.is_absolute,
        -1,
        pacer.connect_limit_s,
        callable_now(floor),
        channels,
        min(channels, rate_room),
    )


@kernel
def feed(floor: Floor, state: State) -> None:
    """Let the pacer learn what happened since it was last asked."""
    for row in range(floor.counts[SEEN]):
        kind, value = int(floor.seen[row, 0]), floor.seen[row, 1]
        in_flight = int(floor.seen[row, 3])
        if kind == SEEN_LIVE:
            observe_end(state, True, value, in_flight)  # noqa: FBT003 - numba knows no keywords
        elif kind == SEEN_OTHER:
            observe_end(state, False, value, in_flight)  # noqa: FBT003
        elif kind == SEEN_SETTLED:
            observe_answered(state, value > 0, floor.seen[row, 2])
        elif kind == SEEN_TALK:
            observe_talk(state, value, True)  # noqa: FBT003
        else:
            observe_wrap_up(state, value, True)  # noqa: FBT003
    floor.counts[SEEN] = 0


@kernel
def read_staff(floor: Floor) -> Staff:
    """Return the agents; who is away or has announced to leave takes no further call."""
    agents, now = floor.agents, floor.reals[NOW]
    stage = agents[:, AGENT_STAGE].astype(np.int64)
    elapsed_s = now - agents[:, AGENT_SINCE]
    share = np.ones(stage.size)
    for agent in range(stage.size):
        if stage[agent] >= PAUSED or agents[agent, AGENT_ANNOUNCED] != STAYS:
            share[agent] = 0.0
        if stage[agent] == OFFLINE:
            stage[agent] = PAUSED
    return Staff(stage, elapsed_s, share)


@kernel
def read_calls(floor: Floor) -> Calls:
    """Return the calls nobody has joined yet."""
    now, pending, waiting = floor.reals[NOW], floor.counts[PENDING], floor.counts[WAITING]
    rung_s = np.empty(pending)
    for at in range(pending):
        slot = floor.lists[PENDING_CALLS, at]
        rung_s[at] = now - floor.calls[slot, CALL_DIALED_AT]
    likely = person_probability(floor)
    people = np.empty(waiting)
    for at in range(waiting):
        slot = floor.lists[WAITING_CALLS, at]
        people[at] = likely if floor.calls[slot, CALL_SCREENED] > 0 else 1.0
    return Calls(rung_s, np.ones(pending, dtype=np.bool_), people, pending + waiting)


@kernel
def person_probability(floor: Floor) -> float:
    """Return how likely a call still screened has a person, from the verdicts so far.

    With one verdict of each kind to start from.
    """
    people, machines = floor.counts[PEOPLE], floor.counts[MACHINES]
    return float((1.0 + people) / (2.0 + people + machines))


@kernel
def windows_now(floor: Floor, pacer: Pacer) -> Windows:
    """Return the accounting windows at this instant."""
    now = floor.reals[NOW]
    counts = pacer.windows.counts.copy()
    counts[:, 0] += floor.counts[ANSWERED]
    counts[:, 1] += floor.counts[ABANDONED]
    left_s = np.maximum(pacer.lengths_s - now, 0.0)
    for at in range(left_s.size):
        if left_s[at] <= _DAY_S:
            left_s[at] = min(left_s[at], floor.reals[DAY_END_S] - now)
    return Windows(counts, left_s, pacer.windows.held)


@kernel
def _next_change(floor: Floor, tick: int, tick_s: float) -> int:
    """Return the tick at which a rule that looks at counts only may say something new."""
    if floor.counts[EVENTS] == 0:
        return tick
    return max(tick, ceil(float(floor.events[0, EVENT_WHEN]) / tick_s))
