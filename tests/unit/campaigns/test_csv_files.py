"""Files that are no usable list are refused in one sentence each; the others are read right."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from campaigns.csv_files import open_table, sniff
from campaigns.errors import UserError
from campaigns.lead_import import plan_import


def write(folder: Path, content: bytes) -> Path:
    """Write *content* as a file and return its path."""
    path = folder / "leads.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n\n  \n", "nothing but empty lines"),
        (b"name,phone\n", "a header and no row"),
        (b"name,phone\na,212\x005550100\n", "line 2 holds a NUL byte"),
        (b"PK\x03\x04" + b"x" * 100, "Excel workbook"),
        (b"name,phone\n\xe9\x81,1\n", "nor Windows-1252"),
        (b'name,phone\n"a,212-555-0100\nb,212-555-0101\n', "line 2: a quote is opened"),
        (b'"name,phone\na,212-555-0100\n', "line 1: a quote is opened"),
        (b"name:phone\na:212-555-0100\n", "phone=COLUMN"),
        (b"name,email\na,b@c.d\n", "phone=COLUMN"),
        ("name,phone\na,1\n".encode("utf-16")[:-1], "is not UTF-16"),
        (b"phone\n" + b"212-555-0100\n" * 3, "--country"),
        (b"," * 5000 + b"\n", "nothing but empty lines"),
        (b"x," * 5000 + b"\n", "more than 1,000 columns"),
        (b'name,phone\n"' + b"a\n" * 2000, "a quote is not closed"),
        (b'name,phone\n"' + b"a" * 140_000 + b'"\n', "a quote is not closed"),
    ],
    ids=[
        "0-byte",
        "blank",
        "header only",
        "NUL",
        "xlsx",
        "bad bytes",
        "open quote",
        "open quote in header",
        "wrong delimiter",
        "no phone",
        "cut UTF-16",
        "no country",
        "commas",
        "columns",
        "quote over many lines",
        "huge cell",
    ],
)
def test_unusable_file_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    """
    What is wrong with a file, and what to do about it, is said in one sentence.
    """
    path = write(tmp_path, content)

    with pytest.raises(UserError) as failure:
        plan_import(path)

    said = str(failure.value)
    assert sentence in said
    assert 1 == len(said.splitlines())


def test_single_endless_line_is_refused_in_little_memory(tmp_path: Path) -> None:
    """
    A 200 MB line is refused from its first megabyte on.
    """
    path = tmp_path / "leads.csv"
    with path.open("wb") as file:
        file.write(b"name,phone\n")
        for _ in range(200):
            file.write(b"x" * 1_000_000)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(UserError, match="line 2 has more than 1,000,000 characters"):
        open_table(path)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("absent.csv", "There is no file"), (".", "is a folder"), ("pipe", "no regular file")],
)
def test_path_that_is_no_file_is_named_for_what_it_is(
    tmp_path: Path, name: str, sentence: str
) -> None:
    """
    A missing file, a folder and a pipe are told apart.
    """
    if name == "pipe":
        os.mkfifo(tmp_path / name)

    with pytest.raises(UserError, match=sentence):
        open_table(tmp_path / name)


def test_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that may not be opened is a matter of permission, not of contents.
    """
    path = write(tmp_path, b"phone\n1\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may open anything, so the refusal itself has to be made.
    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(UserError, match="no permission"):
        open_table(path)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("phone\n2125550100\n2125550101\n", ","),
        ("name;phone\na, b;1\nc;2\n", ";"),
        ("name\tphone\na b\t1\n", "\t"),
        ("name|phone\na|1\n", "|"),
        ('"name","phone"\n"a;b","1"\n', ","),
        ("a b c\nd e f\n", ","),
    ],
)
def test_delimiter_is_found(sample: str, expected: str) -> None:
    """
    The delimiter is one people use, and a one-column file has none.
    """
    assert expected == sniff(sample)[0]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    """
    A record is known by the line it starts on, also after cells of several lines and blank lines.
    """
    path = write(tmp_path, b'name,phone\n"a\nb",1\n\nc,2\n"torn"x,3\nd,4\n')

    with open_table(path).reader() as reader:
        found = [(record.line, record.cells, record.broken) for record in reader]

    assert [
        (2, ("a\nb", "1"), None),
        (5, ("c", "2"), None),
        (6, (), "its quotes are broken"),
        (7, ("d", "4"), None),
    ] == found


def test_old_mac_line_ends_are_lines(tmp_path: Path) -> None:
    """
    A file whose lines end in CR alone is read line by line.
    """
    path = write(tmp_path, b"name,phone\ra,1\rb,2\r")

    with open_table(path).reader() as reader:
        assert [("a", "1"), ("b", "2")] == [record.cells for record in reader]


@pytest.mark.parametrize("encoding", ["nonsense", "hex", "idna", "unicode_escape", ""])
def test_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    """
    An encoding nobody has for files is named, with some that are.
    """
    path = write(tmp_path, b"phone\n+12125550100\n")

    with pytest.raises(UserError, match="no encoding"):
        open_table(path, encoding=encoding)


def test_named_encoding_is_used(tmp_path: Path) -> None:
    """
    The user's word about the encoding stands.
    """
    path = write(tmp_path, "name,phone\n\u20ac,+12125550100\n".encode("iso-8859-15"))

    assert "\u20ac" == open_table(path, encoding="iso-8859-15").sample()[0][0]
