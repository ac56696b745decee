"""A call placed by a phone: INVITE, digest, early media, CANCEL.

Errors: ``RefusedError`` (a final answer that is no 200, carried in full).
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

from siplab import digest, sdp
from siplab.call import Call, CallError
from siplab.endpoint import RequestTimeoutError
from siplab.message import Message

_CANCEL_TIMEOUT_S = 8.0


class RefusedError(CallError):
    """The call was not answered; *answer* is the final response."""

    def __init__(self, answer: Message) -> None:
        """Say which status it was."""
        super().__init__(f"refused with {answer.status} {answer.reason}")
        self.answer = answer
        self.status = answer.status


@dataclass(frozen=True, slots=True)
class Wish:
    """How a call is to be placed."""

    username: str = ""
    password: str = ""
    give_up_after: float | None = None
    """Seconds until a CANCEL is sent, None to wait as long as it rings."""
    timeout_s: float = 60.0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Progress:
    """What came back before the final answer."""

    provisional: list[int] = field(default_factory=list)
    early_media: bool = False
    cancelled: bool = False
    """A CANCEL was sent."""
    challenged: bool = False


async def invite(call: Call, wish: Wish, progress: Progress) -> Message:
    """Place the call and return its 200, audio agreed; RefusedError or RequestTimeoutError."""
    extra = wish.headers
    while True:
        ours = call.offer()
        request = call.dialog.request(
            call.endpoint, "INVITE", call.contact, *extra, body=call.encode(ours)
        )
        answer = await _until_final(call, request, ours, wish, progress)
        if answer.status < 300:
            call.dialog.confirm(answer)
        call.acknowledge(request, answer)
        if answer.status in (401, 407) and wish.username and not progress.challenged:
            progress.challenged = True
            extra = (*wish.headers, _credentials(answer, request, wish))
            continue
        if answer.status >= 300:
            raise RefusedError(answer)
        call.agree(sdp.parse(answer.body), ours)
        return answer


async def _until_final(
    call: Call, request: Message, ours: sdp.Description, wish: Wish, progress: Progress
) -> Message:
    def on_provisional(answer: Message) -> None:
        progress.provisional.append(answer.status)
        if answer.body.strip():
            with contextlib.suppress(sdp.NoCommonCodecError):
                call.agree(sdp.parse(answer.body), ours)
                progress.early_media = True

    asked = asyncio.create_task(
        call.endpoint.request(
            request,
            call.dialog.destination(),
            on_provisional=on_provisional,
            timeout_s=wish.timeout_s,
        ),
        name="siplab-invite",
    )
    try:
        if wish.give_up_after is not None:
            await asyncio.wait({asked}, timeout=wish.give_up_after)
            if not asked.done() and progress.provisional:
                progress.cancelled = True
                await _cancel(call, request)
        return await asked
    except asyncio.CancelledError:
        if progress.provisional and not asked.done():
            call.endpoint.send(_cancel_of(request), call.dialog.destination())
        raise
    finally:
        asked.cancel()


async def _cancel(call: Call, request: Message) -> None:
    """Send CANCEL; the INVITE's own final answer tells whether it came in time."""
    with contextlib.suppress(RequestTimeoutError):
        await call.endpoint.request(
            _cancel_of(request), call.dialog.destination(), timeout_s=_CANCEL_TIMEOUT_S
        )


def _cancel_of(request: Message) -> Message:
    """Return the CANCEL of an INVITE: same branch, same CSeq number (RFC 3261 9.1)."""
    kept = [(n, v) for n, v in request.headers if n in ("via", "from", "to", "call-id", "route")]
    kept += [("cseq", f"{request.cseq} CANCEL"), ("max-forwards", "70")]
    return Message(f"CANCEL {request.uri} SIP/2.0", kept)


def _credentials(answer: Message, request: Message, wish: Wish) -> tuple[str, str]:
    """Return the header that answers a digest challenge."""
    by_proxy = answer.status == 407
    challenge = answer.header("proxy-authenticate" if by_proxy else "www-authenticate")
    value = digest.authorization(challenge, "INVITE", request.uri, wish.username, wish.password)
    return ("proxy-authorization" if by_proxy else "authorization", value)
