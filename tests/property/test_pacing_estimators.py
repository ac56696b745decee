"""What is learned stays sane, whatever happens in whatever order."""

from __future__ import annotations

from math import isfinite

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pacing import Learner, Policy, RingEnd
from pacing.answer_rate import answered_within, fit_answers
from pacing.durations import learn, mean_s
from pacing.net_demand import at_least, net_demand, waves
from pacing.reading import read_history

EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.floats(-1.0, 5000.0), st.booleans(), st.integers(0, 900)),
    max_size=60,
)
PROBABILITIES = st.lists(st.floats(0.0, 1.0), max_size=25)


def feed(events: list[tuple[int, float, bool, int]]) -> Learner:
    """Return a learner that has seen *events*."""
    learner = Learner()
    for kind, seconds, flag, in_flight in events:
        if kind == 0:
            end = RingEnd.LIVE if flag else RingEnd.NOT_LIVE
            learner.observe_end(end, seconds, in_flight=in_flight)
        elif kind == 1:
            learner.observe_talk(seconds, ended=flag)
        elif kind == 2:
            learner.observe_wrap_up(seconds, ended=flag)
        elif kind == 3:
            learner.observe_answered(abandoned=flag)
        else:
            learner.observe_dialed(in_flight, abs(seconds) / 5000)
    return learner


@given(EVENTS, st.lists(st.floats(0.0, 60.0), max_size=40))
def test_estimates_stay_bounded(
    events: list[tuple[int, float, bool, int]], pending: list[float]
) -> None:
    """
    Answer rate and chances are probabilities, durations are finite, nothing is negative.
    """
    history = feed(events).history()
    known, rung_s = read_history(history, Policy()), np.array(pending)
    model = fit_answers(
        known.live, known.not_live, known.answer_rate_prior, known.tallies, known.priors, rung_s
    )
    within = answered_within(model, rung_s, np.array([1.0, 10.0, 1000.0]))

    assert 0.005 <= model.p <= 0.95
    assert np.all((within >= 0) & (within <= 1 + 1e-9))
    assert np.all(np.diff(within, axis=0) >= -1e-12)
    assert history.loss_rate is not None
    assert 0 <= history.loss_rate < float("inf")
    for tally, prior in zip(known.tallies, known.priors, strict=True):
        law = learn(tally, prior, rung_s, np.ones(rung_s.size))
        assert isfinite(mean_s(law))
        assert mean_s(law) > 0


@given(EVENTS)
def test_histograms_are_consistent(events: list[tuple[int, float, bool, int]]) -> None:
    """
    In no bin more durations end than were running when it began.
    """
    history = feed(events).history()
    for histogram in (history.ring_live, history.ring_other, history.talk, history.wrap_up):
        assert histogram is not None
        for ended, exposed in zip(histogram.events, histogram.exposed, strict=True):
            assert 0 <= ended <= exposed + 1e-9


@given(EVENTS, EVENTS)
def test_saving_in_between_changes_nothing(
    before: list[tuple[int, float, bool, int]], after: list[tuple[int, float, bool, int]]
) -> None:
    """
    A learner saved, read back and fed further knows what one fed without a break knows.
    """
    straight = feed(before)
    resumed = Learner.from_json(straight.to_json())
    for learner in (straight, resumed):
        for kind, seconds, flag, _ in after:
            if kind == 1:
                learner.observe_talk(seconds, ended=flag)
            elif kind == 3:
                learner.observe_answered(abandoned=flag)

    assert straight.history() == resumed.history()


@given(PROBABILITIES, PROBABILITIES, st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_tail_falls_with_the_count_and_rises_with_calls(
    demand: list[float], supply: list[float], per_call: float, doubt: float
) -> None:
    """
    More people are always less likely, and more calls always make them likelier.

    Up to what the table of logarithms is good for: two levels stand for what is between them.
    """
    net = net_demand(
        np.array([demand]), np.array([supply]), np.array([per_call]), doubt, 9, waves()
    )
    tails = np.array([[at_least(net, x, new)[0] for x in range(-30, 40)] for new in (0, 1, 5, 9)])

    assert np.all(np.diff(tails, axis=1) <= 5e-5)
    if doubt == 0.0:
        assert np.all(np.diff(tails, axis=0) >= -5e-5)
