"""Who owns a campaign, on a real Postgres."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaigns.errors import LeaseLost
from campaigns.model import AttemptState
from campaigns.stores import leases
from tests.calls import World

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def test_many_engines_and_one_campaign(world: World) -> None:
    """
    Of twenty engines that ask at once exactly one gets the campaign.
    """
    engines = [await world.add_process(kind="engine") for _ in range(20)]

    async def take(engine: object) -> int:
        async with world.db.acquire() as connection:
            return len(await leases.take_free(connection, engine))  # type: ignore[arg-type]

    taken = await asyncio.gather(*(take(engine) for engine in engines))

    assert 1 == sum(taken)


async def test_a_lease_that_ran_out_is_taken_over(world: World) -> None:
    """
    The successor gets the next epoch; the old holder neither renews nor writes any more.
    """
    first, second = [await world.add_process(kind="engine") for _ in range(2)]
    async with world.db.acquire() as connection:
        (old,) = await leases.take_free(connection, first, lease_s=-1)
        (new,) = await leases.take_free(connection, second)

        assert old.epoch + 1 == new.epoch
        assert set() == await leases.renew(connection, [old])
        assert {new} == await leases.renew(connection, [new])
        with pytest.raises(LeaseLost):
            await leases.hold(connection, old)
        assert world.campaign_id == (await leases.hold(connection, new)).id


async def test_a_lease_given_back_is_free_at_once(world: World) -> None:
    """
    An engine that stops in order leaves nobody waiting for its lease to run out.
    """
    first, second = [await world.add_process(kind="engine") for _ in range(2)]
    async with world.db.acquire() as connection:
        held = await leases.take_free(connection, first)
        assert [] == await leases.take_free(connection, second)

        await leases.give_back(connection, held)

        assert 1 == len(await leases.take_free(connection, second))


async def test_campaigns_without_work_need_no_engine(world: World) -> None:
    """
    A paused campaign is left alone unless it still has a call to close.
    """
    engine = await world.add_process(kind="engine")
    await world.db.execute("UPDATE campaign SET state = 'paused'")
    async with world.db.acquire() as connection:
        assert [] == await leases.take_free(connection, engine)

        await world.add_call(state=AttemptState.RINGING)

        assert 1 == len(await leases.take_free(connection, engine))
