"""How `dialer simulate` shows what it found: rows, a table, sentences, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from dialer.simulation import wording
from dialer.simulation.quantities import clock_words
from pacing import Mode

if TYPE_CHECKING:
    from dialer.cli.simulate_plan import Found, Plan
    from dialer.simulation.charts import Pictures
    from dialer.simulation.fit import Happened
    from dialer.simulation.runs import Result
    from pacing.simulation import Row

HAPPENED = "what happened"


def records(found: Found) -> list[dict[str, Any]]:
    """Return the rows as values with stable keys, what happened first."""
    rows = []
    if found.plan.fitted is not None:
        rows.append(_happened_record(found.plan.fitted.happened))
    for index, result in enumerate(found.results):
        for row in result.rows:
            record = {
                **row.as_dict(),
                "scenario": result.point.scenario.name,
                "agents": _team(result),
                **{key: value for key, value in result.point.at.items() if key != "agents"},
                "finished_at": _finished(row, found.plan),
            }
            if found.optima:
                record["optimum"] = found.optima[index].occupancy
            if found.staffing is not None:
                record["agents_needed"] = found.staffing.agents
            rows.append(record)
    return rows


def _happened_record(happened: Happened) -> dict[str, Any]:
    talk = happened.talk_s / happened.staffed_s if happened.staffed_s else None
    return {
        "pacer": HAPPENED,
        "occupancy": happened.occupancy,
        "occupancy_ci": None,
        "abandonment": happened.abandonment,
        "days_over_limit": None,
        "worst_day": None,
        "connects_per_agent_hour": happened.connects_per_agent_hour,
        "dials_per_live": happened.dials_per_live,
        "days": happened.days,
        "talk_minutes_per_hour": None if talk is None else 60 * talk,
        "dials_per_day": happened.dialed / happened.days,
    }


def table(found: Found) -> Table:
    """Return the rows as a table for people."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    swept = list(found.results[0].point.at)
    for key in swept:
        shown.add_column(key.replace("_", " "), justify="right")
    shown.add_column("pacer")
    headings = [
        "occupancy", "95 % interval", "abandoned", "days over limit", "worst day",
        "talks per agent-hour", "calls per person",
    ]  # fmt: skip
    if found.plan.leads is not None:
        headings.append("list finished")
    if found.optima:
        headings.append("optimum")
    for heading in headings:
        shown.add_column(heading, justify="right")
    if found.plan.fitted is not None:
        shown.add_row(*[""] * len(swept), *_happened_cells(found.plan.fitted.happened))
    for index, result in enumerate(found.results):
        for row in result.rows:
            cells = [_swept(key, result.point.at[key]) for key in swept]
            cells += [row.pacer, *_cells(row)]
            if found.plan.leads is not None:
                cells.append(_finished(row, found.plan) or "not that day")
            if found.optima:
                cells.append(_percent(found.optima[index].occupancy))
            shown.add_row(*cells)
    return shown


def _cells(row: Row) -> list[str]:
    low, high = row.occupancy_ci
    return [
        _percent(row.occupancy),
        f"{100 * low:.1f}–{100 * high:.1f}",
        _percent(row.abandonment, 2),
        f"{row.days_over_limit:.0f} of {row.days}",
        _percent(row.worst_day, 2),
        f"{row.connects_per_agent_hour:.1f}",
        f"{row.dials_per_live:.1f}",
    ]


def _happened_cells(happened: Happened) -> list[str]:
    occupancy, per_hour = happened.occupancy, happened.connects_per_agent_hour
    return [
        HAPPENED,
        "" if occupancy is None else _percent(occupancy),
        "",
        _percent(happened.abandonment, 2),
        "",
        "",
        "" if per_hour is None else f"{per_hour:.1f}",
        f"{happened.dials_per_live:.1f}",
    ]


def sentences(found: Found) -> list[str]:
    """Return what it means, in sentences."""
    plan, results = found.plan, found.results
    first = results[0].rows[0]
    told = [""]
    if len(results) > 1:
        for row in results[0].rows:
            told += wording.sweep_sentences(results, row.pacer)
        return told + _list_sentences(found)
    agents = _team(results[0])
    scenario = results[0].point.scenario
    told.append(wording.main_sentence(first, agents))
    limit = min((window.limit for window in scenario.windows), default=0.03)
    told.append(wording.limit_sentence(first, limit))
    if found.next_agent is not None:
        told.append(wording.next_agent_sentence(first, found.next_agent, agents))
    progressive = results[0].row(wording.PROGRESSIVE)
    if progressive is not None and progressive is not first:
        told.append(wording.gain_sentence(first, progressive, agents))
    if plan.fitted is not None:
        told += [wording.happened_sentence(plan.fitted.happened, row) for row in results[0].rows]
    if found.optima:
        twin = _is_twin(found)
        told.append(wording.bound_sentence(found.optima[0].occupancy, first, is_twin=twin))
    return told + _list_sentences(found)


def _list_sentences(found: Found) -> list[str]:
    plan = found.plan
    if plan.leads is None:
        return []
    told = []
    if len(found.results) == 1:
        told = [
            wording.list_sentence(row, plan.leads, plan.starts_at_s)
            for row in found.results[0].rows
        ]
    if found.staffing is not None and plan.by_s is not None:
        told.append(
            wording.staffing_sentence(
                found.staffing.agents,
                found.staffing.share_in_time,
                plan.leads,
                plan.by_s,
                max(found.staffing.tried),
            )
        )
    return told


def pictures(found: Found) -> Pictures:
    """Return what is drawn."""
    from dialer.simulation import charts

    plan, first = found.plan, found.results[0]
    scenario = first.point.scenario
    limit = min((window.limit for window in scenario.windows), default=0.03)
    label = next(
        (f"{spec.name}, other targets" for spec in plan.pacers if spec.mode is Mode.PREDICTIVE), ""
    )
    return charts.Pictures(
        title=f"{scenario.name}: {_team(first)} agents, "
        f"{_percent(scenario.mean_answer_rate)} answered, talk {scenario.talk.mean_s:.0f} s",
        limit=100 * limit,
        spots=charts.spots_of(found.results),
        frontier=tuple(charts.spot(label, row) for row in found.frontier),
        courses=charts.courses_of(first, plan.starts_at_s),
        curves=charts.curves_of(found.results),
        swings=tuple(charts.Swing(name, 100 * low, 100 * high) for name, low, high in found.swings),
        base=100 * first.rows[0].occupancy,
    )


def _team(result: Result) -> int:
    from dialer.cli.simulate_plan import team_of

    return team_of(result.point.scenario)


def _is_twin(found: Found) -> bool:
    from pacing.simulation import optimum_of

    return optimum_of(found.results[0].point.scenario) is None


def _finished(row: Row, plan: Plan) -> str | None:
    if row.finished_s is None:
        return None
    return clock_words(plan.starts_at_s + row.finished_s)


def _swept(key: str, value: float) -> str:
    return _percent(value) if key in {"answer_rate", "target", "limit"} else f"{value:g}"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"
