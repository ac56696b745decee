"""A process with one pjsua2 endpoint that is asked for its options, as a trunk's keep-alive does.

`python -m tests.sip.endpoint_program` prints what came of it as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from dialer.lines import accounts, endpoint
from dialer.lines.endpoint import Endpoint, Network
from siplab import probe

IDLE_S = 1.0
# So long that only a packet can have ended the sleep.
ASLEEP_S = 300.0


async def run() -> dict[str, Any]:
    """Let the loop idle, then ask it, woken by its socket and polling blindly."""
    polled = Endpoint(Network())
    polled.start()
    account = accounts.local_account(polled, lambda _account, _prm: False)
    task = polled.poll_forever(lambda: None)
    await asyncio.sleep(0.5)
    began, turns = time.monotonic(), polled.turns
    await asyncio.sleep(IDLE_S)
    idle = (polled.turns - turns) / (time.monotonic() - began)
    endpoint.IDLE_POLL_S = ASLEEP_S
    await asyncio.sleep(0.1)
    answers = [await _options(polled.sip_port()) for _ in range(5)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    polled._sockets = None  # noqa: SLF001 - what a build on select() leaves
    polled.poll_forever(lambda: None)
    blind = [await _options(polled.sip_port()) for _ in range(5)]
    del account
    return {"idle_turns_per_s": idle, "answers": answers, "answers_blind": blind}


async def _options(port: int) -> int:
    answer = await probe.options("127.0.0.1", port, timeout_s=20.0)
    return answer.message.status


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run())))
    sys.stdout.flush()
    os._exit(0)
