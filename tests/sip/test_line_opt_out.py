"""TCPA-3: a key pressed during the announcement ends the call and binds the seller at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from campaigns.stores.suppressions import OPTED_OUT
from siplab.phones import PhoneBank
from tests.laboratory import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from siplab.phone import Phone
    from tests.laboratory import Laboratory

CALLED = "+12025550101"


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    """Yield the telephone of the person who is called."""
    async with PhoneBank(names=[CALLED]) as bank:
        yield bank[CALLED]


async def test_key_during_the_announcement_is_a_request_never_to_call_again(
    lab: Laboratory, phone: Phone
) -> None:
    """
    Any other key means nothing; the key for it puts the number on the list and says goodbye.
    """
    await lab.trunk_to(int(phone.uri.rsplit(":", 1)[1]))
    attempt = await lab.dial(CALLED, clock="answer", join_by_s=1.5, opt_out_key="9")
    await lab.until(attempt, "announcing")
    await phone.press("1")
    assert 0 == await lab.pool.fetchval("SELECT count(*) FROM suppression")

    pressed = time.monotonic()
    # The call ends while the key is still down, so the phone does not see it come up again.
    key = asyncio.create_task(phone.press("9"), name="key 9")

    async def listed() -> str | None:
        found: str | None = await lab.pool.fetchval(
            "SELECT number FROM suppression WHERE seller = 'Seller'"
        )
        return found

    number = await eventually(listed, "the number is on the list")
    row = await lab.until(attempt, "ended")
    took_s = time.monotonic() - pressed
    key.cancel()
    print(f"list and goodbye within {took_s:.2f} s of the key")

    assert CALLED == number
    assert (OPTED_OUT, "us") == (row["end_reason"], row["ended_by"])
    assert "opted_out" in await lab.world.kinds(attempt)
