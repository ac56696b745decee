"""`campaign why`: one true sentence per reason, from rows and the last decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.model import AgentState, AttemptState
from campaigns.stores import decisions
from dialer.engine import why
from dialer.engine.why import Cause, Reason
from pacing import Bound, Decision, Snapshot
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a campaign that could dial: an engine, lines, a ready agent, leads."""
    built = await World(pool).build(name="spring")
    await built.add_lease()
    await built.add_agent()
    await built.add_leads(3)
    await pool.execute("UPDATE trunk SET name = 'lab'")
    return built


async def reasons(world: World) -> dict[Cause, Reason]:
    """Return the reasons by cause, at the tests' own time."""
    async with world.db.acquire() as connection:
        found = await why.explain(connection, await world.campaign(), now=NOW)
    return {reason.cause: reason for reason in found}


async def decide(world: World, bound: Bound, originate: int = 2, **evidence: Any) -> None:
    """Store a decision made just now."""
    async with world.db.acquire() as connection:
        await decisions.store(
            connection,
            campaign_id=world.campaign_id,
            epoch=1,
            at=later(-1),
            snapshot=Snapshot(at_s=0.0),
            decision=Decision(originate, bound, {"agents": 1.0, "ready": 1.0, **evidence}),
            claimed=originate,
        )


async def test_nothing_wrong(world: World) -> None:
    """
    A campaign that dials says how many calls are in flight, for whom, and what decides.
    """
    await decide(world, Bound.AGENTS)
    await world.add_call(state=AttemptState.RINGING)

    found = await reasons(world)

    assert {Cause.DIALING} == set(found)
    assert (
        "Dialing: 1 call in flight for 1 agent, 1 ready; what decides is one call per ready agent."
    ) == str(found[Cause.DIALING])


async def test_a_paused_campaign_names_the_command(world: World) -> None:
    """
    A campaign that does not run says how to start it, or what is missing for that.
    """
    await world.db.execute("UPDATE campaign SET state = 'paused'")
    paused = (await reasons(world))[Cause.NOT_RUNNING]
    await world.db.execute("UPDATE campaign SET state = 'draft'")
    await world.db.execute("DELETE FROM campaign_list")
    draft = (await reasons(world))[Cause.NOT_RUNNING]

    assert "The campaign is paused: start it with `dialer campaign start spring`." == str(paused)
    assert str(draft).startswith(
        "The campaign is not started yet (draft) and cannot start: it has no list"
    )
    assert paused.blocks


async def test_processes_that_are_missing(world: World) -> None:
    """
    Without an engine or a line process nothing is dialed, and the reason says what to start.
    """
    await world.db.execute("UPDATE process SET lease_until = clock_timestamp()")
    await world.db.execute("UPDATE campaign SET lease_until = clock_timestamp()")

    found = await reasons(world)

    assert found[Cause.NO_ENGINE].blocks
    assert found[Cause.NO_LINE_PROCESS].blocks
    assert "No engine is running" in str(found[Cause.NO_ENGINE])


async def test_agents_who_are_not_there(world: World) -> None:
    """
    Paused agents are counted with their reasons; nobody logged in and nobody assigned differ.
    """
    await world.add_agent(state=AgentState.PAUSED, pause_reason="lunch")
    await world.db.execute(
        "UPDATE agent_session SET state = 'paused', pause_reason = 'lunch' WHERE state = 'ready'"
    )
    paused = (await reasons(world))[Cause.AGENTS_PAUSED]
    await world.db.execute("DELETE FROM agent_session")
    logged_out = (await reasons(world))[Cause.NO_AGENT]
    await world.db.execute("DELETE FROM agent_campaign")
    unassigned = (await reasons(world))[Cause.NO_AGENT]

    assert "Nobody takes calls: 2 agents logged in, all paused or without phone (2 lunch)." == str(
        paused
    )
    assert "None of the 2 assigned agents is logged in." == str(logged_out)
    assert "No agent is assigned" in str(unassigned)


async def test_agents_who_are_all_busy(world: World) -> None:
    """
    No ready agent at this moment is said with what they do, and is no verdict by itself.
    """
    call = await world.add_call(state=AttemptState.BRIDGED)
    await world.db.execute("UPDATE agent_session SET state = 'talking', attempt_id = $1", call)
    await decide(world, Bound.AGENTS, 0)

    found = await reasons(world)

    assert "No agent is ready at this moment: 1 talking." == str(found[Cause.NO_READY_AGENT])
    assert not found[Cause.NO_READY_AGENT].blocks


@pytest.mark.parametrize(
    ("columns", "cause", "text"),
    [
        (
            {"suspended_until": later(90), "suspended_reason": "5 calls in a row failed"},
            Cause.TRUNK_SUSPENDED,
            "Trunk 'lab' is suspended until 15:01 UTC: 5 calls in a row failed.",
        ),
        (
            {"channels": 1},
            Cause.TRUNK_FULL,
            "Trunk 'lab' is full: 1 of 1 channels in use.",
        ),
        (
            {"calls_per_day": 1},
            Cause.TRUNK_DAY,
            (
                "Trunk 'lab' has reached its daily cap: 1 of 1 calls, 0 of 1000000 minutes "
                "since 0:00 UTC."
            ),
        ),
        (
            {"tokens": 0.0, "calls_per_second": 2.0},
            Cause.CALLS_PER_SECOND,
            "Trunk 'lab' is at its 2 calls per second.",
        ),
        (
            {"enabled": False},
            Cause.NO_TRUNK,
            "No enabled trunk is attached: use `dialer campaign set --trunk`.",
        ),
    ],
)
async def test_trunks_that_take_nothing(
    world: World, columns: dict[str, Any], cause: Cause, text: str
) -> None:
    """
    Each way a trunk can be out of room has its own sentence with the numbers.
    """
    await world.add_call(state=AttemptState.RINGING)
    for name, value in columns.items():
        await world.db.execute(f"UPDATE trunk SET {name} = $1", value)  # noqa: S608 - own names

    found = await reasons(world)

    assert text == str(found[cause])
    # A second later there is a call per second again: that alone stops nothing.
    assert (cause is not Cause.CALLS_PER_SECOND) == found[cause].blocks


async def test_leads_that_wait(world: World) -> None:
    """
    Closed hours name the local opening, retries the first due time, the rest its rule.
    """
    opens = datetime(2026, 3, 5, 14, tzinfo=UTC)
    ids = await world.add_leads(4)
    await world.db.execute("DELETE FROM lead WHERE id <> ALL($1::uuid[])", ids)
    await world.db.execute(
        "UPDATE lead SET held_by = 'HOURS-1', next_call_at = $2 WHERE id = ANY($1::uuid[])",
        ids[:2],
        opens,
    )
    await world.db.execute(
        "UPDATE lead SET next_call_at = $2 WHERE id = $1", ids[2], NOW + timedelta(hours=3)
    )
    await world.db.execute(
        "UPDATE lead SET state = 'done', done_reason = 'suppressed' WHERE id = $1", ids[3]
    )

    found = await reasons(world)

    assert "Calling hours are closed until Thu 05 Mar 09:00 America/New_York for 2 leads." == str(
        found[Cause.WINDOW_CLOSED]
    )
    assert "1 lead waits for the next call, the first until 18:00 UTC." == str(
        found[Cause.RETRY_WAIT]
    )
    assert "1 lead is on the do-not-call list." == str(found[Cause.DO_NOT_CALL])
    assert opens == found[Cause.WINDOW_CLOSED].until
    assert found[Cause.WINDOW_CLOSED].blocks


async def test_a_list_that_is_finished(world: World) -> None:
    """
    When every lead is done the campaign says so, and no lead at all says how to import some.
    """
    await world.db.execute("UPDATE lead SET state = 'done', done_reason = 'reached'")
    finished = (await reasons(world))[Cause.LIST_EMPTY]
    await world.db.execute("DELETE FROM lead")
    empty = (await reasons(world))[Cause.LIST_EMPTY]

    assert "The list is finished: 3 leads done." == str(finished)
    assert "hold no leads" in str(empty)


async def test_the_guard_and_the_law_say_why(world: World) -> None:
    """
    One call per agent is explained with the guard's numbers or the rule that forces it.
    """
    await decide(world, Bound.LAW, guard="profile us-tsr requires a recorded message")
    law = (await reasons(world))[Cause.LAW]
    await world.db.execute("DELETE FROM decision")
    await decide(world, Bound.GUARD, guard="today: 1:1 until 33 people answered, 13 to go")
    guard = (await reasons(world))[Cause.GUARD]

    assert "One call per ready agent: profile us-tsr requires a recorded message." == str(law)
    assert "One call per ready agent: today: 1:1 until 33 people answered, 13 to go." == str(guard)


async def test_an_engine_that_fell_silent(world: World) -> None:
    """
    A last decision from long ago is told as such and not as the present.
    """
    await decide(world, Bound.AGENTS)
    await world.db.execute("UPDATE decision SET decided_at = $1", later(-60))

    assert "The engine's last decision is 60 s old: see its log." == str(
        (await reasons(world))[Cause.STALE]
    )
