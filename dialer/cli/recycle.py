"""`dialer leads recycle`: call done leads once more, by how their last call ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.stores import campaigns, recycling
from dialer.cli import output, session
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def recycle(
    context: typer.Context,
    campaign: Annotated[str, typer.Option(help="The campaign's name.")],
    *,
    ending: Annotated[
        list[str] | None,
        typer.Option(help="How the last call ended, e.g. no_answer; repeat for more."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only count.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Count done leads by how their last call ended, and with --yes call some of them again."""

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, campaign)
            there = await recycling.endings(connection, row.id)
            recycled = 0
            if yes and ending:
                now = await connection.fetchval("SELECT clock_timestamp()")
                recycled = await recycling.recycle(connection, row.id, ending, now=now)
        if recycled:
            await session.wake(pool, Channel.ENGINE, row.id)
        return {"endings": there, "recycled": recycled}

    done = session.of(context).run(work)
    if as_json:
        output.print_json(done)
        return
    there = done["endings"]
    output.table(
        [
            {"ending": how, "leads": leads, "chosen": "yes" if how in (ending or []) else ""}
            for how, leads in (there.items() if isinstance(there, dict) else ())
        ],
        {"ending": "Last call", "leads": "Done leads", "chosen": "Chosen"},
        as_json=False,
        empty="No lead is done that could be called again.",
    )
    if yes and ending:
        typer.echo(f"{done['recycled']} leads are open again, with all their attempts.")
    elif there:
        typer.echo("Nothing was changed: choose with --ending and add --yes.")
