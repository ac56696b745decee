"""A shift: log-in, phone up, ready, pause, wrap-up and its limit, log-out; all guarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.errors import UserError
from campaigns.model import AgentState, AttemptState, Disposition
from campaigns.stores import session_sweeps, sessions
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def talking(world: World, state: str = "talking") -> tuple[UUID, UUID]:
    """Return a session and the call its agent is in, in *state*."""
    session = await world.add_agent()
    agent = (await world.session(session))["agent_id"]
    over = state == "wrap_up"
    ending: dict[str, Any] = {"outcome": "answered", "ended_at": NOW} if over else {}
    call = await world.add_call(
        state=AttemptState.ENDED if over else AttemptState.BRIDGED,
        reservation="joined",
        joined_at=NOW,
        answered_at=NOW,
        agent_id=agent,
        agent_session_id=session,
        **ending,
    )
    await world.db.execute(
        "UPDATE agent_session SET state = $2, attempt_id = $3, wrap_up_until = $4 WHERE id = $1",
        session,
        state,
        call,
        later(30) if over else None,
    )
    return session, call


async def test_a_shift_from_log_in_to_log_out(world: World) -> None:
    """
    Log-in orders the phone call, the phone's answer pauses, ready, and log-out hangs the phone up.
    """
    agent = (await world.session(await world.add_agent()))["agent_id"]
    await world.db.execute("DELETE FROM agent_session")
    async with world.db.acquire() as connection:
        session = await sessions.log_in(connection, agent, world.process_id, at=later(1))
        assert AgentState.OFFLINE is session.state
        with pytest.raises(UserError, match="Your phone is not connected"):
            await sessions.set_ready(connection, session.id, at=later(1))

        up = await sessions.phone_up(connection, session.id, world.process_id, at=later(2))
        assert up is not None
        assert (AgentState.PAUSED, "logged in") == (up.state, up.pause_reason)
        ready = await sessions.set_ready(connection, session.id, at=later(3))
        assert AgentState.READY is ready.state
        assert None is await sessions.log_out(connection, session.id, at=later(4))

    assert ["offline", "paused", "ready", "offline"] == await world.agent_states(session.id)
    assert {} == await world.session(session.id)
    commands = await world.db.fetch("SELECT kind FROM line_command ORDER BY created_at")
    assert ["call_agent", "release_agent"] == [row["kind"] for row in commands]


async def test_logging_in_twice_calls_the_phone_once(world: World) -> None:
    """
    A second log-in while the phone is up gives the same session and no second phone call.
    """
    session = await world.add_agent()
    agent = (await world.session(session))["agent_id"]
    async with world.db.acquire() as connection:
        again = await sessions.log_in(connection, agent, world.process_id, at=later(1))

    assert session == again.id
    assert 0 == await world.db.fetchval("SELECT count(*) FROM line_command")


async def test_another_process_cannot_answer_for_the_phone(world: World) -> None:
    """
    A line process that no longer holds the session learns that the leg is not wanted.
    """
    session = await world.add_agent(state=AgentState.OFFLINE)
    stranger = await world.add_process()
    async with world.db.acquire() as connection:
        assert None is await sessions.phone_up(connection, session, stranger, at=later(1))

    assert "offline" == (await world.session(session))["state"]


async def test_a_pause_asked_for_in_mid_call_comes_after_it(world: World) -> None:
    """
    The pause waits through talk and wrap-up, and is taken when the wrap-up ends.
    """
    session, call = await talking(world, "wrap_up")
    async with world.db.acquire() as connection:
        asked = await sessions.request_pause(connection, session, reason="lunch", at=later(1))
        assert (AgentState.WRAP_UP, "lunch") == (asked.state, asked.pause_requested)

        assert await sessions.dispose(connection, call, Disposition.SALE, at=later(2))

    row = await world.session(session)
    assert ("paused", "lunch", None) == (row["state"], row["pause_reason"], row["pause_requested"])


async def test_a_log_out_asked_for_in_mid_call_comes_after_it(world: World) -> None:
    """
    The agent who asked to log out is logged out when the wrap-up ends.
    """
    session, call = await talking(world, "wrap_up")
    async with world.db.acquire() as connection:
        left = await sessions.log_out(connection, session, at=later(1))
        assert left is not None
        await sessions.dispose(connection, call, Disposition.SALE, at=later(2))

    assert {} == await world.session(session)


async def test_ready_takes_a_pause_request_back(world: World) -> None:
    """
    An agent who changes their mind in mid-call stays at work.
    """
    session, _ = await talking(world)
    async with world.db.acquire() as connection:
        await sessions.request_pause(connection, session, reason="lunch", at=later(1))
        back = await sessions.set_ready(connection, session, at=later(2))

    assert (AgentState.TALKING, None) == (back.state, back.pause_requested)


async def test_the_wrap_up_limit_ends_a_wrap_up(world: World) -> None:
    """
    When the limit passes the agent is ready and the call's disposition is none; not before.
    """
    session, call = await talking(world, "wrap_up")
    async with world.db.acquire() as connection:
        assert [] == await session_sweeps.end_wrap_ups(connection, now=later(29))
        (ended,) = await session_sweeps.end_wrap_ups(connection, now=later(30))

    assert (session, AgentState.READY) == (ended.id, ended.state)
    assert "none" == (await world.call(call))["disposition"]


async def test_a_disposition_given_in_time_is_not_overwritten(world: World) -> None:
    """
    The limit never replaces what the agent said.
    """
    _, call = await talking(world, "wrap_up")
    async with world.db.acquire() as connection:
        await sessions.dispose(connection, call, Disposition.CALLBACK, at=later(1))
        assert [] == await session_sweeps.end_wrap_ups(connection, now=later(60))

    assert "callback" == (await world.call(call))["disposition"]


async def test_a_phone_lost_in_wrap_up_closes_the_books(world: World) -> None:
    """
    An agent whose phone drops in wrap-up goes offline and the call gets disposition none.
    """
    session, call = await talking(world, "wrap_up")
    async with world.db.acquire() as connection:
        loss = await sessions.phone_lost(connection, session, at=later(5), reason="phone hung up")

    assert loss is not None
    assert None is loss.attempt_id
    assert "offline" == (await world.session(session))["state"]
    assert "none" == (await world.call(call))["disposition"]


async def test_agents_of_a_dead_process_in_wrap_up_go_last(world: World) -> None:
    """
    Agents of a dead line process go offline at once, one in wrap-up after it is over.
    """
    idle = await world.add_agent()
    wrapping, call = await talking(world, "wrap_up")
    async with world.db.acquire() as connection:
        (gone,) = await session_sweeps.lose_process(
            connection, world.process_id, at=later(1), reason="line process ended"
        )
        assert idle == gone.id
        await sessions.dispose(connection, call, Disposition.SALE, at=later(2))
        (last,) = await session_sweeps.lose_process(
            connection, world.process_id, at=later(3), reason="line process ended"
        )

    assert (wrapping, AgentState.OFFLINE) == (last.id, last.state)
