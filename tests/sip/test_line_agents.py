"""Agents' phones and customers joined by a real line process, with real audio."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from campaigns.model import AgentState
from campaigns.stores import sessions
from campaigns.stores.line_commands import CommandKind
from tests.laboratory import eventually

if TYPE_CHECKING:
    from siplab.carrier import Carrier
    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory

PERSON = "+12025550101"
OTHER_PERSON = "+12025550102"
VOICEMAIL = "+12025550130"


async def test_person_is_joined_to_the_agent(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """A person who says hello hears and is heard by the agent; both rows and events tell it."""
    session = await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial(PERSON)
    await lab.until(attempt, "bridged")
    joined = time.monotonic()
    await lab.until_agent(session, AgentState.TALKING)
    await phones["agent1"].until_loud(joined, timeout_s=30)
    row = await lab.until(attempt, "ended")
    await lab.until_agent(session, AgentState.WRAP_UP)

    assert ("answered", "joined", "them") == (
        row["outcome"],
        row["reservation"],
        row["ended_by"],
    )
    assert row["verdict"] in {"person", "not_sure"}
    assert ["paused", "ready", "reserved", "talking", "wrap_up"] == await lab.world.agent_states(
        session
    )
    kinds = await lab.world.kinds(attempt)
    assert ["dialing", "ringing", "answered", "verdict", "reserved", "joined", "ended"] == [
        kind for kind in kinds if kind != "early_media"
    ]


async def test_agent_hangs_the_customer_up(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """The agent's hang-up ends the customer's leg; the agent's own line stays up."""
    session = await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial(PERSON)
    await lab.until(attempt, "bridged")
    await lab.command(CommandKind.HANG_UP, attempt_id=attempt)
    row = await lab.until(attempt, "ended")
    await lab.until_agent(session, AgentState.WRAP_UP)

    assert "us" == row["ended_by"]
    assert phones["agent1"].is_up
    assert 0 == len(carrier.live_calls())


async def test_nobody_free_is_announced_to_within_the_limit(
    lab: Laboratory, carrier: Carrier
) -> None:
    """Without an agent the person hears the announcement within the limit, then is hung up."""
    attempt = await lab.dial(PERSON, clock="answer", join_by_s=1.5)
    row = await lab.until(attempt, "ended")

    assert "no agent in time" == row["end_reason"]
    assert row["joined_at"] is None
    waited = (row["message_started_at"] - row["answered_at"]).total_seconds()
    assert waited <= 2.0


async def test_clock_at_answer_joins_by_a_second_and_a_half(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """Where the law's clock starts at the answer, even a machine's greeting is joined in time."""
    await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial(VOICEMAIL, clock="answer", join_by_s=1.5, hang_up_machines=False)
    row = await lab.until(attempt, "bridged")

    assert (row["joined_at"] - row["answered_at"]).total_seconds() <= 2.0


async def test_agents_phone_drops_in_mid_call(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """The agent is paused with the reason; the customer hears the announcement, not silence.

    Ready calls the phone again.
    """
    session = await lab.agent(phones["agent1"].uri)
    attempt = await lab.dial(PERSON)
    await lab.until(attempt, "bridged")
    await phones["agent1"].hang_up()
    agent = await lab.until_agent(session, AgentState.PAUSED)
    await lab.until(attempt, "announcing")
    row = await lab.until(attempt, "ended")
    async with lab.pool.acquire() as connection:
        await sessions.set_ready(connection, session, at=datetime.now(UTC))
    await lab.until_agent(session, AgentState.READY)

    assert phones["agent1"].is_up
    assert "phone hung up" == agent["pause_reason"]
    assert "agent lost: phone hung up" == row["end_reason"]
    assert "released" == row["reservation"]
    assert "agent_lost" in await lab.world.kinds(attempt)


async def test_agents_phone_falls_silent(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """A phone without RTP for two seconds is paused with the reason and gets no call."""
    session = await lab.agent(phones["agent1"].uri)
    phones["agent1"].go_silent()
    agent = await lab.until_agent(session, AgentState.PAUSED)
    attempt = await lab.dial(PERSON, clock="answer", join_by_s=1.5)
    row = await lab.until(attempt, "ended")

    assert "no audio from the phone" == agent["pause_reason"]
    assert "no agent in time" == row["end_reason"]
    assert phones["agent1"].is_up


async def test_agents_phone_on_hold(lab: Laboratory, carrier: Carrier, phones: PhoneBank) -> None:
    """A phone put on hold is paused with that reason."""
    session = await lab.agent(phones["agent1"].uri)
    await phones["agent1"].hold()
    agent = await lab.until_agent(session, AgentState.PAUSED)

    assert "phone on hold" == agent["pause_reason"]


async def test_phone_that_does_not_answer(lab: Laboratory, phones: PhoneBank) -> None:
    """An agent whose phone is not there stays offline, with the reason."""
    # A host without that phone says so at once; one that says nothing takes SIP's 32 seconds.
    nobody = phones["agent1"].uri.replace("agent1", "nobody")
    session = await lab.agent(nobody, ready=False)

    async def told() -> str | None:
        row = await lab.world.session(session)
        reason: str | None = row["pause_reason"]
        return reason

    reason = await eventually(told, "the reason is recorded")
    assert "phone did not answer" in reason
    assert AgentState.OFFLINE == (await lab.world.session(session))["state"]


async def test_two_people_two_agents(lab: Laboratory, carrier: Carrier, phones: PhoneBank) -> None:
    """Two people at once go to two different agents; a third agent stays ready."""
    sessions_ = [await lab.agent(phones[f"agent{n}"].uri) for n in (1, 2, 3)]
    first, second = await lab.dial(PERSON), await lab.dial(OTHER_PERSON)
    rows = [await lab.until(attempt, "bridged") for attempt in (first, second)]

    assert 2 == len({row["agent_session_id"] for row in rows})
    states = sorted([(await lab.world.session(s))["state"] for s in sessions_])
    assert ["ready", "talking", "talking"] == states


async def test_log_out_releases_the_phone(lab: Laboratory, phones: PhoneBank) -> None:
    """Logging out hangs the agent's phone up."""
    session = await lab.agent(phones["agent1"].uri)
    async with lab.pool.acquire() as connection:
        await sessions.log_out(connection, session, at=datetime.now(UTC))
    await lab.pool.execute("SELECT pg_notify('lines', '')")

    async def down() -> bool:
        return not phones["agent1"].is_up

    assert await eventually(down, "the phone is hung up")
    assert {} == await lab.world.session(session)


async def test_phone_calls_in_with_its_pin(lab: Laboratory, phones: PhoneBank) -> None:
    """A phone that calls in from its configured address is let in by the right PIN only."""
    import argon2  # noqa: PLC0415 - used here only

    session = await lab.world.add_agent(state=AgentState.OFFLINE, process_id=lab.process_id)
    await lab.pool.execute(
        "UPDATE agent SET phone_kind = 'call_in', phone_address = '127.0.0.1', pin_hash = $2"
        " WHERE id = (SELECT agent_id FROM agent_session WHERE id = $1)",
        session,
        argon2.PasswordHasher().hash("2468"),
    )
    phone = phones["agent1"]

    async def let_in() -> bool:
        answer = await phone.call(f"sip:overdial@127.0.0.1:{lab.port}")
        return answer.is_success if hasattr(answer, "is_success") else True

    # The line process looks every two seconds who may call in.
    await asyncio.sleep(3)
    await let_in()
    await phone.press("1111#")
    await asyncio.sleep(2)
    assert AgentState.OFFLINE == (await lab.world.session(session))["state"]
    await phone.press("2468#")
    agent = await lab.until_agent(session, AgentState.PAUSED)

    assert "logged in" == agent["pause_reason"]
