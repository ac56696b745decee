"""`dialer campaign status` and `why`: how a campaign stands, and why calls are made or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.stores import campaigns
from campaigns.stores.readiness import readiness_of
from dialer import board_view
from dialer.board import BoardSnapshot, read_board
from dialer.cli import output, session

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

Name = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]


def status(context: typer.Context, name: Name, *, as_json: output.AsJson = False) -> None:
    """Show a campaign's settings, what it lacks, and how its calls, agents and leads stand."""

    async def work(pool: Pool) -> tuple[dict[str, object], BoardSnapshot]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, name)
            ready = await readiness_of(connection, row)
        facts: dict[str, object] = {
            "name": row.name,
            "state": row.state.value,
            "mode": row.mode.value,
            "profile": row.profile_name,
            "regions": sorted(row.regions),
            "seller": row.seller,
            "purpose": row.purpose,
            "started_at": row.started_at,
            "missing": ready.missing,
            "warnings": ready.warnings,
            "settings": row.settings.model_dump(mode="json", exclude_defaults=True),
        }
        return facts, await read_board(pool, name)

    facts, board = session.of(context).run(work)
    if as_json:
        output.print_json({**facts, "now": board})
        return
    output.facts(facts, as_json=False)
    output.console().print(board_view.render(board))


def why(context: typer.Context, name: Name, *, as_json: output.AsJson = False) -> None:
    """Say in one line per reason why calls are being made or not."""
    from dialer.engine import why as reasons

    async def work(pool: Pool) -> tuple[reasons.Reason, ...]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, name)
            return tuple(await reasons.explain(connection, row))

    found = session.of(context).run(work)
    if as_json:
        output.print_json(found)
        return
    for reason in found:
        typer.echo(str(reason))
