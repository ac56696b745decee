"""The client side of `/v1/agent/socket`: what the agent's screen knows, and a line that comes back.

`AgentClient` keeps the last state and call it was told, reconnects by itself with growing pauses,
and hands every change to its owner. It holds no rules: what is allowed, the server says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import aiohttp

from campaigns.errors import UserError
from campaigns.model import AgentState, Disposition, PhoneKind
from dialer.api.messages import Close
from dialer.api.socket import PATH
from dialer.supervision import Backoff

CONNECT_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 5.0
# The server is asked for a sign of life this often; two missed ones mean a dead line.
PING_EVERY_S = 10.0
# Sockets closed with these codes must not be opened again.
_FINAL = {Close.BAD_TOKEN, Close.REPLACED}
_ENDINGS = {
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.ERROR,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """The agent's state as last told; `since` and `wrap_up_until` count on this machine's clock."""

    agent: str
    display_name: str
    campaigns: tuple[str, ...]
    calls_in: bool
    logged_in: bool
    state: AgentState
    since: float | None
    reason: str | None
    pause_requested: str | None
    log_out_requested: bool
    wrap_up_until: float | None


@dataclass(frozen=True, slots=True)
class LiveCall:
    """Who is on the line, and how the call stands; `ended` holds the `call_ended` message.

    `preview_until`, on the server's clock, is the end of the time to decide about a preview, None
    once that is done.
    """

    attempt_id: str
    campaign: str
    script: str
    lead: Mapping[str, Any]
    is_joined: bool
    is_preview: bool = False
    preview_until: datetime | None = None
    ended: Mapping[str, Any] | None = None


@dataclass(slots=True)
class AgentClient:
    """One agent's line to the server at *url*; `on_change` is called after every message."""

    url: str
    token: str = field(repr=False)
    on_change: Callable[[], None] = lambda: None
    standing: Standing | None = None
    call: LiveCall | None = None
    problem: str | None = None
    connected: bool = False
    _socket: aiohttp.ClientWebSocketResponse | None = None
    _server_ahead_s: float = 0.0

    async def run(self) -> None:
        """Stay connected until cancelled; raises `UserError` when the server will not have us."""
        backoff = Backoff(first_s=0.2, most_s=5.0)
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with self._connected(session) as socket:
                        backoff.worked()
                        self._check_ending(await self._listen(socket))
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.problem = (
                        f"No connection to {self.url} ({type(error).__name__}); retrying."
                    )
                self.on_change()
                await asyncio.sleep(backoff.failed())

    async def say(self, kind: str, **values: object) -> bool:
        """Send one message; False when there is no connection to send it on."""
        if self._socket is None or self._socket.closed:
            self.problem = "Not connected: nothing was sent."
            return False
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send_str(json.dumps({"type": kind, **values}))
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.problem = "The connection broke: nothing was sent."
            return False
        return True

    async def decide(self, kind: str, **values: object) -> bool:
        """Dial or skip the lead on the screen, and no other."""
        if self.call is None or self.call.preview_until is None:
            self.problem = "There is no lead to decide about."
            return False
        return await self.say(kind, attempt_id=self.call.attempt_id, **values)

    async def dispose(self, disposition: Disposition, note: str = "") -> bool:
        """Say what came of the call on the screen, and of no other."""
        if self.call is None:
            self.problem = "There is no call to give a disposition to."
            return False
        return await self.say(
            "dispose",
            disposition=disposition.value,
            attempt_id=self.call.attempt_id,
            note=note or None,
        )

    @contextlib.asynccontextmanager
    async def _connected(
        self, session: aiohttp.ClientSession
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await session.ws_connect(self.url + PATH, heartbeat=PING_EVERY_S)
        try:
            await socket.send_str(json.dumps({"type": "hello", "token": self.token}))
            self._socket = socket
            yield socket
        finally:
            self._socket = None
            self.connected = False
            await socket.close()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> int | None:
        """Take messages until the socket closes; return the close code."""
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(json.loads(message.data))
                self.on_change()
            elif message.type is aiohttp.WSMsgType.CLOSE:
                # The library's own close_code is lost when the server closes first.
                return int(message.data)
            elif message.type in _ENDINGS:
                return socket.close_code

    def _take(self, message: Mapping[str, Any]) -> None:
        match message.get("type"):
            case "state":
                self.connected = True
                self.problem = None
                self.standing = _standing(message)
                self._server_ahead_s = _ahead_s(message["now"])
                if self.standing.state in {AgentState.READY, AgentState.OFFLINE}:
                    self.call = None
            case "call":
                self.call = LiveCall(
                    attempt_id=message["attempt_id"],
                    campaign=message["campaign"],
                    script=message["script"],
                    lead=message["lead"],
                    is_joined=message["joined_at"] is not None,
                    is_preview=bool(message.get("preview")),
                    preview_until=_moment(message.get("preview_until")),
                )
            case "call_ended":
                if self.call is not None and self.call.attempt_id == message["attempt_id"]:
                    self.call = replace(self.call, preview_until=None, ended=message)
                    if self.call.is_preview and message["outcome"] is None:
                        # It went back undialed: there is nobody to speak of.
                        self.call = None
            case "error":
                self.problem = str(message.get("message", ""))
            case _:
                # A newer server may say more than this client knows.
                pass

    @property
    def preview_left_s(self) -> float | None:
        """Return how long the agent may still decide about a preview, None if there is none."""
        if self.call is None or self.call.preview_until is None:
            return None
        until = self.call.preview_until.timestamp() - self._server_ahead_s
        return max(0.0, until - time.monotonic())

    def _check_ending(self, code: int | None) -> None:
        if code in _FINAL:
            raise UserError(self.problem or "The server closed the connection.")
        if self.problem is None:
            self.problem = "The connection closed; reconnecting."


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _ahead_s(now: str) -> float:
    """Return how far the server's clock is before our monotonic one."""
    return datetime.fromisoformat(now).timestamp() - time.monotonic()


def _standing(message: Mapping[str, Any]) -> Standing:
    # The server's clock may differ from ours: only differences to its own `now` are used.
    now = datetime.fromisoformat(message["now"])
    here = time.monotonic()

    def local(value: str | None) -> float | None:
        if value is None:
            return None
        return here + (datetime.fromisoformat(value) - now).total_seconds()

    return Standing(
        agent=message["agent"],
        display_name=message["display_name"],
        campaigns=tuple(message["campaigns"]),
        calls_in=message.get("phone") == PhoneKind.CALL_IN,
        logged_in=message["logged_in"],
        state=AgentState(message["state"]),
        since=local(message["since"]),
        reason=message["reason"],
        pause_requested=message["pause_requested"],
        log_out_requested=message["log_out_requested"],
        wrap_up_until=local(message["wrap_up_until"]),
    )
