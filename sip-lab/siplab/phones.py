"""Agent phones: many software phones behind one UDP port, named by the user part of their URI.

A phone answers, stays up, sends a quiet tone of its own and notes every RTP packet it hears. Tests
make it refuse, ignore, go silent, hold, hang up, press digits or call in.

    async with PhoneBank(5) as bank:
        phone = bank["agent1"]          # sip:agent1@127.0.0.1:PORT
        await phone.until_up(timeout_s=10)
        heard = phone.ear.first_loud_after(moment)

Errors: ``PhoneError`` (a call failed or there is none to act on).
"""

import asyncio
import contextlib
import enum
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from siplab import digest, sdp
from siplab.dialog import Dialog
from siplab.ear import FRAME_S, Ear
from siplab.endpoint import Address, Endpoint, RequestTimeoutError
from siplab.message import Message, address_of
from siplab.mouth import Mouth, tone_frames
from siplab.rtp import Metronome, RtpPort
from siplab.sdp import Direction

_ALLOW = ("allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO")
_LOWEST_TONE_HZ = 300
_TONES = 40
_TONE_STEP_HZ = 17
_BYE_TIMEOUT_S = 4.0
_KEPT_HISTORY = 1000


class PhoneError(RuntimeError):
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
    side), failed."""
    detail: str = ""


class Phone:
    """One phone; made by its bank."""

    def __init__(self, name: str, bank: "PhoneBank", tone_hz: int) -> None:
        """Lie on the hook."""
        self.name = name
        self.tone_hz = tone_hz
        self.answers = True
        """False: ring until the caller gives up."""
        self.answer_after = 0.0
        """Ringing time before the phone is picked up, seconds."""
        self.refuses_with = ""
        """Status line to refuse calls with, such as '486 Busy Here'; empty accepts."""
        self.line = Line.IDLE
        self.ear = Ear(keep_audio_s=bank.keep_audio_s)
        self.dialog: Dialog | None = None
        self.caller: str = ""
        """From value of the last call."""
        self.answered_at: float | None = None
        self.invite: Message | None = None
        """The INVITE of the current call, with all its headers."""
        self.calls = 0
        self._bank = bank
        self._source: Address = ("", 0)
        self._rtp: RtpPort | None = None
        self._offered: sdp.Description | None = None
        self._agreed: sdp.Description | None = None
        self._mouth_silent = False
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
        return self._agreed.direction if self._agreed else None

    @property
    def packets_sent(self) -> int:
        """Return how many RTP packets this call has sent."""
        return self._rtp.mouth.sent if self._rtp and self._rtp.mouth else 0

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

    async def until_loud(self, after: float, *, timeout_s: float = 10.0) -> float:
        """Wait for audio louder than comfort noise after the moment *after*; return its arrival."""
        async with asyncio.timeout(timeout_s):
            while (heard := self.ear.first_loud_after(after)) is None:
                await asyncio.sleep(FRAME_S)
            return heard

    async def hang_up(self) -> None:
        """End the call with a BYE; PhoneError if there is none."""
        dialog = self._in_call()
        request = dialog.request(self._bank.endpoint, "BYE", self.uri)
        destination = dialog.destination()
        self._over("hung_up")
        with contextlib.suppress(RequestTimeoutError):
            await self._bank.endpoint.request(request, destination, timeout_s=_BYE_TIMEOUT_S)

    def go_silent(self) -> None:
        """Send no more RTP, as when the network cable is pulled; the call stays up."""
        self._mouth_silent = True
        self._apply()

    def speak_again(self) -> None:
        """Send RTP again."""
        self._mouth_silent = False
        self._apply()

    async def hold(self, direction: Direction = Direction.SENDONLY) -> None:
        """Put the other side on hold by re-INVITE."""
        await self._reinvite(direction)
        self._tell("held", direction.value)

    async def resume(self) -> None:
        """Take the other side off hold."""
        await self._reinvite(Direction.SENDRECV)
        self._tell("resumed")

    async def press(self, digits: str) -> None:
        """Send DTMF digits (RFC 4733) and wait until they are out."""
        self._in_call()
        mouth = self._rtp.mouth if self._rtp else None
        if mouth is None or mouth.event_type is None:
            message = f"{self.name} cannot send digits: telephone-event was not agreed"
            raise PhoneError(message)
        mouth.press(digits)
        while mouth.is_pressing and self.is_up:
            await asyncio.sleep(FRAME_S)

    async def call(
        self,
        target: str,
        *,
        username: str = "",
        password: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        """Call a SIP URI and return once it is answered; PhoneError with the status if it is not."""
        if self.line is not Line.IDLE:
            message = f"{self.name} is {self.line}: it cannot call"
            raise PhoneError(message)
        self._set(Line.CALLING)
        rtp = self._open_rtp()
        self.dialog = dialog = Dialog.calling(self.uri, target)
        offer = sdp.offer(self._bank.host, rtp.port)
        extra: tuple[tuple[str, str], ...] = ()
        try:
            for _ in range(2):
                answer = await self._ask(dialog, offer, extra, timeout_s)
                if answer.status not in (401, 407) or extra or not username:
                    break
                challenged = answer.header("www-authenticate")
                name = "authorization" if challenged else "proxy-authorization"
                challenge = challenged or answer.header("proxy-authenticate")
                value = digest.authorization(challenge, "INVITE", target, username, password)
                extra = ((name, value),)
            if answer.status >= 300:  # noqa: PLR2004 - RFC 3261 7.2
                message = f"{self.name}: call refused with {answer.status} {answer.reason}"
                raise PhoneError(message)
            self._agree(sdp.parse(answer.body), offer)
        except BaseException:
            self._over("failed")
            raise
        self._up()

    def report(self) -> dict[str, object]:
        """Return the phone's state and what it heard, for a person or a script to read."""
        now = time.time()
        since = self.answered_at or now
        delivery = self.ear.delivery(since, now)
        return {
            "phone": self.name,
            "line": self.line.value,
            "direction": self.direction.value if self.direction else None,
            "up_s": round(now - since, 2),
            "frames": self.ear.total,
            "delivered": round(delivery.ratio, 4),
            "lost": self.ear.lost,
            "gaps": len(self.ear.gaps(since, now)) if self.answered_at else 0,
            "level": round(self.ear.mean_level(now - 1.0, now), 1),
            "digits": "".join(digit for _, digit in self.ear.digits),
            "sent": self.packets_sent,
        }

    # What the wire does with a phone; called by the bank.

    def serve(self, request: Message, source: Address) -> None:
        """Serve one request addressed to this phone or its call."""
        match request.method:
            case "INVITE" if request.tag("to"):
                self._serve_reinvite(request, source)
            case "INVITE":
                self._serve_invite(request, source)
            case "ACK":
                self._serve_ack(request)
            case "BYE":
                self._bank.endpoint.answer(request, request.reply("200 OK", ""), source)
                self._over("ended")
            case "REFER":
                self._bank.endpoint.answer(request, request.reply("603 Decline", ""), source)
            case _:
                self._bank.endpoint.answer(request, request.reply("200 OK", "", _ALLOW), source)

    def serve_cancel(self, request: Message, source: Address) -> None:
        """Stop ringing."""
        tag = self.dialog.local_tag if self.dialog else ""
        self._bank.endpoint.answer(request, request.reply("200 OK", tag), source)
        if self.line is Line.RINGING and self.invite is not None:
            invite, dialog = self.invite, self.dialog
            terminated = invite.reply("487 Request Terminated", dialog.local_tag if dialog else "")
            self._bank.endpoint.answer(invite, terminated, self._source)
            self._over("cancelled")

    def close(self) -> None:
        """Drop everything, without a word on the wire."""
        if self.line is not Line.IDLE:
            self._over("dropped")

    def _serve_invite(self, request: Message, source: Address) -> None:
        self._tell("invited")
        endpoint = self._bank.endpoint
        dialog = Dialog.called(request)
        if self.line is not Line.IDLE or self.refuses_with:
            status = self.refuses_with or "486 Busy Here"
            endpoint.answer(request, request.reply(status, dialog.local_tag), source)
            self._tell("refused", status)
            return
        try:
            self._offered = sdp.parse(request.body) if request.body.strip() else None
        except (sdp.NoCommonCodecError, ValueError, IndexError):
            status = "488 Not Acceptable Here"
            endpoint.answer(request, request.reply(status, dialog.local_tag), source)
            self._tell("refused", status)
            return
        self.dialog, self.invite, self._source = dialog, request, source
        self.caller = request.header("from")
        self.calls += 1
        self._set(Line.RINGING)
        contact = ("contact", f"<{self.uri}>")
        endpoint.answer(request, request.reply("180 Ringing", dialog.local_tag, contact), source)
        if self.answers:
            self._pick_up = asyncio.create_task(self._answer(), name=f"siplab-answer-{self.name}")

    async def _answer(self) -> None:
        """Pick up after the ringing time."""
        if self.answer_after > 0:
            await asyncio.sleep(self.answer_after)
        if self.line is not Line.RINGING or self.invite is None or self.dialog is None:
            return
        rtp = self._open_rtp()
        if self._offered is None:
            ours = sdp.offer(self._bank.host, rtp.port)
        else:
            ours = sdp.answer(self._offered, self._bank.host, rtp.port, self._bank.payload_types)
            self._agree(self._offered, ours)
        self._agreed = ours
        self._send_description(self.invite, ours)
        self._up()

    def _serve_reinvite(self, request: Message, source: Address) -> None:
        dialog, rtp = self.dialog, self._rtp
        if dialog is None or rtp is None:
            return
        dialog.remote_cseq = request.cseq
        if contact := request.header("contact"):
            dialog.target = contact.strip("<>").partition(">")[0]
        self._source = source
        if not request.body.strip():
            ours = sdp.offer(self._bank.host, rtp.port)
        else:
            theirs = sdp.parse(request.body)
            ours = sdp.answer(theirs, self._bank.host, rtp.port, self._bank.payload_types)
            self._agree(theirs, ours)
        self.invite, self._agreed = request, ours
        self._send_description(request, ours)

    def _serve_ack(self, request: Message) -> None:
        if self.invite is None or self.invite.cseq != request.cseq:
            return
        self._bank.endpoint.acknowledged(self.invite)
        if request.body.strip() and self._agreed is not None:
            with contextlib.suppress(sdp.NoCommonCodecError):
                self._agree(sdp.parse(request.body), self._agreed)

    def _send_description(self, invite: Message, ours: sdp.Description) -> None:
        tag = self.dialog.local_tag if self.dialog else ""
        headers = (
            ("contact", f"<{self.uri}>"),
            _ALLOW,
            ("content-type", "application/sdp"),
        )
        body = sdp.encode(ours, self.calls, invite.cseq)
        self._bank.endpoint.answer(
            invite, invite.reply("200 OK", tag, *headers, body=body), self._source
        )

    # Inner workings.

    async def _ask(
        self,
        dialog: Dialog,
        offer: sdp.Description,
        headers: tuple[tuple[str, str], ...],
        timeout_s: float,
    ) -> Message:
        """Send our INVITE and its ACK, and return the final answer."""
        endpoint = self._bank.endpoint
        body = sdp.encode(offer, self.calls, dialog.cseq + 1)
        invite = dialog.request(endpoint, "INVITE", self.uri, *headers, body=body)
        destination = address_of(dialog.target)
        answer = await endpoint.request(invite, destination, timeout_s=timeout_s)
        if answer.status >= 300:  # noqa: PLR2004 - RFC 3261 17.1.1.3: same branch, To as answered
            ack = dialog.request(endpoint, "ACK", self.uri, cseq=invite.cseq)
            ack.headers[0] = ("via", endpoint.via(invite.branch))
            ack.headers = [(n, answer.header("to") if n == "to" else v) for n, v in ack.headers]
            endpoint.send(ack, destination)
            return answer
        dialog.confirm(answer)
        ack = dialog.request(endpoint, "ACK", self.uri, cseq=invite.cseq)
        endpoint.send(ack, dialog.destination())
        return answer

    async def _reinvite(self, direction: Direction) -> None:
        dialog, rtp, agreed = self._in_call(), self._rtp, self._agreed
        if rtp is None or agreed is None:
            message = f"{self.name} has no audio to put on hold"
            raise PhoneError(message)
        endpoint = self._bank.endpoint
        offer = sdp.offer(self._bank.host, rtp.port, direction, agreed.payload_types)
        body = sdp.encode(offer, self.calls, dialog.cseq + 100)
        invite = dialog.request(endpoint, "INVITE", self.uri, body=body)
        answer = await endpoint.request(invite, dialog.destination())
        ack = dialog.request(endpoint, "ACK", self.uri, cseq=invite.cseq)
        if answer.status >= 300:  # noqa: PLR2004 - RFC 3261 17.1.1.3
            ack.headers[0] = ("via", endpoint.via(invite.branch))
        endpoint.send(ack, dialog.destination())
        if answer.status >= 300:  # noqa: PLR2004
            message = f"{self.name}: re-INVITE refused with {answer.status} {answer.reason}"
            raise PhoneError(message)
        self._agree(sdp.parse(answer.body), offer)

    def _agree(self, theirs: sdp.Description, ours: sdp.Description) -> None:
        """Let audio flow as both descriptions say."""
        rtp = self._rtp
        if rtp is None:
            return
        self._agreed = ours
        kind = next((n for n in theirs.payload_types if n in ours.payload_types), 0)
        event_type = theirs.event_type
        rtp.remote = (theirs.host, theirs.port)
        rtp.event_type = ours.event_type
        if rtp.mouth is None or rtp.mouth.payload_type != kind:
            rtp.mouth = Mouth(self._bank.tone(self.tone_hz, kind), kind, event_type)
        self._apply()

    def _apply(self) -> None:
        """Silence or open mouth and ear as the agreement and the test want."""
        rtp, agreed = self._rtp, self._agreed
        if rtp is None or rtp.mouth is None or agreed is None:
            return
        rtp.mouth.is_silent = self._mouth_silent or not agreed.direction.sends

    def _open_rtp(self) -> RtpPort:
        self._rtp = RtpPort(self._bank.host, self.ear)
        return self._rtp

    def _in_call(self) -> Dialog:
        if self.dialog is None or not self.is_up:
            message = f"{self.name} has no call"
            raise PhoneError(message)
        return self.dialog

    def _up(self) -> None:
        self.ear.forget()
        self.answered_at = time.time()
        if self._rtp is not None:
            self._bank.metronome.add(self._rtp)
        self._set(Line.UP)
        self._tell("answered")

    def _over(self, how: str) -> None:
        """Lay the phone down; what it heard stays readable until the next call."""
        if self._pick_up is not None and self._pick_up is not asyncio.current_task():
            self._pick_up.cancel()
        self._pick_up = None
        if self._rtp is not None:
            self._bank.metronome.remove(self._rtp)
            self._rtp.close()
        self._rtp = self._agreed = self._offered = None
        self.dialog = self.invite = None
        self._mouth_silent = False
        self._set(Line.IDLE)
        self._tell(how)

    def _set(self, line: Line) -> None:
        self.line = line
        self._changed.set()

    def _tell(self, what: str, detail: str = "") -> None:
        self._bank.tell(PhoneEvent(time.time(), self.name, what, detail))


class PhoneBank:
    """Phones behind one UDP port."""

    def __init__(
        self,
        count: int,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        prefix: str = "agent",
        keep_audio_s: float = 0.0,
        payload_types: tuple[int, ...] = sdp.G711_TYPES,
        on_event: Callable[[PhoneEvent], None] | None = None,
    ) -> None:
        """Prepare *count* phones named prefix1, prefix2, … on *port* (0: a free one)."""
        self.host, self.port = host, port
        self.keep_audio_s = keep_audio_s
        self.payload_types = payload_types
        self.history: list[PhoneEvent] = []
        self.metronome = Metronome()
        self._on_event = on_event
        self._names = [f"{prefix}{number}" for number in range(1, count + 1)]
        self._phones: dict[str, Phone] = {}
        self._endpoint: Endpoint | None = None
        self._tones: dict[tuple[int, int], list[bytes]] = {}

    @property
    def endpoint(self) -> Endpoint:
        """Return the SIP port; PhoneError before the start."""
        if self._endpoint is None:
            message = "the phones are not started"
            raise PhoneError(message)
        return self._endpoint

    def __getitem__(self, name: str) -> Phone:
        """Return a phone by name."""
        return self._phones[name]

    def __iter__(self) -> Iterator[Phone]:
        """Yield all phones in order."""
        return iter(self._phones.values())

    def __len__(self) -> int:
        """Return how many phones there are."""
        return len(self._phones)

    async def start(self) -> None:
        """Bind the port; OSError if it is in use."""
        self._endpoint = Endpoint(self._serve)
        await self._endpoint.open(self.host, self.port)
        self.host, self.port = self._endpoint.host, self._endpoint.port
        for index, name in enumerate(self._names):
            tone_hz = _LOWEST_TONE_HZ + _TONE_STEP_HZ * (index % _TONES)
            self._phones[name] = Phone(name, self, tone_hz)
        self.metronome.start()

    async def stop(self, *, hang_up: bool = True) -> None:
        """Hang up what is up, unless told to vanish, and let go of all ports."""
        if hang_up:
            up = [phone.hang_up() for phone in self if phone.is_up]
            await asyncio.gather(*up, return_exceptions=True)
        for phone in self:
            phone.close()
        await self.metronome.stop()
        if self._endpoint is not None:
            self._endpoint.close()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    def tone(self, frequency: int, payload_type: int) -> list[bytes]:
        """Return a tone's payloads, shared by the phones that send it."""
        key = (frequency, payload_type)
        if key not in self._tones:
            self._tones[key] = tone_frames(frequency, payload_type)
        return self._tones[key]

    def tell(self, event: PhoneEvent) -> None:
        """Note an event and pass it on."""
        self.history.append(event)
        if len(self.history) > _KEPT_HISTORY * max(1, len(self)):
            del self.history[: len(self.history) // 2]
        if self._on_event is not None:
            self._on_event(event)

    def _serve(self, request: Message, source: Address) -> None:
        """Hand a request to the phone it is for."""
        in_call = request.tag("to")
        if request.method == "CANCEL":
            ringing = (p for p in self if p.invite and p.invite.branch == request.branch)
            if phone := next(ringing, None):
                phone.serve_cancel(request, source)
                return
        elif in_call:
            for phone in self:
                if phone.dialog is not None and phone.dialog.call_id == request.call_id:
                    phone.serve(request, source)
                    return
        elif request.method == "OPTIONS":
            self.endpoint.answer(request, request.reply("200 OK", "options", _ALLOW), source)
            return
        else:
            user = request.uri.partition(":")[2].partition("@")[0]
            if (found := self._phones.get(user)) is not None:
                found.serve(request, source)
                return
        if request.method == "ACK":
            return
        status = "404 Not Found" if not in_call else "481 Call/Transaction Does Not Exist"
        self.endpoint.answer(request, request.reply(status, "nobody"), source)


def event_line(event: PhoneEvent) -> str:
    """Return an event as one line of JSON."""
    fields = {"at": round(event.at, 6), "phone": event.phone, "event": event.what}
    return json.dumps({**fields, "detail": event.detail} if event.detail else fields)
