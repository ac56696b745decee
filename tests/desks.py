"""The API on a port of its own, and agents' screens that speak to it over a real WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
from aiohttp import web

from campaigns.stores.agents import hash_token
from dialer.api.app import build
from dialer.api.desk import Desk
from dialer.api.socket import PATH
from dialer.clock import SystemClock
from dialer.notify import Channel, Listener, Notifier

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

# What never comes is noticed after this long, in seconds; what comes is waited for no longer than
# it takes.
PATIENCE_S = 20.0


@dataclass(slots=True)
class Server:
    """One API process in this process: its own socket, notifier and listener."""

    url: str
    port: int
    desk: Desk
    notifier: Notifier
    http: aiohttp.ClientSession

    async def screen(self, token: str) -> Screen:
        """Return a socket that has said hello."""
        screen = await self.socket()
        await screen.say("hello", token=token)
        return screen

    async def socket(self, **headers: str) -> Screen:
        """Return a socket that has said nothing yet."""
        return Screen(await self.http.ws_connect(self.url + PATH, headers=headers))


@dataclass(slots=True)
class Screen:
    """An agent's screen: says things, and waits for what it is told."""

    ws: aiohttp.ClientWebSocketResponse

    async def say(self, kind: str, **values: Any) -> None:
        """Send one message."""
        await self.ws.send_str(json.dumps({"type": kind, **values}))

    async def next(self) -> dict[str, Any]:
        """Return the next message, `{"type": "closed", "code": …}` at the end."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.ws.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            found: dict[str, Any] = json.loads(message.data)
            return found
        # The library's own close_code is 1006 when the server was gone before our answer.
        code = message.data if message.type is aiohttp.WSMsgType.CLOSE else self.ws.close_code
        return {"type": "closed", "code": code}

    async def told(self, kind: str, **values: Any) -> dict[str, Any]:
        """Return the next message of *kind* with these values, passing over others."""
        passed = []
        while True:
            message = await self.next()
            if message["type"] == kind and values.items() <= message.items():
                return message
            passed.append(message)
            if message["type"] == "closed":
                raise AssertionError(f"the socket closed while waiting for {kind}: {passed}")

    async def kinds(self, *, until: str) -> list[str]:
        """Return the kinds of the messages up to the first one of kind *until*."""
        seen = []
        while until not in seen:
            seen.append((await self.next())["type"])
        return seen


@contextlib.asynccontextmanager
async def api(dsn: str, pool: Pool, *, port: int = 0) -> AsyncIterator[Server]:
    """Run the API on *port* of loopback, 0 for any free one."""
    notifier = Notifier(dsn)
    desk = Desk(pool, notifier, SystemClock().now)
    runner = web.AppRunner(build(pool, desk), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    port = runner.addresses[0][1]
    heard = asyncio.Event()

    def hear(hint: Any) -> None:
        heard.set()
        desk.hear(hint)

    tasks = [
        asyncio.create_task(notifier.run(), name="notifier"),
        asyncio.create_task(Listener(dsn, (Channel.AGENTS,), hear).run(), name="listener"),
        asyncio.create_task(desk.run(), name="screens"),
    ]
    try:
        # The listener says once that it listens: hints before that would be lost.
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()
        async with aiohttp.ClientSession() as http:
            yield Server(f"http://127.0.0.1:{port}", port, desk, notifier, http)
    finally:
        await runner.cleanup()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def give_token(pool: Pool, agent_id: UUID, token: str) -> str:
    """Make *token* the agent's; return it."""
    await pool.execute(
        "UPDATE agent SET token_hash = $2 WHERE id = $1", agent_id, hash_token(token)
    )
    return token


async def eventually(pool: Pool, query: str, *arguments: Any) -> Any:
    """Return the first true value *query* gives, asking again until the patience is over."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while asyncio.get_running_loop().time() < deadline:
        value = await pool.fetchval(query, *arguments)
        if value:
            return value
        await asyncio.sleep(0.02)
    raise AssertionError(f"this never came true: {query}")
