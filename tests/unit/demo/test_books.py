"""Comparing our records with the carrier's log: every kind of difference is found."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.model import EndedBy, Outcome, Verdict
from demo import books
from siplab.books import CarrierCall
from siplab.number_plan import Behaviour
from tests.unit.demo.ledger_pages import START, at, ours, ours_rang_out, theirs, theirs_rang_out

EPOCH = START.timestamp()


def test_books_that_agree() -> None:
    """
    Two books about the same calls have no difference, and each call was compared.
    """
    found = books.compare([ours(), ours_rang_out()], [theirs(), theirs_rang_out()])

    assert found.agree
    assert 2 == found.compared
    assert (books.Row(200, 1, 1), books.Row(487, 1, 1)) == found.totals


@pytest.mark.parametrize(
    ("what", "we_say", "they_say"),
    [
        ("answered", {"answered_at": None}, {}),
        ("answered", {}, {"answered_at": None}),
        ("final answer", {"sip_code": 487}, {}),
        ("final answer", {}, {"status": 486}),
        ("final answer", {"sip_code": None}, {}),
        ("final answer", {}, {"status": None}),
        ("ended by", {"ended_by": EndedBy.US}, {}),
        ("ended by", {}, {"ended_by": "caller"}),
        ("ended by", {"ended_by": None}, {}),
        ("ended by", {}, {"ended_by": None}),
        ("number dialed", {"number": "+12125550102"}, {}),
        ("number dialed", {}, {"dialed": "+442079460123"}),
        ("is it over", {}, {"ended_at": None, "ended_by": None}),
    ],
)
def test_one_thing_differs(what: str, we_say: dict[str, Any], they_say: dict[str, Any]) -> None:
    """
    Whatever one book says otherwise than the other is named, with the call, and nothing else is.
    """
    found = books.compare([ours(**we_say)], [theirs(**they_say)])

    assert [("c1", what)] == [(one.call_id, one.what) for one in found.differences]
    assert not found.agree


def test_a_refusal_is_compared_by_its_class() -> None:
    """
    486 and 480 are both refusals of the called party; 487 after a CANCEL is not one of them.
    """
    refused: dict[str, Any] = {"answered_at": None, "outcome": Outcome.BUSY}
    same = books.compare([ours(**refused, sip_code=486)], [theirs(answered_at=None, status=480)])
    other = books.compare([ours(**refused, sip_code=486)], [theirs(answered_at=None, status=487)])

    assert same.agree
    assert ["final answer"] == [one.what for one in other.differences]


def test_a_refusal_of_the_network() -> None:
    """
    The carrier ends a call whether we take it for the party's refusal or for the network's fault.
    """
    fault: dict[str, Any] = {"answered_at": None, "sip_code": 503, "outcome": Outcome.TRUNK_FAULT}
    found = books.compare(
        [ours(**fault, ended_by=EndedBy.NETWORK)], [theirs(answered_at=None, status=503)]
    )

    assert found.agree


@pytest.mark.parametrize("ended_by", [EndedBy.US, EndedBy.THEM])
def test_both_hang_up_at_once(ended_by: EndedBy) -> None:
    """
    Where the BYEs of both sides crossed on the wire, either side may say who ended the call.
    """
    assert books.compare([ours(ended_by=ended_by)], [theirs(byes_crossed=True)]).agree


def test_a_call_the_carrier_never_saw() -> None:
    """
    An attempt without a call at the carrier is a difference.
    """
    found = books.compare([ours(), ours("c9")], [theirs()])

    assert [("c9", "is it a call")] == [(one.call_id, one.what) for one in found.differences]
    assert 1 == found.compared


def test_a_call_nobody_of_us_made() -> None:
    """
    A call at the carrier without an attempt is a difference.
    """
    found = books.compare([ours()], [theirs(), theirs("c9")])

    assert [("c9", "is it a call")] == [(one.call_id, one.what) for one in found.differences]


@pytest.mark.parametrize(
    "changes", [{"outcome": Outcome.REFUSED, "sip_code": None}, {"dialing_at": None}]
)
def test_a_call_that_never_left(changes: dict[str, Any]) -> None:
    """
    What our own trunk refused, or was ended before its INVITE, the carrier need not know.
    """
    found = books.compare([ours(**changes)], [])

    assert found.agree
    assert 0 == found.compared


def test_numbers_stay_out_of_differences() -> None:
    """
    A difference names the call by its id and shows no telephone number.
    """
    found = books.compare([ours()], [theirs(dialed="+442079460123")])

    assert "2125550101" not in str(found.differences[0])
    assert "2079460123" not in str(found.differences[0])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "joined"),
        ({"joined_at": at(6)}, "joined"),
        ({"joined_at": None, "message_started_at": at(5.9)}, "announced"),
        ({"joined_at": None, "ended_at": at(5)}, "hung_up_first"),
        (
            {"joined_at": None, "verdict": Verdict.MACHINE, "ended_by": EndedBy.US},
            "taken_for_machines",
        ),
    ],
)
def test_a_person_is_served(changes: dict[str, Any], field: str) -> None:
    """
    A person counts by what they got: an agent, the message, our mistake, or their own hanging up.
    """
    found = books.people_served([ours(**changes)], [theirs()])

    assert 1 == found.answered == getattr(found, field)
    assert () == found.late


@pytest.mark.parametrize(
    "changes",
    [
        {"joined_at": at(6.001)},
        {"joined_at": None, "message_started_at": at(6.2)},
        {"joined_at": None},
        {"joined_at": None, "ended_by": EndedBy.US, "ended_at": at(5)},
    ],
)
def test_a_person_is_served_too_late(changes: dict[str, Any]) -> None:
    """
    Whoever got neither agent nor message within the limit is named.
    """
    found = books.people_served([ours(**changes)], [theirs()])

    assert ("c1",) == found.late


def test_machines_are_no_people() -> None:
    """
    What the number plan makes a voicemail needs no agent, and neither does a call nobody answered.
    """
    found = books.people_served(
        [ours(joined_at=None, ended_by=EndedBy.US, verdict=Verdict.MACHINE), ours_rang_out()],
        [theirs(behaviour=Behaviour.VOICEMAIL), theirs_rang_out()],
    )

    assert 0 == found.answered


def test_verdicts_beside_the_plan() -> None:
    """
    Each answered call is counted by what it was and what we heard; both kinds of mistake show.
    """
    pages = [
        ("p1", Behaviour.PERSON, Verdict.PERSON),
        ("p2", Behaviour.PERSON_BUSINESS, Verdict.MACHINE),
        ("p3", Behaviour.PERSON_HANGS_UP_EARLY, None),
        ("m1", Behaviour.VOICEMAIL, Verdict.MACHINE),
        ("m2", Behaviour.VOICEMAIL, Verdict.PERSON),
        ("f1", Behaviour.FAX_ANSWERS, Verdict.FAX),
        ("t1", Behaviour.SIT, Verdict.TONE),
        ("s1", Behaviour.SILENCE, Verdict.SILENCE),
    ]

    found = books.screened(
        [ours(name, verdict=verdict) for name, _, verdict in pages],
        [theirs(name, behaviour=behaviour) for name, behaviour, _ in pages],
    )

    assert {"person": 1, "machine": 1, "none yet": 1} == dict(found.counts["person"])
    assert {"machine": 1, "person": 1} == dict(found.counts["voicemail"])
    assert {"fax": 1, "tone": 1} == dict(found.counts["fax or tone"])
    assert 1 == found.people_lost
    assert 1 == found.machines_passed
    assert 4 == found.machines


@pytest.mark.parametrize(
    ("find", "page"),
    [
        (
            lambda calls: books.given_up_early(calls, ring_min_s=15),
            theirs_rang_out("bad", cancelled_at=EPOCH + 15),
        ),
        (
            lambda calls: books.called_against_will(calls, ["+442079460199"]),
            theirs("bad", dialed="442079460199"),
        ),
        (
            lambda calls: books.not_on_the_list(calls, ["+12125550101"]),
            theirs("bad", dialed="+442079460123"),
        ),
        (books.unfinished, theirs("bad", ended_at=None, ended_by=None)),
        (books.unfinished, theirs_rang_out("bad", status=None, ended_at=None, ended_by=None)),
    ],
)
def test_a_promise_broken(
    find: Callable[[list[CarrierCall]], list[str]], page: CarrierCall
) -> None:
    """
    A call that breaks a promise is named, the proper ones beside it are not.
    """
    assert ["bad"] == find([theirs(), theirs_rang_out(), page])
