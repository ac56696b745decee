"""Ended attempts become records: the lead's future, the ledger's counts, the epoch's guard."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.errors import LeaseLost
from campaigns.model import AttemptState, DoneReason
from campaigns.rules.retry import CallAgain, NeverAgain
from campaigns.stores import closings, withdrawals
from campaigns.stores.closings import ClosedAttempt
from campaigns.stores.leases import Lease
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def ended(world: World, outcome: str, **columns: Any) -> UUID:
    """Return a call that has just ended."""
    values: dict[str, Any] = {
        "outcome": outcome,
        "dialing_at": NOW,
        "ended_at": later(20),
    } | columns
    return await world.add_call(state=AttemptState.ENDED, **values)


async def close(world: World, lease: Lease, at: float = 30) -> list[ClosedAttempt]:
    """Close what can be closed."""
    async with world.db.acquire() as connection:
        return await closings.close_ended(connection, lease, at=later(at))


async def test_no_answer_waits_for_its_retry(world: World) -> None:
    """
    An unanswered call leaves the live table, is charged, and its lead is open again later.
    """
    lease = await world.add_lease()
    call = await ended(world, "no_answer", ringing_at=later(1))

    (closed,) = await close(world, lease)

    assert call == closed.attempt_id
    assert {} == await world.call(call)
    row = await world.db.fetchrow("SELECT * FROM attempt WHERE id = $1", call)
    assert row is not None
    assert (True, False, False) == (row["charged"], row["answered_by_person"], row["abandoned"])
    lead = await world.db.fetchrow("SELECT * FROM lead WHERE id = $1", closed.lead_id)
    assert lead is not None
    assert ("open", later(30) + timedelta(hours=3)) == (lead["state"], lead["next_call_at"])
    assert "closed" == (await world.kinds(call))[-1]


async def test_a_talk_is_reached_and_counts_as_answered(world: World) -> None:
    """
    A person who talked with an agent is done, and is one H in the ledger.
    """
    lease = await world.add_lease()
    session = await world.add_agent()
    agent = (await world.session(session))["agent_id"]
    await ended(
        world,
        "answered",
        answered_at=later(5),
        joined_at=later(6),
        reservation="joined",
        agent_id=agent,
        agent_session_id=session,
        disposition="sale",
        verdict="person",
    )

    (closed,) = await close(world, lease)

    assert NeverAgain(DoneReason.DISPOSITION, charged=True) == closed.result
    assert (True, False) == (closed.count.answered_by_person, closed.count.abandoned)


async def test_a_person_nobody_spoke_to_is_abandoned(world: World) -> None:
    """
    A person answered and no agent came: one A, and a retry much later.
    """
    lease = await world.add_lease()
    await ended(world, "answered", answered_at=later(5), verdict="person", ended_by="us")

    (closed,) = await close(world, lease)

    assert (True, True) == (closed.count.answered_by_person, closed.count.abandoned)
    assert isinstance(closed.result, CallAgain)


async def test_wrap_up_keeps_an_attempt_open(world: World) -> None:
    """
    While the agent has not said what came of the call, the attempt is not closed.
    """
    lease = await world.add_lease()
    session = await world.add_agent()
    call = await ended(
        world,
        "answered",
        answered_at=later(5),
        joined_at=later(6),
        reservation="joined",
        agent_session_id=session,
    )

    assert [] == await close(world, lease)

    await world.db.execute("UPDATE live_attempt SET disposition = 'none' WHERE id = $1", call)
    assert 1 == len(await close(world, lease))


async def test_do_not_call_suppresses_the_number(world: World) -> None:
    """
    The agent's "do not call" puts the number on the seller's list in the same transaction.
    """
    lease = await world.add_lease()
    session = await world.add_agent()
    await ended(
        world,
        "answered",
        answered_at=later(5),
        joined_at=later(6),
        reservation="joined",
        agent_session_id=session,
        disposition="do_not_call",
    )

    (closed,) = await close(world, lease)

    sellers = await world.db.fetch(
        "SELECT seller FROM suppression WHERE number = $1", closed.number
    )
    assert ["Seller"] == [row["seller"] for row in sellers]


async def test_a_stale_engine_closes_nothing(world: World) -> None:
    """
    After another engine took the lease, the old one's close raises and changes nothing.
    """
    old = await world.add_lease()
    await world.add_lease()
    call = await ended(world, "busy")

    with pytest.raises(LeaseLost):
        await close(world, old)

    assert "ended" == (await world.call(call))["state"]


async def test_closers_at_once_close_each_attempt_once(world: World) -> None:
    """
    Four closers of one engine share forty attempts without a double or a gap.
    """
    lease = await world.add_lease()
    calls = {await ended(world, "busy") for _ in range(40)}

    closed = await asyncio.gather(*(close(world, lease) for _ in range(4)))

    ids = [attempt.attempt_id for batch in closed for attempt in batch]
    assert 40 == len(ids)
    assert calls == set(ids)


async def test_claims_nobody_dialed_go_back_untouched(world: World) -> None:
    """
    A returned claim leaves its lead open and uncharged; a call being dialed stays.
    """
    claimed = await world.add_call()
    dialing = await world.add_call(state=AttemptState.DIALING)
    lead = (await world.call(claimed))["lead_id"]

    async with world.db.acquire() as connection:
        returned = await withdrawals.return_claimed(
            connection, at=later(1), reason="no agent", campaign_id=world.campaign_id
        )

    assert 1 == returned
    assert {} == await world.call(claimed)
    assert "dialing" == (await world.call(dialing))["state"]
    assert "open" == await world.db.fetchval("SELECT state FROM lead WHERE id = $1", lead)
    assert ["returned"] == await world.kinds(claimed)


async def test_emergency_stop_cancels_what_rings(world: World) -> None:
    """
    Claims go back, ringing calls get a cancel command, conversations go on.
    """
    await world.add_call()
    ringing = await world.add_call(state=AttemptState.RINGING)
    talking = await world.add_call(state=AttemptState.BRIDGED)
    name = (await world.campaign()).name

    async with world.db.acquire() as connection:
        stopped = await withdrawals.emergency_stop(connection, name, at=later(1))

    assert (1, 1, {world.process_id}) == (
        stopped.returned,
        stopped.cancelling,
        set(stopped.processes),
    )
    commands = await world.db.fetch("SELECT kind, attempt_id FROM line_command")
    assert [("cancel", ringing)] == [(row["kind"], row["attempt_id"]) for row in commands]
    assert "bridged" == (await world.call(talking))["state"]
    assert "stopping" == (await world.campaign()).state


async def test_a_dead_line_process_leaves_nothing_open(world: World) -> None:
    """
    Its claims go back, its calls end as interrupted, its agents are offline with the reason.
    """
    lease = await world.add_lease()
    idle = await world.add_agent()
    busy = await world.add_agent()
    claimed = await world.add_call()
    ringing = await world.add_call(state=AttemptState.RINGING)
    talking = await world.add_call(
        state=AttemptState.BRIDGED, reservation="joined", joined_at=later(1), agent_session_id=busy
    )
    await put_in_call(world, busy, talking)

    async with world.db.acquire() as connection:
        ended_calls = await withdrawals.interrupt(
            connection,
            world.process_id,
            at=later(9),
            by=lease.holder,
            reason="line process ended",
        )

    assert {ringing, talking} == set(ended_calls)
    assert {} == await world.call(claimed)
    for session in (idle, busy):
        row = await world.session(session)
        assert ("offline", "line process ended") == (row["state"], row["pause_reason"])
    outcomes = [attempt.outcome for attempt in await close(world, lease)]
    assert ["interrupted", "interrupted"] == outcomes
    assert 0 == await world.db.fetchval("SELECT count(*) FROM live_attempt")


async def test_a_call_its_line_process_lost_is_ended(world: World) -> None:
    """
    A call far past its own timers ends as interrupted; one within them is left alone.
    """
    engine = await world.add_process(kind="engine")
    lost = await world.add_call(state=AttemptState.DIALING, at=NOW)
    talking = await world.add_call(state=AttemptState.BRIDGED, at=NOW)
    fresh = await world.add_call(state=AttemptState.RINGING, at=later(40))

    async with world.db.acquire() as connection:
        ended_calls = await withdrawals.interrupt_overdue(connection, at=later(60), by=engine)

    assert [lost] == ended_calls
    assert "interrupted" == (await world.call(lost))["outcome"]
    assert ["bridged", "ringing"] == [(await world.call(c))["state"] for c in (talking, fresh)]


async def put_in_call(world: World, session: UUID, call: UUID) -> None:
    """Have the session's agent talk on the call."""
    await world.db.execute(
        "UPDATE agent_session SET state = 'talking', attempt_id = $2 WHERE id = $1", session, call
    )
