"""Agents as managers see them: added, listed, assigned, recognised by token or PIN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.errors import UserError
from campaigns.model import AgentState, PhoneKind
from campaigns.stores import agents
from campaigns.stores.agents import Assignment, NewAgent
from tests.calls import World

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]

ANNA = NewAgent("anna", PhoneKind.SIP_URI, "sip:anna@127.0.0.1:5070", "Anna")


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def test_a_token_opens_the_door_once_renewed_no_more(world: World) -> None:
    """
    The token names its agent until a new one is made; the database holds only its hash.
    """
    async with world.db.acquire() as connection:
        anna, token = await agents.add(connection, ANNA)
        assert anna.id == await agents.authenticate(connection, token)

        renewed = await agents.renew_token(connection, "anna")

        assert None is await agents.authenticate(connection, token)
        assert anna.id == await agents.authenticate(connection, renewed)
        stored = await connection.fetchval("SELECT token_hash FROM agent")
        assert renewed not in stored
        assert 43 == len(renewed)


async def test_an_agent_is_listed_with_campaigns_and_state(world: World) -> None:
    """
    An assignment shows with its priority; an agent who never logged in is offline.
    """
    name = (await world.campaign()).name
    async with world.db.acquire() as connection:
        await agents.add(connection, ANNA)
        await agents.assign(connection, "anna", [name], priority=3)

        (anna,) = await agents.list_agents(connection)

        assert (Assignment(name, 3),) == anna.assignments
        assert AgentState.OFFLINE is anna.state
        assert () == (await agents.unassign(connection, "anna", [name])).assignments


async def test_a_pin_is_recognised_from_its_own_peer_only(world: World) -> None:
    """
    Calling in takes the configured address and the PIN; a wrong one of either is nobody.
    """
    new = NewAgent("bert", PhoneKind.CALL_IN, "127.0.0.9", pin="4711")
    async with world.db.acquire() as connection:
        bert, _ = await agents.add(connection, new)

        assert bert.id == await agents.called_in(connection, "127.0.0.9", "4711")
        assert None is await agents.called_in(connection, "127.0.0.9", "4712")
        assert None is await agents.called_in(connection, "127.0.0.8", "4711")


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (ANNA, "There is an agent 'anna' already: choose another name."),
        (
            NewAgent("c", PhoneKind.SIP_URI, "anna at home"),
            "A SIP phone's address looks like sip:anna@192.0.2.10:5060.",
        ),
        (
            NewAgent("c", PhoneKind.TELEPHONE, "12345", trunk="t"),
            (
                "An agent's telephone number must be valid and written in full, with + and "
                "country code."
            ),
        ),
        (
            NewAgent("c", PhoneKind.TELEPHONE, "+19005550100", trunk="t"),
            (
                "That is a premium number, and no trunk may dial it: give an ordinary telephone "
                "number for the agent."
            ),
        ),
        (
            NewAgent("c", PhoneKind.TELEPHONE, "+12125550123", trunk="real"),
            (
                "Trunk 'real' cannot call that telephone: the number is reserved for fiction, and "
                "only a lab trunk dials those."
            ),
        ),
        (
            NewAgent("c", PhoneKind.EXTENSION, "911", trunk="real"),
            "911 is an emergency number: give the extension of the agent's phone.",
        ),
        (
            NewAgent("c", PhoneKind.EXTENSION, "200"),
            "A phone of kind extension is called through a trunk: name it with --trunk.",
        ),
        (
            NewAgent("c", PhoneKind.CALL_IN, "127.0.0.1", pin="12"),
            "An agent who calls in needs a PIN of 4 to 12 digits.",
        ),
        (
            NewAgent(" ", PhoneKind.SIP_URI, "sip:a@b"),
            "An agent needs a name of 1 to 64 printable characters.",
        ),
    ],
)
async def test_what_cannot_be_an_agent(world: World, new: NewAgent, sentence: str) -> None:
    """
    Each impossible agent is refused with one sentence that says what to do.
    """
    await world.add_trunk(name="real", kind="real")
    async with world.db.acquire() as connection:
        await agents.add(connection, ANNA)

        with pytest.raises(UserError) as refused:
            await agents.add(connection, new)

    assert sentence == str(refused.value)


async def test_unknown_names_are_answered_with_known_ones(world: World) -> None:
    """
    A misspelled agent or campaign is answered with what there is or how to make it.
    """
    async with world.db.acquire() as connection:
        await agents.add(connection, ANNA)
        with pytest.raises(UserError, match="There is no agent 'ana': there are 'anna'"):
            await agents.get(connection, "ana")
        with pytest.raises(UserError, match="There is no campaign 'x': create it"):
            await agents.assign(connection, "anna", ["x"])
        await agents.remove(connection, "anna")
        assert [] == await agents.list_agents(connection)
