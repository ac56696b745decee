"""What a benchmark of the whole needs: Postgres in a throw-away folder, a line process, far ends.

Postgres is the embedded one with the configuration it ships with, durable commits included.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import phonenumbers

from benchmarks import machine
from benchmarks.children import Child
from campaigns.model import AgentState, CallTimers, ScreeningMode, new_id
from campaigns.stores import database, line_commands, sessions
from campaigns.stores.line_commands import CommandKind
from dialer import embedded
from tests.laboratory import DialerProcess, Laboratory, free_rtp_range

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

# As many calls as any benchmark holds at a time, agents' legs included, with room to spare.
RTP_CALLS = 400
UP_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Database:
    """A Postgres of the benchmark's own, empty but for the schema."""

    dsn: str
    pool: Pool
    folder: Path
    version: str

    @property
    def postmaster(self) -> int:
        """Return the pid of its first process, the parent of all others."""
        first = (self.folder / "postgres" / "postmaster.pid").read_text(encoding="utf-8")
        return int(first.split("\n", 1)[0])

    async def clear(self) -> None:
        """Forget everything; no line process or engine may be running."""
        await self.pool.execute(
            "TRUNCATE lead_list, subject, lead, agent, campaign, trunk, process CASCADE"
        )
        await self.pool.execute("TRUNCATE live_attempt, attempt, call_event, agent_event, decision")

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its processes so far."""
        return machine.tree_cpu_s(self.postmaster)


@contextlib.asynccontextmanager
async def postgres() -> AsyncIterator[Database]:
    """Yield a running Postgres with the current schema; it and its folder are gone afterwards."""
    folder = _open_folder()
    try:
        dsn, _ = await asyncio.to_thread(embedded.start, folder / "postgres")
        await database.migrate(dsn)
        pool = await database.open_pool(dsn, size=8)
        try:
            version = str(await pool.fetchval("SHOW server_version")).split(" ", 1)[0]
            yield Database(dsn, pool, folder, f"Postgres {version}")
        finally:
            await pool.close()
    finally:
        await asyncio.to_thread(embedded.stop, folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="overdial-bench-"))
    # Run as root, Postgres changes to a user of its own, who has to get in.
    folder.chmod(0o755)
    return folder


class Lines(Laboratory):
    """A line process with room for the calls of a benchmark; nothing else about it is special."""

    def __init__(self, at: Database) -> None:
        super().__init__(at.dsn, at.pool, at.folder)

    def line_process(self, **settings: str) -> DialerProcess:
        """Return the line process, not started yet, with a wider range of RTP ports."""
        low, high = free_rtp_range(RTP_CALLS)
        wider = {"DIALER_RTP_LOW": str(low), "DIALER_RTP_HIGH": str(high)}
        return super().line_process(**(wider | settings))

    @property
    def pid(self) -> int:
        """Return the pid of the line process."""
        return int(self.lines.pid)

    async def order(self, numbers: list[str], **timers: Any) -> list[UUID]:
        """Order one call to each number in one statement, as an engine's claim would."""
        ids = [new_id() for _ in numbers]
        await self.pool.execute(
            """
            -- Only what the line process reads; the leads behind the calls are the engine's.
            INSERT INTO live_attempt (id, campaign_id, lead_id, lead_number_id, dialed_number,
                                      region, mode, epoch, process_id, trunk_id, caller_id, timers,
                                      claimed_at)
            SELECT g.id, $1, g.lead_id, g.lead_number_id, g.number, 'US', 'power', 0, $2, $3,
                   '+12025550100', $4, $5
            FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::text[])
                 AS g(id, lead_id, lead_number_id, number)
            """,
            self.world.campaign_id,
            self.process_id,
            self.world.trunk_id,
            CallTimers.model_validate(timers).model_dump(mode="json"),
            datetime.now(UTC),
            ids,
            [new_id() for _ in ids],
            [new_id() for _ in ids],
            numbers,
        )
        await self.pool.execute("SELECT pg_notify('lines', $1)", str(self.process_id))
        return ids

    async def log_in(self, phones: list[str]) -> dict[UUID, str]:
        """Log one agent in for each phone URI; return their sessions once all are ready."""
        uris: dict[UUID, str] = {}
        for uri in phones:
            session_id = await self.world.add_agent(
                state=AgentState.OFFLINE, process_id=self.process_id
            )
            uris[session_id] = uri
            await self.pool.execute(
                "UPDATE agent SET phone_address = $2"
                " WHERE id = (SELECT agent_id FROM agent_session WHERE id = $1)",
                session_id,
                uri,
            )
        async with self.pool.acquire() as connection:
            for session_id in uris:
                await line_commands.send(
                    connection,
                    self.process_id,
                    CommandKind.CALL_AGENT,
                    agent_session_id=session_id,
                )
        await self.pool.execute("SELECT pg_notify('lines', $1)", str(self.process_id))
        waiting = set(uris)
        async with asyncio.timeout(UP_WITHIN_S):
            while waiting:
                await asyncio.sleep(0.1)
                rows = await self.pool.fetch(
                    "SELECT id FROM agent_session WHERE state = 'paused' AND id = ANY($1::uuid[])",
                    list(waiting),
                )
                async with self.pool.acquire() as connection:
                    for row in rows:
                        await sessions.set_ready(connection, row["id"], at=datetime.now(UTC))
                        waiting.discard(row["id"])
        return uris


def numbers(count: int) -> list[str]:
    """Return *count* different US numbers reserved for fiction, all valid."""
    found: list[str] = []
    for area in range(201, 990):
        first = phonenumbers.parse(f"+1{area}5550100")
        if phonenumbers.is_valid_number(first):
            found += [f"+1{area}55501{last:02d}" for last in range(100)]
        if len(found) >= count:
            return found[:count]
    raise ValueError(f"there are only {len(found)} such numbers")


def far_ends(kind: str, count: int, **options: object) -> Child:
    """Return a process of software phones, not started yet; see `benchmarks.far_ends`."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Child("benchmarks.far_ends", kind, count, *words)


SCREENING_OFF = {"screening": ScreeningMode.OFF}
