"""The abandonment ledger: each answered call counts once in every window it falls into."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.errors import UserError
from campaigns.model import AttemptState
from campaigns.rules.profiles import WindowKind
from campaigns.stores import closings, ledger
from campaigns.stores.ledger import LedgerWindow, Span
from tests.calls import NOW, World, explain, later

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

pytest_plugins = ["tests.postgres"]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign."""
    return await World(pool).build()


async def windows(world: World, at: datetime = NOW) -> tuple[LedgerWindow, ...]:
    """Return the campaign's windows at a time."""
    async with world.db.acquire() as connection:
        campaign = await world.campaign()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await ledger.window_counts(connection, campaign, now=at)


async def totals(world: World, at: datetime = NOW) -> list[tuple[int, int]]:
    """Return (H, A) of each window."""
    return [(w.answered_by_person, w.abandoned) for w in await windows(world, at)]


async def answered(world: World, at: datetime, *, abandoned: bool = False, **more: Any) -> None:
    """Have a person answer at a time, talk for a minute or be abandoned; close it."""
    values: dict[str, Any] = {
        "outcome": "answered",
        "answered_at": at,
        "ended_at": at + timedelta(seconds=60),
        "verdict": "person",
        "ended_by": "us",
    }
    if not abandoned:
        values |= {"joined_at": at + timedelta(seconds=1), "reservation": "joined"}
        values |= {"agent_session_id": world.process_id, "disposition": "none"}
    await world.add_call(state=AttemptState.ENDED, at=at - timedelta(seconds=9), **values, **more)
    lease = await world.add_lease()
    async with world.db.acquire() as connection:
        await closings.close_ended(connection, lease, at=at + timedelta(seconds=61))


async def close(world: World, at: datetime) -> int:
    """Close the hours that are over."""
    async with world.db.acquire() as connection:
        return await ledger.close_hours(connection, world.campaign_id, now=at)


async def test_closing_hours_changes_no_total(world: World) -> None:
    """
    The same totals come out before and after hours become aggregates, call by call.
    """
    await world.db.execute("UPDATE campaign SET started_at = $1", NOW - timedelta(hours=5))
    for minutes in (-290, -200, -130, -70, -3):
        await answered(world, NOW + timedelta(minutes=minutes))
    await answered(world, NOW - timedelta(minutes=100), abandoned=True)
    before = await totals(world)

    closed = await close(world, NOW)

    assert [(6, 1)] == before
    assert 5 == closed
    assert before == await totals(world)
    assert 0 == await close(world, NOW)
    async with world.db.acquire() as connection:
        wrong = await ledger.recount(connection, world.campaign_id, since=NOW - timedelta(days=1))
    assert [] == wrong


async def test_an_hour_with_an_open_call_stays_open(world: World) -> None:
    """
    An hour is not closed before every call answered in it is.
    """
    await world.db.execute("UPDATE campaign SET started_at = $1", NOW - timedelta(hours=5))
    await world.add_call(
        state=AttemptState.BRIDGED, at=NOW - timedelta(hours=3), joined_at=NOW - timedelta(hours=3)
    )

    assert 2 == await close(world, NOW)


async def test_a_doctored_hour_is_found(world: World) -> None:
    """
    The recount names the hour whose aggregate its attempts do not bear out.
    """
    await world.db.execute("UPDATE campaign SET started_at = $1", NOW - timedelta(hours=2))
    await answered(world, NOW - timedelta(minutes=90), abandoned=True)
    await close(world, NOW)
    await world.db.execute("UPDATE abandonment_hour SET abandoned = 0 WHERE abandoned = 1")

    async with world.db.acquire() as connection:
        (wrong,) = await ledger.recount(
            connection, world.campaign_id, since=NOW - timedelta(days=1)
        )

    assert (NOW - timedelta(hours=2), (1, 0), (1, 1)) == (
        wrong.hour,
        wrong.stored,
        wrong.recounted,
    )


async def test_calls_still_up_count_as_soon_as_they_are_decided(world: World) -> None:
    """
    A joined call is an H at once, a person past the limit an A at once, a waiting one neither.
    """
    await world.add_call(
        state=AttemptState.BRIDGED,
        at=later(-30),
        joined_at=later(-29),
        reservation="joined",
        agent_session_id=world.process_id,
    )
    await world.add_call(state=AttemptState.ANNOUNCING, at=later(-3), verdict="person")
    await world.add_call(state=AttemptState.ANSWERED, at=later(-1))
    await world.add_call(state=AttemptState.ANSWERED, at=later(-3), verdict="machine")
    await world.add_call(state=AttemptState.ANSWERED, at=later(-3), screening="listening")

    assert [(2, 1)] == await totals(world)


async def test_seeded_history_counts_and_is_labelled(world: World) -> None:
    """
    A lab campaign's seeded answers are in the totals and named apart; other profiles refuse it.
    """
    campaign = await world.campaign()
    async with world.db.acquire() as connection:
        await ledger.seed(connection, campaign, answered_by_person=2000, abandoned=20, hour=NOW)
    await answered(world, later(-300))

    (window,) = await windows(world)

    assert (2001, 20) == (window.answered_by_person, window.abandoned)
    assert (2000, 20) == (window.seeded_answered, window.seeded_abandoned)
    await world.db.execute("UPDATE campaign SET profile = 'us-tsr'")
    async with world.db.acquire() as connection:
        with pytest.raises(UserError, match="only profile 'lab' may have a seeded history"):
            await ledger.seed(
                connection, await world.campaign(), answered_by_person=1, abandoned=0, hour=NOW
            )


async def test_a_day_begins_at_local_midnight(world: World) -> None:
    """
    A day that begins within an hour of UTC counts exactly from its own midnight, closed or not.
    """
    await world.db.execute(
        "UPDATE campaign SET profile = 'uk-ofcom', regions = '{IN}', started_at = $1",
        NOW - timedelta(days=2),
    )
    midnight = datetime(2026, 3, 3, 18, 30, tzinfo=UTC)  # in India
    await answered(world, midnight - timedelta(minutes=5))
    await answered(world, midnight + timedelta(minutes=5))
    await answered(world, midnight + timedelta(minutes=50))

    assert [(2, 0)] == await totals(world)
    await close(world, NOW)
    assert [(2, 0)] == await totals(world)
    assert [(0, 0)] == await totals(world, NOW + timedelta(days=1))


async def test_the_current_hour_is_read_from_its_index(world: World) -> None:
    """
    With a hundred thousand attempts behind it, the ledger still reads only what is not closed.
    """
    call = await world.add_call(state=AttemptState.ENDED, outcome="busy", ended_at=NOW)
    lease = await world.add_lease()
    async with world.db.acquire() as connection:
        await closings.close_ended(connection, lease, at=NOW)
        columns = await connection.fetchval(
            "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position)"
            " FROM information_schema.columns WHERE table_name = 'attempt'"
        )
        values = (
            columns.replace("answered_by_person", "true")
            .replace("answered_at", "$2::timestamptz - n * interval '1 second'")
            .replace("claimed_at", "$2::timestamptz - n * interval '1 second'", 1)
            .replace("lead_id", "gen_random_uuid()")
            .replace("dialed_number", "n::text")
        )
        values = values.replace("id,", "gen_random_uuid(),", 1)
        await connection.execute(
            f"INSERT INTO attempt ({columns}) SELECT {values}"  # noqa: S608 - the table's own names
            " FROM attempt CROSS JOIN generate_series(1, 100000) AS n WHERE id = $1",
            call,
            NOW,
        )
        await connection.execute("UPDATE campaign SET started_at = $1", NOW - timedelta(hours=30))
        await ledger.close_hours(connection, world.campaign_id, now=NOW)
        await connection.execute("ANALYZE attempt")
        start = NOW - timedelta(hours=30)
        plan = await explain(
            connection, ledger.COUNTS, world.campaign_id, [start], [start], timedelta(minutes=15)
        )

    touched = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
    assert sum(touched) < 2000
    assert [(100_000, 0)] == await totals(world, NOW + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            WindowKind.CALENDAR_DAY,
            Span(datetime(2026, 3, 4, 5, tzinfo=UTC), datetime(2026, 3, 5, 5, tzinfo=UTC)),
        ),
        (
            WindowKind.CALENDAR_MONTH,
            Span(datetime(2026, 3, 1, 5, tzinfo=UTC), datetime(2026, 4, 1, 4, tzinfo=UTC)),
        ),
        (
            WindowKind.TUMBLING_30D,
            Span(datetime(2026, 2, 9, 15, tzinfo=UTC), datetime(2026, 3, 11, 15, tzinfo=UTC)),
        ),
        (WindowKind.ROLLING_30D, Span(datetime(2026, 2, 2, 15, tzinfo=UTC), None)),
    ],
)
def test_windows_begin_where_the_law_says(kind: WindowKind, expected: Span) -> None:
    """
    Days and months follow the local calendar, thirty days the campaign's start or the present.
    """
    span = ledger.span_of(
        kind, now=NOW, started_at=datetime(2026, 1, 10, 15, tzinfo=UTC), zone="America/New_York"
    )

    assert expected == span
