"""The `dialer` command."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dialer.cli import (
    agents,
    callbacks,
    campaign,
    consent,
    dnc,
    law,
    law_ledger,
    leads,
    records,
    report,
    services,
    simulate,
    trunk,
)
from dialer.cli.session import Session, guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]

CALLING = "Calling people"

app = typer.Typer(
    name="dialer",
    help="Overdial: more calls than free agents, abandonment kept under its limit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `dialer doctor`, then the tutorial in docs/.",
)
app.add_typer(campaign.app, name="campaign", rich_help_panel=CALLING)
app.add_typer(leads.app, name="leads", rich_help_panel=CALLING)
app.add_typer(agents.app, name="agents", rich_help_panel=CALLING)
app.add_typer(dnc.app, name="dnc", rich_help_panel=CALLING)
app.add_typer(callbacks.app, name="callbacks", rich_help_panel=CALLING)
app.add_typer(consent.app, name="consent", rich_help_panel=CALLING)
law_ledger.add_to(law.app)
app.add_typer(law.app, name="law", rich_help_panel=CALLING)
app.add_typer(trunk.app, name="trunk", rich_help_panel=CALLING)
app.add_typer(report.app, name="report", rich_help_panel=CALLING)
app.add_typer(records.app, name="records", rich_help_panel=CALLING)
app.command("simulate", rich_help_panel=CALLING)(simulate.simulate)
services.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("overdial")
        except PackageNotFoundError:
            number = "unpackaged"
        typer.echo(f"overdial {number}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file; default ./dialer.toml."),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url", metavar="DSN", help="Postgres to use; default DIALER_DATABASE_URL."
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    session = Session(config_file=config, database_url=database_url)
    context.obj = session
    context.call_on_close(session.close)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code: 0, 1 broken, 2 misuse, 130 stopped."""
    given = None if arguments is None else list(arguments)
    sys.exit(guarded(lambda: app(given, prog_name="dialer", standalone_mode=False)))
