"""What the tests on real wires share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siplab.carrier import Carrier, Pace
from siplab.phones import PhoneBank
from tests.laboratory import Laboratory, forked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from campaigns.stores.database import Pool


@pytest.fixture(scope="session", autouse=True)
def nursery() -> Iterator[None]:
    """Have the `dialer` processes of these tests forked, not started from nothing."""
    with forked():
        yield


@pytest.fixture
async def lab(dsn: str, pool: Pool, tmp_path: Path) -> AsyncIterator[Laboratory]:
    """Yield a laboratory with a running line process, no carrier yet."""
    async with Laboratory(dsn, pool, tmp_path) as laboratory:
        yield laboratory


@pytest.fixture
async def carrier(lab: Laboratory, tmp_path: Path) -> AsyncIterator[Carrier]:
    """Yield a carrier behind the campaign's trunk: rings for a second, talks for four."""
    async with Carrier(tmp_path / "carrier", pace=Pace(ring=1.0, talk=4.0)) as running:
        await lab.trunk_to(running.port)
        yield running


@pytest.fixture
async def phones() -> AsyncIterator[PhoneBank]:
    """Yield three agents' phones that answer and stay up."""
    async with PhoneBank(3) as bank:
        yield bank
