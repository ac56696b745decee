"""One row of a file: a lead with its numbers, or a reason; and blocks of rows ready to be stored.

Pure, so that blocks can be judged in other processes; what leaves here is already in the form the
database takes.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, NamedTuple

from campaigns.lead_numbers import DialableNumber, Reject, country_code, read_number
from campaigns.stores import copy_format
from campaigns.stores.copy_format import NULL

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.csv_blocks import Block
    from campaigns.csv_files import Record
    from campaigns.lead_columns import Columns

_HIGHEST_PRIORITY = 99
_LONGEST_NAME = 200

LEAD_COLUMNS = (
    "id", "list_id", "subject_id", "priority", "name", "fields", "source_line", "import_id",
    "address_state", "debt",
)  # fmt: skip
NUMBER_COLUMNS = ("id", "lead_id", "position", "number", "region", "zones", "landline")
_LANDLINE_WORDS = frozenset(
    {"landline", "fixed", "fixedline", "fixed_line", "festnetz", "fixe", "fijo", "home", "yes"}
)
_YES_WORDS = frozenset({"yes", "y", "true", "1", "x", "ja", "oui", "si", "sí", "given", "granted"})


class Consent(NamedTuple):
    """What a row says of the person's consent to be called; it holds for the row's numbers."""

    given_at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One row: a lead with its numbers in order, or `reject`; `fields` is a JSON object as text."""

    line: int
    cells: tuple[str, ...]
    reject: Reject | None = None
    name: str = ""
    priority: int = 0
    fields: str = "{}"
    numbers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    zones: tuple[tuple[str, ...], ...] = ()
    person: str = ""
    state: str = ""
    debt: str = ""
    is_landline: bool = False
    consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of a file are to be understood: everything that makes a row what it is."""

    name: str
    delimiter: str
    skips_spaces: bool
    header: tuple[str, ...]
    columns: Columns
    country: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not taken: its line, why, and what it said."""

    line: int
    reason: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a repeated row says, for those who want it to update the lead it repeats."""

    line: int
    name: str
    priority: int
    fields: str


@dataclass(frozen=True, slots=True)
class JudgedBlock:
    """A block's leads, not yet compared with any others, and its rejects.

    Row *i* of the leads has its first number in `first[i]` (its digits as an integer), its line in
    `lines[i]`, its region in `regions[i]`, and its rows for COPY in `subjects[i]`, `leads[i]` and
    `numbers[i]`. `others` are further numbers with the place of their row; `consents` are line,
    number and consent.
    """

    number: int
    rows: int
    bytes_read: int
    first: array[int]
    lines: array[int]
    regions: tuple[str, ...]
    subjects: tuple[bytes, ...]
    leads: tuple[bytes, ...]
    numbers: tuple[bytes, ...]
    others: tuple[tuple[int, str], ...]
    candidates: tuple[Candidate, ...]
    consents: tuple[tuple[int, str, Consent], ...]
    refused: tuple[Refused, ...]


def judge_block(
    block: Block, reading: Reading, *, list_id: UUID, import_id: UUID, keeps_candidates: bool
) -> JudgedBlock:
    """Return what becomes of each row of a block; raises `UserError` if it cannot be cut."""
    records = block.cut(reading.delimiter, skips_spaces=reading.skips_spaces, name=reading.name)
    taken: list[JudgedRow] = []
    refused: list[Refused] = []
    for row in judge_rows(records, reading.columns, reading.header, reading.country):
        if row.reject is None:
            taken.append(row)
        else:
            refused.append(Refused(row.line, str(row.reject), row.cells))
    ids = copy_format.new_ids(3 * len(taken))
    subjects = tuple(
        _subject_of(row.person) if row.person else ids[3 * place] for place, row in enumerate(taken)
    )
    list_field = copy_format.uuid(list_id.bytes)
    end = copy_format.uuid(import_id.bytes)
    return JudgedBlock(
        number=block.number,
        rows=len(taken) + len(refused),
        bytes_read=block.bytes_read,
        first=array("q", [int(row.numbers[0]) for row in taken]),
        lines=array("i", [row.line for row in taken]),
        regions=tuple([row.regions[0] for row in taken]),
        subjects=subjects,
        leads=tuple(
            [
                _lead(row, ids[3 * place + 1], list_field, subjects[place], end)
                for place, row in enumerate(taken)
            ]
        ),
        numbers=tuple(
            [
                _numbers_of(row, ids[3 * place + 1], ids[3 * place + 2])
                for place, row in enumerate(taken)
            ]
        ),
        others=tuple(
            (place, number) for place, row in enumerate(taken) for number in row.numbers[1:]
        ),
        candidates=tuple(Candidate(row.line, row.name, row.priority, row.fields) for row in taken)
        if keeps_candidates
        else (),
        consents=tuple(
            (row.line, number, row.consent)
            for row in taken
            if row.consent is not None
            for number in row.numbers
        ),
        refused=tuple(refused),
    )


# For COPY ---------------------------------------------------------------------------------------

_LEAD_START = copy_format.fields(len(LEAD_COLUMNS))
_NUMBER_START = copy_format.fields(len(NUMBER_COLUMNS))


def _subject_of(person: str) -> bytes:
    """Return the id of the person a list names by a key: the same in every file (RFC 9562 §5.8)."""
    raw = bytearray(hashlib.sha256(b"person\0" + person.encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def _lead(row: JudgedRow, lead_id: bytes, list_field: bytes, subject: bytes, end: bytes) -> bytes:
    return b"".join(
        (
            _LEAD_START,
            copy_format.uuid(lead_id),
            list_field,
            copy_format.uuid(subject),
            copy_format.integer(row.priority),
            copy_format.text(row.name),
            copy_format.jsonb(row.fields),
            copy_format.integer(row.line),
            end,
            copy_format.text(row.state) if row.state else NULL,
            copy_format.text(row.debt) if row.debt else NULL,
        )
    )


def _numbers_of(row: JudgedRow, lead_id: bytes, first_id: bytes) -> bytes:
    ids = [first_id]
    if len(row.numbers) > 1:
        ids += copy_format.new_ids(len(row.numbers) - 1)
    return b"".join(
        [
            b"".join(
                (
                    _NUMBER_START,
                    copy_format.uuid(ids[place]),
                    copy_format.uuid(lead_id),
                    copy_format.integer(place),
                    copy_format.text(number),
                    copy_format.text(row.regions[place]),
                    copy_format.texts_often(row.zones[place]),
                    copy_format.boolean(value=row.is_landline and place == 0),
                )
            )
            for place, number in enumerate(row.numbers)
        ]
    )


# Rows -------------------------------------------------------------------------------------------


def judge_rows(
    records: Iterable[Record], columns: Columns, header: Sequence[str], country: str | None
) -> list[JudgedRow]:
    """Return each record as a lead or as a reject, in order."""
    keys = _field_keys(columns, header)
    return [_judge_row(record, columns, len(header), keys, country) for record in records]


def _field_keys(columns: Columns, header: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Return the columns that stay with the lead as text, each with its key in JSON."""
    spoken_for = {*columns.phones, columns.name, columns.zone, columns.priority}
    if columns.name is None:
        spoken_for |= {columns.first_name, columns.last_name}
    return tuple(
        (index, f"{encode_basestring(name)}: ")
        for index, name in enumerate(header)
        if index not in spoken_for
    )


def _judge_row(
    record: Record,
    columns: Columns,
    width: int,
    keys: Sequence[tuple[int, str]],
    country: str | None,
) -> JudgedRow:
    cells = record.cells
    if record.broken is not None:
        return JudgedRow(record.line, (record.raw,), Reject.QUOTES)
    if len(cells) > width and any(cell.strip() for cell in cells[width:]):
        return JudgedRow(record.line, cells, Reject.CELLS)
    priority = _priority(_cell(cells, columns.priority))
    if priority is None:
        return JudgedRow(record.line, cells, Reject.PRIORITY)
    consent: Consent | Reject | None = None
    if columns.consent is not None:
        consent = _consent(cells, columns)
    if isinstance(consent, Reject):
        return JudgedRow(record.line, cells, consent)
    numbers, reject = _numbers(cells, columns, country)
    if not numbers:
        return JudgedRow(record.line, cells, reject)
    return JudgedRow(
        line=record.line,
        cells=cells,
        name=_name(cells, columns),
        priority=priority,
        fields=_fields(cells, keys),
        numbers=tuple([number.e164 for number in numbers]),
        regions=tuple([number.region for number in numbers]),
        zones=tuple([number.zones for number in numbers]),
        person=_cell(cells, columns.person),
        state=_state(_cell(cells, columns.state)),
        debt=_cell(cells, columns.debt)[:_LONGEST_NAME],
        is_landline=_cell(cells, columns.line_type).casefold() in _LANDLINE_WORDS,
        consent=consent,
    )


def _state(text: str) -> str:
    """Return a US state's two letters; other words say nothing the rules could use."""
    return text.upper() if len(text) == 2 and text.isalpha() and text.isascii() else ""


def _consent(cells: Sequence[str], columns: Columns) -> Consent | Reject | None:
    """Return the consent a row states; a consent without its day proves nothing."""
    if _cell(cells, columns.consent).casefold() not in _YES_WORDS:
        return None
    try:
        given_at = datetime.fromisoformat(_cell(cells, columns.consent_date))
    except ValueError:
        return Reject.CONSENT
    if given_at.tzinfo is None:
        given_at = given_at.replace(tzinfo=UTC)
    return Consent(given_at, _cell(cells, columns.consent_source)[:_LONGEST_NAME])


def _cell(cells: Sequence[str], index: int | None) -> str:
    return "" if index is None or index >= len(cells) else cells[index].strip()


def _priority(text: str) -> int | None:
    if not text:
        return 0
    if text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) <= _HIGHEST_PRIORITY:
        return int(text)
    return None


def _numbers(
    cells: Sequence[str], columns: Columns, country: str | None
) -> tuple[list[DialableNumber], Reject]:
    """Return the row's usable numbers in order, and why the first unusable one is not."""
    stated = _cell(cells, columns.country)
    own = country_code(stated) if stated else country
    zone = _cell(cells, columns.zone)
    found: list[DialableNumber] = []
    reject: Reject | None = None
    for index in columns.phones:
        result = read_number(_cell(cells, index), own, zone)
        if isinstance(result, DialableNumber):
            if all(result.e164 != number.e164 for number in found):
                found.append(result)
        elif reject in {None, Reject.NO_NUMBER}:
            unknown = result is Reject.NO_COUNTRY and bool(stated)
            reject = Reject.UNKNOWN_COUNTRY if unknown else result
    return found, reject or Reject.NO_NUMBER


def _name(cells: Sequence[str], columns: Columns) -> str:
    if columns.name is not None:
        return _cell(cells, columns.name)[:_LONGEST_NAME]
    parts = (_cell(cells, columns.first_name), _cell(cells, columns.last_name))
    return " ".join(filter(None, parts))[:_LONGEST_NAME]


def _fields(cells: Sequence[str], keys: Sequence[tuple[int, str]]) -> str:
    """Return what the file says beyond number and name: text, so nothing goes through a float."""
    found = [
        key + encode_basestring(text)
        for index, key in keys
        if index < len(cells) and (text := cells[index].strip())
    ]
    return "{" + ", ".join(found) + "}"
