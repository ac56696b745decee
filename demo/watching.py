"""Watching the campaign: the live board on a terminal, a line now and then off one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live

from campaigns.model import AgentState, AttemptState, CampaignState, Outcome
from dialer import board_view
from dialer.board import BoardSnapshot, read_board

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

LINE_EVERY_S = 5.0
_PICTURE_WIDTH = 112
# A picture that fetches fonts from elsewhere would be blank without a network.
_WEB_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
# A lead due this soon is waited for; later ones are left to their retry time.
_SOON = timedelta(seconds=45)
STOPPED_WITHIN_S = 120.0


class Screen(Protocol):
    """Where boards are shown."""

    def show(self, board: BoardSnapshot) -> None:
        """Show the campaign as it is now."""


@dataclass(slots=True)
class _Board:
    live: Live

    def show(self, board: BoardSnapshot) -> None:
        self.live.update(board_view.render(board), refresh=True)


@dataclass(slots=True)
class _Lines:
    console: Console
    next_at: float = 0.0

    def show(self, board: BoardSnapshot) -> None:
        if time.monotonic() >= self.next_at:
            self.next_at = time.monotonic() + LINE_EVERY_S
            self.console.print(line_of(board), soft_wrap=True)


@contextlib.contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """Yield a live board on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield _Board(live)


def line_of(board: BoardSnapshot) -> str:
    """Return one line about the campaign."""
    calls = sum(n for state, n in board.calls.items() if state is not AttemptState.ENDED)
    left = board.leads.counts
    abandoned = "; ".join(
        f"abandoned {window.abandoned} of {window.answered_by_person}"
        f" ({board_view.percent(window.rate_ppm)}, limit {board_view.percent(window.limit_ppm)})"
        for window in board.ledger
    )
    seconds = (board.at - board.since).total_seconds()
    return (
        f"  {board_view.clock(seconds)}  {board.attempts} calls, {calls} up now, "
        f"{board.outcomes.get(Outcome.ANSWERED, 0)} answered, {board.joined} joined, "
        f"{board.agents_in(AgentState.TALKING)} agents talking, "
        f"{left.callable_now} leads to go; {abandoned}{_expectation(board)}"
    )


def _expectation(board: BoardSnapshot) -> str:
    """Return what the engine expected of the last calls beside what came of them."""
    forecast = board.forecast
    if forecast is None or forecast.answered.expected is None:
        return ""
    return (
        f"; of {forecast.calls} calls {forecast.answered.expected:.0f} answers were expected, "
        f"{forecast.answered.observed or 0:.0f} came"
    )


async def boards(
    pool: Pool, campaign: str, *, every_s: float, check: Callable[[], None]
) -> AsyncIterator[BoardSnapshot]:
    """Yield the board again and again; *check* raises when the service is gone."""
    board = await read_board(pool, campaign)
    while True:
        yield board
        await asyncio.sleep(every_s)
        check()
        board = await read_board(pool, campaign, previous=board)


def nothing_left(board: BoardSnapshot) -> bool:
    """Say whether no lead can be called now or soon, and no call is in flight."""
    counts = board.leads.counts
    due = counts.next_due_at
    is_soon = due is not None and due - board.at < _SOON
    return not (board.calls or counts.callable_now or counts.in_call or is_soon)


async def until_done(
    pool: Pool,
    campaign: str,
    console: Console,
    *,
    every_s: float,
    minutes: float,
    check: Callable[[], None],
    picture: Path | None = None,
) -> bool:
    """Watch until nothing is left to call; False if the time ran out before."""
    until = time.monotonic() + 60 * minutes
    idle = 0
    busiest = 0
    with screen(console) as shown:
        async for board in boards(pool, campaign, every_s=every_s, check=check):
            shown.show(board)
            # Twice in a row: a lead may be on its way from one state to the next.
            idle = idle + 1 if nothing_left(board) else 0
            if idle > 1:
                return True
            if time.monotonic() > until:
                return False
            busy = busyness(board)
            if picture is not None and busy > busiest:
                busiest = busy
                await asyncio.to_thread(save_picture, board, picture)
    raise AssertionError("the boards never end")


async def until_stopped(
    pool: Pool, campaign: str, *, every_s: float, check: Callable[[], None]
) -> bool:
    """Wait until the calls in flight have ended after the stop; False if that took too long."""
    until = time.monotonic() + STOPPED_WITHIN_S
    async for board in boards(pool, campaign, every_s=every_s, check=check):
        if board.state is CampaignState.STOPPED and not board.calls:
            return True
        if time.monotonic() > until:
            return False
    raise AssertionError("the boards never end")


def busyness(board: BoardSnapshot) -> int:
    """Return how much there is to see: agents talking, calls in many states, new calls."""
    talking = board.agents_in(AgentState.TALKING)
    starting = board.pacing is not None and board.pacing.originate > 0
    return 10 * len(board.calls) + 5 * talking + 20 * starting + min(board.attempts, 200) // 4


def save_picture(board: BoardSnapshot, path: Path) -> None:
    """Write the board as SVG, in whatever monospaced font the reader has."""
    canvas = Console(
        record=True, width=_PICTURE_WIDTH, file=io.StringIO(), color_system="truecolor"
    )
    canvas.print(board_view.render(board, now=board.at))
    svg = canvas.export_svg(title="make demo")
    path.write_text(_WEB_FONTS.sub("", svg).replace("Fira Code, ", ""), encoding="utf-8")
