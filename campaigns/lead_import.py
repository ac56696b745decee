"""From a CSV file to leads of a campaign: read, judge, compare, store; all of it or nothing.

Blocks of the file are judged by other processes, compared here with what was met before, and stored
one transaction each on a list that no campaign has yet. The last transaction makes the list the
campaign's. Killed at any moment, the same command goes on where the last block was stored.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns import csv_files, lead_columns
from campaigns.errors import UserError
from campaigns.import_report import ImportPlan, ImportReport, Meter, Policy, Progress
from campaigns.import_run import Run
from campaigns.lead_numbers import clean, country_code
from campaigns.stores import campaigns, imports, leads
from campaigns.stores.imports import Duplicates, ImportRow

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.csv_files import Table
    from campaigns.lead_columns import Columns
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection, Pool

__all__ = [
    "ImportPlan",
    "ImportReport",
    "Policy",
    "Progress",
    "import_leads",
    "plan_import",
    "rejects_path",
]

_LONGEST_NAME = 200


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
    policy: Policy | None = None,
    dry_run: bool = False,
    list_name: str | None = None,
    rejects: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Import the file into a list of the campaign; raises `UserError` and then has written nothing.

    The list is new and named after the file, unless *list_name* names one of the campaign's. Rows
    not taken go to *rejects* (beside the file by default) with line, reason and original cells, and
    stay with the import. A run that was killed is gone on with by the same call. A dry run writes
    nothing but the rejects file.
    """
    policy = policy or Policy()
    rejects = rejects or rejects_path(plan.table.path)
    with _rejects_file(rejects) as draft:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, campaign)
            async with _alone(connection, row):
                target = await _target(connection, row, list_name)
                run = Run(connection, plan, row, policy, target)
                meter = Meter(plan.table.size_bytes, progress)
                if dry_run:
                    report = await run.try_out(draft, meter)
                else:
                    begun = await _begin(connection, plan, row, policy, list_name, target)
                    report = await run.carry_out(begun, draft, meter)
        if report.accepted < report.rows_read:
            draft.replace(rejects)
            report = replace(report, rejects_file=str(rejects))
    return report


@asynccontextmanager
async def _alone(connection: Connection, campaign: CampaignRow) -> AsyncIterator[None]:
    """Keep other imports into the campaign waiting, or two of one file would find no duplicates.

    An advisory lock, because a row lock would keep the engine from renewing its lease; of the
    session, because an import is many transactions. It goes with the connection if we are killed.
    """
    key = f"import {campaign.id}"
    await connection.execute(
        "SELECT pg_advisory_lock(hashtextextended($1, 0))", key, timeout=imports.LONG_S
    )
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", key)


async def _target(
    connection: Connection, campaign: CampaignRow, list_name: str | None
) -> UUID | None:
    """Return the list of the campaign that rows shall join, None for a new one."""
    if list_name is None:
        return None
    known = await leads.lists(connection, campaign.id)
    return next((row.id for row in known if row.name == list_name.strip()), None)


async def _begin(
    connection: Connection,
    plan: ImportPlan,
    campaign: CampaignRow,
    policy: Policy,
    list_name: str | None,
    target: UUID | None,
) -> ImportRow:
    """Begin the import, or return the interrupted one of the same file to go on with."""
    name = (list_name or plan.table.path.stem).strip()[:_LONGEST_NAME] or "list"
    choices = plan.choices() | {
        "duplicates": str(policy.duplicates),
        "within": str(policy.within),
        "list": list_name,
    }
    for earlier in await imports.find(connection, campaign.id, plan.table.sha256):
        if earlier.state == "done":
            if policy.duplicates is Duplicates.KEEP and not policy.again:
                raise UserError(
                    f"{plan.table.path.name} is in campaign {campaign.name} already (import "
                    f"{earlier.id}): say --again to keep every row a second time."
                )
        elif earlier.choices == choices and earlier.target_list_id == target:
            return earlier
        else:
            # Rows were understood differently then: nothing of it can be used.
            await imports.discard(connection, earlier)
    return await imports.begin(
        connection,
        campaign_id=campaign.id,
        name=name,
        target_list_id=target,
        file=plan.table.path.name,
        sha256=plan.table.sha256,
        choices=choices,
    )


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
