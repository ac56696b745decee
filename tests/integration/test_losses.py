"""Losses that no pacer can prevent are counted apart, from the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.model import AgentState, AttemptState
from campaigns.stores import closings, sessions
from campaigns.stores.losses import UNANNOUNCED, Losses, losses
from dialer.api.desk import SCREEN_LOST
from dialer.engine import sweeps
from dialer.lines.agents import ON_HOLD, SILENT
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a campaign."""
    return await World(pool).build()


async def lose(world: World, *, at: float, **columns: Any) -> None:
    """Add a call a person answered *at* seconds from now that nobody took in time."""
    values: dict[str, Any] = {
        "state": AttemptState.ENDED,
        "outcome": "answered",
        "verdict": "person",
        "ended_by": "us",
        "dialing_at": later(at - 8),
        "answered_at": later(at),
        "ended_at": later(at + 5),
    } | columns
    await world.add_call(at=later(at - 8), **values)


async def test_who_was_lost_to_what(world: World) -> None:
    """
    No agent, a phone that died while it rang, an interrupted call, a join too late: each its own.
    """
    gone = await world.add_agent()
    async with world.db.acquire() as connection, connection.transaction():
        await sessions.move(
            connection,
            [sessions.Move(gone, AgentState.OFFLINE, later(98), "phone hung up")],
        )
    await lose(world, at=50)
    await lose(world, at=100)  # the phone died two seconds before
    await lose(world, at=101)  # one phone explains one loss
    await lose(world, at=200, outcome="interrupted", ended_by="network")
    await lose(
        world, at=300, reserved_at=later(301), joined_at=later(303), disposition="not_interested"
    )
    lease = await world.add_lease()
    async with world.db.acquire() as connection:
        await closings.close_ended(connection, lease, at=later(400))
        found = await losses(
            connection, world.campaign_id, since=NOW, until=NOW + timedelta(hours=1)
        )

    assert Losses(no_agent=2, agent_lost=1, interrupted=1, late=1) == found
    assert 3 == found.unpreventable


def test_unannounced_reasons_are_those_that_are_written() -> None:
    """
    The reasons the report knows are the ones the processes write.
    """
    written = {ON_HOLD, SILENT, SCREEN_LOST, sweeps.LINES_DIED}

    assert written <= set(UNANNOUNCED)
