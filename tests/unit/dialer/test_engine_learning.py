"""What a campaign learns from its calls: each call once, at the right moment."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from campaigns.model import AttemptState, Outcome, Verdict
from campaigns.stores.snapshots import LiveCall
from dialer.engine.learning import CampaignModel, Resolved
from pacing.estimators import LearnerStateError

NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
CALL = UUID(int=7)


def at(seconds: float) -> datetime:
    """Return the time *seconds* after the dialing."""
    return NOW + timedelta(seconds=seconds)


def live(**facts: object) -> LiveCall:
    """Return a call that is ringing."""
    ringing = LiveCall(
        attempt_id=CALL,
        state=AttemptState.RINGING,
        outcome=None,
        verdict=None,
        dialing_at=NOW,
        answered_at=None,
        reserved_at=None,
        joined_at=None,
        ended_at=None,
    )
    return replace(ringing, **facts)  # type: ignore[arg-type] # a test names the fields


def closed(**facts: object) -> Resolved:
    """Return a closed call to a person who talked for a minute."""
    talked = Resolved(
        attempt_id=CALL,
        outcome=Outcome.ANSWERED,
        verdict=Verdict.PERSON,
        dialing_at=NOW,
        answered_at=at(8),
        reserved_at=at(9),
        joined_at=at(9),
        ended_at=at(69),
        closed_at=at(79),
        answered_by_person=True,
        abandoned=False,
        theta_at_dial=None,
    )
    return replace(talked, **facts)  # type: ignore[arg-type] # a test names the fields


def test_an_answer_is_learned_when_it_happens() -> None:
    """
    A joined call counts as live at once, and not again while it lasts or when it closes.
    """
    model = CampaignModel()
    joined = live(state=AttemptState.BRIDGED, answered_at=at(8), joined_at=at(9))

    model.see([live()])
    assert (0.0, 0.0) == (model.history().live, model.history().not_live)
    model.see([joined])
    model.see([joined])
    model.closed([closed()])

    assert (1.0, 0.0) == (model.history().live, model.history().not_live)


def test_talk_and_wrap_up_are_learned_once() -> None:
    """
    The talk counts when the call ends, the wrap-up when the attempt closes.
    """
    model = CampaignModel()
    over = live(
        state=AttemptState.ENDED,
        outcome=Outcome.ANSWERED,
        answered_at=at(8),
        joined_at=at(9),
        ended_at=at(69),
    )

    model.see([over])
    model.see([over])
    talk = model.history().talk
    model.closed([closed()])

    assert talk is not None
    assert 1.0 == sum(talk.events)
    assert talk == model.history().talk
    wrap_up = model.history().wrap_up
    assert wrap_up is not None
    assert 1.0 == sum(wrap_up.events)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": Outcome.BUSY, "ended_at": at(2)}, (0.0, 1.0)),
        ({"answered_at": at(8), "verdict": Verdict.MACHINE}, (0.0, 1.0)),
        ({"answered_at": at(8), "verdict": Verdict.NOT_SURE}, (1.0, 0.0)),
        ({"answered_at": at(8)}, (0.0, 0.0)),
        ({"answered_at": at(8), "reserved_at": at(9)}, (1.0, 0.0)),
        ({"outcome": Outcome.TRUNK_FAULT, "ended_at": at(2)}, (0.0, 0.0)),
        ({"outcome": Outcome.CANCELLED, "ended_at": at(2)}, (0.0, 0.0)),
    ],
)
def test_what_counts_as_live(facts: dict[str, object], expected: tuple[float, float]) -> None:
    """
    Live is what needs an agent; a broken trunk says nothing about the people called.
    """
    model = CampaignModel()

    model.see([live(**facts)])

    assert expected == (model.history().live, model.history().not_live)


def test_a_saved_model_goes_on_where_it_stood() -> None:
    """
    A successor that loads the saved model learns from a call still open only what is new.
    """
    model = CampaignModel()
    joined = live(state=AttemptState.BRIDGED, answered_at=at(8), joined_at=at(9))
    model.see([joined])

    restored = CampaignModel.from_json(json.loads(json.dumps(model.to_json())))
    restored.see([joined])
    restored.closed([closed()])

    assert 1.0 == restored.history().live
    talk = restored.history().talk
    assert talk is not None
    assert 1.0 == sum(talk.events)


def test_a_foreign_model_is_refused() -> None:
    """
    What this version cannot read is an error the caller answers by learning anew.
    """
    with pytest.raises(LearnerStateError):
        CampaignModel.from_json({"learner": {"version": 999}})


def test_the_share_of_people_among_answers() -> None:
    """
    Machines among the answers lower the chance that a call being screened needs an agent.
    """
    model = CampaignModel()
    before = model.person_share
    for index in range(20):
        machine = live(answered_at=at(8), verdict=Verdict.MACHINE)
        model.see([replace(machine, attempt_id=UUID(int=100 + index))])

    assert 1.0 == before
    assert 0.2 < model.person_share < 0.6
