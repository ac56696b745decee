"""`dialer simulate`: what pacers would make of a campaign, before a single call is made."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.errors import UserError
from dialer.cli import output, session

if TYPE_CHECKING:
    from dialer.simulation.runs import Progress

FROM = "From a past"
HOW_MUCH = "How much is simulated"
SHOWN = "What is shown"
LIST = "The list and the clock"

Text = str | None


def simulate(
    context: typer.Context,
    *,
    agents: Annotated[
        Text, typer.Option(help="How many, or a sweep: 20, 5,10,20 or 5:50:5. Default 20.")
    ] = None,
    answer_rate: Annotated[
        Text, typer.Option(help="Share of calls a person answers: 0.25, 25%, 0.1:0.4:0.1.")
    ] = None,
    talk: Annotated[Text, typer.Option(help="Mean talk in seconds, or a sweep.")] = None,
    wrap: Annotated[Text, typer.Option(help="Mean wrap-up in seconds, or a sweep.")] = None,
    ring: Annotated[
        Text, typer.Option(help="Mean ring of calls people answer, in seconds, or a sweep.")
    ] = None,
    target: Annotated[Text, typer.Option(help="Abandonment aimed at: 0.02, 2%, 1%,2%,3%.")] = None,
    limit: Annotated[Text, typer.Option(help="Abandonment the law allows; default 3%.")] = None,
    hours: Annotated[Text, typer.Option(help="Length of the day in hours.")] = None,
    pacer: Annotated[
        list[str] | None,
        typer.Option(help="Pacers to compare, with commas; `list` names them all."),
    ] = None,
    scenario: Annotated[
        Text,
        typer.Option(
            metavar="NAME|FILE.toml", help="A built-in scenario (`list` names them) or a file."
        ),
    ] = None,
    warm: Annotated[
        bool,
        typer.Option("--warm", help="Inside a 30-day window that has met its target, not anew."),
    ] = False,
    leads: Annotated[
        Text,
        typer.Option(help="Length of the list: says when it is finished.", rich_help_panel=LIST),
    ] = None,
    start: Annotated[
        str, typer.Option(help="When the day begins.", rich_help_panel=LIST)
    ] = "09:00",
    by: Annotated[
        Text,
        typer.Option(
            help="Say how many agents finish --leads by then: 17:00.", rich_help_panel=LIST
        ),
    ] = None,
    from_campaign: Annotated[
        Text,
        typer.Option(
            metavar="NAME",
            help="Fit to this campaign's own history, and show what happened beside it.",
            rich_help_panel=FROM,
        ),
    ] = None,
    from_log: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="The same from any call log.", rich_help_panel=FROM),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="MEANING=COLUMN",
            help="What a column of the log means: started=call_date; repeat for more.",
            rich_help_panel=FROM,
        ),
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=WORD,…",
            help="What the log's words mean: person=SALE,NI; repeat for more.",
            rich_help_panel=FROM,
        ),
    ] = None,
    zone: Annotated[
        Text,
        typer.Option(help="Zone of the log's times, an IANA name.", rich_help_panel=FROM),
    ] = None,
    since: Annotated[
        Text,
        typer.Option(
            help="How far back the campaign's history counts: 2026-11-21, 24h, 14d.",
            rich_help_panel=FROM,
        ),
    ] = None,
    until: Annotated[
        Text, typer.Option(help="Until when, written like --since.", rich_help_panel=FROM)
    ] = None,
    replications: Annotated[
        Text, typer.Option(help="Days simulated for each row.", rich_help_panel=HOW_MUCH)
    ] = None,
    days: Annotated[
        Text,
        typer.Option(help="Consecutive days in each replication.", rich_help_panel=HOW_MUCH),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="The same seed gives the same figures.", rich_help_panel=HOW_MUCH),
    ] = 1,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes to use; default one for each core.", rich_help_panel=HOW_MUCH
        ),
    ] = None,
    bound: Annotated[
        bool,
        typer.Option(
            "--bound", help="Also the exact optimum no pacer can pass.", rich_help_panel=SHOWN
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw frontier, day and sensitivity into a file.",
            rich_help_panel=SHOWN,
        ),
    ] = None,
    chart: Annotated[
        bool, typer.Option("--chart", help="Draw them on the terminal.", rich_help_panel=SHOWN)
    ] = False,
    to_csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write the rows there.", rich_help_panel=SHOWN),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Simulate a campaign's day under several pacers: occupancy, abandonment, calls, list.

    Without options: 20 agents, a quarter of the calls answered, talks of two minutes.
    """
    from dialer.cli import simulate_plan, simulate_view

    if _listed(pacer, scenario, as_json=as_json):
        return
    asked = simulate_plan.Asked(
        sweeps={
            "--agents": agents,
            "--answer-rate": answer_rate,
            "--talk": talk,
            "--wrap": wrap,
            "--ring": ring,
            "--limit": limit,
            "--target": target,
            "--hours": hours,
        },
        pacers=tuple(pacer or ()),
        scenario=scenario,
        warm=warm,
        leads=leads,
        start=start,
        by=by,
        replications=replications,
        days=days,
        seed=seed,
        processes=processes,
        wants_pictures=plot is not None or chart,
        bound=bound,
    )
    _check_files(plot, to_csv)
    fitted = simulate_plan.fitted(
        session.of(context),
        asked,
        simulate_plan.Source(
            campaign=from_campaign,
            log=from_log,
            mapping=tuple(column or ()),
            outcomes=tuple(outcome or ()),
            zone=zone,
            since=since,
            until=until,
        ),
    )
    plan = simulate_plan.plan(asked, fitted)
    for sentence in plan.told:
        session.note(sentence)
    if _compiles_first():
        session.note("Compiling the pacing rule for this machine, once: about a minute.")
    with _progress() as progress:
        found = simulate_plan.carry_out(plan, progress)
    if to_csv is not None:
        _write_csv(to_csv, simulate_view.records(found))
    if plot is not None or chart:
        from dialer.simulation import charts

        pictures = simulate_view.pictures(found)
        if plot is not None:
            charts.save(pictures, plot)
            session.note(f"Pictures written to {plot}.")
        if chart and not as_json:
            typer.echo(charts.on_terminal(pictures, colours=sys.stdout.isatty()))
    if as_json:
        output.print_json(simulate_view.records(found))
        return
    output.console().print(simulate_view.table(found))
    for sentence in simulate_view.sentences(found):
        typer.echo(sentence)


def _listed(pacer: Sequence[str] | None, scenario: str | None, *, as_json: bool) -> bool:
    """Print the names there are, if that is what was asked."""
    from pacing.simulation import PACERS, built_in

    if pacer and list(pacer) == ["list"]:
        rows: list[Mapping[str, object]] = [
            {"pacer": name, "what": what} for name, what in _pacers(PACERS)
        ]
        output.table(rows, {"pacer": "Pacer", "what": "What it is"}, as_json=as_json)
        return True
    if scenario == "list":
        rows = [
            {"scenario": name, "agents": one.agents, "what": one.description}
            for name, one in built_in().items()
        ]
        output.table(
            rows,
            {"scenario": "Scenario", "agents": "Agents", "what": "What it is"},
            as_json=as_json,
        )
        return True
    return False


def _pacers(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, what in known.items():
        yield name, what if isinstance(what, str) else what[1]


def _compiles_first() -> bool:
    """Say whether numba has nothing compiled yet that is newer than the rule's sources."""
    import pacing
    from pacing import compiling

    if not compiling.is_possible():
        return False
    folder = Path(pacing.__file__).parent
    newest = max(source.stat().st_mtime for source in folder.rglob("*.py"))
    kept = (folder / "__pycache__").glob("compiled-*/**/*.nbc")
    return not any(code.stat().st_mtime > newest for code in kept)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Yield what shows how far a run is: a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} days"),
        TimeRemainingColumn(),
        console=output.console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("Simulating", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _check_files(plot: Path | None, to_csv: Path | None) -> None:
    """Refuse files that cannot be written before anything is simulated."""
    from dialer.simulation import charts

    if plot is not None:
        charts.check_file(plot)
    if to_csv is not None and str(to_csv) != "-" and not to_csv.resolve().parent.is_dir():
        raise UserError(f"--csv {to_csv}: there is no folder {to_csv.resolve().parent}.")


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    try:
        with (
            sys.stdout if str(path) == "-" else path.open("w", newline="", encoding="utf-8") as out
        ):
            flat = [
                {
                    key: " ".join(map(str, value)) if isinstance(value, list | tuple) else value
                    for key, value in row.items()
                }
                for row in rows
            ]
            writer = csv.DictWriter(out, fieldnames=list(flat[0]))
            writer.writeheader()
            writer.writerows(flat)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    if str(path) != "-":
        session.note(f"{len(rows)} rows written to {path}.")
