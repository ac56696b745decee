"""Reading the CSV files people really have: any encoding, any usual delimiter, any length.

`open_table` looks through the whole file once (encoding, NUL bytes, over-long lines, SHA-256), so
that what is wrong with it is one sentence before anything is written; `Table.rows` then streams it
with memory bounded by one record. Nothing here knows about leads.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import itertools
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, Self

from campaigns.errors import UserError

DELIMITERS = ",;\t|"
LONGEST_LINE = 1_000_000
_MOST_LINES_PER_RECORD = 1000
_MOST_COLUMNS = 1000
_CHUNK = 1 << 19
_SAMPLE = 32_768

# Formats people mistake for CSV, by their first bytes.
_OTHER_FORMATS = (
    (b"PK\x03\x04", "an Excel workbook or ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"SQLite format 3", "an SQLite database"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-8": "UTF-8",
    "cp1252": "Windows-1252",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
}
# Python's own notations: their text may hold characters no database takes.
_NOT_FOR_FILES = frozenset(
    {
        "unicode-escape",
        "unicode_escape",
        "raw-unicode-escape",
        "raw_unicode_escape",
        "utf-7",
        "punycode",
        "idna",
        "undefined",
    }
)
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the line it starts on, its cells, or why it cannot be cut into cells.

    `raw` is the text of a broken record, so that a report can show it.
    """

    line: int
    cells: tuple[str, ...]
    broken: str | None = None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file that was looked through; `header` is made up (`column_1`…) when it has none."""

    path: Path
    encoding: str
    delimiter: str
    skips_spaces: bool
    header: tuple[str, ...]
    has_header: bool
    size_bytes: int
    sha256: str

    @property
    def encoding_name(self) -> str:
        """Return the encoding as people call it."""
        return _NAMES.get(self.encoding, self.encoding)

    @property
    def delimiter_name(self) -> str:
        """Return the delimiter as people call it."""
        return DELIMITER_NAMES.get(self.delimiter, repr(self.delimiter))

    def reader(self) -> Reader:
        """Open the file for reading its records in order; use it in a `with` block."""
        return Reader(self)

    def sample(self, count: int = 200) -> list[tuple[str, ...]]:
        """Return the cells of the first sound records."""
        with self.reader() as reader:
            sound = (record.cells for record in reader if record.broken is None)
            return list(itertools.islice(sound, count))


class Reader:
    """Yields the records of a table after its header; empty lines are left out.

    Memory is bounded by one record. Raises `UserError` when the file turns out unreadable after
    all. `bytes_read` is how far it is, a little ahead of the record last yielded.
    """

    def __init__(self, table: Table) -> None:
        self._lines = _Lines(table.path, table.encoding)
        records = read_records(
            self._lines, table.delimiter, skips_spaces=table.skips_spaces, name=table.path.name
        )
        self._records = filter(is_filled, records)
        if table.has_header:
            next(self._records, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    @property
    def bytes_read(self) -> int:
        """Return how many bytes of the file have been taken in."""
        return self._lines.bytes_read


def is_filled(record: Record) -> bool:
    """Say whether a record holds anything; empty lines are no rows."""
    return record.broken is not None or any(cell.strip() for cell in record.cells)


def open_table(path: Path, *, delimiter: str | None = None, encoding: str | None = None) -> Table:
    """Look through the file and return how to read it; raises `UserError` with one sentence."""
    size = _check_kind(path)
    try:
        with path.open("rb") as raw:
            found, sha256 = _look_through(raw, path.name, encoding)
            raw.seek(0)
            sample = _sample_text(raw, found)
    except PermissionError:
        raise UserError(f"{path} cannot be read: you have no permission to open it.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    skips_spaces = False
    if delimiter is None:
        delimiter, skips_spaces = sniff(sample)
    elif len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise UserError("The delimiter must be one character such as , ; | or a tab.")
    header, has_header = _header(path, found, delimiter, skips_spaces=skips_spaces)
    return Table(path, found, delimiter, skips_spaces, header, has_header, size, sha256)


def _check_kind(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: check the name and the folder.") from None
    except PermissionError:
        raise UserError(f"{path} cannot be read: you have no permission to open it.") from None
    except (OSError, ValueError):
        raise UserError(f"{str(path)!r} is not a usable file name.") from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{path} is a folder: name the CSV file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is no regular file: save the list as a CSV file first.")
    if status.st_size == 0:
        raise UserError(f"{path} is empty: it has neither a header nor a row.")
    return status.st_size


def _look_through(raw: IO[bytes], name: str, wished: str | None) -> tuple[str, str]:
    """Return encoding and SHA-256; the first pass over the file, in pieces."""
    head = raw.read(_SAMPLE)
    for magic, kind in _OTHER_FORMATS:
        if head.startswith(magic):
            raise UserError(f"{name} is {kind}, not a CSV file: save it as CSV (UTF-8) first.")
    candidates = _candidates(head) if wished is None else [_known_encoding(wished)]
    for encoding in candidates:
        raw.seek(0)
        sha256 = _scan(raw, encoding, name)
        if sha256 is not None:
            return encoding, sha256
    tried = " nor ".join(_NAMES.get(encoding, encoding) for encoding in candidates)
    raise UserError(f"{name} is not {tried} text: save it as CSV (UTF-8), or name its encoding.")


def _known_encoding(wished: str) -> str:
    try:
        # Opening a text file refuses the codecs that are no text encodings, such as hex.
        with io.TextIOWrapper(io.BytesIO(), encoding=wished):
            name = codecs.lookup(wished).name
    except (LookupError, ValueError):
        name = ""
    if not name or name in _NOT_FOR_FILES:
        raise UserError(
            f"There is no encoding {wished!r}: use utf-8, cp1252, iso-8859-15, utf-16 or the like."
        )
    return name


def _candidates(head: bytes) -> list[str]:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return [encoding]
    # UTF-16 without a mark: half of the bytes of Western text are NUL, all on the same side.
    if len(head) >= 4:
        for encoding, nul_at in (("utf-16-le", 1), ("utf-16-be", 0)):
            nuls = head[nul_at::2].count(0)
            others = head[1 - nul_at :: 2].count(0)
            if nuls > len(head) // 5 and others * 10 < nuls:
                return [encoding]
    return ["utf-8", "cp1252"]


def _scan(raw: IO[bytes], encoding: str, name: str) -> str | None:
    """Return the SHA-256 if all of the file is text in *encoding* with usable lines, else None."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    line, length = 1, 0
    while True:
        chunk = raw.read(_CHUNK)
        digest.update(chunk)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            return None
        nul = text.find("\0")
        if nul >= 0:
            at = line + text.count("\n", 0, nul)
            raise UserError(
                f"{name} line {at} holds a NUL byte: the file is damaged or no text file."
            )
        line, length = _measure(text, line, length, name)
        if not chunk:
            return digest.hexdigest()


def _measure(text: str, line: int, length: int, name: str) -> tuple[int, int]:
    """Return line number and its length so far at the end of *text*; refuse an endless line."""
    if length + len(text) > LONGEST_LINE:
        for ahead, part in enumerate(text.split("\n")):
            # Old Mac files break lines with CR alone; their one "line" is not endless.
            longest = max(map(len, part.split("\r")))
            if longest + (0 if ahead else length) > LONGEST_LINE:
                raise UserError(
                    f"{name} line {line + ahead} has more than {LONGEST_LINE:,} characters: "
                    "it is no CSV file, or its line ends are lost."
                )
    last = max(text.rfind("\n"), text.rfind("\r"))
    return line + text.count("\n"), len(text) - last - 1 if last >= 0 else length + len(text)


def _sample_text(raw: IO[bytes], encoding: str) -> str:
    """Return the file's beginning, cut at a line end."""
    text = codecs.getincrementaldecoder(encoding)(errors="ignore").decode(raw.read(_SAMPLE))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    end = text.rfind("\n")
    return text[: end + 1] if end > 0 else text


def sniff(sample: str) -> tuple[str, bool]:
    """Return the delimiter, and whether spaces follow it; a comma for one-column files.

    The standard library's sniffer, held to the delimiters people use: unrestricted, it finds
    delimiters in one-column files too.
    """
    lines = [line for line in sample.splitlines() if line.strip()][:100]
    if not any(delimiter in line for line in lines for delimiter in DELIMITERS):
        return ",", False
    try:
        dialect = csv.Sniffer().sniff("\n".join(lines), delimiters=DELIMITERS)
    except csv.Error:
        return max(DELIMITERS, key=lambda mark: (lines[0].count(mark), -DELIMITERS.index(mark))), (
            False
        )
    if dialect.delimiter not in DELIMITERS or dialect.delimiter not in lines[0]:
        best = max(DELIMITERS, key=lines[0].count)
        return (best if best in lines[0] else ","), False
    return dialect.delimiter, dialect.skipinitialspace


def _header(
    path: Path, encoding: str, delimiter: str, *, skips_spaces: bool
) -> tuple[tuple[str, ...], bool]:
    lines = _Lines(path, encoding)
    try:
        for record in read_records(lines, delimiter, skips_spaces=skips_spaces, name=path.name):
            if record.broken is not None:
                raise UserError(f"{path.name} line {record.line}: {record.broken}.")
            if not is_filled(record):
                continue
            if len(record.cells) > _MOST_COLUMNS:
                raise UserError(f"{path.name} has more than {_MOST_COLUMNS:,} columns.")
            if looks_like_data(record.cells):
                made_up = tuple(f"column_{n}" for n in range(1, len(record.cells) + 1))
                return made_up, False
            return _unique(record.cells), True
    finally:
        lines.close()
    raise UserError(f"{path} holds nothing but empty lines.")


def looks_like_data(cells: tuple[str, ...]) -> bool:
    """Say whether a first row is data already: one of its cells is a telephone number."""
    return any(is_phone_like(cell) for cell in cells)


def is_phone_like(cell: str) -> bool:
    """Say whether a cell may be a telephone number: 7 to 15 digits and little else."""
    text = cell.strip()
    digits = sum(character.isdigit() for character in text)
    rest = re.sub(r"[\d\s+().\-/'\"=]", "", text)
    dated = re.fullmatch(r"\d{4}-\d\d-\d\d.*|\d\d?[./]\d\d?[./]\d{4}", text)
    return 7 <= digits <= 15 and len(rest) <= 1 and not dated


def _unique(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Return column names with empty ones named and repeated ones numbered."""
    found: list[str] = []
    for index, cell in enumerate(cells, start=1):
        name = " ".join(cell.split())[:100] or f"column_{index}"
        number = 2
        unique = name
        while unique in found:
            unique = f"{name}_{number}"
            number += 1
        found.append(unique)
    return tuple(found)


class _Lines:
    """Text lines of a file, bounded in length, remembered since the last record began."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._bytes = path.open("rb")
        self._text = io.TextIOWrapper(self._bytes, encoding=encoding, errors="strict", newline="")
        self._name = path.name
        self.count = 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = self._text.readline(LONGEST_LINE + 2)
        except UnicodeDecodeError:
            raise UserError(f"{self._name} changed while it was read: try again.") from None
        if not line:
            raise StopIteration
        self.count += 1
        self.taken.append(line)
        if len(line) > LONGEST_LINE or len(self.taken) > _MOST_LINES_PER_RECORD:
            start = self.count - len(self.taken) + 1
            raise UserError(
                f"{self._name} line {start}: this record does not end; a quote is not closed."
            )
        return line

    @property
    def bytes_read(self) -> int:
        """Return how many bytes of the file have been taken in."""
        return self._bytes.tell()

    def close(self) -> None:
        """Close the file."""
        self._text.close()


class CountedLines(Protocol):
    """Lines of a file; `taken` holds those since it was last cleared."""

    @property
    def count(self) -> int:
        """Return how many lines were given out."""

    taken: list[str]

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str: ...


def read_records(
    lines: CountedLines, delimiter: str, *, skips_spaces: bool, name: str
) -> Iterator[Record]:
    """Cut lines into records; raises `UserError` where the rest of the file cannot be read."""
    # Strict, so that a broken quote is an error on its own line instead of swallowing the next.
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=skips_spaces, strict=True)
    while True:
        start = lines.count + 1
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken = _explain(error, name, start)
            yield Record(start, (), broken, "".join(lines.taken).rstrip("\r\n"))
            continue
        yield Record(start, tuple(cells))


def _explain(error: csv.Error, name: str, line: int) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        raise UserError(f"{name} line {line}: a quote is opened there and never closed.")
    if "field larger" in text:
        raise UserError(f"{name} line {line}: a cell is far too long; a quote is not closed.")
    if "new-line character" in text:
        raise UserError(f"{name} line {line}: mixed line ends; save the file as CSV (UTF-8) again.")
    return "its quotes are broken"
