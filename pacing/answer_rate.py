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
_LEAST, _MOST = 0.005, 0.95
_NEVER = 1e-12


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
    """Return the answer model that fits *history* and the calls pending for *rung_s* seconds."""
    prior = history.answer_rate_prior
    prior = DEFAULT_ANSWER_RATE if prior is None else min(max(prior, _LEAST), _MOST)
    nothing = np.empty(0)
    live = learn(
        Duration.RING_LIVE,
        history.ring_live,
        running_s=nothing,
        weights=nothing,
        ring_timeout_s=ring_timeout_s,
    )
    other = learn(
        Duration.RING_OTHER,
        history.ring_other,
        running_s=nothing,
        weights=nothing,
        ring_timeout_s=ring_timeout_s,
    )
    answered = _PRIOR_CALLS * prior + history.live
    unanswered = _PRIOR_CALLS * (1 - prior) + history.not_live
    alive, alive_other = live.survival(rung_s), other.survival(rung_s)
    p = most_likely_rate(answered, unanswered, alive, alive_other)
    if rung_s.size:
        will_answer = p * alive / np.maximum(p * alive + (1 - p) * alive_other, _NEVER)
        live = learn(
            Duration.RING_LIVE,
            history.ring_live,
            running_s=rung_s,
            weights=will_answer,
            ring_timeout_s=ring_timeout_s,
        )
        other = learn(
            Duration.RING_OTHER,
            history.ring_other,
            running_s=rung_s,
            weights=1 - will_answer,
            ring_timeout_s=ring_timeout_s,
        )
        alive, alive_other = live.survival(rung_s), other.survival(rung_s)
        p = most_likely_rate(answered, unanswered, alive, alive_other)
    return AnswerModel(p, answered + unanswered, live, other)


def most_likely_rate(
    answered: float, unanswered: float, alive_live: Floats, alive_other: Floats
) -> float:
    """Return the p that maximises the posterior, pending calls counted as what they may become.

    `answered` and `unanswered` are resolved calls with the prior's pseudo-calls included; the
    arrays hold S_R and S_N at each pending call's elapsed time.
    """
    low, high = _LEAST, _MOST
    difference = alive_live - alive_other
    p = min(max(answered / (answered + unanswered), low), high)
    for _ in range(40):
        ratio = difference / np.maximum(alive_other + p * difference, _NEVER)
        slope = answered / p - unanswered / (1 - p) + float(ratio.sum())
        if slope > 0:
            low = p
        else:
            high = p
        bend = answered / p**2 + unanswered / (1 - p) ** 2 + float((ratio * ratio).sum())
        step = p + slope / bend
        step = step if low < step < high else (low + high) / 2
        if abs(step - p) < 1e-7:
            return step
        p = step
    return p
