"""Trunks: what they can take, whom they may not overload, when they rest and come back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.errors import UserError
from campaigns.model import AttemptState, TrunkKind, new_id
from campaigns.stores import closings, trunk_room, trunks
from campaigns.stores.trunk_room import DayUse, Room
from campaigns.stores.trunks import NewTrunk
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]

LAB = NewTrunk("lab", TrunkKind.LAB, "127.0.0.1", 5080, caller_ids=("+12025550100",))


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def room(world: World, *, at: float = 0, today: DayUse | None = None) -> Room:
    """Return the room of the first trunk."""
    async with world.db.acquire() as connection:
        (found,) = await trunk_room.of_campaign(
            connection,
            world.campaign_id,
            now=later(at),
            today={world.trunk_id: today or DayUse()},
        )
    return found


async def change(world: World, **columns: Any) -> None:
    """Change the first trunk's row."""
    for name, value in columns.items():
        await world.db.execute(
            f"UPDATE trunk SET {name} = $2 WHERE id = $1",  # noqa: S608 - a test's own columns
            world.trunk_id,
            value,
        )


async def closed_call(world: World, outcome: str, at: float, **columns: Any) -> UUID:
    """Return an attempt that ended *at* and is closed."""
    call = await world.add_call(
        state=AttemptState.ENDED,
        at=later(at - 1),
        outcome=outcome,
        ended_at=later(at),
        dialing_at=later(at - 1),
        **columns,
    )
    lease = await world.add_lease()
    async with world.db.acquire() as connection:
        await closings.close_ended(connection, lease, at=later(at))
    return call


async def review(world: World, at: float) -> list[trunks.Suspension]:
    """Review the first trunk."""
    async with world.db.acquire() as connection:
        return await trunks.review_faults(connection, [world.trunk_id], now=later(at))


async def resume(world: World, at: float) -> list[str]:
    """Resume what is due."""
    async with world.db.acquire() as connection:
        return await trunks.resume_due(connection, now=later(at))


async def test_a_trunk_is_added_shown_and_changed(world: World) -> None:
    """
    What was put is what is listed; the password is kept out of sight.
    """
    async with world.db.acquire() as connection:
        await trunks.add(connection, LAB)
        with pytest.raises(UserError, match="There is a trunk 'lab' already"):
            await trunks.add(connection, LAB)
        changed = await trunks.put(
            connection,
            NewTrunk(
                "lab",
                TrunkKind.LAB,
                "127.0.0.2",
                password="secret",
                caller_ids=("+12025550101", "+12025550102"),
            ),
        )

    assert ("127.0.0.2", ("+12025550101", "+12025550102")) == (changed.host, changed.caller_ids)
    assert "secret" not in repr(changed)


async def test_a_lab_trunk_must_stay_on_this_machine(world: World) -> None:
    """
    A lab trunk with any other host is refused before a row exists.
    """
    async with world.db.acquire() as connection:
        with pytest.raises(UserError, match="lab trunks speak to loopback addresses only"):
            await trunks.add(connection, NewTrunk("x", TrunkKind.LAB, "192.0.2.1"))
        with pytest.raises(UserError, match="There is no trunk 'x'"):
            await trunks.get(connection, "x")


async def test_a_trunk_that_carried_calls_keeps_its_kind_and_its_row(world: World) -> None:
    """
    Neither the kind can change nor the trunk be removed once calls went through it.
    """
    await closed_call(world, "busy", 5)
    async with world.db.acquire() as connection:
        trunk = await trunks.by_id(connection, world.trunk_id)
        assert trunk is not None
        with pytest.raises(UserError, match="cannot change its kind"):
            await trunks.put(connection, NewTrunk(trunk.name, TrunkKind.REAL, "192.0.2.1"))
        with pytest.raises(UserError, match="disable it instead"):
            await trunks.remove(connection, trunk.name)


async def test_channels_are_counted_from_rows_of_every_campaign(world: World) -> None:
    """
    A channel is taken by any call that is not over, whoever's it is.
    """
    await change(world, channels=5)
    other = await world.add_campaign()
    await world.add_call(state=AttemptState.RINGING)
    await world.add_call(campaign_id=other)
    await world.add_call(state=AttemptState.ENDED, outcome="busy", ended_at=NOW)

    found = await room(world)

    assert (2, 3) == (found.in_use, found.free_channels)


async def test_calls_per_second_fill_with_time_and_hold_one_second(world: World) -> None:
    """
    A spent bucket gives as many calls as time has passed for, and never more than a second's worth.
    """
    await change(world, calls_per_second=4.0, tokens=4.0, tokens_at=NOW)
    async with world.db.acquire() as connection, connection.transaction():
        rooms = await trunk_room.lock(connection, world.campaign_id, now=NOW, today={})
        assert 4 == rooms[0].calls_now
        await trunk_room.spend(connection, rooms, {world.trunk_id: 4}, now=NOW)

    assert [0, 1, 2, 4, 4] == [(await room(world, at=at)).calls_now for at in (0, 0.25, 0.5, 1, 60)]


async def test_a_slow_trunk_still_gets_a_call_now_and_then(world: World) -> None:
    """
    A trunk of one call every ten seconds is not stuck at a bucket smaller than one call.
    """
    await change(world, calls_per_second=0.1, tokens=0.0, tokens_at=NOW)

    assert [0, 1] == [(await room(world, at=at)).calls_now for at in (9, 10)]


async def test_the_last_channel_goes_to_one_engine(world: World) -> None:
    """
    Two engines that claim on one trunk at once take its last channel once.
    """
    await change(world, channels=1)
    other = await world.add_campaign()

    async def start(campaign: UUID) -> int:
        async with world.db.acquire() as connection, connection.transaction():
            (found,) = await trunk_room.lock(connection, campaign, now=NOW, today={})
            if found.calls_now:
                lead = new_id()
                await connection.execute(
                    "INSERT INTO live_attempt (id, campaign_id, lead_id, lead_number_id,"
                    " dialed_number, region, mode, epoch, process_id, trunk_id, caller_id, timers,"
                    " claimed_at)"
                    " VALUES ($1, $2, $3, $3, $4, 'US', 'progressive', 0, $5, $6, '', '{}', $7)",
                    new_id(),
                    campaign,
                    lead,
                    str(campaign),
                    world.process_id,
                    world.trunk_id,
                    NOW,
                )
            return found.calls_now

    started = await asyncio.gather(start(world.campaign_id), start(other))

    assert [0, 1] == sorted(started)


async def test_daily_caps_stop_a_trunk(world: World) -> None:
    """
    Calls and minutes of the day, closed and live, leave what the caps still allow.
    """
    await change(world, calls_per_day=10, minutes_per_day=100)
    await world.add_call(state=AttemptState.BRIDGED, at=later(-150))

    assert 7 == (await room(world, today=DayUse(calls=2))).free_channels
    assert 0 == (await room(world, today=DayUse(calls=9))).free_channels
    assert 9 == (await room(world, today=DayUse(minutes=96))).free_channels
    assert 0 == (await room(world, today=DayUse(minutes=97))).free_channels


async def test_the_day_is_counted_from_the_records(world: World) -> None:
    """
    A day's use is its dialed attempts and the minutes begun by those answered, from midnight UTC.
    """
    midnight = NOW.replace(hour=0)
    yesterday = (midnight - timedelta(hours=2) - NOW).total_seconds()
    await closed_call(world, "busy", yesterday)
    await closed_call(world, "busy", 10)
    await closed_call(world, "answered", 100, answered_at=later(5), verdict="machine")

    async with world.db.acquire() as connection:
        use = await trunk_room.day_use(connection, [world.trunk_id], now=later(200))

    assert {world.trunk_id: DayUse(calls=2, minutes=2)} == use


async def test_five_faults_in_a_row_suspend_a_trunk(world: World) -> None:
    """
    Four faults do nothing, the fifth suspends for 30 s; then the trunk is back by itself.
    """
    for second in range(1, 5):
        await closed_call(world, "trunk_fault", second)
    assert [] == await review(world, 5)
    await closed_call(world, "trunk_fault", 5)

    (suspension,) = await review(world, 5)

    assert later(35) == suspension.until
    assert 0 == (await room(world, at=6)).calls_now
    assert [] == await resume(world, 34)
    assert 1 == len(await resume(world, 35))
    assert (await room(world, at=36)).calls_now > 0


async def test_a_call_that_works_breaks_the_row(world: World) -> None:
    """
    A busy between the faults shows that the trunk works.
    """
    for second, outcome in enumerate(["trunk_fault"] * 3 + ["busy"] + ["trunk_fault"] * 3):
        await closed_call(world, outcome, second + 1)

    assert [] == await review(world, 10)


async def test_a_trunk_that_stays_broken_rests_longer_each_time(world: World) -> None:
    """
    Suspensions double up to five minutes, and start at 30 s again after a call that worked.
    """
    at, rests = 0.0, []
    for _ in range(6):
        for _ in range(5):
            at += 1
            await closed_call(world, "trunk_fault", at)
        (suspension,) = await review(world, at)
        rests.append((suspension.until - later(at)).total_seconds())
        at += rests[-1]
        await resume(world, at)
    at += 1
    await closed_call(world, "busy", at)
    for _ in range(5):
        at += 1
        await closed_call(world, "trunk_fault", at)
    (suspension,) = await review(world, at)

    assert [30, 60, 120, 240, 300, 300] == rests
    assert later(at + 30) == suspension.until


async def test_retry_after_is_honoured_at_once(world: World) -> None:
    """
    One 503 with Retry-After suspends the trunk for as long as the carrier asks.
    """
    call = await closed_call(world, "trunk_fault", 10, sip_code=503)
    await world.db.execute(
        "INSERT INTO call_event (id, attempt_id, kind, happened_at, detail)"
        " VALUES ($1, $2, 'ended', $3, '{\"retry_after_s\": 90}'::jsonb)",
        new_id(),
        call,
        later(10),
    )

    (suspension,) = await review(world, 11)

    assert later(100) == suspension.until
    assert "the carrier asked to wait (503 with Retry-After)" == suspension.reason


async def test_a_disabled_trunk_has_no_room(world: World) -> None:
    """
    Disabling a trunk takes it out of every campaign at once.
    """
    await change(world, enabled=False)
    async with world.db.acquire() as connection:
        assert [] == await trunk_room.of_campaign(connection, world.campaign_id, now=NOW, today={})
