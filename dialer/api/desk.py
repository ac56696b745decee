"""Every agent's open socket in this process, and the one loop that keeps their screens true.

A hint on channel `agents` wakes the loop at once, a poll each second is the guarantee. One query
reads all screens concerned; each socket gets only what changed since its last picture, and a slow
one skips pictures instead of holding up the others.

An agent has one screen: a newer socket closes the older, in whatever process it lives. When a
screen is lost and none comes back, the agent is paused, because calls without a screen are calls
without a name.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from aiohttp import WSCloseCode, web
from prometheus_client import Gauge

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.stores import sessions
from dialer.api import commands, views
from dialer.api.messages import Close, Hello, Ping, Problem, Said, error_message
from dialer.api.screen import AgentView, Screen
from dialer.notify import Channel, Hint, Notifier
from dialer.supervision import DATABASE_AWAY, Outage

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

log = structlog.get_logger(__name__)

POLL_S = 1.0
# Hints of one moment are answered by one query.
GATHER_S = 0.002
SEEN_EVERY_S = 3.0
# Long enough for a reload of the page or a restart of this process.
SCREEN_GRACE_S = 12.0
SCREEN_LOST = "screen lost"
SEND_TIMEOUT_S = 10.0
_SOCKET_HINT = "socket:"

screens_open = Gauge("dialer_agent_screens", "Agents whose screen is connected here.")


@dataclass(eq=False, slots=True)
class AgentSocket:
    """One authenticated socket; `id` is a UUIDv7, so the newer of two is the greater."""

    agent_id: UUID
    ws: web.WebSocketResponse
    id: UUID = field(default_factory=new_id)
    screen: Screen = field(default_factory=Screen)
    leaving: asyncio.Task[None] | None = None
    _view: AgentView | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, view: AgentView) -> None:
        """Have the newest picture sent; one not yet sent is skipped."""
        self._view = view
        self._changed.set()

    async def send_pictures(self) -> None:
        """Send what changes until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._view is not None:
                for message in self.screen.next_messages(self._view):
                    await self.say(message)

    async def say(self, message: dict[str, Any]) -> None:
        """Send one message; a socket that takes none for too long is closed."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.ws.send_json(message)
        except (ConnectionError, TimeoutError, RuntimeError):
            # The reading side sees the end of the socket and cleans up.
            await self.ws.close(code=WSCloseCode.GOING_AWAY)

    async def dismiss(self) -> None:
        """Close the socket because a newer one took its place."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.ws.send_json(
                    error_message(
                        Problem.REPLACED, "You have opened another screen: this one ends."
                    )
                )
                await self.ws.close(code=Close.REPLACED, message=b"replaced by a newer socket")


MessageSource = Callable[[AgentSocket], Awaitable[None]]


class Desk:
    """Agents' sockets of this process; `now` gives UTC corrected to the database's clock."""

    def __init__(self, pool: Pool, notifier: Notifier, now: Callable[[], datetime]) -> None:
        self.pool = pool
        self.sockets: dict[UUID, AgentSocket] = {}
        self._notifier = notifier
        self._now = now
        self._session_owner: dict[UUID, UUID] = {}
        self._dirty: set[UUID] = set()
        self._wake = asyncio.Event()
        self._left_at: dict[UUID, float] = {}
        self._seen_at = float("-inf")
        self._polled_at = float("-inf")
        self._outage = Outage()

    def hear(self, hint: Hint) -> None:
        """Take a hint of channel `agents`: a session that changed, a newer socket, or anything."""
        if hint.payload.startswith(_SOCKET_HINT):
            self._hear_socket(hint.payload)
            return
        owner = None
        with contextlib.suppress(ValueError):
            owner = self._session_owner.get(UUID(hint.payload))
        # An unknown session may be one of ours that has just begun.
        self._dirty.update(self.sockets if owner is None else {owner})
        self._wake.set()

    def _hear_socket(self, payload: str) -> None:
        _, _, rest = payload.partition(":")
        agent, _, newer = rest.partition(":")
        try:
            agent_id, newer_id = UUID(agent), UUID(newer)
        except ValueError:
            return
        self._left_at.pop(agent_id, None)
        mine = self.sockets.get(agent_id)
        if mine is not None and mine.id < newer_id:
            del self.sockets[agent_id]
            self._dismiss(mine)

    async def serve(self, socket: AgentSocket, messages: MessageSource) -> None:
        """Keep *socket* until it closes; its agent's older socket is dismissed."""
        older = self.sockets.get(socket.agent_id)
        self.sockets[socket.agent_id] = socket
        screens_open.set(len(self.sockets))
        if older is not None:
            self._dismiss(older)
        self._left_at.pop(socket.agent_id, None)
        self._notifier.post(Channel.AGENTS, f"{_SOCKET_HINT}{socket.agent_id}:{socket.id}")
        self._touch(socket.agent_id)
        sending = asyncio.create_task(socket.send_pictures(), name=f"screen-{socket.agent_id}")
        try:
            await messages(socket)
        finally:
            sending.cancel()
            # The connection ends with this handler: the close frame has to be out by then.
            closing = [sending] if socket.leaving is None else [sending, socket.leaving]
            await asyncio.gather(*closing, return_exceptions=True)
            if self.sockets.get(socket.agent_id) is socket:
                del self.sockets[socket.agent_id]
                self._left_at[socket.agent_id] = time.monotonic()
            screens_open.set(len(self.sockets))

    async def obey(self, socket: AgentSocket, said: Said) -> None:
        """Do what the agent's screen asked for, and answer when it cannot be done."""
        if isinstance(said, Ping):
            await socket.say({"type": "pong"})
            return
        if isinstance(said, Hello):
            await socket.say(error_message(Problem.NOT_NOW, "You have said hello already."))
            return
        try:
            hints = await commands.obey(self.pool, socket.agent_id, said, at=self._now())
        except commands.Refusal as refusal:
            await socket.say(error_message(refusal.problem, str(refusal)))
        except DATABASE_AWAY as error:
            log.warning("agent_message_lost", kind=said.type, error=type(error).__name__)
            await socket.say(
                error_message(
                    Problem.DATABASE_AWAY,
                    "The database does not answer, so nothing was changed: try again in a moment.",
                )
            )
        except UserError as error:
            await socket.say(error_message(Problem.REFUSED, str(error)))
        else:
            for channel, payload in hints:
                self._notifier.post(channel, payload)
        self._touch(socket.agent_id)

    async def run(self) -> None:
        """Keep all screens true until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
                    await asyncio.sleep(GATHER_S)
            self._wake.clear()
            # However busy the hints, everything is looked at each second: hints can be lost.
            is_poll = time.monotonic() - self._polled_at >= POLL_S
            concerned = set(self.sockets) if is_poll else self._dirty & self.sockets.keys()
            self._dirty.clear()
            try:
                await self._refresh(concerned)
                if is_poll:
                    await self._look_after_sessions()
                    self._polled_at = time.monotonic()
            except DATABASE_AWAY as error:
                self._dirty.update(concerned)
                await asyncio.sleep(self._outage.began(error))
            else:
                self._outage.ended()

    async def close(self) -> None:
        """Tell every screen that this process ends; they reconnect and nobody is paused for it."""
        leaving = list(self.sockets.values())
        self.sockets.clear()
        self._left_at.clear()
        for socket in leaving:
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.ws.close(code=WSCloseCode.GOING_AWAY, message=b"server restarts")

    def _touch(self, agent_id: UUID) -> None:
        self._dirty.add(agent_id)
        self._wake.set()

    def _dismiss(self, socket: AgentSocket) -> None:
        socket.leaving = asyncio.create_task(socket.dismiss(), name=f"dismiss-{socket.id}")

    async def _refresh(self, agent_ids: set[UUID]) -> None:
        if not agent_ids:
            return
        found = await views.read_views(self.pool, agent_ids)
        for agent_id in agent_ids:
            socket = self.sockets.get(agent_id)
            view = found.get(agent_id)
            if socket is None:
                continue
            if view is None:
                # The agent was removed: there is nobody to speak for.
                self._dismiss(self.sockets.pop(agent_id))
                continue
            if view.session_id is not None:
                self._session_owner[view.session_id] = agent_id
            socket.show(view)
        current = {view.session_id for view in found.values()}
        self._session_owner = {
            session: owner
            for session, owner in self._session_owner.items()
            if owner in self.sockets and (owner not in found or session in current)
        }

    async def _look_after_sessions(self) -> None:
        """Say who has a screen; pause those who lost theirs and found no other anywhere."""
        now = time.monotonic()
        if now - self._seen_at >= SEEN_EVERY_S and self.sockets:
            await self.pool.execute(
                "UPDATE agent_session SET seen_at = clock_timestamp()"
                " WHERE agent_id = ANY($1::uuid[])",
                list(self.sockets),
            )
            self._seen_at = now
        due = [agent for agent, left in self._left_at.items() if now - left >= SCREEN_GRACE_S]
        for agent_id in due:
            await self._pause_without_screen(agent_id)
            del self._left_at[agent_id]

    async def _pause_without_screen(self, agent_id: UUID) -> None:
        async with self.pool.acquire() as connection:
            session_id = await connection.fetchval(
                "SELECT id FROM agent_session"
                " WHERE agent_id = $1 AND state NOT IN ('paused', 'offline')"
                " AND seen_at < clock_timestamp() - make_interval(secs => $2)",
                agent_id,
                SCREEN_GRACE_S - SEEN_EVERY_S,
            )
            if session_id is None:
                return
            try:
                await sessions.request_pause(
                    connection, session_id, reason=SCREEN_LOST, at=self._now()
                )
            except UserError:
                return
        log.warning("agent_paused", agent=str(agent_id), reason=SCREEN_LOST)
        self._notifier.post(Channel.AGENTS, session_id)
        self._notifier.post(Channel.ENGINE, "")
