"""The campaign report as tables for a terminal, each rate with its definition beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dialer.board_view import clock, percent
from dialer.report import DEFINITIONS, Abandonment, CampaignReport, Spread


def render(report: CampaignReport) -> RenderableType:
    """Return the whole report."""
    heading = Text(f"Campaign {report.campaign}", "bold")
    heading.append(
        f"  {report.state}, {report.mode}, profile {report.profile}\n"
        f"attempts claimed from {report.since.astimezone():%Y-%m-%d %H:%M:%S}"
        f" to {report.until.astimezone():%Y-%m-%d %H:%M:%S} local time",
        "not bold",
    )
    parts: list[RenderableType] = [heading, Text(), _totals(report), Text()]
    for title, counts in (
        ("Outcomes: what the network did", report.outcomes),
        ("Verdicts: what we believe answered", report.verdicts),
        ("Dispositions: what agents say came of it", report.dispositions),
        ("Attempts by trunk", report.trunks),
    ):
        if counts:
            # Above the table rather than in it, where a narrow table would fold its title.
            parts += [Text(title, "italic"), _counts(counts, report.attempts), Text()]
    parts += [_times(report), Text()]
    if report.agents:
        parts += [_agents(report), Text()]
    parts += [_leads(report), Text(), _definitions()]
    return Group(*parts)


def _grid(title: str | None = None, *, headed: bool = True) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
        show_header=headed,
    )


def _share(value: float | None) -> str:
    return "none yet" if value is None else f"{100 * value:.1f} %"


def _totals(report: CampaignReport) -> Table:
    ledger = report.abandonment
    rows = _grid(headed=False)
    rows.add_column()
    rows.add_column(justify="right")
    rows.add_column(style="dim")
    rows.add_row("attempts", str(report.attempts), f"{report.charged} charged to their leads")
    if report.still_open:
        rows.add_row("still open", str(report.still_open), "in a call or in wrap-up")
    answered = report.outcomes.get("answered", 0)
    rows.add_row("answer rate", _share(report.answer_rate), f"{answered} of {report.dialed} dialed")
    rows.add_row(
        "contact rate",
        _share(report.contact_rate),
        f"{ledger.answered_by_person} of {report.dialed} dialed",
    )
    rows.add_row("joined to an agent", str(report.joined), f"{report.announced} announcements")
    _add_abandonment(rows, ledger)
    if report.losses.unpreventable:
        rows.add_row(
            "of these not by pacing",
            str(report.losses.unpreventable),
            f"agent's phone gone {report.losses.agent_lost}, line process died "
            f"{report.losses.interrupted}, heard too late {report.losses.late}",
        )
    if report.returned_machines:
        rows.add_row("machines given to agents", str(report.returned_machines), "agents said so")
    return rows


def _add_abandonment(rows: Table, ledger: Abandonment) -> None:
    """Add the measured rate, and the one that is held against the limit if history was seeded."""
    whole = ledger.with_seeded
    verdict = "within" if whole.rate_ppm <= whole.limit_ppm else "OVER"
    against = f"; {verdict} the limit of {percent(whole.limit_ppm)}"
    seeded = ledger.seeded_answered_by_person
    rows.add_row(
        "abandonment",
        percent(ledger.rate_ppm),
        f"{ledger.abandoned} of {ledger.answered_by_person} answered by a person"
        f"{'' if seeded else against}",
    )
    if seeded:
        rows.add_row(
            "with seeded history",
            percent(whole.rate_ppm),
            f"{whole.abandoned} of {whole.answered_by_person}{against}; "
            f"no call stands behind {seeded} of them",
        )


def _counts(counts: Mapping[str, int], total: int) -> Table:
    rows = _grid()
    rows.add_column()
    rows.add_column("calls", justify="right")
    rows.add_column("of attempts", justify="right")
    for name, count in counts.items():
        rows.add_row(name.replace("_", " "), str(count), _share(count / total if total else None))
    return rows


def _times(report: CampaignReport) -> Table:
    rows = _grid("Times in seconds")
    rows.add_column()
    for heading in ("calls", "median", "95 %", "longest"):
        rows.add_column(heading, justify="right")
    spreads: tuple[tuple[str, Spread], ...] = (
        ("answer to agent", report.answer_to_agent),
        ("connect time", report.connect_time),
        ("ringing until answer", report.ring_time),
        ("talk", report.talk_time),
    )
    for name, spread in spreads:
        rows.add_row(
            name,
            str(spread.count),
            *(
                "" if value is None else f"{value:.2f}"
                for value in (spread.p50, spread.p95, spread.longest)
            ),
        )
    return rows


def _agents(report: CampaignReport) -> Table:
    rows = _grid("Agents")
    rows.add_column("agent")
    for heading in ("calls", "talking", "wrap-up", "ready", "paused", "handle time", "occupancy"):
        rows.add_column(heading, justify="right")
    rows.add_column("dispositions")
    for agent in report.agents:
        rows.add_row(
            agent.name,
            str(agent.calls),
            clock(agent.talking_s),
            clock(agent.wrap_up_s),
            clock(agent.ready_s),
            clock(agent.paused_s),
            "" if agent.handle_time_s is None else f"{agent.handle_time_s:.0f} s",
            _share(agent.occupancy),
            ", ".join(
                f"{count} {name.replace('_', ' ')}" for name, count in agent.dispositions.items()
            ),
        )
    return rows


def _leads(report: CampaignReport) -> Table:
    leads = report.leads
    rows = _grid("Leads", headed=False)
    rows.add_column()
    rows.add_column(justify="right")
    rows.add_row("on active lists", str(leads.total))
    rows.add_row("attempted at least once", f"{leads.attempted} ({_share(leads.penetration)})")
    rows.add_row("open", str(leads.open))
    rows.add_row("in a call", str(leads.in_call))
    for reason, count in leads.done.items():
        rows.add_row(f"done: {reason.replace('_', ' ')}", str(count))
    return rows


def _definitions() -> Table:
    rows = Table(
        title="How the figures are defined", title_justify="left", box=None, pad_edge=False
    )
    rows.show_header = False
    rows.add_column(style="dim")
    rows.add_column(style="dim", overflow="fold")
    for name, definition in DEFINITIONS.items():
        rows.add_row(name.replace("_", " "), definition)
    return rows


def as_json(report: CampaignReport) -> dict[str, object]:
    """Return the report as values a program reads, rates and definitions included."""
    values = dataclasses.asdict(report)
    values["answer_rate"] = report.answer_rate
    values["contact_rate"] = report.contact_rate
    values["abandonment"]["rate_ppm"] = report.abandonment.rate_ppm
    values["leads"]["penetration"] = report.leads.penetration
    for agent, row in zip(report.agents, values["agents"], strict=True):
        row["occupancy"] = agent.occupancy
        row["handle_time_s"] = agent.handle_time_s
    values["definitions"] = dict(DEFINITIONS)
    return values
