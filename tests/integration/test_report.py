"""The campaign report: recomputed from the attempts, with definitions that hold."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from campaigns.errors import UserError
from campaigns.model import AttemptState, new_id
from campaigns.stores import closings, ledger
from dialer import report_view
from dialer.cli import output
from dialer.report import CampaignReport, read_report
from tests.calls import World

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Pool

BEGAN = datetime.now(UTC) - timedelta(minutes=30)


def at(seconds: float) -> datetime:
    """Return the time *seconds* after the tests' campaign began to call."""
    return BEGAN + timedelta(seconds=seconds)


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a campaign that started a while ago."""
    return await World(pool).build(
        name="Spring", started_at=at(-60), created_at=at(-120), mode="predictive"
    )


async def ended(world: World, outcome: str, **columns: Any) -> UUID:
    """Add a call that has ended, ready to be closed."""
    times = {"claimed_at": at(0), "dialing_at": at(1), "ended_at": at(40)}
    return await world.add_call(
        state=AttemptState.ENDED, at=at(0), **{"outcome": outcome, **times, **columns}
    )


async def talk(world: World, *, joined_s: float, disposition: str = "sale") -> UUID:
    """Add a call on which an agent talked from *joined_s* on; it was answered at 10 s."""
    session = await world.add_agent(since=at(0))
    agent: UUID = (await world.session(session))["agent_id"]
    await ended(
        world,
        "answered",
        ringing_at=at(4),
        answered_at=at(10),
        greeting_ended_at=at(11),
        joined_at=at(joined_s),
        verdict="person",
        reservation="joined",
        agent_id=agent,
        agent_session_id=session,
        disposition=disposition,
        ended_by="them",
    )
    for state, seconds in (("ready", 0), ("reserved", 10), ("talking", 12), ("wrap_up", 40)):
        await event(world, agent, session, state, seconds)
    await event(world, agent, session, "paused", 50)
    await world.db.execute("DELETE FROM agent_session WHERE id = $1", session)
    await event(world, agent, session, "offline", 60)
    return agent


async def event(world: World, agent: UUID, session: UUID, state: str, seconds: float) -> None:
    """Add an agent event."""
    await world.db.execute(
        "INSERT INTO agent_event (id, agent_id, session_id, state, happened_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        new_id(),
        agent,
        session,
        state,
        at(seconds),
    )


async def close(world: World) -> None:
    """Close every ended call, as an engine does."""
    lease = await world.add_lease()
    async with world.db.acquire() as connection:
        await closings.close_ended(connection, lease, at=at(60))


async def report(world: World, **period: datetime) -> CampaignReport:
    """Return the report of the tests' campaign."""
    return await read_report(world.db, "Spring", **period)


async def test_campaign_without_calls(world: World) -> None:
    """
    Before the first call the report has zeroes and says "none yet" instead of dividing by them.
    """
    found = await report(world)
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(report_view.render(found))

    assert (0, None, 0) == (found.attempts, found.answer_rate, found.abandonment.rate_ppm)
    assert "none yet" in out.getvalue()


async def test_unknown_campaign(world: World) -> None:
    """
    A campaign that does not exist is a sentence.
    """
    with pytest.raises(UserError, match="There is no campaign named 'Autumn'"):
        await read_report(world.db, "Autumn")


async def test_totals_are_those_of_the_attempts(world: World) -> None:
    """
    Outcomes, verdicts, dispositions, trunks and open attempts are what the rows say.
    """
    await ended(world, "busy", sip_code=486)
    await ended(world, "busy", sip_code=486)
    await ended(world, "trunk_fault", sip_code=503)
    await ended(world, "answered", answered_at=at(10), verdict="machine", ended_by="us")
    await talk(world, joined_s=12)
    await world.add_call(state=AttemptState.RINGING, at=at(50))
    await close(world)

    found = await report(world)

    assert {"busy": 2, "answered": 2, "trunk_fault": 1} == found.outcomes
    assert {"machine": 1, "person": 1} == found.verdicts
    assert {"sale": 1} == found.dispositions
    assert [5] == list(found.trunks.values())
    assert (5, 5, 1, 1) == (found.attempts, found.dialed, found.still_open, found.joined)
    assert 4 == found.charged
    assert 2 / 5 == found.answer_rate
    assert 1 / 5 == found.contact_rate


async def test_abandonment_counts_calls_and_names_the_seeded(world: World) -> None:
    """
    A lost person and a late connect are abandoned; seeded history stands apart from the measured.
    """
    await ended(world, "answered", answered_at=at(10), verdict="person", ended_by="us")
    await talk(world, joined_s=14)
    await talk(world, joined_s=12)
    await close(world)
    async with world.db.acquire() as connection:
        await ledger.seed(
            connection, await world.campaign(), answered_by_person=500, abandoned=5, hour=at(0)
        )

    whole = await report(world)
    found = whole.abandonment
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(report_view.render(whole))

    assert "2 of 3 answered by a person" in [
        line.partition("66.67 %")[2].strip() for line in out.getvalue().splitlines()
    ]
    assert "7 of 503; within the limit of 3.00 %; no call stands behind 500" in out.getvalue()
    assert (3, 2) == (found.answered_by_person, found.abandoned)
    assert (500, 5) == (found.seeded_answered_by_person, found.seeded_abandoned)
    assert (666_667, 30_000) == (found.rate_ppm, found.limit_ppm)


async def test_times_run_from_the_profiles_clock(world: World) -> None:
    """
    Answer to agent runs from the answer, the connect time from the end of the greeting.
    """
    await talk(world, joined_s=12)
    await close(world)

    found = await report(world)

    assert (1, 2.0, 2.0) == (
        found.answer_to_agent.count,
        found.answer_to_agent.p50,
        found.answer_to_agent.longest,
    )
    assert 1.0 == found.connect_time.p95
    assert 6.0 == found.ring_time.p50
    assert 28.0 == found.talk_time.p50


async def test_agents_time_is_split_by_state(world: World) -> None:
    """
    An agent's time is divided by the events, and occupancy is busy time over duty time.
    """
    await talk(world, joined_s=12)
    await close(world)

    (agent,) = (await report(world)).agents

    assert (1, {"sale": 1}) == (agent.calls, agent.dispositions)
    assert (28.0, 10.0, 12.0, 10.0) == (
        agent.talking_s,
        agent.wrap_up_s,
        agent.ready_s,
        agent.paused_s,
    )
    assert 38 / 50 == agent.occupancy
    assert 38.0 == agent.handle_time_s


async def test_machine_given_to_an_agent_is_a_mistake_of_screening(world: World) -> None:
    """
    A call the agent called a machine is counted as such, and is no person in the ledger.
    """
    await talk(world, joined_s=12, disposition="machine")
    await close(world)

    found = await report(world)

    assert 1 == found.returned_machines
    assert 0 == found.abandonment.answered_by_person


async def test_period_takes_claims_from_since_to_before_until(world: World) -> None:
    """
    Attempts belong to the period in which they were claimed, its end not included.
    """
    await ended(world, "busy", claimed_at=at(0))
    await ended(world, "busy", claimed_at=at(20))
    await close(world)

    assert 2 == (await report(world)).attempts
    assert 1 == (await report(world, since=at(10))).attempts
    assert 1 == (await report(world, until=at(20))).attempts


async def test_leads_show_how_far_the_list_is(world: World) -> None:
    """
    Penetration is the share of leads that were dialed at least once.
    """
    await world.add_leads(3)
    await ended(world, "invalid_number", sip_code=404)
    await close(world)

    leads = (await report(world)).leads

    assert (4, 1, 3) == (leads.total, leads.attempted, leads.open)
    assert {"invalid_number": 1} == leads.done
    assert 0.25 == leads.penetration


async def test_json_holds_what_the_tables_show(world: World) -> None:
    """
    The JSON report can be read back and carries rates and definitions.
    """
    await talk(world, joined_s=12)
    await close(world)

    found = json.loads(json.dumps(output.plain(report_view.as_json(await report(world)))))

    assert "Spring" == found["campaign"]
    assert 1.0 == found["answer_rate"]
    assert 0 == found["abandonment"]["rate_ppm"]
    assert 0.76 == found["agents"][0]["occupancy"]
    assert "answered by a person" in found["definitions"]["abandonment"]
