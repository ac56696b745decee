"""A call ordered in preview, on the wire: the agent who ordered it gets it, nobody else."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.model import AgentState
from campaigns.stores import previews
from dialer.notify import Channel
from tests.laboratory import eventually

if TYPE_CHECKING:
    from siplab.carrier import Carrier
    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory

PERSON = "+12025550101"
OTHER_PERSON = "+12025550102"


async def shown(lab: Laboratory, session_id: UUID, number: str) -> UUID:
    """Show a lead to a ready agent, as an engine does; return the attempt."""
    attempt_id = await lab.world.add_preview(
        session_id, at=datetime.now(UTC), dialed_number=number, process_id=lab.process_id
    )
    await lab.pool.execute("SELECT pg_notify($1, $2)", Channel.LINES, str(lab.process_id))
    return attempt_id


async def order(lab: Laboratory, session_id: UUID, attempt_id: UUID) -> None:
    """Dial, as the agent's screen does."""
    async with lab.pool.acquire() as connection:
        await previews.order(connection, session_id, attempt_id, at=datetime.now(UTC), by="agent")
    await lab.pool.execute("SELECT pg_notify($1, $2)", Channel.LINES, str(lab.process_id))


async def test_previewed_call_is_for_its_agent_only(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """Who ordered a call gets it before the longest idle; gone at the answer: the announcement."""
    idle = await lab.agent(phones["agent1"].uri)
    orderer = await lab.agent(phones["agent2"].uri)
    attempt = await shown(lab, orderer, PERSON)
    before = time.monotonic()
    await order(lab, orderer, attempt)
    await lab.until(attempt, "bridged")
    await phones["agent2"].until_loud(before, timeout_s=30)
    talked = await lab.until(attempt, "ended")
    await lab.until_agent(orderer, AgentState.WRAP_UP)

    assert ("answered", "joined", "off") == (
        talked["outcome"],
        talked["reservation"],
        talked["verdict"],
    )
    assert orderer == talked["agent_session_id"]

    other = await shown(lab, idle, OTHER_PERSON)
    await order(lab, idle, other)
    await lab.until(other, "ringing")
    await phones["agent1"].hang_up()
    lost = await lab.until(other, "ended")

    assert (None, "the agent who ordered the call was gone") == (
        lost["joined_at"],
        lost["end_reason"],
    )
    assert lost["message_started_at"] is not None

    async def carrier_is_quiet() -> bool:
        return not carrier.live_calls()

    await eventually(carrier_is_quiet, "the carrier has no call left")
