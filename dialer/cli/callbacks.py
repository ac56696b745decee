"""`dialer callbacks`: calls that were promised."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from campaigns.errors import UserError
from campaigns.stores import agents, callbacks, campaigns
from campaigns.stores.callbacks import ANYONE_AFTER, Promise
from dialer.cli import output, session
from dialer.cli.dnc import in_full
from dialer.cli.law import Campaign, Country, moment
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Calls that were promised.")


@app.command("list")
def list_(
    context: typer.Context,
    *,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """List the open promises in the order they fall due."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            of = None if campaign is None else (await campaigns.get(connection, campaign)).id
            by = None if agent is None else (await agents.get(connection, agent)).id
            rows = await callbacks.open_ones(connection, campaign_id=of, agent_id=by)
        return [
            {
                "id": row.id,
                "due_at": row.due_at,
                "agent": row.agent or "anyone",
                "anyone_from": row.anyone_from,
                "campaign": row.campaign,
                "name": row.name,
                "number": row.number,
                "note": row.note,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {
            "due_at": "Due",
            "agent": "Agent",
            "anyone_from": "Anyone from",
            "campaign": "Campaign",
            "name": "Name",
            "number": "Number",
            "note": "Note",
            "id": "Id",
        },
        as_json=as_json,
        empty="No call is promised.",
    )


@app.command()
def add(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The lead's number, with +.")],
    campaign: Campaign,
    at: Annotated[str, typer.Option(help="When, such as 2026-12-01T15:00+01:00.")],
    *,
    agent: Annotated[str | None, typer.Option(help="Whose call it is; default anyone's.")] = None,
    anyone_after_min: Annotated[
        int, typer.Option(min=0, help="Minutes after which a personal one is anyone's.")
    ] = int(ANYONE_AFTER.total_seconds() // 60),
    note: Annotated[str, typer.Option(help="What to remember.")] = "",
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Promise a call: the lead goes first at that time, hours and limits permitting."""
    wanted = in_full(number, country)
    due_at = moment(at, "--at")

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, campaign)
            whose = None if agent is None else (await agents.get(connection, agent)).id
            lead_id = await connection.fetchval(
                "SELECT l.id FROM campaign_list cl JOIN lead l ON l.list_id = cl.list_id"
                " JOIN lead_number n ON n.lead_id = l.id"
                " WHERE cl.campaign_id = $1 AND n.number = $2 ORDER BY l.id LIMIT 1",
                row.id,
                wanted,
            )
            if lead_id is None:
                raise UserError(f"Campaign {campaign!r} has no lead with that number.")
            now = await connection.fetchval("SELECT clock_timestamp()")
            promised = Promise(
                lead_id=lead_id,
                campaign_id=row.id,
                due_at=due_at,
                agent_id=whose,
                anyone_after=timedelta(minutes=anyone_after_min),
                note=note,
            )
            made = await callbacks.promise(connection, promised, now=now)
        await session.wake(pool, Channel.ENGINE, row.id)
        return {"id": made, "due_at": due_at, "agent": agent or "anyone"}

    output.facts(session.of(context).run(work), as_json=as_json)


@app.command()
def cancel(
    context: typer.Context,
    callback: Annotated[str, typer.Argument(metavar="ID", help="The promise's id.")],
) -> None:
    """Take a promise back; the lead keeps its place and its time."""
    try:
        wanted = UUID(callback)
    except ValueError:
        raise UserError(f"{callback!r} is no id: `dialer callbacks list` shows them.") from None

    async def work(pool: Pool) -> bool:
        async with pool.acquire() as connection:
            return await callbacks.cancel(connection, wanted)

    if not session.of(context).run(work):
        raise UserError("There is no such open promise: nothing was changed.")
    typer.echo("The promise is taken back.")
