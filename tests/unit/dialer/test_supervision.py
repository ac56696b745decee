"""What becomes of errors at the root of a process."""

import asyncio

import pytest

from campaigns.errors import UserError
from dialer.supervision import Outage, supervised


async def test_a_sentence_for_the_user() -> None:
    """
    A UserError of a supervised task leaves as itself, so that the user reads its sentence.
    """

    async def fail() -> None:
        raise UserError("SIP port 5060 cannot be opened: set DIALER_SIP_PORT.")

    with pytest.raises(UserError, match="set DIALER_SIP_PORT"):
        async with supervised(signals=()) as supervisor:
            supervisor.spawn("failing", fail())


async def test_any_other_error() -> None:
    """
    What nobody wrote a sentence for keeps its group, and with it every trace.
    """

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with supervised(signals=()) as supervisor:
            supervisor.spawn("failing", fail())


async def test_cancelled_task_does_not_wait_an_error_out() -> None:
    """
    A task asked to end while Postgres fails under it ends, instead of waiting for Postgres.
    """
    outage = Outage()
    begun = asyncio.Event()

    async def stubborn() -> None:
        while True:
            try:
                begun.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                # What asyncpg makes of a cancellation in mid-statement, now and then.
                await asyncio.sleep(outage.began(OSError("connection lost")))

    task = asyncio.create_task(stubborn(), name="stubborn")
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=20)

    assert {task} == done
    assert task.cancelled()
