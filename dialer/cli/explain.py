"""`dialer campaign explain`: why so many calls were started at that moment."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from campaigns.errors import UserError
from campaigns.stores import campaigns, decisions, ledger
from dialer.board_view import BOUND_WORDS
from dialer.cli import output, session
from dialer.cli.moments import moment

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection, Pool
    from campaigns.stores.decisions import StoredDecision

CAMPAIGN_ZONE = "campaign"
LONGEST_SPAN = timedelta(hours=1)


def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")],
    *,
    at: Annotated[
        str | None,
        typer.Option(help="When: 10:03:12, 2026-11-21T10:03:12, or 5m, 2h ago; default now."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="List every decision from --at to this time, written the same way."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="Zone of times: an IANA name, or `campaign`; default the machine's."),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Say why the engine started that many calls at a moment, and decide again to check.

    Decisions are kept for 14 days.
    """
    from dialer import explanation

    async def work(pool: Pool) -> tuple[tzinfo, datetime, list[StoredDecision]]:
        async with pool.acquire() as connection:
            campaign = await campaigns.get(connection, name)
            where = zone_of(zone, campaign)
            now = datetime.now(UTC)
            start = moment_in(at, where, now=now)
            if until is None:
                return where, start, [await _nearest(connection, campaign, start, where)]
            end = moment_in(until, where, now=now)
            _check_span(start, end)
            return where, start, await decisions.between(connection, campaign.id, start, end)

    where, asked, found = session.of(context).run(work)
    if until is not None:
        _list(found, where, as_json=as_json)
        return
    (stored,) = found
    try:
        explained = explanation.explain(stored, campaign=name, asked_at=asked)
    except ValueError:
        made = f"{stored.decided_at.astimezone(where):%Y-%m-%d %H:%M:%S}"
        raise UserError(
            f"The decision of {made} was stored by "
            f"another version of Overdial, and this one cannot read it: {stored.originate} new "
            f"calls, decided by {BOUND_WORDS.get(stored.bound.value, stored.bound.value)}."
        ) from None
    if as_json:
        output.print_json(
            {**output.plain(explained), "zone": zone_name(where), "evidence": stored.evidence}
        )
        return
    typer.echo(f"Campaign {name}, asked about {asked.astimezone(where):%Y-%m-%d %H:%M:%S %Z}.")
    typer.echo(explained.headline(where))
    for sentence in explanation.sentences(explained):
        typer.echo(sentence)


def zone_of(given: str | None, campaign: CampaignRow | None = None) -> tzinfo:
    """Return the zone times are written in: the one named, the campaign's, or this machine's."""
    if given is None:
        local = datetime.now().astimezone().tzinfo
        return UTC if local is None else local
    of_campaign = campaign is not None and given == CAMPAIGN_ZONE
    name = ledger.home_zone(campaign) if campaign is not None and of_campaign else given
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(
            f"{given!r} is no time zone: write an IANA name such as Europe/Berlin"
            f"{'' if campaign is None else ', or `campaign`'}."
        ) from None


def zone_name(zone: tzinfo) -> str:
    """Return what a zone is called."""
    return str(zone) if isinstance(zone, ZoneInfo) else str(zone.tzname(None) or zone)


def moment_in(text: str | None, zone: tzinfo, *, now: datetime) -> datetime:
    """Return a moment in UTC: a time of day in *zone*, the last one that has passed; ISO; an age.

    A date and time without an offset is in *zone* too. None is *now*. Raises `UserError`.
    """
    if text is None:
        return now
    try:
        of_day = time.fromisoformat(text)
    except ValueError:
        of_day = None
    # "20261121" is a time of day to Python; a day is what it means.
    if of_day is not None and ":" in text and "T" not in text:
        if of_day.tzinfo is not None:
            raise UserError(f"{text!r} has an offset but no date: write 2026-11-21T10:03:12+01:00.")
        today = now.astimezone(zone).date()
        at = datetime.combine(today, of_day, tzinfo=zone)
        if at > now:
            at = datetime.combine(today - timedelta(days=1), of_day, tzinfo=zone)
        return at.astimezone(UTC)
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is not None:
        return (given.replace(tzinfo=zone) if given.tzinfo is None else given).astimezone(UTC)
    try:
        ago = moment(text, now=now)
    except UserError:
        ago = None
    if ago is None:
        raise UserError(
            f"{text!r} is no time: write 10:03:12, 2026-11-21T10:03:12, or an age such as 5m."
        )
    return ago


async def _nearest(
    connection: Connection, campaign: CampaignRow, at: datetime, zone: tzinfo
) -> StoredDecision:
    found = await decisions.nearest_before(connection, campaign.id, at)
    if found is not None:
        return found
    kept = await decisions.kept(connection, campaign.id)
    when = f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if kept is None:
        raise UserError(
            f"No decision about campaign {campaign.name!r} is kept: they are made while it runs, "
            "and kept for 14 days."
        )
    raise UserError(
        f"No decision about campaign {campaign.name!r} is kept from {when} or before: the first is "
        f"of {kept.first.astimezone(zone):%Y-%m-%d %H:%M:%S}."
    )


def _check_span(start: datetime, end: datetime) -> None:
    if end < start:
        raise UserError("--until lies before --at: a list needs the earlier time first.")
    if end - start > LONGEST_SPAN:
        raise UserError("A list covers at most an hour: choose --at and --until closer together.")


def _list(found: list[StoredDecision], zone: tzinfo, *, as_json: bool) -> None:
    rows = [
        {
            "at": stored.decided_at
            if as_json
            else f"{stored.decided_at.astimezone(zone):%H:%M:%S.%f}"[:-3],
            "originate": stored.originate,
            "claimed": stored.claimed,
            "bound": stored.bound.value,
            "because": BOUND_WORDS.get(stored.bound.value, stored.bound.value),
            "agents": stored.evidence.get("agents"),
            "ready": stored.evidence.get("ready"),
            "pending": stored.evidence.get("pending"),
            "waiting": stored.evidence.get("waiting"),
            "threshold": stored.evidence.get("theta"),
            "loss_next_call": stored.evidence.get("loss_next_call"),
            "windows": stored.evidence.get("windows"),
        }
        for stored in found
    ]
    output.table(
        rows,
        {
            "at": f"At ({zone_name(zone)})",
            "originate": "New calls",
            "claimed": "Started",
            "because": "Decided by",
            "agents": "Agents",
            "ready": "Ready",
            "pending": "Ringing",
            "waiting": "Waiting",
        },
        as_json=as_json,
        empty="No decision was made in that span.",
    )
