"""What nobody else looks after: stuck agents, dead line processes, old rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from campaigns.model import AttemptState, ProcessKind
from dialer.engine import sweeps
from dialer.notify import Notifier
from dialer.processes import Process
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture(autouse=True)
def events() -> Iterator[list[Any]]:
    """Return what is logged meanwhile."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


class _Steady(Process):
    """A process that has renewed its lease for long enough, without the wait."""

    @property
    def is_steady(self) -> bool:
        return True


async def test_an_agent_whose_call_vanished_goes_back_to_work(world: World, dsn: str) -> None:
    """
    A reservation that no call knows any more is undone, one that a call holds is not.
    """
    stuck, held = [await world.add_agent() for _ in range(2)]
    call = await world.add_call(
        state=AttemptState.ANSWERED, reservation="reserved", agent_session_id=held
    )
    for session, attempt in ((stuck, world.process_id), (held, call)):
        await world.db.execute(
            "UPDATE agent_session SET state = 'reserved', attempt_id = $2 WHERE id = $1",
            session,
            attempt,
        )

    async with world.db.acquire() as connection:
        await sweeps.stuck_agents(connection, Notifier(dsn), now=later(sweeps.STUCK_S + 1))

    assert "ready" == (await world.session(stuck))["state"]
    assert "reserved" == (await world.session(held))["state"]


async def test_claims_of_a_dead_line_process_go_back(world: World, dsn: str) -> None:
    """
    Its claims are returned at once; while another line process lives, the rest is left to that.
    """
    dead = await world.add_process(lease_s=-60)
    await world.add_call(process_id=dead)
    ringing = await world.add_call(process_id=dead, state=AttemptState.RINGING)
    engine = _Steady(world.db, ProcessKind.ENGINE)
    await engine.register()

    async with world.db.acquire() as connection:
        await sweeps.dead_lines(connection, engine, Notifier(dsn), now=later(1))

    states = await world.db.fetch("SELECT id, state FROM live_attempt")
    assert [(ringing, "ringing")] == [(row["id"], row["state"]) for row in states]


async def test_without_any_line_process_the_engine_closes_the_books(world: World, dsn: str) -> None:
    """
    When no successor comes, the engine ends the dead process's calls and takes its agents offline.
    """
    await world.db.execute(
        "UPDATE process SET lease_until = clock_timestamp() - interval '1 minute'"
    )
    session = await world.add_agent()
    ringing = await world.add_call(state=AttemptState.RINGING)
    engine = _Steady(world.db, ProcessKind.ENGINE)
    await engine.register()

    async with world.db.acquire() as connection:
        await sweeps.dead_lines(connection, engine, Notifier(dsn), now=later(1))

    assert "interrupted" == (await world.call(ringing))["outcome"]
    assert "offline" == (await world.session(session))["state"]


async def test_nobody_is_called_dead_right_after_an_outage(world: World, dsn: str) -> None:
    """
    An engine whose own lease was interrupted waits before it believes in another's death.
    """
    await world.db.execute(
        "UPDATE process SET lease_until = clock_timestamp() - interval '1 minute'"
    )
    claimed = await world.add_call()
    engine = Process(world.db, ProcessKind.ENGINE)
    await engine.register()

    async with world.db.acquire() as connection:
        await sweeps.dead_lines(connection, engine, Notifier(dsn), now=later(1))

    assert "claimed" == (await world.call(claimed))["state"]


async def test_agents_of_a_process_that_ended_are_offline(world: World, dsn: str) -> None:
    """
    A line process that ended in order and left an agent behind leaves that agent offline.
    """
    session = await world.add_agent()
    await world.db.execute("UPDATE process SET ended_at = clock_timestamp() - interval '1 minute'")

    async with world.db.acquire() as connection:
        await sweeps.lost_phones(connection, Notifier(dsn), now=later(1))

    row = await world.session(session)
    assert ("offline", "line process ended") == (row["state"], row["pause_reason"])


async def test_claims_nobody_dials_go_back(world: World) -> None:
    """
    A claim older than ten seconds is returned, a fresh one stays.
    """
    await world.add_call(at=NOW)
    fresh = await world.add_call(at=later(5))

    async with world.db.acquire() as connection:
        await sweeps.calls(connection, world.process_id, now=later(12))

    assert [fresh] == [row["id"] for row in await world.db.fetch("SELECT id FROM live_attempt")]


async def test_partitions_are_made_and_old_decisions_dropped(world: World) -> None:
    """
    Housekeeping makes room for the months ahead and drops decisions after fourteen days.
    """
    ahead = datetime.now(UTC) + timedelta(days=70)
    async with world.db.acquire() as connection:
        await sweeps.housekeeping(connection, now=ahead)

    tables = {
        row["relname"]
        for row in await world.db.fetch("SELECT relname FROM pg_class WHERE relkind = 'r'")
    }
    assert f"attempt_{ahead:%Y%m}" in tables
    assert f"decision_{ahead:%Y%m%d}" in tables
    assert f"decision_{ahead - timedelta(days=60):%Y%m%d}" not in tables


async def test_a_wrong_hour_is_told(world: World, events: list[Any]) -> None:
    """
    The nightly recount names an hour whose aggregate its attempts do not bear out.
    """
    await world.db.execute(
        "INSERT INTO abandonment_hour (campaign_id, hour, answered_by_person, abandoned)"
        " VALUES ($1, $2, 7, 0)",
        world.campaign_id,
        NOW - timedelta(hours=2),
    )

    await sweeps.recount(world.db, [world.campaign_id], now=NOW)

    (told,) = [event for event in events if event["event"] == "ledger_hour_wrong"]
    assert ([7, 0], [0, 0]) == (told["stored"], told["recounted"])
