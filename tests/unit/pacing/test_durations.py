"""Learned durations: priors, censoring, and what they mean for an agent's next free moment."""

from __future__ import annotations

import numpy as np
import pytest

from pacing import AgentStage, AgentView, Histogram, History, Learner, Mode, Snapshot
from pacing.durations import (
    Duration,
    DurationLaw,
    Floats,
    learn,
    mean_s,
    prior_of,
    quantiles,
    survival,
    tally_of,
)
from pacing.reading import read_history, read_staff
from pacing.supply import Supply, foresee
from tests.unit.pacing.snapshots import agents, snapshot

NOTHING = np.empty(0)


def law(duration: Duration, histogram: Histogram | None, running: Floats = NOTHING) -> DurationLaw:
    """Return the law of *duration* with running ones at full weight."""
    tally = tally_of(duration, histogram)
    prior = prior_of(duration, tally.width_s, tally.events.size, 22.0)
    return learn(tally, prior, running, np.ones(running.size))


def ended(of: DurationLaw, at_s: list[float]) -> Floats:
    """Return the probability of having ended by each of *at_s* seconds."""
    return 1.0 - survival(of, np.array(at_s))


def foreseen(view: Snapshot, ahead_s: list[float]) -> Supply:
    """Return who will be free in *ahead_s* seconds."""
    learned = read_history(view.history, view.policy)
    return foresee(read_staff(view), learned.tallies, learned.priors, np.array(ahead_s))


@pytest.mark.parametrize(
    ("duration", "expected_s"),
    [(Duration.TALK, 120), (Duration.WRAP_UP, 20), (Duration.RING_LIVE, 12)],
)
def test_prior_before_the_first_event(duration: Duration, expected_s: float) -> None:
    """
    Before anything has happened a duration has its prior's mean.
    """
    assert expected_s == pytest.approx(mean_s(law(duration, None)), rel=0.05)


def test_calls_given_up_at_the_ring_timeout() -> None:
    """
    Unanswered calls are expected to end by the ring timeout, not to ring for ever.
    """
    before, after = survival(law(Duration.RING_OTHER, None), np.array([21.0, 24.0]))

    assert before > 2 * after


def test_law_follows_what_happened() -> None:
    """
    After hundreds of talks of about 30 s the prior of two minutes no longer matters.
    """
    rng = np.random.default_rng(1)
    learner = Learner()
    for talk_s in rng.gamma(4.0, 30 / 4, 600):
        learner.observe_talk(float(talk_s))

    assert 30.0 == pytest.approx(mean_s(law(Duration.TALK, learner.history().talk)), rel=0.1)


def test_running_talks_are_not_forgotten() -> None:
    """
    Right-censoring: in a shift's first minute only short talks have ended; long ones still run.

    Of 200 talks of mean 120 s begun a minute ago, the ended ones alone look 4 times too short.
    """
    rng = np.random.default_rng(2)
    talks = rng.exponential(120.0, 200)
    learner = Learner()
    for talk_s in talks[talks < 60.0]:
        learner.observe_talk(float(talk_s))
    talk = learner.history().talk
    still = np.full(int((talks >= 60.0).sum()), 60.0)

    naive = float(ended(law(Duration.TALK, talk), [30.0])[0])
    censored = float(ended(law(Duration.TALK, talk, still), [30.0])[0])

    assert 1 - np.exp(-0.25) == pytest.approx(censored, abs=0.07)
    assert naive > 1.5 * censored


def test_quantiles_invert_the_law() -> None:
    """
    A quantile is the time by which that share has ended.
    """
    ring = law(Duration.RING_LIVE, None)
    shares = np.array([0.125, 0.5, 0.875, 0.99])

    assert shares == pytest.approx(1.0 - survival(ring, quantiles(ring, shares)))


def test_law_never_ends_early_or_rises() -> None:
    """
    Survival falls from one towards zero, also far beyond the last bin.
    """
    alive = survival(law(Duration.WRAP_UP, None), np.linspace(0.0, 5000.0, 400))

    assert 1.0 == alive[0]
    assert np.all(np.diff(alive) <= 0)
    assert alive[-1] < 1e-3


def test_histogram_of_other_width_is_read_as_it_is() -> None:
    """
    A history with its own bins is used as given.
    """
    wide = Histogram(10.0, (0.0, 900.0), (1000.0, 1000.0))

    assert ended(law(Duration.TALK, wide), [9.0])[0] < 0.05
    assert ended(law(Duration.TALK, wide), [20.0])[0] > 0.85


def test_agent_long_in_wrap_up_is_likelier_free_than_one_who_talks() -> None:
    """
    Who wraps up comes free before who has just begun to talk.
    """
    staff = (AgentView(AgentStage.WRAP_UP, 15.0), AgentView(AgentStage.TALKING, 1.0))
    chances = foreseen(snapshot(Mode.PREDICTIVE, staff), [5.0, 20.0]).chances

    talking, wrapping = chances[:, 0], chances[:, 1]
    assert np.all(wrapping > talking)


def test_free_after_talk_and_wrap_up_together() -> None:
    """
    The chance to be free within τ is that of talk plus wrap-up, as simulated.
    """
    rng = np.random.default_rng(3)
    learner = Learner()
    talks, wraps = rng.exponential(40.0, 4000), rng.exponential(10.0, 4000)
    for talk_s, wrap_s in zip(talks, wraps, strict=True):
        learner.observe_talk(float(talk_s))
        learner.observe_wrap_up(float(wrap_s))
    view = snapshot(Mode.PREDICTIVE, agents(talking=1), history=learner.history())
    ahead = [5.0, 15.0, 30.0]
    expected = [np.mean(talks + wraps <= tau) for tau in ahead]

    assert expected == pytest.approx(foreseen(view, ahead).chances[:, 0].tolist(), abs=0.03)


def test_nobody_to_foresee() -> None:
    """
    Without agents there is no supply, and asking is no error.
    """
    supply = foreseen(snapshot(Mode.PREDICTIVE, (), history=History()), [5.0])

    assert 0 == supply.ready_now
    assert (1, 0) == supply.chances.shape
