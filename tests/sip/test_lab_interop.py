"""The lab's parts against independent implementations: Kamailio as PBX, baresip as softphone."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from siplab.pbx import Account, Baresip, Kamailio
from siplab.phones import Phone, PhoneBank, RefusedError
from siplab.program import ProgramError

PATIENCE_S = 30.0


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[Kamailio]:
    """Return a running registrar and proxy."""
    async with Kamailio(tmp_path / "pbx") as running:
        yield running


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    """Return a phone of the lab that keeps what it hears."""
    async with PhoneBank(1, keep_audio_s=10) as bank:
        yield bank["agent1"]


async def echo_frequency(phone: Phone) -> float:
    """Return the strongest frequency the phone hears in the second after its next packet."""
    started = await phone.until_loud(0.0, timeout_s=PATIENCE_S, louder_than=50)
    await asyncio.sleep(max(0.0, started + 1.5 - time.time()))
    return phone.ear.frequency(started + 0.3)


async def test_softphone_registered_at_a_pbx_is_called_through_it(
    pbx: Kamailio, phone: Phone, tmp_path: Path
) -> None:
    """
    Baresip registers at Kamailio, answers a call through it and echoes our tone; BYE finds back.
    """
    account = Account("alice", pbx.host, pbx.port, pbx.password)
    async with Baresip(tmp_path / "softphone", account):
        await pbx.until_registered("alice", timeout_s=PATIENCE_S)
        await phone.call(pbx.extension("alice"))

        assert phone.tone_hz == pytest.approx(await echo_frequency(phone), abs=5)
        assert 200 == await phone.hang_up()


async def test_extension_that_is_not_registered(pbx: Kamailio, phone: Phone) -> None:
    """
    A PBX refuses calls to an extension nobody has registered as.
    """
    with pytest.raises(RefusedError) as refused:
        await phone.call(pbx.extension("bob"))

    assert 404 == refused.value.status


async def test_wrong_password_registers_nobody(pbx: Kamailio, tmp_path: Path) -> None:
    """
    The PBX knows its extensions by password.
    """
    account = Account("alice", pbx.host, pbx.port, "wrong")
    async with Baresip(tmp_path / "softphone", account):
        await asyncio.sleep(2.0)

        assert not await pbx.is_registered("alice")


async def test_softphone_that_insists_on_srtp(pbx: Kamailio, phone: Phone, tmp_path: Path) -> None:
    """
    A softphone that takes encrypted audio only refuses a plain call.
    """
    account = Account("alice", pbx.host, pbx.port, pbx.password, srtp=True)
    async with Baresip(tmp_path / "softphone", account) as softphone:
        with pytest.raises(RefusedError) as refused:
            await phone.call(softphone.uri)

    assert 488 == refused.value.status


async def test_pbx_on_a_taken_port(pbx: Kamailio, tmp_path: Path) -> None:
    """
    A port in use is one clear sentence.
    """
    with pytest.raises(ProgramError, match=f"port {pbx.port} .* cannot be used"):
        await Kamailio(tmp_path / "second", port=pbx.port).start()
