"""What an import is asked for, how far it is, and what it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from campaigns.stores.imports import Duplicates, Within

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.csv_files import Table
    from campaigns.lead_columns import Columns, ColumnUse


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """A file that was looked through, with what each of its columns will mean."""

    table: Table
    columns: Columns
    uses: tuple[ColumnUse, ...]
    country: str | None

    def choices(self) -> dict[str, Any]:
        """Return all that decides how a row is understood, as JSON values."""
        return {
            "encoding": self.table.encoding,
            "delimiter": self.table.delimiter,
            "country": self.country,
            "columns": [use.meaning for use in self.uses],
        }


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of repeated numbers, and where they are looked for.

    `again` lets a file be imported a second time although that would double its leads.
    """

    duplicates: Duplicates = Duplicates.SKIP
    within: Within = Within.CAMPAIGN
    again: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is; `phase` is reading, checking or writing.

    `rows_per_s` is the rate of this run, zero until it is known; `left_s` what the reading still
    needs at that rate.
    """

    phase: str
    bytes_read: int
    bytes_total: int
    rows: int
    rows_per_s: float = 0.0
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import found and did; accepted + rejected + duplicates is always `rows_read`.

    `duplicates_in_campaign` are repeats of a lead in the place `within` names. `updated` of the
    duplicates have brought a lead up to date. `resumed_at` is how many rows an earlier, interrupted
    run had stored already.
    """

    file: str
    campaign: str
    dry_run: bool
    encoding: str
    delimiter: str
    has_header: bool
    country: str | None
    columns: tuple[ColumnUse, ...]
    rows_read: int
    accepted: int
    duplicates_in_file: int
    duplicates_in_campaign: int
    suppressed: int
    reasons: Mapping[str, int]
    regions: Mapping[str, int]
    outside_regions: int
    sha256: str
    duplicates_policy: str = Duplicates.SKIP
    within: str = Within.CAMPAIGN
    import_id: UUID | None = None
    list_id: UUID | None = None
    list_name: str | None = None
    rejects_file: str | None = None
    resumed_at: int = 0
    updated: int = 0

    @property
    def rejected(self) -> int:
        """Return how many rows were not taken, duplicates not counted."""
        return sum(self.reasons.values())

    @property
    def duplicates(self) -> int:
        """Return how many rows repeat a number."""
        return self.duplicates_in_file + self.duplicates_in_campaign

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        found = asdict(self)
        for key in ("list_id", "import_id"):
            found[key] = None if found[key] is None else str(found[key])
        found["rejected"] = self.rejected
        found["duplicates"] = self.duplicates
        return found


@dataclass(slots=True)
class Meter:
    """Counts what has been read, for progress."""

    total: int
    tell: Callable[[Progress], None] | None = None
    rows: int = 0
    bytes_read: int = 0
    began: float = field(default_factory=time.monotonic)
    rows_before: int = 0
    bytes_before: int = 0

    def report(self, phase: str) -> None:
        """Tell how far the import is."""
        if self.tell is None:
            return
        spent = time.monotonic() - self.began
        read = self.bytes_read - self.bytes_before
        rate = (self.rows - self.rows_before) / spent if spent > 0 else 0.0
        left = (self.total - self.bytes_read) * spent / read if read > 0 else None
        self.tell(
            Progress(phase, min(self.bytes_read, self.total), self.total, self.rows, rate, left)
        )
