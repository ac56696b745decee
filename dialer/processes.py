"""A process of ours as a row: its boot id, its lease, its clock's offset, and who died.

A row lives while its lease is renewed. Whoever takes over from a dead process marks the row first,
so a process that was only stuck finds out at its next heartbeat and stops acting (`LeaseLost`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from campaigns.errors import LeaseLost
from campaigns.model import ProcessKind, new_id
from dialer.clock import SystemClock
from dialer.supervision import DATABASE_AWAY, Outage

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

log = structlog.get_logger(__name__)

LEASE_S = 6.0
HEARTBEAT_S = 1.0
STATEMENT_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a process can be reached; ports are 0 or None where it has none."""

    address: str | None = None
    sip_address: str | None = None
    sip_port: int | None = None
    rtp_low: int | None = None
    rtp_high: int | None = None
    capacity: int = 0


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One row of `process`; `expired_s` is how long ago its lease ran out, negative while held."""

    id: UUID
    kind: ProcessKind
    host: str
    pid: int
    endpoints: Endpoints
    draining: bool
    clock_offset_ms: int
    expired_s: float

    @property
    def is_gone(self) -> bool:
        """Return whether it certainly ended: on this host, and no such process any more.

        Otherwise only the lease can tell.
        """
        if self.host != socket.gethostname() or self.pid == os.getpid():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class Process:
    """This process's own row: `register`, then `run` its heartbeat until cancelled.

    `clock` is corrected at each heartbeat. `on_lost` is called once when another process has taken
    over; `run` raises `LeaseLost` then.
    """

    def __init__(
        self,
        pool: Pool,
        kind: ProcessKind,
        *,
        endpoints: Endpoints | None = None,
        clock: SystemClock | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.id: UUID = new_id()
        self.kind = kind
        self.clock = clock or SystemClock()
        self.endpoints = endpoints or Endpoints()
        self.outage = Outage()
        self._pool = pool
        self._on_lost = on_lost
        # timers
        self._beat_at = float("-inf")
        self._steady_from = float("inf")

    @property
    def fresh_s(self) -> float:
        """Return the seconds since the last heartbeat that Postgres confirmed."""
        return self.clock.monotonic() - self._beat_at

    @property
    def holds_lease(self) -> bool:
        """Return whether this process may still act on what it owns."""
        return self.fresh_s < LEASE_S

    @property
    def is_steady(self) -> bool:
        """Return whether heartbeats came without a gap for a whole lease.

        After Postgres was away everybody's lease has run out: nobody may be called dead before all
        had the time to renew.
        """
        return self.clock.monotonic() - self._steady_from >= LEASE_S and self.holds_lease

    async def register(self) -> None:
        """Insert the row and take the first lease; raises `DatabaseError` kinds when away."""
        at = self.endpoints
        async with asyncio.timeout(STATEMENT_TIMEOUT_S):
            await self._pool.execute(
                "INSERT INTO process (id, kind, host, pid, address, sip_address, sip_port,"
                " rtp_low, rtp_high, capacity, lease_until)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
                "         clock_timestamp() + make_interval(secs => $11))",
                self.id,
                self.kind,
                socket.gethostname(),
                os.getpid(),
                at.address,
                at.sip_address,
                at.sip_port,
                at.rtp_low,
                at.rtp_high,
                at.capacity,
                LEASE_S,
            )
        await self.beat()

    async def beat(self) -> None:
        """Renew the lease and measure the clock's offset; raises `LeaseLost`."""
        sent, began = datetime.now(UTC), self.clock.monotonic()
        async with asyncio.timeout(STATEMENT_TIMEOUT_S):
            there = await self._pool.fetchval(
                "UPDATE process"
                " SET lease_until = clock_timestamp() + make_interval(secs => $2),"
                "     clock_offset_ms = $3"
                " WHERE id = $1 AND ended_at IS NULL AND taken_over_by IS NULL"
                " RETURNING clock_timestamp()",
                self.id,
                LEASE_S,
                round(self.clock.offset_s * 1000),
            )
        received = datetime.now(UTC)
        if there is None:
            raise LeaseLost(f"process {self.id} was taken over by another")
        self.clock.measured(sent, there, received)
        if began - self._beat_at > LEASE_S / 2:
            self._steady_from = began
        self._beat_at = began

    async def run(self) -> None:
        """Beat every second until cancelled; wait out a Postgres that is away."""
        while True:
            try:
                await self.beat()
            except LeaseLost:
                log.warning("process_lease_lost", process=str(self.id), kind=self.kind.value)
                if self._on_lost is not None:
                    self._on_lost()
                raise
            except DATABASE_AWAY as error:
                await asyncio.sleep(self.outage.began(error))
                continue
            self.outage.ended()
            await asyncio.sleep(HEARTBEAT_S)

    async def drain(self) -> None:
        """Say that this process takes nothing new."""
        await self._pool.execute("UPDATE process SET draining = true WHERE id = $1", self.id)

    async def end(self) -> None:
        """Say that this process ended in order; nobody has to clean up after it."""
        async with asyncio.timeout(STATEMENT_TIMEOUT_S):
            await self._pool.execute(
                "UPDATE process SET ended_at = clock_timestamp(), lease_until = clock_timestamp()"
                " WHERE id = $1 AND ended_at IS NULL",
                self.id,
            )


async def alive(connection: Connection | Pool, kind: ProcessKind) -> list[ProcessRow]:
    """Return the processes of *kind* whose lease runs, oldest first."""
    return await _rows(connection, kind, "p.lease_until >= clock_timestamp()")


async def expired(connection: Connection | Pool, kind: ProcessKind) -> list[ProcessRow]:
    """Return the processes of *kind* that neither ended in order nor renewed their lease."""
    return await _rows(connection, kind, "p.lease_until < clock_timestamp()")


async def unfinished(connection: Connection | Pool, kind: ProcessKind) -> list[ProcessRow]:
    """Return the processes of *kind* that did not end in order, whether their lease runs or not."""
    return await _rows(connection, kind, "true")


async def take_over(connection: Connection | Pool, dead: UUID, successor: UUID) -> bool:
    """Mark *dead* as succeeded by *successor*; False if it ended, was taken, or came back.

    A row whose process `is_gone` may be taken before its lease ends; the caller decides. After this
    the old process, were it only stuck, gets `LeaseLost`.
    """
    return (
        await connection.fetchval(
            "UPDATE process SET taken_over_by = $2, ended_at = clock_timestamp()"
            " WHERE id = $1 AND ended_at IS NULL AND taken_over_by IS NULL RETURNING true",
            dead,
            successor,
        )
        is True
    )


async def _rows(connection: Connection | Pool, kind: ProcessKind, which: str) -> list[ProcessRow]:
    rows = await connection.fetch(
        "SELECT p.id, p.kind, p.host, p.pid, p.address, p.sip_address, p.sip_port, p.rtp_low,"  # noqa: S608 - *which* is one of our own conditions
        "       p.rtp_high, p.capacity, p.draining, p.clock_offset_ms,"
        "       extract(epoch FROM clock_timestamp() - p.lease_until)::float8 AS expired_s"
        " FROM process p"
        " WHERE p.kind = $1 AND p.ended_at IS NULL AND p.taken_over_by IS NULL"
        f" AND {which}"
        " ORDER BY p.started_at",
        kind,
    )
    return [
        ProcessRow(
            id=row["id"],
            kind=ProcessKind(row["kind"]),
            host=row["host"],
            pid=row["pid"],
            endpoints=Endpoints(
                address=row["address"],
                sip_address=row["sip_address"],
                sip_port=row["sip_port"],
                rtp_low=row["rtp_low"],
                rtp_high=row["rtp_high"],
                capacity=row["capacity"],
            ),
            draining=row["draining"],
            clock_offset_ms=row["clock_offset_ms"],
            expired_s=row["expired_s"],
        )
        for row in rows
    ]
