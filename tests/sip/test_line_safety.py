"""Toll fraud and wrong numbers: what a line process refuses, on the wire (design §2, Safety)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from dialer.lines.dialog import Dialog
from siplab import probe

if TYPE_CHECKING:
    from siplab.carrier import Carrier
    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory


async def test_foreign_invite_is_refused(lab: Laboratory) -> None:
    """An INVITE from nobody we know gets 403, whatever number it asks for."""
    answer = await probe.stray_invite("127.0.0.1", lab.port, user="+12025550101")

    assert 403 == answer.status


async def test_refer_out_of_the_blue_starts_nothing(lab: Laboratory, carrier: Carrier) -> None:
    """A REFER outside any dialog is refused or not even answered, and starts no call."""
    target = f"<sip:+12025550102@127.0.0.1:{carrier.port}>"
    with contextlib.suppress(probe.NoResponseError):
        answer = await probe.refer("127.0.0.1", lab.port, refer_to=target)

        assert answer.status >= 400

    assert [] == carrier.calls()


async def test_invite_with_replaces_is_refused(lab: Laboratory) -> None:
    """An INVITE that wants to take a call over gets a refusal."""
    answer = await probe.replaces_invite("127.0.0.1", lab.port, replaces="none;to-tag=a;from-tag=b")

    assert answer.status >= 400


async def test_strange_invites_meet_no_live_call(lab: Laboratory) -> None:
    """A guessed token of a tie line opens nothing, and OPTIONS, a trunk's "alive?", gets 200."""
    guess = await probe.request("INVITE", "127.0.0.1", lab.port, ("x-overdial-tie", "guessed"))
    alive = await probe.options("127.0.0.1", lab.port)

    assert (403, 200) == (guess.status, alive.status)


async def test_invite_that_replaces_a_live_call_is_declined(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """Somebody who knows a conversation's Call-ID and tags cannot take it over; it goes on."""
    await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial("+12025550101")
    await lab.until(attempt, "bridged")
    stored = await lab.pool.fetchval("SELECT dialog FROM leg WHERE attempt_id = $1", attempt)
    dialog = Dialog.from_json(stored)
    ours, theirs = (value.rpartition("tag=")[2] for value in (dialog.local, dialog.remote))
    answer = await probe.replaces_invite(
        "127.0.0.1", lab.port, replaces=f"{dialog.call_id};to-tag={ours};from-tag={theirs}"
    )
    await asyncio.sleep(0.2)

    assert 603 == answer.status
    assert ("bridged", 1) == ((await lab.world.call(attempt))["state"], len(carrier.live_calls()))


async def test_refer_in_mid_call_is_declined(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """A customer's phone that sends REFER in the conversation gets 603 and the call goes on."""
    await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial("+12025550128")
    row = await lab.until(attempt, "ended")
    (call,) = carrier.calls()

    assert "answered" == row["outcome"]
    assert ("REFER", 603) in call.responses
    assert 1 == len(carrier.calls())


async def test_lab_trunk_refuses_a_number_of_somebody(lab: Laboratory, carrier: Carrier) -> None:
    """A lab trunk dials only numbers reserved for fiction, whatever the row says."""
    attempt = await lab.dial("+12025551234")
    row = await lab.until(attempt, "ended")

    assert "refused" == row["outcome"]
    assert [] == carrier.calls()


async def test_real_trunk_refuses_a_number_of_nobody(lab: Laboratory, carrier: Carrier) -> None:
    """A real trunk never dials numbers reserved for fiction."""
    await lab.trunk_to(carrier.port, kind="real")
    attempt = await lab.dial("+12025550101")
    row = await lab.until(attempt, "ended")

    assert "refused" == row["outcome"]
    assert [] == carrier.calls()


async def test_lab_trunk_speaks_to_loopback_only(lab: Laboratory) -> None:
    """A lab trunk whose host is not this machine carries nothing."""
    await lab.trunk_to(5060, host="192.0.2.1")
    attempt = await lab.dial("+12025550101")
    row = await lab.until(attempt, "ended")

    assert "refused" == row["outcome"]
    assert "loopback" in row["end_reason"]


async def test_emergency_and_premium_numbers_never_leave(lab: Laboratory, carrier: Carrier) -> None:
    """The trunk judges the final string: emergency, premium, toll-free, satellite, short codes."""
    await lab.trunk_to(carrier.port, kind="real")
    numbers = ["+1911", "+19005551234", "+18005551234", "+881612345678", "112", "+4490912345678"]
    attempts = [await lab.dial(number) for number in numbers]
    rows = [await lab.until(attempt, "ended") for attempt in attempts]

    assert ["refused"] * len(numbers) == [row["outcome"] for row in rows]
    assert [] == carrier.calls()
