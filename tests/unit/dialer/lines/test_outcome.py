"""What each final SIP answer means for the lead (design §4)."""

from __future__ import annotations

import pytest

from campaigns.model import EndedBy, Outcome
from dialer.lines.outcome import Ending, ended_by, outcome, q850_cause

TABLE = [
    (Ending(200, answered=True), Outcome.ANSWERED),
    (Ending(486), Outcome.BUSY),
    (Ending(600), Outcome.BUSY),
    (Ending(480, rang=True), Outcome.NO_ANSWER),
    (Ending(480), Outcome.UNAVAILABLE),
    (Ending(487, ring_timeout=True, rang=True, provisional=True), Outcome.NO_ANSWER),
    (Ending(487, ring_timeout=True, provisional=True), Outcome.NO_ANSWER),
    (Ending(0, ring_timeout=True), Outcome.TRUNK_FAULT),
    (Ending(487, cancelled=True, rang=True), Outcome.CANCELLED),
    (Ending(404), Outcome.INVALID_NUMBER),
    (Ending(410), Outcome.INVALID_NUMBER),
    (Ending(484), Outcome.INVALID_NUMBER),
    (Ending(604), Outcome.INVALID_NUMBER),
    (Ending(603, "Decline"), Outcome.DECLINED),
    (Ending(603, "Network Blocked"), Outcome.BLOCKED),
    (Ending(603, "Network Blocked", cause=21), Outcome.BLOCKED),
    (Ending(607), Outcome.BLOCKED),
    (Ending(608, cause=21), Outcome.BLOCKED),
    (Ending(608), Outcome.BLOCKED),
    (Ending(408), Outcome.TRUNK_FAULT),
    (Ending(408, provisional=True), Outcome.UNAVAILABLE),
    (Ending(408, rang=True, provisional=True), Outcome.NO_ANSWER),
    (Ending(408, local=True, rang=True), Outcome.TRUNK_FAULT),
    (Ending(503, local=True), Outcome.TRUNK_FAULT),
    (Ending(401), Outcome.TRUNK_FAULT),
    (Ending(403), Outcome.TRUNK_FAULT),
    (Ending(407), Outcome.TRUNK_FAULT),
    (Ending(488), Outcome.TRUNK_FAULT),
    (Ending(500), Outcome.TRUNK_FAULT),
    (Ending(503), Outcome.TRUNK_FAULT),
    (Ending(302), Outcome.REFUSED),
    (Ending(486, cause=34), Outcome.TRUNK_FAULT),
    (Ending(480, cause=38), Outcome.TRUNK_FAULT),
    (Ending(480, cause=41), Outcome.TRUNK_FAULT),
    (Ending(480, cause=42), Outcome.TRUNK_FAULT),
    (Ending(480, cause=17), Outcome.BUSY),
    (Ending(500, cause=1), Outcome.INVALID_NUMBER),
    (Ending(480, cause=19), Outcome.NO_ANSWER),
    (Ending(503, cause=21), Outcome.DECLINED),
    (Ending(603, cause=16), Outcome.DECLINED),
]


@pytest.mark.parametrize(("ending", "expected"), TABLE)
def test_each_row_of_the_table(ending: Ending, expected: Outcome) -> None:
    """Every rule of the outcome table gives the outcome the design names."""
    assert expected == outcome(ending)


@pytest.mark.parametrize("flags", range(32))
def test_every_code_has_an_outcome(flags: int) -> None:
    """The table is total: any code, from any side, at any moment, gives exactly one outcome."""
    for code in range(700):
        found = outcome(
            Ending(
                code,
                rang=bool(flags & 1),
                provisional=bool(flags & 2),
                local=bool(flags & 4),
                ring_timeout=bool(flags & 8),
                cancelled=bool(flags & 16),
            )
        )

        assert isinstance(found, Outcome)
        assert found not in {Outcome.ANSWERED, Outcome.INTERRUPTED}


@pytest.mark.parametrize("code", [401, 403, 407, 408, 488, *range(500, 600)])
def test_a_fault_of_the_trunk_is_not_a_refusal_of_the_lead(code: int) -> None:
    """What the trunk does wrong before any provisional answer is never charged to the lead."""
    assert Outcome.TRUNK_FAULT is outcome(Ending(code))


def test_reason_header_gives_its_q850_cause() -> None:
    """The cause is read from a Reason header with protocol Q.850, wherever it stands in it."""
    message = (
        "SIP/2.0 480 Gone\r\n"
        'Reason: SIP;cause=480, Q.850 ;text="user busy";cause=17\r\n'
        "Content-Length: 0\r\n\r\nReason: Q.850;cause=1\r\n"
    )

    assert 17 == q850_cause(message)


def test_reason_of_the_sip_protocol_is_no_q850_cause() -> None:
    """A Reason header that only repeats a SIP code refines nothing."""
    assert None is q850_cause("SIP/2.0 487 X\r\nReason: SIP;cause=487\r\n\r\n")


def test_who_ended_the_call() -> None:
    """A BYE or CANCEL of ours, a refusal of theirs and a fault of the network are told apart."""
    assert EndedBy.US is ended_by(Ending(487, ring_timeout=True), hung_up_by_us=True)
    assert EndedBy.THEM is ended_by(Ending(486), hung_up_by_us=False)
    assert EndedBy.NETWORK is ended_by(Ending(503), hung_up_by_us=False)
    assert EndedBy.THEM is ended_by(Ending(200, answered=True, local=True), hung_up_by_us=False)
