"""The live board on a terminal: agents, lines, pacing, abandonment against its limit, outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from campaigns.model import AgentState, AttemptState, CampaignState
from dialer.board import AgentLine, BoardSnapshot, LedgerLine
from dialer.forecast import Forecast

MOST_AGENTS = 16
# Of the limit: from here on the ledger turns amber.
NEAR = 0.9
STALE_S = 5.0
_BAR = 12
_LONGEST_NAME = 20

_AGENT_STYLE = {
    AgentState.OFFLINE: "dim",
    AgentState.PAUSED: "yellow",
    AgentState.READY: "bold green",
    AgentState.RESERVED: "cyan",
    AgentState.TALKING: "bold cyan",
    AgentState.WRAP_UP: "magenta",
}
_CAMPAIGN_STYLE = {
    CampaignState.DRAFT: "dim",
    CampaignState.RUNNING: "bold green",
    CampaignState.PAUSED: "yellow",
    CampaignState.STOPPING: "yellow",
    CampaignState.STOPPED: "dim",
}
BOUND_WORDS = {
    "no_agents": "no agent is logged in and ready to take part",
    "agents": "one call for each free agent",
    "ratio": "the campaign's fixed ratio",
    "loss_threshold": "the chance of losing one more call",
    "guard": "the abandonment guard",
    "law": "the law allows one call per free agent here",
    "stale": "counts are stale, so one call per free agent",
    "lines_per_agent": "the campaign's most lines per agent",
    "trunk_room": "free trunk channels",
    "calls_per_second": "the trunk's calls per second",
    "list": "no more leads to call now",
}


def render(board: BoardSnapshot, *, now: datetime | None = None) -> RenderableType:
    """Return the whole board; *now* tells how old the figures have become."""
    return Group(
        _headline(board, now or datetime.now(UTC)),
        _beside(_agents(board), _lines(board)),
        _ledger(board),
        _pacing(board),
        # As many beside each other as the terminal is wide.
        Columns([_outcomes(board), _answered(board), _leads(board)], padding=(0, 0), expand=True),
    )


def _beside(left: RenderableType, right: RenderableType) -> Table:
    both = Table.grid(expand=True)
    both.add_column(ratio=3)
    both.add_column(ratio=2)
    both.add_row(left, right)
    return both


def clock(seconds: float) -> str:
    """Return a duration as 0:07, 12:34 or 3:00:00."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def percent(part_ppm: float) -> str:
    """Return parts per million as a percentage with two decimals."""
    return f"{part_ppm / 10_000:.2f} %"


def _headline(board: BoardSnapshot, now: datetime) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f" {board.campaign} ", "bold reverse")
    line.append(f"  {board.state.value}", _CAMPAIGN_STYLE[board.state])
    line.append(f"  {board.mode.value}, profile {board.profile}")
    line.append(f"  since {board.since.astimezone():%H:%M:%S}", "dim")
    if board.state is CampaignState.RUNNING and not board.engine_alive:
        line.append("  ! NO ENGINE holds this campaign", "bold red")
    if board.state is CampaignState.RUNNING and not board.line_processes:
        line.append("  ! NO LINE PROCESS is running", "bold red")
    age = (now - board.at).total_seconds()
    if age > STALE_S:
        line.append(f"  ! data {age:.0f} s old", "bold red")
    return line


def _agents(board: BoardSnapshot) -> Panel:
    rows = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("agent", "state", "for"):
        rows.add_column(heading, no_wrap=True, justify="right" if heading == "for" else "left")
    rows.add_column("calls", justify="right")
    rows.add_column("talk", justify="right")
    shown = sorted(board.agents, key=_urgency)[:MOST_AGENTS]
    for agent in sorted(shown, key=lambda agent: agent.name):
        state = agent.state.value.replace("_", "-")
        if agent.reason and agent.state in {AgentState.PAUSED, AgentState.OFFLINE}:
            state += f" ({agent.reason})"
        rows.add_row(
            agent.name,
            Text(state, _AGENT_STYLE[agent.state]),
            clock(agent.since_s) if agent.state is not AgentState.OFFLINE else "",
            str(agent.calls),
            clock(agent.mean_talk_s) if agent.mean_talk_s is not None else "",
        )
    if not board.agents:
        rows.add_row(Text("none assigned", "yellow"), "", "", "", "")
    if len(board.agents) > MOST_AGENTS:
        rows.add_row(Text(f"… and {len(board.agents) - MOST_AGENTS} more", "dim"), "", "", "", "")
    ready = board.agents_in(AgentState.READY)
    talking = board.agents_in(AgentState.TALKING)
    return Panel(rows, title=f"Agents: {talking} talking, {ready} ready", title_align="left")


def _urgency(agent: AgentLine) -> tuple[int, float]:
    """Order agents so that the offline and idle ones are left out first when there is no room."""
    order = (
        AgentState.TALKING,
        AgentState.RESERVED,
        AgentState.WRAP_UP,
        AgentState.READY,
        AgentState.PAUSED,
        AgentState.OFFLINE,
    )
    return order.index(agent.state), -agent.since_s


def _lines(board: BoardSnapshot) -> Panel:
    rows = Table.grid(padding=(0, 2))
    rows.add_column()
    rows.add_column(justify="right")
    words = {
        AttemptState.CLAIMED: "claimed",
        AttemptState.DIALING: "dialing",
        AttemptState.RINGING: "ringing",
        AttemptState.ANSWERED: "answered, screening",
        AttemptState.BRIDGED: "with an agent",
        AttemptState.ANNOUNCING: "announcement",
        AttemptState.LEAVING_MESSAGE: "leaving a message",
        AttemptState.ENDED: "wrapping up",
    }
    for state, word in words.items():
        count = board.calls.get(state, 0)
        if count or state in {AttemptState.DIALING, AttemptState.RINGING, AttemptState.BRIDGED}:
            rows.add_row(word, Text(str(count), "bold" if count else "dim"))
    if board.waiting_for_agent:
        rows.add_row(
            Text("! waiting for an agent", "red"), Text(str(board.waiting_for_agent), "bold red")
        )
    troubles = []
    for trunk in board.trunks:
        use = Text(f"{trunk.in_use} / {trunk.channels}")
        if trunk.suspended_reason is not None:
            troubles.append(Text(f"! suspended: {trunk.suspended_reason}", "bold red"))
            use = Text("! suspended", "bold red")
        elif trunk.in_use >= trunk.channels:
            use = Text(f"! full: {trunk.in_use} / {trunk.channels}", "yellow")
        rows.add_row(Text(f"trunk {_shortened(trunk.name)}", "dim"), use)
    busy = sum(count for state, count in board.calls.items() if state is not AttemptState.ENDED)
    return Panel(Group(rows, *troubles), title=f"Lines: {busy} in use", title_align="left")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _ledger(board: BoardSnapshot) -> Panel:
    rows = Table.grid(padding=(0, 2))
    for _ in range(3):
        rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for window in board.ledger:
        rows.add_row(window.name, *_ledger_cells(window))
        rows.add_row("", "", "", Text(window.standing, "dim"))
    if not board.ledger:
        rows.add_row(Text("nothing answered yet", "dim"))
    parts: list[RenderableType] = [rows]
    if board.losses.unpreventable:
        parts.append(
            Text(
                f"{board.losses.unpreventable} lost to phones and processes that died, which no "
                "pacing prevents; they count all the same",
                "yellow",
            )
        )
    return Panel(
        Group(*parts),
        title="Abandonment: answered by a person, not given to an agent in time",
        title_align="left",
    )


def _ledger_cells(window: LedgerLine) -> tuple[Text, Text, str]:
    share = window.rate_ppm / window.limit_ppm if window.limit_ppm else 0.0
    word, style = "OK", "green"
    if window.is_over:
        word, style = "OVER", "bold red"
    elif share >= NEAR:
        word, style = "NEAR", "yellow"
    filled = min(_BAR, round(share * _BAR))
    bar = Text("█" * filled, style)
    bar.append("░" * (_BAR - filled), "dim")
    verdict = Text(f"{word} {percent(window.rate_ppm)} of {percent(window.limit_ppm)}", style)
    seeded = f", {window.seeded} of them seeded history" if window.seeded else ""
    return bar, verdict, f"{window.abandoned} of {window.answered_by_person}{seeded}"


def _pacing(board: BoardSnapshot) -> Panel:
    text = Text()
    pacing = board.pacing
    if pacing is None:
        text.append("no decision yet", "dim")
    else:
        reason = BOUND_WORDS.get(pacing.bound, pacing.bound)
        text.append(f"{pacing.originate} new calls", "bold")
        text.append(f", decided by {reason}")
        if pacing.decided_ago_s is not None:
            text.append(f"  ({pacing.decided_ago_s:.1f} s ago)", "dim")
        text.append(f"\n{pacing.attempts_last_minute} attempts in the last minute")
        for name, value in list(_numbers(pacing.evidence).items())[:6]:
            text.append(f"   {name.replace('_', ' ')} {value}", "dim")
    parts: list[RenderableType] = [text]
    if board.forecast is not None:
        parts.append(_forecast(board.forecast))
    return Panel(Group(*parts), title="Pacing", title_align="left")


def _forecast(forecast: Forecast) -> Table:
    """Return expected beside observed, for the calls whose fate is known."""
    rows = Table(box=None, pad_edge=False, header_style="dim")
    rows.add_column(f"{forecast.calls} calls of {forecast.minutes:.0f} min")
    for heading in ("answer rate", "people answered", "lost", "abandoned", "occupancy"):
        rows.add_column(heading, justify="right")
    for name in ("expected", "observed"):
        rows.add_row(
            Text(name, "dim"),
            _figure(getattr(forecast.answer_rate, name), is_share=True),
            _figure(getattr(forecast.answered, name), is_share=False),
            _figure(getattr(forecast.lost, name), is_share=False),
            _figure(getattr(forecast.abandonment, name), is_share=True),
            _figure(getattr(forecast.occupancy, name), is_share=True),
        )
    return rows


def _figure(value: float | None, *, is_share: bool) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if is_share else f"{value:.1f}"


def _numbers(evidence: Mapping[str, object]) -> dict[str, str]:
    shown = {}
    for name, value in evidence.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        shown[name] = f"{value:.3g}" if isinstance(value, float) else str(value)
    return shown


def _outcomes(board: BoardSnapshot) -> Panel:
    rows = Table.grid(padding=(0, 2))
    rows.add_column()
    rows.add_column(justify="right")
    rows.add_column(justify="right")
    total = sum(board.outcomes.values()) or 1
    for outcome, count in board.outcomes.items():
        rows.add_row(outcome.value.replace("_", " "), str(count), f"{100 * count / total:.0f} %")
    return Panel(rows, title=f"Outcomes of {board.attempts} attempts", title_align="left")


def _answered(board: BoardSnapshot) -> Panel:
    """Return what answered, as far as was heard, and what agents say came of it."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column()
    rows.add_column(justify="right")
    for heading, counts in (("heard", board.verdicts), ("agents say", board.dispositions)):
        for name, count in counts.items():
            rows.add_row(Text(f"{heading}: {name.replace('_', ' ')}"), str(count))
    return Panel(rows, title=f"Answered: {board.joined} joined", title_align="left")


def _leads(board: BoardSnapshot) -> Panel:
    rows = Table.grid(padding=(0, 2))
    rows.add_column()
    rows.add_column(justify="right")
    leads = board.leads.counts
    rows.add_row("to call now", str(leads.callable_now))
    rows.add_row("waiting for a retry", str(leads.waiting))
    for rule, count in leads.held.items():
        rows.add_row(f"held by rule {rule}", str(count))
    rows.add_row("in a call", str(leads.in_call))
    for reason, count in sorted(leads.done.items(), key=lambda item: -item[1]):
        rows.add_row(Text(f"done: {reason.replace('_', ' ')}", "dim"), str(count))
    return Panel(rows, title="Leads", title_align="left")
