"""A process with one pjsua2 endpoint whose few slots are used again and again.

`python -m tests.sip.retired_program` prints what came of it as one JSON object. PJSIP allows one
endpoint in a process, so that this test has one of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dialer.lines import accounts
from dialer.lines.endpoint import Endpoint, Network
from dialer.lines.leg import Leg
from dialer.lines.retired import Retired
from siplab.phones import PhoneBank
from tests.laboratory import free_rtp_range

if TYPE_CHECKING:
    from dialer.lines.outcome import Ending

PATIENCE_S = 30.0
KEEP_S = 0.1


class Owner:
    """Retires its leg when it is over, as a line process does. Implements `LegOwner`."""

    def __init__(self, retired: Retired) -> None:
        self.retired = retired
        self.leg: Leg | None = None
        self.ended = False

    def leg_progressed(self, leg: Leg) -> None:
        """Nothing."""

    def leg_answered(self, leg: Leg) -> None:
        """Nothing."""

    def leg_media(self, leg: Leg) -> None:
        """Nothing."""

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Nothing."""

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Retire it."""
        self.ended = True
        leg.forget()
        self.retired.add(leg)


async def until(is_so: Callable[[], bool]) -> bool:
    """Wait until it is so; say whether it came to be."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < deadline:  # noqa: ASYNC110 - many small causes
        await asyncio.sleep(0.02)
    return is_so()


async def run() -> dict[str, Any]:
    """Have the only slot refused a call, then hold a conversation, while the first call retires."""
    low, high = free_rtp_range()
    endpoint = Endpoint(Network(rtp_low=low, rtp_high=high), wanted_calls=1)
    endpoint.start()
    endpoint.poll_forever(lambda: None)
    retired = endpoint.retired = Retired(keep_s=KEEP_S)
    account = accounts.local_account(endpoint, lambda _account, _prm: False)
    async with PhoneBank(2) as bank:
        bank["agent1"].refuses_with = "486 Busy Here"
        first, second = Owner(retired), Owner(retired)
        first.leg = _dial(account, first, bank["agent1"].uri)
        refused = await until(lambda: first.ended)
        second.leg = _dial(account, second, bank["agent2"].uri)
        talking = await until(lambda: second.leg is not None and second.leg.answered)
        slots = first.leg.getId(), second.leg.getId()
        first.leg = None
        for _ in range(20):
            await asyncio.sleep(KEEP_S / 2)
            retired.sweep()
        kept = len(retired)
        up = bank["agent2"].is_up and not second.ended
        second.leg.hang_up()
        ended = await until(lambda: second.ended)
        second.leg = None
        deadline = time.monotonic() + PATIENCE_S
        while len(retired) and time.monotonic() < deadline:
            await asyncio.sleep(KEEP_S)
            retired.sweep()
    return {
        "same_slot": slots[0] == slots[1],
        "went_as_meant": refused and talking and ended,
        "kept_while_in_use": kept,
        "still_up": up,
        "left": len(retired),
    }


def _dial(account: accounts.Account, owner: Owner, uri: str) -> Leg:
    leg = Leg(account, owner, transport="udp")
    leg.dial(uri)
    return leg


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run())))
    sys.stdout.flush()
    os._exit(0)
