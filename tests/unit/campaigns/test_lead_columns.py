"""Columns are guessed from their names and contents, shown, and overridden."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.csv_files import open_table
from campaigns.errors import UserError
from campaigns.lead_columns import choose, parse_mapping


def meanings(folder: Path, text: str, mapping: dict[str, str] | None = None) -> list[str]:
    """Return what the columns of a file with this text mean."""
    path = folder / "leads.csv"
    path.write_text(text, encoding="utf-8")
    _, uses = choose(open_table(path), mapping)
    return [use.meaning for use in uses]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name,Phone\na,212-555-0100\n", ["name", "phone"]),
        ("Kunde;Telefon;PLZ\na;030 23125123;10115\n", ["name", "phone", "postcode"]),
        (
            "First Name,Last Name,Mobile Phone,Home Phone,Time Zone\na,b,2125550100,2125550101,\n",
            ["first_name", "last_name", "phone", "phone2", "zone"],
        ),
        ("phone1,phone2,phone3\n2125550100,2125550101,2125550102\n", ["phone", "phone2", "phone3"]),
        (
            "Prénom,Numéro de téléphone,Pays\na,+33199001234,FR\n",
            ["first_name", "phone", "country"],
        ),
        ("id,who,contact details\n1,a,+12125550100\n2,b,+12125550101\n", ["kept", "kept", "phone"]),
        # A column called number that holds house numbers is not the telephone.
        ("number,street,phone\n12,Main St,2125550100\n", ["kept", "kept", "phone"]),
        ("+12125550100,Ana\n+12125550101,Bo\n", ["phone", "name"]),
        ("phone,priority,country\n+12125550100,5,US\n", ["phone", "priority", "country"]),
        ("account,phone\n1234567890,212-555-0100\n", ["kept", "phone"]),
    ],
)
def test_guess(tmp_path: Path, text: str, expected: list[str]) -> None:
    """
    Usual names in several languages are understood, and contents decide where names do not.
    """
    assert expected == meanings(tmp_path, text)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"phone": "b"}, ["kept", "phone", "name"]),
        ({"phone": "B", "phone2": "a"}, ["phone2", "phone", "name"]),
        ({"phone": "2", "name": ""}, ["kept", "phone", "kept"]),
        ({"name": "a"}, ["name", "phone", "kept"]),
    ],
)
def test_override(tmp_path: Path, mapping: dict[str, str], expected: list[str]) -> None:
    """
    What the user says about a column stands, by name in any case or by number.
    """
    text = "a,b,name\n2125550100,2125550101,x\n2125550102,2125550103,y\n"

    assert expected == meanings(tmp_path, text, mapping)


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ("phone", "not written as meaning=column"),
        ("fone=a", "cannot mean 'fone'"),
    ],
)
def test_mapping_that_is_none(mapping: str, sentence: str) -> None:
    """
    A mapping that cannot be read says how one is written.
    """
    with pytest.raises(UserError, match=sentence):
        parse_mapping(mapping)


def test_mapping_to_an_absent_column(tmp_path: Path) -> None:
    """
    A column that is not there is named together with those that are.
    """
    with pytest.raises(UserError, match=r"no column 'Tel': it has 'Name', 'Phone'"):
        meanings(tmp_path, "Name,Phone\na,2125550100\n", {"phone": "Tel"})


def test_samples_are_shown(tmp_path: Path) -> None:
    """
    Beside each column stand its first different values.
    """
    path = tmp_path / "leads.csv"
    path.write_text("n,phone\na,2125550100\na,2125550101\nb,2125550102\n", encoding="utf-8")

    _, uses = choose(open_table(path))

    assert ("a", "b") == uses[0].samples
