"""`dialer leads imports`, `undo`, `rejects`, `templates`, `export`: what came in, and out again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO
from uuid import UUID

import typer

from campaigns.csv_export import CsvFile
from campaigns.errors import UserError
from campaigns.stores import campaigns, exports, imports
from dialer.cli import files, output, session
from dialer.cli.moments import moment

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

Import = Annotated[
    str, typer.Argument(metavar="IMPORT", help="Its id, as `dialer leads imports` shows it.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `dialer leads`."""
    app.command("imports")(history)
    app.command("undo")(undo)
    app.command("rejects")(rejects)
    app.command("templates")(templates)
    app.command("export")(export)


def history(
    context: typer.Context,
    *,
    campaign: Annotated[str | None, typer.Option(help="Only imports into this campaign.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """List the imports, newest first; `reading` is one that was interrupted or still runs."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            of = None if campaign is None else (await campaigns.get(connection, campaign)).id
            found = await imports.history(connection, of)
            return [
                {
                    "id": row.id,
                    "file": row.file,
                    "campaign": row.campaign,
                    "list": row.list_name,
                    "state": row.state,
                    "started_at": row.started_at,
                    "finished_at": row.finished_at,
                    **await _counts(connection, row),
                }
                for row in found
            ]

    output.table(
        session.of(context).run(work),
        {
            "id": "Import",
            "file": "File",
            "campaign": "Campaign",
            "list": "List",
            "state": "State",
            "rows_read": "Rows",
            "accepted": "Accepted",
            "started_at": "Started",
        },
        as_json=as_json,
        empty="Nothing was imported yet.",
    )


async def _counts(connection: Connection, row: imports.ImportRow) -> dict[str, object]:
    if row.report:
        return {"rows_read": row.report["rows_read"], "accepted": row.report["accepted"]}
    found = await imports.totals(connection, row.id)
    return {"rows_read": found.rows, "accepted": found.accepted}


def undo(context: typer.Context, which: Import) -> None:
    """Take an import back: its leads go, leads it updated are as before, unless one was called."""

    async def work(pool: Pool) -> int:
        async with pool.acquire() as connection:
            return await imports.undo(connection, _id(which))

    typer.echo(f"The import is undone: {session.of(context).run(work)} leads are gone.")


def rejects(
    context: typer.Context,
    which: Import,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to, or - for here.")
    ] = Path("-"),
) -> None:
    """Write the rows an import did not take, with line, reason and original cells, as CSV."""

    async def work(pool: Pool) -> list[tuple[int, str, tuple[str, ...]]]:
        async with pool.acquire() as connection, connection.transaction():
            row = await imports.get(connection, _id(which))
            return [found async for found in imports.refused(connection, row.id)]

    rows = session.of(context).run(work)
    with files.written(out) as file:
        writer = CsvFile(file, ("line", "reason", "cells"))
        for line, reason, cells in rows:
            writer.add((line, reason, *cells))
    if not files.is_here(out):
        session.note(f"{len(rows)} rows written to {out}.")


def templates(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """List the saved import templates."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            return [
                {"name": name, "choices": choices, "saved_at": saved_at}
                for name, choices, saved_at in await imports.templates(connection)
            ]

    output.table(
        session.of(context).run(work),
        {"name": "Template", "choices": "Choices", "saved_at": "Saved"},
        as_json=as_json,
        empty="No template yet: add --save-template NAME to an import.",
    )


class What(StrEnum):
    """What can be exported."""

    LEADS = "leads"
    ATTEMPTS = "attempts"
    DISPOSITIONS = "dispositions"


def export(
    context: typer.Context,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")],
    *,
    what: Annotated[What, typer.Option(help="Leads with where they stand, or calls.")] = What.LEADS,
    list_name: Annotated[
        str | None, typer.Option("--list", help="Only leads of this list.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Calls from when: 2026-11-21, or 24h, 7d ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Calls until when, written like --since.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to, or - for here.")
    ] = Path("-"),
) -> None:
    """Write leads, attempts or dispositions as CSV with whole numbers: personal data."""
    start, end = moment(since), moment(until) or datetime.now(UTC) + timedelta(days=1)

    async def work(pool: Pool, file: TextIO) -> int:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await campaigns.get(connection, campaign)
            return await exports.write(
                connection,
                str(what),
                file,
                campaign_id=row.id,
                list=list_name,
                since=start or row.created_at,
                until=end,
            )

    with files.written(out) as file:
        rows = session.of(context).run(lambda pool: work(pool, file))
    if not files.is_here(out):
        session.note(f"{rows} {what} written to {out}.")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UserError(
            f"{text!r} is no import: `dialer leads imports` shows the ids of all."
        ) from None
