"""Real line processes against the sip-lab: a carrier, agents' phones, and rows to dial from.

What an engine would write, these helpers write; what a line process does with it happens for real,
in a process of its own and on loopback wires.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from uuid import UUID

from campaigns.model import AgentState, CallTimers, new_id
from campaigns.stores import line_commands, sessions
from campaigns.stores.line_commands import CommandKind
from tests import nursery
from tests.calls import World

if TYPE_CHECKING:
    from types import TracebackType

    from campaigns.stores.database import Pool

# Generous: two cores, shared with others.
PATIENCE_S = 60.0
CALLER_ID = "+12025550100"


def free_sip_port() -> int:
    """Return an even port that is free for UDP and TCP, as is the next one."""
    for _ in range(200):
        port = random.randrange(11_000, 19_000, 2)
        try:
            for candidate in (port, port + 1):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port
    raise RuntimeError("no free pair of ports between 11000 and 19000")


def free_rtp_range(calls: int = 60) -> tuple[int, int]:
    """Return a random even range with room for *calls*, below the ports of other programs."""
    low = random.randrange(20_000, 31_000, 2)
    return low, low + 4 * calls


T = TypeVar("T")


async def eventually(
    check: Callable[[], Awaitable[T | None]], what: str, *, within_s: float = PATIENCE_S
) -> T:
    """Return the first truthy answer of *check*; fail with *what* was awaited after *within_s*."""
    until = time.monotonic() + within_s
    while True:
        answer = await check()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        await asyncio.sleep(0.05)


@dataclass(slots=True)
class DialerProcess:
    """One `python -m dialer …` child with a log of its own."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | nursery.Child | None = None
    # Set for the suite's own tests; what is measured or shown starts as users start it.
    nursery: ClassVar[nursery.Nursery | None] = None

    async def start(self) -> None:
        """Start it."""
        if self.nursery is not None:
            self.log.touch()
            self.process = await asyncio.to_thread(
                self.nursery.fork,
                self.arguments,
                env=os.environ | self.environment,
                log=self.log,
                cwd=Path(__file__).parent.parent,
            )
            return
        with self.log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dialer",
                *self.arguments,
                env=os.environ | self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=Path(__file__).parent.parent,
            )

    @property
    def pid(self) -> int:
        """Return its pid; it must have been started."""
        assert self.process is not None
        return self.process.pid

    async def kill(self) -> None:
        """End it without a word: kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order, and by force if it does not."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(how)
        try:
            async with asyncio.timeout(40):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@contextlib.contextmanager
def forked() -> Iterator[None]:
    """Have `dialer` processes forked from one that has imported everything."""
    with nursery.opened() as opened:
        DialerProcess.nursery = opened
        try:
            yield
        finally:
            DialerProcess.nursery = None


@dataclass(slots=True)
class Laboratory:
    """A database with one campaign and a real line process to carry its calls."""

    dsn: str
    pool: Pool
    folder: Path
    port: int = field(default_factory=free_sip_port)
    world: World = field(init=False)
    lines: DialerProcess = field(init=False)
    process_id: UUID = field(init=False)

    async def __aenter__(self) -> Self:
        """Start the line process and put the first rows in place."""
        self.lines = self.line_process()
        await self.lines.start()
        try:
            self.process_id = await self.process_of(self.lines)
            self.world = _World(self.pool, process_id=self.process_id)
            await self.world.build()
        except BaseException:
            await self.lines.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the line process; show its log if the test failed."""
        await self.lines.stop()
        if error is not None:
            sys.stderr.write(self.lines.log.read_text(errors="replace")[-6000:])

    def line_process(self, **settings: str) -> DialerProcess:
        """Return a line process on this laboratory's ports, not started yet."""
        low, high = free_rtp_range()
        environment = {
            "DIALER_DATABASE_URL": self.dsn,
            "DIALER_DATA": str(self.folder / "data"),
            "DIALER_SIP_PORT": str(self.port),
            "DIALER_RTP_LOW": str(low),
            "DIALER_RTP_HIGH": str(high),
            "DIALER_DRAIN_S": "0",
        }
        return DialerProcess(("lines",), environment | settings, self.folder / "lines.log")

    async def process_of(self, child: DialerProcess) -> UUID:
        """Return the id of a line process's row, once it is there."""

        async def registered() -> UUID | None:
            assert child.process is not None
            if child.process.returncode is not None:
                raise AssertionError(child.log.read_text(errors="replace")[-3000:])
            found: UUID | None = await self.pool.fetchval(
                "SELECT id FROM process WHERE kind = 'lines' AND pid = $1 AND ended_at IS NULL",
                child.pid,
            )
            return found

        return await eventually(registered, "the line process registers")

    async def trunk_to(self, port: int, **columns: Any) -> None:
        """Point the campaign's trunk at a carrier on loopback."""
        values = {"host": "127.0.0.1", "port": port} | columns
        for name, value in values.items():
            await self.pool.execute(
                f"UPDATE trunk SET {name} = $2 WHERE id = $1",  # noqa: S608 - a test's own column
                self.world.trunk_id,
                value,
            )

    async def dial(self, number: str, **timers: Any) -> UUID:
        """Order one call, as an engine's claim would; return the attempt."""
        attempt_id = await self.world.add_call(
            at=datetime.now(UTC),
            dialed_number=number,
            process_id=self.process_id,
            timers=CallTimers.model_validate(timers).model_dump(mode="json"),
        )
        await self.pool.execute("SELECT pg_notify('lines', $1)", str(self.process_id))
        return attempt_id

    async def until(self, attempt_id: UUID, state: str) -> dict[str, Any]:
        """Return the live attempt's row once it is in *state*."""

        async def there() -> dict[str, Any] | None:
            row = await self.world.call(attempt_id)
            return row if row["state"] == state else None

        return await eventually(there, f"the attempt is {state}")

    async def agent(
        self, phone_uri: str, *, ready: bool = True, process_id: UUID | None = None, **phone: Any
    ) -> UUID:
        """Log an agent in by *phone_uri*; return the session once its phone is up.

        The phone is called by the laboratory's line process, or by another one.
        """
        process_id = process_id or self.process_id
        session_id = await self.world.add_agent(state=AgentState.OFFLINE, process_id=process_id)
        columns = {"phone_address": phone_uri} | phone
        for name, value in columns.items():
            await self.pool.execute(
                f"UPDATE agent SET {name} = $2"  # noqa: S608 - a test's own column
                " WHERE id = (SELECT agent_id FROM agent_session WHERE id = $1)",
                session_id,
                value,
            )
        await self.command(CommandKind.CALL_AGENT, process_id, agent_session_id=session_id)
        if ready:
            await self.until_agent(session_id, AgentState.PAUSED)
            async with self.pool.acquire() as connection:
                await sessions.set_ready(connection, session_id, at=datetime.now(UTC))
            await self.pool.execute("SELECT pg_notify('agents', $1)", str(session_id))
        return session_id

    async def until_agent(self, session_id: UUID, state: AgentState) -> dict[str, Any]:
        """Return the session's row once the agent is in *state*."""

        async def there() -> dict[str, Any] | None:
            row = await self.world.session(session_id)
            return row if row and row["state"] == state else None

        return await eventually(there, f"the agent is {state}")

    async def command(self, kind: CommandKind, process_id: UUID | None = None, **what: Any) -> None:
        """Ask the line process, or another one, for something."""
        process_id = process_id or self.process_id
        async with self.pool.acquire() as connection:
            await line_commands.send(connection, process_id, kind, **what)
        await self.pool.execute("SELECT pg_notify('lines', $1)", str(process_id))

    async def second_trunk(self, port: int, **columns: Any) -> UUID:
        """Add another trunk; return it."""
        return await self.world.add_trunk(new_id(), port=port, **columns)


class _World(World):
    """A world whose line process is a real one, which has written its row itself."""

    async def add_process(
        self, process_id: UUID | None = None, *, kind: str = "lines", lease_s: float = 600
    ) -> UUID:
        """Insert any process but the real one."""
        if process_id == self.process_id:
            return process_id
        return await super().add_process(process_id, kind=kind, lease_s=lease_s)
