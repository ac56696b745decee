"""One UDP SIP port with transactions (RFC 3261 17): repeats, absorbs repeats, matches answers.

Errors: ``RequestTimeoutError`` (no final answer to a request of ours).
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from siplab.message import MalformedMessageError, Message, parse

T1_S = 0.5
T2_S = 4.0
_TIMER_B_S = 32.0
Address = tuple[str, int]


class RequestTimeoutError(TimeoutError):
    """No final answer came to a request of ours."""


@dataclass(slots=True)
class _Served:
    """A request received and the answer it got."""

    answer: bytes = b""
    repeat: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Asked:
    """A request of ours that waits for its answer."""

    final: asyncio.Future[Message]
    provisional: list[Message] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)


class Endpoint(asyncio.DatagramProtocol):
    """Sends and receives SIP on one UDP port; hands new requests to *serve*."""

    def __init__(self, serve: Callable[[Message, Address], None]) -> None:
        """Prepare; `open` binds the port."""
        self._serve = serve
        self._transport: asyncio.DatagramTransport | None = None
        self._served: dict[tuple[str, str], _Served] = {}
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._loop = asyncio.get_running_loop()
        self.host, self.port = "", 0

    async def open(self, host: str, port: int) -> None:
        """Bind; OSError if the port is in use."""
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: self, local_addr=(host, port)
        )
        self.host, self.port = self._transport.get_extra_info("sockname")[:2]

    def close(self) -> None:
        """Let go of the port and of everything under way."""
        for served in self._served.values():
            if served.repeat is not None:
                served.repeat.cancel()
        for asked in self._asked.values():
            asked.final.cancel()
        if self._transport is not None:
            self._transport.close()

    def new_branch(self) -> str:
        """Return a branch that names a new transaction."""
        return f"z9hG4bK{secrets.token_hex(8)}"

    def via(self, branch: str) -> str:
        """Return our Via value."""
        return f"SIP/2.0/UDP {self.host}:{self.port};branch={branch};rport"

    def send(self, message: Message, to: Address) -> None:
        """Send without expecting anything: ACK."""
        self._write(message.encode(), to)

    async def request(
        self,
        message: Message,
        to: Address,
        *,
        on_provisional: Callable[[Message], None] | None = None,
        timeout_s: float = _TIMER_B_S,
    ) -> Message:
        """Send a request, repeat it as UDP needs, and return the final answer."""
        key = (message.branch, message.method)
        asked = self._asked[key] = _Asked(self._loop.create_future())
        wire, pause, known = message.encode(), T1_S, 0
        deadline = self._loop.time() + timeout_s
        try:
            self._write(wire, to)
            while self._loop.time() < deadline:
                await _first_of(asked, min(pause, deadline - self._loop.time()))
                for provisional in asked.provisional[known:]:
                    if on_provisional is not None:
                        on_provisional(provisional)
                known = len(asked.provisional)
                asked.heard.clear()
                if asked.final.done():
                    return asked.final.result()
                if message.method == "INVITE" and known:
                    pause = deadline - self._loop.time()
                    continue
                self._write(wire, to)
                pause = min(2 * pause, T2_S)
        finally:
            del self._asked[key]
        text = f"no final answer to {message.method} within {timeout_s:g} s"
        raise RequestTimeoutError(text)

    def answer(self, request: Message, answer: Message, to: Address) -> None:
        """Answer a request; a final answer to INVITE repeats until it is acknowledged."""
        served = self._served.setdefault(_key(request), _Served())
        served.answer = answer.encode()
        self._write(served.answer, to)
        if request.method == "INVITE" and answer.status >= 200:
            if served.repeat is not None:
                served.repeat.cancel()
            served.repeat = asyncio.create_task(
                self._repeat(served.answer, to), name="siplab-repeat-final"
            )

    def acknowledged(self, invite: Message) -> None:
        """Stop repeating the final answer to *invite*."""
        served = self._served.get(_key(invite))
        if served is not None and served.repeat is not None:
            served.repeat.cancel()
            served.repeat = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Match a message with its transaction, or begin a new one."""
        if not data.strip():
            return
        try:
            message = parse(data)
            is_request = message.is_request
            key = _key(message)
        except (MalformedMessageError, ValueError, IndexError):
            return
        if not is_request:
            self._hear_answer(message)
        elif message.method == "ACK":
            served = self._served.get((message.branch, "INVITE"))
            if served is not None and served.repeat is not None:
                served.repeat.cancel()
                served.repeat = None
            self._serve(message, addr)
        elif (served := self._served.get(key)) is not None:
            if served.answer:
                self._write(served.answer, addr)
        else:
            self._served[key] = _Served()
            self._loop.call_later(_TIMER_B_S, self._served.pop, key, None)
            self._serve(message, addr)

    def error_received(self, exc: Exception) -> None:
        """Pass over ICMP errors: the repeats end by their own time."""

    def _hear_answer(self, message: Message) -> None:
        asked = self._asked.get((message.branch, message.method))
        if asked is None or asked.final.done():
            return
        if message.status < 200:
            asked.provisional.append(message)
        else:
            asked.final.set_result(message)
        asked.heard.set()

    async def _repeat(self, wire: bytes, to: Address) -> None:
        pause, waited = T1_S, 0.0
        while waited < _TIMER_B_S:
            await asyncio.sleep(pause)
            self._write(wire, to)
            waited += pause
            pause = min(2 * pause, T2_S)

    def _write(self, wire: bytes, to: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(wire, to)


def _key(message: Message) -> tuple[str, str]:
    return message.branch, message.method


async def _first_of(asked: _Asked, timeout_s: float) -> None:
    """Wait until something is heard, at most *timeout_s*."""
    try:
        async with asyncio.timeout(timeout_s):
            await asked.heard.wait()
    except TimeoutError:
        return
