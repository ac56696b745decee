"""How likely a call is to be answered by a person, and when, given how long it has rung.

The trap this avoids: answered / resolved collapses at a cold start, because fast failures resolve
first; dialing then runs away. A pending call that has rung a seconds is one a person will answer
with probability

    q = p S_R(a) / (p S_R(a) + (1 - p) S_N(a)),

S_R and S_N the survival of rings that end in a live answer and of those that do not. EM's fixed
point p = (w p0 + A + sum q) / (w + A + B + n) is the root of the derivative of a concave log
posterior (a mixture likelihood with a Beta prior), found here by Newton's method inside a bracket.
The same q weighs pending calls in as right-censored exposure of the two ring laws.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from pacing.compiling import kernel
from pacing.durations import DurationLaw, Floats, Tallies, learn, survival

DEFAULT_ANSWER_RATE = 0.25
_PRIOR_CALLS = 6.0
_MEMORY = 200.0
_MEMORY_ANSWERED = 40.0
_ROUNDS = 3
LEAST, MOST = 0.005, 0.95
_NEVER = 1e-12
LEAST_STILL = 0.05


class AnswerModel(NamedTuple):
    """The answer rate `p` and the two ring laws that fit the same calls.

    `resolved` is how many ended calls `p` rests on, discounted, the prior's included; `doubt` is
    the relative standard deviation of `p` that follows from it.
    """

    p: float
    resolved: float
    doubt: float
    ring_live: DurationLaw
    ring_other: DurationLaw


@kernel
def fit_answers(
    live: float,
    not_live: float,
    prior_rate: float,
    tallies: Tallies,
    priors: Tallies,
    rung_s: Floats,
) -> AnswerModel:
    """Return the answer model that fits the ended calls and those pending for *rung_s* seconds.

    `live` and `not_live` are discounted counts. Rate and ring laws depend on each other through
    the pending calls, so they are fitted in turn, from the prior rate on: starting from
    answered / resolved would start inside the trap.
    """
    prior = min(max(prior_rate, LEAST), MOST)
    answered = _PRIOR_CALLS * prior + live
    unanswered = _PRIOR_CALLS * (1 - prior) + not_live
    remembered = memory(rung_s.size, answered / (answered + unanswered))
    rung = np.sort(rung_s)  # youngest first
    weights = recency(np.ones(rung.size), remembered)
    pending = weights.sum()
    p = (answered + prior * pending) / (answered + unanswered + pending)
    will_answer = np.full(rung.size, p)
    rounds = _ROUNDS if rung.size > 0 else 1
    while True:
        ring_live = learn(tallies.ring_live, priors.ring_live, rung, weights * will_answer)
        ring_other = learn(
            tallies.ring_other, priors.ring_other, rung, weights * (1.0 - will_answer)
        )
        alive, alive_other = survival(ring_live, rung), survival(ring_other, rung)
        p = most_likely_rate(answered, unanswered, alive, alive_other, weights, p)
        rounds -= 1
        if rounds == 0:
            break
        will_answer, still = shares_to_come(p, alive, alive_other)
        weights = recency(still, remembered)
    resolved = answered + unanswered
    return AnswerModel(p, resolved, sqrt((1 - p) / (p * (resolved + 1))), ring_live, ring_other)


@kernel
def shares_to_come(p: float, alive: Floats, alive_other: Floats) -> tuple[Floats, Floats]:
    """Return for each pending call q, and how likely a call still rings for so long."""
    still = np.maximum(p * alive + (1 - p) * alive_other, _NEVER)
    return p * alive / still, still


@kernel
def answered_within(model: AnswerModel, rung_s: Floats, ahead_s: Floats) -> Floats:
    """Return P[a call that rang *rung_s* is answered within *ahead_s*]: (moments, calls)."""
    alive = survival(model.ring_live, rung_s)
    still = model.p * alive + (1 - model.p) * survival(model.ring_other, rung_s)
    later = survival(model.ring_live, (ahead_s[:, None] + rung_s[None, :]).ravel())
    share = model.p / np.maximum(still, _NEVER)
    within: Floats = share * (alive - later.reshape((ahead_s.size, rung_s.size)))
    return within


@kernel
def memory(in_flight: int, p: float) -> float:
    """Return how many resolved calls the answer rate remembers with *in_flight* calls pending.

    The rarer answers are, the longer: a rate known from ten answers is off by a third.
    """
    return max(_MEMORY, _MEMORY_ANSWERED / max(p, LEAST), 1.5 * in_flight)


@kernel
def most_likely_rate(
    answered: float,
    unanswered: float,
    alive_live: Floats,
    alive_other: Floats,
    weights: Floats,
    start: float = 0.0,
) -> float:
    """Return the p that maximises the posterior, pending calls counted as what they may become.

    `answered` and `unanswered` are resolved calls with the prior's pseudo-calls included; the
    arrays hold S_R, S_N and the weight of each pending call. A good *start* saves steps.
    """
    low, high = LEAST, MOST
    difference = alive_live - alive_other
    p = min(max(start if start > 0.0 else answered / (answered + unanswered), low), high)
    for _ in range(40):
        ratio = difference / np.maximum(alive_other + p * difference, _NEVER)
        weighed = weights * ratio
        slope = answered / p - unanswered / (1 - p) + weighed.sum()
        if slope > 0:
            low = p
        else:
            high = p
        bend = answered / p**2 + unanswered / (1 - p) ** 2 + (weighed * ratio).sum()
        step = p + slope / bend
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - p) < 1e-6:
            return float(step)
        p = step
    return float(p)


@kernel
def recency(still: Floats, remembered: float) -> Floats:
    """Return the weight of each pending call, youngest first: older, less of it remembered.

    Resolved calls fade with each later one; pending calls of full weight beside them would count
    the long, mostly unanswered rings twice and pull the rate down by a tenth. A call that is
    `still` pending with this probability stands for 1 / still calls dialed when it was.
    """
    dialed_since = np.cumsum(1.0 / np.maximum(still, LEAST_STILL))
    weights: Floats = np.exp(-dialed_since / remembered)
    return weights
