"""Files of leads go in whole or not at all, and every row is accounted for."""

from __future__ import annotations

import asyncio
import csv
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.errors import UserError
from campaigns.lead_import import ImportReport, Progress, import_leads, plan_import
from campaigns.stores import suppressions
from tests.lists import add_lead, open_floor

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def write(folder: Path, text: str, *, encoding: str = "utf-8", name: str = "leads.csv") -> Path:
    """Write *text* as a file and return its path."""
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


async def run(
    pool: Pool,
    path: Path,
    *,
    mapping: dict[str, str] | None = None,
    country: str | None = "US",
    **options: Any,
) -> ImportReport:
    """Import *path* into the campaign "spring"."""
    plan = plan_import(path, mapping=mapping, country=country)
    return await import_leads(pool, plan, campaign="spring", **options)


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in *folder*."""
    return sorted(entry.name for entry in folder.iterdir())


def rejected_rows(path: Path) -> list[list[str]]:
    """Return the rows of a rejects file, its header left out."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture
async def campaign(pool: Pool) -> None:
    """Create the campaign "spring"."""
    async with pool.acquire() as connection:
        await open_floor(connection)


async def test_rows_become_leads_with_their_columns(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    A lead keeps its numbers in order, its name, its zones and every other column as text.
    """
    path = write(
        tmp_path,
        "Name,Phone,Mobile,Zip,Balance,Country\n"
        "Ana Ruiz,(212) 555-0100,+44 20 7946 0001,00501,=1+2,US\n"
        "Bo Li,020 7946 0002,,SW1A,007,United Kingdom\n",
    )

    report = await run(pool, path)

    leads = await pool.fetch("SELECT id, name, fields, state, source_line FROM lead ORDER BY name")
    numbers = await pool.fetch(
        "SELECT n.number, n.region, n.zones, n.position FROM lead_number n "
        "JOIN lead l ON l.id = n.lead_id ORDER BY l.name, n.position"
    )
    assert (2, 2, 0, 0) == (report.rows_read, report.accepted, report.rejected, report.duplicates)
    assert [
        ("Ana Ruiz", {"Zip": "00501", "Balance": "=1+2", "Country": "US"}, 2),
        ("Bo Li", {"Zip": "SW1A", "Balance": "007", "Country": "United Kingdom"}, 3),
    ] == [(lead["name"], lead["fields"], lead["source_line"]) for lead in leads]
    assert [
        ("+12125550100", "US", ["America/New_York"], 0),
        ("+442079460001", "GB", ["Europe/London"], 1),
        ("+442079460002", "GB", ["Europe/London"], 0),
    ] == [tuple(number) for number in numbers]
    assert report.rejects_file is None
    assert ["leads.csv"] == names_in(tmp_path)


async def test_every_row_not_taken_is_in_the_rejects_file(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    The rejects file holds line, reason and original cells of each row that did not become a lead.
    """
    async with pool.acquire() as connection:
        list_id = await connection.fetchval("SELECT list_id FROM campaign_list")
        await add_lead(connection, list_id, "+12125550109")
        await suppressions.add(connection, ["+12125550108"], seller="Acme", source="test")
    path = write(
        tmp_path,
        "name,phone\n"
        "good,212-555-0100\n"
        "again,+1 (212) 555-0100\n"
        "known,212-555-0109\n"
        "listed,212-555-0108\n"
        "\n"
        "none,\n"
        "help,911\n"
        "dear,900-555-1234\n"
        "free,800-555-0100\n"
        "orbit,+8816 1234 5678\n"
        "wrong,555-0100\n"
        "spoilt,1.2E+10\n"
        "shifted,212-555-0101,x,y\n"
        '"torn"quote,212-555-0102\n'
        ",,\n",
    )

    report = await run(pool, path)

    assert (13, 2, 9, 1, 1, 1) == (
        report.rows_read,
        report.accepted,
        report.rejected,
        report.duplicates_in_file,
        report.duplicates_in_campaign,
        report.suppressed,
    )
    assert str(tmp_path / "leads.rejects.csv") == report.rejects_file
    assert [
        ["3", "duplicate of an earlier line (2)", "again", "+1 (212) 555-0100"],
        ["4", "duplicate of a lead the campaign has", "known", "212-555-0109"],
        ["7", "no telephone number", "none", ""],
        ["8", "an emergency number", "help", "911"],
        ["9", "a premium-rate or personal number", "dear", "900-555-1234"],
        ["10", "a toll-free number", "free", "800-555-0100"],
        ["11", "a satellite or global-service number", "orbit", "+8816 1234 5678"],
        ["12", "not a valid telephone number", "wrong", "555-0100"],
        ["13", "a spreadsheet has rounded the number (1.2E+10)", "spoilt", "1.2E+10"],
        ["14", "more cells than the header has columns", "shifted", "212-555-0101", "x", "y"],
        ["15", "its quotes are broken", '"torn"quote,212-555-0102'],
    ] == rejected_rows(tmp_path / "leads.rejects.csv")
    listed = await pool.fetchrow("SELECT state, done_reason FROM lead WHERE name = 'listed'")
    assert ("done", "suppressed") == tuple(listed or ())


async def test_dry_run_writes_no_lead(pool: Pool, campaign: None, tmp_path: Path) -> None:
    """
    A dry run reports what an import would do and leaves the database as it was.
    """
    path = write(tmp_path, "name,phone\na,212-555-0100\nb,nonsense\n")

    report = await run(pool, path, dry_run=True)

    assert (True, 2, 1, 1) == (report.dry_run, report.rows_read, report.accepted, report.rejected)
    assert 0 == await pool.fetchval("SELECT count(*) FROM lead")
    assert 1 == await pool.fetchval("SELECT count(*) FROM lead_list")
    assert [["3", "not a valid telephone number", "b", "nonsense"]] == rejected_rows(
        tmp_path / "leads.rejects.csv"
    )


async def test_same_file_again_adds_nothing(pool: Pool, campaign: None, tmp_path: Path) -> None:
    """
    Importing a file twice finds every row of the second time a duplicate and makes no list.
    """
    path = write(tmp_path, "name,phone\na,212-555-0100\nb,212-555-0101\n")

    await run(pool, path)
    again = await run(pool, path)

    assert (0, 2, None) == (again.accepted, again.duplicates_in_campaign, again.list_id)
    assert 2 == await pool.fetchval("SELECT count(*) FROM lead")


async def test_two_imports_at_once_add_each_lead_once(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    The same file imported by two people at the same moment goes in once.
    """
    path = write(tmp_path, "name,phone\na,212-555-0100\nb,212-555-0101\n")

    reports = await asyncio.gather(run(pool, path), run(pool, path))

    assert [0, 2] == sorted(report.accepted for report in reports)
    assert 2 == await pool.fetchval("SELECT count(*) FROM lead")


async def test_named_list_grows(pool: Pool, campaign: None, tmp_path: Path) -> None:
    """
    A list that is named takes further files.
    """
    first = write(tmp_path, "phone\n212-555-0100\n", name="one.csv")
    second = write(tmp_path, "phone\n212-555-0101\n", name="two.csv")

    one = await run(pool, first, list_name="june")
    two = await run(pool, second, list_name="june")

    assert one.list_id == two.list_id
    assert 2 == await pool.fetchval("SELECT count(*) FROM lead WHERE list_id = $1", one.list_id)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with a byte order mark"),
        ("cp1252", "Windows-1252"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
    ],
)
async def test_names_survive_any_encoding(
    pool: Pool, campaign: None, tmp_path: Path, encoding: str, said: str
) -> None:
    """
    Names come out as they were written, whichever encoding a spreadsheet chose, and it is named.
    """
    path = write(tmp_path, "Kunde;Telefon\nJörg Müß;212 555 0100\n", encoding=encoding)

    report = await run(pool, path)

    assert (said, "semicolon") == (report.encoding, report.delimiter)
    assert "Jörg Müß" == await pool.fetchval("SELECT name FROM lead")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_usual_delimiters_are_found(
    pool: Pool, campaign: None, tmp_path: Path, delimiter: str
) -> None:
    """
    Commas, semicolons, tabs and bars are told apart without being asked.
    """
    rows = [("name", "phone", "note"), ("a b", "212-555-0100", "x"), ("c d", "212-555-0101", "")]
    path = write(tmp_path, "".join(delimiter.join(row) + "\r\n" for row in rows))

    report = await run(pool, path)

    assert (2, 2) == (report.rows_read, report.accepted)


async def test_file_of_numbers_only_needs_no_header(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    A bare column of numbers is a list: its first line is a lead, not a header.
    """
    path = write(tmp_path, "+12125550100\n+12125550101\n+442079460001\n")

    report = await run(pool, path, country=None)

    assert (3, 3, False) == (report.rows_read, report.accepted, report.has_header)


async def test_columns_can_be_named(pool: Pool, campaign: None, tmp_path: Path) -> None:
    """
    A mapping by the user beats the guess, by column name or number.
    """
    path = write(tmp_path, "phone,ref,who\n212-555-0100,212-555-0101,Ana\n")

    report = await run(pool, path, mapping={"phone": "ref", "name": "3"})

    assert [("phone", "kept"), ("ref", "phone"), ("who", "name")] == [
        (use.header, use.meaning) for use in report.columns
    ]
    assert "+12125550101" == await pool.fetchval("SELECT number FROM lead_number")


async def test_progress_is_told(pool: Pool, campaign: None, tmp_path: Path) -> None:
    """
    An import says how far it is, and the last word on reading is the whole file.
    """
    lines = [f"+1{200 + n // 100}55501{n % 100:02d}" for n in range(3000)]
    path = write(tmp_path, "phone\n" + "\n".join(lines) + "\n")
    told: list[Progress] = []

    await run(pool, path, progress=told.append)

    reading = [progress for progress in told if progress.phase == "reading"]
    assert (path.stat().st_size, 3000) == (reading[-1].bytes_read, reading[-1].rows)
    assert "writing" == told[-1].phase


async def test_large_file_is_judged_by_several_processes(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    A file large enough to be worth it is judged by worker processes with the same result.
    """
    lines = [f"+1{200 + n // 100}55501{n % 100:02d},{'x' * 190}" for n in range(20_000)]
    path = write(tmp_path, "phone,note\n" + "\n".join(lines) + "\n" + "bad,row\n" * 7)

    report = await run(pool, path)

    assert path.stat().st_size > 4_000_000
    assert 20_007 == report.rows_read
    assert 20_007 == report.accepted + report.rejected + report.duplicates
    assert report.accepted == await pool.fetchval("SELECT count(*) FROM lead")


async def test_failure_in_mid_import_leaves_nothing(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    When the file breaks after thousands of good rows, not one of them is in.
    """
    lines = [f"+1{200 + n // 100}55501{n % 100:02d}" for n in range(5000)]
    path = write(tmp_path, "phone\n" + "\n".join(lines) + '\n"' + "never closed\n" * 20)

    with pytest.raises(UserError, match="never closed"):
        await run(pool, path)

    assert 0 == await pool.fetchval("SELECT count(*) FROM lead")
    assert ["leads.csv"] == names_in(tmp_path)


async def test_national_numbers_need_a_country(pool: Pool, campaign: None, tmp_path: Path) -> None:
    """
    The country of national numbers is asked for, never guessed.
    """
    path = write(tmp_path, "phone\n212-555-0100\n212-555-0101\n")

    with pytest.raises(UserError, match="--country"):
        await run(pool, path, country=None)


async def test_unwritable_rejects_place_is_told_before_anything(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    When the rejects file cannot be made, the import does not begin.
    """
    path = write(tmp_path, "phone\n212-555-0100\n")

    with pytest.raises(UserError, match="rejects file"):
        await run(pool, path, rejects=tmp_path / "absent" / "rejects.csv")

    assert 0 == await pool.fetchval("SELECT count(*) FROM lead")


async def test_books_balance_for_files_of_any_kind(
    pool: Pool, campaign: None, tmp_path: Path
) -> None:
    """
    For seeded random files, what was accepted, rejected and repeated adds up to the rows read.
    """
    chance = random.Random(20261121)
    cells = (
        "+12125550100",
        "212-555-0101",
        "020 7946 0001",
        "911",
        "1.2E+10",
        "",
        "Jörg",
        "a\nb",
        '"',
        "=1+1",
        "\u2028",
        "\U0001f4de",
        "x" * 300,
    )
    total = 0
    for number in range(25):
        path = tmp_path / f"{number}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=chance.choice(",;\t|"))
            writer.writerow(("name", "phone", "phone2", "note"))
            for _ in range(chance.randrange(1, 60)):
                phone = f"+1{chance.randrange(200, 999)}55501{chance.randrange(100):02d}"
                row = [chance.choice(cells), chance.choice((*[phone] * 20, *cells))]
                writer.writerow(row + chance.choices(cells, k=chance.randrange(4)))
        try:
            report = await run(pool, path)
        except UserError:
            continue
        total += report.accepted
        assert report.rows_read == report.accepted + report.rejected + report.duplicates
        if report.rejects_file is not None:
            rejected = rejected_rows(tmp_path / f"{number}.rejects.csv")
            assert len(rejected) == report.rejected + report.duplicates
            assert all(row[1] for row in rejected)

    assert total == await pool.fetchval("SELECT count(*) FROM lead")
    assert total > 100
