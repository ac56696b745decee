"""What keys do at the terminal desk, and the one screen an agent works on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum, auto

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from campaigns.model import AgentState, Disposition
from dialer.board_view import clock
from dialer.terminal import keyboard
from dialer.terminal.client import AgentClient, LiveCall, Standing

REASONS = ("break", "lunch", "training", "meeting", "back office")
SKIP_REASONS = ("not now", "wrong person", "known customer", "data incomplete", "asked not to call")
DISPOSITIONS = tuple(said for said in Disposition if said is not Disposition.NONE)
REDRAW_S = 0.2
LONGEST_NOTE = 2000

_STYLES = {
    AgentState.OFFLINE: "white on grey37",
    AgentState.PAUSED: "black on yellow",
    AgentState.READY: "black on green",
    AgentState.RESERVED: "black on cyan",
    AgentState.TALKING: "black on bright_cyan",
    AgentState.WRAP_UP: "white on magenta",
}


class Mode(Enum):
    """What the next key means: a command, a reason to pause or skip, or a letter of the note."""

    COMMANDS = auto()
    REASONS = auto()
    SKIPPING = auto()
    NOTE = auto()


@dataclass(slots=True)
class TerminalDesk:
    """Keys in, messages out; hot keys are off while a note is typed."""

    client: AgentClient
    mode: Mode = Mode.COMMANDS
    note: str = ""
    leaving: bool = False
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    _noted_for: str | None = None

    async def press(self, key: str) -> None:
        """Act on one key."""
        if key == keyboard.CTRL_C:
            self.finished.set()
            return
        match self.mode:
            case Mode.NOTE:
                self._type(key)
            case Mode.REASONS:
                self.mode = Mode.COMMANDS
                reason = _chosen(REASONS, key)
                if reason is not None:
                    await self.client.say("pause", reason=reason)
            case Mode.SKIPPING:
                self.mode = Mode.COMMANDS
                reason = _chosen(SKIP_REASONS, key)
                if reason is not None:
                    await self.client.decide("skip", reason=reason)
            case Mode.COMMANDS:
                await self._command(key)

    async def _command(self, key: str) -> None:
        self.client.problem = None
        match key.lower():
            case "r":
                await self.client.say("ready")
            case "p":
                self.mode = Mode.REASONS
            case "d":
                await self.client.decide("dial")
            case "s" if self.client.preview_left_s is not None:
                self.mode = Mode.SKIPPING
            case "h":
                await self.client.say("hang_up")
            case "l":
                await self.client.say("log_in")
            case "n" if self.client.call is not None:
                self.mode = Mode.NOTE
                self._noted_for = self.client.call.attempt_id
            case "q":
                await self._leave()
            case digit if digit.isdigit() and digit != "0":
                await self._dispose(DISPOSITIONS[int(digit) - 1])
            case _:
                pass

    async def _dispose(self, said: Disposition) -> None:
        call = self.client.call
        is_its_note = call is not None and call.attempt_id == self._noted_for
        if await self.client.dispose(said, self.note if is_its_note else ""):
            self.note = ""

    async def _leave(self) -> None:
        """Log out; once more leaves without waiting for the call to end."""
        standing = self.client.standing
        if self.leaving or standing is None or not standing.logged_in:
            self.finished.set()
            return
        self.leaving = True
        await self.client.say("log_out")

    def _type(self, key: str) -> None:
        if key in (keyboard.ENTER, keyboard.ESCAPE):
            self.mode = Mode.COMMANDS
        elif key == keyboard.BACKSPACE:
            self.note = self.note[:-1]
        elif key.isprintable() and len(self.note) < LONGEST_NOTE:
            self.note += key

    def noticed(self) -> None:
        """Look at what the server said: the log-out may be complete."""
        standing = self.client.standing
        if self.leaving and standing is not None and not standing.logged_in:
            self.finished.set()

    def render(self) -> RenderableType:
        """Return the screen."""
        client = self.client
        parts: list[RenderableType] = [
            _state_line(
                client.standing, connected=client.connected, preview_left_s=client.preview_left_s
            )
        ]
        if client.problem:
            parts.append(Text(f" ! {client.problem}", "bold red"))
        if client.call is not None:
            parts += _card(client.call)
            if self.mode is Mode.NOTE or self.note:
                cursor = "▏" if self.mode is Mode.NOTE else ""
                parts.append(Panel(Text(self.note + cursor), title="Note", title_align="left"))
        parts.append(self._help())
        return Group(*parts)

    def _help(self) -> RenderableType:
        if self.mode is Mode.REASONS:
            return Text(
                f" Pause for:  {_choices(REASONS)}   any other key: no pause", "bold yellow"
            )
        if self.mode is Mode.SKIPPING:
            return Text(
                f" Skip because:  {_choices(SKIP_REASONS)}   any other key: no skip", "bold yellow"
            )
        if self.mode is Mode.NOTE:
            return Text(" Typing a note: hot keys are off. Enter ends it.", "bold yellow")
        lines = Text(
            " r ready   p pause   h hang up   n note   l call my phone   q log out\n", "dim"
        )
        call = self.client.call
        if self.client.preview_left_s is not None:
            return lines.append(" d dial   s skip", "bold cyan")
        if call is not None and call.is_preview and not (call.is_joined or call.ended):
            return lines.append(" h give up: the phone rings its legal minimum first", "dim")
        for number, said in enumerate(DISPOSITIONS, 1):
            lines.append(f" {number} {said.value.replace('_', ' ')}  ", "dim")
        return lines


def _chosen(reasons: tuple[str, ...], key: str) -> str | None:
    """Return the reason a digit stands for, None for any other key."""
    return reasons[int(key) - 1] if key.isdigit() and 1 <= int(key) <= len(reasons) else None


def _choices(reasons: tuple[str, ...]) -> str:
    return "   ".join(f"{n} {reason}" for n, reason in enumerate(reasons, 1))


def _state_line(
    standing: Standing | None, *, connected: bool, preview_left_s: float | None = None
) -> Text:
    line = Text()
    if standing is None:
        return line.append(" connecting … ", "reverse")
    word = "preview" if preview_left_s is not None else _word(standing)
    line.append(f" {word.upper()} ", _STYLES[standing.state])
    now = time.monotonic()
    if standing.since is not None:
        line.append(f" {clock(max(0.0, now - standing.since))} ", "bold")
    if standing.reason:
        line.append(f" ({standing.reason})")
    if standing.wrap_up_until is not None and standing.state is AgentState.WRAP_UP:
        left = max(0.0, standing.wrap_up_until - now)
        line.append(f"  {clock(left)} left", "bold magenta")
    if preview_left_s is not None:
        line.append(f"  {clock(preview_left_s)} to decide", "bold cyan")
    if standing.pause_requested:
        line.append(f"  pause after this call ({standing.pause_requested})", "yellow")
    if standing.log_out_requested:
        line.append("  logging out after this call", "yellow")
    line.append(
        f"   {standing.display_name}: {', '.join(standing.campaigns) or 'no campaign'}", "dim"
    )
    if not connected:
        line.append("  ! NO CONNECTION", "bold red")
    return line


def _word(standing: Standing) -> str:
    """Return where the agent stands, in words."""
    if standing.state is not AgentState.OFFLINE:
        return standing.state.value.replace("_", "-")
    if not standing.logged_in:
        return "logged out"
    if standing.calls_in:
        return "call in and enter your PIN"
    being_called = standing.reason in {None, "calling the phone"}
    return "your phone is being called" if being_called else "your phone is away"


def _card(call: LiveCall) -> list[RenderableType]:
    lead = call.lead
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    rows.add_row("name", str(lead.get("name") or "unknown"))
    rows.add_row("number", f"{lead.get('number', '')}  {lead.get('region', '')}")
    for name, value in dict(lead.get("fields") or {}).items():
        rows.add_row(str(name), str(value))
    for note in lead.get("notes") or ():
        rows.add_row("note", f"{note.get('text', '')}  ({note.get('by', '')})")
    if call.ended is not None:
        talk = call.ended.get("talk_s")
        title = "Call ended" if talk is None else f"Call ended after {clock(float(talk))}"
    elif call.preview_until is not None:
        title = "Dial or skip"
    elif call.is_preview and not call.is_joined:
        title = "Calling"
    else:
        title = "On the line" if call.is_joined else "Joining"
    parts: list[RenderableType] = [
        Panel(rows, title=f"{title}: {call.campaign}", title_align="left", border_style="cyan")
    ]
    if call.script:
        parts.append(Panel(Text(call.script), title="Script", title_align="left"))
    return parts


async def work(url: str, token: str) -> None:
    """Run the desk until the agent logs out; raises `UserError` when the server refuses."""
    client = AgentClient(url, token)
    desk = TerminalDesk(client)
    redraw = asyncio.Event()
    told = asyncio.Event()

    def changed() -> None:
        desk.noticed()
        if client.standing is not None:
            told.set()
        redraw.set()

    client.on_change = changed
    with (
        keyboard.keys() as pressed,
        Live(
            desk.render(), console=Console(highlight=False), screen=True, auto_refresh=False
        ) as live,
    ):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(client.run(), name="line"),
                group.create_task(_log_in_once(client, told), name="log-in"),
                group.create_task(_take_keys(desk, pressed, redraw), name="keys"),
                group.create_task(_draw(desk, live, redraw), name="draw"),
            ]
            await desk.finished.wait()
            for task in tasks:
                task.cancel()


async def _log_in_once(client: AgentClient, told: asyncio.Event) -> None:
    """Log in as soon as the server has said how we stand; a session there is goes on."""
    await told.wait()
    if client.standing is not None and not client.standing.logged_in:
        await client.say("log_in")


async def _take_keys(
    desk: TerminalDesk, pressed: asyncio.Queue[str], redraw: asyncio.Event
) -> None:
    while True:
        await desk.press(await pressed.get())
        redraw.set()


async def _draw(desk: TerminalDesk, live: Live, redraw: asyncio.Event) -> None:
    while True:
        live.update(desk.render(), refresh=True)
        redraw.clear()
        try:
            async with asyncio.timeout(REDRAW_S):
                await redraw.wait()
        except TimeoutError:
            # The timers move even when nothing happens.
            continue
