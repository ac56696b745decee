"""Agent phones: many software phones behind one UDP port, named by the user part of their URI.

A phone answers, stays up, sends a quiet tone of its own and notes every RTP packet it hears. Tests
make it refuse, ignore, go silent, hold, hang up, press digits or call in.

    async with PhoneBank(5) as bank:
        phone = bank["agent1"]          # sip:agent1@127.0.0.1:PORT
        await phone.until_up(timeout_s=10)
        heard = phone.ear.first_loud_after(moment)

With names that are telephone numbers a bank also stands in for a carrier whose customers listen,
which SIPp's cannot: ``PhoneBank(names=("+12125550101",))``.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from siplab import mouth, sdp, speech
from siplab.call import ALLOW, CallError
from siplab.endpoint import Address, Endpoint
from siplab.message import Message
from siplab.outgoing import RefusedError, Wish
from siplab.phone import Line, Phone, PhoneError, PhoneEvent, hang_up_all
from siplab.rtp import Metronome

__all__ = [
    "CallError",
    "Line",
    "Phone",
    "PhoneBank",
    "PhoneError",
    "PhoneEvent",
    "RefusedError",
    "Wish",
    "event_line",
]

_LOWEST_TONE_HZ = 300
_TONES = 40
_TONE_STEP_HZ = 17
_KEPT_EVENTS_PER_PHONE = 1000


class PhoneBank:
    """Phones behind one UDP port."""

    def __init__(
        self,
        count: int = 0,
        *,
        names: Sequence[str] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        prefix: str = "agent",
        keep_audio_s: float = 0.0,
        payload_types: tuple[int, ...] = sdp.G711_TYPES,
        on_event: Callable[[PhoneEvent], None] | None = None,
    ) -> None:
        """Prepare phones named prefix1, prefix2, … or as given, on *port* (0: a free one)."""
        self.host, self.port = host, port
        self.payload_types = payload_types
        self.history: list[PhoneEvent] = []
        self.metronome = Metronome()
        self._keep_audio_s = keep_audio_s
        self._on_event = on_event
        self._names = [*names, *(f"{prefix}{number}" for number in range(1, count + 1))]
        self._phones: dict[str, Phone] = {}
        self._endpoint: Endpoint | None = None
        self._said: dict[tuple[str, int, int], list[bytes]] = {}

    @property
    def endpoint(self) -> Endpoint:
        """Return the SIP port; PhoneError before the start."""
        if self._endpoint is None:
            message = "the phones are not started"
            raise PhoneError(message)
        return self._endpoint

    def __getitem__(self, name: str) -> Phone:
        """Return a phone by name; KeyError if there is none."""
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
            self._phones[name] = Phone(name, self, tone_hz=tone_hz, keep_audio_s=self._keep_audio_s)
        self.metronome.start()

    async def stop(self) -> None:
        """Hang up what is up and let go of all ports."""
        await hang_up_all(list(self))
        await self.vanish()

    async def vanish(self) -> None:
        """Let go of all ports without a word on the wire, as in a power cut."""
        for phone in self:
            phone.drop()
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

    def frames(self, phone: Phone, payload_type: int) -> list[bytes]:
        """Return what a phone says, made once for all phones that say the same."""
        key = (phone.sound, 0 if phone.sound else phone.tone_hz, payload_type)
        if key not in self._said:
            self._said[key] = (
                mouth.sound_frames(speech.load(phone.sound, payload_type))
                if phone.sound
                else mouth.tone_frames(phone.tone_hz, payload_type)
            )
        return self._said[key]

    def tell(self, event: PhoneEvent) -> None:
        """Note an event and pass it on."""
        self.history.append(event)
        if len(self.history) > _KEPT_EVENTS_PER_PHONE * max(1, len(self)):
            del self.history[: len(self.history) // 2]
        if self._on_event is not None:
            self._on_event(event)

    def _serve(self, request: Message, source: Address) -> None:
        """Hand a request to the phone it is for."""
        phone = self._phone_for(request)
        if request.method == "CANCEL" and phone is not None:
            phone.serve_cancel(request, source)
        elif phone is not None:
            phone.serve(request, source)
        elif request.method == "OPTIONS" and not request.tag("to"):
            self.endpoint.answer(request, request.reply("200 OK", "options", ALLOW), source)
        elif request.method != "ACK":
            in_call = request.tag("to") or request.method == "CANCEL"
            status = "481 Call/Transaction Does Not Exist" if in_call else "404 Not Found"
            self.endpoint.answer(request, request.reply(status, "nobody"), source)

    def _phone_for(self, request: Message) -> Phone | None:
        """Return the phone whose call or name the request means."""
        # By tag and branch, not Call-ID alone: two phones of one bank may be in the same call.
        if request.method == "CANCEL":
            return next((phone for phone in self if phone.is_invited_by(request)), None)
        if tag := request.tag("to"):
            return next((phone for phone in self if phone.is_in(request.call_id, tag)), None)
        return self._phones.get(request.uri.partition(":")[2].partition("@")[0])


def event_line(event: PhoneEvent) -> str:
    """Return an event as one line of JSON."""
    fields = {"at": round(event.at, 6), "phone": event.phone, "event": event.what}
    return json.dumps({**fields, "detail": event.detail} if event.detail else fields)
