"""A customer in one line process and an agent in another: two real processes, real SIP and RTP."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from campaigns.model import AgentState
from campaigns.stores.line_commands import CommandKind
from siplab.phones import PhoneBank
from tests.laboratory import DialerProcess, Laboratory, eventually, free_sip_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from siplab.phone import Phone

PERSON = "+12025550101"
# The phones' own tones are quieter than speech.
QUIET_TONE = 30.0
# Nobody listens: the reservation follows the answer at once.
AT_ONCE = {"screening": "off", "clock": "answer"}


@dataclass(slots=True)
class Pair:
    """The laboratory's line process has the calls, the other one the agent's phone."""

    lab: Laboratory
    other: DialerProcess
    other_id: UUID
    bank: PhoneBank

    @property
    def agent(self) -> Phone:
        """Return the agent's phone."""
        return self.bank["agent"]

    @property
    def customer(self) -> Phone:
        """Return the customer's phone, behind the trunk."""
        return self.bank[PERSON]

    async def log_in(self) -> UUID:
        """Log the agent in on the other process."""
        return await self.lab.agent(self.agent.uri, process_id=self.other_id)

    async def open_legs(self) -> list[str]:
        """Return the kinds of the legs that are up."""
        rows = await self.lab.pool.fetch(
            "SELECT kind FROM leg WHERE ended_at IS NULL ORDER BY kind"
        )
        return [row["kind"] for row in rows]

    async def until_legs(self, *kinds: str) -> None:
        """Wait until just these legs are up."""

        async def so() -> bool:
            return sorted(kinds) == sorted(await self.open_legs())

        await eventually(so, f"the legs that are up are {kinds}")


@pytest.fixture
async def pair(lab: Laboratory) -> AsyncIterator[Pair]:
    """Yield two line processes, and phones of which one is the customer's."""
    other = lab.line_process(DIALER_SIP_PORT=str(free_sip_port()))
    await other.start()
    try:
        async with PhoneBank(names=["agent", PERSON], keep_audio_s=60) as bank:
            await lab.trunk_to(bank.port)
            yield Pair(lab, other, await lab.process_of(other), bank)
    finally:
        await other.stop()


async def test_agent_of_another_process_talks(pair: Pair) -> None:
    """Both hear each other, the rows are as ever, the hang-up ends it all but the open line."""
    lab = pair.lab
    session = await pair.log_in()
    attempt = await lab.dial(PERSON, **AT_ONCE)
    row = await lab.until(attempt, "bridged")
    # By then the short tone that greets the agent is over.
    joined = time.time() + 0.8
    await lab.until_agent(session, AgentState.TALKING)
    for phone in (pair.agent, pair.customer):
        await phone.until_loud(joined + 0.4, louder_than=QUIET_TONE)
    await pair.until_legs("agent", "customer", "tie", "tie")
    took_s = (row["joined_at"] - row["answered_at"]).total_seconds()
    heard = pair.agent.ear.frequency(joined), pair.customer.ear.frequency(joined)
    await lab.command(CommandKind.HANG_UP, attempt_id=attempt)
    await lab.until(attempt, "ended")
    await lab.until_agent(session, AgentState.WRAP_UP)
    await pair.until_legs("agent")

    assert pytest.approx(pair.customer.tone_hz, abs=10) == heard[0]
    assert pytest.approx(pair.agent.tone_hz, abs=10) == heard[1]
    assert took_s < 2.0
    assert pair.agent.is_up
    assert not pair.customer.is_up
    assert 0 == await lab.pool.fetchval("SELECT count(*) FROM tie_line")


async def test_far_phone_drops_in_mid_call(pair: Pair) -> None:
    """The agent is paused with the reason; the customer hears the announcement, not silence."""
    lab = pair.lab
    session = await pair.log_in()
    attempt = await lab.dial(PERSON, **AT_ONCE)
    await lab.until(attempt, "bridged")
    await pair.agent.hang_up()
    agent = await lab.until_agent(session, AgentState.PAUSED)
    await lab.until(attempt, "announcing")
    row = await lab.until(attempt, "ended")
    await pair.until_legs()

    assert "phone hung up" == agent["pause_reason"]
    assert "agent lost: the agent's phone is gone" == row["end_reason"]
    assert "released" == row["reservation"]


async def test_agents_process_is_killed(pair: Pair) -> None:
    """The customer hears the announcement; the agent's phone is called by who is left."""
    lab = pair.lab
    session = await pair.log_in()
    attempt = await lab.dial(PERSON, **AT_ONCE)
    await lab.until(attempt, "bridged")
    await pair.other.kill()
    await lab.until(attempt, "announcing")
    row = await lab.until(attempt, "ended")
    await lab.until_agent(session, AgentState.READY)
    await pair.until_legs("agent")

    assert row["end_reason"].startswith("agent lost")
    assert lab.process_id == (await lab.world.session(session))["process_id"]
    assert not pair.customer.is_up


async def test_customers_process_is_killed(pair: Pair) -> None:
    """The customer's call is ended, the agent's line stays up and is free again."""
    lab = pair.lab
    session = await pair.log_in()
    attempt = await lab.dial(PERSON, **AT_ONCE)
    await lab.until(attempt, "bridged")
    await lab.lines.kill()
    row = await lab.until(attempt, "ended")
    await pair.until_legs("agent")

    async def gone() -> bool:
        return not pair.customer.is_up

    assert await eventually(gone, "the customer's leg is ended")
    assert "interrupted" == row["outcome"]
    assert pair.agent.is_up
    assert 0 < len(await lab.world.agent_states(session))


async def test_process_that_does_not_answer(pair: Pair) -> None:
    """A process whose SIP is not there costs part of a second; the customer is announced to."""
    lab = pair.lab
    session = await pair.log_in()
    await lab.pool.execute("UPDATE process SET sip_port = 9 WHERE id = $1", pair.other_id)
    attempt = await lab.dial(PERSON, **AT_ONCE)
    row = await lab.until(attempt, "ended")
    await lab.until_agent(session, AgentState.READY)
    waited = (row["message_started_at"] - row["answered_at"]).total_seconds()

    assert "no agent in time" == row["end_reason"]
    assert waited <= 2.0
    assert row["joined_at"] is None
