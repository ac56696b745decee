"""Imports as rows: begun, stored block by block, finished in one transaction, undone in one."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.errors import UserError
from campaigns.import_rows import LEAD_COLUMNS, NUMBER_COLUMNS
from campaigns.model import new_id
from campaigns.stores import copy_format
from campaigns.stores.database import rows_changed

if TYPE_CHECKING:
    from asyncpg import Record

    from campaigns.import_rows import Candidate, Consent
    from campaigns.stores.database import Connection

# A million rows take minutes on a slow disk; the pool's usual limit is for ordinary statements.
LONG_S = 6 * 3600.0
_BATCH = 2000
# From here on the planner's picture of the tables has changed enough to draw it anew.
_ANALYZE_FROM = 10_000


class Duplicates(StrEnum):
    """What becomes of a row whose number is known already."""

    SKIP = "skip"
    UPDATE = "update"
    KEEP = "keep"


class Within(StrEnum):
    """Where a number counts as known; each place includes those before it."""

    FILE = "file"
    LIST = "list"
    CAMPAIGN = "campaign"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One import of the past, or one that is still being read."""

    id: UUID
    campaign: str
    campaign_id: UUID
    list_id: UUID
    target_list_id: UUID | None
    list_name: str | None
    file: str
    sha256: str
    choices: Mapping[str, Any]
    state: str
    report: Mapping[str, Any]
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block with its duplicates told apart: what one transaction stores.

    `changes` are rows that update a lead: the lead's id, or the earlier line of the same file.
    """

    number: int
    rows: int
    subjects: Sequence[bytes]
    shares_subjects: bool
    leads: Sequence[bytes]
    numbers: Sequence[bytes]
    regions: Mapping[str, int]
    reasons: Mapping[str, int]
    duplicates_in_file: int
    duplicates_elsewhere: int
    refused: Sequence[tuple[int, str, Sequence[str]]]
    consents: Sequence[tuple[int, str, Consent]]
    changes: Sequence[tuple[UUID | int, Candidate]]


@dataclass(frozen=True, slots=True)
class Totals:
    """What the blocks stored so far add up to."""

    blocks: int
    rows: int
    accepted: int
    duplicates_in_file: int
    duplicates_elsewhere: int
    reasons: Mapping[str, int]
    regions: Mapping[str, int]


_IMPORTS = """
    SELECT i.id, c.name AS campaign, i.campaign_id, i.list_id, i.target_list_id,
           l.name AS list_name, i.file, i.sha256, i.choices, i.state::text, i.report,
           i.started_at, i.finished_at
    FROM lead_import i
    JOIN campaign c ON c.id = i.campaign_id
    LEFT JOIN lead_list l ON l.id = coalesce(i.target_list_id, i.list_id)
"""


async def begin(
    connection: Connection,
    *,
    campaign_id: UUID,
    name: str,
    target_list_id: UUID | None,
    file: str,
    sha256: str,
    choices: Mapping[str, Any],
) -> ImportRow:
    """Begin an import, with a list of its own that no campaign has yet."""
    import_id, list_id = new_id(), new_id()
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO lead_list (id, name, source, source_sha256) VALUES ($1, $2, $3, $4)",
            list_id,
            name,
            file,
            sha256,
        )
        await connection.execute(
            "INSERT INTO lead_import (id, campaign_id, list_id, target_list_id, file, sha256,"
            " choices) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            import_id,
            campaign_id,
            list_id,
            target_list_id,
            file,
            sha256,
            dict(choices),
        )
    return await get(connection, import_id)


async def get(connection: Connection, import_id: UUID) -> ImportRow:
    """Return an import; raises `UserError` if there is none with this id."""
    row = await connection.fetchrow(f"{_IMPORTS} WHERE i.id = $1", import_id)
    if row is None:
        raise UserError(f"There is no import {import_id}: `dialer leads imports` lists them all.")
    return _import(row)


async def find(connection: Connection, campaign_id: UUID, sha256: str) -> list[ImportRow]:
    """Return the imports of a file into a campaign that were not undone, newest first."""
    rows = await connection.fetch(
        f"{_IMPORTS} WHERE i.campaign_id = $1 AND i.sha256 = $2 AND i.state <> 'undone'"
        " ORDER BY i.id DESC",
        campaign_id,
        sha256,
    )
    return [_import(row) for row in rows]


async def history(connection: Connection, campaign_id: UUID | None = None) -> list[ImportRow]:
    """Return all imports, or those into one campaign, newest first."""
    rows = await connection.fetch(
        f"{_IMPORTS} WHERE $1::uuid IS NULL OR i.campaign_id = $1 ORDER BY i.id DESC", campaign_id
    )
    return [_import(row) for row in rows]


def _import(row: Record) -> ImportRow:
    return ImportRow(**dict(row))


# While it is read -------------------------------------------------------------------------------


async def known(
    connection: Connection,
    numbers: Sequence[str],
    *,
    within: Within,
    campaign_id: UUID,
    list_id: UUID | None,
) -> dict[str, UUID]:
    """Return which numbers a lead has already, and the oldest such lead of each.

    *list_id* is the list that rows join, None for a new one. Leads of unfinished imports do not
    count: they may yet be taken back.
    """
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (n.number) n.number, n.lead_id
        FROM lead_number n
        JOIN lead l ON l.id = n.lead_id
        WHERE n.number = ANY($1::text[])
          AND CASE $2
              WHEN 'list' THEN l.list_id = $4
              WHEN 'campaign' THEN l.list_id IN (SELECT list_id FROM campaign_list
                                                 WHERE campaign_id = $3)
              ELSE l.list_id NOT IN (SELECT list_id FROM lead_import WHERE state = 'reading')
              END
        ORDER BY n.number, n.lead_id
        """,
        numbers,
        str(within),
        campaign_id,
        list_id,
        timeout=LONG_S,
    )
    return {row["number"]: row["lead_id"] for row in rows}


async def anything_known(
    connection: Connection, *, within: Within, campaign_id: UUID, list_id: UUID | None
) -> bool:
    """Say whether there is any lead to compare with; a first import has none."""
    if within is Within.FILE or (within is Within.LIST and list_id is None):
        return False
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM lead_list ll
                WHERE EXISTS (SELECT FROM lead l WHERE l.list_id = ll.id)
                  AND CASE $1
                      WHEN 'list' THEN ll.id = $3
                      WHEN 'campaign' THEN ll.id IN (SELECT list_id FROM campaign_list
                                                     WHERE campaign_id = $2)
                      ELSE ll.id NOT IN (SELECT list_id FROM lead_import
                                         WHERE state = 'reading')
                      END)
            """,
            str(within),
            campaign_id,
            list_id,
        )
    )


async def suppressed(connection: Connection, numbers: Sequence[str], seller: str) -> set[str]:
    """Return which numbers are on the do-not-call list of a seller."""
    rows = await connection.fetch(
        """
        SELECT n.number FROM unnest($1::text[]) AS n (number)
        WHERE EXISTS (SELECT FROM suppression s WHERE s.seller IN ($2, '*')
                      AND s.number IN (n.number, number_token(n.number)))
        """,
        numbers,
        seller,
        timeout=LONG_S,
    )
    return {row["number"] for row in rows}


async def store(connection: Connection, import_id: UUID, block: StoredBlock) -> None:
    """Store one block and that it is stored, in one transaction."""
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO import_block (import_id, number, rows, accepted, duplicates_in_file,"
            " duplicates_elsewhere, reasons, regions) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            import_id,
            block.number,
            block.rows,
            len(block.leads),
            block.duplicates_in_file,
            block.duplicates_elsewhere,
            dict(block.reasons),
            dict(block.regions),
        )
        if block.leads:
            await _store_subjects(connection, block)
            await _copy(connection, "lead", LEAD_COLUMNS, block.leads)
            await _copy(connection, "lead_number", NUMBER_COLUMNS, block.numbers)
        if block.refused:
            await connection.copy_records_to_table(
                "import_reject",
                records=[(import_id, *refused) for refused in block.refused],
                columns=("import_id", "line", "reason", "cells"),
                timeout=LONG_S,
            )
        if block.consents:
            await connection.copy_records_to_table(
                "import_consent",
                records=[
                    (import_id, line, number, consent.given_at, consent.source)
                    for line, number, consent in block.consents
                ],
                columns=("import_id", "line", "number", "given_at", "source"),
                timeout=LONG_S,
            )
        if block.changes:
            await _store_changes(connection, import_id, block)


async def _store_subjects(connection: Connection, block: StoredBlock) -> None:
    if block.shares_subjects:
        # A person that the list names by a key may be known from another row or file.
        await connection.execute(
            "INSERT INTO subject (id) SELECT DISTINCT s FROM unnest($1::uuid[]) AS s"
            " ON CONFLICT DO NOTHING",
            [UUID(bytes=subject) for subject in block.subjects],
            timeout=LONG_S,
        )
        return
    start = copy_format.fields(1)
    await _copy(
        connection,
        "subject",
        ("id",),
        [start + copy_format.uuid(subject) for subject in block.subjects],
    )


async def _copy(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[bytes]
) -> None:
    await connection.copy_to_table(
        table,
        source=io.BytesIO(copy_format.whole(rows)),
        columns=columns,
        format="binary",
        timeout=LONG_S,
    )


async def _store_changes(connection: Connection, import_id: UUID, block: StoredBlock) -> None:
    await connection.executemany(
        "INSERT INTO import_change (import_id, line, lead_id, earlier_line, name, priority, fields)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            (
                import_id,
                candidate.line,
                which if isinstance(which, UUID) else None,
                None if isinstance(which, UUID) else which,
                candidate.name,
                candidate.priority,
                json.loads(candidate.fields),
            )
            for which, candidate in block.changes
        ],
        timeout=LONG_S,
    )


async def totals(connection: Connection, import_id: UUID) -> Totals:
    """Add up the blocks stored so far."""
    rows = await connection.fetch(
        "SELECT rows, accepted, duplicates_in_file, duplicates_elsewhere, reasons, regions"
        " FROM import_block WHERE import_id = $1",
        import_id,
    )
    reasons, regions = Counter[str](), Counter[str]()
    for row in rows:
        reasons.update(row["reasons"])
        regions.update(row["regions"])
    return Totals(
        blocks=len(rows),
        rows=sum(row["rows"] for row in rows),
        accepted=sum(row["accepted"] for row in rows),
        duplicates_in_file=sum(row["duplicates_in_file"] for row in rows),
        duplicates_elsewhere=sum(row["duplicates_elsewhere"] for row in rows),
        reasons=dict(reasons.most_common()),
        regions=dict(regions.most_common()),
    )


async def stored_numbers(
    connection: Connection, list_id: UUID
) -> AsyncIterator[Sequence[tuple[int, int]]]:
    """Yield the first number, as an integer, and the line of each lead of a list, in batches."""
    cursor = connection.cursor(
        "SELECT substr(n.number, 2)::bigint AS number, l.source_line AS line"
        " FROM lead l JOIN lead_number n ON n.lead_id = l.id AND n.position = 0"
        " WHERE l.list_id = $1",
        list_id,
        prefetch=_BATCH,
        timeout=LONG_S,
    )
    batch: list[tuple[int, int]] = []
    async for row in cursor:
        batch.append((row["number"], row["line"]))
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def refused(
    connection: Connection, import_id: UUID
) -> AsyncIterator[tuple[int, str, tuple[str, ...]]]:
    """Yield line, reason and cells of each row not taken, in the file's order."""
    cursor = connection.cursor(
        "SELECT line, reason, cells FROM import_reject WHERE import_id = $1 ORDER BY line",
        import_id,
        prefetch=_BATCH,
        timeout=LONG_S,
    )
    async for row in cursor:
        yield row["line"], row["reason"], tuple(row["cells"])


# Its end ----------------------------------------------------------------------------------------


async def finish(
    connection: Connection, of: ImportRow, *, seller: str, accepted: int
) -> tuple[UUID | None, int, int]:
    """Make the leads the campaign's, in the caller's transaction.

    Returns the list they are on (None when no row was taken and the list is gone), how many of
    them are on the do-not-call list, which makes them done, and how many leads were updated.
    """
    updated = await _apply_changes(connection, of)
    # Evidence cannot be taken back, so it is written only when the import is.
    await connection.execute(
        """
        INSERT INTO consent_event (id, number, seller, kind, happened_at, source, recorded_by)
        SELECT gen_random_uuid(), number, $2, 'given', given_at,
               coalesce(nullif(source, ''), 'file ' || $3), 'import ' || import_id
        FROM import_consent WHERE import_id = $1
        """,
        of.id,
        seller,
        of.file,
        timeout=LONG_S,
    )
    await connection.execute("DELETE FROM import_consent WHERE import_id = $1", of.id)
    listed = rows_changed(
        await connection.execute(
            """
            UPDATE lead l SET state = 'done', done_reason = 'suppressed', held_by = 'DNC'
            FROM lead_number n, suppression s
            WHERE l.list_id = $1 AND n.lead_id = l.id AND s.number = n.number
              AND s.seller IN ($2, '*') AND l.state = 'open'
            """,
            of.list_id,
            seller,
            timeout=LONG_S,
        )
    )
    listed += rows_changed(
        await connection.execute(
            """
            -- People who were forgotten are recognised by the keyed hash of their number.
            UPDATE lead l SET state = 'done', done_reason = 'suppressed', held_by = 'DNC'
            FROM lead_number n
            WHERE EXISTS (SELECT FROM suppression WHERE number LIKE 'erased:%')
              AND l.list_id = $1 AND n.lead_id = l.id AND l.state = 'open'
              AND EXISTS (SELECT FROM suppression s WHERE s.number = number_token(n.number)
                          AND s.seller IN ($2, '*'))
            """,
            of.list_id,
            seller,
            timeout=LONG_S,
        )
    )
    list_id: UUID | None = of.list_id
    if of.target_list_id is not None:
        await connection.execute(
            "UPDATE lead SET list_id = $2 WHERE list_id = $1",
            of.list_id,
            of.target_list_id,
            timeout=LONG_S,
        )
        list_id = of.target_list_id
    if accepted and of.target_list_id is None:
        await connection.execute(
            "INSERT INTO campaign_list (campaign_id, list_id) VALUES ($1, $2)"
            " ON CONFLICT DO NOTHING",
            of.campaign_id,
            of.list_id,
        )
    else:
        await connection.execute("DELETE FROM lead_list WHERE id = $1", of.list_id)
    return (list_id if accepted else None), listed, updated


async def _apply_changes(connection: Connection, of: ImportRow) -> int:
    """Write what repeated rows say onto the leads they repeat, keeping what was there."""
    await connection.execute(
        """
        UPDATE import_change c SET lead_id = l.id
        FROM lead l
        WHERE c.import_id = $1 AND c.lead_id IS NULL
          AND l.list_id = $2 AND l.source_line = c.earlier_line
        """,
        of.id,
        of.list_id,
        timeout=LONG_S,
    )
    # Of several rows about one lead the last says what holds.
    await connection.execute(
        "DELETE FROM import_change c USING import_change later WHERE c.import_id = $1"
        " AND later.import_id = $1 AND later.lead_id = c.lead_id AND later.line > c.line",
        of.id,
        timeout=LONG_S,
    )
    await connection.execute(
        """
        UPDATE import_change c
        SET before = jsonb_build_object('name', l.name, 'priority', l.priority,
                                        'fields', l.fields)
        FROM lead l WHERE c.import_id = $1 AND l.id = c.lead_id
        """,
        of.id,
        timeout=LONG_S,
    )
    return rows_changed(
        await connection.execute(
            """
            UPDATE lead l
            SET name = coalesce(nullif(c.name, ''), l.name), priority = c.priority,
                fields = l.fields || c.fields
            FROM import_change c WHERE c.import_id = $1 AND l.id = c.lead_id
            """,
            of.id,
            timeout=LONG_S,
        )
    )


async def close(connection: Connection, import_id: UUID, report: Mapping[str, Any]) -> None:
    """Mark an import as done with its report, in the caller's transaction."""
    await connection.execute(
        "UPDATE lead_import SET state = 'done', finished_at = clock_timestamp(), report = $2"
        " WHERE id = $1",
        import_id,
        dict(report),
    )


async def refresh_statistics(connection: Connection, accepted: int) -> None:
    """Have the planner look at the tables anew after a large import."""
    if accepted >= _ANALYZE_FROM:
        await connection.execute("ANALYZE subject, lead, lead_number", timeout=LONG_S)


async def discard(connection: Connection, of: ImportRow) -> None:
    """Forget an unfinished import and what it has stored."""
    async with connection.transaction():
        await _remove_leads(connection, of, of.list_id)
        await connection.execute("DELETE FROM lead_list WHERE id = $1", of.list_id)
        await connection.execute("DELETE FROM lead_import WHERE id = $1", of.id)


async def undo(connection: Connection, import_id: UUID) -> int:
    """Take an import back: its leads go, the leads it updated are as before; return how many went.

    Raises `UserError` when it was taken back before, or when one of its leads was called: a record
    of a call must keep its lead.
    """
    of = await get(connection, import_id)
    if of.state == "undone":
        raise UserError(f"The import of {of.file} was undone before.")
    if of.state == "reading":
        gone = (await totals(connection, import_id)).accepted
        await discard(connection, of)
        return gone
    list_id = of.target_list_id or of.list_id
    async with connection.transaction():
        await connection.execute("SELECT FROM lead_list WHERE id = $1 FOR UPDATE", list_id)
        await _refuse_called(connection, of, list_id)
        removed = await _remove_leads(connection, of, list_id)
        await connection.execute(
            """
            UPDATE lead l
            SET name = c.before ->> 'name', priority = (c.before ->> 'priority')::integer,
                fields = c.before -> 'fields'
            FROM import_change c
            WHERE c.import_id = $1 AND l.id = c.lead_id AND c.before IS NOT NULL
            """,
            import_id,
            timeout=LONG_S,
        )
        if of.target_list_id is None:
            await connection.execute(
                "DELETE FROM lead_list ll WHERE id = $1"
                " AND NOT EXISTS (SELECT FROM lead l WHERE l.list_id = ll.id)",
                of.list_id,
            )
        await connection.execute(
            "UPDATE lead_import SET state = 'undone', undone_at = clock_timestamp() WHERE id = $1",
            import_id,
        )
    return removed


async def _refuse_called(connection: Connection, of: ImportRow, list_id: UUID) -> None:
    called = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM lead l JOIN attempt a ON a.lead_id = l.id
                       WHERE l.list_id = $1 AND l.import_id = $2)
            OR EXISTS (SELECT FROM live_attempt a JOIN lead l ON l.id = a.lead_id
                       WHERE l.list_id = $1 AND l.import_id = $2)
        """,
        list_id,
        of.id,
        timeout=LONG_S,
    )
    if called:
        raise UserError(
            f"Leads of {of.file} have been called, so the import cannot be undone: detach its list "
            "from its campaigns instead."
        )


async def _remove_leads(connection: Connection, of: ImportRow, list_id: UUID) -> int:
    removed: int = await connection.fetchval(
        """
        WITH gone AS (
            DELETE FROM lead WHERE list_id = $1 AND import_id = $2 RETURNING subject_id
        ), subjects AS (
            -- Nobody else's: a person whom another list has too stays.
            DELETE FROM subject s USING gone
            WHERE s.id = gone.subject_id AND NOT EXISTS (
                SELECT FROM lead l WHERE l.subject_id = s.id
                  AND NOT (l.list_id = $1 AND l.import_id = $2))
        )
        SELECT count(*) FROM gone
        """,
        list_id,
        of.id,
        timeout=LONG_S,
    )
    return removed


# Templates --------------------------------------------------------------------------------------


async def save_template(connection: Connection, name: str, choices: Mapping[str, Any]) -> None:
    """Keep the choices of an import under a name, in place of an earlier one of that name."""
    await connection.execute(
        "INSERT INTO import_template (name, choices) VALUES ($1, $2) ON CONFLICT (name)"
        " DO UPDATE SET choices = $2, saved_at = clock_timestamp()",
        name,
        dict(choices),
    )


async def template(connection: Connection, name: str) -> Mapping[str, Any]:
    """Return the choices saved under a name; raises `UserError`."""
    found = await connection.fetchval("SELECT choices FROM import_template WHERE name = $1", name)
    if found is None:
        raise UserError(
            f"There is no import template {name!r}: `dialer leads templates` lists them all."
        )
    choices: Mapping[str, Any] = found
    return choices


async def templates(connection: Connection) -> list[tuple[str, Mapping[str, Any], datetime]]:
    """Return every template's name, choices and the time it was saved."""
    rows = await connection.fetch(
        "SELECT name, choices, saved_at FROM import_template ORDER BY name"
    )
    return [(row["name"], row["choices"], row["saved_at"]) for row in rows]
