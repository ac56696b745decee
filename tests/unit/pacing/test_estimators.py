"""What a campaign learns, forgets and saves."""

from __future__ import annotations

import json

import pytest

from pacing import AttemptRecord, Learner, LearnerStateError, RingEnd


def taught() -> Learner:
    """Return a learner that has seen a little of everything."""
    learner = Learner(answer_rate_prior=0.2)
    learner.observe_dialed(3, 0.05)
    learner.observe_end(RingEnd.LIVE, 7.5, in_flight=2)
    learner.observe_end(RingEnd.NOT_LIVE, 22.0, in_flight=1)
    learner.observe_answered(abandoned=False)
    learner.observe_answered(abandoned=True, theta_at_dial=0.1)
    learner.observe_talk(61.0)
    learner.observe_talk(200.0, ended=False)
    learner.observe_wrap_up(12.0)
    return learner


def test_ends_are_counted_by_kind() -> None:
    """
    Live and other ends are counted apart, each with its ringing time.
    """
    learner = Learner()
    learner.observe_end(RingEnd.LIVE, 7.5)
    learner.observe_end(RingEnd.NOT_LIVE, 22.0)
    history = learner.history()

    assert 1.0 == pytest.approx(history.live, rel=0.01)
    assert 1.0 == history.not_live
    assert history.ring_live is not None
    assert history.ring_other is not None
    assert [7] == [i for i, count in enumerate(history.ring_live.events) if count]
    assert [22] == [i for i, count in enumerate(history.ring_other.events) if count]
    assert 8 == sum(history.ring_live.exposed)


def test_talk_cut_short_is_exposure_without_an_end() -> None:
    """
    A talk ended from outside says only that it lasted so long.
    """
    learner = Learner()
    learner.observe_talk(9.0, ended=False)
    talk = learner.history().talk

    assert talk is not None
    assert 0.0 == sum(talk.events)
    assert 4.5 == sum(talk.exposed)


def test_longer_than_any_bin() -> None:
    """
    A talk of hours is exposure in every bin and an event in none.
    """
    learner = Learner()
    learner.observe_talk(10_000.0)
    talk = learner.history().talk

    assert talk is not None
    assert (0.0, float(len(talk.exposed))) == (sum(talk.events), sum(talk.exposed))


def test_slightly_negative_duration() -> None:
    """
    Two clocks may put an end before its beginning; that counts as zero.
    """
    learner = Learner()
    learner.observe_wrap_up(-0.01)
    wrap_up = learner.history().wrap_up

    assert wrap_up is not None
    assert 1.0 == wrap_up.events[0]


def test_old_calls_fade() -> None:
    """
    After an hour of other results the morning's answer rate is forgotten.
    """
    learner = Learner()
    for _ in range(500):
        learner.observe_end(RingEnd.LIVE, 8.0)
    for _ in range(2000):
        learner.observe_end(RingEnd.NOT_LIVE, 22.0)
    history = learner.history()

    assert history.live / (history.live + history.not_live) < 0.02


def test_losses_in_line_with_the_threshold() -> None:
    """
    Losing exactly what the threshold allows gives a kappa of one.
    """
    learner = Learner()
    for number in range(3000):
        learner.observe_answered(abandoned=number % 20 == 0, theta_at_dial=0.05)
    kappa = learner.history().loss_rate

    assert kappa is not None
    assert 1.0 == pytest.approx(kappa, abs=0.1)


def test_threshold_of_recent_dials_stands_in() -> None:
    """
    An answer whose own threshold is not known is judged by those of the calls dialed lately.
    """
    with_own, with_recent = Learner(), Learner()
    with_recent.observe_dialed(500, 0.04)
    for learner, theta in ((with_own, 0.04), (with_recent, None)):
        for _ in range(50):
            learner.observe_answered(abandoned=False, theta_at_dial=theta)

    assert with_own.history().loss_rate == pytest.approx(with_recent.history().loss_rate)


def test_nothing_learned_yet() -> None:
    """
    A new learner gives a history that only carries its priors.
    """
    history = Learner(answer_rate_prior=0.1).history()

    assert (0.0, 0.0, 0) == (history.live, history.not_live, history.dialed)
    assert 0.5 == history.loss_rate
    assert 0.1 == history.answer_rate_prior


def test_unchanged_parts_are_the_same_objects() -> None:
    """
    What did not change is handed out again, so `decide` need not read it anew.
    """
    learner = taught()
    before = learner.history()
    learner.observe_talk(5.0)

    assert learner.history().wrap_up is before.wrap_up
    assert learner.history().talk is not before.talk


def test_saved_and_restored() -> None:
    """
    A learner read back from JSON knows the same and goes on learning the same.
    """
    learner = taught()
    again = Learner.from_json(learner.to_json())
    assert learner.history() == again.history()

    for each in (learner, again):
        each.observe_end(RingEnd.LIVE, 5.0, in_flight=9)
        each.observe_answered(abandoned=False)
    assert learner.history() == again.history()


def test_rebuilt_from_records() -> None:
    """
    The campaign's own rows teach what the events did.
    """
    records = [
        AttemptRecord(RingEnd.NOT_LIVE, 22.0),
        AttemptRecord(RingEnd.LIVE, 8.0, talk_s=70.0, wrap_up_s=10.0, theta_at_dial=0.05),
        AttemptRecord(RingEnd.LIVE, 9.0, abandoned=True, theta_at_dial=0.05),
    ]
    history = Learner.from_records(records).history()

    assert 3 == history.dialed
    assert 2.0 == pytest.approx(history.live, rel=0.01)
    assert history.talk is not None
    assert 1.0 == sum(history.talk.events)
    assert history.loss_rate is not None
    assert history.loss_rate > 0.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        json.dumps({"version": 999}),
        taught().to_json().replace('"live": ', '"live": -'),
        taught().to_json().replace('"talk"', '"chat"'),
    ],
)
def test_unreadable_state(text: str) -> None:
    """
    A state that is damaged, incomplete or of another version is refused with a sentence.
    """
    with pytest.raises(LearnerStateError, match=r"learner state|expected a number"):
        Learner.from_json(text)
