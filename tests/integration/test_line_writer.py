"""The rows of legs as a line process writes them, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from campaigns.model import AttemptState, EndedBy, Outcome, Verdict, new_id
from campaigns.stores.attempts import Ending, Step
from campaigns.stores.verdicts import Finding
from dialer.clock import SystemClock
from dialer.lines.dialog import Dialog
from dialer.lines.writer import Writer
from dialer.notify import Notifier
from tests.calls import World

if TYPE_CHECKING:
    from campaigns.stores.database import Pool
    from dialer.lines.leg import Leg


HUNG_UP = Ending(outcome=Outcome.ANSWERED, ended_by=EndedBy.THEM)


class SentLeg:
    """What the writer reads of a leg whose INVITE has left."""

    has_dialog = True
    dialog = Dialog(
        call_id="call-1", local="us", remote="them", target="sip:them", cseq=1, transport="udp"
    )


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a campaign with a line process that is there as a row."""
    return await World(pool).build()


@pytest.fixture
def writer(world: World, pool: Pool, dsn: str) -> Writer:
    """Return the writer of that line process."""
    return Writer(pool, world.process_id, SystemClock(), Notifier(dsn), on_orphan=lambda _: None)


def _leg() -> Leg:
    return cast("Leg", SentLeg())


async def _rows(pool: Pool) -> list[dict[str, Any]]:
    rows = await pool.fetch("SELECT state, ended_at IS NOT NULL AS ended, dialog FROM leg")
    return [dict(row) for row in rows]


async def test_a_leg_is_there_for_a_successor_until_it_ends(writer: Writer, pool: Pool) -> None:
    """
    The row holds the dialog while the leg is up, and is closed when it is over.
    """
    leg = _leg()
    writer.leg(leg, kind="customer", state="early", attempt_id=new_id())
    await writer.flush()
    (early,) = await _rows(pool)
    writer.leg(leg, kind="customer", state="up", attempt_id=new_id())
    writer.leg_over(leg)
    await writer.flush()
    (over,) = await _rows(pool)

    assert ("early", False, "call-1") == (
        early["state"],
        early["ended"],
        early["dialog"]["call_id"],
    )
    assert over["ended"]


async def test_a_leg_refused_at_once_leaves_no_row(writer: Writer, pool: Pool) -> None:
    """
    A leg that was over before its row could be written needs no successor, and none is written.
    """
    leg = _leg()
    writer.leg(leg, kind="customer", state="early", attempt_id=new_id())
    writer.leg_over(leg)
    await writer.flush()

    assert [] == await _rows(pool)


async def test_an_agent_is_held_before_the_answer_is_written(world: World, writer: Writer) -> None:
    """
    Without screening the reservation is the first statement after the answer; the rest follows.
    """
    session_id = await world.add_agent()
    attempt_id = await world.add_call(state=AttemptState.DIALING)
    writer.answered(attempt_id, listening=False)
    held = await writer.reserve(attempt_id, Finding(Verdict.OFF, None), again=False, within_s=60)
    unwritten = (await world.call(attempt_id))["state"]
    joined = await writer.joined(attempt_id, session_id, [])
    row = await world.call(attempt_id)

    assert held is not None
    assert session_id == held.session_id
    assert "dialing" == unwritten
    assert joined
    assert ("bridged", "joined", "off") == (row["state"], row["reservation"], row["verdict"])
    assert row["answered_at"] is not None


async def test_a_call_that_ends_while_it_is_joined_was_joined(world: World, writer: Writer) -> None:
    """
    The end of a call is not written before the join that came first.
    """
    session_id = await world.add_agent()
    attempt_id = await world.add_call(state=AttemptState.DIALING)
    writer.answered(attempt_id, listening=False)
    await writer.reserve(attempt_id, Finding(Verdict.OFF, None), again=False, within_s=60)
    writer.hold(attempt_id)
    writer.step(Step(attempt_id, writer.now(), state=AttemptState.ENDED, ending=HUNG_UP))
    await writer.flush()
    held_back = (await world.call(attempt_id))["state"]
    await writer.joined(attempt_id, session_id, [])
    await writer.flush()
    row = await world.call(attempt_id)

    assert "answered" == held_back
    assert ("ended", "joined") == (row["state"], row["reservation"])
