"""The beat of a busy line process: what waits a few milliseconds anyway is done together.

Waking a process costs more than most of what it is woken for. So messages that come while others
are being handled, and rows that wait for more of their kind, wait for the same moment.
"""

from __future__ import annotations

import asyncio
import math

BEAT_S = 0.005


async def next_beat() -> None:
    """Wait until the next multiple of `BEAT_S` on the loop's clock, the same for everybody."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    beat = (math.floor(loop.time() / BEAT_S) + 1) * BEAT_S
    timer = loop.call_at(beat, wake, woken)
    try:
        await woken
    finally:
        timer.cancel()


def wake(waiting: asyncio.Future[None]) -> None:
    """Let whoever awaits *waiting* go on, unless they have gone."""
    if not waiting.done():
        waiting.set_result(None)
