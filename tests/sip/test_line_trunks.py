"""How a line process speaks to trunks: digest, TCP, formats, caller ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.model import AgentState
from siplab.carrier import Carrier, Credentials, Pace, Transport

if TYPE_CHECKING:
    from pathlib import Path

    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory

PERSON = "+12025550101"
BUSY = "+12025550145"


async def test_trunk_that_wants_a_password(
    lab: Laboratory, phones: PhoneBank, tmp_path: Path
) -> None:
    """A challenged INVITE is repeated with its digest, and the call goes on as any other."""
    secret = Credentials("overdial", "lab-secret")
    async with Carrier(tmp_path / "c", pace=Pace(ring=1.0, talk=3.0), credentials=secret) as c:
        await lab.trunk_to(c.port, username="overdial", password="lab-secret")
        await lab.agent(phones["agent1"].uri)
        attempt = await lab.dial(PERSON)
        row = await lab.until(attempt, "ended")

        assert ("answered", "joined") == (row["outcome"], row["reservation"])
        assert all(call.challenged for call in c.calls())


async def test_wrong_password_is_the_trunks_fault(lab: Laboratory, tmp_path: Path) -> None:
    """A refused digest is never charged to the lead."""
    secret = Credentials("overdial", "lab-secret")
    async with Carrier(tmp_path / "c", credentials=secret) as c:
        await lab.trunk_to(c.port, username="overdial", password="wrong")
        attempt = await lab.dial(PERSON)
        row = await lab.until(attempt, "ended")

        assert "trunk_fault" == row["outcome"]


async def test_trunk_over_tcp(lab: Laboratory, phones: PhoneBank, tmp_path: Path) -> None:
    """A TCP trunk carries a whole conversation."""
    async with Carrier(tmp_path / "c", pace=Pace(ring=1.0, talk=3.0), transport=Transport.TCP) as c:
        await lab.trunk_to(c.port, transport="tcp")
        await lab.agent(phones["agent1"].uri)
        attempt = await lab.dial(PERSON)
        row = await lab.until(attempt, "ended")

        assert ("answered", "joined") == (row["outcome"], row["reservation"])


async def test_caller_id_is_shown(lab: Laboratory, tmp_path: Path) -> None:
    """The campaign's caller id is what the called party sees."""
    async with Carrier(tmp_path / "c") as c:
        await lab.trunk_to(c.port)
        attempt = await lab.dial(BUSY)
        await lab.until(attempt, "ended")

        assert ["+12025550100"] == [call.caller for call in c.calls()]


async def test_agent_behind_a_telephone_number_and_an_extension(
    lab: Laboratory, phones: PhoneBank, tmp_path: Path
) -> None:
    """An agent's phone may be a number through a trunk, or an extension of a PBX."""
    async with Carrier(tmp_path / "c", pace=Pace(ring=1.0, talk=60.0)) as c:
        trunk = await lab.second_trunk(c.port)
        at_home = await lab.agent(
            "+12025550102", ready=False, phone_kind="telephone", phone_trunk_id=trunk
        )
        pbx = await lab.second_trunk(int(phones["agent1"].uri.rpartition(":")[2]))
        at_work = await lab.agent("agent1", ready=False, phone_kind="extension", phone_trunk_id=pbx)

        assert await lab.until_agent(at_home, AgentState.PAUSED)
        assert await lab.until_agent(at_work, AgentState.PAUSED)
        assert phones["agent1"].is_up
