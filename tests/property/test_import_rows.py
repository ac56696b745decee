"""Any file at all: every row is taken or has a reason, and nothing but a sentence is raised."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns import csv_blocks
from campaigns.csv_blocks import BlockReader
from campaigns.csv_files import Record, Table, open_table
from campaigns.errors import UserError
from campaigns.import_rows import JudgedRow, judge_rows
from campaigns.lead_import import plan_import
from campaigns.lead_numbers import DialableNumber, Reject, read_number
from campaigns.rules.dialable_numbers import NumberKind, examine
from campaigns.seen_numbers import SeenNumbers

CELLS = st.one_of(
    st.sampled_from(
        (
            "+12125550100",
            "(212) 555-0100",
            "911",
            "0900 123456",
            "1.2E+10",
            "=1+1",
            '"',
            'a"b',
            "",
            " ",
            "Jörg",
            "a\nb",
            "a,b;c\td|e",
            "99999999999999999999",
        )
    ),
    st.text(max_size=12),
)
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "latin-1", "shift-jis")


def read(content: bytes, country: str | None) -> tuple[int, list[JudgedRow]] | str:
    """Return how many rows a file has and what becomes of each, or the sentence that refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        path.write_bytes(content)
        try:
            plan = plan_import(path, country=country)
            records = cut(plan.table)
        except UserError as refusal:
            return str(refusal)
        return len(records), judge_rows(records, plan.columns, plan.table.header, plan.country)


def cut(table: Table) -> list[Record]:
    """Return the records of a file; cut in blocks they are those of reading it through."""
    with table.reader() as reader:
        records = list(reader)
    with BlockReader(table) as blocks:
        again = [
            record
            for block in blocks
            for record in block.cut(
                table.delimiter, skips_spaces=table.skips_spaces, name=table.path.name
            )
        ]
    assert records == again
    return records


def check(result: tuple[int, list[JudgedRow]] | str) -> None:
    """Assert what holds for any file."""
    if isinstance(result, str):
        assert result
        assert 1 == len(result.splitlines())
        return
    count, rows = result
    assert count == len(rows)
    assert len({row.line for row in rows}) == len(rows)
    for row in rows:
        if row.reject is None:
            assert 1 <= len(row.numbers) == len(row.regions) == len(row.zones)
            assert all(row.zones)
            for number in row.numbers:
                assert NumberKind.ORDINARY is examine(number).kind
            assert 0 <= row.priority <= 99
        else:
            assert row.reject in set(Reject)
            assert () == row.numbers


@given(st.binary(max_size=400), st.sampled_from((None, "US", "DE")))
@example(b"\xff\xfe", "US")
@example(b"phone\r\r\n\n+12125550100\r", "US")
@example(b"\xef\xbb\xbf", "US")
@example(b'"', "US")
@example(b"phone,phone\n1,2\n", "US")
def test_any_bytes(content: bytes, country: str | None) -> None:
    """
    No sequence of bytes makes the import do anything but read it or refuse it in a sentence.
    """
    check(read(content, country))


@given(
    st.lists(st.lists(CELLS, max_size=5), max_size=12),
    st.sampled_from(",;\t|"),
    st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
    st.sampled_from(("\n", "\r\n", "\r")),
    st.sampled_from(ENCODINGS),
    st.booleans(),
)
def test_any_table(
    rows: list[list[str]],
    delimiter: str,
    quoting: int,
    line_end: str,
    encoding: str,
    headed: bool,  # noqa: FBT001 - hypothesis passes it by place
) -> None:
    """
    Tables of odd cells, ragged or not, in any dialect and encoding, are accounted for row by row.
    """
    text = io.StringIO()
    # QUOTE_ALL or QUOTE_MINIMAL: both are what spreadsheets write.
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end)  # type: ignore[arg-type] # an int is fine
    if headed:
        writer.writerow(("name", "phone", "note"))
    writer.writerows(rows)

    check(read(text.getvalue().encode(encoding, errors="replace"), "US"))


@given(st.text(max_size=30), st.sampled_from((None, "US", "GB", "JM")))
def test_any_cell(cell: str, country: str | None) -> None:
    """
    Any text is a dialable number in a known region with zones, or has its one reason.
    """
    found = read_number(cell, country)

    if isinstance(found, DialableNumber):
        assert NumberKind.ORDINARY is examine(found.e164).kind
        assert found.region
        assert found.zones
    else:
        assert found in set(Reject)


@given(
    st.lists(
        st.tuples(st.sampled_from(("Ana", "Bo Li", "")), st.integers(0, 99)),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "cp1252")),
)
def test_clean_table_loses_nothing(
    people: list[tuple[str, int]], delimiter: str, encoding: str
) -> None:
    """
    A well-formed list comes in whole, whatever its delimiter and encoding.
    """
    lines = [delimiter.join(("name", "phone"))]
    lines += [delimiter.join((name, f"+121255501{line:02d}")) for name, line in people]

    result = read(("\n".join(lines) + "\n").encode(encoding), None)

    assert not isinstance(result, str)
    assert [f"+121255501{line:02d}" for _, line in people] == [row.numbers[0] for row in result[1]]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ("a", "\n", "\r", "\r\n", '"', '"x\ny"', ",", " ", "é", "+12125550100")
            ),
            st.text(max_size=4),
        ),
        max_size=80,
    ),
    st.integers(1, 12),
)
def test_blocks_are_whole_records_wherever_they_end(parts: list[str], size: int) -> None:
    """
    However small the blocks, a file comes out of them as it is read through.
    """
    content = ("name,phone\n" + "".join(parts)).encode()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "_BYTES", size)
        path = Path(folder) / "leads.csv"
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            cut(open_table(path))


@given(
    st.lists(st.lists(st.integers(1, 40), max_size=25), max_size=12),
)
def test_seen_numbers_remember_the_first_line(blocks: list[list[int]]) -> None:
    """
    A number met before is told with the line that had it first, in whichever block that was.
    """
    expected: dict[int, int] = {}
    seen, line = SeenNumbers(), 0
    for block in blocks:
        lines = list(range(line + 1, line + 1 + len(block)))
        line += len(block)

        told = seen.meet(np.array(block, dtype=np.int64), np.array(lines, dtype=np.int32))

        for number, at, earlier in zip(block, lines, told, strict=True):
            assert expected.get(number, 0) == earlier
            expected.setdefault(number, at)


@given(st.binary(min_size=1, max_size=300))
def test_looking_twice_sees_the_same(content: bytes) -> None:
    """
    A file is understood the same way each time it is opened.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        path.write_bytes(content)
        found: list[Table | str] = []
        for _ in range(2):
            try:
                found.append(open_table(path))
            except UserError as refusal:
                found.append(str(refusal))

    assert found[0] == found[1]
