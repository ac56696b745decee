"""kill -9 of a line process: its successor ends what is on the wire and closes the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.model import AgentState
from tests.laboratory import eventually

if TYPE_CHECKING:
    from siplab.carrier import Carrier
    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory


async def test_successor_ends_calls_and_calls_agents_again(
    lab: Laboratory, carrier: Carrier, phones: PhoneBank
) -> None:
    """After kill -9 no call stays up at the carrier, no lead is lost, and agents work again."""
    talking = await lab.agent(phones["agent1"].uri)
    idle = await lab.agent(phones["agent2"].uri)
    bridged = await lab.dial("+12025550101")
    ringing = await lab.dial("+12025550155")
    await lab.until(bridged, "bridged")
    await lab.until(ringing, "ringing")

    await lab.lines.kill()
    claimed = await lab.dial("+12025550103")
    lab.lines = lab.line_process()
    await lab.lines.start()
    await lab.process_of(lab.lines)
    rows = [await lab.until(attempt, "ended") for attempt in (bridged, ringing)]

    async def returned() -> bool:
        return not await lab.world.call(claimed)

    async def quiet() -> bool:
        return not carrier.live_calls()

    assert await eventually(returned, "the claim that never left goes back")
    assert await eventually(quiet, "no call is up at the carrier")
    assert ["interrupted", "interrupted"] == [row["outcome"] for row in rows]
    assert await lab.until_agent(idle, AgentState.READY)
    assert await lab.until_agent(talking, AgentState.READY)
    cancelled = [call for call in carrier.calls() if call.call_id == str(ringing)]
    assert cancelled[0].cancelled_at is not None
