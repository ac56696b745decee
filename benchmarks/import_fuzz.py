"""Damaged CSV files, every row accounted for: accepted + rejected + duplicates = rows read.

Lists as people write them are damaged by chance: bytes flipped, cut, doubled or inserted, quotes
torn, encodings and line ends mixed. Each file goes through the whole import against a real Postgres
(one in ten for good, the others as a dry run), which must read it or refuse it in one sentence, and
must give every row it does not take a reason.

    python -m benchmarks import_fuzz [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import csv
import io
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import testbed
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_least, at_most
from campaigns.errors import UserError
from campaigns.lead_import import import_leads, plan_import
from campaigns.stores import campaigns
from campaigns.stores.campaigns import NewCampaign

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

FILES = {False: 10_000, True: 200}
TARGETS = {
    "unaccounted_rows": at_most(0),
    "without_reason": at_most(0),
    "broken": at_most(0),
    "rows_read": at_least(1),
}
CELLS = (
    "+12125550100", "(212) 555-0101", "020 7946 0001", "911", "0900 123456", "1.2E+10", "", " ",
    "=1+1", '"', 'a"b', "Jörg", "a\nb", "a,b;c\td|e", "\u2028", "\U0001f4de", "9" * 40, "x" * 300,
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "shift-jis")
NOISE = (b'"', b",", b";", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"\xc3", b'""', b"\t", b"|")


async def measure(options: Options) -> Found:
    """Import the damaged files one after the other."""
    chance = random.Random(options.seed)
    tally = Counter[str]()
    async with testbed.postgres() as database:
        async with database.pool.acquire() as connection:
            await campaigns.create(
                connection,
                NewCampaign(name="fuzz", seller="Acme", profile="us-tsr", regions=("US", "GB")),
            )
        path = database.folder / "damaged.csv"
        for number in range(FILES[options.quick]):
            if number % 1000 == 0:
                progress(f"file {number:,}")
            path.write_bytes(damaged(chance))
            await put_in(database.pool, path, tally, dry_run=number % 10 != 0)
        stored = await database.pool.fetchval("SELECT count(*) FROM lead")
    tally["unaccounted_rows"] += abs(stored - tally["stored"])
    keys = (*TARGETS, "files_read", "files_refused", "accepted", "rejected")
    return Found({key: float(tally[key]) for key in keys}, (database.version,))


async def put_in(pool: Pool, path: Path, tally: Counter[str], *, dry_run: bool) -> None:
    """Import one file and add up what became of it."""
    rejects = path.with_name("rejects.csv")
    rejects.unlink(missing_ok=True)
    try:
        plan = plan_import(path, country="US")
        report = await import_leads(pool, plan, campaign="fuzz", dry_run=dry_run, rejects=rejects)
    except UserError as refusal:
        tally["files_refused"] += 1
        tally["broken"] += len(str(refusal).splitlines()) != 1
        return
    except Exception as error:  # noqa: BLE001 - any other error is what this looks for
        progress(f"after {tally['files_read']} files one broke the import: {error!r}")
        tally["broken"] += 1
        return
    refused = report.rejected + report.duplicates
    tally["files_read"] += 1
    tally["rows_read"] += report.rows_read
    tally["accepted"] += report.accepted
    tally["rejected"] += refused
    tally["stored"] += 0 if dry_run else report.accepted
    tally["unaccounted_rows"] += abs(report.rows_read - report.accepted - refused)
    if refused:
        with rejects.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        tally["without_reason"] += abs(len(rows) - refused) + sum(not row[1] for row in rows)


def damaged(chance: random.Random) -> bytes:
    """Return a list in some dialect and encoding with some of its bytes gone wrong."""
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=chance.choice(",,,;\t|"),
        quoting=chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        lineterminator=chance.choice(("\n", "\r\n", "\r")),
    )
    if chance.random() < 0.9:
        writer.writerow(("name", "phone", "mobile", "note"))
    for _ in range(chance.randrange(1, 40)):
        phone = f"+1{chance.randrange(201, 990)}55501{chance.randrange(100):02d}"
        cells = [chance.choice(CELLS), chance.choice((*[phone] * 30, *CELLS))]
        writer.writerow(cells + chance.choices(CELLS, k=chance.randrange(4)))
    raw = bytearray(text.getvalue().encode(chance.choice(ENCODINGS), errors="replace"))
    for _ in range(chance.choice((0, 0, 1, 2, 5, 20))):
        at = chance.randrange(len(raw) + 1)
        what = chance.random()
        if what < 0.4:
            raw[at:at] = chance.choice(NOISE)
        elif what < 0.6:
            del raw[at : at + chance.randrange(1, 30)]
        elif what < 0.8 and at < len(raw):
            raw[at] = chance.randrange(256)
        else:
            raw[at:at] = raw[max(0, at - chance.randrange(1, 60)) : at]
    return bytes(raw)


if __name__ == "__main__":
    sys.exit(main("import_fuzz", measure, TARGETS))
