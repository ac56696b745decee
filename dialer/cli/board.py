"""`dialer campaign watch`: the live board."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from dialer import board_view
from dialer.board import BoardSnapshot, read_board
from dialer.cli import output, session
from dialer.supervision import DATABASE_AWAY, raise_if_cancelled

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def watch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")],
    *,
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and leave.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show agents, lines, pacing, abandonment and outcomes as they change. Ctrl-C leaves."""

    async def look(pool: Pool) -> BoardSnapshot:
        return await read_board(pool, name)

    async def follow(pool: Pool) -> None:
        board = await read_board(pool, name)
        with Live(
            board_view.render(board), console=output.console(), screen=True, auto_refresh=False
        ) as live:
            while True:
                live.update(board_view.render(board), refresh=True)
                await asyncio.sleep(every)
                try:
                    board = await read_board(pool, name, previous=board)
                except DATABASE_AWAY:
                    raise_if_cancelled()
                    # The old figures stay, and the headline says how old they are.
                    continue

    current = session.of(context)
    if as_json:
        output.print_json(current.run(look))
    elif once or not sys.stdout.isatty():
        output.console().print(board_view.render(current.run(look)))
    else:
        try:
            current.run(follow)
        except KeyboardInterrupt:
            output.console().print(board_view.render(current.run(look)))
