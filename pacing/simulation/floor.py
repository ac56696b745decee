"""The simulated floor: agents, calls and what happens to them, event by event, as array code.

A `Floor` is plain arrays, so that the same functions run compiled with numba or as they stand.
`advance` plays the events up to a moment, `start_calls` starts what a pacer decided. Everything
random was drawn before the day began, per call number and per agent and talk: the n-th call of the
day has the same luck under every pacer.

What the pacer may learn from is written to `seen`, one row per observation, and read by whoever
drives the pacer (`day.py`): the kind, a value, a second value, calls then in flight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.compiling import kernel
from pacing.durations import Floats
from pacing.simulation.laws import CELLS, CELLS_PER_UNIT
from pacing.supply import PAUSED, READY, TALKING, WRAP_UP

Integers = NDArray[np.int64]

# Columns of `events`, `agents` and `calls`. All are floats, whole numbers included: one kind of
# array compiles fastest, and a float holds every number up to 2^53.
EVENT_WHEN, EVENT_WHAT, EVENT_WHO = 0, 1, 2
EVENT_COLUMNS = 3
AGENT_STAGE, AGENT_SINCE, AGENT_ANNOUNCED, AGENT_TALK_NUMBER = 0, 1, 2, 3
AGENT_BREAK_S, AGENT_BREAK_EVERY_S, AGENT_NEXT_BREAK_AT, AGENT_LEAVES_AT = 4, 5, 6, 7
AGENT_COLUMNS = 8
CALL_FATE, CALL_DIALED_AT, CALL_RANG_S, CALL_ANSWERED_AT, CALL_THETA = 0, 1, 2, 3, 4
CALL_NUMBER, CALL_TRIES, CALL_SCREENED, CALL_PLACE = 5, 6, 7, 8
CALL_COLUMNS = 9

# Stages of an agent: the kernel's, and logged out.
OFFLINE = PAUSED + 1
# What an agent has announced.
STAYS, LEAVES_FOR_BREAK, LEAVES_FOR_GOOD = 0, 1, 2
# How a call will end.
UNANSWERED, MACHINE, PERSON, REFUSED = 0, 1, 2, 3
# Kinds of event.
RING_END, VERDICT, GIVE_UP, TALK_END, WRAP_UP_END, LOG_IN, LEAVE, RETRY = 0, 1, 2, 3, 4, 5, 6, 7
# Kinds of observation: (kind, seconds, 0, calls in flight), SETTLED (kind, abandoned, theta, …).
SEEN_LIVE, SEEN_OTHER, SEEN_SETTLED, SEEN_TALK, SEEN_WRAP_UP = 0, 1, 2, 3, 4

# Whole numbers of a floor, by place in `counts`.
EVENTS, PENDING, WAITING, FREE_SLOTS, SEEN = 0, 1, 2, 3, 4
DIALED, ANSWERED, ABANDONED, CONNECTED, MISJUDGED = 5, 6, 7, 8, 9
IDLE, STAFF, TALKS, RETRIES = 10, 11, 12, 13
MOST_IN_FLIGHT, STREAK, PEOPLE, MACHINES = 14, 15, 16, 17
COUNTS = 18

# Settings and clocks of a floor, by place in `reals`.
NOW, FALSE_POSITIVES, RETRY_S, SUSPENDED_UNTIL, FINISHED_S, DAY_END_S = range(6)
REALS = 6

# Laws of a floor, by row of `laws`; the parts of the unanswered calls follow.
LAW_RING, LAW_TALK, LAW_WRAP_UP, LAW_SCREENING, LAW_PATIENCE, LAW_PARTS = range(6)

# Columns of `draws` and rows of `lists`.
LUCK_LIVE, LUCK_PART, LUCK_RING, LUCK_PATIENCE = 0, 1, 2, 3
PENDING_CALLS, WAITING_CALLS, FREE_CALLS = 0, 1, 2

# Columns of the books: calls, and agent-seconds.
BOOK_DIALED, BOOK_ANSWERED, BOOK_ABANDONED, BOOK_BUSY, BOOK_STAFFED = 0, 1, 2, 3, 4
BOOK_COLUMNS = 5
MINUTE_S = 60.0

REFUSED_AFTER_S = 0.5
SUSPENDED_S = 30.0
FAILURES_IN_A_ROW = 5
"""Calls the carrier refuses before the trunk is suspended."""
NEVER = 1e18


class Floor(NamedTuple):
    """One campaign's floor on one day.

    A dozen arrays and no more: a compiled call takes each apart, so their number is what counts.
    `draws` (calls, 4) and `talk_draws` (agents, talks, 2) are the luck of the day; `parts`,
    `rates`, `outages` and `laws` the world; `events` a binary heap; `agents` and `calls` (slots
    that calls use one after another) records; `lists` the slots that are pending, waiting in the
    order of their answers, and free; `leads` how many may be called, by how often they were, -1
    without end; `seen` what the pacer may learn from; `minutes` the books.
    """

    counts: Integers
    reals: Floats
    draws: Floats
    talk_draws: Floats
    laws: Floats
    parts: Floats
    rates: Floats
    outages: Floats
    events: Floats
    agents: Floats
    calls: Floats
    lists: Integers
    leads: Integers
    seen: Floats
    minutes: Floats


@kernel
def duration(floor: Floor, law: int, draw: float) -> float:
    """Return the duration that the exponential number *draw* means under *law*."""
    at = draw * CELLS_PER_UNIT
    cell = int(at)
    if cell >= CELLS:
        return float(floor.laws[law, CELLS])
    low = floor.laws[law, cell]
    return float(low + (at - cell) * (floor.laws[law, cell + 1] - low))


@kernel
def push(floor: Floor, when: float, what: int, who: int) -> None:
    """Add an event."""
    at = floor.counts[EVENTS]
    if at >= floor.events.shape[0]:
        raise RuntimeError("the floor has more events than it was built for")
    floor.counts[EVENTS] = at + 1
    while at > 0:
        above = (at - 1) >> 1
        if floor.events[above, EVENT_WHEN] <= when:
            break
        floor.events[at, EVENT_WHEN] = floor.events[above, EVENT_WHEN]
        floor.events[at, EVENT_WHAT] = floor.events[above, EVENT_WHAT]
        floor.events[at, EVENT_WHO] = floor.events[above, EVENT_WHO]
        at = above
    floor.events[at, EVENT_WHEN] = when
    floor.events[at, EVENT_WHAT] = what
    floor.events[at, EVENT_WHO] = who


@kernel
def _drop_first(floor: Floor) -> None:
    """Remove the first event from the heap."""
    size = floor.counts[EVENTS] - 1
    floor.counts[EVENTS] = size
    when = floor.events[size, EVENT_WHEN]
    what = floor.events[size, EVENT_WHAT]
    who = floor.events[size, EVENT_WHO]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and (
            floor.events[below + 1, EVENT_WHEN] < floor.events[below, EVENT_WHEN]
        ):
            below += 1
        if floor.events[below, EVENT_WHEN] >= when:
            break
        floor.events[at, EVENT_WHEN] = floor.events[below, EVENT_WHEN]
        floor.events[at, EVENT_WHAT] = floor.events[below, EVENT_WHAT]
        floor.events[at, EVENT_WHO] = floor.events[below, EVENT_WHO]
        at = below
    floor.events[at, EVENT_WHEN] = when
    floor.events[at, EVENT_WHAT] = what
    floor.events[at, EVENT_WHO] = who


@kernel
def advance(floor: Floor, until: float) -> None:
    """Play all events up to and including *until*."""
    # What several events lead to stands once, at the end: the compiler copies what is called.
    while floor.counts[EVENTS] > 0 and floor.events[0, EVENT_WHEN] <= until:
        now = floor.events[0, EVENT_WHEN]
        what, who = int(floor.events[0, EVENT_WHAT]), int(floor.events[0, EVENT_WHO])
        _drop_first(floor)
        floor.reals[NOW] = now
        judged, free = -1, -1
        if what == RING_END:
            judged = _ring_end(floor, now, who)
        elif what == TALK_END:
            _talk_end(floor, now, who)
        elif what == WRAP_UP_END:
            free = _wrap_up_end(floor, now, who)
        elif what == GIVE_UP:
            _give_up(floor, now, who)
        elif what == VERDICT:
            _unqueue(floor, who)
            judged = who
        elif what == LOG_IN:
            free = _log_in(floor, now, who)
        elif what == LEAVE:
            _leave(floor, now, who)
        else:
            floor.leads[who] += 1
            floor.counts[RETRIES] -= 1
        if judged >= 0 and _is_person(floor, now, judged):
            free = _longest_idle(floor)
            _queue(floor, judged)
            if free < 0:
                slots = floor.calls.shape[0]
                give_up = floor.calls[judged, CALL_NUMBER] * slots + judged
                luck = floor.draws[_luck_of(floor, judged), LUCK_PATIENCE]
                waits_s = duration(floor, LAW_PATIENCE, luck)
                push(floor, now + waits_s, GIVE_UP, give_up)
        if free >= 0:
            _take_next(floor, now, free)
    floor.reals[NOW] = until


@kernel
def start_calls(floor: Floor, calls: int, theta: float) -> int:
    """Start up to *calls* calls dialed under the threshold *theta*; return how many began."""
    now = floor.reals[NOW]
    counts = floor.counts
    began = 0
    while began < calls and counts[FREE_SLOTS] > 0:
        tried = _take_lead(floor)
        if tried < 0:
            break
        began += 1
        counts[FREE_SLOTS] -= 1
        slot = floor.lists[FREE_CALLS, counts[FREE_SLOTS]]
        number = counts[DIALED]
        counts[DIALED] = number + 1
        index = number % floor.draws.shape[0]
        floor.calls[slot, CALL_NUMBER] = number
        floor.calls[slot, CALL_TRIES] = tried + 1
        floor.calls[slot, CALL_DIALED_AT] = now
        floor.calls[slot, CALL_THETA] = theta
        floor.calls[slot, CALL_SCREENED] = 0
        fate = UNANSWERED
        if _is_out(floor, now):
            fate = REFUSED
            ring = REFUSED_AFTER_S
        elif floor.draws[index, LUCK_LIVE] < _rate_at(floor, now):
            fate = PERSON
            ring = duration(floor, LAW_RING, floor.draws[index, LUCK_RING])
        else:
            part = 0
            while part < floor.parts.shape[0] - 1 and (
                floor.draws[index, LUCK_PART] >= floor.parts[part, 0]
            ):
                part += 1
            if floor.parts[part, 1] == 1:
                fate = MACHINE
            ring = duration(floor, LAW_PARTS + part, floor.draws[index, LUCK_RING])
        floor.calls[slot, CALL_FATE] = fate
        floor.calls[slot, CALL_RANG_S] = ring
        floor.calls[slot, CALL_PLACE] = counts[PENDING]
        floor.lists[PENDING_CALLS, counts[PENDING]] = slot
        counts[PENDING] += 1
        push(floor, now + ring, RING_END, slot)
    floor.minutes[_minute_of(floor, now), BOOK_DIALED] += began
    counts[MOST_IN_FLIGHT] = max(counts[MOST_IN_FLIGHT], counts[PENDING] + counts[WAITING])
    return began


@kernel
def callable_now(floor: Floor) -> int:
    """Return how many calls the list would allow now."""
    if floor.leads[0] < 0:
        return 1_000_000_000
    total = 0
    for tried in range(floor.leads.size):
        total += floor.leads[tried]
    return total


@kernel
def lines_in_use(floor: Floor) -> int:
    """Return how many of the trunk's channels this campaign's calls occupy."""
    return int(floor.counts[PENDING] + floor.counts[WAITING] + floor.counts[TALKS])


@kernel
def settle_books(floor: Floor) -> None:
    """Account for what is still going on when the day ends."""
    for agent in range(floor.agents.shape[0]):
        _account(floor, agent, floor.reals[DAY_END_S])


@kernel
def _take_lead(floor: Floor) -> int:
    """Take a lead off the list, those called before first; return how often it was, or -1."""
    if floor.leads[0] < 0:
        return 0
    for tried in range(floor.leads.size - 1, -1, -1):
        if floor.leads[tried] > 0:
            floor.leads[tried] -= 1
            return tried
    return -1


@kernel
def _rate_at(floor: Floor, now: float) -> float:
    step = floor.rates.shape[0] - 1
    while step > 0 and now < floor.rates[step, 0]:
        step -= 1
    return float(floor.rates[step, 1])


@kernel
def _is_out(floor: Floor, now: float) -> bool:
    for outage in range(floor.outages.shape[0]):
        if floor.outages[outage, 0] <= now < floor.outages[outage, 1]:
            return True
    return False


@kernel
def _minute_of(floor: Floor, now: float) -> int:
    return int(min(now / MINUTE_S, floor.minutes.shape[0] - 1.0))


@kernel
def _see(floor: Floor, kind: int, value: float, other: float) -> None:
    row = floor.counts[SEEN]
    if row < floor.seen.shape[0]:
        floor.seen[row, 0] = kind
        floor.seen[row, 1] = value
        floor.seen[row, 2] = other
        floor.seen[row, 3] = floor.counts[PENDING]
        floor.counts[SEEN] = row + 1


@kernel
def _ring_end(floor: Floor, now: float, slot: int) -> int:
    """End the ringing of a call; return its slot if that already says what it was, else -1."""
    counts = floor.counts
    last = counts[PENDING] - 1
    moved = floor.lists[PENDING_CALLS, last]
    floor.lists[PENDING_CALLS, int(floor.calls[slot, CALL_PLACE])] = moved
    floor.calls[moved, CALL_PLACE] = floor.calls[slot, CALL_PLACE]
    counts[PENDING] = last
    fate = int(floor.calls[slot, CALL_FATE])
    if fate == REFUSED:
        # The trunk's fault: nothing to learn, the lead is not charged, five in a row suspend it.
        counts[STREAK] += 1
        if counts[STREAK] >= FAILURES_IN_A_ROW:
            floor.reals[SUSPENDED_UNTIL] = now + SUSPENDED_S
        if floor.leads[0] >= 0:
            floor.leads[int(floor.calls[slot, CALL_TRIES]) - 1] += 1
        _free(floor, slot)
        return -1
    counts[STREAK] = 0
    floor.calls[slot, CALL_ANSWERED_AT] = now
    if floor.laws[LAW_SCREENING, CELLS] > 0 and fate != UNANSWERED:
        floor.calls[slot, CALL_SCREENED] = 1
        _queue(floor, slot)
        listens_s = duration(floor, LAW_SCREENING, floor.draws[_luck_of(floor, slot), LUCK_RING])
        push(floor, now + listens_s, VERDICT, slot)
        return -1
    return slot


@kernel
def _is_person(floor: Floor, now: float, slot: int) -> bool:
    """Say whether the call is taken for one with a person; it is over if it is not."""
    is_person = int(floor.calls[slot, CALL_FATE]) == PERSON
    if floor.calls[slot, CALL_SCREENED] > 0:
        floor.calls[slot, CALL_SCREENED] = 0
        floor.calls[slot, CALL_ANSWERED_AT] = now
        luck = floor.draws[_luck_of(floor, slot), LUCK_PART]
        if is_person and luck < floor.reals[FALSE_POSITIVES]:
            floor.counts[MISJUDGED] += 1
            is_person = False
        floor.counts[PEOPLE if is_person else MACHINES] += 1
    _see(floor, SEEN_LIVE if is_person else SEEN_OTHER, floor.calls[slot, CALL_RANG_S], 0.0)
    if not is_person:
        tried = int(floor.calls[slot, CALL_TRIES])
        if floor.leads[0] >= 0 and tried < floor.leads.size:
            floor.counts[RETRIES] += 1
            push(floor, now + floor.reals[RETRY_S], RETRY, tried)
        _free(floor, slot)
        _finish_list(floor, now)
    return is_person


@kernel
def _luck_of(floor: Floor, slot: int) -> int:
    return int(int(floor.calls[slot, CALL_NUMBER]) % floor.draws.shape[0])


@kernel
def _longest_idle(floor: Floor) -> int:
    """Return the agent who has been ready for longest, or -1."""
    longest = -1
    if floor.counts[IDLE] > 0:
        for agent in range(floor.agents.shape[0]):
            if floor.agents[agent, AGENT_STAGE] == READY and (
                longest < 0 or floor.agents[agent, AGENT_SINCE] < floor.agents[longest, AGENT_SINCE]
            ):
                longest = agent
    return longest


@kernel
def _queue(floor: Floor, slot: int) -> None:
    floor.lists[WAITING_CALLS, floor.counts[WAITING]] = slot
    floor.counts[WAITING] += 1


@kernel
def _unqueue(floor: Floor, slot: int) -> None:
    at = 0
    while floor.lists[WAITING_CALLS, at] != slot:
        at += 1
    last = floor.counts[WAITING] - 1
    while at < last:  # in the order of their answers
        floor.lists[WAITING_CALLS, at] = floor.lists[WAITING_CALLS, at + 1]
        at += 1
    floor.counts[WAITING] = last


@kernel
def _free(floor: Floor, slot: int) -> None:
    floor.calls[slot, CALL_NUMBER] = -1
    floor.lists[FREE_CALLS, floor.counts[FREE_SLOTS]] = slot
    floor.counts[FREE_SLOTS] += 1


@kernel
def _finish_list(floor: Floor, now: float) -> None:
    """Note when the last call of the list was over."""
    counts = floor.counts
    if counts[PENDING] + counts[WAITING] + counts[RETRIES] == 0 and callable_now(floor) == 0:
        floor.reals[FINISHED_S] = now


@kernel
def _settle(floor: Floor, now: float, slot: int, abandoned: int) -> None:
    """Enter a person who answered into the books."""
    floor.counts[ANSWERED] += 1
    floor.counts[ABANDONED] += abandoned
    at = _minute_of(floor, now)
    floor.minutes[at, BOOK_ANSWERED] += 1
    floor.minutes[at, BOOK_ABANDONED] += abandoned
    _see(floor, SEEN_SETTLED, abandoned, floor.calls[slot, CALL_THETA])
    _free(floor, slot)
    _finish_list(floor, now)


@kernel
def _give_up(floor: Floor, now: float, who: int) -> None:
    slot = who % floor.calls.shape[0]
    if int(floor.calls[slot, CALL_NUMBER]) == who // floor.calls.shape[0]:
        _unqueue(floor, slot)
        _settle(floor, now, slot, 1)


@kernel
def _account(floor: Floor, agent: int, now: float) -> None:
    """Book the time of the stage *agent* is in, up to *now*, and start it anew."""
    stage = int(floor.agents[agent, AGENT_STAGE])
    start = floor.agents[agent, AGENT_SINCE]
    if READY <= stage <= WRAP_UP:
        at = _minute_of(floor, start)
        last = _minute_of(floor, now)
        while at <= last:
            end = now if at == last else (at + 1) * MINUTE_S
            floor.minutes[at, BOOK_STAFFED] += end - start
            if stage != READY:
                floor.minutes[at, BOOK_BUSY] += end - start
            start = end
            at += 1
    floor.agents[agent, AGENT_SINCE] = now


@kernel
def _talk_end(floor: Floor, now: float, agent: int) -> None:
    _see(floor, SEEN_TALK, now - floor.agents[agent, AGENT_SINCE], 0.0)
    _account(floor, agent, now)
    floor.agents[agent, AGENT_STAGE] = WRAP_UP
    floor.counts[TALKS] -= 1
    talk = int(floor.agents[agent, AGENT_TALK_NUMBER]) % floor.talk_draws.shape[1]
    floor.agents[agent, AGENT_TALK_NUMBER] += 1
    lasts_s = duration(floor, LAW_WRAP_UP, floor.talk_draws[agent, talk, 1])
    push(floor, now + lasts_s, WRAP_UP_END, agent)


@kernel
def _wrap_up_end(floor: Floor, now: float, agent: int) -> int:
    """End a wrap-up; return the agent if ready for the next call, else -1."""
    _see(floor, SEEN_WRAP_UP, now - floor.agents[agent, AGENT_SINCE], 0.0)
    _account(floor, agent, now)
    if int(floor.agents[agent, AGENT_ANNOUNCED]) != STAYS:
        _go(floor, now, agent)
        return -1
    floor.agents[agent, AGENT_STAGE] = READY
    floor.counts[IDLE] += 1
    return agent


@kernel
def _take_next(floor: Floor, now: float, agent: int) -> None:
    """Connect a ready agent to the person who has waited for longest, if there is one."""
    for at in range(floor.counts[WAITING]):
        slot = floor.lists[WAITING_CALLS, at]
        if floor.calls[slot, CALL_SCREENED] == 0:
            _unqueue(floor, slot)
            _account(floor, agent, now)
            floor.agents[agent, AGENT_STAGE] = TALKING
            floor.counts[IDLE] -= 1
            floor.counts[TALKS] += 1
            floor.counts[CONNECTED] += 1
            talk = int(floor.agents[agent, AGENT_TALK_NUMBER]) % floor.talk_draws.shape[1]
            lasts_s = duration(floor, LAW_TALK, floor.talk_draws[agent, talk, 0])
            push(floor, now + lasts_s, TALK_END, agent)
            _settle(floor, now, slot, 0)
            return


@kernel
def _log_in(floor: Floor, now: float, agent: int) -> int:
    """Begin a shift, or come back from a break; return the agent, or -1 if the shift is over."""
    if now >= floor.agents[agent, AGENT_LEAVES_AT]:
        floor.agents[agent, AGENT_STAGE] = OFFLINE
        return -1
    floor.agents[agent, AGENT_ANNOUNCED] = STAYS
    floor.agents[agent, AGENT_SINCE] = now
    floor.agents[agent, AGENT_STAGE] = READY
    floor.counts[STAFF] += 1
    floor.counts[IDLE] += 1
    leaves = min(floor.agents[agent, AGENT_NEXT_BREAK_AT], floor.agents[agent, AGENT_LEAVES_AT])
    if leaves < NEVER:
        push(floor, leaves, LEAVE, agent)
    return agent


@kernel
def _leave(floor: Floor, now: float, agent: int) -> None:
    """Announce a break or the end of a shift; an idle agent goes at once."""
    for_good = now >= floor.agents[agent, AGENT_LEAVES_AT]
    floor.agents[agent, AGENT_ANNOUNCED] = LEAVES_FOR_GOOD if for_good else LEAVES_FOR_BREAK
    if int(floor.agents[agent, AGENT_STAGE]) == READY:
        _account(floor, agent, now)
        floor.counts[IDLE] -= 1
        _go(floor, now, agent)


@kernel
def _go(floor: Floor, now: float, agent: int) -> None:
    """Begin a break, or log out."""
    floor.counts[STAFF] -= 1
    if int(floor.agents[agent, AGENT_ANNOUNCED]) == LEAVES_FOR_BREAK:
        floor.agents[agent, AGENT_STAGE] = PAUSED
        back_at = now + floor.agents[agent, AGENT_BREAK_S]
        floor.agents[agent, AGENT_NEXT_BREAK_AT] = (
            back_at + floor.agents[agent, AGENT_BREAK_EVERY_S]
        )
        push(floor, back_at, LOG_IN, agent)
    else:
        floor.agents[agent, AGENT_STAGE] = OFFLINE
