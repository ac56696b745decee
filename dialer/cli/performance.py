"""`dialer report kpis` and `timesheets`: figures with their formulas, and agents' time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.table import Table

from campaigns.csv_export import CsvFile
from campaigns.errors import UserError
from campaigns.stores import campaigns, performance
from campaigns.stores.performance import By, Sums, Timesheet
from dialer import charts, kpis
from dialer.board_view import clock
from dialer.cli import files, output, session
from dialer.cli.moments import moment

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Connection, Pool

CampaignName = Annotated[
    str | None, typer.Option("--campaign", help="Only this campaign and its agents.")
]
Since = Annotated[
    str | None, typer.Option(help="From when: 2026-11-21, or 90m, 24h, 7d ago; default 24h.")
]
Until = Annotated[str | None, typer.Option(help="Until when, written like --since.")]
Zone = Annotated[str, typer.Option(help="IANA zone of hours and days.")]
CsvOut = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV to FILE.")]
PngOut = Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Draw it to FILE.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `dialer report`."""
    app.command("kpis")(show_kpis)
    app.command("timesheets")(show_timesheets)


def show_kpis(
    context: typer.Context,
    *,
    by: Annotated[By, typer.Option(help="What the figures are split by.")] = By.TOTAL,
    campaign: CampaignName = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = "UTC",
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE=VALUE", help="Mark parts that miss it, e.g. conversion=5%."),
    ] = None,
    out: CsvOut = None,
    png: PngOut = None,
    figure: Annotated[str, typer.Option(help="Which figure --png draws.")] = "occupancy",
    as_json: output.AsJson = False,
) -> None:
    """Print the key figures, each with its formula; `*` marks what misses its target."""
    goals = [kpis.parse_goal(text) for text in target or []]
    drawn = kpis.find(figure)
    period = _period(since, until)

    async def work(connection: Connection, campaign_id: UUID | None) -> list[Sums]:
        return await performance.read(
            connection, by, campaign_id=campaign_id, since=period[0], until=period[1], zone=zone
        )

    found = kpis.rows(_read(context, campaign, zone, work), by, goals)
    if as_json:
        output.print_json(_kpis_as_json(found, period, goals))
        return
    if out is not None:
        columns = ["part", *(kpi.name for kpi in kpis.KPIS)]
        _write_csv(out, columns, [[row.name, *row.values.values()] for row in found])
    if png is not None:
        values = {row.name: row.values[drawn.name] for row in found}
        charts.bars(png, values, title=f"{drawn.title} by {by}: {drawn.formula}", unit=drawn.unit)
        session.note(f"Drawn to {png}.")
    if out is None and png is None:
        _print_kpis(found, by, goals)


def _print_kpis(found: Sequence[kpis.Row], by: By, goals: Sequence[kpis.Goal]) -> None:
    if not found:
        typer.echo("No call and no agent's time in that period.")
        return
    wanted = {goal.kpi: goal for goal in goals}
    many = len(found) > 1
    shown = [kpi for kpi in kpis.KPIS if any(row.values[kpi.name] is not None for row in found)]
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("Figure" if not many else str(by).capitalize())
    if many:
        # Parts below each other, figures beside each other, formulas beneath.
        for kpi in shown:
            table.add_column(kpi.title, justify="right")
        for row in found:
            table.add_row(row.name, *(_cell(kpi, row) for kpi in shown))
        output.console().print(table, markup=False)
        for kpi in shown:
            typer.echo(f"{kpi.title} = {kpi.formula}{_goal(wanted.get(kpi.name), kpi)}")
        return
    table.add_column(found[0].name, justify="right")
    table.add_column("Formula")
    for kpi in shown:
        formula = f"{kpi.formula}{_goal(wanted.get(kpi.name), kpi)}"
        table.add_row(kpi.title, f"{_cell(kpi, found[0])}{_parts(kpi, found[0].sums)}", formula)
    output.console().print(table, markup=False)


def _cell(kpi: kpis.Kpi, row: kpis.Row) -> str:
    mark = "*" if kpi.name in row.missed else ""
    return f"{kpis.written(kpi, row.values[kpi.name])}{mark}"


def _parts(kpi: kpis.Kpi, sums: Sums) -> str:
    above, below = kpi.numerator(sums), kpi.denominator(sums)
    if kpi.unit is not kpis.Unit.SHARE or above is None or below is None:
        return ""
    return f"  ({above:.0f} of {below:.0f})"


def _goal(goal: kpis.Goal | None, kpi: kpis.Kpi) -> str:
    if goal is None:
        return ""
    return (
        f"; target {'at most' if goal.is_ceiling else 'at least'} {kpis.written(kpi, goal.value)}"
    )


def _kpis_as_json(
    found: Sequence[kpis.Row], period: tuple[datetime, datetime], goals: Sequence[kpis.Goal]
) -> dict[str, object]:
    return {
        "since": period[0],
        "until": period[1],
        "parts": [
            {
                "name": row.name,
                "figures": row.values,
                "missed": sorted(row.missed),
                "sums": dataclasses.asdict(row.sums),
            }
            for row in found
        ],
        "targets": {goal.kpi: goal.value for goal in goals},
        "formulas": {kpi.name: kpi.formula for kpi in kpis.KPIS},
    }


# Timesheets -------------------------------------------------------------------------------------

_STATES = ("talking", "wrap_up", "ready", "reserved", "paused")


def show_timesheets(
    context: typer.Context,
    *,
    campaign: CampaignName = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = "UTC",
    out: CsvOut = None,
    png: PngOut = None,
    as_json: output.AsJson = False,
) -> None:
    """Print each agent's days: first and last, and the time in each state and pause code."""
    period = _period(since, until)

    async def work(connection: Connection, campaign_id: UUID | None) -> list[Timesheet]:
        return await performance.timesheets(
            connection, campaign_id=campaign_id, since=period[0], until=period[1], zone=zone
        )

    sheets = _read(context, campaign, zone, work)
    codes = sorted({code for sheet in sheets for code in sheet.pauses})
    if out is not None:
        columns = ["agent", "day", "first_at", "last_at", "logged_in_s"]
        columns += [f"{state}_s" for state in _STATES] + [f"pause {code} s" for code in codes]
        _write_csv(
            out,
            columns,
            [
                [
                    *(sheet.agent, sheet.day, sheet.first_at, sheet.last_at),
                    *(round(sheet.logged_in_s),),
                    *(round(sheet.states.get(state, 0.0)) for state in _STATES),
                    *(round(sheet.pauses.get(code, 0.0)) for code in codes),
                ]
                for sheet in sheets
            ],
        )
    if png is not None:
        charts.stacks(
            png,
            {f"{sheet.agent} {sheet.day}": sheet.states for sheet in sheets},
            parts=_STATES,
            title="Hours by state",
        )
        session.note(f"Drawn to {png}.")
    if out is not None or png is not None:
        return
    output.table(
        [_sheet(sheet, as_json=as_json) for sheet in sheets],
        {
            "agent": "Agent",
            "day": "Day",
            "first_at": "First",
            "last_at": "Last",
            "logged_in": "Logged in",
            **{state: state.replace("_", "-").capitalize() for state in _STATES},
            "pauses": "Pauses",
        },
        as_json=as_json,
        empty="No agent was logged in in that period.",
    )


def _sheet(sheet: Timesheet, *, as_json: bool) -> Mapping[str, object]:
    whole: dict[str, Any] = {
        "agent": sheet.agent,
        "day": sheet.day,
        "first_at": sheet.first_at,
        "last_at": sheet.last_at,
    }
    if as_json:
        states = {f"{state}_s": sheet.states.get(state, 0.0) for state in _STATES}
        return whole | {"logged_in_s": sheet.logged_in_s, **states, "pauses_s": sheet.pauses}
    spent_in = {state: clock(sheet.states.get(state, 0.0)) for state in _STATES}
    pauses = ", ".join(f"{code} {clock(spent)}" for code, spent in sorted(sheet.pauses.items()))
    return whole | {"logged_in": clock(sheet.logged_in_s), **spent_in, "pauses": pauses}


# Both -------------------------------------------------------------------------------------------


def _period(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    end = moment(until) or datetime.now(UTC)
    start = moment(since) or end - timedelta(days=1)
    if start >= end:
        raise UserError("The period ends before it begins: correct --since or --until.")
    return start, end


def _read(context: typer.Context, campaign: str | None, zone: str, work: Any) -> Any:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"{zone!r} is no time zone: write one such as Europe/Berlin.") from None

    async def read(pool: Pool) -> Any:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            only = None if campaign is None else (await campaigns.get(connection, campaign)).id
            return await work(connection, only)

    return session.of(context).run(read)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with files.written(path) as out:
        file = CsvFile(out, columns)
        for row in rows:
            file.add(row)
    if not files.is_here(path):
        session.note(f"{len(rows)} rows written to {path}.")
