"""`dialer campaign …-list`: which lists a campaign calls, in which order, and which rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.stores import campaign_lists, campaigns, leads
from dialer.cli import output, session
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection, Pool
    from campaigns.stores.leads import ListRow

Campaign = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]
List = Annotated[str, typer.Argument(metavar="LIST", help="The list's name.")]
Change = Callable[["Connection", "CampaignRow"], Awaitable["ListRow"]]


def add_to(app: typer.Typer) -> None:
    """Add these commands to `dialer campaign`."""
    app.command("lists")(lists)
    app.command("assign-list")(assign)
    app.command("unassign-list")(unassign)
    app.command("pause-list")(pause)
    app.command("resume-list")(resume)


def lists(context: typer.Context, name: Campaign, *, as_json: output.AsJson = False) -> None:
    """Show the campaign's lists in the order they are called."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            campaign = await campaigns.get(connection, name)
            rows = await leads.lists(connection, campaign.id)
        return [
            {
                "name": row.name,
                "leads": row.leads,
                "priority": row.priority,
                "active": row.active,
                "source": row.source,
                "created_at": row.created_at,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {
            "name": "List",
            "leads": "Leads",
            "priority": "Priority",
            "active": "Called",
            "source": "File",
            "created_at": "Imported",
        },
        as_json=as_json,
        empty="It has no list yet: `dialer leads import FILE.csv --campaign NAME` brings one.",
    )


def assign(
    context: typer.Context,
    name: Campaign,
    list_name: List,
    *,
    priority: Annotated[int, typer.Option(min=1, help="Lower is called first.")] = 1,
    as_json: output.AsJson = False,
) -> None:
    """Let a campaign call an imported list, or change the list's priority."""

    async def change(connection: Connection, campaign: CampaignRow) -> ListRow:
        return await campaign_lists.attach(connection, campaign.id, list_name, priority=priority)

    found = _change(context, name, change)
    output.facts(
        {"campaign": name, "list": list_name, "leads": found.leads, "priority": priority},
        as_json=as_json,
    )


def unassign(context: typer.Context, name: Campaign, list_name: List) -> None:
    """Have a campaign call a list no longer; calls in flight go on, the leads stay as they are."""

    async def change(connection: Connection, campaign: CampaignRow) -> ListRow:
        return await campaign_lists.detach(connection, campaign.id, list_name)

    _change(context, name, change)
    typer.echo(f"Campaign {name} does not call list {list_name} any more.")


def pause(context: typer.Context, name: Campaign, list_name: List) -> None:
    """Start no more calls to a campaign's list for now; it keeps its place."""

    async def change(connection: Connection, campaign: CampaignRow) -> ListRow:
        return await campaign_lists.activate(connection, campaign.id, list_name, active=False)

    _change(context, name, change)
    typer.echo(f"List {list_name} rests: `dialer campaign resume-list` has it called again.")


def resume(context: typer.Context, name: Campaign, list_name: List) -> None:
    """Have a campaign call a paused list again."""

    async def change(connection: Connection, campaign: CampaignRow) -> ListRow:
        return await campaign_lists.activate(connection, campaign.id, list_name, active=True)

    _change(context, name, change)
    typer.echo(f"Campaign {name} calls list {list_name} again.")


def _change(context: typer.Context, name: str, change: Change) -> ListRow:
    """Make a change to the campaign *name* and wake its engine."""

    async def work(pool: Pool) -> ListRow:
        async with pool.acquire() as connection, connection.transaction():
            campaign = await campaigns.get(connection, name)
            found = await change(connection, campaign)
        await session.wake(pool, Channel.ENGINE, campaign.id)
        return found

    return session.of(context).run(work)
