"""`dialer report`: what came of a campaign, recomputed from its attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.csv_export import CsvFile
from campaigns.stores import campaigns
from dialer import logs, report_view
from dialer.cli import files, output, performance, session
from dialer.cli.moments import moment
from dialer.report import CampaignReport, read_report

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="What came of a campaign, from its attempts.")
performance.add_to(app)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]
Since = Annotated[
    str | None,
    typer.Option(help="From when: 2026-11-21, 2026-11-21T09:00 (local time), or 90m, 24h, 7d ago."),
]
Until = Annotated[str | None, typer.Option(help="Until when, written like --since.")]

_ATTEMPTS = """
SELECT a.id, a.lead_id, a.dialed_number, a.region, t.name AS trunk, g.name AS agent,
       a.outcome::text, a.verdict::text, a.disposition::text, a.ended_by::text,
       a.sip_code, a.q850_cause, a.end_reason,
       a.claimed_at, a.dialing_at, a.ringing_at, a.answered_at, a.greeting_ended_at,
       a.verdict_at, a.joined_at, a.message_started_at, a.ended_at,
       a.charged, a.answered_by_person, a.abandoned
FROM attempt a
LEFT JOIN trunk t ON t.id = a.trunk_id
LEFT JOIN agent g ON g.id = a.agent_id
WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3
  AND (NOT $4 OR a.abandoned)
ORDER BY a.claimed_at, a.id
"""


@app.command("campaign")
def campaign(
    context: typer.Context,
    name: Name,
    *,
    since: Since = None,
    until: Until = None,
    as_json: output.AsJson = False,
) -> None:
    """Report outcomes, verdicts, dispositions, abandonment, times, agents and leads."""
    period = moment(since), moment(until)

    async def work(pool: Pool) -> CampaignReport:
        return await read_report(pool, name, since=period[0], until=period[1])

    found = session.of(context).run(work)
    if as_json:
        output.print_json(report_view.as_json(found))
    else:
        output.console().print(report_view.render(found))


@app.command("abandonment")
def abandonment(
    context: typer.Context,
    name: Name,
    *,
    since: Since = None,
    until: Until = None,
    as_json: output.AsJson = False,
) -> None:
    """List every abandoned call, so that the rate can be checked call by call."""
    rows = _attempts(context, name, since, until, only_abandoned=True)
    for row in rows:
        row["dialed_number"] = logs.mask_number(row["dialed_number"])
    output.table(
        rows,
        {
            "id": "Attempt",
            "answered_at": "Answered",
            "greeting_ended_at": "Greeting ended",
            "joined_at": "Joined",
            "ended_at": "Ended",
            "ended_by": "Ended by",
            "verdict": "Verdict",
            "agent": "Agent",
        },
        as_json=as_json,
        empty="No call was abandoned.",
    )


@app.command("attempts")
def attempts(
    context: typer.Context,
    name: Name,
    *,
    since: Since = None,
    until: Until = None,
    out: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV to FILE, or - for here.")
    ] = None,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Show whole telephone numbers: personal data.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """List every closed attempt with its times and codes."""
    rows = _attempts(context, name, since, until, only_abandoned=False)
    if not numbers:
        for row in rows:
            row["dialed_number"] = logs.mask_number(row["dialed_number"])
    if out is not None:
        _write_csv(out, rows)
        return
    output.table(
        rows,
        {
            "claimed_at": "Claimed",
            "dialed_number": "Number",
            "trunk": "Trunk",
            "outcome": "Outcome",
            "sip_code": "SIP",
            "verdict": "Verdict",
            "agent": "Agent",
            "disposition": "Disposition",
            "abandoned": "Abandoned",
        },
        as_json=as_json,
        empty="No attempt is closed in that period.",
    )


def _attempts(
    context: typer.Context, name: str, since: str | None, until: str | None, *, only_abandoned: bool
) -> list[dict[str, Any]]:
    start, end = moment(since), moment(until)

    async def work(pool: Pool) -> list[dict[str, Any]]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, name)
            found = await connection.fetch(
                _ATTEMPTS,
                row.id,
                start or row.created_at,
                end or datetime.now(UTC) + timedelta(days=1),
                only_abandoned,
            )
        return [dict(record) for record in found]

    return session.of(context).run(work)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    if not rows:
        session.note("No attempt is closed in that period: nothing was written.")
        return
    with files.written(path) as out:
        file = CsvFile(out, list(rows[0]))
        for row in rows:
            file.add(list(row.values()))
    if not files.is_here(path):
        session.note(f"{len(rows)} attempts written to {path}.")
