"""Records of calls: complete, sealed, kept as long as needed; a person sees and leaves them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.csv_export import cell
from campaigns.lead_import import import_leads, plan_import
from campaigns.model import new_id
from campaigns.stores import campaigns, claims, exports, persons, records, suppressions
from dialer import evidence
from tests.lists import NOON, Floor, add_lead, open_floor

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Connection, Pool

NUMBER = "+12125550100"


async def add_record(
    connection: Connection, floor: Floor, lead_id: UUID, at: datetime, **values: Any
) -> UUID:
    """Add a closed attempt to a lead, and one event of it."""
    attempt_id = new_id()
    columns: dict[str, Any] = {
        "id": attempt_id,
        "campaign_id": floor.campaign.id,
        "lead_id": lead_id,
        "lead_number_id": new_id(),
        "dialed_number": NUMBER,
        "region": "US",
        "mode": "progressive",
        "epoch": 1,
        "process_id": floor.process_id,
        "trunk_id": floor.trunk_id,
        "caller_id": "+12125550199",
        "timers": {},
        "screening": "none",
        "reservation": "none",
        "outcome": "answered",
        "claimed_at": at,
        "dialing_at": at,
        "answered_at": at,
        "ended_at": at + timedelta(seconds=30),
        "closed_at": at + timedelta(seconds=31),
        "charged": True,
        "answered_by_person": True,
        "abandoned": False,
    } | values
    marks = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    await connection.execute(
        f"INSERT INTO attempt ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - our columns
        *columns.values(),
    )
    await connection.execute(
        "INSERT INTO call_event (id, attempt_id, kind, happened_at, recorded_at)"
        " VALUES ($1, $2, 'closed', $3, $3)",
        new_id(),
        attempt_id,
        at,
    )
    return attempt_id


async def test_310_5_record_is_complete_and_stays_as_it_was(pool: Pool) -> None:
    """
    A record carries what the campaign said when it was written, and nothing asked for is missing.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        await connection.execute("UPDATE campaign SET purpose = 'heat pumps'")
        lead = await add_lead(connection, floor.list_id, NUMBER)
        await add_record(connection, floor, lead, NOON)
        await connection.execute("UPDATE campaign SET purpose = 'solar', seller = 'Other'")

        row = await connection.fetchrow(
            "SELECT telemarketer, seller, purpose, called_party, script_sha256 FROM attempt"
        )
        found = await records.gaps(
            connection, since=NOON - timedelta(days=1), until=NOON + timedelta(days=1)
        )

    nothing = hashlib.sha256(b"").hexdigest()
    assert ("Acme", "Acme", "heat pumps", "consumer", nothing) == tuple(row or ())
    assert (1, []) == found


async def test_310_5_missing_field_is_found_with_its_rule(pool: Pool) -> None:
    """
    A record without purpose, or of a talk without disposition, is named by day, field and rule.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        await connection.execute("UPDATE campaign SET purpose = ''")
        lead = await add_lead(connection, floor.list_id, NUMBER)
        attempt = await add_record(connection, floor, lead, NOON, joined_at=NOON)

        checked, found = await records.gaps(
            connection, since=NOON - timedelta(days=1), until=NOON + timedelta(days=1)
        )
        await records.note_gaps(connection, found)

    assert 1 == checked
    assert [
        ("purpose", "310.5(a)(2)(iii)", 1, attempt),
        ("disposition", "310.5(a)(2)(x)", 1, attempt),
    ] == [(gap.field, gap.rule, gap.attempts, gap.example) for gap in found]
    assert 2 == await pool.fetchval("SELECT count(*) FROM record_gap")


async def test_log_1_seals_hold_until_a_record_is_touched(pool: Pool) -> None:
    """
    Each day's seal covers its records and the day before; a changed record breaks its day.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead = await add_lead(connection, floor.list_id, NUMBER)
        first = await add_record(connection, floor, lead, NOON)
        await add_record(connection, floor, lead, NOON + timedelta(days=2))

        made = await records.seal_days(connection, now=NOON + timedelta(days=3))
        again = await records.seal_days(connection, now=NOON + timedelta(days=3))
        before = await records.verify(connection)
        await connection.execute("UPDATE attempt SET abandoned = true WHERE id = $1", first)
        after = await records.verify(connection)

    assert [1, 0, 1] == [seal.attempts for seal in made]
    assert made[0].digest == made[1].previous
    assert [] == again
    assert [True, True, True] == [check.holds for check in before]
    assert [False, True, True] == [check.holds for check in after]


async def test_log_1_months_past_retention_are_dropped_and_seals_stay(pool: Pool) -> None:
    """
    Records go a month at a time once the longest profile lets them; their seals stay in the chain.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead = await add_lead(connection, floor.list_id, NUMBER)
        await add_record(connection, floor, lead, NOON)
        await records.seal_days(connection, now=NOON + timedelta(hours=7))
        years = await records.retention_years(connection)
        kept = await records.drop_old_months(connection, now=NOON + timedelta(days=365 * years))
        dropped = await records.drop_old_months(
            connection, now=NOON + timedelta(days=365 * (years + 1))
        )
        checks = await records.verify(connection)

    assert "attempt_202611" not in kept
    assert {"attempt_202611", "call_event_202611"} <= set(dropped)
    assert [(False, True)] == [(check.kept, check.holds) for check in checks]
    assert 0 == await pool.fetchval("SELECT count(*) FROM attempt")


async def test_forgotten_person_is_known_by_hash_only(pool: Pool, tmp_path: Path) -> None:
    """
    After erasure no table but the record of the call has the number, counts are as before, and a
    new file with the number brings nobody back.
    """  # noqa: D205 - the promise takes two lines
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead = await add_lead(connection, floor.list_id, NUMBER, "+12125550101")
        await connection.execute("UPDATE lead SET name = 'Ana', fields = '{\"city\": \"Rome\"}'")
        await add_record(connection, floor, lead, NOON)
        await suppressions.add(connection, ["+12125550101"], seller="Acme", source="asked")

        held = await persons.held_about(connection, NUMBER)
        done = await persons.erase(connection, NUMBER, reason="letter")
        left = await persons.held_about(connection, NUMBER)

        for table in ("lead_number", "suppression"):
            plain = f"SELECT count(*) FROM {table} WHERE number LIKE '+%'"  # noqa: S608 - constant
            assert 0 == await connection.fetchval(plain)
    path = tmp_path / "back.csv"
    path.write_text("name,phone\nAna,+12125550100\n")
    report = await import_leads(pool, plan_import(path), campaign="spring")
    async with pool.acquire() as connection:
        await connection.execute("UPDATE lead SET state = 'open', done_reason = NULL")
        batch = await claims.claim(
            connection,
            campaign=floor.campaign,
            epoch=floor.epoch,
            now=NOON,
            count=1,
            slots=floor.slots(1),
        )

    assert ("Ana", {"city": "Rome"}) == (held["leads"][0]["name"], held["leads"][0]["fields"])
    assert (1, 2, 1) == (len(held["leads"]), len(held["numbers"]), len(held["attempts"]))
    assert (1, 1) == (done.leads, done.records_kept)
    assert ([], 1, 1) == (left["leads"], len(left["attempts"]), len(left["do_not_call"]))
    assert (1, 1) == (report.accepted, report.suppressed)
    assert [] == batch.claimed


async def test_log_2_evidence_can_be_worked_out_from_its_rows(pool: Pool, tmp_path: Path) -> None:
    """
    The package's rate follows from its own attempts, and each file has its hash in the manifest.
    """
    path = tmp_path / "evidence.zip"
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead = await add_lead(connection, floor.list_id, NUMBER)
        for minute in range(4):
            at = NOON + timedelta(minutes=minute)
            await add_record(connection, floor, lead, at, abandoned=minute == 0)
        campaign = await campaigns.get(connection, "spring")
        await evidence.write_package(
            connection, campaign, path, since=NOON, until=NOON + timedelta(hours=1)
        )

    with zipfile.ZipFile(path) as package:
        files = {name: package.read(name) for name in package.namelist()}
    rows = list(csv.DictReader(io.StringIO(files["attempts.csv"].decode())))
    rate = json.loads(files["abandonment.json"])
    manifest = json.loads(files["manifest.json"])
    assert ["yes", "no", "no", "no"] == [row["dropped"] for row in rows]
    assert (1, 4) == (rate["numerator"], rate["denominator"])
    assert {row["id"] for row in rows} == set(rate["answered_attempts"])
    assert manifest["sha256"] == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name != "manifest.json"
    }
    assert 0o600 == path.stat().st_mode & 0o777


async def test_every_export_can_be_written(pool: Pool) -> None:
    """
    Each export has a header and its rows, and what a list smuggled in is no formula any more.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead = await add_lead(connection, floor.list_id, NUMBER)
        await connection.execute("UPDATE lead SET name = '=HYPERLINK(1)'")
        await add_record(connection, floor, lead, NOON, disposition="sale")
        counts, text = {}, {}
        async with connection.transaction():
            for name in exports.EXPORTS:
                out = io.StringIO()
                counts[name] = await exports.write(
                    connection,
                    name,
                    out,
                    campaign_id=floor.campaign.id,
                    list=None,
                    since=NOON,
                    until=NOON + timedelta(hours=1),
                )
                text[name] = out.getvalue()

    assert {"leads": 1, "attempts": 1, "dispositions": 1, "events": 1} == {
        name: rows for name, rows in counts.items() if rows
    }
    assert "'=HYPERLINK(1)" in text["leads"]
    assert ",+12125550100," in text["leads"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("+12125550100", "+12125550100"),
        (-3, "-3"),
        ("a=b", "a=b"),
        (None, ""),
        (datetime(2026, 11, 27, tzinfo=UTC), "2026-11-27T00:00:00Z"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
async def test_cells_are_never_formulas(value: object, expected: str) -> None:
    """
    What a spreadsheet would execute becomes text; numbers stay numbers.
    """
    assert expected == cell(value)
