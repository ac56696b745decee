"""`/v1/agent/socket`: the door. Who speaks is said in the first message, never in the URL."""

from __future__ import annotations

import asyncio
import time
from math import ceil
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from aiohttp import WSMsgType, web

from campaigns.stores import agents
from dialer.api import messages
from dialer.api.desk import AgentSocket, Desk
from dialer.api.messages import Close, Hello, Problem, error_message
from dialer.api.throttle import Throttle
from dialer.supervision import DATABASE_AWAY

log = structlog.get_logger(__name__)

PATH = "/v1/agent/socket"
HELLO_TIMEOUT_S = 5.0
# A silent peer is found out after this long, in seconds.
HEARTBEAT_S = 20.0
# Sockets that have not said hello yet; more are turned away at once.
MOST_STRANGERS = 64


class Door:
    """Lets agents in: `handle` is the route's handler."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._throttle = Throttle(time.monotonic)
        self._strangers = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Accept a WebSocket, learn who it is, and serve it until it closes."""
        if not _same_origin(request):
            raise web.HTTPForbidden(text="This page may not open an agent's socket.\n")
        if self._strangers >= MOST_STRANGERS:
            raise web.HTTPServiceUnavailable(
                text="Too many sockets wait for their hello.\n", headers={"Retry-After": "5"}
            )
        ws = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=messages.LONGEST_MESSAGE, compress=False
        )
        await ws.prepare(request)
        self._strangers += 1
        try:
            agent_id = await self._greet(ws, _address(request))
        except _Turned as turned:
            await turned.away(ws)
            return ws
        finally:
            self._strangers -= 1
        await self._desk.serve(AgentSocket(agent_id, ws), self._listen)
        return ws

    async def _greet(self, ws: web.WebSocketResponse, address: str) -> UUID:
        """Return the agent's id; raises `_Turned` with the reason to close the socket."""
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                first = await ws.receive()
        except TimeoutError:
            raise _Turned(
                Close.HELLO_TIMEOUT, Problem.BAD_TOKEN, "No hello came within 5 seconds."
            ) from None
        if first.type is not WSMsgType.TEXT:
            raise _Turned(Close.UNREADABLE, Problem.UNREADABLE, "The first message must be text.")
        try:
            hello = messages.read(first.data)
        except messages.Unreadable as error:
            raise _Turned(Close.UNREADABLE, Problem.UNREADABLE, str(error)) from None
        if not isinstance(hello, Hello):
            raise _Turned(Close.BAD_TOKEN, Problem.BAD_TOKEN, "The first message must be hello.")
        try:
            async with self._desk.pool.acquire() as connection:
                agent_id = await agents.authenticate(connection, hello.token)
        except DATABASE_AWAY:
            raise _Turned(
                Close.TRY_LATER, Problem.DATABASE_AWAY, "The database does not answer: try again."
            ) from None
        if agent_id is None:
            raise self._wrong_token(address)
        return agent_id

    def _wrong_token(self, address: str) -> _Turned:
        # A right token always opens: agents behind one address must not lock each other out.
        wait_s = self._throttle.wait_s(address)
        self._throttle.failed(address)
        if wait_s > 0:
            return _Turned(
                Close.TOO_MANY,
                Problem.TOO_MANY_ATTEMPTS,
                f"Too many wrong tokens from here: try again in {ceil(wait_s)} s.",
            )
        log.warning("agent_token_refused")
        return _Turned(
            Close.BAD_TOKEN,
            Problem.BAD_TOKEN,
            "This token is not valid: ask for a new one (`dialer agents token NAME`).",
        )

    async def _listen(self, socket: AgentSocket) -> None:
        async for message in socket.ws:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                said = messages.read(message.data)
            except messages.Unreadable as error:
                await socket.say(error_message(Problem.UNREADABLE, str(error)))
                continue
            await self._desk.obey(socket, said)


class _Turned(Exception):
    """A stranger who is not let in: the close code, and the sentence that says why."""

    def __init__(self, code: Close, problem: Problem, sentence: str) -> None:
        super().__init__(sentence)
        self._code = code
        self._problem = problem

    async def away(self, ws: web.WebSocketResponse) -> None:
        """Say why and close the socket."""
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                await ws.send_json(error_message(self._problem, str(self)))
        except (ConnectionError, TimeoutError, RuntimeError):
            log.debug("stranger_left", code=self._code.value)
        await ws.close(code=self._code, message=self._problem.value.encode())


def _address(request: web.Request) -> str:
    """Return who to hold wrong tokens against.

    Only this machine can connect, so a forwarding header comes from the proxy the operator set up;
    its last entry is the one that proxy wrote itself.
    """
    forwarded = request.headers.get("X-Forwarded-For", "")
    return forwarded.rpartition(",")[2].strip() or request.remote or ""


def _same_origin(request: web.Request) -> bool:
    """Whether a browser's page may speak here: programs send no Origin, our pages this host."""
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
