"""Lone SIP requests at an address, and what comes back: OPTIONS, stray INVITE, REFER, Replaces.

For safety tests: what a stranger on the network can make a SIP endpoint do. Pure asyncio; UDP,
TCP or TLS, one socket per request.

Errors: ``NoResponseError`` (nothing came back in time).
"""

import asyncio
import secrets
import ssl
from dataclasses import dataclass

from siplab.message import Message, parse

_T1_S = 0.5
_DEFAULT_TIMEOUT_S = 5.0


class NoResponseError(TimeoutError):
    """Nothing came back in time."""


@dataclass(frozen=True, slots=True)
class Response:
    """The final response to a probe, and the provisional ones before it."""

    status: int
    reason: str
    message: Message
    provisional: tuple[int, ...] = ()


async def options(
    host: str, port: int, *, transport: str = "udp", timeout_s: float = _DEFAULT_TIMEOUT_S
) -> Response:
    """Ask an endpoint for its capabilities, as trunks do to see whether the other side lives."""
    return await request("OPTIONS", host, port, transport=transport, timeout_s=timeout_s)


async def stray_invite(
    host: str,
    port: int,
    *,
    user: str = "agent1",
    transport: str = "udp",
    timeout_s: float = _DEFAULT_TIMEOUT_S,
) -> Response:
    """Call an endpoint that does not know us; an answered call is hung up at once."""
    return await request("INVITE", host, port, user=user, transport=transport, timeout_s=timeout_s)


async def replaces_invite(
    host: str,
    port: int,
    replaces: str,
    *,
    user: str = "agent1",
    transport: str = "udp",
    timeout_s: float = _DEFAULT_TIMEOUT_S,
) -> Response:
    """Try to take over a call: INVITE with Replaces (RFC 3891) ``call-id;to-tag=…;from-tag=…``."""
    headers = (("replaces", replaces), ("require", "replaces"))
    return await request(
        "INVITE", host, port, *headers, user=user, transport=transport, timeout_s=timeout_s
    )


async def refer(
    host: str,
    port: int,
    refer_to: str = "<sip:+12025550199@127.0.0.1:9>",
    *,
    user: str = "agent1",
    transport: str = "udp",
    timeout_s: float = _DEFAULT_TIMEOUT_S,
) -> Response:
    """Ask an endpoint to call somebody for us: REFER outside any call (RFC 3515)."""
    return await request(
        "REFER",
        host,
        port,
        ("refer-to", refer_to),
        user=user,
        transport=transport,
        timeout_s=timeout_s,
    )


async def request(
    method: str,
    host: str,
    port: int,
    *headers: tuple[str, str],
    user: str = "",
    call_id: str = "",
    to_tag: str = "",
    transport: str = "udp",
    timeout_s: float = _DEFAULT_TIMEOUT_S,
) -> Response:
    """Send one request and return its final response; an INVITE is acknowledged, then hung up.

    *call_id* and *to_tag* let a test pretend to be inside somebody else's call.
    """
    wire = await _Wire.open(host, port, transport)
    try:
        asked = _Asked(method, host, port, user, wire, call_id, to_tag)
        message = asked.message(method, 1, asked.branch, headers)
        async with asyncio.timeout(timeout_s):
            return await _converse(wire, asked, message)
    except TimeoutError:
        text = f"no final response to {method} within {timeout_s:g} s"
        raise NoResponseError(text) from None
    finally:
        wire.close()


class _Asked:
    """One request's identity, so that its ACK and BYE can repeat it."""

    def __init__(
        self,
        method: str,
        host: str,
        port: int,
        user: str,
        wire: "_Wire",
        call_id: str,
        to_tag: str,
    ) -> None:
        self.method = method
        self.branch = f"z9hG4bK{secrets.token_hex(8)}"
        suffix = "" if wire.transport == "udp" else f";transport={wire.transport}"
        self.uri = f"sip:{user}@{host}:{port}{suffix}" if user else f"sip:{host}:{port}{suffix}"
        self.host, self.port = wire.host, wire.port
        self.transport = wire.transport
        self.call_id = call_id or f"probe-{secrets.token_hex(8)}"
        self.from_ = f"<sip:probe@{self.host}>;tag={secrets.token_hex(6)}"
        self.to = f"<{self.uri}>" + (f";tag={to_tag}" if to_tag else "")

    def message(
        self,
        method: str,
        cseq: int,
        branch: str,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Message:
        via = f"SIP/2.0/{self.transport.upper()} {self.host}:{self.port};branch={branch};rport"
        fields = [
            ("via", via),
            ("max-forwards", "70"),
            ("from", self.from_),
            ("to", self.to),
            ("call-id", self.call_id),
            ("cseq", f"{cseq} {method}"),
            ("contact", f"<sip:probe@{self.host}:{self.port}>"),
            *headers,
        ]
        body = ""
        if method == "INVITE":
            fields.append(("content-type", "application/sdp"))
            body = (
                f"v=0\r\no=probe 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
                # Port 9 is "discard": a probe listens to nobody.
                "m=audio 9 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
            )
        return Message(f"{method} {self.uri} SIP/2.0", fields, body)


async def _converse(wire: "_Wire", asked: _Asked, message: Message) -> Response:
    """Return the final response, repeating the request over UDP until something comes back."""
    provisional: list[int] = []
    pause = _T1_S
    wire.send(message)
    while True:
        try:
            repeats = wire.transport == "udp" and not provisional
            async with asyncio.timeout(pause if repeats else None):
                answer = await wire.receive()
        except TimeoutError:
            wire.send(message)
            pause = min(2 * pause, 4.0)
            continue
        if answer.is_request or answer.branch != asked.branch:
            continue
        if answer.status < 200:
            provisional.append(answer.status)
            continue
        if asked.method == "INVITE":
            _finish_invite(wire, asked, answer)
        return Response(answer.status, answer.reason, answer, tuple(provisional))


def _finish_invite(wire: "_Wire", asked: _Asked, answer: Message) -> None:
    asked.to = answer.header("to") or asked.to
    if answer.status >= 300:
        wire.send(asked.message("ACK", 1, asked.branch))
        return
    wire.send(asked.message("ACK", 1, f"{asked.branch}a"))
    wire.send(asked.message("BYE", 2, f"{asked.branch}b"))


def _untrusting() -> ssl.SSLContext:
    """Return a TLS client that takes any certificate: a probe asks anybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Wire:
    """One UDP socket, TCP or TLS connection that carries SIP messages."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.host, self.port = "", 0
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        self._udp: asyncio.DatagramTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, host: str, port: int, transport: str) -> "_Wire":
        wire = cls(transport)
        if transport == "udp":
            loop = asyncio.get_running_loop()
            wire._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(wire._received), remote_addr=(host, port)
            )
            wire.host, wire.port = wire._udp.get_extra_info("sockname")[:2]
            return wire
        async with asyncio.timeout(_DEFAULT_TIMEOUT_S):
            security = _untrusting() if transport == "tls" else None
            reader, wire._writer = await asyncio.open_connection(host, port, ssl=security)
        wire.host, wire.port = wire._writer.get_extra_info("sockname")[:2]
        wire._reader = asyncio.create_task(wire._read(reader), name="siplab-probe-reader")
        return wire

    def send(self, message: Message) -> None:
        if self._udp is not None:
            self._udp.sendto(message.encode())
        elif self._writer is not None:
            self._writer.write(message.encode())

    async def receive(self) -> Message:
        return await self._received.get()

    def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.strip():
                    continue
                length = int(parse(head).header("content-length") or 0)
                self._received.put_nowait(parse(head + await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: asyncio.Queue[Message]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, _address: tuple[str, int]) -> None:
        if data.strip():
            self._received.put_nowait(parse(data))

    def error_received(self, _error: Exception) -> None:
        """Nobody listens (yet): the timeout will say so."""
