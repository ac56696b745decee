"""Process rows, leases and hints: who lives, who died, who is told."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from campaigns.errors import LeaseLost
from campaigns.model import ProcessKind
from dialer import processes
from dialer.clock import SystemClock
from dialer.notify import Channel, Hint, Listener, Notifier
from dialer.processes import Endpoints, Process
from tests.engines import until

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


async def test_a_process_is_alive_until_it_ends(pool: Pool) -> None:
    """
    A registered process shows with its endpoints; after its end it is in no list.
    """
    process = Process(pool, ProcessKind.LINES, endpoints=Endpoints(sip_port=5060, capacity=100))
    await process.register()

    (row,) = await processes.alive(pool, ProcessKind.LINES)
    assert (process.id, 5060, 100) == (row.id, row.endpoints.sip_port, row.endpoints.capacity)
    assert process.holds_lease
    await process.end()

    assert [] == await processes.alive(pool, ProcessKind.LINES)
    assert [] == await processes.unfinished(pool, ProcessKind.LINES)


async def test_a_process_taken_over_finds_out(pool: Pool) -> None:
    """
    After a take-over the old process's heartbeat raises, its listener is told, and one takes over.
    """
    told: list[str] = []
    old = Process(pool, ProcessKind.LINES, on_lost=lambda: told.append("lost"))
    await old.register()
    first, second = Process(pool, ProcessKind.LINES), Process(pool, ProcessKind.LINES)
    await first.register()
    await second.register()

    won = await asyncio.gather(
        processes.take_over(pool, old.id, first.id), processes.take_over(pool, old.id, second.id)
    )

    assert [False, True] == sorted(won)
    with pytest.raises(LeaseLost):
        await old.run()
    assert ["lost"] == told


async def test_an_expired_lease_is_seen(pool: Pool) -> None:
    """
    A process that stopped renewing is expired, and its own renewal brings it back.
    """
    process = Process(pool, ProcessKind.ENGINE)
    await process.register()
    await pool.execute("UPDATE process SET lease_until = clock_timestamp() - interval '2 seconds'")

    (row,) = await processes.expired(pool, ProcessKind.ENGINE)
    assert row.expired_s >= 2
    await process.beat()

    assert [] == await processes.expired(pool, ProcessKind.ENGINE)


async def test_a_process_of_this_host_that_ended_is_gone(pool: Pool) -> None:
    """
    A pid that no longer runs on this host is certain; one on another host is left to its lease.
    """
    child = await asyncio.create_subprocess_exec("true")
    await child.wait()
    for host in (socket.gethostname(), "elsewhere"):
        await pool.execute(
            "INSERT INTO process (id, kind, host, pid, lease_until)"
            " VALUES (gen_random_uuid(), 'lines', $1, $2, clock_timestamp() + interval '1 hour')",
            host,
            child.pid,
        )

    rows = await processes.unfinished(pool, ProcessKind.LINES)

    assert {(socket.gethostname(), True), ("elsewhere", False)} == {
        (row.host, row.is_gone) for row in rows
    }


def test_the_clock_follows_the_database() -> None:
    """
    The offset is that of the exchange with the shortest round trip.
    """
    clock = SystemClock()
    sent = datetime(2026, 3, 4, 15, tzinfo=UTC)

    def second(value: float) -> datetime:
        return sent + timedelta(seconds=value)

    clock.measured(sent, second(2.5), second(1.0))
    clock.measured(sent, second(2.005), second(0.01))

    assert 2.0 == pytest.approx(clock.offset_s)
    assert 2.0 == pytest.approx((clock.now() - datetime.now(UTC)).total_seconds(), abs=0.5)


async def test_a_hint_is_heard_once_for_many_posts(dsn: str) -> None:
    """
    Posts of one moment become one hint per payload, and every new listener starts with a look.
    """
    heard: list[Hint] = []
    notifier = Notifier(dsn)
    listener = Listener(dsn, (Channel.LINES, Channel.BOARDS), heard.append)
    tasks = [
        asyncio.create_task(notifier.run(), name="notifier"),
        asyncio.create_task(listener.run(), name="listener"),
    ]

    async def listening() -> bool:
        return len(heard) >= 2

    async def told() -> bool:
        return Hint(Channel.LINES, "b") in heard

    try:
        await until(listening, "the first look")
        assert [Hint(Channel.LINES, ""), Hint(Channel.BOARDS, "")] == heard
        for _ in range(50):
            notifier.post(Channel.LINES, "a")
        notifier.post(Channel.ENGINE, "nobody listens")
        notifier.post(Channel.LINES, "b")
        await until(told, "the hint")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert [Hint(Channel.LINES, "a"), Hint(Channel.LINES, "b")] == heard[2:]


async def test_listener_and_notifier_reconnect(dsn: str, pool: Pool) -> None:
    """
    After their connections were cut both are back by themselves, and the listener looks again.
    """
    heard: list[Hint] = []
    notifier = Notifier(dsn)
    listener = Listener(dsn, (Channel.AGENTS,), heard.append)
    tasks = [
        asyncio.create_task(notifier.run(), name="notifier"),
        asyncio.create_task(listener.run(), name="listener"),
    ]

    async def looked_again() -> bool:
        return heard.count(Hint(Channel.AGENTS, "")) >= 2

    async def told() -> bool:
        # A hint posted while disconnected may be lost: that is what polls are for.
        notifier.post(Channel.AGENTS, "c")
        return Hint(Channel.AGENTS, "c") in heard

    async def listening() -> bool:
        return bool(heard)

    try:
        await until(listening, "the first look")
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await until(looked_again, "the second look")
        await until(told, "a hint after the cut")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
