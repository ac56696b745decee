"""Calls of a real line process on the wire: outcomes, early media, ring times, crossing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from campaigns.stores.line_commands import CommandKind
from siplab.carrier import Carrier, Pace
from siplab.number_plan import Behaviour, behaviour_of

if TYPE_CHECKING:
    from pathlib import Path

    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory

AREA = "+1202555"
# Short enough for a test; no ring minimum is at stake in these calls.
QUICK = {"ring_timeout_s": 5.0, "ring_min_s": 2.0}

EXPECTED = {
    "0145": "busy",
    "0150": "busy",
    "0151": "busy",
    "0152": "no_answer",
    "0180": "no_answer",
    "0183": "invalid_number",
    "0184": "invalid_number",
    "0185": "invalid_number",
    "0189": "declined",
    "0190": "unavailable",
    "0191": "blocked",
    "0192": "blocked",
    "0193": "blocked",
    "0196": "trunk_fault",
    "0197": "trunk_fault",
    "0198": "refused",
    "0199": "trunk_fault",
}


async def test_outcomes_on_the_wire(lab: Laboratory, carrier: Carrier) -> None:
    """Every behaviour of the number plan that is not answered ends as the table says."""
    # 0185 plays its announcement before the 404.
    timers = {suffix: {} if suffix == "0185" else QUICK for suffix in EXPECTED}
    attempts = {suffix: await lab.dial(AREA + suffix, **timers[suffix]) for suffix in EXPECTED}
    ended = {suffix: await lab.until(attempts[suffix], "ended") for suffix in EXPECTED}

    assert {s: row["outcome"] for s, row in ended.items()} == EXPECTED
    assert 0 == len(carrier.live_calls())
    assert all(row["answered_at"] is None for row in ended.values())


async def test_redirect_is_not_followed(lab: Laboratory, carrier: Carrier) -> None:
    """A 302 ends the attempt; nobody but us decides where a call goes."""
    attempt = await lab.dial(AREA + "0198", **QUICK)
    row = await lab.until(attempt, "ended")

    assert ("refused", 302) == (row["outcome"], row["sip_code"])
    assert [AREA + "0198"] == [call.dialed for call in carrier.calls()]


async def test_a_ringing_call_gets_its_fifteen_seconds(lab: Laboratory, carrier: Carrier) -> None:
    """The ring timeout never cancels before 15 s of ringing, even when it is shorter (RING-1)."""
    attempt = await lab.dial(AREA + "0152", ring_timeout_s=15.2, ring_min_s=15.0)
    row = await lab.until(attempt, "ended")
    (call,) = carrier.calls()

    assert "no_answer" == row["outcome"]
    assert call.ringing_at is not None
    assert call.cancelled_at is not None
    assert call.cancelled_at - call.ringing_at >= 15.0


async def test_answer_crossing_cancel_is_an_answered_call(
    lab: Laboratory, carrier: Carrier
) -> None:
    """A 200 crossing our CANCEL counts as answered, and the call gets its BYE (RFC 3261 §9.1)."""
    attempt = await lab.dial(AREA + "0182", **QUICK)
    row = await lab.until(attempt, "ended")

    assert "answered" == row["outcome"]
    assert "answered while being cancelled" == row["end_reason"]
    assert 0 == len(carrier.live_calls())


async def test_early_media_is_no_answer(lab: Laboratory, phones: PhoneBank, tmp_path: Path) -> None:
    """A person behind early media is joined after the answer; ringback is never screened."""
    async with Carrier(tmp_path / "patient", pace=Pace(ring=1.0, talk=15.0)) as carrier:
        await lab.trunk_to(carrier.port)
        await _early_media(lab, carrier, phones)


async def _early_media(lab: Laboratory, carrier: Carrier, phones: PhoneBank) -> None:
    assert Behaviour.PERSON_EARLY_MEDIA is behaviour_of(AREA + "0125")
    await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial(AREA + "0125")
    row = await lab.until(attempt, "ended")
    (call,) = carrier.calls()

    assert call.answered_at is not None
    # Ringback heard as part of the greeting would have made a machine of this person.
    assert row["verdict"] in {"person", "not_sure"}
    assert row["joined_at"] > row["answered_at"]
    assert abs(row["answered_at"].timestamp() - call.answered_at) < 2.0


async def test_cancel_stops_a_ringing_call_at_once(lab: Laboratory, carrier: Carrier) -> None:
    """Suppression and emergency stop cancel ringing calls, recorded as cancelled."""
    attempt = await lab.dial(AREA + "0153")
    await lab.until(attempt, "ringing")
    await lab.command(CommandKind.CANCEL, attempt_id=attempt, detail={"reason": "suppressed"})
    row = await lab.until(attempt, "ended")

    assert ("cancelled", "suppressed", "us") == (
        row["outcome"],
        row["end_reason"],
        row["ended_by"],
    )


async def test_carrier_that_vanishes(lab: Laboratory, carrier: Carrier) -> None:
    """A carrier that is gone is the trunk's fault, not the lead's."""
    await carrier.kill()
    attempt = await lab.dial(AREA + "0101", **QUICK)
    row = await lab.until(attempt, "ended")

    assert "trunk_fault" == row["outcome"]


async def test_call_id_is_the_attempt(lab: Laboratory, carrier: Carrier) -> None:
    """The Call-ID on the wire is the attempt's id, so that both sides' records can be compared."""
    attempt = await lab.dial(AREA + "0146", **QUICK)
    await lab.until(attempt, "ended")
    await asyncio.sleep(0)

    assert [str(attempt)] == [call.call_id for call in carrier.calls()]
