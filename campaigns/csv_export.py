"""CSV that spreadsheets may open: what looks like a formula is made text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

# Telephone numbers and plain numbers begin with signs too, and are no formulas.
_HARMLESS = re.compile(r"[+-]?[0-9][0-9 .,]*")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> str:
    """Return a value as a cell: RFC 3339 in UTC, JSON for what is nested, never a formula.

    A quote before text that a spreadsheet would execute keeps it text (OWASP, CSV Injection).
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    text = str(value)
    if text.startswith(_FORMULA) and not _HARMLESS.fullmatch(text):
        return f"'{text}"
    return text


class CsvFile:
    """A CSV file being written, with its header; lines end with CR LF (RFC 4180)."""

    def __init__(self, out: SupportsWrite[str], columns: Sequence[str]) -> None:
        self._writer = csv.writer(out)
        self._writer.writerow(columns)
        self.rows = 0

    def add(self, row: Sequence[Any]) -> None:
        """Write one row."""
        self._writer.writerow([cell(value) for value in row])
        self.rows += 1
