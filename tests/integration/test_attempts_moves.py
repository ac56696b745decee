"""Live attempts moved by a line process: batches, guards, events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaigns.lifecycle import CallEventKind, IllegalTransition
from campaigns.model import AttemptState, EndedBy, Outcome, Screening, Verdict, new_id
from campaigns.stores import attempts, verdicts
from campaigns.stores.attempts import Ending, Step
from campaigns.stores.verdicts import Finding
from tests.calls import NOW, World, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]

BUSY = Ending(Outcome.BUSY, EndedBy.THEM, sip_code=486)


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def test_claimed_attempts_are_taken_once(world: World) -> None:
    """
    Eight takers at once share twenty claims without a double, and each is dialing with its event.
    """
    calls = {await world.add_call() for _ in range(20)}

    async def take() -> list[attempts.DialOrder]:
        async with world.db.acquire() as connection:
            return await attempts.take_claimed(connection, world.process_id, at=later(1), limit=5)

    taken = [
        order for orders in await asyncio.gather(*(take() for _ in range(8))) for order in orders
    ]

    assert calls == {order.attempt_id for order in taken}
    assert 20 == len(taken)
    for call in calls:
        assert "dialing" == (await world.call(call))["state"]
        assert ["dialing"] == await world.kinds(call)


async def test_claims_of_another_process_are_not_taken(world: World) -> None:
    """
    A line process takes only what is addressed to it, and no more than it asked for.
    """
    other = await world.add_process()
    await world.add_call(process_id=other)
    mine = [await world.add_call(at=later(index)) for index in range(3)]

    async with world.db.acquire() as connection:
        taken = await attempts.take_claimed(connection, world.process_id, at=later(5), limit=2)

    assert mine[:2] == [order.attempt_id for order in taken]


async def test_a_whole_life_in_one_batch(world: World) -> None:
    """
    Ringing, answered and ended in one batch leave every time and every event.
    """
    call = await world.add_call(state=AttemptState.DIALING)
    steps = [
        Step(call, later(1), kind=CallEventKind.EARLY_MEDIA),
        Step(call, later(2), AttemptState.RINGING),
        Step(call, later(9), AttemptState.ANSWERED, listening=True),
        Step(call, later(12), AttemptState.ENDED, ending=Ending(Outcome.ANSWERED, EndedBy.THEM)),
    ]

    async with world.db.acquire() as connection:
        moved = await attempts.advance(connection, world.process_id, steps)

    assert {call} == moved
    row = await world.call(call)
    assert ("ended", "answered", "them") == (row["state"], row["outcome"], row["ended_by"])
    assert (later(2), later(9), later(12)) == (
        row["ringing_at"],
        row["answered_at"],
        row["ended_at"],
    )
    assert "listening" == row["screening"]
    assert ["early_media", "ringing", "answered", "ended"] == await world.kinds(call)


async def test_answer_and_announcement_in_one_batch(world: World) -> None:
    """
    A ringing call that was answered and announced to between two writes keeps both, once.
    """
    call = await world.add_call(state=AttemptState.RINGING)
    steps = [
        Step(call, later(8), state=AttemptState.ANSWERED),
        Step(call, later(9), state=AttemptState.ANNOUNCING),
    ]

    async with world.db.acquire() as connection:
        moved = await attempts.advance(connection, world.process_id, steps)

    row = await world.call(call)
    assert {call} == moved
    assert ("announcing", later(8), later(9)) == (
        row["state"],
        row["answered_at"],
        row["message_started_at"],
    )
    assert ["answered", "announcing"] == await world.kinds(call)


async def test_many_calls_move_in_one_statement(world: World) -> None:
    """
    A batch over many attempts moves each by its own steps.
    """
    ringing = [await world.add_call(state=AttemptState.DIALING) for _ in range(5)]
    ending = [await world.add_call(state=AttemptState.RINGING) for _ in range(5)]
    steps = [Step(call, later(1), AttemptState.RINGING) for call in ringing]
    steps += [Step(call, later(1), AttemptState.ENDED, ending=BUSY) for call in ending]

    async with world.db.acquire() as connection:
        moved = await attempts.advance(connection, world.process_id, steps)

    assert set(ringing) | set(ending) == moved
    assert {"ringing"} == {(await world.call(call))["state"] for call in ringing}
    assert {(486, "busy")} == {
        ((row := await world.call(call))["sip_code"], row["outcome"]) for call in ending
    }


async def test_what_ended_never_moves_again(world: World) -> None:
    """
    A step that comes after the end changes nothing, leaves no event, and is not in the answer.
    """
    call = await world.add_call(state=AttemptState.RINGING)
    async with world.db.acquire() as connection:
        await attempts.advance(
            connection, world.process_id, [Step(call, later(1), AttemptState.ENDED, ending=BUSY)]
        )

        moved = await attempts.advance(
            connection, world.process_id, [Step(call, later(2), AttemptState.ANSWERED)]
        )

    assert set() == moved
    assert "busy" == (await world.call(call))["outcome"]
    assert ["ended"] == await world.kinds(call)


async def test_a_process_cannot_move_what_another_holds(world: World) -> None:
    """
    The attempt's own line process is part of the guard.
    """
    stranger = await world.add_process()
    call = await world.add_call(state=AttemptState.RINGING)

    async with world.db.acquire() as connection:
        moved = await attempts.advance(
            connection, stranger, [Step(call, later(1), AttemptState.ANSWERED)]
        )

    assert set() == moved
    assert "ringing" == (await world.call(call))["state"]


async def test_steps_in_an_impossible_order_are_refused() -> None:
    """
    A batch whose own steps break the table is a bug of the caller and raises before any write.
    """
    call = new_id()
    steps = [
        Step(call, later(1), AttemptState.ENDED, ending=BUSY),
        Step(call, later(2), AttemptState.RINGING),
    ]

    with pytest.raises(IllegalTransition):
        await attempts.advance(None, new_id(), steps)  # type: ignore[arg-type] # never used


async def test_verdict_without_an_agent(world: World) -> None:
    """
    A machine is recorded with its features; a later, impossible screening state is not.
    """
    call = await world.add_call(state=AttemptState.ANSWERED, screening="listening")
    machine = Finding(Verdict.MACHINE, Screening.MACHINE, 0.9, {"beep_hz": 1004.0}, later(2))
    person = Finding(Verdict.PERSON, Screening.PERSON, 0.6)

    async with world.db.acquire() as connection:
        assert await verdicts.record_verdict(
            connection, world.process_id, call, machine, at=later(3)
        )
        assert await verdicts.record_verdict(
            connection, world.process_id, call, person, at=later(4)
        )

    row = await world.call(call)
    assert "machine" == row["screening"]
    assert later(2) == row["greeting_ended_at"]
    assert ["verdict", "verdict"] == await world.kinds(call)


async def test_step_written_twice_leaves_one_event(world: World, pool: Pool) -> None:
    """
    A step repeated because the first answer was lost moves nothing again and leaves one event.
    """
    attempt_id = await world.add_call(state=AttemptState.RINGING)
    steps = [
        Step(attempt_id, NOW, kind=CallEventKind.EARLY_MEDIA),
        Step(attempt_id, NOW, state=AttemptState.ANSWERED),
    ]
    async with pool.acquire() as connection:
        first = await attempts.advance(connection, world.process_id, steps)
        await attempts.advance(connection, world.process_id, steps[:1])
        second = await attempts.advance(connection, world.process_id, steps)

    assert ({attempt_id}, set()) == (first, second)
    assert ["early_media", "answered"] == await world.kinds(attempt_id)


async def test_claim_whose_answer_was_lost_is_ended(world: World, pool: Pool) -> None:
    """
    A dialing row its process knows no call of is ended as interrupted; known ones go on.
    """
    known = await world.add_call(state=AttemptState.DIALING)
    unknown = await world.add_call(state=AttemptState.DIALING)
    async with pool.acquire() as connection:
        ended = await attempts.end_unknown(connection, world.process_id, [known], at=NOW)

    assert [unknown] == ended
    assert "interrupted" == (await world.call(unknown))["outcome"]
    assert "dialing" == (await world.call(known))["state"]
