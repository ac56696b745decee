"""Our own way from a dial order to its outcome, with the rows kept in memory instead of Postgres.

The endpoint, the legs, the calls, the outcome table and the writer's queue are the line process's
own; only the statements are missing. A child of `benchmarks.lines`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, cast
from uuid import UUID

from benchmarks import testbed
from benchmarks.bare import spent
from benchmarks.children import say, serve
from campaigns.model import CallTimers, Transport, TrunkKind, new_id
from campaigns.stores.attempts import DialOrder
from campaigns.stores.trunks import TrunkRow
from campaigns.trunks import TrunkSettings
from dialer.clock import SystemClock
from dialer.lines import accounts
from dialer.lines.accounts import Account
from dialer.lines.agents import AgentLeg
from dialer.lines.customer import CustomerCall
from dialer.lines.endpoint import Endpoint, Network
from dialer.lines.leg import Leg
from dialer.lines.process import WATCH_EVERY_S
from dialer.lines.writer import Writer
from dialer.notify import Notifier
from dialer.screening import Screener

CALLER_ID = "+12025550100"


class MemoryWriter(Writer):
    """The line process's writer, its rows going nowhere."""

    async def flush(self) -> None:
        """Take the queue as written."""
        steps, self._steps = self._steps, []
        for leg in self._legs:
            self._named(leg)
        self._legs, self._closed_legs = {}, []
        self._after(steps, set())


class Unwired:
    """What a call needs of its line process. Implements `dialer.lines.customer.Lines`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.agent_free = asyncio.Event()
        self.screener = Screener()
        self.notifier = Notifier("")
        self.numbers = cycle(testbed.numbers(30_000))
        self.writer: Writer = MemoryWriter(
            cast("Any", None), new_id(), SystemClock(), self.notifier, on_orphan=lambda _: None
        )
        self.calls: dict[UUID, CustomerCall] = {}
        self._room = asyncio.Event()

    def agent_leg(self, session_id: UUID) -> AgentLeg | None:
        """Return None: no call here is answered."""

    async def far_agent(self, *_: object, **__: object) -> None:
        """Return None: no call here is answered."""

    def announce(self, call: CustomerCall) -> float | None:
        """Return None: no call here is answered."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Refuse: no call here is answered."""
        work.close()
        raise RuntimeError(f"a call to a carrier that is always busy was answered: {name}")

    def call_over(self, call: CustomerCall) -> None:
        """Forget the call, as a line process does."""
        del self.calls[call.order.attempt_id]
        if call.leg is not None:
            call.leg.forget()
            self.endpoint.retired.add(call.leg)
        self._room.set()

    async def watch(self) -> None:
        """Let go of legs that ended a while ago."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            self.endpoint.retired.sweep()

    async def attempts(self, trunk: TrunkRow, account: Account, count: int, window: int) -> Any:
        """Make *count* calls that are refused, at most *window* at a time; return what it cost."""
        campaign_id = new_id()
        timers = CallTimers()
        # Orders come from Postgres: making them is no part of what is measured. Their numbers are
        # new ones each time, as on a list.
        orders = [_order(campaign_id, trunk, timers, next(self.numbers)) for _ in range(count)]
        started = 0
        cpu, wall = time.process_time(), time.monotonic()
        while started < count or self.calls:
            self._room.clear()
            while started < count and len(self.calls) < window:
                self._begin(trunk, account, orders[started])
                started += 1
            await self._room.wait()
        return spent(cpu, wall)

    def _begin(self, trunk: TrunkRow, account: Account, order: DialOrder) -> None:
        call = CustomerCall(order, self)
        self.calls[order.attempt_id] = call
        self.writer.started(order)
        route = accounts.route(trunk, account, order.dialed_number, order.caller_id)
        leg = Leg(account, call, transport=route.transport)
        call.start(leg, route)


def _order(campaign_id: UUID, trunk: TrunkRow, timers: CallTimers, number: str) -> DialOrder:
    return DialOrder(
        attempt_id=new_id(),
        campaign_id=campaign_id,
        lead_id=new_id(),
        dialed_number=number,
        region="US",
        trunk_id=trunk.id,
        caller_id=CALLER_ID,
        timers=timers,
        claimed_at=datetime.now(UTC),
    )


def _trunk(port: int) -> TrunkRow:
    return TrunkRow(
        id=new_id(),
        name="bench",
        kind=TrunkKind.LAB,
        enabled=True,
        host="127.0.0.1",
        port=port,
        transport=Transport.UDP,
        username=None,
        password=None,
        settings=TrunkSettings(),
        caller_ids=(CALLER_ID,),
        priority=1,
        weight=1,
        channels=1000,
        calls_per_second=1000.0,
        calls_per_day=1_000_000,
        minutes_per_day=1_000_000,
        suspended_until=None,
        suspended_reason=None,
        resumed_at=datetime.now(UTC),
    )


async def _run(port: int, rtp_low: int, rtp_high: int) -> None:
    endpoint = Endpoint(Network(rtp_low=rtp_low, rtp_high=rtp_high))
    endpoint.start()
    trunk = _trunk(port)
    account = accounts.trunk_account(trunk, endpoint, lambda _account, _prm: False)
    unwired = Unwired(endpoint)
    background = [
        asyncio.create_task(unwired.writer.run(), name="writer"),
        asyncio.create_task(unwired.watch(), name="watch"),
        endpoint.poll_forever(lambda: None),
    ]

    async def answer(command: dict[str, Any]) -> Any:
        return await unwired.attempts(trunk, account, command["count"], command["window"])

    say(ready=True)
    await serve(answer)
    for task in background:
        task.cancel()
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Take the carrier's port and the RTP range from the command line."""
    asyncio.run(_run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))


if __name__ == "__main__":
    main()
