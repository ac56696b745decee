"""From a CSV file to leads of a campaign: read, judge, check, then write, all or nothing."""

from __future__ import annotations

import asyncio
import csv
import itertools
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns import csv_files, lead_columns
from campaigns.csv_files import Reader, Record, Table
from campaigns.errors import UserError
from campaigns.lead_columns import Columns, ColumnUse
from campaigns.lead_numbers import DialableNumber, Reject, clean, country_code, read_number
from campaigns.stores import campaigns, leads, staging
from campaigns.stores.staging import StagedRow

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection, Pool

_CHUNK_ROWS = 1000
# Below this size a process pool costs more than it saves.
_POOL_FROM_BYTES = 4_000_000
_MOST_WORKERS = 4
_HIGHEST_PRIORITY = 99
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is; `phase` is reading, checking or writing."""

    phase: str
    bytes_read: int
    bytes_total: int
    rows: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import found and did; accepted + rejected + duplicates is always `rows_read`."""

    file: str
    campaign: str
    dry_run: bool
    encoding: str
    delimiter: str
    has_header: bool
    country: str | None
    columns: tuple[ColumnUse, ...]
    rows_read: int
    accepted: int
    duplicates_in_file: int
    duplicates_in_campaign: int
    suppressed: int
    reasons: Mapping[str, int]
    regions: Mapping[str, int]
    outside_regions: int
    sha256: str
    list_id: UUID | None = None
    list_name: str | None = None
    rejects_file: str | None = None

    @property
    def rejected(self) -> int:
        """Return how many rows were not taken, duplicates not counted."""
        return sum(self.reasons.values())

    @property
    def duplicates(self) -> int:
        """Return how many rows repeat a number."""
        return self.duplicates_in_file + self.duplicates_in_campaign

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        found = asdict(self)
        found["list_id"] = None if self.list_id is None else str(self.list_id)
        found["rejected"] = self.rejected
        found["duplicates"] = self.duplicates
        return found


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """A file that was looked through, with what each of its columns will mean."""

    table: Table
    columns: Columns
    uses: tuple[ColumnUse, ...]
    country: str | None


@dataclass(slots=True)
class _Meter:
    """Counts what has been read, for progress."""

    bytes_read: int = 0
    rows: int = 0
    tell: Callable[[Progress], None] | None = field(default=None)
    total: int = 0

    def report(self, phase: str) -> None:
        if self.tell is not None:
            self.tell(Progress(phase, min(self.bytes_read, self.total), self.total, self.rows))


def plan_import(
    path: Path,
    *,
    mapping: Mapping[str, str] | None = None,
    country: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> ImportPlan:
    """Look through the file and say what its columns mean; raises `UserError`, writes nothing.

    *country* is the ISO 3166 country of numbers without one; it is never guessed, so a file of
    national numbers without it (and without a country column) is refused.
    """
    if country is not None:
        code = country_code(country)
        if code is None:
            raise UserError(f"{country!r} is no country: use a code such as US, GB or DE.")
        country = code
    table = csv_files.open_table(path, delimiter=delimiter, encoding=encoding)
    columns, uses = lead_columns.choose(table, mapping)
    if country is None and columns.country is None:
        _refuse_national(table, columns)
    return ImportPlan(table, columns, uses, country)


def _refuse_national(table: Table, columns: Columns) -> None:
    cells = [
        clean(row[columns.phones[0]]) for row in table.sample() if columns.phones[0] < len(row)
    ]
    filled = [cell for cell in cells if cell]
    national = [cell for cell in filled if not cell.startswith(("+", "(+"))]
    if len(national) * 2 > len(filled):
        raise UserError(
            f"The numbers in {table.path.name} have no country code: name their country, such as "
            "--country US (it is never guessed)."
        )


async def import_leads(
    pool: Pool,
    plan: ImportPlan,
    *,
    campaign: str,
    dry_run: bool = False,
    list_name: str | None = None,
    rejects: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Import the file into a list of the campaign; raises `UserError` and then has written nothing.

    The list is new and named after the file, unless *list_name* names one of the campaign's. Rows
    not taken go to *rejects* (beside the file by default) with line, reason and original cells. A
    dry run does all of it and then takes it back, except for the rejects file.
    """
    rejects = rejects or rejects_path(plan.table.path)
    meter = _Meter(tell=progress, total=plan.table.size_bytes)
    with _rejects_file(rejects) as draft:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, campaign)
            transaction = connection.transaction()
            await transaction.start()
            try:
                report = await _stage(connection, plan, row, meter)
                await _write_rejects(connection, plan.table, draft)
                if report.accepted and not dry_run:
                    meter.report("writing")
                    report = await _move(connection, report, row, list_name=list_name)
            except BaseException:
                await transaction.rollback()
                raise
            if dry_run:
                await transaction.rollback()
            else:
                await transaction.commit()
        changes: dict[str, Any] = {"dry_run": dry_run}
        if report.accepted < report.rows_read:
            draft.replace(rejects)
            changes["rejects_file"] = str(rejects)
    return _changed(report, **changes)


def _changed(report: ImportReport, **changes: Any) -> ImportReport:
    values = {name: getattr(report, name) for name in ImportReport.__dataclass_fields__}
    return ImportReport(**(values | changes))


def rejects_path(path: Path) -> Path:
    """Return where the rows of *path* that were not taken are written unless told otherwise."""
    return path.with_name(f"{path.stem}.rejects.csv")


@contextmanager
def _rejects_file(rejects: Path) -> Iterator[Path]:
    """Yield a draft beside *rejects* to rename when all is done; it never outlives the block."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{rejects.name}.", dir=rejects.parent)
    except OSError as error:
        raise UserError(
            f"The rejects file {rejects} cannot be written ({error.strerror}): "
            "name another place for it."
        ) from None
    os.close(handle)
    draft = Path(name)
    try:
        draft.chmod(0o600)
        yield draft
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


async def _stage(
    connection: Connection, plan: ImportPlan, campaign: CampaignRow, meter: _Meter
) -> ImportReport:
    """Read the file into the staging table and mark what is a duplicate or suppressed."""
    # One import per campaign at a time, or two of the same file would both find no duplicates. An
    # advisory lock, because a row lock would keep the engine from renewing its lease.
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"import {campaign.id}"
    )
    await staging.create(connection)
    await staging.copy(connection, _rows(plan, meter))
    meter.report("checking")
    await staging.mark(connection, campaign_id=campaign.id, seller=campaign.seller)
    found = await staging.counts(connection)
    table = plan.table
    return ImportReport(
        file=table.path.name,
        campaign=campaign.name,
        dry_run=False,
        encoding=table.encoding_name,
        delimiter=table.delimiter_name,
        has_header=table.has_header,
        country=plan.country,
        columns=plan.uses,
        rows_read=found.rows,
        accepted=found.accepted,
        duplicates_in_file=found.duplicates_in_file,
        duplicates_in_campaign=found.duplicates_in_campaign,
        suppressed=found.suppressed,
        reasons=found.rejected,
        regions=found.regions,
        outside_regions=sum(
            rows for region, rows in found.regions.items() if region not in campaign.regions
        ),
        sha256=table.sha256,
    )


async def _move(
    connection: Connection,
    report: ImportReport,
    campaign: CampaignRow,
    *,
    list_name: str | None,
) -> ImportReport:
    name = (list_name or Path(report.file).stem).strip()[:_LONGEST_NAME] or "list"
    list_id = None
    if list_name is not None:
        known = await leads.lists(connection, campaign.id)
        list_id = next((row.id for row in known if row.name == name), None)
    if list_id is None:
        list_id = await leads.create_list(
            connection, name=name, source=report.file, sha256=report.sha256
        )
        await campaigns.attach_list(connection, campaign.id, list_id)
    await staging.move(connection, list_id)
    done = _changed(report, list_id=list_id, list_name=name)
    await connection.execute(
        "UPDATE lead_list SET report = $2 WHERE id = $1", list_id, done.as_json()
    )
    return done


async def _write_rejects(connection: Connection, table: Table, draft: Path) -> None:
    """Write line, reason and the original cells of every row not taken."""
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "reason", *table.header))
        async for line, reject, earlier, cells in staging.refused(connection):
            if reject is None and earlier is not None:
                reason = f"{Reject.DUPLICATE_IN_FILE} ({earlier})"
            else:
                reason = reject or str(Reject.DUPLICATE_IN_CAMPAIGN)
            writer.writerow((line, reason, *cells))


# Rows -------------------------------------------------------------------------------------------


async def _rows(plan: ImportPlan, meter: _Meter) -> AsyncIterator[StagedRow]:
    """Yield every row judged, in order; a few chunks are in work at once, never the whole file."""
    loop = asyncio.get_running_loop()
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    executor: Executor
    if plan.table.size_bytes >= _POOL_FROM_BYTES and workers > 1:
        # Fresh interpreters: a fork of this process would copy its event loop and its sockets.
        executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    else:
        executor = ThreadPoolExecutor(1, thread_name_prefix="import")
    reader = plan.table.reader()
    try:
        in_work: deque[asyncio.Future[list[StagedRow]]] = deque()
        while True:
            while len(in_work) < workers + 1:
                chunk = await asyncio.to_thread(_take, reader)
                if not chunk:
                    break
                meter.bytes_read = reader.bytes_read
                in_work.append(
                    loop.run_in_executor(
                        executor,
                        judge_rows,
                        chunk,
                        plan.columns,
                        plan.table.header,
                        plan.country,
                    )
                )
            if not in_work:
                return
            for row in await in_work.popleft():
                meter.rows += 1
                yield row
            meter.report("reading")
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        reader.close()


def _take(reader: Reader) -> list[Record]:
    return list(itertools.islice(reader, _CHUNK_ROWS))


def judge_rows(
    records: Sequence[Record], columns: Columns, header: Sequence[str], country: str | None
) -> list[StagedRow]:
    """Return each record as a lead or as a reject; pure, so that it can run in another process."""
    return [judge_row(record, columns, header, country) for record in records]


def judge_row(
    record: Record, columns: Columns, header: Sequence[str], country: str | None
) -> StagedRow:
    """Return one record as a lead, or with the reason why it is none."""
    cells = record.cells
    if record.broken is not None:
        return StagedRow(record.line, (record.raw,), Reject.QUOTES)
    if any(cell.strip() for cell in cells[len(header) :]):
        return StagedRow(record.line, cells, Reject.CELLS)
    priority = _priority(_cell(cells, columns.priority))
    if priority is None:
        return StagedRow(record.line, cells, Reject.PRIORITY)
    numbers, reject = _numbers(cells, columns, country)
    if not numbers:
        return StagedRow(record.line, cells, reject)
    return StagedRow(
        line=record.line,
        cells=cells,
        name=_name(cells, columns),
        priority=priority,
        fields=_fields(cells, columns, header),
        numbers=tuple(number.e164 for number in numbers),
        regions=tuple(number.region for number in numbers),
        zones=tuple(",".join(number.zones) for number in numbers),
    )


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
    found: list[DialableNumber] = []
    reject: Reject | None = None
    for index in columns.phones:
        result = read_number(_cell(cells, index), own, _cell(cells, columns.zone))
        if isinstance(result, DialableNumber):
            if all(result.e164 != number.e164 for number in found):
                found.append(result)
        elif reject in {None, Reject.NO_NUMBER}:
            unknown = result is Reject.NO_COUNTRY and bool(stated)
            reject = Reject.UNKNOWN_COUNTRY if unknown else result
    return found, reject or Reject.NO_NUMBER


def _name(cells: Sequence[str], columns: Columns) -> str:
    parts = (columns.name,) if columns.name is not None else (columns.first_name, columns.last_name)
    return " ".join(text for text in (_cell(cells, index) for index in parts) if text)[
        :_LONGEST_NAME
    ]


def _fields(cells: Sequence[str], columns: Columns, header: Sequence[str]) -> dict[str, str]:
    """Return what the file says beyond number and name, as text: no number goes through a float."""
    spoken_for = {*columns.phones, columns.name, columns.zone, columns.priority}
    if columns.name is None:
        spoken_for |= {columns.first_name, columns.last_name}
    return {
        name: cells[index].strip()
        for index, name in enumerate(header[: len(cells)])
        if index not in spoken_for and cells[index].strip()
    }
