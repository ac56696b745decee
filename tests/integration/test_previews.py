"""Preview: agents are shown leads and start the calls; what nobody decides goes back untouched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.model import AgentState, CampaignSettings, Outcome, PreviewEnd
from campaigns.stores import (
    attempts,
    campaigns,
    previews,
    sessions,
    snapshots,
    suppressions,
    takeover,
    withdrawals,
)
from campaigns.stores.snapshots import Known
from dialer.engine import previews as engine_previews
from dialer.engine import sweeps, why
from dialer.notify import Notifier
from pacing import History
from tests.calls import World
from tests.desks import Server, api, give_token
from tests.engines import engine_on, until
from tests.lines import Plan, ScriptedLines, running

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool
    from campaigns.stores.leases import Lease

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running preview campaign."""
    built = await World(pool).build(
        name="Care", mode="preview", settings=CampaignSettings().model_dump(mode="json")
    )
    await pool.execute("UPDATE trunk SET tokens_at = clock_timestamp()")
    return built


@pytest.fixture
async def server(dsn: str, pool: Pool) -> AsyncIterator[Server]:
    """Yield the API on a port of its own."""
    async with api(dsn, pool) as running_server:
        yield running_server


@pytest.fixture
def desk(world: World, dsn: str) -> Desk:
    """Return an engine's part in preview, turn by turn."""
    return Desk(world, Notifier(dsn))


class Desk:
    """Offers and settles previews as a campaign's run does, at a time the test chooses."""

    def __init__(self, world: World, notifier: Notifier) -> None:
        self.world = world
        self.lease: Lease | None = None
        self._notifier = notifier

    async def turn(self, after_s: float = 0.0) -> list[UUID]:
        """Settle what is due in *after_s* seconds, show leads to ready agents; return the calls."""
        self.lease = self.lease or await self.world.add_lease()
        now = datetime.now(UTC) + timedelta(seconds=after_s)
        async with self.world.db.acquire() as connection:
            view = await snapshots.take(
                connection, self.world.campaign_id, Known(History()), now=now
            )
            assert view is not None
            await engine_previews.settle(connection, self.lease, view, self._notifier, now=now)
            async with connection.transaction():
                batch = await engine_previews.offer(connection, self.lease, view, today={}, now=now)
        return [claimed.attempt_id for claimed in batch.claimed]

    async def order(self, session: UUID, attempt: UUID) -> previews.Ordered | None:
        """Have the agent dial."""
        async with self.world.db.acquire() as connection:
            return await previews.order(
                connection, session, attempt, at=datetime.now(UTC), by="agent"
            )

    async def dialed(self) -> list[attempts.DialOrder]:
        """Return what a line process would dial now."""
        async with self.world.db.acquire() as connection:
            return await attempts.take_claimed(
                connection, self.world.process_id, at=datetime.now(UTC), limit=10
            )

    async def lead(self, lead_id: UUID) -> tuple[str, bool]:
        """Return a lead's state, and whether it may be called now as far as its time goes."""
        row = await self.world.db.fetchrow(
            "SELECT state, next_call_at <= clock_timestamp() AS due FROM lead WHERE id = $1",
            lead_id,
        )
        assert row is not None
        return row["state"], row["due"]


async def configure(world: World, **settings: Any) -> None:
    """Change the campaign's settings."""
    await world.db.execute(
        "UPDATE campaign SET settings = $1", CampaignSettings(**settings).model_dump(mode="json")
    )


async def test_agents_dial_and_skip_on_their_screens(
    world: World, server: Server, dsn: str
) -> None:
    """
    Each ready agent is shown a lead with its fields; who dials gets that call, who skips another.
    """
    tokens = []
    for name in ("anna", "bert"):
        session_id = await world.add_agent(since=datetime.now(UTC))
        agent_id = (await world.session(session_id))["agent_id"]
        tokens.append(await give_token(world.db, agent_id, f"the token of {name}"))
    await world.add_leads(4)
    await world.db.execute("UPDATE lead SET name = 'Ann Example', fields = '{\"city\": \"Reno\"}'")
    lines = ScriptedLines(world.db, world.process_id, lambda _: Plan(Outcome.ANSWERED, talk_s=2))

    async with engine_on(dsn, world.db), running(lines):
        anna, bert = [await server.screen(token) for token in tokens]
        hers = await anna.told("call")
        his = await bert.told("call")
        reasons = await explained(world)
        assert not lines.dialed

        await anna.say("dial", attempt_id=hers["attempt_id"])
        talk = await anna.told("state", state="talking")
        await bert.say("skip", attempt_id=his["attempt_id"], reason="known customer")
        other = await bert.told("call")
        await bert.say("skip", attempt_id=his["attempt_id"])
        refused = await bert.told("error")

    assert ("Ann Example", {"city": "Reno"}) == (hers["lead"]["name"], hers["lead"]["fields"])
    assert hers["preview_until"] > talk["now"]
    assert hers["attempt_id"] == str(lines.dialed[0].attempt_id)
    assert 1 == len(lines.dialed)
    assert his["lead"]["number"] != other["lead"]["number"]
    assert "not_now" == refused["code"]
    assert ["Waiting for agents to dial: 2 agents see a lead each and decide."] == reasons
    kept = await world.db.fetchval(
        "SELECT detail->>'reason' FROM call_event WHERE kind = 'returned' AND attempt_id = $1",
        UUID(his["attempt_id"]),
    )
    assert "skipped: known customer" == kept
    assert 1 == await world.db.fetchval(
        "SELECT count(*) FROM lead WHERE state = 'open'"
        " AND next_call_at > clock_timestamp() + interval '9 minutes'"
    )


async def explained(world: World) -> list[str]:
    """Return why the campaign does or does not call."""

    async def all_see_a_lead() -> list[str]:
        async with world.db.acquire() as connection:
            found = await why.explain(connection, await campaigns.get(connection, "Care"))
        return [str(reason) for reason in found if reason.cause is why.Cause.PREVIEW]

    found: list[str] = await until(all_see_a_lead, "the reason")
    return found


async def test_nothing_is_dialed_before_the_agents_word(world: World, desk: Desk) -> None:
    """
    A shown lead is not dialed, nor given back as forgotten, however long its agent reads.
    """
    session = await world.add_agent()
    await world.add_leads(2)
    (attempt,) = await desk.turn()

    assert [] == await desk.dialed()
    async with world.db.acquire() as connection:
        await sweeps.calls(connection, world.process_id, now=datetime.now(UTC) + timedelta(20))
    assert "reserved" == (await world.session(session))["state"]

    ordered = await desk.order(session, attempt)
    (order,) = await desk.dialed()

    assert ordered == previews.Ordered(world.process_id)
    assert (attempt, session) == (order.attempt_id, order.agent_session_id)
    assert None is await desk.order(session, attempt)


@pytest.mark.parametrize("end", list(PreviewEnd))
async def test_time_limit_decides(world: World, desk: Desk, end: PreviewEnd) -> None:
    """
    An agent who does not decide in time has the lead dialed or taken away, as the campaign says.
    """
    await configure(world, preview_time_s=30, preview_end=end)
    session = await world.add_agent()
    (lead,) = await world.add_leads(1)
    (attempt,) = await desk.turn()
    await desk.turn(after_s=29)
    assert [] == await desk.dialed()

    await desk.turn(after_s=31)

    if end is PreviewEnd.DIAL:
        assert [attempt] == [order.attempt_id for order in await desk.dialed()]
    else:
        assert [] == await desk.dialed()
        assert ("open", False) == await desk.lead(lead)
        assert "ready" == (await world.session(session))["state"]


async def test_gate_judges_again_when_the_agent_dials(world: World, desk: Desk) -> None:
    """
    A person who asked not to be called while the agent was reading is not called.
    """
    session = await world.add_agent()
    (lead,) = await world.add_leads(1)
    (attempt,) = await desk.turn()
    number = await world.db.fetchval("SELECT number FROM lead_number")
    async with world.db.acquire() as connection:
        await suppressions.add(connection, [number], seller="*", source="test")

    ordered = await desk.order(session, attempt)

    assert ordered is not None
    assert ("DNC",) == ordered.refused
    assert [] == await desk.dialed()
    assert {} == await world.call(attempt)
    assert "ready" == (await world.session(session))["state"]
    assert "open" == (await desk.lead(lead))[0]


Leave = Callable[["Connection", World, UUID], Awaitable[object]]


async def _pauses(connection: Connection, _: World, session: UUID) -> object:
    return await sessions.request_pause(connection, session, reason="lunch", at=datetime.now(UTC))


async def _logs_out(connection: Connection, _: World, session: UUID) -> object:
    return await sessions.log_out(connection, session, at=datetime.now(UTC))


async def _loses_the_phone(connection: Connection, _: World, session: UUID) -> object:
    return await sessions.phone_lost(
        connection, session, at=datetime.now(UTC), reason="hung up", to=AgentState.PAUSED, gone=True
    )


async def _loses_the_line_process(connection: Connection, world: World, _: UUID) -> object:
    successor = await world.add_process()
    return await takeover.close_books(connection, world.process_id, successor, at=datetime.now(UTC))


async def _has_the_campaign_stopped(connection: Connection, world: World, _: UUID) -> object:
    return await withdrawals.emergency_stop(connection, "Care", at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("leaves", "state"),
    [
        (_pauses, "paused"),
        (_logs_out, None),
        (_loses_the_phone, "paused"),
        (_loses_the_line_process, "offline"),
        (_has_the_campaign_stopped, "ready"),
    ],
)
async def test_lead_goes_back_untouched_when_its_agent_leaves(
    world: World, desk: Desk, leaves: Leave, state: str | None
) -> None:
    """
    Whatever takes the agent away, the lead is callable as before, no attempt was charged.
    """
    session = await world.add_agent()
    (lead,) = await world.add_leads(1)
    (attempt,) = await desk.turn()

    async with world.db.acquire() as connection:
        await leaves(connection, world, session)
    await desk.turn()

    assert {} == await world.call(attempt)
    assert ("open", True) == await desk.lead(lead)
    assert state == (await world.session(session)).get("state")
    assert 0 == await world.db.fetchval("SELECT count(*) FROM attempt")
    assert "returned" == (await world.kinds(attempt))[-1]


async def test_two_engines_show_an_agent_one_lead(world: World, desk: Desk) -> None:
    """
    An agent of two preview campaigns is shown one lead, whichever engine comes first.
    """
    other = await world.add_campaign(mode="preview")
    session = await world.add_agent()
    await world.add_leads(4)
    agent_id = (await world.session(session))["agent_id"]
    await world.db.execute(
        "INSERT INTO agent_campaign (agent_id, campaign_id) VALUES ($1, $2)", agent_id, other
    )
    rival = Desk(world, desk._notifier)  # noqa: SLF001 - the same one
    lease = await world.add_lease(other)

    async def offer_elsewhere() -> list[UUID]:
        async with world.db.acquire() as connection:
            view = await snapshots.take(connection, other, Known(History()), now=datetime.now(UTC))
            assert view is not None
            async with connection.transaction():
                batch = await engine_previews.offer(
                    connection, lease, view, today={}, now=datetime.now(UTC)
                )
        return [claimed.attempt_id for claimed in batch.claimed]

    shown = await asyncio.gather(rival.turn(), offer_elsewhere())

    assert 1 == sum(map(len, shown))
    assert 1 == await world.db.fetchval("SELECT count(*) FROM live_attempt")
