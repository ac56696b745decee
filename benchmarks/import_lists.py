"""A million rows of several countries, imported, beside COPY of the same bytes.

The file has 3 % rows that cannot be taken and 5 % that repeat a number. `dialer leads import`
brings it into a fresh campaign of the embedded Postgres as it ships, as a process of its own whose
memory, workers included, is sampled; COPY puts the very same file into a table of its text columns,
before and after, in the same database.

    python -m benchmarks import [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import phonenumbers
import psutil

from benchmarks import testbed
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_least, at_most
from campaigns.rules.dialable_numbers import NumberKind, examine
from campaigns.stores import campaigns
from campaigns.stores.campaigns import NewCampaign

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from benchmarks.testbed import Database

TARGETS = {
    "ratio_to_copy": at_most(20),
    "peak_mb": at_most(300),
    "unaccounted_rows": at_most(0),
    "rows_per_s": at_least(1),
}
ROWS = {False: 1_000_000, True: 60_000}
BAD, REPEATED = 0.03, 0.05
# Lists of the trade: mostly one country, some of the others, written as people write them.
COUNTRIES = {"US": 0.6, "CA": 0.1, "GB": 0.12, "DE": 0.08, "FR": 0.05, "AU": 0.05}
HEADER = ("first name", "last name", "phone", "country", "city", "zip", "email", "balance", "note")
BAD_CELLS = ("", "n/a", "911", "12345", "1.2E+10", "900-555-1234", "+8816 1234 5678", "555-0100")
_SAMPLE_S = 0.25
_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class _Shape:
    """How numbers of a country begin, and how many digits follow."""

    country: str
    starts: tuple[str, ...]
    digits: int


async def measure(options: Options) -> Found:
    """Write the file, then COPY, import and COPY it."""
    rows = ROWS[options.quick]
    async with testbed.postgres() as database:
        path = database.folder / "leads.csv"
        await asyncio.to_thread(write_list, path, rows, options.seed)
        async with database.pool.acquire() as connection:
            await campaigns.create(
                connection,
                NewCampaign(
                    name="spring", seller="Acme", profile="us-tsr", regions=tuple(COUNTRIES)
                ),
            )
        progress(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB: COPY")
        copies = [await copied(database, path)]
        progress("import")
        found = await imported(database, path)
        copies.append(await copied(database, path))
        report = found.report
        taken = report["accepted"] + report["rejected"] + report["duplicates"]
        stored = await database.pool.fetchval("SELECT count(*) FROM lead")
        copy_s = sum(each.seconds for each in copies) / len(copies)
        copy_cpu_s = sum(each.cpu_s for each in copies) / len(copies)
        return Found(
            {
                "rows_per_s": rows / found.seconds,
                "ratio_to_copy": found.seconds / copy_s,
                "peak_mb": found.peak_mb,
                "unaccounted_rows": float(abs(rows - taken) + abs(report["accepted"] - stored)),
                "import_s": found.seconds,
                "copy_s": copy_s,
                "import_cpu_s": found.cpu_s,
                "cpu_ratio_to_copy": found.cpu_s / copy_cpu_s,
                "import_postgres_cpu_s": found.postgres_cpu_s,
                "accepted": float(report["accepted"]),
                "rejected": float(report["rejected"]),
                "repeated": float(report["duplicates"]),
            },
            (database.version,),
        )


# The file ---------------------------------------------------------------------------------------


def write_list(path: Path, rows: int, seed: int) -> None:
    """Write the list: the same for the same seed."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(people(rows, chance))


def people(rows: int, chance: random.Random) -> Iterator[tuple[str, ...]]:
    """Yield the rows: bad, repeated, or a new number."""
    shapes = [shape_of(country) for country in COUNTRIES]
    picks = chance.choices(shapes, weights=list(COUNTRIES.values()), k=rows)
    seen: list[tuple[str, str]] = []
    used: set[str] = set()
    for place, shape in enumerate(picks):
        lot = chance.random()
        country = shape.country
        if lot < BAD:
            phone = chance.choice(BAD_CELLS)
        elif lot < BAD + REPEATED and seen:
            phone, country = chance.choice(seen)
        else:
            phone = _number(shape, chance, used)
            if len(seen) < 10_000:
                seen.append((phone, country))
        yield (
            chance.choice(FIRST),
            chance.choice(LAST),
            phone,
            country,
            chance.choice(CITIES),
            f"{chance.randrange(100_000):05d}",
            f"person{place}@example.com",
            f"{chance.randrange(1_000_000) / 100:.2f}",
            "asked for a call back" if lot > 0.7 else "",
        )


FIRST = ("Ana", "Bo", "José", "Zoë", "Müge", "Ivan", "Lucía", "Tom", "Änne", "Priya")
LAST = ("Ruiz", "Li", "O'Neill", "Müller", "García", "Smith", "Dubois", "Nowak", "Singh", "Ng")
CITIES = ("Boston", "Köln", "Leeds", "Lyon", "Perth", "Toronto", "San José", "Århus")


def shape_of(country: str) -> _Shape:
    """Return starts after which any digits make an ordinary number of the country."""
    chance = random.Random(country)
    example = phonenumbers.example_number(country)
    assert example is not None  # noqa: S101 - every region has one
    code, length = example.country_code, len(phonenumbers.national_significant_number(example))
    starts = []
    for candidate in range(100, 1000):
        tails = ("".join(chance.choices("0123456789", k=length - 4)) for _ in range(12))
        whole = [examine(f"+{code}{candidate}{chance.randint(2, 9)}{tail}") for tail in tails]
        if all(one.kind is NumberKind.ORDINARY and one.region == country for one in whole):
            starts.append(f"{candidate}")
    return _Shape(country, tuple(starts), length - 3)


def _number(shape: _Shape, chance: random.Random, used: set[str]) -> str:
    code = phonenumbers.country_code_for_region(shape.country)
    while True:
        start, rest = (
            chance.choice(shape.starts),
            chance.randrange(2 * 10 ** (shape.digits - 1), 10**shape.digits),
        )
        national = f"{start}{rest}"
        if national not in used:
            used.add(national)
            break
    way = chance.random()
    if way < 0.4:
        return f"+{code}{national}"
    if code == 1:
        return (
            f"({start}) {national[3:6]}-{national[6:]}"
            if way < 0.8
            else f"1-{start}-{national[3:6]}-{national[6:]}"
        )
    return f"0{start} {national[3:]}" if way < 0.8 else f"+{code} {start} {national[3:]}"


# Measuring --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copied:
    """What a COPY took."""

    seconds: float
    cpu_s: float


async def copied(database: Database, path: Path) -> Copied:
    """Return what COPY takes for the file's bytes into a table of its columns as text."""
    columns = [f"c{place}" for place in range(len(HEADER))]
    async with database.pool.acquire() as connection:
        await connection.execute("DROP TABLE IF EXISTS as_it_is")
        await connection.execute(
            f"CREATE TABLE as_it_is ({', '.join(f'{column} text' for column in columns)})"
        )
        await connection.execute("CHECKPOINT")
        before, began = database.cpu_s(), time.perf_counter()
        with path.open("rb") as file:
            await connection.copy_to_table(
                "as_it_is", source=file, format="csv", header=True, timeout=600
            )
        return Copied(time.perf_counter() - began, database.cpu_s() - before)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import took and found."""

    seconds: float
    peak_mb: float
    cpu_s: float
    postgres_cpu_s: float
    report: dict[str, Any]


async def imported(database: Database, path: Path) -> Imported:
    """Import the file as a user does; memory is of the process and its workers together."""
    async with database.pool.acquire() as connection:
        await connection.execute("CHECKPOINT")
    before = database.cpu_s()
    began = time.perf_counter()
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dialer", "--database-url", database.dsn),
        *("leads", "import", str(path), "--campaign", "spring", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        watching = asyncio.create_task(_watched(running), name="memory")
        output, _ = await running.communicate()
        seconds = time.perf_counter() - began
        peak, cpu = await watching
    finally:
        if running.returncode is None:
            running.kill()
    postgres = database.cpu_s() - before
    return Imported(seconds, peak, cpu + postgres, postgres, json.loads(output))


async def _watched(running: Process) -> tuple[float, float]:
    """Return the highest memory of a process and its children in MB, and their CPU seconds."""
    peak, cpu = 0.0, 0.0
    family = psutil.Process(running.pid)
    while running.returncode is None:
        try:
            everybody = [family, *family.children(recursive=True)]
            # Pages that several share count once: proportional set size.
            held = sum(one.memory_full_info().pss for one in everybody)
            times = [one.cpu_times() for one in everybody]
        except psutil.Error:
            break
        peak = max(peak, held / _MEGABYTE)
        cpu = max(cpu, sum(each.user + each.system for each in times))
        await asyncio.sleep(_SAMPLE_S)
    return peak, cpu


if __name__ == "__main__":
    sys.exit(main("import", measure, TARGETS))
