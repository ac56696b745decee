"""A whole engine on a real Postgres, with scripted lines where the telephones are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from campaigns.model import Disposition, Outcome, Verdict
from campaigns.stores import campaigns, decisions, ledger, sessions
from campaigns.stores.attempts import DialOrder
from tests.calls import World
from tests.engines import engine_on, until
from tests.lines import Plan, ScriptedLines, running

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture(autouse=True)
def events() -> Iterator[list[Any]]:
    """Return what is logged meanwhile."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign that started a minute ago."""
    built = await World(pool).build()
    await pool.execute("UPDATE campaign SET started_at = clock_timestamp() - interval '1 minute'")
    await pool.execute("UPDATE trunk SET tokens_at = clock_timestamp()")
    return built


async def until_closed(world: World, count: int) -> None:
    """Wait until *count* attempts are closed."""

    async def closed() -> bool:
        return bool(await world.db.fetchval("SELECT count(*) >= $1 FROM attempt", count))

    await until(closed, f"the close of {count} attempts")


async def until_dialed(lines: ScriptedLines, count: int) -> None:
    """Wait until *count* calls were dialed."""

    async def dialed() -> bool:
        return len(lines.dialed) >= count

    await until(dialed, f"the start of {count} calls")


def every_kind(order: DialOrder) -> Plan:
    """Let the last digits of the number decide, so that every way to end occurs."""
    kind = int(order.dialed_number[-2:]) % 5
    if kind == 0:
        return Plan(Outcome.ANSWERED)
    if kind == 1:
        return Plan(Outcome.ANSWERED, verdict=Verdict.MACHINE)
    return Plan((Outcome.BUSY, Outcome.NO_ANSWER, Outcome.INVALID_NUMBER)[kind - 2])


async def agents(world: World, count: int) -> list[UUID]:
    """Log *count* agents in, ready now."""
    return [await world.add_agent(since=datetime.now(UTC)) for _ in range(count)]


async def test_every_lead_is_called_once_and_has_a_future(
    world: World, dsn: str, events: list[Any]
) -> None:
    """
    Sixty leads, three agents: each lead is called once, nothing is left open, the books balance.
    """
    await agents(world, 3)
    await world.add_leads(60)
    lines = ScriptedLines(world.db, world.process_id, every_kind)

    async with engine_on(dsn, world.db), running(lines):
        await until_closed(world, 60)

    called = Counter(order.lead_id for order in lines.dialed)
    assert 60 == len(called)
    assert {1} == set(called.values())
    assert 0 == await world.db.fetchval("SELECT count(*) FROM live_attempt")
    states = await world.db.fetch("SELECT state, done_reason FROM lead")
    assert {
        ("done", "disposition"): 12,
        ("done", "invalid_number"): 12,
        ("open", None): 36,
    } == Counter((row["state"], row["done_reason"]) for row in states)
    assert (12, 0) == (lines.joined, lines.abandoned)
    ended = [event for event in events if event["event"] == "attempt_ended"]
    assert 60 == len(ended)
    assert not [event for event in events if "5550" in str(event)]


async def test_progressive_never_calls_more_than_there_are_agents(world: World, dsn: str) -> None:
    """
    With one call per ready agent nobody is abandoned, however long the phones ring.
    """
    await agents(world, 4)
    await world.add_leads(40)
    lines = ScriptedLines(
        world.db, world.process_id, lambda _: Plan(Outcome.ANSWERED, ring_s=0.15, talk_s=0.1)
    )

    async with engine_on(dsn, world.db), running(lines):
        await until_closed(world, 40)

    assert 0 == lines.abandoned
    assert lines.most_up <= 4


async def test_dialing_stops_when_the_last_agent_leaves(world: World, dsn: str) -> None:
    """
    After the last agent has paused nothing more is dialed, and undialed claims go back.
    """
    everyone = await agents(world, 3)
    await world.add_leads(200)
    lines = ScriptedLines(world.db, world.process_id, lambda _: Plan(Outcome.BUSY, ring_s=0.05))

    async with engine_on(dsn, world.db), running(lines):
        await until_dialed(lines, 6)
        async with world.db.acquire() as connection:
            for session in everyone:
                await sessions.request_pause(
                    connection, session, reason="lunch", at=datetime.now(UTC)
                )

        async def decided_none() -> bool:
            async with world.db.acquire() as connection:
                last = await decisions.latest(connection, world.campaign_id)
            return last is not None and last.bound == "no_agents"

        await until(decided_none, "a decision without agents")

        async def all_closed() -> bool:
            return not await world.db.fetchval("SELECT count(*) FROM live_attempt")

        await until(all_closed, "the last close")
        dialed = len(lines.dialed)
        await asyncio.sleep(1.5)

    assert dialed == len(lines.dialed)
    assert 0 == await world.db.fetchval("SELECT count(*) FROM lead WHERE state = 'in_call'")


async def test_a_stopping_campaign_ends_when_its_calls_have(world: World, dsn: str) -> None:
    """
    Stopping lets calls in flight end, then the campaign is stopped and its lease given back.
    """
    await agents(world, 2)
    await world.add_leads(100)
    lines = ScriptedLines(world.db, world.process_id, lambda _: Plan(Outcome.BUSY, ring_s=0.2))
    name = (await world.campaign()).name

    async def stopped() -> bool:
        row = await world.campaign()
        return row.state == "stopped" and row.lease_holder is None

    async with engine_on(dsn, world.db), running(lines):
        await until_dialed(lines, 4)
        async with world.db.acquire() as connection:
            await campaigns.stop(connection, name)
        await until(stopped, "the stop")

    assert 0 == await world.db.fetchval("SELECT count(*) FROM live_attempt")


async def test_the_wrap_up_limit_brings_agents_back(world: World, dsn: str) -> None:
    """
    An agent who never says what came of a call is ready again after the limit.
    """
    await agents(world, 1)
    await world.add_leads(3)
    await world.db.execute("UPDATE campaign SET settings = '{\"wrap_up_limit_s\": 0.3}'::jsonb")
    lines = ScriptedLines(
        world.db, world.process_id, lambda _: Plan(Outcome.ANSWERED, disposition=None)
    )

    async with engine_on(dsn, world.db), running(lines):
        await until_closed(world, 3)

    rows = await world.db.fetch("SELECT disposition FROM attempt")
    assert {Disposition.NONE} == {row["disposition"] for row in rows}


async def test_predictive_dials_more_lines_than_agents_past_the_warm_up(
    world: World, dsn: str
) -> None:
    """
    With history behind the guard and few people answering, lines outnumber the agents.
    """
    await agents(world, 3)
    await world.add_leads(60)
    await world.db.execute("UPDATE campaign SET mode = 'predictive'")
    async with world.db.acquire() as connection:
        await ledger.seed(
            connection,
            await world.campaign(),
            answered_by_person=5000,
            abandoned=50,
            hour=datetime.now(UTC),
        )
    lines = ScriptedLines(world.db, world.process_id, _few_answer)

    async with engine_on(dsn, world.db), running(lines):
        await until_closed(world, 60)

    assert lines.most_up > 3
    async with world.db.acquire() as connection:
        stored = await decisions.since(connection, world.campaign_id)
    assert [d.originate for d in stored] == [d.replay().originate for d in stored]


def _few_answer(order: DialOrder) -> Plan:
    if int(order.dialed_number[-2:]) % 10:
        return Plan(Outcome.NO_ANSWER, ring_s=1.5)
    return Plan(Outcome.ANSWERED, ring_s=1.5)


async def test_a_broken_trunk_is_left_alone(world: World, dsn: str, events: list[Any]) -> None:
    """
    Five faults in a row suspend the trunk: dialing stops, leads stay open and uncharged.
    """
    await agents(world, 2)
    await world.add_leads(100)
    lines = ScriptedLines(world.db, world.process_id, lambda _: Plan(Outcome.TRUNK_FAULT))

    async def suspended() -> Any:
        return await world.db.fetchval("SELECT suspended_reason FROM trunk")

    async with engine_on(dsn, world.db), running(lines):
        reason = await until(suspended, "the suspension")
        dialed = len(lines.dialed)
        await asyncio.sleep(1.5)

    assert "5 calls in a row failed through the trunk's fault" == reason
    assert len(lines.dialed) <= dialed + 2
    assert not await world.db.fetchval("SELECT bool_or(charged) FROM attempt")
    assert "trunk_suspended" in {event["event"] for event in events}


async def test_another_engine_takes_over_where_one_died(world: World, dsn: str) -> None:
    """
    A second engine continues after the first one's lease ran out, and no lead is called twice.
    """
    await agents(world, 3)
    await world.add_leads(60)
    lines = ScriptedLines(world.db, world.process_id, lambda _: Plan(Outcome.NO_ANSWER, ring_s=0.1))
    async with running(lines), engine_on(dsn, world.db):
        await until_dialed(lines, 11)
        # The first engine is only slow: its lease is taken from it, as if it had run out.
        stolen = await world.add_lease()
        await world.db.execute("UPDATE campaign SET lease_until = clock_timestamp()")
        async with engine_on(dsn, world.db):
            await until_closed(world, 60)

    epoch = await world.db.fetchval("SELECT max(lease_epoch) FROM campaign")
    assert epoch > stolen.epoch
    called = Counter(order.lead_id for order in lines.dialed)
    assert (60, {1}) == (len(called), set(called.values()))


async def test_two_campaigns_share_agents_without_counting_them_twice(
    world: World, dsn: str
) -> None:
    """
    Agents of two progressive campaigns are never promised to two calls at once.
    """
    other = await world.add_campaign(started_at=datetime.now(UTC))
    everyone = await agents(world, 4)
    for session in everyone:
        await world.db.execute(
            "INSERT INTO agent_campaign (agent_id, campaign_id)"
            " SELECT agent_id, $2 FROM agent_session WHERE id = $1",
            session,
            other,
        )
    await world.add_leads(60)
    lines = ScriptedLines(
        world.db, world.process_id, lambda _: Plan(Outcome.ANSWERED, ring_s=0.1, talk_s=0.1)
    )

    async with engine_on(dsn, world.db), running(lines):
        await until_closed(world, 60)

    by_campaign = await world.db.fetch("SELECT campaign_id, count(*) FROM attempt GROUP BY 1")
    assert 2 == len(by_campaign)
    assert 0 == lines.abandoned
