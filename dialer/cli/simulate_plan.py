"""What `dialer simulate` was asked, as scenarios, pacers and an effort; and carrying it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.stores import campaigns
from dialer.cli.explain import zone_of
from dialer.cli.moments import moment
from dialer.simulation import call_log, campaign_past, runs
from dialer.simulation import quantities as q
from dialer.simulation.fit import Fitted, Rules, fit
from dialer.simulation.runs import Axis, Effort, Point, Progress, Result
from dialer.simulation.staffing import Staffing, agents_needed
from pacing import Mode, compiling
from pacing.simulation import (
    PACERS,
    Optimum,
    PacerError,
    PacerSpec,
    Row,
    Scenario,
    ScenarioError,
    built_in,
    optimum_of,
    parse_pacer,
    scenario_from_toml,
    twin_of,
)

if TYPE_CHECKING:
    from campaigns.stores.database import Pool
    from dialer.cli.session import Session

DEFAULT_PACERS = ("predictive", "progressive")
DEFAULT_AGENTS = 20.0
DEFAULT_ANSWER_RATE = 0.25
# Of a day that nobody described: with numba, and as many seconds' work without it.
DEFAULT_HOURS, PLAIN_HOURS = 2.0, 0.5
DEFAULT_REPLICATIONS, PLAIN_REPLICATIONS = 4, 2
LOOK_BACK = timedelta(days=14)
TARGETS = (0.005, 0.01, 0.02, 0.03, 0.05)
SWING = 0.2
_QUANTITIES = {
    quantity.option: quantity
    for quantity in (
        q.AGENTS,
        q.ANSWER_RATE,
        q.TALK,
        q.WRAP_UP,
        q.RING,
        q.LIMIT,
        q.TARGET,
        q.HOURS,
    )
}
_CHANGES: dict[str, Callable[[Scenario, float], Scenario]] = {
    "--answer-rate": runs.with_answer_rate,
    "--talk": runs.with_talk,
    "--wrap": runs.with_wrap_up,
    "--ring": runs.with_ring,
    "--limit": runs.with_limit,
    "--target": runs.with_target,
    "--hours": runs.with_hours,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were written."""

    sweeps: Mapping[str, str | None]
    pacers: tuple[str, ...] = ()
    scenario: str | None = None
    warm: bool = False
    leads: str | None = None
    start: str = "09:00"
    by: str | None = None
    replications: str | None = None
    days: str | None = None
    seed: int = 1
    processes: int | None = None
    wants_pictures: bool = False
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Whose past is fitted to, if any."""

    campaign: str | None = None
    log: Path | None = None
    mapping: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    zone: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that will be simulated; `told` says what was understood."""

    points: list[Point]
    pacers: list[PacerSpec]
    effort: Effort
    with_agents: Callable[[int], Scenario]
    starts_at_s: float
    leads: int | None = None
    by_s: float | None = None
    fitted: Fitted | None = None
    wants_pictures: bool = False
    bound: bool = False
    told: tuple[str, ...] = ()

    @property
    def agents(self) -> int | None:
        """Return the size of the team when it is the same at every point."""
        sizes = {team_of(point.scenario) for point in self.points}
        return sizes.pop() if len(sizes) == 1 else None


@dataclass(slots=True, eq=False)
class Found:
    """What came of a plan."""

    plan: Plan
    results: list[Result]
    next_agent: Row | None = None
    staffing: Staffing | None = None
    optima: list[Optimum] = field(default_factory=list)
    frontier: list[Row] = field(default_factory=list)
    swings: list[tuple[str, float, float]] = field(default_factory=list)


def team_of(scenario: Scenario) -> int:
    """Return how many agents are there when it are the most."""
    if not scenario.shifts:
        return scenario.agents
    changes = sorted(
        change
        for shift in scenario.shifts
        for change in (
            (shift.from_s, shift.agents),
            (scenario.day_s if shift.to_s is None else shift.to_s, -shift.agents),
        )
    )
    present = most = 0
    for _, change in changes:
        present += change
        most = max(most, present)
    return most


# A past to fit to -----------------------------------------------------------------------------


def fitted(current: Session, asked: Asked, source: Source) -> Fitted | None:
    """Return the scenario of a campaign's or a log's past, None when none was named."""
    if source.campaign is not None and source.log is not None:
        raise UserError("--from-campaign and --from-log exclude each other: choose one past.")
    if source.campaign is None and source.log is None:
        _need_no(source)
        return None
    if asked.scenario is not None:
        raise UserError("--scenario and a past to fit to exclude each other: choose one.")
    sizes = asked.sweeps.get("--agents")
    team = None if sizes is None else int(q.values(sizes, q.AGENTS)[0])
    if source.log is not None:
        return _of_log(source, source.log, team)
    if source.mapping or source.outcomes or source.zone:
        raise UserError("--map, --outcome and --zone describe a log: they need --from-log.")
    return _of_campaign(current, source, str(source.campaign), team)


def _need_no(source: Source) -> None:
    given = {
        "--map": source.mapping,
        "--outcome": source.outcomes,
        "--zone": source.zone,
        "--since": source.since,
        "--until": source.until,
    }
    for option, value in given.items():
        if value:
            raise UserError(f"{option} needs a past: --from-campaign NAME or --from-log FILE.csv.")


def _of_log(source: Source, log: Path, team: int | None) -> Fitted:
    if source.since or source.until:
        raise UserError("--since and --until look at a campaign: cut a log file itself.")
    zone = zone_of(source.zone)
    past = call_log.read(
        log,
        mapping=call_log.parse_mapping(source.mapping),
        ends=call_log.parse_ends(source.outcomes),
        zone=zone,
    )
    return fit(past, rules=Rules(), zone=zone, agents=team)


def _of_campaign(current: Session, source: Source, name: str, team: int | None) -> Fitted:
    now = datetime.now(UTC)
    since = moment(source.since, now=now) or now - LOOK_BACK
    until = moment(source.until, now=now) or now
    zone: tzinfo = zone_of(None)

    async def work(pool: Pool) -> Fitted:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await campaigns.get(connection, name)
            past, rules = await campaign_past.read(
                connection, row, campaign_past.Span(since, until)
            )
        return fit(past, rules=rules, zone=zone, agents=team)

    return current.run(work)


# The plan --------------------------------------------------------------------------------------


def plan(asked: Asked, past: Fitted | None) -> Plan:
    """Return what to simulate; raises `UserError` with one sentence for what cannot be."""
    pacers = _pacers(asked)
    base, starts_at_s = _base(asked, past)
    leads = None if asked.leads is None else int(q.one(asked.leads, q.LEADS))
    by_s = None if asked.by is None else q.clock_time(asked.by, "--by")
    if by_s is not None:
        if leads is None:
            raise UserError("--by says when a list must be finished: say how long with --leads.")
        if by_s <= starts_at_s:
            raise UserError(
                f"--by {asked.by} is not after the day begins ({q.clock_words(starts_at_s)}): "
                "choose a later time, or an earlier --start."
            )
    if leads is not None:
        base = replace(base, leads=leads)
    if past is not None:
        past = replace(past, scenario=base)

    def to_agents(scenario: Scenario, agents: float) -> Scenario:
        if past is not None:
            return past.with_agents(round(agents))
        return scenario.with_agents(round(agents))

    changes = {"--agents": to_agents, **_CHANGES}
    axes = [
        Axis(_QUANTITIES[option], q.values(text, _QUANTITIES[option]), changes[option])
        for option in changes
        if (text := asked.sweeps.get(option)) is not None
    ]
    found = runs.points(base, axes)
    fixed = [axis for axis in axes if axis.quantity is not q.AGENTS]

    def with_agents(agents: int) -> Scenario:
        scenario = to_agents(base, agents)
        for axis in fixed:
            scenario = axis.change(scenario, axis.values[0])
        return scenario

    days = 1 if asked.days is None else int(q.one(asked.days, q.DAYS))
    told = () if past is None else past.told
    if not compiling.is_possible():
        told = (*told, "Without numba little is simulated: pip install 'overdial[fast]'.")
    effort = Effort(
        replications=_replications(asked),
        days=days,
        seed=asked.seed,
        processes=asked.processes,
    )
    return Plan(
        points=found,
        pacers=pacers,
        effort=effort,
        with_agents=with_agents,
        starts_at_s=starts_at_s,
        leads=leads,
        by_s=by_s,
        fitted=past,
        wants_pictures=asked.wants_pictures,
        bound=asked.bound,
        told=told,
    )


def _pacers(asked: Asked) -> list[PacerSpec]:
    names = q.pacer_names(asked.pacers, list(PACERS)) or list(DEFAULT_PACERS)
    try:
        return [parse_pacer(name) for name in names]
    except PacerError as error:
        raise UserError(f"--pacer: {error}.") from None


def _base(asked: Asked, past: Fitted | None) -> tuple[Scenario, float]:
    """Return the scenario the options change, and when its day begins."""
    starts_at_s = q.clock_time(asked.start, "--start")
    if past is not None:
        base, starts_at_s = past.scenario, past.starts_at_s
    elif asked.scenario is not None:
        base = _named(asked.scenario)
    else:
        base = replace(built_in()["S1"], name="defaults", description="")
        base = runs.with_answer_rate(base, DEFAULT_ANSWER_RATE)
        if asked.leads is None:
            base = runs.with_hours(base, DEFAULT_HOURS if compiling.is_possible() else PLAIN_HOURS)
    return (base.warm() if asked.warm else base), starts_at_s


def _named(name: str) -> Scenario:
    known = built_in()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise UserError(
            f"There is no scenario {name!r}: choose one of {', '.join(known)}, or a file that ends "
            "in .toml."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--scenario {name}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"--scenario {name}: the file is not text in UTF-8.") from None
    try:
        return scenario_from_toml(text, source=name)
    except ScenarioError as error:
        raise UserError(f"{error}.") from None


def _replications(asked: Asked) -> int:
    if asked.replications is not None:
        return int(q.one(asked.replications, q.REPLICATIONS))
    return DEFAULT_REPLICATIONS if compiling.is_possible() else PLAIN_REPLICATIONS


# Carrying it out -------------------------------------------------------------------------------


def carry_out(wanted: Plan, progress: Progress | None = None) -> Found:
    """Simulate everything the plan says."""
    found = Found(wanted, runs.run(wanted.points, wanted.pacers, wanted.effort, progress))
    first = wanted.pacers[0]
    agents = wanted.agents
    if agents is not None and len(wanted.points) == 1 and compiling.is_possible():
        one_more = Point(wanted.with_agents(agents + 1), {})
        (result,) = runs.run([one_more], [first], wanted.effort, progress)
        found.next_agent = result.rows[0]
    if wanted.leads is not None and wanted.by_s is not None:
        found.staffing = agents_needed(
            wanted.with_agents,
            first,
            deadline_s=wanted.by_s - wanted.starts_at_s,
            effort=replace(wanted.effort, days=1),
        )
    if wanted.bound:
        found.optima = [_best(point.scenario) for point in wanted.points]
    if wanted.wants_pictures:
        _look_around(found, progress)
    return found


def _best(scenario: Scenario) -> Optimum:
    """Return the exact optimum, of the memoryless twin where the scenario has a memory."""
    limit = min((window.target for window in scenario.windows), default=0.03)
    of_itself = optimum_of(scenario, abandonment=limit)
    return twin_of(scenario, abandonment=limit) if of_itself is None else of_itself


def _look_around(found: Found, progress: Progress | None) -> None:
    """Simulate what the pictures show beside the rows: other targets, other assumptions."""
    wanted = found.plan
    here = wanted.points[0].scenario
    effort = replace(wanted.effort, replications=max(2, wanted.effort.replications // 2))
    predictive = next((one for one in wanted.pacers if one.mode is Mode.PREDICTIVE), None)
    if predictive is not None:
        aims = [
            Point(runs.with_target(runs.with_limit(here, max(0.03, 1.05 * aim)), aim), {})
            for aim in TARGETS
        ]
        found.frontier = [one.rows[0] for one in runs.run(aims, [predictive], effort, progress)]
    if len(wanted.points) > 1:
        return
    first = wanted.pacers[0]
    for label, change in (
        ("answer rate", lambda s, f: runs.with_answer_rate(s, s.mean_answer_rate * f)),
        ("talk", lambda s, f: runs.with_talk(s, s.talk.mean_s * f)),
        ("ring", lambda s, f: runs.with_ring(s, s.ring_live.mean_s * f)),
        ("agents", lambda s, f: s.with_agents(max(1, round(s.agents * f)))),
    ):
        ends = [Point(change(here, factor), {}) for factor in (1 - SWING, 1 + SWING)]
        low, high = (one.rows[0] for one in runs.run(ends, [first], effort, progress))
        found.swings.append((f"{label} ∓ {100 * SWING:.0f} %", low.occupancy, high.occupancy))
