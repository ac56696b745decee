"""A line process against independent makes: Kamailio, baresip, TLS and SRTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.model import AgentState
from siplab.carrier import Carrier, Pace, Transport
from siplab.pbx import Account, Baresip, Kamailio
from tests.laboratory import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from siplab.phones import PhoneBank
    from tests.laboratory import Laboratory

PERSON = "+12025550101"


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[Kamailio]:
    """Yield a running registrar and proxy."""
    async with Kamailio(tmp_path / "pbx") as running:
        yield running


async def test_agents_softphone_behind_a_pbx(
    lab: Laboratory, carrier: Carrier, pbx: Kamailio, tmp_path: Path
) -> None:
    """An extension registered at a PBX is an agent's phone: called through it, joined, kept up."""
    account = Account("alice", pbx.host, pbx.port, pbx.password)
    async with Baresip(tmp_path / "alice", account):
        await pbx.until_registered("alice", timeout_s=60)
        trunk = await lab.second_trunk(pbx.port)
        session = await lab.agent("alice", phone_kind="extension", phone_trunk_id=trunk)
        attempt = await lab.dial(PERSON)
        row = await lab.until(attempt, "ended")

        assert ("answered", "joined") == (row["outcome"], row["reservation"])
        assert await lab.until_agent(session, AgentState.WRAP_UP)


async def test_customer_on_an_encrypted_trunk(
    lab: Laboratory, phones: PhoneBank, tmp_path: Path
) -> None:
    """A trunk that insists on SRTP (RFC 4568) gets it, and its customer is heard."""
    account = Account(PERSON, "127.0.0.1", 0, "", srtp=True)
    async with Baresip(tmp_path / "customer", account) as customer:
        port = int(customer.uri.rpartition(":")[2])
        await lab.trunk_to(port, settings={"srtp": "sdes"})
        await lab.agent(phones["agent1"].uri)
        attempt = await lab.dial(PERSON, screening="off", max_call_s=10.0)
        await lab.until(attempt, "bridged")
        row = await lab.until(attempt, "ended")

        assert "answered" == row["outcome"]
        assert "joined" == row["reservation"]


async def test_real_trunk_has_to_prove_who_it_is(lab: Laboratory, tmp_path: Path) -> None:
    """A real TLS trunk with a certificate nobody signed is not spoken to; a lab trunk is."""
    async with Carrier(tmp_path / "c", transport=Transport.TLS) as c:
        trunk = await lab.second_trunk(c.port, transport="tls", kind="real")
        session = await lab.agent("201", ready=False, phone_kind="extension", phone_trunk_id=trunk)

        async def told() -> str | None:
            row = await lab.world.session(session)
            reason: str | None = row["pause_reason"]
            return reason

        # The lab's carrier would have answered 404.
        assert "503" in await eventually(told, "the reason is recorded")


async def test_trunk_over_tls(lab: Laboratory, phones: PhoneBank, tmp_path: Path) -> None:
    """A TLS trunk carries a whole conversation."""
    async with Carrier(tmp_path / "c", pace=Pace(ring=1.0, talk=3.0), transport=Transport.TLS) as c:
        await lab.trunk_to(c.port, transport="tls")
        await lab.agent(phones["agent1"].uri)
        attempt = await lab.dial(PERSON)
        row = await lab.until(attempt, "ended")

        assert ("answered", "joined") == (row["outcome"], row["reservation"])
