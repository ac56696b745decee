"""Ending calls that a dead line process left up: BYE for an answered leg, CANCEL for a ringing one.

The dialogs live in another process's memory no more, so the requests are written here from what
the `leg` row kept (RFC 3261 §9.1, §15.1.1), sent from a socket of their own, and repeated on UDP
until a final answer comes (RFC 3261 §17.1.2: T1 doubling up to T2).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dialer.lines.dialog import Dialog

    Write = Callable[[str], str]

T1_S = 0.5
T2_S = 4.0
GIVE_UP_S = 8.0
# The dead process may have sent re-INVITEs since; CSeq need only grow (RFC 3261 §12.2.1.1).
CSEQ_AHEAD = 100_000
_FINAL = 200
_CHALLENGES = {401: "Authorization", 407: "Proxy-Authorization"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a trunk wants to see before it believes us (RFC 2617 digest)."""

    username: str
    password: str


def bye(dialog: Dialog, *, sent_by: str, authorization: str = "", cseq: int | None = None) -> str:
    """Return the BYE that ends *dialog*; *sent_by* is the address the answer comes back to."""
    return _request(
        "BYE",
        dialog,
        via=f"SIP/2.0/{dialog.transport.upper()} {sent_by};rport;branch={_branch()}",
        cseq=cseq or dialog.cseq + CSEQ_AHEAD,
        extra=authorization,
    )


def cancel(dialog: Dialog) -> str:
    """Return the CANCEL of *dialog*'s INVITE: same Via, To without tag, same CSeq number."""
    asked = replace(
        dialog,
        remote=dialog.to or dialog.remote,
        target=dialog.uri or dialog.target,
        routes=dialog.invite_routes,
    )
    return _request("CANCEL", asked, via=dialog.via, cseq=dialog.cseq)


def _branch() -> str:
    # RFC 3261 §8.1.1.7: the magic cookie, then anything unique.
    return f"z9hG4bK{secrets.token_hex(8)}"


def _request(method: str, dialog: Dialog, *, via: str, cseq: int, extra: str = "") -> str:
    lines = [
        f"{method} {dialog.target} SIP/2.0",
        f"Via: {via}",
        "Max-Forwards: 70",
        f"From: {dialog.local}",
        f"To: {dialog.remote}",
        f"Call-ID: {dialog.call_id}",
        f"CSeq: {cseq} {method}",
        *(f"Route: {route}" for route in dialog.routes),
    ]
    if extra:
        lines.append(extra)
    lines += ["Content-Length: 0", "", ""]
    return "\r\n".join(lines)


async def end(dialog: Dialog, *, answered: bool, credentials: Credentials | None = None) -> int:
    """End an orphaned dialog; return the final status, or 0 when nobody answered in time.

    A ringing leg may have been answered after its process died, and a CANCEL is too late then
    without saying so (RFC 3261 §9.2): the early dialog gets its BYE as well (§15). Neither waits
    for the other, because the answer to a CANCEL goes to where the dead process listened.
    """
    if answered:
        return await _bye(dialog, credentials)
    cancelled = _exchange(dialog, lambda _: cancel(dialog))
    if "tag=" not in dialog.remote:
        return await cancelled
    statuses = await asyncio.gather(cancelled, _bye(dialog, credentials))
    return max(statuses)


async def _bye(dialog: Dialog, credentials: Credentials | None) -> int:
    status = await _exchange(dialog, lambda sent_by: bye(dialog, sent_by=sent_by))
    if status in _CHALLENGES and credentials is not None:
        status = await _with_digest(dialog, credentials)
    return status


async def _with_digest(dialog: Dialog, credentials: Credentials) -> int:
    answers: list[str] = []
    await _exchange(dialog, lambda sent_by: bye(dialog, sent_by=sent_by), answers)
    status = _status(answers[-1]) if answers else 0
    header = _CHALLENGES.get(status)
    if header is None:
        return status
    line = digest(answers[-1], header, "BYE", dialog.target, credentials)
    return await _exchange(
        dialog,
        lambda sent_by: bye(
            dialog, sent_by=sent_by, authorization=line, cseq=dialog.cseq + CSEQ_AHEAD + 1
        ),
    )


def digest(challenge: str, header: str, method: str, uri: str, credentials: Credentials) -> str:
    """Return the header line that answers a digest challenge (RFC 2617 §3.2.2, MD5)."""
    asked = header.replace("Authorization", "Authenticate").replace("WWW-", "")
    name = "WWW-Authenticate" if header == "Authorization" else asked
    found = re.search(rf"^{name}:\s*Digest\s+(.*)$", challenge, re.IGNORECASE | re.MULTILINE)
    fields = dict(re.findall(r'(\w+)="?([^",]+)"?', found[1])) if found else {}
    realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
    first = _md5(f"{credentials.username}:{realm}:{credentials.password}")
    second = _md5(f"{method}:{uri}")
    parts = [
        f'username="{credentials.username}"',
        f'realm="{realm}"',
        f'nonce="{nonce}"',
        f'uri="{uri}"',
    ]
    if "qop" in fields:
        cnonce = secrets.token_hex(8)
        response = _md5(f"{first}:{nonce}:00000001:{cnonce}:auth:{second}")
        parts += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    else:
        response = _md5(f"{first}:{nonce}:{second}")
    parts.append(f'response="{response}"')
    if "opaque" in fields:
        parts.append(f'opaque="{fields["opaque"]}"')
    return f"{header}: Digest {', '.join(parts)}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _status(message: str) -> int:
    match = re.match(r"SIP/2\.0 (\d{3})", message)
    return int(match[1]) if match else 0


class _Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self.queue.put_nowait(data.decode("utf-8", "replace"))


def _address(peer: str) -> tuple[str, int]:
    host, _, port = peer.rpartition(":")
    return host.strip("[]"), int(port)


async def _exchange(dialog: Dialog, write: Write, answers: list[str] | None = None) -> int:
    host, port = _address(dialog.peer)
    collected: list[str] = [] if answers is None else answers
    try:
        async with asyncio.timeout(GIVE_UP_S):
            if dialog.transport.lower() == "udp":
                return await _over_udp(host, port, write, collected)
            return await _over_stream(dialog, host, port, write, collected)
    except (TimeoutError, OSError):
        return 0


async def _over_udp(host: str, port: int, write: Write, collected: list[str]) -> int:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Answers, remote_addr=(host, port))
    try:
        own_host, own_port = transport.get_extra_info("sockname")[:2]
        message = write(f"{own_host}:{own_port}").encode()
        interval = T1_S
        while True:
            transport.sendto(message)
            try:
                async with asyncio.timeout(interval):
                    while True:
                        collected.append(await protocol.queue.get())
                        if _status(collected[-1]) >= _FINAL:
                            return _status(collected[-1])
            except TimeoutError:
                interval = min(2 * interval, T2_S)
    finally:
        transport.close()


async def _over_stream(
    dialog: Dialog, host: str, port: int, write: Write, collected: list[str]
) -> int:
    context = None
    if dialog.transport.lower() == "tls":
        context = ssl.create_default_context()
        # The dialog was accepted on this peer before; ending it needs no second proof of who it is.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        own = writer.get_extra_info("sockname")
        writer.write(write(f"{own[0]}:{own[1]}").encode())
        await writer.drain()
        while True:
            collected.append((await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "replace"))
            if _status(collected[-1]) >= _FINAL:
                return _status(collected[-1])
    finally:
        writer.close()
