"""`dialer leads`: bring lists in, take them back, and see what holds a number."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
)

from campaigns import lead_columns, lead_import
from campaigns.lead_import import ImportPlan, ImportReport, Policy
from campaigns.rules.gate import Rule
from campaigns.stores import campaign_lists, campaigns, imports, lead_reasons, leads
from campaigns.stores.imports import Duplicates, Within
from campaigns.stores.lead_reasons import NumberReasons
from dialer.cli import import_history, output, recycle, session
from dialer.cli.dnc import in_full
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Bring lists in, and see what holds a number.")
import_history.add_to(app)
app.command("recycle")(recycle.recycle)


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="The list, with or without a header.")
    ],
    *,
    campaign: Annotated[str, typer.Option(help="Campaign that will call the list.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="MEANING=COLUMN",
            help="Which column means what, e.g. phone=Telefon or name=2; repeat for more.",
        ),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(help="Country of numbers written without one, such as US; never guessed."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What divides the columns, if the guess is wrong.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the file, if the guess is wrong.")
    ] = None,
    list_name: Annotated[
        str | None, typer.Option("--list", help="Add to this list; default a new one.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rows not taken go; default beside the file.")
    ] = None,
    duplicates: Annotated[
        Duplicates | None,
        typer.Option(
            help="What becomes of a row whose number is known: skip it (the default), update the "
            "lead, or keep both."
        ),
    ] = None,
    within: Annotated[
        Within | None,
        typer.Option(help="Where a number counts as known; the default is the campaign."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Take mapping and choices saved under this name."),
    ] = None,
    save_template: Annotated[
        str | None,
        typer.Option("--save-template", metavar="NAME", help="Save them under this name."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Keep every row of a file that was imported before."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do all of it but the writing.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Import a CSV file as leads of a campaign: all that can be called, or nothing at all.

    If it is interrupted, the same command goes on where it was.
    """
    given: dict[str, Any] = {
        "mapping": lead_columns.parse_mapping(",".join(mapping or [])),
        "country": country,
        "delimiter": delimiter,
        "encoding": encoding,
        "duplicates": duplicates,
        "within": within,
    }

    async def work(pool: Pool) -> ImportReport:
        choices = await _choices(pool, given, template=template, save_as=save_template)
        policy = Policy(
            Duplicates(choices.pop("duplicates", Duplicates.SKIP)),
            Within(choices.pop("within", Within.CAMPAIGN)),
            again,
        )
        plan = await asyncio.to_thread(lead_import.plan_import, file, **choices)
        if not as_json:
            _show_plan(plan)
        with _Bar(shown=not as_json) as bar:
            done = await lead_import.import_leads(
                pool,
                plan,
                campaign=campaign,
                policy=policy,
                dry_run=dry_run,
                list_name=list_name,
                rejects=rejects,
                progress=bar.advance,
            )
        if done.accepted and not dry_run:
            await session.wake(pool, Channel.ENGINE)
        return done

    done = session.of(context).run(work)
    if as_json:
        output.print_json(done.as_json())
    else:
        _show_report(done)


async def _choices(
    pool: Pool, given: dict[str, Any], *, template: str | None, save_as: str | None
) -> dict[str, Any]:
    """Return what was chosen: the template's choices, and over them what the command says."""
    chosen: dict[str, Any] = {}
    async with pool.acquire() as connection:
        if template is not None:
            chosen |= await imports.template(connection, template)
        mapping = {**chosen.get("mapping", {}), **given["mapping"]}
        chosen |= {key: value for key, value in given.items() if value}
        chosen["mapping"] = mapping
        if save_as is not None:
            await imports.save_template(
                connection, save_as, {key: output.plain(value) for key, value in chosen.items()}
            )
    return chosen


@app.command()
def why(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The number, with +.")],
    *,
    country: Annotated[
        str | None, typer.Option(help="Country of a number written without one.")
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Say what keeps this number from being called, for each campaign that has it."""
    wanted = in_full(number, country)

    async def work(pool: Pool) -> NumberReasons:
        async with pool.acquire() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
            return await lead_reasons.explain_lead(connection, wanted, now=now)

    found = session.of(context).run(work)
    if as_json:
        output.print_json(found)
        return
    if found.suppressed_for:
        who = ", ".join("every seller" if one == "*" else one for one in found.suppressed_for)
        typer.echo(f"On the do-not-call list for {who}.")
    if not found.leads:
        typer.echo("No campaign has this number on an active list.")
    now = datetime.now(UTC)
    for lead in found.leads:
        typer.echo(f"{lead.campaign}, list {lead.list_name}: {lead.state.value}, ", nl=False)
        typer.echo(
            f"{lead.attempts} attempts" + ("" if lead.is_next_number else ", not its next number")
        )
        if lead.done_reason is not None:
            typer.echo(f"  done: {lead.done_reason.replace('_', ' ')}")
        for rule, meaning in lead.rules:
            if rule != Rule.LEAD_STATE or lead.done_reason is None:
                typer.echo(f"  {rule}: {meaning}")
        if not lead.rules:
            typer.echo("  nothing holds it: it is called when its turn comes")
        elif lead.next_call_at is not None and lead.next_call_at > now:
            typer.echo(f"  first possible call: {output.cell(lead.next_call_at)} local time")


@app.command("lists")
def lists(
    context: typer.Context,
    *,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's lists.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """List the imported lists."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            of = None if campaign is None else (await campaigns.get(connection, campaign)).id
            rows = await leads.lists(connection, of)
        return [
            {
                "id": row.id,
                "name": row.name,
                "leads": row.leads,
                "source": row.source,
                "created_at": row.created_at,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {"name": "List", "leads": "Leads", "source": "File", "created_at": "Imported"},
        as_json=as_json,
        empty="No list yet: import one with `dialer leads import FILE.csv --campaign NAME`.",
    )


@app.command("remove-list")
def remove_list(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="LIST", help="The list's name.")],
) -> None:
    """Undo an import: remove a list of which nobody was called yet."""

    async def work(pool: Pool) -> int:
        async with pool.acquire() as connection:
            found = await campaign_lists.named(connection, name)
            return await leads.delete_list(connection, found.id)

    typer.echo(f"List {name} and its {session.of(context).run(work)} leads are removed.")


class _Bar:
    """A progress bar on standard error, only on a terminal."""

    def __init__(self, *, shown: bool) -> None:
        console = output.console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} a second"),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not shown or not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("reading", total=None, rows=0, rate=0, left="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, at: lead_import.Progress) -> None:
        """Show how far the import is."""
        if self._task is not None:
            self._progress.update(
                self._task,
                description=at.phase,
                total=at.bytes_total or None,
                completed=at.bytes_read,
                rows=at.rows,
                rate=at.rows_per_s,
                left="" if at.left_s is None else f"{at.left_s:.0f} s left",
            )


def _show_plan(plan: ImportPlan) -> None:
    table = plan.table
    typer.echo(
        f"{table.path.name}: {table.encoding_name}, divided by {table.delimiter_name}, "
        f"{'with' if table.has_header else 'without'} a header"
        + (f", numbers without a country are {plan.country}" if plan.country else "")
    )
    output.table(
        [
            {"header": use.header, "meaning": use.meaning, "samples": "  ".join(use.samples)}
            for use in plan.uses
        ],
        {"header": "Column", "meaning": "Means", "samples": "Samples"},
        as_json=False,
    )
    typer.echo("Another meaning? --map phone=COLUMN,name=COLUMN; try with --dry-run.\n")


_PLACES = {
    Within.FILE: "elsewhere",
    Within.LIST: "on the list",
    Within.CAMPAIGN: "in the campaign",
    Within.EVERYWHERE: "on any list",
}


def _show_report(done: ImportReport) -> None:
    rows: list[dict[str, object]] = [
        {"what": "rows read", "rows": done.rows_read},
        {"what": "accepted", "rows": done.accepted},
        {"what": "duplicate in the file", "rows": done.duplicates_in_file},
        {"what": f"duplicate {_PLACES[Within(done.within)]}", "rows": done.duplicates_in_campaign},
    ]
    if done.duplicates_policy == Duplicates.UPDATE:
        rows.append({"what": "of the duplicates, leads updated", "rows": done.updated})
    rows += [{"what": f"rejected: {why}", "rows": count} for why, count in done.reasons.items()]
    if done.suppressed:
        rows.append({"what": "of the accepted, on the do-not-call list", "rows": done.suppressed})
    if done.outside_regions:
        rows.append(
            {
                "what": "of the accepted, outside the campaign's regions",
                "rows": done.outside_regions,
            }
        )
    output.table(rows, {"what": "Import", "rows": "Rows"}, as_json=False)
    if done.regions:
        places = ", ".join(f"{region} {count}" for region, count in done.regions.items())
        typer.echo(f"Regions: {places}.")
    if done.resumed_at:
        typer.echo(f"An interrupted import was gone on with after {done.resumed_at} rows.")
    if done.rejects_file:
        typer.echo(f"Rows not taken, with line and reason: {done.rejects_file}")
    if done.dry_run:
        typer.echo("Dry run: nothing was written.")
    elif done.list_name:
        typer.echo(f"{done.accepted} leads are on list {done.list_name} of {done.campaign}.")
        typer.echo(f"To take it back: dialer leads undo {done.import_id}")
    else:
        typer.echo("No row could be taken, so no list was made.")
