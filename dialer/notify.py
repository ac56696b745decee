"""NOTIFY and LISTEN: hints that something changed; a poll is the guarantee.

NOTIFY takes a cluster-wide lock through commit and defeats group commit, so it never stands in a
data transaction: a connection of its own sends what gathered in a few milliseconds, each payload
once, with `synchronous_commit=off`. A hint lost with the connection costs one poll, so nothing is
kept for a server that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from campaigns.stores import database
from dialer.supervision import DATABASE_AWAY, Backoff

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

log = structlog.get_logger(__name__)

GATHER_S = 0.003
SEND_TIMEOUT_S = 5.0
PROOF_EVERY_S = 15.0


class Channel(StrEnum):
    """The four channels and what their payload is."""

    LINES = "lines"  # id of the line process that has something to do
    ENGINE = "engine"  # id of the campaign that changed, or empty
    AGENTS = "agents"  # id of the agent session whose state or pop changed
    BOARDS = "boards"  # empty


class Notifier:
    """Sends hints from a connection of its own; `post` never waits and never fails."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._posted: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()

    def post(self, channel: Channel, payload: object = "") -> None:
        """Have a hint sent within a few milliseconds."""
        self._posted[channel.value, str(payload)] = None
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; reconnects by itself."""
        backoff = Backoff()
        while True:
            try:
                connection = await database.connect(self._dsn)
            except DATABASE_AWAY:
                await asyncio.sleep(backoff.failed())
                continue
            backoff.worked()
            try:
                await connection.execute("SET synchronous_commit = off")
                await self._send_on(connection)
            except DATABASE_AWAY as error:
                log.debug("notifier_disconnected", error=type(error).__name__)
                await asyncio.sleep(backoff.failed())
            finally:
                await _close(connection)

    async def _send_on(self, connection: Connection) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            hints = list(self._posted)
            self._posted.clear()
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await connection.execute(
                    "SELECT pg_notify(h.channel, h.payload)"
                    " FROM unnest($1::text[], $2::text[]) AS h(channel, payload)",
                    [channel for channel, _ in hints],
                    [payload for _, payload in hints],
                )


@dataclass(frozen=True, slots=True)
class Hint:
    """One notification; an empty payload may concern anything on the channel."""

    channel: Channel
    payload: str


class Listener:
    """Hears hints on a connection of its own and hands them to a function on the loop.

    After every (re)connection each channel gets one hint with an empty payload: what was missed
    meanwhile has to be looked up.
    """

    def __init__(
        self, dsn: str, channels: tuple[Channel, ...], hear: Callable[[Hint], None]
    ) -> None:
        self._dsn = dsn
        self._channels = channels
        self._hear = hear

    async def run(self) -> None:
        """Listen until cancelled; reconnects by itself."""
        backoff = Backoff()
        while True:
            try:
                connection = await database.connect(self._dsn)
            except DATABASE_AWAY:
                await asyncio.sleep(backoff.failed())
                continue
            backoff.worked()
            try:
                await self._listen_on(connection)
            except DATABASE_AWAY as error:
                log.debug("listener_disconnected", error=type(error).__name__)
                await asyncio.sleep(backoff.failed())
            finally:
                await _close(connection)

    async def _listen_on(self, connection: Connection) -> None:
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _: gone.set())
        for channel in self._channels:
            await connection.add_listener(channel.value, self._received)
        for channel in self._channels:
            self._hear(Hint(channel, ""))
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROOF_EVERY_S):
                    await gone.wait()
                raise ConnectionError("the listening connection ended")
            # A half-open connection is deaf without an error: only a round trip proves it lives.
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await connection.execute("SELECT 1")

    def _received(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._hear(Hint(Channel(channel), str(payload)))


async def _close(connection: Connection) -> None:
    with contextlib.suppress(*DATABASE_AWAY):
        async with asyncio.timeout(1.0):
            await connection.close()
    if not connection.is_closed():
        connection.terminate()
