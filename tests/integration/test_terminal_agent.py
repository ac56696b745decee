"""Agents on a terminal: keys do what they say, robots work a shift, broken lines come back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rich.console import Console

from campaigns.errors import UserError
from campaigns.model import AgentState, AttemptState, Disposition, EndedBy, Outcome
from campaigns.stores import attempts, line_commands, reservations, sessions
from campaigns.stores.attempts import Ending, Step
from campaigns.stores.line_commands import CommandKind
from dialer.notify import Channel
from dialer.terminal import auto, keyboard
from dialer.terminal.client import AgentClient
from dialer.terminal.desk import Mode, TerminalDesk
from tests.calls import World
from tests.desks import PATIENCE_S, Server, api, eventually, give_token
from tests.shell import PROGRAM, environment

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def now() -> datetime:
    """Return the time of day: sockets live in real time."""
    return datetime.now(UTC)


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a running campaign and a line process."""
    return await World(pool).build(name="Spring")


@pytest.fixture
async def server(dsn: str, pool: Pool) -> AsyncIterator[Server]:
    """Yield the API on a port of its own."""
    async with api(dsn, pool) as running:
        yield running


async def hired(world: World, name: str) -> tuple[UUID, str]:
    """Return an agent of the campaign who is not logged in, and the token."""
    session_id = await world.add_agent()
    agent_id: UUID = (await world.session(session_id))["agent_id"]
    await world.db.execute("DELETE FROM agent_session WHERE id = $1", session_id)
    return agent_id, await give_token(world.db, agent_id, f"the token of {name}")


async def answer_phones(world: World, server: Server) -> None:
    """Do what a line process does with agents: their phones answer at once, until cancelled."""
    while True:
        async with world.db.acquire() as connection:
            for command in await line_commands.take(connection, world.process_id):
                if command.kind is CommandKind.CALL_AGENT and command.agent_session_id:
                    await sessions.phone_up(
                        connection, command.agent_session_id, world.process_id, at=now()
                    )
                    server.notifier.post(Channel.AGENTS, command.agent_session_id)
                if command.kind is CommandKind.HANG_UP and command.attempt_id:
                    await end(world, server, command.attempt_id, by=EndedBy.US)
        await asyncio.sleep(0.02)


async def call(world: World, server: Server) -> UUID:
    """Answer a call and join it to the agent who has been ready longest; return the attempt."""
    attempt_id = await world.add_call(state=AttemptState.ANSWERED, at=now())
    await world.db.execute(
        "UPDATE lead SET name = 'Ann Example', fields = $2"
        " WHERE id = (SELECT lead_id FROM live_attempt WHERE id = $1)",
        attempt_id,
        {"city": "Oakland"},
    )
    async with world.db.acquire() as connection:
        await reservations.reserve_agent(connection, world.process_id, attempt_id, at=now())
        session = await reservations.join(connection, world.process_id, attempt_id, at=now())
    server.notifier.post(Channel.AGENTS, session or "")
    return attempt_id


async def end(world: World, server: Server, attempt_id: UUID, *, by: EndedBy) -> None:
    """End a call."""
    ending = Ending(Outcome.ANSWERED, by, 200)
    async with world.db.acquire() as connection:
        step = Step(attempt_id, now(), state=AttemptState.ENDED, ending=ending)
        await attempts.advance(connection, world.process_id, [step])
    server.notifier.post(Channel.AGENTS, "")


class Seat:
    """A person at a terminal desk, without the terminal: presses keys and looks at the screen."""

    def __init__(self, desk: TerminalDesk) -> None:
        self.desk = desk
        self.client = desk.client
        self._changed = asyncio.Event()
        self.client.on_change = self._note

    def _note(self) -> None:
        self.desk.noticed()
        self._changed.set()

    async def press(self, keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            await self.desk.press(key)

    async def sees(self, fact: Callable[[AgentClient], Any]) -> None:
        """Wait until *fact* is true of what the screen knows."""
        async with asyncio.timeout(PATIENCE_S):
            while not fact(self.client):
                self._changed.clear()
                await self._changed.wait()

    async def is_in(self, state: AgentState) -> None:
        """Wait until the screen shows *state*."""
        await self.sees(lambda client: client.standing and client.standing.state is state)

    @property
    def text(self) -> str:
        """Return the screen as a terminal shows it."""
        out = io.StringIO()
        Console(file=out, width=120, color_system=None).print(self.desk.render())
        return out.getvalue()


@contextlib.asynccontextmanager
async def seated(world: World, server: Server, name: str = "one") -> AsyncIterator[Seat]:
    """Yield an agent at a desk whose phone answers."""
    _, token = await hired(world, name)
    seat = Seat(TerminalDesk(AgentClient(server.url, token)))
    tasks = [
        asyncio.create_task(seat.client.run(), name="line"),
        asyncio.create_task(answer_phones(world, server), name="phones"),
    ]
    try:
        await seat.sees(lambda client: client.connected)
        yield seat
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# Keys --------------------------------------------------------------------------------------------


async def test_keys_of_a_whole_shift(world: World, server: Server) -> None:
    """
    Key l logs in, r makes ready, a digit disposes, p with a reason pauses, q logs out and ends.
    """
    async with seated(world, server) as seat:
        assert "LOGGED OUT" in seat.text
        await seat.press("l")
        await seat.is_in(AgentState.PAUSED)
        await seat.press("r")
        await seat.is_in(AgentState.READY)

        attempt_id = await call(world, server)
        await seat.is_in(AgentState.TALKING)
        assert "On the line: Spring" in seat.text
        assert "Ann Example" in seat.text
        assert "Oakland" in seat.text

        await end(world, server, attempt_id, by=EndedBy.THEM)
        await seat.is_in(AgentState.WRAP_UP)
        assert "Call ended after 0:0" in seat.text
        await seat.press("1")
        await seat.is_in(AgentState.READY)

        await seat.press("p")
        assert "1 break" in seat.text
        await seat.press("2")
        await seat.is_in(AgentState.PAUSED)
        assert "(lunch)" in seat.text

        await seat.press("q")
        async with asyncio.timeout(PATIENCE_S):
            await seat.desk.finished.wait()

    assert "sale" == (await world.call(attempt_id))["disposition"]
    assert 0 == await world.db.fetchval("SELECT count(*) FROM agent_session")


async def test_keys_of_a_preview(world: World, server: Server) -> None:
    """
    A lead is shown with the time left; s and a digit skips it with the reason, d has it dialed.
    """
    async with seated(world, server) as seat:
        await seat.press("l")
        await seat.is_in(AgentState.PAUSED)
        await seat.press("r")
        await seat.is_in(AgentState.READY)
        (session,) = [row["id"] for row in await world.db.fetch("SELECT id FROM agent_session")]
        skipped = await world.add_preview(session, at=now())
        server.notifier.post(Channel.AGENTS, session)
        await seat.sees(lambda client: client.preview_left_s)

        assert "PREVIEW" in seat.text
        assert " to decide" in seat.text
        assert "Dial or skip: Spring" in seat.text
        await seat.press("s")
        assert "3 known customer" in seat.text
        await seat.press("3")
        await seat.is_in(AgentState.READY)
        dialed = await world.add_preview(session, at=now())
        server.notifier.post(Channel.AGENTS, session)
        await seat.sees(lambda client: client.preview_left_s)
        await seat.press("d")
        await seat.sees(lambda client: client.call and client.preview_left_s is None)

        assert "Calling: Spring" in seat.text
        await seat.desk.client.dispose(Disposition.SALE)
        await seat.sees(lambda client: client.problem)

        assert "Nobody is on the line yet" in seat.text

    assert ["returned"] == await world.kinds(skipped)
    assert (await world.call(dialed))["ordered_at"] is not None


async def test_h_hangs_up(world: World, server: Server) -> None:
    """
    Key h ends the customer's leg and leaves the agent in wrap-up.
    """
    async with seated(world, server) as seat:
        await seat.press("l")
        await seat.is_in(AgentState.PAUSED)
        await seat.press("r")
        await seat.is_in(AgentState.READY)
        await call(world, server)
        await seat.is_in(AgentState.TALKING)

        await seat.press("h")

        await seat.is_in(AgentState.WRAP_UP)


async def test_hot_keys_are_off_while_a_note_is_typed(world: World, server: Server) -> None:
    """
    Letters and digits typed into a note are text; the note goes with the disposition.
    """
    async with seated(world, server) as seat:
        await seat.press("l")
        await seat.is_in(AgentState.PAUSED)
        await seat.press("r")
        await seat.is_in(AgentState.READY)
        await call(world, server)
        await seat.is_in(AgentState.TALKING)

        await seat.press("n1 rpqx" + keyboard.BACKSPACE)
        typed, mode = seat.desk.note, seat.desk.mode
        await seat.press(keyboard.ENTER + "4")
        body = await eventually(world.db, "SELECT body FROM lead_note")

        assert ("1 rpq", Mode.NOTE) == (typed, mode)
        assert "1 rpq" == body
        assert AgentState.TALKING is (seat.client.standing and seat.client.standing.state)


async def test_any_other_key_leaves_the_pause_menu(world: World, server: Server) -> None:
    """
    A key that is no reason closes the menu and pauses nobody.
    """
    async with seated(world, server) as seat:
        await seat.press("l")
        await seat.is_in(AgentState.PAUSED)
        await seat.press("r")
        await seat.is_in(AgentState.READY)

        await seat.press("p0")

        assert Mode.COMMANDS is seat.desk.mode
        assert AgentState.READY is (seat.client.standing and seat.client.standing.state)


async def test_refusal_is_shown(world: World, server: Server) -> None:
    """
    What the server refuses stands on the screen in its words.
    """
    async with seated(world, server) as seat:
        await seat.press("r")
        await seat.sees(lambda client: client.problem)

        assert "! You are not logged in: log in first." in seat.text


# The line ----------------------------------------------------------------------------------------


async def test_line_comes_back_after_a_restart(world: World, dsn: str, pool: Pool) -> None:
    """
    When the server restarts, the screen says so, reconnects by itself and shows the state again.
    """
    async with api(dsn, pool) as first, seated(world, first) as seat:
        await seat.press("l")
        await seat.is_in(AgentState.PAUSED)
        await seat.press("r")
        await seat.is_in(AgentState.READY)
        await first.desk.close()
        await seat.sees(lambda client: not client.connected)
        gone = seat.text

        await seat.sees(lambda client: client.connected)

        assert "! NO CONNECTION" in gone
        assert AgentState.READY is (seat.client.standing and seat.client.standing.state)
        assert "! NO CONNECTION" not in seat.text


async def test_refused_token_ends_the_desk(server: Server) -> None:
    """
    A token the server does not know ends the client with the server's sentence.
    """
    client = AgentClient(server.url, "nobody's token")

    with pytest.raises(UserError, match="This token is not valid"):
        await client.run()


async def test_unknown_messages_are_passed_over(world: World, server: Server) -> None:
    """
    A message of a newer server that this client does not know changes nothing.
    """
    async with seated(world, server) as seat:
        await next(iter(server.desk.sockets.values())).say({"type": "horoscope", "sign": "leo"})
        await seat.press("l")

        await seat.is_in(AgentState.PAUSED)


# Robots ------------------------------------------------------------------------------------------


async def test_robots_work_a_shift(world: World, server: Server) -> None:
    """
    Simulated agents log in, take calls, dispose of them after a wrap-up, and log out at the end.
    """
    tokens = {}
    for name in ("one", "two"):
        _, tokens[name] = await hired(world, name)
    stop = asyncio.Event()
    phones = asyncio.create_task(answer_phones(world, server), name="phones")
    shift = asyncio.create_task(
        auto.work(server.url, tokens, seed=7, wrap_up_s=0.05, stop=stop), name="shift"
    )
    try:
        await eventually(world.db, "SELECT count(*) = 2 FROM agent_session WHERE state = 'ready'")
        calls = [await call(world, server) for _ in range(2)]
        for attempt_id in calls:
            await end(world, server, attempt_id, by=EndedBy.THEM)
        await eventually(
            world.db, "SELECT count(*) = 2 FROM live_attempt WHERE disposition IS NOT NULL"
        )
        await eventually(world.db, "SELECT count(*) = 2 FROM agent_session WHERE state = 'ready'")
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            robots = await shift
    finally:
        for task in (phones, shift):
            task.cancel()
        await asyncio.gather(phones, shift, return_exceptions=True)

    assert {"one": 1, "two": 1} == {robot.name: robot.calls for robot in robots}
    assert 2 == sum(sum(robot.said.values()) for robot in robots)
    assert Disposition.NONE not in {said for robot in robots for said in robot.said}
    assert 0 == await world.db.fetchval("SELECT count(*) FROM agent_session")


async def test_robot_in_a_call_finishes_it_before_it_leaves(world: World, server: Server) -> None:
    """
    A simulated agent told to stop in mid-call logs out after the call, with its disposition.
    """
    _, token = await hired(world, "one")
    stop = asyncio.Event()
    phones = asyncio.create_task(answer_phones(world, server), name="phones")
    shift = asyncio.create_task(
        auto.work(server.url, {"one": token}, seed=7, wrap_up_s=0.05, stop=stop), name="shift"
    )
    try:
        await eventually(world.db, "SELECT id FROM agent_session WHERE state = 'ready'")
        attempt_id = await call(world, server)
        stop.set()
        await eventually(world.db, "SELECT id FROM agent_session WHERE logout_requested")
        await end(world, server, attempt_id, by=EndedBy.THEM)
        async with asyncio.timeout(PATIENCE_S):
            (robot,) = await shift
    finally:
        for task in (phones, shift):
            task.cancel()
        await asyncio.gather(phones, shift, return_exceptions=True)

    assert 1 == robot.calls
    assert (await world.call(attempt_id))["disposition"] in set(auto.SAID)
    assert 0 == await world.db.fetchval("SELECT count(*) FROM agent_session")


# A real terminal ---------------------------------------------------------------------------------


async def test_desk_on_a_real_terminal(world: World, server: Server, tmp_path: Path) -> None:
    """
    `dialer agents login` draws on a terminal, obeys keys, and leaves the terminal as it was.
    """
    _, token = await hired(world, "one")
    phones = asyncio.create_task(answer_phones(world, server), name="phones")
    outer, inner = pty.openpty()
    before = termios.tcgetattr(inner)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *("agents", "login", "--url", server.url),
        env=environment(tmp_path, DIALER_AGENT_TOKEN=token, TERM="xterm", LINES="40"),
        cwd=tmp_path,
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    screen = Terminal(outer)
    try:
        await screen.shows("PAUSED")
        os.write(outer, b"r")
        await screen.shows("READY")
        os.write(outer, b"q")
        async with asyncio.timeout(PATIENCE_S):
            code = await process.wait()
        after = termios.tcgetattr(inner)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        phones.cancel()
        await asyncio.gather(phones, return_exceptions=True)
        screen.close()
        os.close(outer)
        os.close(inner)

    assert 0 == code, screen.text
    assert before == after
    assert 0 == await world.db.fetchval("SELECT count(*) FROM agent_session")


async def test_desk_needs_a_terminal(server: Server, tmp_path: Path) -> None:
    """
    Off a terminal the desk says what to do instead, with exit code 2.
    """
    done = await asyncio.to_thread(
        subprocess.run,
        [*PROGRAM, "agents", "login", "--url", server.url],
        env=environment(tmp_path, DIALER_AGENT_TOKEN="x"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 2 == done.returncode
    assert "The terminal desk needs a terminal" in done.stderr
    assert "Traceback" not in done.stderr


class Terminal:
    """The far side of a pseudo-terminal: collects what is drawn."""

    def __init__(self, descriptor: int) -> None:
        self.text = ""
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self.text += os.read(self._descriptor, 65_536).decode(errors="replace")

    async def shows(self, word: str) -> None:
        """Wait until *word* was drawn."""
        deadline = time.monotonic() + 2 * PATIENCE_S
        while word not in self.text:
            if time.monotonic() > deadline:
                raise AssertionError(f"{word} was never drawn: {self.text[-2000:]}")
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Stop reading."""
        self._loop.remove_reader(self._descriptor)
