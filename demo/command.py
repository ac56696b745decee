"""The command line of the demo."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo import options, people, story
from demo.options import Options
from dialer.cli import session

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
# Off a terminal: wide enough for the tables, narrow enough for a log.
_WIDTH = 100


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def demo(
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="About 40 s of calling: fewer leads, shorter talks.")
    ] = False,
    agents: Annotated[
        int, typer.Option(min=1, max=people.MOST_AGENTS, help="Agents taking part.")
    ] = 5,
    leads: Annotated[
        int | None,
        typer.Option(
            min=people.FEWEST_ROWS,
            max=people.MOST_ROWS,
            help=f"Rows of the list; {options.USUAL_LEADS}, or {options.FAST_LEADS} with --fast.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides who is on the list and what agents say.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.2,
            max=240,
            help="Most minutes of calling; "
            f"{options.USUAL_MINUTES:g}, or {options.FAST_MINUTES:g} with --fast.",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder and its Postgres to look around in.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.svg", help="Save the board in mid-campaign."),
    ] = None,
) -> None:
    """Run a whole campaign on this machine and check every call against the carrier's log."""
    given = options.options(
        agents=agents,
        leads=leads,
        seed=seed,
        minutes=minutes,
        fast=fast,
        keep=keep,
        picture=picture.absolute() if picture else None,
    )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    raise typer.Exit(asyncio.run(_until_told(given, console)))


async def _until_told(given: Options, console: Console) -> int:
    """Tell the story; the first Ctrl-C or SIGTERM ends it in order, more of them change nothing."""
    telling = asyncio.current_task()
    told = asyncio.Event()

    def stop() -> None:
        if not told.is_set() and telling is not None:
            told.set()
            telling.cancel()

    loop = asyncio.get_running_loop()
    for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(caught, stop)
    try:
        return await story.tell(given, console)
    except asyncio.CancelledError:
        if not told.is_set():
            raise
        console.print("Stopped before the end; nothing was compared.")
        return session.INTERRUPTED


def main() -> None:
    """Run the demo and leave with its exit code: 0 the books balance, 1 they do not, 2 misuse."""
    sys.exit(session.guarded(lambda: app(prog_name="python -m demo", standalone_mode=False)))
