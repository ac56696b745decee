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

from dataclasses import dataclass
from math import sqrt

import numpy as np

from pacing.durations import Duration, DurationLaw, Floats, learn
from pacing.types import History

DEFAULT_ANSWER_RATE = 0.25
_PRIOR_CALLS = 6.0
_MEMORY = 200.0
_MEMORY_ANSWERED = 40.0
_ROUNDS = 3
_LEAST, _MOST = 0.005, 0.95
_NEVER = 1e-12
_LEAST_STILL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class AnswerModel:
    """The answer rate `p` and the two ring laws that fit the same calls.

    `resolved` is how many ended calls `p` rests on, discounted, the prior's included.
    """

    p: float
    resolved: float
    ring_live: DurationLaw
    ring_other: DurationLaw

    @property
    def doubt(self) -> float:
        """Return the relative standard deviation of `p`, from the calls it rests on."""
        return sqrt((1 - self.p) / (self.p * (self.resolved + 1)))

    def answered_within(self, rung_s: Floats, ahead_s: Floats) -> Floats:
        """Return P[a call that rang *rung_s* is answered within *ahead_s*]: (moments, calls)."""
        alive = self.ring_live.survival(rung_s)
        later = self.ring_live.survival(rung_s[None, :] + ahead_s[:, None])
        still = self.p * alive + (1 - self.p) * self.ring_other.survival(rung_s)
        return self.p * (alive[None, :] - later) / np.maximum(still, _NEVER)[None, :]


def fit_answers(history: History, rung_s: Floats, *, ring_timeout_s: float) -> AnswerModel:
    """Return the answer model that fits *history* and the calls pending for *rung_s* seconds.

    Rate and ring laws depend on each other through the pending calls, so they are fitted in turn,
    from the prior rate on: starting from answered / resolved would start inside the trap.
    """
    prior = history.answer_rate_prior
    prior = DEFAULT_ANSWER_RATE if prior is None else min(max(prior, _LEAST), _MOST)
    answered = _PRIOR_CALLS * prior + history.live
    unanswered = _PRIOR_CALLS * (1 - prior) + history.not_live
    remembered = memory(rung_s.size, answered / (answered + unanswered))
    youngest_first = np.argsort(rung_s, kind="stable")
    rung_s = rung_s[youngest_first]
    weights = _recency(np.ones(rung_s.size), remembered)
    pending = float(weights.sum())
    p = (answered + prior * pending) / (answered + unanswered + pending)
    will_answer = np.full(rung_s.size, p)
    rounds = _ROUNDS if rung_s.size else 1
    while True:
        live, other = (
            learn(
                duration,
                histogram,
                running_s=rung_s,
                weights=weights * share,
                ring_timeout_s=ring_timeout_s,
            )
            for duration, histogram, share in (
                (Duration.RING_LIVE, history.ring_live, will_answer),
                (Duration.RING_OTHER, history.ring_other, 1 - will_answer),
            )
        )
        alive, alive_other = live.survival(rung_s), other.survival(rung_s)
        p = most_likely_rate(answered, unanswered, alive, alive_other, weights=weights)
        rounds -= 1
        if rounds == 0:
            return AnswerModel(p, answered + unanswered, live, other)
        still = np.maximum(p * alive + (1 - p) * alive_other, _NEVER)
        will_answer = p * alive / still
        weights = _recency(still, remembered)


def memory(in_flight: int, p: float) -> float:
    """Return how many resolved calls the answer rate remembers with *in_flight* calls pending.

    The rarer answers are, the longer: a rate known from ten answers is off by a third.
    """
    return max(_MEMORY, _MEMORY_ANSWERED / max(p, _LEAST), 1.5 * in_flight)


def most_likely_rate(
    answered: float, unanswered: float, alive_live: Floats, alive_other: Floats, *, weights: Floats
) -> float:
    """Return the p that maximises the posterior, pending calls counted as what they may become.

    `answered` and `unanswered` are resolved calls with the prior's pseudo-calls included; the
    arrays hold S_R, S_N and the weight of each pending call.
    """
    low, high = _LEAST, _MOST
    difference = alive_live - alive_other
    p = min(max(answered / (answered + unanswered), low), high)
    for _ in range(40):
        ratio = difference / np.maximum(alive_other + p * difference, _NEVER)
        slope = answered / p - unanswered / (1 - p) + float(weights @ ratio)
        if slope > 0:
            low = p
        else:
            high = p
        bend = answered / p**2 + unanswered / (1 - p) ** 2 + float(weights @ (ratio * ratio))
        step = p + slope / bend
        step = step if low < step < high else (low + high) / 2
        if abs(step - p) < 1e-6:
            return step
        p = step
    return p


def _recency(still: Floats, remembered: float) -> Floats:
    """Return the weight of each pending call, youngest first: older, less of it remembered.

    Resolved calls fade with each later one; pending calls of full weight beside them would count
    the long, mostly unanswered rings twice and pull the rate down by a tenth. A call that is
    `still` pending with this probability stands for 1 / still calls dialed when it was.
    """
    dialed_since = np.cumsum(1.0 / np.maximum(still, _LEAST_STILL))
    weights: Floats = np.exp(-dialed_since / remembered)
    return weights
