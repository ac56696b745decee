"""One software phone: what it does when called, what it can be told to do, what it heard.

Errors: ``PhoneError`` (there is no call to act on, or the line is taken), ``CallError`` and
``RefusedError`` from the call itself.
"""

import asyncio
import contextlib
import enum
import time
from dataclasses import dataclass
from typing import Protocol

from siplab import sdp
from siplab.call import ALLOW, Call, CallError
from siplab.dialog import Dialog
from siplab.ear import FRAME_S, LOUD, Ear
from siplab.endpoint import Address, Endpoint, RequestTimeoutError
from siplab.message import Message
from siplab.outgoing import Progress, Wish, invite
from siplab.rtp import Metronome
from siplab.sdp import Direction


class PhoneError(CallError):
    """The phone could not do what it was asked; the message says why."""


class Line(enum.StrEnum):
    """Where a phone's call stands."""

    IDLE = "idle"
    RINGING = "ringing"
    CALLING = "calling"
    UP = "up"


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """Something that happened at a phone, at seconds since the epoch."""

    at: float
    phone: str
    what: str
    """invited, answered, refused, cancelled, held, resumed, hung_up (by us), ended (by the other
    side), failed, dropped (without a word)."""
    detail: str = ""


class Exchange(Protocol):
    """What a phone needs of the bank it belongs to."""

    metronome: Metronome
    payload_types: tuple[int, ...]
    host: str
    port: int

    @property
    def endpoint(self) -> Endpoint:
        """The SIP port of all its phones."""

    def frames(self, phone: "Phone", payload_type: int) -> list[bytes]:
        """What this phone says, in 20 ms payloads."""

    def tell(self, event: PhoneEvent) -> None:
        """Take note of an event."""


class Phone:
    """One phone; made by its bank."""

    def __init__(self, name: str, bank: Exchange, *, tone_hz: int, keep_audio_s: float) -> None:
        """Lie on the hook."""
        self.name = name
        self.tone_hz = tone_hz
        """What it sends until told otherwise: a quiet tone, different for each phone of a bank."""
        self.sound = ""
        """Name of a sound of `siplab.speech` to say instead of the tone."""
        self.answers = True
        """False: ring until the caller gives up."""
        self.answer_after = 0.0
        """Ringing time before the phone is picked up, seconds."""
        self.refuses_with = ""
        """Status line to refuse calls with, such as '486 Busy Here'; empty accepts."""
        self.refuses_holds_with = ""
        """The same for the other side's re-INVITEs."""
        self.line = Line.IDLE
        self.ear = Ear(keep_audio_s=keep_audio_s)
        self.caller = ""
        """From value of the last call received."""
        self.invite: Message | None = None
        """The INVITE that began the last call received, with all its headers."""
        self.progress = Progress()
        """How the last call placed went before its final answer."""
        self.answered_at: float | None = None
        self.calls = 0
        self.call_up: Call | None = None
        self._bank = bank
        self._pick_up: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def uri(self) -> str:
        """Return the URI to call this phone at."""
        return f"sip:{self.name}@{self._bank.host}:{self._bank.port}"

    @property
    def is_up(self) -> bool:
        """Tell whether a call is up."""
        return self.line is Line.UP

    @property
    def direction(self) -> Direction | None:
        """Return which way audio flows as last agreed, None without a call."""
        agreed = self.call_up.agreed if self.call_up else None
        return agreed.direction if agreed else None

    @property
    def packets_sent(self) -> int:
        """Return how many RTP packets this call has sent."""
        return self.call_up.packets_sent if self.call_up else 0

    # What tests and benchmarks do with a phone.

    async def until(self, line: Line, *, timeout_s: float = 10.0) -> None:
        """Wait until the line is in that state; TimeoutError if it takes too long."""
        async with asyncio.timeout(timeout_s):
            while self.line is not line:
                self._changed.clear()
                await self._changed.wait()

    async def until_up(self, *, timeout_s: float = 10.0) -> None:
        """Wait until a call is up."""
        await self.until(Line.UP, timeout_s=timeout_s)

    async def until_loud(
        self, after: float, *, timeout_s: float = 10.0, louder_than: float = LOUD
    ) -> float:
        """Wait for audio louder than comfort noise after the moment *after*; return its arrival."""
        async with asyncio.timeout(timeout_s):
            while True:
                heard = self.ear.first_loud_after(after, louder_than=louder_than)
                if heard is not None:
                    return heard
                # Polled frame by frame: waking on each packet would cost every phone.
                await asyncio.sleep(FRAME_S)

    async def hang_up(self) -> int:
        """End the call with a BYE and return the status that got, 0 if no answer came."""
        call = self._in_call()
        self.call_up = None
        try:
            self._over("hung_up")
            return await call.bye()
        finally:
            call.close()

    def go_silent(self) -> None:
        """Send no more RTP, as when the network cable is pulled; the call stays up."""
        call = self._in_call()
        call.is_muted = True
        call.apply()

    def speak_again(self) -> None:
        """Send RTP again."""
        call = self._in_call()
        call.is_muted = False
        call.apply()

    async def hold(self, direction: Direction = Direction.SENDONLY) -> None:
        """Put the other side on hold by re-INVITE."""
        await self._in_call().reinvite(direction)
        self._tell("held", direction.value)

    async def resume(self) -> None:
        """Take the other side off hold."""
        await self._in_call().reinvite(Direction.SENDRECV)
        self._tell("resumed")

    async def press(self, digits: str) -> None:
        """Send DTMF digits (RFC 4733) and wait until they are out."""
        await self._in_call().press(digits)

    async def call(self, target: str, wish: Wish | None = None) -> Message:
        """Call a SIP URI and return its 200; RefusedError carries any other final answer."""
        if self.line is not Line.IDLE:
            message = f"{self.name} is {self.line}: it cannot call"
            raise PhoneError(message)
        self._set(Line.CALLING)
        self.ear.forget()
        self.progress = Progress()
        self.call_up = self._new_call(Dialog.calling(self.uri, target))
        try:
            answer = await invite(self.call_up, wish or Wish(), self.progress)
        except RequestTimeoutError as error:
            self._over("failed")
            raise PhoneError(str(error)) from error
        except BaseException:
            self._over("failed")
            raise
        self._up()
        return answer

    def report(self) -> dict[str, object]:
        """Return the phone's state and what it heard, for a person or a script to read."""
        now = time.time()
        since = self.answered_at or now
        return {
            "phone": self.name,
            "line": self.line.value,
            "direction": self.direction.value if self.direction else None,
            "up_s": round(now - since, 2) if self.is_up else 0.0,
            "frames": self.ear.total,
            "delivered": round(self.ear.delivery(since, now).ratio, 4) if self.is_up else None,
            "lost": self.ear.lost,
            "gaps": len(self.ear.gaps(since, now)) if self.is_up else 0,
            "level": round(self.ear.mean_level(now - 1.0, now), 1),
            "digits": "".join(digit for _, digit in self.ear.digits),
            "sent": self.packets_sent,
        }

    # What the wire does with a phone; called by the bank.

    def is_in(self, call_id: str, tag: str) -> bool:
        """Tell whether the phone's call is that dialog."""
        call = self.call_up
        return call is not None and (call.dialog.call_id, call.dialog.local_tag) == (call_id, tag)

    def is_invited_by(self, cancel: Message) -> bool:
        """Tell whether *cancel* means the INVITE of the phone's call."""
        received = self.call_up.invite if self.call_up else None
        return received is not None and received.branch == cancel.branch

    def serve(self, request: Message, source: Address) -> None:
        """Serve one request addressed to this phone or its call."""
        endpoint = self._bank.endpoint
        match request.method:
            case "INVITE" if not request.tag("to"):
                self._serve_invite(request, source)
            case "INVITE" if self.call_up is not None:
                self.call_up.serve_reinvite(request, source, self.refuses_holds_with)
            case "ACK" if self.call_up is not None:
                self.call_up.serve_ack(request)
            case "ACK":
                pass
            case "BYE":
                endpoint.answer(request, request.reply("200 OK", ""), source)
                self._over("ended")
            case "REFER":
                endpoint.answer(request, request.reply("603 Decline", ""), source)
            case _:
                endpoint.answer(request, request.reply("200 OK", "", ALLOW), source)

    def serve_cancel(self, request: Message, source: Address) -> None:
        """Stop ringing; a call already answered goes on."""
        call = self.call_up
        tag = call.dialog.local_tag if call else ""
        self._bank.endpoint.answer(request, request.reply("200 OK", tag), source)
        if self.line is Line.RINGING and call is not None:
            call.terminate()
            self._over("cancelled")

    def drop(self) -> None:
        """Forget the call without a word on the wire."""
        if self.line is not Line.IDLE:
            self._over("dropped")

    def _serve_invite(self, request: Message, source: Address) -> None:
        self._tell("invited")
        self.invite, self.caller = request, request.header("from")
        if self.line is not Line.IDLE or self.refuses_with:
            self._refuse(request, source, self.refuses_with or "486 Busy Here")
            return
        call = self._new_call(Dialog.called(request))
        try:
            call.serve_invite(request, source)
        except (sdp.NoCommonCodecError, ValueError, IndexError):
            call.close()
            self._refuse(request, source, "488 Not Acceptable Here")
            return
        self.call_up = call
        self.calls += 1
        self._set(Line.RINGING)
        call.ring()
        if self.answers:
            self._pick_up = asyncio.create_task(
                self._answer(call), name=f"siplab-answer-{self.name}"
            )

    def _refuse(self, request: Message, source: Address, status: str) -> None:
        self._bank.endpoint.answer(request, request.reply(status, "refused"), source)
        self._tell("refused", status)

    async def _answer(self, call: Call) -> None:
        """Pick up after the ringing time."""
        if self.answer_after > 0:
            await asyncio.sleep(self.answer_after)
        if self.line is Line.RINGING and self.call_up is call:
            call.accept()
            self._up()

    # Inner workings.

    def _new_call(self, dialog: Dialog) -> Call:
        return Call(
            self._bank.endpoint,
            self._bank.metronome,
            dialog,
            self.ear,
            contact=self.uri,
            payload_types=self._bank.payload_types,
            frames_for=lambda payload_type: self._bank.frames(self, payload_type),
        )

    def _in_call(self) -> Call:
        if self.call_up is None or not self.is_up:
            message = f"{self.name} has no call"
            raise PhoneError(message)
        return self.call_up

    def _up(self) -> None:
        self.ear.forget()
        self.answered_at = time.time()
        self._set(Line.UP)
        self._tell("answered")

    def _over(self, how: str) -> None:
        """Lay the phone down; what it heard stays readable until the next call."""
        if self._pick_up is not None:
            self._pick_up.cancel()
        if self.call_up is not None:
            self.call_up.close()
        self._pick_up = self.call_up = None
        self._set(Line.IDLE)
        self._tell(how)

    def _set(self, line: Line) -> None:
        self.line = line
        self._changed.set()

    def _tell(self, what: str, detail: str = "") -> None:
        self._bank.tell(PhoneEvent(time.time(), self.name, what, detail))


async def hang_up_all(phones: list[Phone]) -> None:
    """Hang up every phone that is up, all at once."""
    up = [phone.hang_up() for phone in phones if phone.is_up]
    with contextlib.suppress(TimeoutError):
        await asyncio.gather(*up, return_exceptions=True)
