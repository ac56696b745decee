"""The kernel's heaviest functions once more, as loops: the form that numba compiles best.

Over whole arrays is the form numpy is fast in, element by element the form a compiler is fast in:
it takes a quarter of the time to compile and half the time to run. `compiling.compiled` takes the
loop where there is one. Each has the name, arguments and result of the function it stands for, and
a test holds the two to the same numbers (`tests/unit/pacing/test_compiled.py`).
"""

from __future__ import annotations

from math import atan2, exp, log, log1p, sin, sqrt

import numpy as np

from pacing import answer_rate, durations, kernel, net_demand, supply
from pacing.answer_rate import AnswerModel, answered_within
from pacing.compiling import kernel as part_of_kernel
from pacing.compiling import loop_form_of
from pacing.durations import DurationLaw, Floats, Tallies, Tally, learn
from pacing.kernel import Calls, Census, Outlook, whole
from pacing.net_demand import LEVELS, NetDemand, Waves, at_least, rows
from pacing.supply import READY, RESERVED, STEPS, TALKING, WRAP_UP, Staff, Supply, wrapped_up

_NEVER = 1e-12
_CERTAIN = 1.0 - 1e-9


@part_of_kernel
def alive_at(law: DurationLaw, at_s: float) -> float:
    """Return the probability of still running after *at_s* seconds."""
    at = max(at_s, 0.0) / law.width_s
    index = int(min(at, law.step.size - 1.0))
    return exp(-(law.cumulative[index] + (at - index) * law.step[index]))


@loop_form_of(durations.survival)
def _survival(law: DurationLaw, at_s: Floats) -> Floats:
    alive = np.empty(at_s.size)
    for i in range(at_s.size):
        alive[i] = alive_at(law, at_s[i])
    return alive


@loop_form_of(durations.mean_s)
def _mean_s(law: DurationLaw) -> float:
    within, before = 0.0, 1.0
    for i in range(1, law.cumulative.size):
        alive = exp(-law.cumulative[i])
        within += (before + alive) / 2
        before = alive
    return float(law.width_s * (within + before / law.step[-1]))


@loop_form_of(durations.quantiles)
def _quantiles(law: DurationLaw, shares: Floats) -> Floats:
    times = np.empty(shares.size)
    for i in range(shares.size):
        hazard, index = -log1p(-shares[i]), 0
        while index < law.cumulative.size - 1 and law.cumulative[index + 1] <= hazard:
            index += 1
        times[i] = law.width_s * (index + (hazard - law.cumulative[index]) / law.step[index])
    return times


@loop_form_of(durations.learn)
def _learn(tally: Tally, prior: Tally, running_s: Floats, weights: Floats) -> DurationLaw:
    bins = tally.events.size
    reached, partly = np.zeros(bins + 1), np.zeros(bins + 1)
    for i in range(running_s.size):
        at = max(running_s[i], 0.0) / tally.width_s
        index = int(min(at, float(bins)))
        reached[index] += weights[i]
        partly[index] += weights[i] * (at - index)
    step, cumulative = np.empty(bins + 1), np.empty(bins + 1)
    last = bins - max(1, bins // 4)
    survived, tail_events, tail_exposed = reached[bins], 0.0, 0.0
    for i in range(bins - 1, -1, -1):
        events = tally.events[i] + prior.events[i]
        exposed = tally.exposed[i] + prior.exposed[i] + partly[i] + survived
        survived += reached[i]
        step[i] = -log1p(-min(events / max(exposed, events + _NEVER), _CERTAIN))
        if i >= last:
            tail_events += events
            tail_exposed += exposed
    cumulative[0] = 0.0
    for i in range(bins):
        cumulative[i + 1] = cumulative[i] + step[i]
    pooled = min(_CERTAIN, tail_events / max(tail_exposed, _NEVER))
    step[bins] = max(-log1p(-pooled), 1e-6 * tally.width_s)
    return DurationLaw(tally.width_s, cumulative, step)


@loop_form_of(durations.add)
def _add(tally: Tally, duration_s: float, has_ended: bool, memory: float) -> None:  # noqa: FBT001 - numba knows no keywords
    bins = tally.events.size
    at = max(0.0, duration_s) / tally.width_s
    last = int(min(at, float(bins)))
    keep = 1.0 - 1.0 / memory
    for i in range(bins):
        tally.events[i] *= keep
        tally.exposed[i] *= keep
        if i < last:
            tally.exposed[i] += 1.0
    if last < bins:
        if has_ended:
            tally.exposed[last] += 1.0
            tally.events[last] += 1.0
        else:
            tally.exposed[last] += at - last


@loop_form_of(answer_rate.recency)
def _recency(still: Floats, remembered: float) -> Floats:
    weights, dialed_since = np.empty(still.size), 0.0
    for i in range(still.size):
        dialed_since += 1.0 / max(still[i], answer_rate.LEAST_STILL)
        weights[i] = exp(-dialed_since / remembered)
    return weights


@loop_form_of(answer_rate.most_likely_rate)
def _most_likely_rate(
    answered: float,
    unanswered: float,
    alive_live: Floats,
    alive_other: Floats,
    weights: Floats,
    start: float = 0.0,
) -> float:
    low, high = answer_rate.LEAST, answer_rate.MOST
    p = min(max(start if start > 0.0 else answered / (answered + unanswered), low), high)
    for _ in range(40):
        slope = answered / p - unanswered / (1 - p)
        bend = answered / p**2 + unanswered / (1 - p) ** 2
        for i in range(weights.size):
            difference = alive_live[i] - alive_other[i]
            ratio = difference / max(alive_other[i] + p * difference, _NEVER)
            slope += weights[i] * ratio
            bend += weights[i] * ratio * ratio
        if slope > 0:
            low = p
        else:
            high = p
        step = p + slope / bend
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - p) < 1e-6:
            return step
        p = step
    return p


@loop_form_of(answer_rate.shares_to_come)
def _shares_to_come(p: float, alive: Floats, alive_other: Floats) -> tuple[Floats, Floats]:
    will_answer, still = np.empty(alive.size), np.empty(alive.size)
    for i in range(alive.size):
        still[i] = max(p * alive[i] + (1 - p) * alive_other[i], _NEVER)
        will_answer[i] = p * alive[i] / still[i]
    return will_answer, still


@loop_form_of(answer_rate.answered_within)
def _answered_within(model: AnswerModel, rung_s: Floats, ahead_s: Floats) -> Floats:
    within = np.empty((ahead_s.size, rung_s.size))
    for i in range(rung_s.size):
        alive = alive_at(model.ring_live, rung_s[i])
        still = model.p * alive + (1 - model.p) * alive_at(model.ring_other, rung_s[i])
        share = model.p / max(still, _NEVER)
        for j in range(ahead_s.size):
            within[j, i] = share * (alive - alive_at(model.ring_live, ahead_s[j] + rung_s[i]))
    return within


@loop_form_of(supply.foresee)
def _foresee(staff: Staff, tallies: Tallies, priors: Tallies, ahead_s: Floats) -> Supply:
    people = staff.stage.size
    talking_s, wrapping_s = np.empty(people), np.empty(people)
    talkers, wrappers, ready, others = 0, 0, 0, 0
    for i in range(people):
        stage = staff.stage[i]
        if stage == TALKING:
            talking_s[talkers] = staff.elapsed_s[i]
            talkers += 1
        elif stage == WRAP_UP:
            wrapping_s[wrappers] = staff.elapsed_s[i]
            wrappers += 1
        ready += 1 if is_free_now(stage, staff.share[i]) else 0
        others += 1 if may_be_free(stage, staff.share[i]) else 0
    talk = learn(tallies.talk, priors.talk, talking_s[:talkers], np.ones(talkers))
    wrap_up = learn(tallies.wrap_up, priors.wrap_up, wrapping_s[:wrappers], np.ones(wrappers))
    wrapped = wrapped_up(wrap_up, ahead_s)
    chances, at = np.zeros((ahead_s.size, others)), 0
    for i in range(people):
        stage, elapsed_s, share = staff.stage[i], staff.elapsed_s[i], staff.share[i]
        if not may_be_free(stage, share):
            continue
        if stage == READY:
            chances[:, at] = share
        elif stage == WRAP_UP:
            alive = max(alive_at(wrap_up, elapsed_s), _NEVER)
            for j in range(ahead_s.size):
                later = alive_at(wrap_up, elapsed_s + ahead_s[j])
                chances[j, at] = share * (1.0 - later / alive)
        else:
            since_s = 0.0 if stage == RESERVED else elapsed_s
            add_talker(talk, wrapped, since_s, share, ahead_s[-1] / STEPS, chances[:, at])
        at += 1
    return Supply(ready, chances, talk, wrap_up)


@part_of_kernel
def is_free_now(stage: int, share: float) -> bool:
    """Return whether an agent is ready and wholly this campaign's."""
    return stage == READY and share >= 1.0


@part_of_kernel
def may_be_free(stage: int, share: float) -> bool:
    """Return whether an agent is supply of some probability."""
    return share > 0.0 and stage <= WRAP_UP and not is_free_now(stage, share)


@part_of_kernel
def add_talker(
    talk: DurationLaw,
    wrapped: Floats,
    since_s: float,
    share: float,
    step_s: float,
    chances: Floats,
) -> None:
    """Add to *chances* that an agent talking since *since_s* has talked and wrapped up."""
    before = alive_at(talk, since_s)
    alive = max(before, _NEVER)
    for u in range(STEPS):
        after = alive_at(talk, since_s + (u + 1) * step_s)
        for j in range(chances.size):
            chances[j] += share * wrapped[j, u] * (before - after) / alive
        before = after


@loop_form_of(supply.wrapped_up)
def _wrapped_up(wrap_up: DurationLaw, ahead_s: Floats) -> Floats:
    wrapped = np.empty((ahead_s.size, STEPS))
    step_s = ahead_s[-1] / STEPS
    for j in range(ahead_s.size):
        for u in range(STEPS):
            wrapped[j, u] = 1.0 - alive_at(wrap_up, max(ahead_s[j] - (u + 0.5) * step_s, 0.0))
    return wrapped


@loop_form_of(net_demand.net_demand)
def _net_demand(
    demand: Floats, supply: Floats, per_call: Floats, doubt: float, most: int, waves: Waves
) -> NetDemand:
    moments = per_call.size
    asked, given = np.zeros((LEVELS, moments)), np.zeros((LEVELS, moments))
    mean, variance, answers = np.empty(moments), np.empty(moments), np.empty(moments)
    new = np.empty(moments)
    widest, least = 0.0, 1e300
    for j in range(moments):
        answering, spread = spread_at(demand[j], j, asked)
        freed, spread_freed = spread_at(supply[j], j, given)
        new[j] = min(max(per_call[j], 0.0), 1.0)
        answers[j], mean[j] = answering, answering - freed
        variance[j] = max(spread + spread_freed, 0.0)
        expected = answering + most * new[j]
        widest = max(widest, variance[j] + most * new[j] + (doubt * expected) ** 2)
        least = min(least, variance[j])
    begin, end = rows(widest, least, waves)
    terms = end - begin
    new_log_modulus, new_argument = np.empty((terms, moments)), np.empty((terms, moments))
    for f in range(terms):
        turned, across = waves.turned[begin + f], sin(waves.angle[begin + f])
        for j in range(moments):
            faded = 1.0 - 2.0 * new[j] * (1.0 - new[j]) * turned
            new_log_modulus[f, j] = 0.5 * log(faded + 1e-300)
            new_argument[f, j] = atan2(across * new[j], 1.0 - turned * new[j])
    return NetDemand(
        waves.angle[begin:end],
        waves.turned[begin:end],
        waves.weight[begin:end],
        np.dot(waves.log_modulus[begin:end], asked + given),
        np.dot(waves.argument[begin:end], asked - given),
        new_log_modulus,
        new_argument,
        mean,
        variance,
        answers,
        new,
        doubt,
    )


@part_of_kernel
def spread_at(probabilities: Floats, moment: int, counts: Floats) -> tuple[float, float]:
    """Count *probabilities* by level into column *moment*; return their mean and variance."""
    mean, variance = 0.0, 0.0
    for i in range(probabilities.size):
        p = min(max(probabilities[i], 0.0), 1.0)
        mean += p
        variance += p * (1.0 - p)
        at = p * (LEVELS - 1.0)
        below = int(min(at, LEVELS - 2.0))
        counts[below, moment] += 1.0 - (at - below)
        counts[below + 1, moment] += at - below
    return mean, variance


@loop_form_of(net_demand.at_least)
def _at_least(net: NetDemand, count: int, new_calls: int) -> Floats:
    tail = np.empty(net.mean.size)
    for j in range(tail.size):
        q = net.per_call[j]
        doubtful = (net.doubt * (net.answers[j] + new_calls * q)) ** 2
        spread = sqrt(net.variance[j] + new_calls * q * (1.0 - q) + doubtful)
        beyond = count - 0.5 - net.mean[j] - new_calls * q
        far = net_demand.SIGMAS * spread + net_demand.MARGIN
        if beyond > far:
            tail[j] = 0.0
        elif beyond < -far:
            tail[j] = 1.0
        else:
            total = 0.5
            for f in range(net.angle.size):
                modulus = net.log_modulus[f, j] + new_calls * net.new_log_modulus[f, j]
                modulus -= net.turned[f] * doubtful
                if modulus < -net_demand.FADED:
                    continue
                phase = net.argument[f, j] + new_calls * net.new_argument[f, j]
                phase -= net.angle[f] * (count - 0.5)
                total += net.weight[f] * exp(modulus) * sin(phase)
            tail[j] = min(max(total, 0.0), 1.0)
    return tail


@loop_form_of(kernel.take_census)
def _take_census(staff: Staff, calls: Calls) -> Census:
    enrolled, ready, pending = 0.0, 0.0, 0
    for i in range(staff.stage.size):
        enrolled += staff.share[i]
        if staff.stage[i] == READY:
            ready += staff.share[i]
    for i in range(calls.needs_agent.size):
        pending += 1 if calls.needs_agent[i] else 0
    waiting = calls.waiting.size
    one_to_one = max(0, whole(ready) - waiting - pending)
    return Census(enrolled, ready, pending, waiting, one_to_one)


@loop_form_of(kernel.demand_of)
def _demand_of(answers: AnswerModel, calls: Calls, ahead_s: Floats) -> Floats:
    needing = 0
    for i in range(calls.needs_agent.size):
        needing += 1 if calls.needs_agent[i] else 0
    rung_s, at = np.empty(needing), 0
    for i in range(calls.needs_agent.size):
        if calls.needs_agent[i]:
            rung_s[at] = calls.rung_s[i]
            at += 1
    pending = answered_within(answers, rung_s, ahead_s)
    demand = np.empty((ahead_s.size, needing + calls.waiting.size))
    for j in range(ahead_s.size):
        for i in range(needing):
            demand[j, i] = pending[j, i]
        for i in range(calls.waiting.size):
            demand[j, needing + i] = calls.waiting[i]
    return demand


@loop_form_of(kernel.loss)
def _loss(outlook: Outlook, started: int) -> float:
    short = at_least(outlook.net, outlook.supply.ready_now, started)
    return float(short[0] + short[1] + short[2] + short[3]) / 4
