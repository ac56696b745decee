"""An engine inside a test: the real one, run and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.model import ProcessKind
from dialer.engine.engine import Engine
from dialer.notify import Channel, Listener, Notifier
from dialer.processes import Process
from dialer.supervision import supervised

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

WITHIN_S = 60.0


@contextlib.asynccontextmanager
async def engine_on(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    """Run an engine while the block lasts, and stop it in order."""
    process = Process(pool, ProcessKind.ENGINE)
    notifier = Notifier(dsn)
    engine = Engine(pool, process, notifier)
    await process.register()
    async with supervised(signals=()) as supervisor:
        background = [
            supervisor.spawn("heartbeat", process.run()),
            supervisor.spawn("notifier", notifier.run()),
            supervisor.spawn("listener", Listener(dsn, (Channel.ENGINE,), engine.hear).run()),
        ]
        main = supervisor.spawn("engine", engine.run(supervisor))
        try:
            yield engine
        finally:
            supervisor.stop("test is over")
            await main
            for task in background:
                task.cancel()


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Wait until *condition* returns something true; fail after a generous time."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not (found := await condition()):  # noqa: ASYNC110 - rows send no events
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what} did not happen within {WITHIN_S:.0f} s")
    return found
