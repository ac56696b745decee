"""Imports can be killed, repeated, steered and taken back."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psutil
import pytest

from campaigns.errors import UserError
from campaigns.import_report import Policy
from campaigns.lead_import import ImportReport, import_leads, plan_import
from campaigns.rules.dialable_numbers import NumberFacts, NumberKind, examine
from campaigns.stores import imports
from campaigns.stores.imports import Duplicates, Within
from tests.lists import add_lead, add_list, open_floor

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


async def run(pool: Pool, path: Path, policy: Policy | None = None, **options: Any) -> ImportReport:
    """Import *path* into the campaign "spring"."""
    plan = plan_import(path, country="US")
    return await import_leads(pool, plan, campaign="spring", policy=policy, **options)


def write(folder: Path, *rows: str, name: str = "leads.csv") -> Path:
    """Write a file with the header name,phone,note."""
    path = folder / name
    path.write_text("\n".join(("name,phone,note", *rows)) + "\n", encoding="utf-8")
    return path


def numbers(count: int) -> list[str]:
    """Return different numbers reserved for fiction."""
    areas = (area for area in range(200, 990) if _is_ours(examine(f"+1{area}5550100")))
    found = (f"+1{area}55501{line:02d}" for area in areas for line in range(100))
    return list(itertools.islice(found, count))


def _is_ours(facts: NumberFacts) -> bool:
    return facts.kind is NumberKind.ORDINARY and facts.region == "US"


@pytest.fixture
async def list_id(pool: Pool) -> Any:
    """Create the campaign "spring" and return its list."""
    async with pool.acquire() as connection:
        return (await open_floor(connection)).list_id


async def test_killed_import_is_gone_on_with(
    pool: Pool, dsn: str, list_id: Any, tmp_path: Path
) -> None:
    """
    After kill -9 in mid-file no lead is called, no worker is left, and the same command goes on.
    """
    rows = [f"a,{number},{'x' * 280}" for number in numbers(15_000)]
    rows[14_000] = f"again,{numbers(1)[0]},repeats the first"
    path = write(tmp_path, *rows)
    command = ("dialer", "--database-url", dsn, "leads", "import", str(path), "--country", "US")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--campaign", "spring", "--json"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        while not await pool.fetchval("SELECT count(*) FROM import_block"):  # noqa: ASYNC110 - rows of another process
            await asyncio.sleep(0.005)
    workers = psutil.Process(running.pid).children(recursive=True)
    os.kill(running.pid, signal.SIGKILL)
    await running.wait()

    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=20)
    owned = await pool.fetchval(
        "SELECT count(*) FROM lead l JOIN campaign_list cl ON cl.list_id = l.list_id"
    )
    report = await run(pool, path)

    assert ([], 0) == (alive, owned)
    assert 0 < report.resumed_at < 15_000
    assert (15_000, 14_999, 1) == (report.rows_read, report.accepted, report.duplicates_in_file)
    found = await pool.fetchrow(
        "SELECT count(*) AS leads, count(DISTINCT n.number) AS numbers FROM lead_number n"
        " JOIN lead l ON l.id = n.lead_id JOIN campaign_list cl ON cl.list_id = l.list_id"
    )
    assert {"leads": 14_999, "numbers": 14_999} == dict(found or {})


async def test_interrupted_import_under_other_choices_starts_afresh(
    pool: Pool, list_id: Any, tmp_path: Path
) -> None:
    """
    What an interrupted run stored under another mapping is thrown away, never mixed in.
    """
    path = write(tmp_path, "a,212-555-0100,n")

    def interrupt(_: object) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run(pool, path, progress=interrupt)
    plan = plan_import(path, country="US", mapping={"phone": "phone", "name": "note"})
    report = await import_leads(pool, plan, campaign="spring")

    assert (0, 1) == (report.resumed_at, report.accepted)
    assert ["n"] == [row["name"] for row in await pool.fetch("SELECT name FROM lead")]


async def test_undo_takes_back_leads_and_updates(pool: Pool, list_id: Any, tmp_path: Path) -> None:
    """
    An undone import leaves everything as it was, updated leads included.
    """
    first = write(tmp_path, "Ana,212-555-0100,old")
    second = write(tmp_path, "Anna,212-555-0100,new", "Bo,212-555-0101,", name="two.csv")
    await run(pool, first)
    before = await pool.fetch("SELECT name, priority, fields FROM lead ORDER BY name")

    report = await run(pool, second, Policy(Duplicates.UPDATE))
    during = await pool.fetch("SELECT name, fields FROM lead ORDER BY name")
    assert report.import_id is not None
    async with pool.acquire() as connection:
        gone = await imports.undo(connection, report.import_id)

    assert (2, 1, 1, 1) == (report.rows_read, report.accepted, report.duplicates, report.updated)
    assert [("Anna", {"note": "new"}), ("Bo", {})] == [tuple(row) for row in during]
    assert 1 == gone
    assert before == await pool.fetch("SELECT name, priority, fields FROM lead ORDER BY name")
    assert 1 == await pool.fetchval("SELECT count(*) FROM subject")


async def test_called_import_cannot_be_undone(pool: Pool, list_id: Any, tmp_path: Path) -> None:
    """
    A lead that was called stays, so its import stays.
    """
    report = await run(pool, write(tmp_path, "Ana,212-555-0100,"))
    await pool.execute(
        """
        INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode,
                             epoch, process_id, trunk_id, caller_id, timers, screening, reservation,
                             outcome, claimed_at, ended_at, charged, answered_by_person, abandoned)
        SELECT gen_random_uuid(), c.id, n.lead_id, n.id, n.number, n.region, c.mode, 1,
               gen_random_uuid(), gen_random_uuid(), '', '{}', 'none', 'none', 'busy',
               now(), now(), true, false, false
        FROM campaign c, lead_number n
        """
    )

    async with pool.acquire() as connection:
        assert report.import_id is not None
        with pytest.raises(UserError, match="have been called"):
            await imports.undo(connection, report.import_id)

    assert 1 == await pool.fetchval("SELECT count(*) FROM lead")


@pytest.mark.parametrize(
    ("within", "accepted"),
    [(Within.FILE, 4), (Within.LIST, 3), (Within.CAMPAIGN, 2), (Within.EVERYWHERE, 1)],
)
async def test_duplicates_are_looked_for_where_asked(
    pool: Pool, list_id: Any, tmp_path: Path, within: Within, accepted: int
) -> None:
    """
    Each wider place finds one more number known; a row repeated in the file is found anyhow.
    """
    async with pool.acquire() as connection:
        floor = await connection.fetchval("SELECT id FROM campaign")
        june = await add_list(connection, floor)
        await connection.execute("UPDATE lead_list SET name = 'june' WHERE id = $1", june)
        await add_lead(connection, june, "+12125550100")
        await add_lead(connection, list_id, "+12125550101")
        await add_lead(connection, await add_list(connection), "+12125550102")
    rows = [f"a,{number}," for number in ("+12125550100", "+12125550101", "+12125550102")]

    path = write(tmp_path, *rows, "b,+12125550103,", "c,+12125550103,")
    report = await run(pool, path, Policy(within=within), list_name="june")

    assert (5, accepted, 1) == (report.rows_read, report.accepted, report.duplicates_in_file)
    assert 5 == report.accepted + report.duplicates


async def test_kept_file_is_not_doubled_by_accident(
    pool: Pool, list_id: Any, tmp_path: Path
) -> None:
    """
    Keeping duplicates imports all rows, and the same file again only when told so.
    """
    path = write(tmp_path, "a,212-555-0100,", "b,212-555-0100,")

    first = await run(pool, path, Policy(Duplicates.KEEP))
    with pytest.raises(UserError, match="--again"):
        await run(pool, path, Policy(Duplicates.KEEP))
    again = await run(pool, path, Policy(Duplicates.KEEP, again=True))

    assert (2, 2) == (first.accepted, again.accepted)
    assert 4 == await pool.fetchval("SELECT count(*) FROM lead")


async def test_person_column_makes_one_subject(pool: Pool, list_id: Any, tmp_path: Path) -> None:
    """
    Rows with the same person key are one person, in one file and in the next.
    """
    header = "name,phone,customer id\n"
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(header + "a,212-555-0100,7\nb,212-555-0101,7\nc,212-555-0102,\n")
    two.write_text(header + "a,212-555-0103,7\n")

    await run(pool, one)
    await run(pool, two)

    assert 2 == await pool.fetchval("SELECT count(*) FROM subject")
    assert [3, 1] == [
        row["n"]
        for row in await pool.fetch(
            "SELECT count(*) AS n FROM lead GROUP BY subject_id ORDER BY count(*) DESC"
        )
    ]


async def test_columns_the_law_asks_for_reach_its_tables(
    pool: Pool, list_id: Any, tmp_path: Path
) -> None:
    """
    State, debt and line type stand where the gate looks; a consent is evidence, or the row refused.
    """
    path = tmp_path / "leads.csv"
    path.write_text(
        "phone,state,zip,debt,line type,consent,consent date,consent source\n"
        "212-555-0100,ny,10001,D-7,Landline,yes,2026-10-02,form 3\n"
        "212-555-0101,,,,mobile,no,,\n"
        "212-555-0102,,,,,yes,02/10/2026,form 3\n"
    )

    report = await run(pool, path)

    found = await pool.fetch(
        "SELECT l.address_state, l.debt, n.landline, l.fields ->> 'zip' AS zip FROM lead l"
        " JOIN lead_number n ON n.lead_id = l.id ORDER BY n.number"
    )
    proof = await pool.fetch("SELECT number, seller, kind, source FROM consent_event")
    assert [("NY", "D-7", True, "10001"), (None, None, False, None)] == [tuple(r) for r in found]
    assert [("+12125550100", "Acme", "given", "form 3")] == [tuple(row) for row in proof]
    assert {"its consent has no date written as 2026-11-21": 1} == report.reasons


async def test_lead_needs_list_and_subject(pool: Pool, list_id: Any) -> None:
    """
    The statement triggers keep what the foreign keys promised, and a list takes its leads along.
    """
    statement = "INSERT INTO lead (id, list_id, subject_id) VALUES (gen_random_uuid(), $1, $2)"
    async with pool.acquire() as connection:
        lead = await add_lead(connection, list_id, "+12125550100")
        subject = await connection.fetchval("SELECT subject_id FROM lead WHERE id = $1", lead)
        for wrong in ((subject, subject), (list_id, list_id)):
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await connection.execute(statement, *wrong)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.execute("UPDATE lead SET list_id = $1", subject)
        await connection.execute("DELETE FROM lead_list WHERE id = $1", list_id)

    assert 0 == await pool.fetchval("SELECT count(*) FROM lead_number")
