"""`dialer campaign schedule`: when a campaign itself works."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.errors import UserError
from campaigns.stores import campaigns, schedules
from campaigns.stores.schedules import NewSchedule
from dialer.cli import output, session
from dialer.cli.law import day
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

Name = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]


def schedule(
    context: typer.Context,
    name: Name,
    *,
    hours: Annotated[
        list[str] | None,
        typer.Option(
            "--hours",
            metavar="DAYS=SPANS",
            help="When it works, e.g. mon_fri=09:00-12:00,13:00-17:00; repeat for more days.",
        ),
    ] = None,
    zone: Annotated[str | None, typer.Option(help="The centre's zone, e.g. Europe/Berlin.")] = None,
    closed: Annotated[
        list[str] | None, typer.Option(help="A day off, e.g. 2026-12-24; repeat for more.")
    ] = None,
    ends: Annotated[
        str | None, typer.Option(help="The last day; the campaign stops after it.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Work whenever it runs.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Set or show when a campaign itself works; the law's hours and the person's clock bind too."""
    new = None if hours is None else _read(hours, zone, closed or [], ends)
    if new is None and (zone or closed or ends):
        raise UserError("Say the whole schedule at once: --hours and --zone are missing.")

    async def work(pool: Pool) -> NewSchedule | None:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, name)
            if clear:
                await schedules.clear(connection, name)
            elif new is not None:
                await schedules.put(connection, name, new)
            found = await schedules.get(connection, name)
        if clear or new is not None:
            await session.wake(pool, Channel.ENGINE, row.id)
        return found

    found = session.of(context).run(work)
    if found is None and not as_json:
        typer.echo(f"Campaign {name} has no schedule: it works whenever it runs.")
        return
    output.facts(
        {}
        if found is None
        else {
            "zone": found.zone,
            "hours": {days: list(spans) for days, spans in found.hours.items()},
            "closed": list(found.closed),
            "ends_on": found.ends_on,
        },
        as_json=as_json,
    )


def _read(hours: list[str], zone: str | None, closed: list[str], ends: str | None) -> NewSchedule:
    if zone is None:
        raise UserError("Say whose clock the hours are on: --zone Europe/Berlin.")
    table: dict[str, list[str]] = {}
    for entry in hours:
        days, equals, spans = entry.partition("=")
        if not equals:
            raise UserError(f"--hours {entry!r}: write it as DAYS=SPANS, e.g. sat=10:00-14:00.")
        table[days.strip()] = [span.strip() for span in spans.split(",") if span.strip()]
    return NewSchedule(zone=zone, hours=table, closed=_days(closed), ends_on=day(ends, "--ends"))


def _days(texts: list[str]) -> tuple[date, ...]:
    return tuple(found for text in texts if (found := day(text, "--closed")) is not None)
