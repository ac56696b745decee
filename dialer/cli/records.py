"""`dialer records`: complete, sealed, kept as long as the law says; one person's data; evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.errors import UserError
from campaigns.stores import campaigns, persons, records
from dialer import evidence
from dialer.cli import files, output, session
from dialer.cli.dnc import in_full
from dialer.cli.moments import moment

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Records of calls: complete, sealed, kept, forgotten.")

Since = Annotated[str | None, typer.Option(help="From when: 2026-11-21, or 24h, 30d ago.")]
Until = Annotated[str | None, typer.Option(help="Until when, written like --since.")]
Number = Annotated[str, typer.Argument(metavar="NUMBER", help="The person's number, with +.")]
Country = Annotated[str | None, typer.Option(help="Country of a number written without one.")]


@app.command()
def check(
    context: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    as_json: output.AsJson = False,
) -> None:
    """Look for records that lack a field 16 CFR 310.5 asks for; exit code 1 if there are any."""
    end = moment(until) or datetime.now(UTC)
    start = moment(since) or end - timedelta(days=30)

    async def work(pool: Pool) -> tuple[int, list[records.Gap]]:
        async with pool.acquire() as connection:
            checked, found = await records.gaps(connection, since=start, until=end)
            await records.note_gaps(connection, found)
        return checked, found

    checked, found = session.of(context).run(work)
    if as_json:
        output.print_json({"records": checked, "gaps": found})
    else:
        output.table(
            [
                {
                    "day": g.day,
                    "field": g.field,
                    "rule": g.rule,
                    "attempts": g.attempts,
                    "example": g.example,
                }
                for g in found
            ],
            {
                "day": "Day",
                "field": "Missing",
                "rule": "Asked by",
                "attempts": "Records",
                "example": "Such as",
            },
            as_json=False,
            empty=f"{checked} records, and nothing is missing in any.",
        )
    if found:
        raise typer.Exit(1)


@app.command()
def seal(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """Seal the days that are over; the engine does so every night."""

    async def work(pool: Pool) -> list[records.Seal]:
        async with pool.acquire() as connection:
            return await records.seal_days(connection, now=datetime.now(UTC))

    _show_seals(
        [
            {"day": one.day, "attempts": one.attempts, "events": one.events, "digest": one.digest}
            for one in session.of(context).run(work)
        ],
        as_json=as_json,
        empty="Every day that is over is sealed.",
    )


def _show_seals(rows: list[dict[str, object]], *, as_json: bool, empty: str) -> None:
    columns = {"day": "Day", "attempts": "Attempts", "events": "Events", "digest": "Digest"}
    if any("verdict" in row for row in rows):
        columns["verdict"] = "Verdict"
    output.table(rows, columns, as_json=as_json, empty=empty)


@app.command()
def verify(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """Recompute every day's seal from its records; exit code 1 if one does not hold."""

    async def work(pool: Pool) -> list[records.SealCheck]:
        async with pool.acquire() as connection:
            return await records.verify(connection)

    checks = session.of(context).run(work)
    _show_seals(
        [
            {
                "day": one.seal.day,
                "attempts": one.seal.attempts,
                "events": one.seal.events,
                "digest": one.seal.digest,
                "verdict": "BROKEN" if not one.holds else "holds" if one.kept else "past retention",
            }
            for one in checks
        ],
        as_json=as_json,
        empty="No day is sealed yet.",
    )
    if not all(one.holds for one in checks):
        raise typer.Exit(1)


@app.command()
def retention(
    context: typer.Context,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Drop them now.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show how long records are kept and which months are past it; drop those with --apply."""

    async def work(pool: Pool) -> tuple[int, list[str]]:
        now = datetime.now(UTC)
        async with pool.acquire() as connection, connection.transaction():
            years = await records.retention_years(connection)
            if apply:
                return years, await records.drop_old_months(connection, now=now)
            return years, await records.old_months(connection, now=now)

    years, months = session.of(context).run(work)
    if as_json:
        output.print_json({"years": years, "months": months, "dropped": apply})
        return
    spell = "1 year" if years == 1 else f"{years} years"
    typer.echo(f"Records are kept for {spell}, the longest any campaign's profile asks for.")
    done = "Dropped" if apply else "Past it, dropped with --apply"
    typer.echo(f"{done}: {', '.join(months)}." if months else "No month is past it.")


@app.command()
def organisation(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who makes the calls.")],
) -> None:
    """Say who makes the calls, for the records from now on; without it that is the seller."""

    async def work(pool: Pool) -> None:
        async with pool.acquire() as connection:
            await records.set_organisation(connection, name)

    session.of(context).run(work)
    typer.echo(f"Records name {name.strip()} as the one who calls.")


@app.command()
def person(
    context: typer.Context,
    number: Number,
    *,
    country: Country = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to, or - for here.")
    ] = Path("-"),
) -> None:
    """Export everything held about the person with this number, as JSON."""
    wanted = in_full(number, country)

    async def work(pool: Pool) -> object:
        async with pool.acquire() as connection:
            return await persons.held_about(connection, wanted)

    found = json.dumps(
        output.plain({"number": wanted, "held": session.of(context).run(work)}),
        ensure_ascii=False,
        indent=2,
    )
    with files.written(out) as file:
        file.write(found + "\n")
    if not files.is_here(out):
        session.note(f"Written to {out}.")


@app.command()
def erase(
    context: typer.Context,
    number: Number,
    *,
    country: Country = None,
    reason: Annotated[
        str, typer.Option(help="Why, for the do-not-call list.")
    ] = "asked to be forgotten",
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be undone.")] = False,
) -> None:
    """Forget a person for good: leads, notes and promised calls; records the law wants stay."""
    wanted = in_full(number, country)
    if not yes:
        raise UserError("This cannot be undone: say --yes to forget this person for good.")

    async def work(pool: Pool) -> persons.Erased:
        async with pool.acquire() as connection:
            return await persons.erase(connection, wanted, reason=reason)

    done = session.of(context).run(work)
    typer.echo(
        f"{done.leads} leads are empty now, {done.notes} notes and {done.callbacks} promised calls "
        f"gone. {done.records_kept} call records stay until their retention ends. The number is "
        "on everyone's do-not-call list as a keyed hash."
    )


@app.command("evidence")
def evidence_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.zip", help="Where to.")],
    since: Since = None,
    until: Until = None,
) -> None:
    """Write the evidence package: attempts, the rate worked out from them, rules, seals, hashes."""
    start, end = moment(since), moment(until) or datetime.now(UTC)

    async def work(pool: Pool) -> dict[str, int]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, name)
            return await evidence.write_package(
                connection, row, out, since=start or row.created_at, until=end
            )

    rows = session.of(context).run(work)
    typer.echo(f"{rows['attempts']} attempts and their evidence are in {out}.")
