"""Reserving, joining and giving back agents on a real Postgres."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.model import (
    AgentState,
    AttemptState,
    CallTimers,
    Disposition,
    Outcome,
    Screening,
    Verdict,
)
from campaigns.stores import attempts, reservations, sessions, tie_lines
from campaigns.stores.attempts import Ending, Step
from campaigns.stores.reservations import Elsewhere
from campaigns.stores.verdicts import Finding
from tests.calls import World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]

PERSON = Finding(Verdict.PERSON, Screening.PERSON, 0.97, {"words": 2}, later(0.8))


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def answered_call(world: World, **columns: Any) -> UUID:
    """Return a call that a person has just answered."""
    return await world.add_call(state=AttemptState.ANSWERED, screening="listening", **columns)


async def joined_call(world: World, session: UUID, **columns: Any) -> UUID:
    """Return a call on which *session*'s agent talks."""
    call = await answered_call(world, **columns)
    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1), finding=PERSON
        )
        assert held is not None
        assert session == held.session_id
        assert session == await reservations.join(connection, world.process_id, call, at=later(1.1))
    return call


async def end(world: World, call: UUID, at: float = 60) -> set[UUID]:
    """End an answered call *at* seconds; return what moved."""
    step = Step(call, later(at), AttemptState.ENDED, ending=Ending(Outcome.ANSWERED))
    async with world.db.acquire() as connection:
        return await attempts.advance(connection, world.process_id, [step])


async def test_a_person_gets_the_agent_idle_longest(world: World) -> None:
    """
    The ready agent who has waited longest is reserved, and the verdict is on the call's row.
    """
    await world.add_agent(since=later(-10))
    longest = await world.add_agent(since=later(-90))
    await world.add_agent(state=AgentState.PAUSED, since=later(-900))
    call = await answered_call(world)

    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1), finding=PERSON
        )

    assert held is not None
    assert longest == held.session_id
    row = await world.call(call)
    assert ("reserved", longest) == (row["reservation"], row["agent_session_id"])
    assert ("person", "person") == (row["screening"], row["verdict"])
    assert {"words": 2} == row["verdict_features"]
    assert "reserved" == (await world.session(longest))["state"]
    assert {"verdict", "reserved"} == set(await world.kinds(call))
    assert ["reserved"] == await world.agent_states(longest)


async def test_priority_of_the_assignment_goes_before_idle_time(world: World) -> None:
    """
    An agent assigned with priority 1 is taken before one with priority 2 who waited longer.
    """
    await world.add_agent(since=later(-900), priority=2)
    first = await world.add_agent(since=later(-1), priority=1)
    call = await answered_call(world)

    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(connection, world.process_id, call, at=later(1))

    assert held is not None
    assert first == held.session_id


async def test_nobody_ready_still_records_the_verdict(world: World) -> None:
    """
    Without a ready agent the answer is None, and the verdict and a no_agent event are kept.
    """
    await world.add_agent(state=AgentState.PAUSED)
    call = await answered_call(world)

    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1), finding=PERSON
        )
        again = await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1.2), again=True
        )

    assert held is None
    assert again is None
    row = await world.call(call)
    assert ("person", "none", None) == (
        row["verdict"],
        row["reservation"],
        row["agent_session_id"],
    )
    assert ["no_agent", "verdict"] == sorted(await world.kinds(call))


async def test_agents_of_other_campaigns_and_processes_are_left_alone(world: World) -> None:
    """
    Only an agent of the call's campaign on the call's own line process can be reserved.
    """
    other_campaign = await world.add_campaign()
    other_process = await world.add_process()
    await world.add_agent(campaign_id=other_campaign)
    await world.add_agent(process_id=other_process)
    call = await answered_call(world)

    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(connection, world.process_id, call, at=later(1))

    assert held is None


async def test_fifty_people_at_once_and_ten_agents(world: World) -> None:
    """
    Of fifty simultaneous reservations ten succeed, each with an agent of its own.
    """
    agents = {await world.add_agent(since=later(-index)) for index in range(10)}
    calls = [await answered_call(world) for _ in range(50)]

    async def reserve(call: UUID) -> UUID | None:
        async with world.db.acquire() as connection:
            held = await reservations.reserve_agent(
                connection, world.process_id, call, at=later(1), finding=PERSON
            )
        return held.session_id if held else None

    held = await asyncio.gather(*(reserve(call) for call in calls))

    assert agents == {session for session in held if session is not None}
    assert 40 == held.count(None)


async def test_a_call_that_ended_reserves_nobody(world: World) -> None:
    """
    A call that is over cannot take an agent, whoever wins the race.
    """
    session = await world.add_agent()
    call = await answered_call(world)
    await end(world, call, 2)

    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(connection, world.process_id, call, at=later(3))

    assert held is None
    assert "ready" == (await world.session(session))["state"]


async def test_joined_call_that_ends_sends_the_agent_to_wrap_up(world: World) -> None:
    """
    The end of a joined call and the agent's wrap-up with its limit are one transaction.
    """
    session = await world.add_agent()
    call = await joined_call(world, session)

    assert {call} == await end(world, call)

    row = await world.session(session)
    assert ("wrap_up", later(90), call) == (row["state"], row["wrap_up_until"], row["attempt_id"])
    assert ["reserved", "talking", "wrap_up"] == await world.agent_states(session)
    assert None is (await world.call(call))["disposition"]


async def test_no_wrap_up_limit_means_ready_at_once(world: World) -> None:
    """
    With a wrap-up limit of 0 the agent is ready when the call ends and the disposition is none.
    """
    session = await world.add_agent()
    timers = CallTimers(wrap_up_limit_s=0).model_dump(mode="json")
    call = await joined_call(world, session, timers=timers)

    await end(world, call)

    assert "ready" == (await world.session(session))["state"]
    assert "none" == (await world.call(call))["disposition"]
    assert ["reserved", "talking", "wrap_up", "ready"] == await world.agent_states(session)


async def test_customer_gone_between_reservation_and_join(world: World) -> None:
    """
    An agent reserved for a call that ends before the join is ready again, and the join finds out.
    """
    session = await world.add_agent()
    call = await answered_call(world)
    async with world.db.acquire() as connection:
        await reservations.reserve_agent(connection, world.process_id, call, at=later(1))
        await end(world, call, 1.5)
        joined = await reservations.join(connection, world.process_id, call, at=later(2))

    assert joined is None
    row = await world.session(session)
    assert ("ready", None) == (row["state"], row["attempt_id"])
    call_row = await world.call(call)
    assert ("released", None, None) == (
        call_row["reservation"],
        call_row["agent_session_id"],
        call_row["agent_id"],
    )


async def test_released_agent_can_be_followed_by_another(world: World) -> None:
    """
    After a release the call may reserve again, and a talking agent passes through wrap-up.
    """
    session = await world.add_agent()
    call = await joined_call(world, session)
    async with world.db.acquire() as connection:
        back = await reservations.release(
            connection, world.process_id, call, at=later(5), reason="machine after all"
        )
        second = await reservations.reserve_agent(connection, world.process_id, call, at=later(6))

    assert back is not None
    assert AgentState.READY is back.state
    assert second is not None
    assert session == second.session_id
    assert ["reserved", "talking", "wrap_up", "ready", "reserved"] == await world.agent_states(
        session
    )


async def test_phone_drops_in_mid_conversation(world: World) -> None:
    """
    The agent goes offline with the reason, the customer's call stays up and loses its agent.
    """
    session = await world.add_agent()
    call = await joined_call(world, session)

    async with world.db.acquire() as connection:
        loss = await sessions.phone_lost(connection, session, at=later(10), reason="phone hung up")

    assert loss is not None
    assert call == loss.attempt_id
    row = await world.session(session)
    assert ("offline", "phone hung up", None) == (
        row["state"],
        row["pause_reason"],
        row["attempt_id"],
    )
    call_row = await world.call(call)
    assert ("bridged", "released", None) == (
        call_row["state"],
        call_row["reservation"],
        call_row["agent_session_id"],
    )
    assert call_row["agent_id"] is not None
    assert "agent_lost" in await world.kinds(call)


async def test_disposition_given_while_talking_skips_the_wrap_up(world: World) -> None:
    """
    An agent who disposed before the hang-up is ready at the hang-up.
    """
    session = await world.add_agent()
    call = await joined_call(world, session)
    async with world.db.acquire() as connection:
        assert await sessions.dispose(connection, call, Disposition.SALE, at=later(20))

    await end(world, call)

    assert "ready" == (await world.session(session))["state"]
    assert "sale" == (await world.call(call))["disposition"]


async def elsewhere(world: World) -> UUID:
    """Return another line process that takes SIP."""
    other = await world.add_process(None)
    await world.db.execute(
        "UPDATE process SET sip_address = '127.0.0.1', sip_port = 5070 WHERE id = $1", other
    )
    return other


async def test_an_agent_of_this_process_goes_first(world: World) -> None:
    """
    An agent of another line process is taken only when none is ready here, however idle.
    """
    other = await elsewhere(world)
    here = await world.add_agent(since=later(-5))
    there = await world.add_agent(since=later(-500), process_id=other)
    calls = [await answered_call(world), await answered_call(world)]
    async with world.db.acquire() as connection:
        held = [
            await reservations.reserve_agent(
                connection, world.process_id, call, at=later(1), token=tie_lines.new_token()
            )
            for call in calls
        ]

    assert [here, there] == [agent and agent.session_id for agent in held]
    assert [None, Elsewhere(other, "127.0.0.1", 5070)] == [a and a.elsewhere for a in held]


async def test_without_a_token_agents_elsewhere_are_not_there(world: World) -> None:
    """
    Nobody of another process is reserved without a token, nor one of a process to be avoided.
    """
    other = await elsewhere(world)
    await world.add_agent(process_id=other)
    call = await answered_call(world)
    async with world.db.acquire() as connection:
        alone = await reservations.reserve_agent(connection, world.process_id, call, at=later(1))
        avoiding = await reservations.reserve_agent(
            connection,
            world.process_id,
            call,
            at=later(1),
            token=tie_lines.new_token(),
            avoided=[other],
        )

    assert (None, None) == (alone, avoiding)


@pytest.mark.parametrize("column", ["draining = true", "lease_until = '-infinity'"])
async def test_a_process_that_goes_gets_no_call_of_another(world: World, column: str) -> None:
    """
    Agents of a process that drains or has lost its lease are not for other processes' calls.
    """
    other = await elsewhere(world)
    await world.db.execute(f"UPDATE process SET {column} WHERE id = $1", other)  # noqa: S608
    await world.add_agent(process_id=other)
    call = await answered_call(world)
    async with world.db.acquire() as connection:
        held = await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1), token=tie_lines.new_token()
        )

    assert held is None


async def test_a_token_is_taken_once_by_its_process(world: World) -> None:
    """
    Only the agent's process can take the token, once, and a guess is worth nothing.
    """
    other = await elsewhere(world)
    session = await world.add_agent(process_id=other)
    call = await answered_call(world)
    token = tie_lines.new_token()
    async with world.db.acquire() as connection:
        await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1), token=token
        )
        guessed = await tie_lines.take(connection, other, tie_lines.new_token())
        stolen = await tie_lines.take(connection, world.process_id, token)
        taken = await tie_lines.take(connection, other, token)
        again = await tie_lines.take(connection, other, token)

    assert (None, None, None) == (guessed, stolen, again)
    assert tie_lines.Tie(call, session) == taken


@pytest.mark.parametrize("what", ["reservation", "token"])
async def test_a_token_dies_with_its_reservation(world: World, what: str) -> None:
    """
    After the call has given its agent back, or seconds later, the token opens nothing.
    """
    other = await elsewhere(world)
    await world.add_agent(process_id=other)
    call = await answered_call(world)
    token = tie_lines.new_token()
    async with world.db.acquire() as connection:
        await reservations.reserve_agent(
            connection, world.process_id, call, at=later(1), token=token
        )
        if what == "reservation":
            await reservations.release(
                connection, world.process_id, call, at=later(2), reason="not reached"
            )
        else:
            await connection.execute(
                "UPDATE tie_line SET expires_at = clock_timestamp() - interval '1 second'"
            )
        taken = await tie_lines.take(connection, other, token)

    assert taken is None
