"""An import's rows on their way in: a temporary table, checked by the database, then moved.

Everything happens in the caller's transaction: either the whole file is in, or nothing is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import new_id

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

# A million rows take minutes on a slow disk; the pool's usual limit is for ordinary statements.
_LONG_S = 6 * 3600.0
_BATCH = 2000

_COLUMNS = (
    "line", "lead_id", "subject_id", "name", "priority", "fields", "numbers", "regions", "zones",
    "number_ids", "reject", "cells",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StagedRow:
    """One row of the file: a lead with its numbers, or `reject`, and its cells for the report.

    `zones` are the zones of each number, joined by commas.
    """

    line: int
    cells: tuple[str, ...]
    reject: str | None = None
    name: str = ""
    priority: int = 0
    fields: Mapping[str, str] | None = None
    numbers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()

    def record(self) -> tuple[Any, ...]:
        """Return the row as the staging table takes it."""
        return (
            self.line,
            new_id(),
            new_id(),
            self.name,
            self.priority,
            json.dumps(dict(self.fields or {})),
            self.numbers,
            self.regions,
            self.zones,
            [new_id() for _ in self.numbers],
            self.reject,
            self.cells,
        )


@dataclass(frozen=True, slots=True)
class StagedCounts:
    """What staging holds once duplicates are marked."""

    rows: int
    accepted: int
    duplicates_in_file: int
    duplicates_in_campaign: int
    suppressed: int
    rejected: Mapping[str, int]
    regions: Mapping[str, int]


async def create(connection: Connection) -> None:
    """Make the temporary table; it is gone when the transaction ends."""
    await connection.execute(
        """
        CREATE TEMPORARY TABLE import_row (
            line integer NOT NULL,
            lead_id uuid NOT NULL,
            subject_id uuid NOT NULL,
            name text NOT NULL,
            priority integer NOT NULL,
            fields text NOT NULL,                -- JSON; COPY takes no jsonb of our codec
            numbers text[] NOT NULL,
            regions text[] NOT NULL,
            zones text[] NOT NULL,
            number_ids uuid[] NOT NULL,
            reject text,
            cells text[] NOT NULL,
            duplicate_of integer,
            in_campaign boolean NOT NULL DEFAULT false,
            suppressed boolean NOT NULL DEFAULT false
        ) ON COMMIT DROP
        """
    )


async def copy(connection: Connection, rows: AsyncIterable[StagedRow]) -> None:
    """Stream rows into the table, a batch at a time."""

    async def records() -> AsyncIterator[tuple[Any, ...]]:
        async for row in rows:
            yield row.record()

    await connection.copy_records_to_table(
        "import_row", records=records(), columns=_COLUMNS, timeout=_LONG_S
    )
    await connection.execute("ANALYZE import_row", timeout=_LONG_S)


async def mark(connection: Connection, *, campaign_id: UUID, seller: str) -> None:
    """Mark duplicates by the first usable number, and people on the do-not-call list."""
    await connection.execute(
        """
        -- The earliest line with a number keeps it.
        UPDATE import_row r SET duplicate_of = f.line
        FROM (SELECT numbers[1] AS number, min(line) AS line FROM import_row
              WHERE reject IS NULL GROUP BY numbers[1] HAVING count(*) > 1) f
        WHERE r.reject IS NULL AND r.numbers[1] = f.number AND r.line > f.line
        """,
        timeout=_LONG_S,
    )
    await connection.execute(
        """
        UPDATE import_row r SET in_campaign = true
        WHERE r.reject IS NULL AND r.duplicate_of IS NULL AND EXISTS (
            SELECT FROM lead_number n
            JOIN lead l ON l.id = n.lead_id
            JOIN campaign_list cl ON cl.list_id = l.list_id
            WHERE n.number = r.numbers[1] AND cl.campaign_id = $1
        )
        """,
        campaign_id,
        timeout=_LONG_S,
    )
    await connection.execute(
        """
        UPDATE import_row r SET suppressed = true
        WHERE r.reject IS NULL AND r.duplicate_of IS NULL AND NOT r.in_campaign AND EXISTS (
            SELECT FROM suppression s WHERE s.number = ANY(r.numbers) AND s.seller IN ($1, '*')
        )
        """,
        seller,
        timeout=_LONG_S,
    )


_ACCEPTED = "reject IS NULL AND duplicate_of IS NULL AND NOT in_campaign"


async def counts(connection: Connection) -> StagedCounts:
    """Count what the table holds; call it after `mark`."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) AS rows,
               count(*) FILTER (WHERE {_ACCEPTED}) AS accepted,
               count(*) FILTER (WHERE duplicate_of IS NOT NULL) AS in_file,
               count(*) FILTER (WHERE in_campaign) AS in_campaign,
               count(*) FILTER (WHERE suppressed) AS suppressed
        FROM import_row
        """,  # noqa: S608 - a constant condition
        timeout=_LONG_S,
    )
    rejected = await connection.fetch(
        "SELECT reject, count(*) AS rows FROM import_row WHERE reject IS NOT NULL "
        "GROUP BY reject ORDER BY count(*) DESC, reject",
        timeout=_LONG_S,
    )
    regions = await connection.fetch(
        f"SELECT regions[1] AS region, count(*) AS rows FROM import_row WHERE {_ACCEPTED} "  # noqa: S608 - a constant condition
        "GROUP BY 1 ORDER BY count(*) DESC, 1",
        timeout=_LONG_S,
    )
    assert row is not None  # noqa: S101 - an aggregate always has its row
    return StagedCounts(
        rows=row["rows"],
        accepted=row["accepted"],
        duplicates_in_file=row["in_file"],
        duplicates_in_campaign=row["in_campaign"],
        suppressed=row["suppressed"],
        rejected={found["reject"]: found["rows"] for found in rejected},
        regions={found["region"]: found["rows"] for found in regions},
    )


async def refused(
    connection: Connection,
) -> AsyncIterator[tuple[int, str | None, int | None, tuple[str, ...]]]:
    """Yield line, reject, earlier line and cells of each row not taken, in the file's order.

    Both are None for a duplicate of a lead the campaign has.
    """
    cursor = connection.cursor(
        f"SELECT line, reject, duplicate_of, cells FROM import_row "  # noqa: S608 - constant
        f"WHERE NOT ({_ACCEPTED}) ORDER BY line",
        prefetch=_BATCH,
        timeout=_LONG_S,
    )
    async for row in cursor:
        yield row["line"], row["reject"], row["duplicate_of"], tuple(row["cells"])


async def move(connection: Connection, list_id: UUID) -> None:
    """Turn the accepted rows into leads of the list; people on the do-not-call list are done."""
    await connection.execute(
        f"INSERT INTO subject (id) SELECT subject_id FROM import_row WHERE {_ACCEPTED}",  # noqa: S608 - a constant condition
        timeout=_LONG_S,
    )
    await connection.execute(
        f"""
        INSERT INTO lead (id, list_id, subject_id, state, done_reason, held_by, priority, name,
                          fields, source_line)
        SELECT lead_id, $1, subject_id,
               CASE WHEN suppressed THEN 'done' ELSE 'open' END::lead_state,
               CASE WHEN suppressed THEN 'suppressed'::done_reason END,
               CASE WHEN suppressed THEN 'DNC' END,
               priority, name, fields::jsonb, line
        FROM import_row WHERE {_ACCEPTED}
        ORDER BY line
        """,  # noqa: S608 - a constant condition
        list_id,
        timeout=_LONG_S,
    )
    await connection.execute(
        f"""
        INSERT INTO lead_number (id, lead_id, position, number, region, zones)
        SELECT n.id, r.lead_id, n.place - 1, n.number, n.region, string_to_array(n.zones, ',')
        FROM import_row r
        CROSS JOIN LATERAL unnest(r.number_ids, r.numbers, r.regions, r.zones)
            WITH ORDINALITY AS n (id, number, region, zones, place)
        WHERE {_ACCEPTED}
        """,  # noqa: S608 - a constant condition
        timeout=_LONG_S,
    )
