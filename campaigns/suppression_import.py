"""From a CSV file of numbers to the do-not-call list: all or nothing, effective at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaigns.csv_files import Reader, Record
from campaigns.lead_columns import Columns
from campaigns.lead_import import ImportPlan
from campaigns.lead_numbers import Reject, country_code, read_e164
from campaigns.stores import suppressions
from campaigns.stores.suppressions import RingingCall

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

_CHUNK_ROWS = 2000


@dataclass(frozen=True, slots=True)
class SuppressionReport:
    """What became of a file of numbers; `ringing` are the calls the caller must cancel.

    `rejected` gives the lines with no number on them and why; their count and `rows_taken` add up
    to the rows read.
    """

    rows_taken: int
    numbers: int
    added: int
    leads_done: int
    ringing: tuple[RingingCall, ...]
    rejected: Sequence[tuple[int, str]]

    @property
    def reasons(self) -> Mapping[str, int]:
        """Return how many rows were not taken, by reason."""
        return Counter(reason for _, reason in self.rejected)


async def import_suppressions(
    pool: Pool, plan: ImportPlan, *, seller: str, source: str | None = None
) -> SuppressionReport:
    """Add every number of the file for *seller* ('*' for every seller), in one transaction.

    Numbers of any kind count, dialable or not. Raises `UserError` and then has added nothing.
    """
    rows = numbers = added = done = 0
    ringing: list[RingingCall] = []
    rejected: list[tuple[int, str]] = []
    reader = plan.table.reader()
    try:
        async with pool.acquire() as connection, connection.transaction():
            while chunk := await asyncio.to_thread(_take, reader):
                found, refused = await asyncio.to_thread(_read, chunk, plan.columns, plan.country)
                rows += len(chunk) - len(refused)
                rejected += refused
                result = await suppressions.add(
                    connection,
                    found,
                    seller=seller,
                    source=source or f"file {plan.table.path.name}",
                )
                numbers += len(found)
                added += result.added
                done += result.leads_done
                ringing += result.ringing
    finally:
        reader.close()
    return SuppressionReport(rows, numbers, added, done, tuple(ringing), rejected)


def _take(reader: Reader) -> list[Record]:
    return list(itertools.islice(reader, _CHUNK_ROWS))


def _read(
    records: Sequence[Record], columns: Columns, country: str | None
) -> tuple[list[str], list[tuple[int, str]]]:
    """Return the numbers on these rows, and the rows that have none."""
    found: list[str] = []
    rejected: list[tuple[int, str]] = []
    for record in records:
        own = country
        if columns.country is not None and columns.country < len(record.cells):
            own = country_code(record.cells[columns.country]) or country
        cells = [record.cells[index] for index in columns.phones if index < len(record.cells)]
        results = [read_e164(cell, own) for cell in cells]
        numbers = [result for result in results if not isinstance(result, Reject)]
        if numbers:
            found += numbers
        else:
            reasons = [result for result in results if isinstance(result, Reject)]
            told = [reason for reason in reasons if reason is not Reject.NO_NUMBER]
            broken = Reject.QUOTES if record.broken is not None else Reject.NO_NUMBER
            rejected.append((record.line, str(next(iter(told), broken))))
    return found, rejected
