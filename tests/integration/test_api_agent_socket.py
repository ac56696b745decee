"""The agent's socket against a real Postgres: who gets in, and what a shift looks like on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import aiohttp
import pytest

from campaigns.lifecycle import CallEventKind
from campaigns.model import AgentState, AttemptState, EndedBy, Outcome
from campaigns.stores import attempts, reservations, sessions
from campaigns.stores.attempts import Ending, Step
from dialer.api import desk as desk_module
from dialer.api import socket as socket_module
from dialer.notify import Channel
from tests.calls import World
from tests.desks import Screen, Server, api, eventually, give_token

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def now() -> datetime:
    """Return the time of day: sockets live in real time."""
    return datetime.now(UTC)


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign and a line process."""
    return await World(pool).build(name="Spring")


@pytest.fixture
async def server(dsn: str, pool: Pool) -> AsyncIterator[Server]:
    """Yield the API on a port of its own."""
    async with api(dsn, pool) as running:
        yield running


@dataclass(slots=True)
class Agent:
    """An agent with a token; `session_id` once logged in."""

    id: UUID
    token: str
    session_id: UUID


async def hired(world: World, state: AgentState | None = None, name: str = "one") -> Agent:
    """Return an agent of the campaign, logged in and in *state* if one is given."""
    session_id = await world.add_agent(state=state or AgentState.OFFLINE, since=now())
    agent_id = (await world.session(session_id))["agent_id"]
    if state is None:
        await world.db.execute("DELETE FROM agent_session WHERE id = $1", session_id)
    token = await give_token(world.db, agent_id, f"the token of {name}")
    return Agent(agent_id, token, session_id)


async def call_for(world: World, server: Server, agent: Agent, *, joined: bool = True) -> UUID:
    """Have a line process give a call to the ready agent, and say so on channel `agents`."""
    attempt_id = await world.add_call(state=AttemptState.ANSWERED, at=now())
    await world.db.execute(
        "UPDATE lead SET name = 'Ann Example', fields = $2"
        " WHERE id = (SELECT lead_id FROM live_attempt WHERE id = $1)",
        attempt_id,
        {"city": "Oakland", "plan": "gold"},
    )
    async with world.db.acquire() as connection:
        await reservations.reserve_agent(connection, world.process_id, attempt_id, at=now())
        if joined:
            await reservations.join(connection, world.process_id, attempt_id, at=now())
    server.notifier.post(Channel.AGENTS, agent.session_id)
    return attempt_id


async def customer_hangs_up(world: World, server: Server, agent: Agent, attempt_id: UUID) -> None:
    """End the call as a line process does."""
    ending = Ending(Outcome.ANSWERED, EndedBy.THEM, 200)
    async with world.db.acquire() as connection:
        await attempts.advance(
            connection,
            world.process_id,
            [Step(attempt_id, now(), state=AttemptState.ENDED, ending=ending)],
        )
    server.notifier.post(Channel.AGENTS, agent.session_id)


# The door ----------------------------------------------------------------------------------------


async def test_hello_with_a_token_shows_the_state(world: World, server: Server) -> None:
    """
    A socket that says hello with a valid token is told at once how its agent stands.
    """
    agent = await hired(world)

    screen = await server.screen(agent.token)
    state = await screen.told("state")

    assert "agent 1" == state["agent"]
    assert ["Spring"] == state["campaigns"]
    assert state["logged_in"] is False
    assert "offline" == state["state"]


async def test_wrong_token_is_refused_with_a_reason(world: World, server: Server) -> None:
    """
    A wrong token gets a sentence with what to do and close code 4401.
    """
    await hired(world)

    screen = await server.screen("nobody's token")
    error = await screen.next()

    assert "bad_token" == error["code"]
    assert "dialer agents token NAME" in error["message"]
    assert {"type": "closed", "code": 4401} == await screen.next()


async def test_token_in_the_url_opens_nothing(world: World, server: Server) -> None:
    """
    A token in the query string is ignored: addresses end up in logs.
    """
    agent = await hired(world)
    url = f"{server.url}{socket_module.PATH}?token={agent.token}"

    screen = Screen(await server.http.ws_connect(url))
    await screen.say("ready")

    assert "bad_token" == (await screen.next())["code"]
    assert {"type": "closed", "code": 4401} == await screen.next()


async def test_silent_socket_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A socket that does not say hello in time is closed with code 4408.
    """
    monkeypatch.setattr(socket_module, "HELLO_TIMEOUT_S", 0.1)

    screen = await server.socket()

    await screen.told("error")
    assert {"type": "closed", "code": 4408} == await screen.next()


async def test_guessing_is_throttled_but_the_right_token_opens(
    world: World, server: Server
) -> None:
    """
    After several wrong tokens more are turned away; the right token from the same place works.
    """
    agent = await hired(world)
    codes = []
    for attempt in range(7):
        screen = await server.screen(f"guess {attempt}")
        await screen.told("error")
        codes.append((await screen.next())["code"])

    right = await server.screen(agent.token)

    assert [4401] * 5 + [4429] * 2 == codes
    await right.told("state", agent="agent 1")


async def test_page_of_another_site_is_turned_away(world: World, server: Server) -> None:
    """
    A browser page from another origin cannot open an agent's socket.
    """
    await hired(world)

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await server.socket(Origin="https://elsewhere.example")

    assert 403 == refused.value.status


async def test_unreadable_message_is_answered_and_survived(world: World, server: Server) -> None:
    """
    What is no message of ours gets a sentence, and the socket stays open.
    """
    agent = await hired(world)
    screen = await server.screen(agent.token)
    await screen.told("state")

    await screen.ws.send_str("{not json")
    broken = await screen.told("error")
    await screen.say("dance")
    unknown = await screen.told("error")
    await screen.say("dispose", disposition="thrilled")
    bad_value = await screen.told("error")
    await screen.say("ping")

    assert "The message is not JSON." == broken["message"]
    assert unknown["message"].startswith("The message needs a type, one of hello, log_in,")
    assert bad_value["message"].startswith("disposition must be one of none, sale,")
    await screen.told("pong")


# A shift -----------------------------------------------------------------------------------------


async def test_log_in_has_the_phone_called(world: World, server: Server) -> None:
    """
    Log-in makes a session on a line process and orders it to call the agent's phone.
    """
    agent = await hired(world)
    screen = await server.screen(agent.token)

    await screen.say("log_in")
    state = await screen.told("state", logged_in=True)

    command = await world.db.fetchrow("SELECT kind::text, process_id FROM line_command")
    assert "offline" == state["state"]
    assert command is not None
    assert ("call_agent", world.process_id) == tuple(command)


async def test_log_in_without_a_line_process(world: World, server: Server) -> None:
    """
    With no line process to call the phone, log-in says so and nothing is written.
    """
    agent = await hired(world)
    await world.db.execute("UPDATE process SET lease_until = clock_timestamp() - interval '1 h'")
    screen = await server.screen(agent.token)

    await screen.say("log_in")
    error = await screen.told("error")

    assert "no_line_process" == error["code"]
    assert 0 == await world.db.fetchval("SELECT count(*) FROM agent_session")


async def test_ready_needs_a_log_in(world: World, server: Server) -> None:
    """
    Ready before the log-in is refused with a sentence.
    """
    agent = await hired(world)
    screen = await server.screen(agent.token)

    await screen.say("ready")

    assert "not_logged_in" == (await screen.told("error"))["code"]


async def test_phone_up_ready_pause_and_log_out(world: World, server: Server) -> None:
    """
    The phone's answer pauses, ready and pause follow the agent's word, log-out ends the session.
    """
    agent = await hired(world)
    screen = await server.screen(agent.token)
    await screen.say("log_in")
    await screen.told("state", logged_in=True)
    session_id = await world.db.fetchval("SELECT id FROM agent_session")

    async with world.db.acquire() as connection:
        await sessions.phone_up(connection, session_id, world.process_id, at=now())
    server.notifier.post(Channel.AGENTS, session_id)
    await screen.told("state", state="paused", reason="logged in")
    await screen.say("ready")
    await screen.told("state", state="ready", reason=None)
    await screen.say("pause", reason="lunch")
    await screen.told("state", state="paused", reason="lunch")
    await screen.say("log_out")
    await screen.told("state", logged_in=False)

    assert ["offline", "paused", "ready", "paused", "offline"] == await world.agent_states(
        session_id
    )
    assert "release_agent" == await world.db.fetchval(
        "SELECT kind::text FROM line_command ORDER BY created_at DESC LIMIT 1"
    )


async def test_call_from_pop_to_disposition(world: World, server: Server) -> None:
    """
    The person's data comes before the state says talking; the disposition ends the wrap-up.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    await screen.told("state", state="ready")

    attempt_id = await call_for(world, server, agent)
    call = await screen.next()
    talking = await screen.next()
    await customer_hangs_up(world, server, agent, attempt_id)
    ended = await screen.next()
    wrap_up = await screen.next()
    await screen.say("dispose", disposition="sale", attempt_id=str(attempt_id), note=" call May ")
    await screen.told("state", state="ready")

    assert ("call", "Spring", "Ann Example") == (
        call["type"],
        call["campaign"],
        call["lead"]["name"],
    )
    assert {"city": "Oakland", "plan": "gold"} == call["lead"]["fields"]
    assert call["lead"]["number"].startswith("+1")
    assert call["joined_at"] is not None
    assert ("state", "talking") == (talking["type"], talking["state"])
    assert ("call_ended", "answered", "them") == (
        ended["type"],
        ended["outcome"],
        ended["ended_by"],
    )
    assert ("state", "wrap_up") == (wrap_up["type"], wrap_up["state"])
    assert wrap_up["wrap_up_until"] > wrap_up["now"]
    assert "sale" == (await world.call(attempt_id))["disposition"]
    assert "call May" == await world.db.fetchval("SELECT body FROM lead_note")


async def test_person_is_shown_before_the_audio(world: World, server: Server) -> None:
    """
    The call is on the screen from the reservation on, so it never comes after the voice.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)

    attempt_id = await call_for(world, server, agent, joined=False)
    reserved = await screen.told("call")
    async with world.db.acquire() as connection:
        await reservations.join(connection, world.process_id, attempt_id, at=now())
    server.notifier.post(Channel.AGENTS, agent.session_id)
    joined = await screen.told("call")

    assert reserved["joined_at"] is None
    assert joined["joined_at"] is not None
    assert reserved["lead"] == joined["lead"]


async def test_earlier_notes_come_with_the_call(world: World, server: Server) -> None:
    """
    What an agent wrote about a person is shown at the person's next call.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    attempt_id = await call_for(world, server, agent)
    await screen.told("call")
    await screen.say("dispose", disposition="callback", note="after six")
    await eventually(world.db, "SELECT disposition FROM live_attempt WHERE id = $1", attempt_id)

    again = await server.screen(agent.token)
    call = await again.told("call")

    assert [("agent 1", "after six")] == [
        (note["by"], note["text"]) for note in call["lead"]["notes"]
    ]


async def test_disposition_while_talking_is_kept(world: World, server: Server) -> None:
    """
    A disposition given in mid-call is kept, and the agent is ready as soon as the call ends.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    attempt_id = await call_for(world, server, agent)
    await screen.told("state", state="talking")

    await screen.say("dispose", disposition="interested")
    await screen.told("call", disposition="interested")
    await customer_hangs_up(world, server, agent, attempt_id)
    await screen.told("call_ended")
    await screen.told("state", state="ready")

    assert "interested" == (await world.call(attempt_id))["disposition"]


async def test_late_disposition_never_lands_on_the_next_call(world: World, server: Server) -> None:
    """
    A key pressed after the wrap-up limit is refused for its own call and touches no other.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    closed = await call_for(world, server, agent)
    await screen.told("call")
    await customer_hangs_up(world, server, agent, closed)
    async with world.db.acquire() as connection:
        await sessions.set_ready(connection, agent.session_id, at=now())
    await world.db.execute("DELETE FROM live_attempt WHERE id = $1", closed)
    following = await call_for(world, server, agent)
    await screen.told("call", attempt_id=str(following))

    await screen.say("dispose", disposition="do_not_call", attempt_id=str(closed))
    error = await screen.told("error")

    assert "not_now" == error["code"]
    assert (await world.call(following))["disposition"] is None


async def test_disposition_of_somebody_elses_call_is_refused(world: World, server: Server) -> None:
    """
    An agent can dispose of the agent's own calls only.
    """
    first = await hired(world, AgentState.READY, "one")
    theirs = await call_for(world, server, first)
    second = await hired(world, AgentState.READY, "two")
    screen = await server.screen(second.token)

    await screen.say("dispose", disposition="sale", attempt_id=str(theirs))
    error = await screen.told("error")

    assert "not_now" == error["code"]
    assert (await world.call(theirs))["disposition"] is None


async def test_hang_up_is_ordered_from_the_line_process(world: World, server: Server) -> None:
    """
    Hang up asks the line process that holds the call to end the customer's leg.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    await screen.say("hang_up")
    nothing = await screen.told("error")
    attempt_id = await call_for(world, server, agent)
    await screen.told("state", state="talking")

    await screen.say("hang_up")
    ordered = await eventually(
        world.db,
        "SELECT attempt_id FROM line_command WHERE kind = 'hang_up' AND process_id = $1",
        world.process_id,
    )

    assert "no_call" == nothing["code"]
    assert attempt_id == ordered


async def test_pause_in_mid_call_waits_for_its_end(world: World, server: Server) -> None:
    """
    A pause asked for while talking is shown as coming and taken after the wrap-up.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    attempt_id = await call_for(world, server, agent)
    await screen.told("state", state="talking")

    await screen.say("pause", reason="training")
    await screen.told("state", state="talking", pause_requested="training")
    await customer_hangs_up(world, server, agent, attempt_id)
    await screen.told("state", state="wrap_up", pause_requested="training")
    await screen.say("dispose", disposition="not_interested")

    await screen.told("state", state="paused", reason="training", pause_requested=None)


# Keeping screens true ----------------------------------------------------------------------------


async def test_reload_resumes_in_mid_call(world: World, server: Server) -> None:
    """
    A screen opened anew in mid-call shows the same call and state; the old one is told and closed.
    """
    agent = await hired(world, AgentState.READY)
    old = await server.screen(agent.token)
    attempt_id = await call_for(world, server, agent)
    await old.told("state", state="talking")

    new = await server.screen(agent.token)
    call = await new.told("call")
    await new.told("state", state="talking")
    replaced = await old.told("error")

    assert str(attempt_id) == call["attempt_id"]
    assert "replaced" == replaced["code"]
    assert {"type": "closed", "code": 4409} == await old.next()


async def test_newest_screen_wins_across_processes(
    world: World, server: Server, dsn: str, pool: Pool
) -> None:
    """
    A screen opened on another API process closes the one on this process.
    """
    agent = await hired(world, AgentState.READY)
    old = await server.screen(agent.token)
    await old.told("state")

    async with api(dsn, pool) as other:
        new = await other.screen(agent.token)
        await new.told("state", state="ready")
        await old.told("error", code="replaced")

        assert {"type": "closed", "code": 4409} == await old.next()
        assert {agent.id} == other.desk.sockets.keys()
        assert {} == server.desk.sockets


async def test_change_without_a_hint_is_found_by_the_poll(world: World, server: Server) -> None:
    """
    A state that changed with no NOTIFY at all reaches the screen all the same.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    await screen.told("state", state="ready")

    async with world.db.acquire() as connection:
        await sessions.request_pause(connection, agent.session_id, reason="quiet", at=now())

    await screen.told("state", state="paused", reason="quiet")


async def test_lost_phone_is_shown_with_its_reason(world: World, server: Server) -> None:
    """
    When the phone drops in mid-call the screen says so and the call's card ends.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    await call_for(world, server, agent)
    await screen.told("state", state="talking")

    async with world.db.acquire() as connection:
        await sessions.phone_lost(connection, agent.session_id, at=now(), reason="phone hung up")
    server.notifier.post(Channel.AGENTS, agent.session_id)
    await screen.told("call_ended")
    state = await screen.told("state", state="offline")

    assert "phone hung up" == state["reason"]
    assert state["logged_in"] is True


async def test_lost_screen_pauses_the_agent(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An agent whose screen is gone and does not come back gets no more calls.
    """
    monkeypatch.setattr(desk_module, "SCREEN_GRACE_S", 0.3)
    monkeypatch.setattr(desk_module, "SEEN_EVERY_S", 0.1)
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    await screen.told("state", state="ready")

    await screen.ws.close()
    reason = await eventually(
        world.db,
        "SELECT pause_reason FROM agent_session WHERE id = $1 AND state = 'paused'",
        agent.session_id,
    )

    assert "screen lost" == reason


async def test_reload_within_the_grace_pauses_nobody(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An agent who opens the screen again in time goes on as before.
    """
    monkeypatch.setattr(desk_module, "POLL_S", 0.05)
    monkeypatch.setattr(desk_module, "SCREEN_GRACE_S", 0.5)
    monkeypatch.setattr(desk_module, "SEEN_EVERY_S", 0.1)
    agent = await hired(world, AgentState.READY)
    first = await server.screen(agent.token)
    await first.told("state", state="ready")

    await first.ws.close()
    second = await server.screen(agent.token)
    await second.told("state", state="ready")
    await asyncio.sleep(1.0)

    assert AgentState.READY == (await world.session(agent.session_id))["state"]


async def test_removed_agent_loses_the_screen(world: World, server: Server) -> None:
    """
    A screen whose agent was removed is closed.
    """
    agent = await hired(world)
    screen = await server.screen(agent.token)
    await screen.told("state")

    await world.db.execute("DELETE FROM agent WHERE id = $1", agent.id)

    await screen.told("error")
    assert "closed" == (await screen.next())["type"]


async def test_disposition_is_an_event_of_the_call(world: World, server: Server) -> None:
    """
    What the agent said stands in the call's own history.
    """
    agent = await hired(world, AgentState.READY)
    screen = await server.screen(agent.token)
    attempt_id = await call_for(world, server, agent)
    await screen.told("call")

    await screen.say("dispose", disposition="wrong_person")
    await screen.told("call", disposition="wrong_person")

    assert CallEventKind.DISPOSED in await world.kinds(attempt_id)
