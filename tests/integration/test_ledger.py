"""The abandonment ledger: each answered call counts once in every window it falls into."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.errors import UserError
from campaigns.model import AttemptState
from campaigns.rules.false_positives import Evidence
from campaigns.rules.profiles import WindowKind
from campaigns.stores import accounting_periods, closings, corrections, ledger
from campaigns.stores.accounting_periods import Period
from campaigns.stores.corrections import Truth
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


async def periods(world: World, at: datetime) -> list[Period]:
    """Return the campaign's accounting periods at a time."""
    async with world.db.acquire() as connection:
        return list(await accounting_periods.periods(connection, await world.campaign(), now=at))


async def test_campaign_of_61_days_has_three_windows_and_one_of_29_has_one(world: World) -> None:
    """
    TSR-2: successive 30-day periods from the start, each call in exactly one, to the second.
    """
    start = NOW - timedelta(days=61, minutes=20)
    await world.db.execute("UPDATE campaign SET started_at = $1", start)
    for month in (1, 2, 3):
        await world.db.execute("SELECT ensure_partitions($1)", datetime(2026, month, 1, tzinfo=UTC))
    border = start + timedelta(days=60)
    await answered(world, border - timedelta(seconds=1))
    await answered(world, border, abandoned=True)
    await close(world, NOW)

    found = await periods(world, NOW)
    [young] = await periods(world, start + timedelta(days=29))

    assert [(0, 0), (1, 0), (1, 1)] == [(p.answered_by_person, p.abandoned) for p in found]
    assert [0, 0, 1] == [len(period.abandoned_ids) for period in found]
    assert start == young.starts_at
    # The live figure is the same: what came before the border, within its hour, is not in it.
    assert [(1, 1)] == await totals(world)


async def test_pace_8_correction_is_a_new_event_and_moves_every_figure(world: World) -> None:
    """
    PACE-8: what was no person leaves both counts, live and recomputed; the record is untouched.
    """
    await answered(world, NOW - timedelta(minutes=30))
    await answered(world, NOW - timedelta(minutes=20), abandoned=True)
    attempt = await world.db.fetchval("SELECT id FROM attempt WHERE abandoned")
    async with world.db.acquire() as connection:
        await corrections.correct(connection, attempt, Truth.MACHINE, by="QA", reason="heard it")
        with pytest.raises(UserError, match="counts as machine already"):
            await corrections.correct(connection, attempt, Truth.MACHINE, by="QA", reason="again")
        corrected = await totals(world)
        [period] = await periods(world, NOW)
        await corrections.correct(connection, attempt, Truth.ABANDONED, by="QA", reason="no: a man")

    assert [(1, 0)] == corrected
    assert (1, 0, ()) == (period.answered_by_person, period.abandoned, period.abandoned_ids)
    assert [(2, 1)] == await totals(world)
    assert await world.db.fetchval("SELECT abandoned FROM attempt WHERE id = $1", attempt)


async def test_amd_1_false_positives_are_in_the_british_windows(world: World) -> None:
    """
    AMD-1, UK-1: with evidence screening may hang up, and its mistakes count as abandoned people.
    """
    await world.db.execute("UPDATE campaign SET profile = 'uk-ofcom', regions = '{GB}'")
    for minute in range(9):
        await answered(world, NOW - timedelta(minutes=minute + 1))
    async with world.db.acquire() as connection:
        evidence = Evidence(NOW - timedelta(days=1), 1000, 10)
        await corrections.record_evidence(
            connection, world.campaign_id, evidence, method="listened", engine="x 1", by="QA"
        )
    valid = await totals(world)
    expired = await totals(world, NOW + timedelta(days=90))

    # The upper bound is 1.83 %: of nine people less than one more, rounded up.
    assert [(10, 1)] == valid
    assert [(0, 0)] == expired


async def test_thirty_days_of_a_busy_campaign_are_read_from_their_hours(world: World) -> None:
    """
    720 closed hours cost one short index walk and no attempt is read.
    """
    await world.db.execute("UPDATE campaign SET started_at = $1", NOW - timedelta(days=30))
    await world.db.execute(
        "INSERT INTO abandonment_hour (campaign_id, hour, answered_by_person, abandoned)"
        " SELECT $1, $2::timestamptz - n * interval '1 hour', 5000, 100"
        " FROM generate_series(1, 719) AS n",
        world.campaign_id,
        NOW,
    )
    async with world.db.acquire() as connection:
        start = NOW - timedelta(days=30)
        arguments = (world.campaign_id, [start], [start], timedelta(minutes=15))
        await connection.execute("ANALYZE abandonment_hour")
        plan = await explain(connection, ledger.COUNTS, *arguments)
        again = await explain(connection, ledger.COUNTS, *arguments)

    print(re.findall(r"Execution Time: .*", again))
    assert "Seq Scan on attempt" not in plan
    assert [(719 * 5000, 719 * 100)] == await totals(world, NOW - timedelta(seconds=1))
