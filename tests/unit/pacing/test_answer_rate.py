"""The answer rate, learned from resolved and pending calls together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pacing import History, Learner, Mode, PendingCall, Policy, RingEnd, decide
from pacing.answer_rate import AnswerModel, answered_within, fit_answers, most_likely_rate
from pacing.durations import Floats
from pacing.reading import read_history
from tests.unit.pacing.snapshots import agents, snapshot

NOBODY = np.empty(0)


def fitted(history: History, rung_s: Floats = NOBODY) -> AnswerModel:
    """Return the answer model of *history* and of calls pending for *rung_s* seconds."""
    known = read_history(history, Policy())
    return fit_answers(
        known.live,
        known.not_live,
        known.answer_rate_prior,
        known.tallies,
        known.priors,
        rung_s,
    )


def test_nothing_known() -> None:
    """
    Without calls the rate is the prior: a quarter, or what the list's history says.
    """
    assert 0.25 == pytest.approx(fitted(History(), NOBODY).p)
    known = History(answer_rate_prior=0.08)
    assert 0.08 == pytest.approx(fitted(known, NOBODY).p)


def test_many_resolved_calls() -> None:
    """
    With hundreds of resolved calls and none pending the rate is their share.
    """
    model = fitted(History(live=80.0, not_live=320.0), NOBODY)

    assert 0.2 == pytest.approx(model.p, abs=0.005)


def four_seconds_in(calls: int) -> tuple[Learner, int]:
    """Return what is learned 4 s after *calls* were dialed at once, and how many are pending.

    By then 12 % have failed and 1 % been answered; in the end 30 % will be.
    """
    learner = Learner()
    failed, answered = round(0.12 * calls), round(0.01 * calls)
    for _ in range(failed):
        learner.observe_end(RingEnd.NOT_LIVE, 2.0, in_flight=calls - failed)
    for _ in range(answered):
        learner.observe_end(RingEnd.LIVE, 3.5, in_flight=calls - failed)
    return learner, calls - failed - answered


@pytest.mark.parametrize("calls", [50, 200, 800])
def test_cold_start_with_fast_failures(calls: int) -> None:
    """
    The censoring trap: failures resolve first, so answered / resolved says 8 % and falls on.

    Pending calls count as what they may still become, so the estimate stays near what is known.
    """
    learner, pending = four_seconds_in(calls)
    model = fitted(learner.history(), np.full(pending, 4.0))

    assert 0.15 < model.p < 0.40


def test_cold_start_does_not_run_away() -> None:
    """
    When the calls in flight will bring more people than there are agents, no more are started.
    """
    learner, pending = four_seconds_in(2000)
    staff = agents(ready=192, talking=8, elapsed_s=1.0)
    view = snapshot(Mode.PREDICTIVE, staff, history=learner.history())
    decision = decide(replace(view, pending=tuple(PendingCall(4.0) for _ in range(pending))))

    assert 0 == decision.originate


def test_long_ringing_speaks_against_an_answer() -> None:
    """
    A call that has rung for 20 s is answered less likely than one that has rung for 5 s.
    """
    model = fitted(History(live=60.0, not_live=140.0), NOBODY)
    within = answered_within(model, np.array([5.0, 20.0]), np.array([60.0]))[0]

    assert within[0] > 2 * within[1]


def test_new_call_is_answered_at_the_answer_rate() -> None:
    """
    Given time enough, a call that has not rung yet is answered with probability p.
    """
    model = fitted(History(live=60.0, not_live=140.0), NOBODY)

    within = answered_within(model, np.array([0.0]), np.array([10_000.0]))

    assert model.p == pytest.approx(float(within[0, 0]), abs=1e-6)


def test_root_is_the_fixed_point_of_em() -> None:
    """
    Newton's answer does not move under one more step of expectation maximisation.
    """
    rng = np.random.default_rng(2)
    alive, other = rng.random(300), rng.random(300)
    p = most_likely_rate(30.0, 90.0, alive, other, np.ones(300))
    will_answer = p * alive / (p * alive + (1 - p) * other)

    assert (30.0 + will_answer.sum()) / (120.0 + 300) == pytest.approx(p, abs=1e-5)


@pytest.mark.parametrize(
    ("answered", "unanswered", "expected"), [(0.1, 999, 0.005), (999, 0.1, 0.95)]
)
def test_rate_stays_inside_its_bounds(answered: float, unanswered: float, expected: float) -> None:
    """
    The estimate never claims that nobody or everybody answers.
    """
    assert expected == pytest.approx(
        most_likely_rate(answered, unanswered, NOBODY, NOBODY, NOBODY), abs=1e-4
    )


def test_estimate_is_unbiased_in_the_middle_of_ringing() -> None:
    """
    Simulated calls, half of them unresolved, give the true rate back within three deviations.
    """
    rng = np.random.default_rng(11)
    calls = 4000
    live = rng.random(calls) < 0.3
    ring = np.where(live, 2 + rng.gamma(4.0, 7 / 4, calls), rng.choice([2.0, 20.0, 22.0], calls))
    started = rng.uniform(0.0, 30.0, calls)
    learner = Learner()
    for i in np.argsort(started + ring):
        if started[i] + ring[i] <= 30.0:
            end = RingEnd.LIVE if live[i] else RingEnd.NOT_LIVE
            ended_s = started[i] + ring[i]
            in_flight = int(((started < ended_s) & (started + ring > ended_s)).sum())
            learner.observe_end(end, float(ring[i]), in_flight=in_flight)
    pending = 30.0 - started[started + ring > 30.0]
    history = learner.history()
    resolved_only = history.live / (history.live + history.not_live)
    model = fitted(history, pending)

    assert 0.3 == pytest.approx(model.p, abs=3 * (0.21 / calls) ** 0.5)
    assert abs(model.p - 0.3) < abs(resolved_only - 0.3)
