"""The predictive rule: start calls until the next one would be lost too often.

At the moments s_1..s_4 when a call started now would be answered (quantiles 1/8, 3/8, 5/8, 7/8 of
the ring law), X_k is the people answered by then, k new calls included, minus the agents free by
then plus the time a person may wait:

    L(k) = 1/4 sum over j of P[X_k(s_j) >= 0]

is the probability that the next call, if a person answers it, finds no agent. L increases with k,
and the answer is the number of k with L(k) <= theta (`threshold.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pacing.answer_rate import AnswerModel, fit_answers
from pacing.durations import Floats
from pacing.net_demand import NetDemand
from pacing.supply import Supply, foresee
from pacing.threshold import Threshold, set_threshold
from pacing.types import Snapshot

_SHARES = np.array([1 / 8, 3 / 8, 5 / 8, 7 / 8, 0.99])
_RULE = slice(0, 4)  # the guard also looks at the last answers; the rule averages the quarters

GUARD_CONFIDENCE = 0.999
_SURE = 1.0 - GUARD_CONFIDENCE


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What is known about the next half minute, and the threshold it is judged by."""

    answers: AnswerModel
    supply: Supply
    threshold: Threshold
    net: NetDemand
    moments_s: Floats
    expected_answers: Floats
    expected_free: Floats

    def loss(self, started: int) -> float:
        """Return L: how likely one more call is lost when *started* calls start now."""
        return float(self._short_by(0, started)[_RULE].mean())

    def calls_within_threshold(self, *, least: int, most: int) -> int:
        """Return how many calls may start, searched between *least* and *most*."""
        return _last_true(
            lambda calls: self.loss(calls - 1) <= self.threshold.theta, least=least, most=most
        )

    def calls_within_headroom(self, headroom: int, *, least: int, most: int) -> int:
        """Return how many calls may start with losses surely (99.9 %) within *headroom*."""
        return _last_true(
            lambda calls: float(self._short_by(headroom + 1, calls).max()) <= _SURE,
            least=least,
            most=most,
        )

    def loss_quantile(self, started: int) -> int:
        """Return the 99.9 % quantile of losses among the calls in flight and *started* new ones."""
        worst = self.net.quantile(GUARD_CONFIDENCE, started) - self.supply.ready_now
        return max(0, worst)

    def _short_by(self, people: int, started: int) -> Floats:
        """Return P[at least *people* too many have answered] at each moment."""
        return self.net.at_least(people + self.supply.ready_now, started)


def look_ahead(snapshot: Snapshot, *, most: int) -> Outlook:
    """Return the outlook of *snapshot* for decisions of up to *most* new calls."""
    history, policy = snapshot.history, snapshot.policy
    rung_s = np.array([call.elapsed_s for call in snapshot.pending])
    answers = fit_answers(history, rung_s, ring_timeout_s=policy.ring_timeout_s)
    moments_s = answers.ring_live.quantiles(_SHARES)
    supply = foresee(snapshot, moments_s + policy.connect_limit_s)

    needing = np.array([not call.has_agent for call in snapshot.pending], dtype=np.bool_)
    pending = answers.answered_within(rung_s[needing], moments_s)
    waiting = np.array([w.person_probability for w in snapshot.waiting if not w.has_agent])
    demand = np.concatenate((pending, np.tile(waiting, (moments_s.size, 1))), axis=1)
    per_call = answers.p * answers.ring_live.ended(moments_s)
    enrolled = supply.ready_now + supply.chances.shape[1]
    cycle_s = supply.talk.mean_s() + supply.wrap_up.mean_s()
    return Outlook(
        answers=answers,
        supply=supply,
        threshold=set_threshold(snapshot, agents=enrolled, cycle_s=cycle_s),
        net=NetDemand(demand, supply.chances, per_call, doubt=answers.doubt, most=most),
        moments_s=moments_s,
        expected_answers=demand.sum(axis=1),
        expected_free=supply.ready_now + supply.chances.sum(axis=1),
    )


def _last_true(holds: Callable[[int], bool], *, least: int, most: int) -> int:
    """Return the largest n in [least, most] with holds(n), which is false from some n on.

    *least* is the answer when nothing above it holds. The step doubles first: the answer is
    usually a few calls above *least*.
    """
    step, good, bad = 1, least, most + 1
    while good + step < bad:
        if holds(good + step):
            good += step
            step *= 2
        else:
            bad = good + step
            break
    while bad - good > 1:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good
