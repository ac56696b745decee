"""A CSV file in blocks of whole records, so that other processes can do the cutting into cells.

Text without a single quote sign may be cut at any line end: such a block travels as it is. Where
quotes stand, only the CSV reader knows where a record ends, so those parts are read here, record by
record. Blocks are the same each time the same file is read, which is what resuming rests on.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from campaigns.csv_files import LONGEST_LINE, Record, is_filled, read_records
from campaigns.errors import UserError

if TYPE_CHECKING:
    from campaigns.csv_files import Table

_BYTES = 1 << 18
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")
_MOST_LINES_PER_RECORD = 1000


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records: text to cut, starting at `line`, or the records of a part with quotes.

    `bytes_read` is how far the file has been read after it.
    """

    number: int
    line: int
    text: str
    records: tuple[Record, ...]
    bytes_read: int

    def cut(self, delimiter: str, *, skips_spaces: bool, name: str) -> Iterator[Record]:
        """Yield the block's records that are not empty; raises `UserError`."""
        yield from self.records
        cells = csv.reader(
            io.StringIO(self.text, newline=""),
            delimiter=delimiter,
            skipinitialspace=skips_spaces,
            strict=True,
        )
        line = self.line - 1
        try:
            for line, found in enumerate(cells, self.line):
                if any(found) and any(map(str.strip, found)):
                    yield Record(line, tuple(found))
        except csv.Error:
            raise UserError(
                f"{name} line {line + 1}: a cell is far too long to be one; check the delimiter."
            ) from None


class BlockReader:
    """Yields the blocks of a table after its header; use it in a `with` block."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lines = _Lines(table)
        self._records = read_records(
            self._lines, table.delimiter, skips_spaces=table.skips_spaces, name=table.path.name
        )
        self._number = 0
        self._header_due = table.has_header

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Block:
        while True:
            text = self._lines.whole_lines()
            if not text:
                raise StopIteration
            line = self._lines.count + 1
            if self._header_due or '"' in text:
                records = self._cut_here(len(text))
                if not records:
                    continue
                text = ""
            else:
                self._lines.drop(text)
                records = ()
            block = Block(self._number, line, text, records, self._lines.bytes_read)
            self._number += 1
            return block

    def _cut_here(self, length: int) -> tuple[Record, ...]:
        """Read records until *length* characters are used up; a record may reach beyond them."""
        found = []
        until = self._lines.used + length
        while self._lines.used < until:
            record = next(self._records, None)
            if record is None:
                break
            if not is_filled(record):
                continue
            if self._header_due:
                self._header_due = False
                continue
            found.append(record)
        return tuple(found)


class _Lines:
    """The file's text, taken line by line or in whole lines; lines end with CR, LF or both."""

    def __init__(self, table: Table) -> None:
        self._name = table.path.name
        self._file = table.path.open("rb")
        self._decoder = codecs.getincrementaldecoder(table.encoding)(errors="strict")
        self._text = ""
        self._at = 0
        self._ended = False
        self.count = 0
        self.used = 0
        self.bytes_read = 0
        self.taken: list[str] = []

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fill(self) -> None:
        raw = self._file.read(_BYTES)
        self.bytes_read += len(raw)
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            raise UserError(f"{self._name} changed while it was read: try again.") from None
        self._text = self._text[self._at :] + text
        self._at = 0
        self._ended = not raw

    def whole_lines(self) -> str:
        """Return what is at hand up to its last line end, at least one line; empty at the end."""
        if len(self._text) - self._at < _BYTES // 4 and not self._ended:
            self._fill()
        while True:
            if self._ended:
                return self._text[self._at :]
            end = self._text.rfind("\n", self._at) + 1
            if not end:
                # Old Mac files end lines with CR alone; a CR at the very end may be half an end.
                end = self._text.rfind("\r", self._at, len(self._text) - 1) + 1
            if end > self._at:
                return self._text[self._at : end]
            self._fill()

    def drop(self, text: str) -> None:
        """Count *text*, which `whole_lines` gave, as used."""
        ends = text.count("\n") + text.count("\r") - text.count("\r\n")
        self.count += ends + (not text.endswith(("\n", "\r")))
        self._use(len(text))

    def _use(self, length: int) -> None:
        self._at += length
        self.used += length

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        match = _LINE.match(self._text, self._at)
        # What ends at the very end of the text may be half of a line end.
        while not self._ended and (match is None or match.end() == len(self._text)):
            self._fill()
            match = _LINE.match(self._text, self._at)
        line = self._text[self._at :] if match is None else match[0]
        if not line:
            raise StopIteration
        self._use(len(line))
        self.count += 1
        self.taken.append(line)
        if len(line) > LONGEST_LINE or len(self.taken) > _MOST_LINES_PER_RECORD:
            start = self.count - len(self.taken) + 1
            raise UserError(
                f"{self._name} line {start}: this record does not end; a quote is not closed."
            )
        return line
