"""Commands that run the service itself: its processes, its schema, its health."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.stores import database
from dialer import embedded
from dialer.cli import output, session

if TYPE_CHECKING:
    from dialer.config import Config

PANEL = "Running the service"


def add_to(app: typer.Typer) -> None:
    """Add the commands that have no noun before them."""
    for command in (serve, api, engine, lines, migrate, doctor):
        app.command(rich_help_panel=PANEL)(command)
    app.command(
        rich_help_panel=PANEL,
        # What follows the program's name is the program's own.
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )(postgres)


def serve(context: typer.Context) -> None:
    """Run everything on this machine: lines, engine and API; Postgres too unless a DSN is given.

    Migrates the database and syncs the trunks of the settings file first. Ctrl-C lets
    conversations finish (drain_s), a second one ends them.
    """
    from dialer import logs
    from dialer import serve as service

    current = session.of(context)
    logs.configure_from(current.config)
    if current.config_file is not None:
        # The children read the same file, whatever folder they run in.
        os.environ["DIALER_CONFIG"] = str(current.config_file.resolve())
    asyncio.run(service.serve(current.config))


def api(context: typer.Context) -> None:
    """Run the HTTP and WebSocket server on loopback."""
    from dialer.api import process

    config = _ready(context)
    asyncio.run(process.run(config))


def engine(context: typer.Context) -> None:
    """Run an engine: it paces the campaigns it holds a lease on, beside other engines."""
    from dialer.engine import run_engine

    config = _ready(context)
    asyncio.run(run_engine(config))


def lines(
    context: typer.Context,
    index: Annotated[
        int, typer.Option(min=0, help="Which line process this is: it decides the ports.")
    ] = 0,
) -> None:
    """Run a line process: one SIP endpoint with customer legs, agent legs and audio."""
    from dialer.lines import process

    config = _ready(context)
    asyncio.run(process.run(config, index=index))


def migrate(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """Bring the database to this program's schema; safe when several start at once."""
    dsn = session.of(context).dsn()
    done = asyncio.run(database.migrate(dsn))
    rows = [{"version": migration.version, "name": migration.name} for migration in done]
    output.table(
        rows,
        {"version": "Applied", "name": "Migration"},
        as_json=as_json,
        empty=f"{database.describe_dsn(dsn)} is already at this program's schema.",
    )


def postgres(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="PROGRAM...", help="Program and its options.")
    ] = None,
) -> None:
    """Run psql, or another program such as pg_dump, on the embedded Postgres."""
    use = session.of(context).embedded_postgres()
    raise typer.Exit(embedded.run_program(use, command or ["psql"]))


def doctor(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    from dialer import doctor as examination

    raise typer.Exit(examination.run(session.of(context).config, as_json=as_json))


def _ready(context: typer.Context) -> Config:
    """Return settings whose database is reachable and has this program's schema."""
    current = session.of(context)
    config = current.with_dsn()

    async def check() -> None:
        async with session.opened(
            str(config.database_url), new_is_ours=current.config.database_url is None
        ):
            pass

    asyncio.run(check())
    return config
