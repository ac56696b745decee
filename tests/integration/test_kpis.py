"""Key figures and timesheets come out of attempts and agent events, split as asked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.stores import performance
from campaigns.stores.performance import By
from dialer import charts, kpis
from tests.integration.test_records import NUMBER, add_record
from tests.lists import NOON, Floor, add_lead, open_floor

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from campaigns.stores.database import Connection, Pool

DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=5))


async def add_agent(connection: Connection, floor: Floor, name: str) -> UUID:
    """Add an agent of the campaign."""
    agent = new_id()
    await connection.execute(
        "INSERT INTO agent (id, name, phone_kind, phone_address, token_hash)"
        " VALUES ($1, $2, 'sip_uri', 'sip:a@127.0.0.1', '')",
        agent,
        name,
    )
    await connection.execute(
        "INSERT INTO agent_campaign (agent_id, campaign_id) VALUES ($1, $2)",
        agent,
        floor.campaign.id,
    )
    return agent


async def add_shift(
    connection: Connection, agent: UUID, *states: tuple[int, str, str | None, UUID | None]
) -> None:
    """Add a session that is over: at so many minutes after noon, a state, its reason, its call."""
    session = new_id()
    for minute, state, reason, attempt in states:
        await connection.execute(
            "INSERT INTO agent_event (id, agent_id, session_id, state, reason, attempt_id,"
            " happened_at) VALUES ($1, $2, $3, $4::agent_state, $5, $6, $7)",
            new_id(),
            agent,
            session,
            state,
            reason,
            attempt,
            NOON + timedelta(minutes=minute),
        )


@pytest.fixture
async def floor(pool: Pool) -> Floor:
    """Return a floor after an hour: two leads, four calls, one sale by Ana, one abandoned call."""
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        ana = await add_agent(connection, floor, "ana")
        one = await add_lead(connection, floor.list_id, NUMBER)
        two = await add_lead(connection, floor.list_id, "+12125550101")
        await add_lead(connection, floor.list_id, "+12125550102")
        nobody = {"answered_by_person": False, "answered_at": None, "outcome": "busy"}
        await add_record(connection, floor, one, NOON, **nobody)
        at = NOON + timedelta(minutes=10)
        sale = await add_record(
            connection,
            floor,
            one,
            at,
            joined_at=at + timedelta(seconds=1),
            ended_at=at + timedelta(seconds=301),
            agent_id=ana,
            disposition="sale",
        )
        await add_record(connection, floor, two, NOON + timedelta(minutes=20), abandoned=True)
        await add_record(connection, floor, two, NOON + timedelta(minutes=70), **nobody)
        await add_shift(
            connection,
            ana,
            (0, "ready", None, None),
            (10, "talking", None, sale),
            (15, "wrap_up", None, sale),
            (20, "ready", None, None),
            (50, "paused", "lunch", None),
            (80, "offline", None, None),
        )
    return floor


async def figures(pool: Pool, by: By) -> dict[str, dict[str, float | None]]:
    """Return the figures of each part."""
    async with pool.acquire() as connection:
        sums = await performance.read(connection, by, campaign_id=None, since=DAY[0], until=DAY[1])
    return {row.name: dict(row.values) for row in kpis.rows(sums, by)}


async def test_total_follows_its_formulas(pool: Pool, floor: Floor) -> None:
    """
    Each figure is its numerator over its denominator, worked out by hand.
    """
    found = (await figures(pool, By.TOTAL))["all"]

    expected = {
        "occupancy": 600 / (600 + 2400),
        "logged_in_share": 3000 / 4800,
        "answer_rate": 2 / 4,
        "contact_rate": 2 / 4,
        "right_party_rate": 1 / 4,
        "conversion": 1.0,
        "conversion_per_attempt": 1 / 4,
        "handle_time": 600.0,
        "average_duration": 300.0,
        "calls_per_agent_hour": 1 / (3000 / 3600),
        "calls_per_account": 4 / 2,
        "abandonment": 1 / 2,
        "speed_of_answer": 1.0,
        "within_two_seconds": 1.0,
        "first_call_close": 1.0,
        "penetration": 2 / 3,
    }
    assert expected == {name: pytest.approx(value) for name, value in found.items()}


async def test_parts_add_up(pool: Pool, floor: Floor) -> None:
    """
    Hours, agents, lists and campaigns each hold what is theirs; what they cannot know is None.
    """
    hours = await figures(pool, By.HOUR)
    agents = await figures(pool, By.AGENT)
    lists = await figures(pool, By.LIST)
    whole = await figures(pool, By.CAMPAIGN)

    assert ["2026-11-18 18:00", "2026-11-18 19:00"] == list(hours)
    assert (0.0, None) == (
        hours["2026-11-18 19:00"]["answer_rate"],
        hours["2026-11-18 19:00"]["occupancy"],
    )
    assert (0.2, None) == (agents["ana"]["occupancy"], agents["ana"]["contact_rate"])
    assert (2 / 3, None) == (lists["list"]["penetration"], lists["list"]["occupancy"])
    assert (await figures(pool, By.TOTAL))["all"] == whole["spring"]


async def test_timesheet_splits_pauses_by_code_and_days_at_midnight(
    pool: Pool, floor: Floor
) -> None:
    """
    A shift over midnight is two days, and every second of it is in a state.
    """
    async with pool.acquire() as connection:
        bo = await add_agent(connection, floor, "bo")
        await add_shift(
            connection,
            bo,
            (300, "ready", None, None),
            (360, "paused", "coffee", None),
            (420, "offline", None, None),
        )
        sheets = await performance.timesheets(
            connection,
            campaign_id=floor.campaign.id,
            since=NOON,
            until=NOON + timedelta(days=1),
            zone="America/New_York",
        )
        at_midnight = await performance.timesheets(
            connection, campaign_id=None, since=NOON, until=NOON + timedelta(days=1)
        )

    ana = sheets[0]
    assert ("ana", "2026-11-18", 4800.0) == (ana.agent, ana.day, ana.logged_in_s)
    assert {"lunch": 1800.0} == ana.pauses
    assert {"talking": 300.0, "wrap_up": 300.0, "ready": 2400.0, "paused": 1800.0} == ana.states
    assert [("2026-11-18", {"ready": 3600.0}), ("2026-11-19", {"paused": 3600.0})] == [
        (sheet.day, sheet.states) for sheet in at_midnight if sheet.agent == "bo"
    ]


async def test_targets_mark_who_misses_them(pool: Pool, floor: Floor) -> None:
    """
    A target is a floor, or a ceiling where less is better; a figure nobody knows misses none.
    """
    goals = [
        kpis.parse_goal(text) for text in ("conversion=5%", "handle_time=300", "penetration=1")
    ]
    async with pool.acquire() as connection:
        sums = await performance.read(
            connection, By.AGENT, campaign_id=None, since=DAY[0], until=DAY[1]
        )

    [row] = kpis.rows(sums, By.AGENT, goals)

    assert frozenset({"handle_time"}) == row.missed
    with pytest.raises(UserError, match="FIGURE=VALUE"):
        kpis.parse_goal("conversion")


async def test_charts_are_png(pool: Pool, floor: Floor, tmp_path: Path) -> None:
    """
    Figures and hours can be drawn; nothing to draw is one sentence.
    """
    path = tmp_path / "a.png"

    charts.bars(path, {"ana": 0.2, "bo": None}, title="Occupancy", unit=kpis.Unit.SHARE)
    first = path.read_bytes()
    charts.stacks(path, {"ana": {"ready": 3600.0}}, parts=("ready", "paused"), title="Hours")

    assert first[:8] == path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UserError, match="nothing to draw"):
        charts.bars(path, {}, title="", unit=kpis.Unit.SHARE)
