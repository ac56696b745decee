"""The rows of legs as a line process writes them, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from campaigns.model import new_id
from dialer.clock import SystemClock
from dialer.lines.dialog import Dialog
from dialer.lines.writer import Writer
from dialer.notify import Notifier
from tests.calls import World

if TYPE_CHECKING:
    from campaigns.stores.database import Pool
    from dialer.lines.leg import Leg


class SentLeg:
    """What the writer reads of a leg whose INVITE has left."""

    has_dialog = True
    dialog = Dialog(
        call_id="call-1", local="us", remote="them", target="sip:them", cseq=1, transport="udp"
    )


@pytest.fixture
async def writer(pool: Pool, dsn: str) -> Writer:
    """Return a writer of a line process that is there as a row."""
    world = await World(pool).build()
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
