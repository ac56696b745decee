"""`dialer trunk test` and `dialer agents test`: one real call each, and which leg has no audio."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from siplab.carrier import Carrier, Pace
from siplab.number_plan import Behaviour, numbers
from siplab.phones import PhoneBank
from tests.shell import Result, run


@pytest.fixture
async def carrier(tmp_path: Path) -> AsyncIterator[Carrier]:
    """Yield a carrier that rings for a moment and talks longer than a trial does."""
    async with Carrier(tmp_path / "carrier", pace=Pace(ring=0.5, talk=9.0)) as running:
        yield running


@pytest.fixture
async def bank() -> AsyncIterator[PhoneBank]:
    """Yield an agent's phone that answers and stays up."""
    async with PhoneBank(1) as phones:
        yield phones


class Commands:
    """Runs commands as processes of their own while this one plays the network."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._variables = {"DIALER_DATABASE_URL": dsn, "DIALER_SIP_PORT": str(free_pair())}
        self._folder = folder

    async def __call__(self, *words: str) -> Result:
        """Run one command."""
        return await asyncio.to_thread(run, self._folder, *words, **self._variables)


@pytest.fixture
def dialer(dsn: str, tmp_path: Path) -> Commands:
    """Return commands on this test's own database and ports."""
    return Commands(dsn, tmp_path)


def free_pair() -> int:
    """Return a port that is free together with the next one."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            if port < 10_000 or port > 19_998:
                return port
    raise AssertionError("no two neighbouring ports are free")


def number(behaviour: Behaviour) -> str:
    """Return a number of the lab's plan that behaves so."""
    return numbers(1, 1, mix={behaviour: 1.0})[0]


async def lab_trunk(dialer: Commands, carrier: Carrier) -> None:
    """Add the trunk to the lab's carrier."""
    added = await dialer(
        *("trunk", "add", "lab", "--kind", "lab", "--host", "127.0.0.1"),
        *("--port", str(carrier.port), "--caller-id", "+12125550199"),
    )
    assert 0 == added.code, added


async def test_trunk_with_audio_both_ways(dialer: Commands, carrier: Carrier) -> None:
    """
    A call that is answered and carries audio both ways passes, with RTP counted per direction.
    """
    await lab_trunk(dialer, carrier)

    result = await dialer("trunk", "test", number(Behaviour.PERSON), "--json")

    assert 0 == result.code, result
    found = json.loads(result.out)
    assert found["ok"] is True
    assert [True, True] == [leg["has_audio"] for leg in found["legs"]]
    assert all(leg["packets"] > 0 for leg in found["legs"])


async def test_trunk_whose_far_end_sends_no_audio(dialer: Commands, carrier: Carrier) -> None:
    """
    An answered call without RTP from the far side fails and names that direction.
    """
    await lab_trunk(dialer, carrier)

    result = await dialer("trunk", "test", number(Behaviour.NO_RTP))

    assert 1 == result.code, result
    assert "no audio from" in result.out
    assert "Traceback" not in result.err


async def test_number_that_is_busy(dialer: Commands, carrier: Carrier) -> None:
    """
    A call that is not answered fails with the carrier's own code.
    """
    await lab_trunk(dialer, carrier)

    result = await dialer("trunk", "test", number(Behaviour.BUSY))

    assert 1 == result.code, result
    assert "486" in result.out


@pytest.mark.parametrize("dangerous", ["+442079460", "112", "+18005550123", "+19005550123"])
async def test_numbers_that_are_never_dialed(
    dialer: Commands, carrier: Carrier, dangerous: str
) -> None:
    """
    Emergency, toll-free, premium and broken numbers are refused before anything leaves.
    """
    await lab_trunk(dialer, carrier)

    result = await dialer("trunk", "test", dangerous)

    assert 2 == result.code, result
    assert 1 == len(result.err.strip().splitlines()), result.err
    assert dangerous not in result.err
    assert [] == carrier.calls()


async def test_agents_phone_with_audio_both_ways(dialer: Commands, bank: PhoneBank) -> None:
    """
    An agent's phone that answers and sends audio passes.
    """
    await dialer("agents", "add", "anna", "--phone", bank["agent1"].uri)

    result = await dialer("agents", "test", "anna", "--json")

    assert 0 == result.code, result
    assert json.loads(result.out)["ok"] is True


async def test_agents_phone_that_is_silent(dialer: Commands, bank: PhoneBank) -> None:
    """
    An agent's phone that answers but sends nothing fails and names the direction.
    """
    await dialer("agents", "add", "anna", "--phone", bank["agent1"].uri)
    trial = asyncio.create_task(dialer("agents", "test", "anna"), name="trial")
    await bank["agent1"].until_up(timeout_s=60)
    bank["agent1"].go_silent()

    result = await trial

    assert 1 == result.code, result
    assert "no audio from" in result.out


async def test_agents_phone_that_refuses(dialer: Commands, bank: PhoneBank) -> None:
    """
    An agent's phone that declines fails with its code.
    """
    bank["agent1"].refuses_with = "603 Decline"
    await dialer("agents", "add", "anna", "--phone", bank["agent1"].uri)

    result = await dialer("agents", "test", "anna")

    assert 1 == result.code, result
    assert "603" in result.out
