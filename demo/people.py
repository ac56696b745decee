"""The people of the demo: agents, and a made-up list of leads with the flaws real lists have.

Every number comes from the ranges reserved for fiction, so no telephone of a real person can ring;
what each of them does when called is the lab's number plan.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from siplab import number_plan

AGENTS = (
    "anna", "ben", "carla", "dev", "elif", "farid", "grace", "hugo", "ines", "jonas",
    "kofi", "lena", "maya", "nils", "olga", "paolo", "qiang", "rosa", "samir", "tess",
)  # fmt: skip
MOST_AGENTS = 50

HEADER = ("Customer", "Phone", "Country", "City", "Tariff", "Monthly bill")
REGIONS = number_plan.COUNTRIES

# Shares of the rows that are not simply a person to call, as in lists people really have.
DUPLICATE_SHARE = 0.04
BAD_SHARE = 0.04
DO_NOT_CALL_SHARE = 0.04
FEWEST_ROWS = 20
MOST_ROWS = 3000

_GIVEN = (
    "Ada", "Amir", "Bea", "Carlos", "Chloe", "Dana", "Deniz", "Elena", "Emil", "Fatima", "Felix",
    "Gina", "Hana", "Ivan", "Jana", "Kai", "Leila", "Luca", "Mara", "Milo", "Nadia", "Noah",
    "Olu", "Petra", "Rafael", "Rania", "Sven", "Tara", "Uma", "Viktor", "Wen", "Yusuf", "Zoe",
)  # fmt: skip
_FAMILY = (
    "Abara", "Bauer", "Castel", "Diallo", "Ekberg", "Fontaine", "Garcia", "Hansen", "Ibrahim",
    "Jensen", "Kowalski", "Lindqvist", "Moreau", "Nakata", "Okafor", "Patel", "Quinn", "Rossi",
    "Schmidt", "Tremblay", "Usman", "Virtanen", "Weber", "Yilmaz", "Zhang",
)  # fmt: skip
_CITIES = {
    "US": ("Springfield", "Fairview", "Riverside", "Georgetown"),
    "CA": ("Maple Bay", "Port Lorne", "Kingsford"),
    "GB": ("Ashbury", "Little Marlow", "Westhaven"),
    "FR": ("Saint-Clair", "Villebelle", "Montrose"),
    "DE": ("Neudorf", "Altstadt", "Seeheim"),
    "AU": ("Coral Creek", "Banksia", "Yarraville"),
}
_TARIFFS = ("Basic", "Green", "Night", "Family")

# What stands in phone columns instead of a number. No digits here can reach anybody.
_NOT_NUMBERS = ("n/a", "555-01", "call the office", "1.2E+10", "+1 202 555", "", "911", "00000")


@dataclass(frozen=True, slots=True)
class LeadFile:
    """What was written, and what is therefore to be expected of the import."""

    leads: Path
    do_not_call: Path
    rows: int
    duplicates: int
    bad: int
    numbers: tuple[str, ...]
    """Every number the file holds, once, as E.164."""
    suppressed: tuple[str, ...]
    """Those of them whose people asked not to be called; the last one asks after the import."""


def agent_names(count: int) -> tuple[str, ...]:
    """Return *count* different names, 50 at most."""
    return tuple(
        AGENTS[index % len(AGENTS)]
        + (str(index // len(AGENTS) + 1) if index >= len(AGENTS) else "")
        for index in range(count)
    )


def write_leads(folder: Path, *, rows: int, seed: int) -> LeadFile:
    """Write leads.csv and do-not-call.txt; the same *seed* writes the same files."""
    source = random.Random(seed)
    duplicates = max(1, round(DUPLICATE_SHARE * rows))
    bad = max(1, round(BAD_SHARE * rows))
    suppressed = max(2, round(DO_NOT_CALL_SHARE * rows))
    numbers = number_plan.numbers(seed, rows - duplicates - bad, REGIONS)
    lines = [_row(number, source) for number in numbers]
    lines += [_row(number, source) for number in source.sample(numbers, duplicates)]
    lines += [_bad_row(_NOT_NUMBERS[index % len(_NOT_NUMBERS)], source) for index in range(bad)]
    source.shuffle(lines)
    leads, do_not_call = folder / "leads.csv", folder / "do-not-call.txt"
    with leads.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(HEADER)
        writer.writerows(lines)
    unwanted = tuple(source.sample(numbers, suppressed))
    do_not_call.write_text(
        "# Numbers of people who asked not to be called.\n" + "\n".join(unwanted[:-1]) + "\n",
        encoding="utf-8",
    )
    return LeadFile(
        leads=leads,
        do_not_call=do_not_call,
        rows=len(lines),
        duplicates=duplicates,
        bad=bad,
        numbers=tuple(numbers),
        suppressed=unwanted,
    )


def region_of(number: str) -> str:
    """Return the country of a reserved number.

    >>> region_of("+442079460123")
    'GB'
    """
    prefixes = {"+44": "GB", "+33": "FR", "+49": "DE", "+61": "AU"}
    found = prefixes.get(number[:3])
    if found is not None:
        return found
    return "CA" if number[2:5] in _CANADIAN else "US"


def written(number: str) -> str:
    """Return a number the way people of its country write it."""
    match region_of(number):
        case "US" | "CA":
            return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
        case "GB":
            return f"020 {number[5:9]} {number[9:]}"
        case "FR":
            return " ".join(("+33", number[3], *_pairs(number[4:])))
        case "DE":
            return f"030 {number[5:]}"
        case _:
            return number


_CANADIAN = frozenset(
    number[2:5] for number in number_plan.plan_numbers("CA") if number.endswith("00")
)


def _pairs(digits: str) -> Iterator[str]:
    for start in range(0, len(digits), 2):
        yield digits[start : start + 2]


def _row(number: str, source: random.Random) -> tuple[str, ...]:
    region = region_of(number)
    return _person(written(number), region, source)


def _bad_row(instead: str, source: random.Random) -> tuple[str, ...]:
    return _person(instead, "US", source)


def _person(phone: str, region: str, source: random.Random) -> tuple[str, ...]:
    return (
        f"{source.choice(_GIVEN)} {source.choice(_FAMILY)}",
        phone,
        region,
        source.choice(_CITIES[region]),
        source.choice(_TARIFFS),
        f"{source.uniform(18, 140):.2f}",
    )
