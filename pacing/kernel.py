"""The decision over plain arrays, the one pacer of production and simulator alike.

`pacer.decide` reads a `Snapshot` into these arrays and tells the result as a `Decision`; the
simulator fills them itself, millions of times a second of wall clock. Nothing here knows which of
the two is calling. Start with `choose`.

The predictive rule: start calls until the next one would be lost too often. At the moments
s_1..s_4 when a call started now would be answered (quantiles 1/8, 3/8, 5/8, 7/8 of the ring law),
X_k is the people answered by then, k new calls included, minus the agents free by then plus the
time a person may wait:

    L(k) = 1/4 sum over j of P[X_k(s_j) >= 0]

is the probability that the next call, if a person answers it, finds no agent. L increases with k,
and the answer is the number of k with L(k) <= theta (`threshold.py`).
"""

from __future__ import annotations

from math import ceil, floor, isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.answer_rate import AnswerModel, answered_within, fit_answers
from pacing.compiling import kernel
from pacing.durations import Floats, Tallies, mean_s, quantiles, survival
from pacing.guard import Windows, least_room
from pacing.net_demand import NetDemand, Waves, at_least, net_demand
from pacing.supply import READY, Staff, Supply, foresee
from pacing.threshold import Threshold, set_threshold

GUARD_CONFIDENCE = 0.999
PREVIEW, PROGRESSIVE, POWER, PREDICTIVE = range(4)
"""Modes as numbers, in the order of `Mode`."""
(
    NO_AGENTS,
    AGENTS,
    RATIO,
    LOSS_THRESHOLD,
    GUARD,
    LAW,
    STALE,
    LINES_PER_AGENT,
    TRUNK_ROOM,
    CALLS_PER_SECOND,
    LIST,
) = range(11)
"""Bounds as numbers, in the order of `Bound`."""

_SHARES = np.array([1 / 8, 3 / 8, 5 / 8, 7 / 8, 0.99])
_QUARTERS = 4  # the guard also looks at the last answers; the rule averages the quarters
SURE = 1.0 - GUARD_CONFIDENCE
_NORMAL_QUANTILE = 3.09
_ROUNDING = 1e-9  # three thirds of an agent are one agent


class Calls(NamedTuple):
    """The calls nobody has joined yet.

    `rung_s` and `needs_agent` have one entry per call nobody has answered; `waiting` has the
    probability of a person for each answered call without an agent; `in_flight` counts all, those
    with an agent included.
    """

    rung_s: Floats
    needs_agent: NDArray[np.bool_]
    waiting: Floats
    in_flight: int


class Learned(NamedTuple):
    """What the campaign has learned and what it believed before: see `types.History`."""

    live: float
    not_live: float
    answer_rate_prior: float
    loss_rate: float
    tallies: Tallies
    priors: Tallies


class Settings(NamedTuple):
    """The campaign's policy and the caps of this instant; see `types.Policy`, `types.Snapshot`.

    `is_absolute` is the guard's mode; `restraint` is the bound that forbids over-dialing (LAW or
    STALE), -1 when nothing does.
    """

    mode: int
    ratio: float
    max_lines_per_agent: float
    is_absolute: bool
    restraint: int
    connect_limit_s: float
    leads: int
    channels: int
    calls_now: int


class Census(NamedTuple):
    """Who is there and what is under way, counted once for every rule.

    `ready` and `enrolled` are sums of agent shares; `pending` and `waiting` count the calls that
    still need an agent. Waiting calls take ready agents first, then pending calls do: what is left
    is what one call per agent may still use, `one_to_one`.
    """

    enrolled: float
    ready: float
    pending: int
    waiting: int
    one_to_one: int


class Outlook(NamedTuple):
    """What is known about the next half minute, and the threshold it is judged by."""

    answers: AnswerModel
    supply: Supply
    threshold: Threshold
    net: NetDemand
    moments_s: Floats


class Choice(NamedTuple):
    """How many calls to start now, the bound that decided, and what was wanted and allowed.

    `allowed` is what the guard allows, -1 when it was not asked. `theta_at_dial` is what these
    calls really risk: less than the threshold when another limit decided.
    """

    calls: int
    bound: int
    wanted: int
    allowed: int
    theta_at_dial: float


@kernel
def whole(amount: float) -> int:
    """Return *amount* rounded down to whole calls; nothing finite, nothing allowed."""
    return floor(amount + _ROUNDING) if isfinite(amount) else 0


@kernel
def take_census(staff: Staff, calls: Calls) -> Census:
    """Count the agents and calls."""
    ready = staff.share[staff.stage == READY].sum()
    pending, waiting = int(calls.needs_agent.sum()), calls.waiting.size
    one_to_one = max(0, whole(ready) - waiting - pending)
    return Census(staff.share.sum(), ready, pending, waiting, one_to_one)


@kernel
def caps(settings: Settings, census: Census, calls: Calls) -> NDArray[np.int64]:
    """Return the caps no rule may exceed: lines per agent, trunk room, calls per second, list."""
    lines = whole(settings.max_lines_per_agent * census.enrolled) - calls.in_flight
    return np.array(
        [
            max(0, lines),
            max(0, settings.channels),
            max(0, settings.calls_now),
            max(0, settings.leads),
        ]
    )


@kernel
def choose_one_to_one(settings: Settings, census: Census, limits: NDArray[np.int64]) -> Choice:
    """Return the choice of the modes that start no call without an agent: progressive, preview."""
    wanted = census.one_to_one if settings.mode == PROGRESSIVE else 0
    calls, bound = within_caps(wanted, AGENTS, limits)
    return Choice(calls, bound, wanted, -1, 0.0)


@kernel
def most_worth_asking(settings: Settings, census: Census, limits: NDArray[np.int64]) -> int:
    """Return the largest answer a look ahead has to be good for.

    One beyond the tightest cap is far enough to tell which limit decides.
    """
    capped = int(limits.min()) + 1
    most = max(census.one_to_one, min(ceil(census.enrolled), capped))
    if settings.mode == POWER:
        most = max(most, min(power_wants(settings, census), capped))
    return most


@kernel
def power_wants(settings: Settings, census: Census) -> int:
    """Return how many calls a fixed ratio of calls per ready agent still lacks."""
    spare = max(0.0, census.ready - census.waiting)
    return whole(settings.ratio * spare) - census.pending


@kernel
def choose(
    settings: Settings,
    census: Census,
    limits: NDArray[np.int64],
    windows: Windows,
    outlook: Outlook,
    most: int,
) -> Choice:
    """Return the choice of the modes that dial ahead, power and predictive, inside the guard.

    `limits` are the `caps`, `most` the size the `outlook` was made for.
    """
    if settings.mode == POWER:
        wanted, bound = power_wants(settings, census), RATIO
    else:
        wanted = calls_within_threshold(outlook, census.one_to_one, most)
        at_most_one_each = wanted >= ceil(census.enrolled)
        bound = AGENTS if at_most_one_each else LOSS_THRESHOLD
    allowed, guarding = allowance(settings, census, windows, outlook, wanted, most)
    calls = wanted
    if guarding >= 0:
        calls, bound = min(wanted, allowed), guarding
    calls, bound = within_caps(calls, bound, limits)
    theta = outlook.threshold.theta
    if bound != LOSS_THRESHOLD:
        theta = min(theta, loss(outlook, calls - 1)) if calls > 0 else 0.0
    return Choice(calls, bound, wanted, allowed, theta)


@kernel
def allowance(
    settings: Settings,
    census: Census,
    windows: Windows,
    outlook: Outlook,
    wanted: int,
    most: int,
) -> tuple[int, int]:
    """Return what the guard allows of *wanted*, and its bound when it is in force, else -1."""
    if settings.restraint >= 0:
        return census.one_to_one, settings.restraint
    headroom = least_room(windows)
    if headroom == 0:
        return census.one_to_one, GUARD
    if wanted <= census.one_to_one:
        return -1, -1
    if settings.is_absolute:
        # Every call beyond the ready agents is taken as lost (compliance PACE-2).
        spare = whole(census.ready) - census.waiting - census.pending
        allowed = max(census.one_to_one, headroom + spare)
    else:
        allowed = calls_within_headroom(outlook, headroom, census.one_to_one, min(wanted, most))
    return allowed, GUARD if allowed < wanted else -1


@kernel
def within_caps(calls: int, bound: int, limits: NDArray[np.int64]) -> tuple[int, int]:
    """Return *calls* cut to the caps; at a tie the rule in force is named, not the cap."""
    for i in range(limits.size):
        if limits[i] < calls:
            calls, bound = limits[i], LINES_PER_AGENT + i
    return max(0, calls), bound


@kernel
def look_ahead(
    staff: Staff,
    calls: Calls,
    windows: Windows,
    learned: Learned,
    settings: Settings,
    most: int,
    waves: Waves,
) -> Outlook:
    """Return the outlook for decisions of up to *most* new calls."""
    tallies, priors = learned.tallies, learned.priors
    answers = fit_answers(
        learned.live, learned.not_live, learned.answer_rate_prior, tallies, priors, calls.rung_s
    )
    moments_s = quantiles(answers.ring_live, _SHARES)
    supply = foresee(staff, tallies, priors, moments_s + settings.connect_limit_s)

    demand = demand_of(answers, calls, moments_s)
    per_call = answers.p * (1.0 - survival(answers.ring_live, moments_s))
    enrolled = supply.ready_now + supply.chances.shape[1]
    cycle_s = mean_s(supply.talk) + mean_s(supply.wrap_up)
    return Outlook(
        answers,
        supply,
        set_threshold(windows, learned.loss_rate, enrolled / max(cycle_s, 1.0)),
        net_demand(demand, supply.chances, per_call, answers.doubt, most, waves),
        moments_s,
    )


@kernel
def demand_of(answers: AnswerModel, calls: Calls, ahead_s: Floats) -> Floats:
    """Return P[each call without an agent needs one within *ahead_s*]: (moments, calls)."""
    pending = answered_within(answers, calls.rung_s[calls.needs_agent], ahead_s)
    waiting = np.ones((ahead_s.size, 1)) * calls.waiting[None, :]
    return np.concatenate((pending, waiting), axis=1)


@kernel
def loss(outlook: Outlook, started: int) -> float:
    """Return L: how likely one more call is lost when *started* calls start now."""
    short = at_least(outlook.net, outlook.supply.ready_now, started)
    return float(short[:_QUARTERS].mean())


@kernel
def is_within(net: NetDemand, most: int, started: int) -> bool:
    """Return whether X surely (99.9 % at each moment) is at most *most* with *started* calls."""
    return bool(at_least(net, most + 1, started).max() <= SURE)


@kernel
def calls_within_threshold(outlook: Outlook, least: int, most: int) -> int:
    """Return how many calls may start, searched between *least* and *most*.

    The step doubles first: the answer is usually a few calls above *least*.
    """
    theta = outlook.threshold.theta
    step, good, bad = 1, least, most + 1
    while good + step < bad:
        if loss(outlook, good + step - 1) <= theta:
            good += step
            step *= 2
        else:
            bad = good + step
    while bad - good > 1:
        middle = (good + bad) // 2
        if loss(outlook, middle - 1) <= theta:
            good = middle
        else:
            bad = middle
    return good


@kernel
def calls_within_headroom(outlook: Outlook, headroom: int, least: int, most: int) -> int:
    """Return how many calls may start with losses within *headroom*, searched from *most* down."""
    net, places = outlook.net, outlook.supply.ready_now + headroom
    if most <= least or is_within(net, places, most):
        return max(least, most)
    good, bad = least, most
    while bad - good > 1:
        middle = (good + bad) // 2
        if is_within(net, places, middle):
            good = middle
        else:
            bad = middle
    return good


@kernel
def loss_quantile(net: NetDemand, ready_now: int, started: int) -> int:
    """Return the 99.9 % quantile of losses among the calls in flight and *started* new ones.

    The normal quantile says where to look first: the answer is a step or two away.
    """
    added = started * net.per_call
    doubtful = (net.doubt * (net.answers + added)) ** 2
    spread = np.sqrt(net.variance + added * (1.0 - net.per_call) + doubtful)
    guess = np.max(net.mean + added + _NORMAL_QUANTILE * spread) - ready_now
    lost = max(0, round(guess))
    if is_within(net, ready_now + lost, started):
        while lost > 0 and is_within(net, ready_now + lost - 1, started):
            lost -= 1
        return lost
    while not is_within(net, ready_now + lost, started):
        lost += 1
    return lost
