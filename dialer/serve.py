"""`dialer serve`: everything on one machine, each part a child process that outlives its parent.

Nothing is owned here. The children hold their rows and leases; a new `serve` finds those that live
by their rows (pid, boot id, ports) and starts only what is missing. A child that dies is started
again, with growing pauses when it keeps dying.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from rich.console import Console

from campaigns.errors import UserError
from campaigns.model import ProcessKind
from campaigns.stores import database
from dialer import embedded, processes, trunk_sync
from dialer.machine import bind_problem
from dialer.processes import Process
from dialer.supervision import DATABASE_AWAY, Backoff, Outage, Supervisor, supervised

if TYPE_CHECKING:
    from campaigns.stores.database import Pool
    from dialer.config import Config
    from dialer.processes import ProcessRow

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 0.25
READY_WITHIN_S = 60.0
# A child that lived this long had started well: the next pause is short again.
STEADY_S = 30.0
_STOP_GRACE_S = 15.0
POSTGRES_AGAIN_S = 2.0
_ORDER = (ProcessKind.ENGINE, ProcessKind.LINES, ProcessKind.API)


@dataclass(slots=True)
class Child:
    """One part of the service: a process started here, or one that was already running."""

    kind: ProcessKind
    index: int
    arguments: tuple[str, ...]
    log_file: Path
    process: asyncio.subprocess.Process | None = None
    adopted_pid: int | None = None
    started_at: float = 0.0
    not_before: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.2, most_s=10.0))

    @property
    def name(self) -> str:
        """Return what it is called in logs."""
        return f"{self.kind}-{self.index}" if self.kind is ProcessKind.LINES else str(self.kind)

    @property
    def pid(self) -> int | None:
        """Return its pid, None while it does not run."""
        if self.process is not None and self.process.returncode is None:
            return self.process.pid
        if self.adopted_pid is not None and _runs(self.adopted_pid):
            return self.adopted_pid
        return None


class Service:
    """Keeps the children up until told to stop."""

    def __init__(self, config: Config, pool: Pool, *, embedded_folder: Path | None = None) -> None:
        self._config = config
        self._embedded_folder = embedded_folder
        self._postgres_again_at = 0.0
        self._pool = pool
        logs = config.data / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.children = [
            Child(ProcessKind.LINES, i, ("lines", "--index", str(i)), logs / f"lines-{i}.log")
            for i in range(config.lines)
        ]
        self.children.append(Child(ProcessKind.ENGINE, 0, ("engine",), logs / "engine.log"))
        self.children.append(Child(ProcessKind.API, 0, ("api",), logs / "api.log"))

    async def adopt(self) -> list[Child]:
        """Find children of an earlier `serve` that still run; return them."""
        for kind in _ORDER:
            alive = [
                row
                for row in await processes.unfinished(self._pool, kind)
                if row.host == _host() and _runs(row.pid)
            ]
            for child in self.children:
                row = _match(child, alive, self._config)
                if row is not None:
                    child.adopted_pid = row.pid
                    alive.remove(row)
        return [child for child in self.children if child.adopted_pid is not None]

    def check_ports(self) -> None:
        """Raise `UserError` when a port that a child still to be started needs is taken."""
        for child in self.children:
            if child.pid is not None or child.kind is not ProcessKind.LINES:
                continue
            port = self._config.line_sip_port(child.index)
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                problem = bind_problem(str(self._config.bind_address), port, kind)
                if problem is not None:
                    wrong_address = "no address" in problem
                    raise UserError(
                        f"SIP port {port} on {self._config.bind_address} cannot be opened "
                        f"({problem}): "
                        + (
                            "set DIALER_BIND_ADDRESS to one of its addresses."
                            if wrong_address
                            else "set DIALER_SIP_PORT to a free one."
                        )
                    )

    async def turn(self) -> None:
        """Start what does not run, the embedded Postgres first."""
        await self._revive_postgres()
        for child in self.children:
            if child.pid is not None:
                continue
            now = time.monotonic()
            if child.started_at:
                self._note_end(child, now)
            if now >= child.not_before:
                await self._start(child)

    async def _revive_postgres(self) -> None:
        folder = self._embedded_folder
        now = time.monotonic()
        if folder is None or _postmaster_runs(folder) or now < self._postgres_again_at:
            return
        # A killed postmaster may linger as a zombie for a moment and look alive to its library.
        self._postgres_again_at = now + POSTGRES_AGAIN_S
        log.warning("postgres_ended", folder=str(folder))
        try:
            await asyncio.to_thread(embedded.start, folder)
        except UserError as error:
            log.error("postgres_not_started", why=str(error))  # noqa: TRY400 - a sentence, no trace
            return
        log.info("postgres_started", folder=str(folder))

    def _note_end(self, child: Child, now: float) -> None:
        lived = now - child.started_at
        code = child.process.returncode if child.process is not None else None
        if lived > STEADY_S:
            child.backoff.worked()
        pause = child.backoff.failed()
        child.started_at = 0.0
        child.adopted_pid = None
        child.not_before = now + pause
        log.warning(
            "child_ended",
            child=child.name,
            code=code,
            lived_s=round(lived, 1),
            again_in_s=round(pause, 1),
            log=str(child.log_file),
        )

    async def _start(self, child: Child) -> None:
        with child.log_file.open("ab") as out:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dialer",
                *child.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # It keeps its log file within bounds itself: it may outlive this process.
                env=os.environ
                | self._config.model_copy(update={"log_file": child.log_file}).environment(),
                # Ctrl-C is for this process; the children are told in order.
                start_new_session=True,
            )
        child.started_at = time.monotonic()
        log.info("child_started", child=child.name, pid=child.process.pid)

    async def until_ready(self) -> None:
        """Wait until every child has its row; raises `UserError` naming the one that has none."""
        until = time.monotonic() + READY_WITHIN_S
        while True:
            missing = [child for child in self.children if not await self._has_row(child)]
            if not missing:
                return
            failed = [c for c in missing if c.process and c.process.returncode is not None]
            if failed or time.monotonic() > until:
                child = (failed or missing)[0]
                raise UserError(
                    f"The {child.name} process did not start: {_last_line(child.log_file)}"
                )
            await asyncio.sleep(CHECK_EVERY_S)

    async def _has_row(self, child: Child) -> bool:
        pid = child.pid
        rows = await processes.alive(self._pool, child.kind)
        return any(row.pid == pid and row.host == _host() for row in rows)

    async def stop(self) -> None:
        """Stop lines first, so that the engine can still close what they end; then the rest."""
        await self._end(ProcessKind.LINES, self._config.drain_s + _STOP_GRACE_S)
        await self._end(ProcessKind.ENGINE, _STOP_GRACE_S)
        await self._end(ProcessKind.API, _STOP_GRACE_S)

    async def _end(self, kind: ProcessKind, within_s: float) -> None:
        pids = [child.pid for child in self.children if child.kind is kind]
        ending = [pid for pid in pids if pid is not None]
        for pid in ending:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + within_s
        while any(map(_runs, ending)) and time.monotonic() < until:  # noqa: ASYNC110 - not ours alone
            await asyncio.sleep(0.1)
        for pid in ending:
            if _runs(pid):
                log.warning("child_killed", pid=pid, kind=kind.value)
                os.kill(pid, signal.SIGKILL)


def _match(child: Child, rows: list[ProcessRow], config: Config) -> ProcessRow | None:
    if child.kind is ProcessKind.LINES:
        port = config.line_sip_port(child.index)
        return next((row for row in rows if row.endpoints.sip_port == port), None)
    return next((row for row in rows if row.kind is child.kind), None)


def _host() -> str:
    return socket.gethostname()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    # A zombie is dead, whoever has yet to notice.
    return state not in {"Z", "X"}


def _postmaster_runs(folder: Path) -> bool:
    try:
        pid = int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return False
    return _runs(pid)


def _last_line(path: Path) -> str:
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1][:300] if lines else f"see {path}"


async def serve(config: Config, *, console: Console | None = None) -> None:
    """Run the whole service until SIGINT or SIGTERM; raises `UserError` when it cannot start."""
    out = console or Console(highlight=False)
    config.check_files()
    if config.database_url is not None:
        out.print(f"Postgres: {database.describe_dsn(config.database_url)}")
        await _serve(config, out)
        return
    use = await asyncio.to_thread(embedded.use, config.data / "postgres")
    out.print(f"Postgres: embedded, in {use.folder}")
    try:
        own = config.model_copy(update={"database_url": use.dsn})
        await _serve(own, out, embedded_folder=use.folder)
    finally:
        left = await asyncio.to_thread(use.leave)
    if left is embedded.Left.IN_USE:
        out.print(f"Postgres in {use.folder} runs on: others use it, the last stops it.")
    out.print("Stopped.")


async def _serve(config: Config, out: Console, *, embedded_folder: Path | None = None) -> None:
    dsn = config.database_url or ""
    applied = await database.migrate(dsn)
    if applied:
        out.print(f"Schema: applied {', '.join(migration.name for migration in applied)}")
    pool = await database.open_pool(dsn, size=3)
    service = Service(config, pool, embedded_folder=embedded_folder)
    try:
        await _refuse_a_second(pool)
        await trunk_sync.sync(pool, config.trunk)
        adopted = await service.adopt()
        if adopted:
            out.print(f"Found running: {', '.join(child.name for child in adopted)}")
        service.check_ports()
        row = Process(pool, ProcessKind.SERVE)
        await row.register()
        await _bury(pool, row)
        async with supervised() as supervisor:
            supervisor.spawn("serve", _run(service, row, supervisor, out, config))
    finally:
        await pool.close()


async def _refuse_a_second(pool: Pool) -> None:
    """Raise `UserError` while another `serve` of this host looks after the same database.

    Two would start and stop each other's children.
    """
    for row in await processes.alive(pool, ProcessKind.SERVE):
        if row.host == _host() and _runs(row.pid):
            raise UserError(
                f"`dialer serve` runs already for this database (pid {row.pid}): use that one, or "
                "stop it first."
            )


async def _bury(pool: Pool, own: Process) -> None:
    """End the rows of parts that were killed here and have no successor of their own kind."""
    for kind in (ProcessKind.SERVE, ProcessKind.ENGINE, ProcessKind.API):
        for row in await processes.unfinished(pool, kind):
            if row.id != own.id and row.host == _host() and not _runs(row.pid):
                await processes.take_over(pool, row.id, own.id)


async def _run(
    service: Service, row: Process, supervisor: Supervisor, out: Console, config: Config
) -> None:
    beating = asyncio.create_task(row.run(), name="heartbeat")
    try:
        await service.turn()
        await service.until_ready()
        out.print(
            f"API and agents: {config.api_url}   SIP: {config.bind_address}:{config.sip_port}"
        )
        out.print("Ready. Ctrl-C stops; conversations may finish first.")
        await supervisor.repeat(CHECK_EVERY_S, service.turn, outage=Outage())
    finally:
        supervisor.stop("end")
        out.print(f"Stopping: conversations have {config.drain_s:.0f} s to finish …")
        await service.stop()
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError, *DATABASE_AWAY):
            await beating
        with contextlib.suppress(*DATABASE_AWAY):
            await row.end()
