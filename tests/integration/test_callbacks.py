"""Promised calls: first at their time, kept for their agent, shown to them, and anyone's later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.errors import UserError
from campaigns.model import CampaignSettings, TrunkKind
from campaigns.rules.gate import Rule
from campaigns.stores import callbacks, claims, leases, previews, snapshots
from campaigns.stores.callbacks import Promise
from campaigns.stores.snapshots import Known
from dialer.engine import callbacks as engine_callbacks
from pacing import History
from tests.calls import World
from tests.lists import NOON, add_lead, lead_row, open_floor

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

HOUR = timedelta(hours=1)


async def test_shared_promise_goes_first_at_its_time_and_is_kept_by_the_call(pool: Pool) -> None:
    """
    Before its time nobody calls; then the lead comes before all others; afterwards it is as before.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        for line in range(3):
            await add_lead(connection, floor.list_id, f"+1212555010{line}", priority=9)
        lead_id = await add_lead(connection, floor.list_id, "+12125550150", priority=2)
        new = Promise(lead_id, floor.campaign.id, NOON + HOUR, note="after lunch")
        await callbacks.promise(connection, new, now=NOON)
        [shown] = await callbacks.open_ones(connection)

        early = await claim(connection, floor, NOON)
        [late] = (await claim(connection, floor, NOON + HOUR)).claimed
        await connection.execute("UPDATE lead SET state = 'open' WHERE id = $1", lead_id)
        await callbacks.after_calls(connection, [(lead_id, late.attempt_id, True)])
        lead = await lead_row(connection, lead_id)
        left = await callbacks.open_ones(connection)

    assert ("after lunch", None, "+12125550150") == (shown.note, shown.agent, shown.number)
    assert [lead_id] != [claimed.lead_id for claimed in early.claimed]
    assert lead_id == late.lead_id
    assert 2 == lead["priority"]
    assert [] == left


async def claim(connection: Connection, floor: Any, now: datetime) -> claims.ClaimBatch:
    """Claim one lead."""
    return await claims.claim(
        connection, campaign=floor.campaign, epoch=1, now=now, count=1, slots=floor.slots(1)
    )


async def test_promise_made_in_a_call_reopens_its_lead_when_the_call_closes(pool: Pool) -> None:
    """
    Made while the person is on the line, it decides what becomes of the lead; "call again" too.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")
        [live] = (await claim(connection, floor, NOON)).claimed
        new = Promise(lead_id, floor.campaign.id, NOON, attempt_id=live.attempt_id)
        await callbacks.promise(connection, new, now=NOON)
        during = await lead_row(connection, lead_id)
        await connection.execute("DELETE FROM live_attempt")
        await connection.execute(
            "UPDATE lead SET state = 'done', done_reason = 'reached' WHERE id = $1", lead_id
        )
        await callbacks.after_calls(connection, [(lead_id, live.attempt_id, True)])
        after = await lead_row(connection, lead_id)
        again = await claim(connection, floor, NOON)

    assert "in_call" == during["state"]
    assert ("open", NOON) == (after["state"], after["next_call_at"])
    assert 1 == len(again.claimed)


async def test_suppressed_person_is_promised_no_call(pool: Pool) -> None:
    """
    A promise never brings back who asked not to be called, and lies at most a year ahead.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")
        far = Promise(lead_id, floor.campaign.id, NOON + timedelta(days=400))
        with pytest.raises(UserError, match="a year ahead"):
            await callbacks.promise(connection, far, now=NOON)
        await connection.execute("UPDATE lead SET state = 'done', done_reason = 'suppressed'")
        with pytest.raises(UserError, match="may not be called again"):
            await callbacks.promise(connection, Promise(lead_id, floor.campaign.id, NOON), now=NOON)


class Turns:
    """A campaign in which one agent, Anna, was promised to a lead that is due."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = datetime.now(UTC)
        self.lead_id: UUID
        self.anna: UUID

    async def begin(self) -> None:
        """Promise the first of two leads to Anna, due now."""
        self.lead_id, _ = await self.world.add_leads(2)
        self.anna = await self.world.add_agent(since=self.now)
        self.lease = await self.world.add_lease()
        agent_id = (await self.world.session(self.anna))["agent_id"]
        async with self.world.db.acquire() as connection:
            await callbacks.promise(
                connection,
                Promise(self.lead_id, self.world.campaign_id, self.now, agent_id=agent_id),
                now=self.now,
            )

    async def claim(self, now: datetime) -> claims.ClaimBatch:
        """Claim from the list as the pacer would."""
        async with self.world.db.acquire() as connection:
            return await claims.claim(
                connection,
                campaign=await self.world.campaign(),
                epoch=self.lease.epoch,
                now=now,
                count=2,
                slots=[
                    claims.Slot(
                        self.world.process_id,
                        self.world.trunk_id,
                        TrunkKind.LAB,
                        "+12025550100",
                    )
                ]
                * 2,
            )

    async def offer(self, now: datetime) -> list[UUID]:
        """Let the engine show what is due; return the leads shown."""
        async with self.world.db.acquire() as connection:
            view = await snapshots.take(
                connection, self.world.campaign_id, Known(History()), now=now
            )
            assert view is not None
            due = await callbacks.due_for_ready_agents(connection, self.world.campaign_id, now=now)
            async with connection.transaction():
                await leases.hold(connection, self.lease)
                shown = await engine_callbacks.offer(
                    connection, self.lease, view, due, today={}, now=now
                )
        return [one.lead_id for one in shown]


@pytest.fixture
async def turns(pool: Pool) -> Turns:
    """Return a predictive campaign with a promise due."""
    world = await World(pool).build(
        mode="predictive", settings=CampaignSettings().model_dump(mode="json")
    )
    await pool.execute("UPDATE trunk SET tokens_at = clock_timestamp()")
    made = Turns(world)
    await made.begin()
    return made


async def test_personal_promise_is_kept_from_others_and_shown_to_its_agent(turns: Turns) -> None:
    """
    The pacer passes the lead over; its agent, once ready, is reserved, sees it, and dials it.
    """
    others = await turns.claim(turns.now)
    shown = await turns.offer(turns.now)
    anna = await turns.world.session(turns.anna)
    async with turns.world.db.acquire() as connection:
        ordered = await previews.order(
            connection, turns.anna, anna["attempt_id"], at=turns.now, by="agent"
        )
    call = await turns.world.call(anna["attempt_id"])

    assert {Rule.CALLBACK: 1} == others.denied
    assert [turns.lead_id] != [claimed.lead_id for claimed in others.claimed]
    assert [turns.lead_id] == shown
    assert ("reserved", turns.lead_id) == (anna["state"], call["lead_id"])
    assert ordered is not None
    assert () == ordered.refused


async def test_personal_promise_is_anybodys_after_its_hour(turns: Turns) -> None:
    """
    An agent who is not there keeps nobody waiting for ever.
    """
    await turns.world.db.execute("UPDATE agent_session SET state = 'paused'")
    absent = await turns.offer(turns.now)
    await turns.claim(turns.now)
    await turns.world.db.execute("UPDATE lead SET state = 'open' WHERE state = 'in_call'")
    await turns.world.db.execute("DELETE FROM live_attempt")

    later = await turns.claim(turns.now + HOUR)

    assert [] == absent
    assert turns.lead_id == later.claimed[0].lead_id
