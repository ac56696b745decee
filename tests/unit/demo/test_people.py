"""The demo's list of leads: reserved numbers, known flaws, the same for the same seed."""

import csv
from pathlib import Path

import phonenumbers
import pytest

from campaigns.lead_numbers import DialableNumber, read_number
from demo import people
from siplab import number_plan


def rows_of(file: people.LeadFile) -> list[dict[str, str]]:
    """Return the rows of the CSV file."""
    with file.leads.open(encoding="utf-8", newline="") as book:
        return list(csv.DictReader(book))


@pytest.mark.parametrize("rows", [people.FEWEST_ROWS, 40, 300, people.MOST_ROWS])
def test_a_list_of_any_size(tmp_path: Path, rows: int) -> None:
    """
    The file has as many rows as asked for, and they are people, duplicates and bad numbers.
    """
    file = people.write_leads(tmp_path, rows=rows, seed=3)

    assert rows == file.rows == len(rows_of(file))
    assert rows == len(file.numbers) + file.duplicates + file.bad
    assert len(file.numbers) == len(set(file.numbers))
    assert set(file.suppressed) < set(file.numbers)


def test_every_number_is_reserved_for_fiction(tmp_path: Path) -> None:
    """
    Read the way the import reads it, every cell is a number of the lab's plan or no number at all.
    """
    file = people.write_leads(tmp_path, rows=400, seed=11)

    read = [read_number(row["Phone"], row["Country"]) for row in rows_of(file)]

    dialable = [number.e164 for number in read if isinstance(number, DialableNumber)]
    assert file.rows - file.bad == len(dialable)
    assert set(file.numbers) == set(dialable)
    assert all(number_plan.is_reserved(number) for number in dialable)


@pytest.mark.parametrize(
    "number", ["+14165550101", "+442079460123", "+33199001234", "+493023125123"]
)
def test_a_number_as_its_country_writes_it(number: str) -> None:
    """
    What stands in the file means the number it was made from.
    """
    parsed = phonenumbers.parse(people.written(number), people.region_of(number))

    found = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    assert number == found
    assert phonenumbers.region_code_for_number(parsed) == people.region_of(number)


def test_the_same_seed_again(tmp_path: Path) -> None:
    """
    One seed writes one list, byte by byte; another seed writes another.
    """
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for folder, seed in ((first, 5), (again, 5), (other, 6)):
        folder.mkdir()
        people.write_leads(folder, rows=60, seed=seed)

    for name in ("leads.csv", "do-not-call.txt"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert (first / "leads.csv").read_bytes() != (other / "leads.csv").read_bytes()


def test_the_last_one_asks_after_the_import(tmp_path: Path) -> None:
    """
    The file of numbers not to call leaves out one person, who is added by hand later.
    """
    file = people.write_leads(tmp_path, rows=100, seed=2)

    written = [line for line in file.do_not_call.read_text().splitlines() if line[0] != "#"]
    assert list(file.suppressed[:-1]) == written


def test_names_of_many_agents() -> None:
    """
    However many agents there are, each has a name of its own that fits a SIP URI.
    """
    names = people.agent_names(people.MOST_AGENTS)

    assert people.MOST_AGENTS == len(set(names))
    assert all(name.isascii() and name.isalnum() for name in names)
