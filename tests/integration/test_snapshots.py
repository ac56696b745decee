"""What the pacer is shown: agents, calls, trunks, counts, all from one view of the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import pacing
from campaigns.model import AgentState, AttemptState, new_id
from campaigns.stores import decisions, snapshots
from campaigns.stores.snapshots import Known, SharedCampaign, View, lent_to
from pacing import AgentStage, AgentView, History, Mode, PendingCall, WaitingCall
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def view(world: World, *, campaign_id: UUID | None = None, **known: Any) -> View:
    """Return the campaign's view at the tests' own time."""
    async with world.db.acquire() as connection:
        found = await snapshots.take(
            connection,
            campaign_id or world.campaign_id,
            Known(History(), **known),
            now=NOW,
        )
    assert found is not None
    return found


async def test_agents_with_what_they_do_and_for_how_long(world: World) -> None:
    """
    Every agent with a phone is in the snapshot with stage, elapsed time and whether they leave.
    """
    await world.add_agent(since=later(-10))
    await world.add_agent(since=later(-5), state=AgentState.PAUSED)
    await world.add_agent(since=later(-7), pause_requested="lunch")
    await world.add_agent(state=AgentState.OFFLINE)

    found = (await view(world)).snapshot.agents

    assert (
        AgentView(AgentStage.READY, 10.0),
        AgentView(AgentStage.READY, 7.0, leaving=True),
        AgentView(AgentStage.PAUSED, 5.0),
    ) == found


async def test_agents_of_a_dead_line_process_are_no_supply(world: World) -> None:
    """
    An agent whose line process stopped renewing its lease is not counted on.
    """
    dead = await world.add_process(lease_s=-10)
    await world.add_agent(process_id=dead)

    assert () == (await view(world)).snapshot.agents


async def test_calls_pending_and_waiting(world: World) -> None:
    """
    Unanswered calls are pending, answered ones wait unless joined, machines or past their time.
    """
    await world.add_call(at=later(-1))
    await world.add_call(state=AttemptState.RINGING, at=later(-8))
    await world.add_call(state=AttemptState.ANSWERED, at=later(-1), screening="listening")
    await world.add_call(state=AttemptState.ANSWERED, at=later(-1), screening="person")
    await world.add_call(state=AttemptState.ANSWERED, at=later(-1), screening="machine")
    await world.add_call(state=AttemptState.ANNOUNCING, at=later(-4))
    await world.add_call(state=AttemptState.BRIDGED, at=later(-60), joined_at=later(-59))

    found = (await view(world, person_share=0.7)).snapshot

    trunk = found.trunks[0].trunk
    assert {PendingCall(1.0, trunk), PendingCall(8.0, trunk)} == set(found.pending)
    assert {WaitingCall(1.0, 0.7), WaitingCall(1.0, 1.0)} == set(found.waiting)


async def test_leads_trunks_and_law(world: World) -> None:
    """
    Callable leads, trunk room, the window and what forbids over-dialing are part of the view.
    """
    await world.add_leads(12)
    await world.db.execute("UPDATE trunk SET channels = 7, calls_per_second = 3, tokens = 3")
    await world.db.execute("UPDATE campaign SET profile = 'us-tsr', mode = 'predictive'")

    found = (await view(world, held=frozenset({"30 days from the start"}))).snapshot

    assert 12 == found.callable_leads
    assert (7, 3) == (found.trunks[0].channels, found.trunks[0].calls_now)
    assert Mode.PREDICTIVE is found.policy.mode
    assert found.over_dialing_forbidden is not None
    assert "us-tsr requires a recorded message" in found.over_dialing_forbidden
    (window,) = found.windows
    assert (30_000, True) == (window.limit_ppm, window.held)
    assert (timedelta(days=30) - timedelta(hours=1)).total_seconds() == window.remaining_s


async def test_line_rooms_say_where_a_call_can_start(world: World) -> None:
    """
    Each living line process with its agents, its calls in need of one, and its free places.
    """
    await world.add_agent()
    await world.add_agent(state=AgentState.PAUSED)
    await world.add_call(state=AttemptState.RINGING)
    await world.add_process(lease_s=-1)
    draining = await world.add_process()
    await world.db.execute("UPDATE process SET draining = true WHERE id = $1", draining)

    (room,) = (await view(world)).lines

    assert (world.process_id, 1, 1, 1, 997) == (
        room.process_id,
        room.agents,
        room.ready,
        room.in_flight,
        room.free,
    )


async def test_a_shared_agent_is_supply_in_one_campaign_at_a_time(world: World) -> None:
    """
    Over all snapshots the shares of a ready agent add up to one, and to one of them whole.
    """
    other = await world.add_campaign()
    for campaign in (world.campaign_id, other):
        await world.add_lease(campaign)
    await world.add_leads(5)
    for _ in range(12):
        session = await world.add_agent()
        await world.db.execute(
            "INSERT INTO agent_campaign (agent_id, campaign_id)"
            " SELECT agent_id, $2 FROM agent_session WHERE id = $1",
            session,
            other,
        )

    first = [a.share for a in (await view(world)).snapshot.agents]
    second = [a.share for a in (await view(world, campaign_id=other)).snapshot.agents]

    assert [1.0] * 12 == [a + b for a, b in zip(first, second, strict=True)]
    assert {0.0, 1.0} == set(first)


async def test_a_talking_shared_agent_is_a_part_of_each(world: World) -> None:
    """
    An agent who will be free for two campaigns is half of each one's future supply.
    """
    other = await world.add_campaign()
    session = await world.add_agent()
    call = await world.add_call(state=AttemptState.BRIDGED)
    await world.db.execute(
        "UPDATE agent_session SET state = 'talking', attempt_id = $2 WHERE id = $1", session, call
    )
    await world.db.execute(
        "INSERT INTO agent_campaign (agent_id, campaign_id) SELECT agent_id, $1 FROM agent_session",
        other,
    )

    (agent,) = (await view(world)).snapshot.agents

    assert (AgentStage.TALKING, 0.5) == (agent.stage, agent.share)


def test_a_shared_agent_goes_where_calls_can_start() -> None:
    """
    Priority decides among the campaigns that can dial, chance among equals, nothing else.
    """
    first, second, third = (new_id() for _ in range(3))
    agent = new_id()
    idle = [SharedCampaign(first, 1, can_dial=False), SharedCampaign(second, 2, can_dial=True)]

    assert second == lent_to(agent, NOW, idle)
    assert None is lent_to(agent, NOW, idle[:1])
    equals = [SharedCampaign(c, 1, can_dial=True) for c in (first, second, third)]
    drawn = [lent_to(agent, later(second / 7), equals) for second in range(300)]
    assert {first, second, third} == set(drawn)
    assert all(60 < drawn.count(campaign) < 140 for campaign in (first, second, third))


async def test_a_stored_decision_replays_to_the_same_answer(world: World) -> None:
    """
    The packed snapshot comes back equal, and deciding again gives the stored answer.
    """
    for index in range(4):
        await world.add_agent(since=later(-index / 3))
    await world.add_leads(9)
    await world.add_call(state=AttemptState.RINGING, at=later(-1 / 3))
    await world.db.execute("UPDATE campaign SET mode = 'predictive'")
    taken = await view(world)
    decided = pacing.decide(taken.snapshot)
    async with world.db.acquire() as connection:
        await decisions.store(
            connection,
            campaign_id=world.campaign_id,
            epoch=1,
            at=NOW,
            snapshot=taken.snapshot,
            decision=decided,
            claimed=3,
        )

        stored = await decisions.latest(connection, world.campaign_id)

    assert stored is not None
    assert taken.snapshot == stored.snapshot
    assert decided == stored.replay()
    assert (decided.originate, decided.bound, 3) == (stored.originate, stored.bound, stored.claimed)
