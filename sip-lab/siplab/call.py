"""One call at a phone: its dialog, its audio, and what either side may do while it is up.

Errors: ``CallError`` (the other side refused a request within the call, or there is no audio).
"""

import asyncio
import contextlib
from collections.abc import Callable

from siplab import sdp
from siplab.dialog import Dialog
from siplab.ear import FRAME_S, Ear
from siplab.endpoint import Address, Endpoint, RequestTimeoutError
from siplab.message import Message, uri_of
from siplab.mouth import Mouth
from siplab.rtp import Metronome, RtpPort
from siplab.sdp import Description, Direction

ALLOW = ("allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO")
_BYE_TIMEOUT_S = 4.0


class CallError(RuntimeError):
    """The call could not do what it was asked; the message says why."""


class Call:
    """The state of one call, from its INVITE on."""

    def __init__(
        self,
        endpoint: Endpoint,
        metronome: Metronome,
        dialog: Dialog,
        ear: Ear,
        *,
        contact: str,
        payload_types: tuple[int, ...],
        frames_for: Callable[[int], list[bytes]],
    ) -> None:
        """Open the RTP ports; *frames_for* gives what to say in a payload type."""
        self.endpoint = endpoint
        self.dialog = dialog
        self.contact = contact
        self.payload_types = payload_types
        self.agreed: Description | None = None
        """Our side of the description as last agreed."""
        self.invite: Message | None = None
        """The last INVITE received within this call."""
        self.is_muted = False
        self._metronome = metronome
        self._frames_for = frames_for
        self._source: Address = ("", 0)
        self._offered: Description | None = None
        self._version = 0
        self._rtp = RtpPort(endpoint.host, ear)

    @property
    def packets_sent(self) -> int:
        """Return how many RTP packets went out."""
        return self._rtp.mouth.sent if self._rtp.mouth else 0

    @property
    def remote_rtp(self) -> Address | None:
        """Return where our RTP goes, None before an agreement."""
        return self._rtp.remote

    # Audio.

    def offer(self, direction: Direction = Direction.SENDRECV) -> Description:
        """Return a description of ours to offer."""
        return sdp.offer(self.endpoint.host, self._rtp.port, direction, self.payload_types)

    def encode(self, description: Description) -> str:
        """Return a description's body, each newer than the last."""
        self._version += 1
        return sdp.encode(description, self._rtp.port, self._version)

    def agree(self, theirs: Description, ours: Description) -> None:
        """Let audio flow as both descriptions say."""
        self.agreed = ours
        kind = next((n for n in theirs.payload_types if n in ours.payload_types), 0)
        self._rtp.remote = (theirs.host, theirs.port)
        self._rtp.event_type = ours.event_type
        if self._rtp.mouth is None or self._rtp.mouth.payload_type != kind:
            self._rtp.mouth = Mouth(self._frames_for(kind), kind, theirs.event_type)
        self.apply()
        self._metronome.add(self._rtp)

    def apply(self) -> None:
        """Silence or open the mouth as the agreement and the mute want it."""
        if self._rtp.mouth is not None and self.agreed is not None:
            self._rtp.mouth.is_silent = self.is_muted or not self.agreed.direction.sends

    async def press(self, digits: str) -> None:
        """Send DTMF digits and wait until they are out."""
        mouth = self._rtp.mouth
        if mouth is None or mouth.event_type is None:
            message = "digits cannot be sent: telephone-event was not agreed"
            raise CallError(message)
        mouth.press(digits)
        while mouth.is_pressing and not mouth.is_silent:  # noqa: ASYNC110 - goes frame by frame
            await asyncio.sleep(FRAME_S)

    def close(self) -> None:
        """Give the RTP ports back."""
        self._metronome.remove(self._rtp)
        self._rtp.close()

    # Requests of ours.

    async def bye(self) -> int:
        """Send BYE and return the status it got, 0 if none came."""
        request = self.dialog.request(self.endpoint, "BYE", self.contact)
        try:
            answer = await self.endpoint.request(
                request, self.dialog.destination(), timeout_s=_BYE_TIMEOUT_S
            )
        except RequestTimeoutError:
            return 0
        return answer.status

    async def reinvite(self, direction: Direction) -> None:
        """Change which way audio flows; CallError if the other side refuses."""
        ours = self.offer(direction)
        body = self.encode(ours)
        invite = self.dialog.request(self.endpoint, "INVITE", self.contact, body=body)
        answer = await self.endpoint.request(invite, self.dialog.destination())
        self.acknowledge(invite, answer)
        if answer.status >= 300:
            message = f"re-INVITE refused with {answer.status} {answer.reason}"
            raise CallError(message)
        self.agree(sdp.parse(answer.body), ours)

    def acknowledge(self, invite: Message, answer: Message) -> None:
        """Send the ACK to the final answer of an INVITE of ours (RFC 3261 13.2.2.4, 17.1.1.3)."""
        if answer.status < 300:
            ack = self.dialog.request(self.endpoint, "ACK", self.contact, cseq=invite.cseq)
            self.endpoint.send(ack, self.dialog.destination())
            return
        kept = [(n, v) for n, v in invite.headers if n in ("via", "from", "call-id", "route")]
        kept += [("to", answer.header("to")), ("cseq", f"{invite.cseq} ACK")]
        ack = Message(f"ACK {invite.uri} SIP/2.0", [*kept, ("max-forwards", "70")])
        self.endpoint.send(ack, self.dialog.destination())

    # Requests of the other side.

    def serve_invite(self, invite: Message, source: Address) -> None:
        """Take the INVITE that begins the call; NoCommonCodecError if its offer is none of ours."""
        self._offered = sdp.parse(invite.body) if invite.body.strip() else None
        if self._offered is not None:
            sdp.answer(self._offered, self.endpoint.host, self._rtp.port, self.payload_types)
        self.invite, self._source = invite, source

    def ring(self) -> None:
        """Answer 180."""
        self._answer("180 Ringing", ("contact", f"<{self.contact}>"))

    def accept(self) -> None:
        """Answer 200 with our description."""
        if self._offered is None:
            ours = self.agreed = self.offer()
        else:
            host, port = self.endpoint.host, self._rtp.port
            ours = sdp.answer(self._offered, host, port, self.payload_types)
            self.agree(self._offered, ours)
        headers = (("contact", f"<{self.contact}>"), ALLOW, ("content-type", "application/sdp"))
        self._answer("200 OK", *headers, body=self.encode(ours))

    def terminate(self) -> None:
        """Answer 487 to the INVITE that was cancelled."""
        self._answer("487 Request Terminated")

    def serve_reinvite(self, invite: Message, source: Address, refusal: str = "") -> None:
        """Agree to the other side's new description, unless there is a *refusal* to send."""
        if refusal:
            self._refuse(invite, source, refusal)
            return
        if contact := invite.header("contact"):
            self.dialog.target = uri_of(contact)
        try:
            self.serve_invite(invite, source)
        except (sdp.NoCommonCodecError, ValueError, IndexError):
            self._refuse(invite, source, "488 Not Acceptable Here")
            return
        self.accept()

    def _refuse(self, invite: Message, source: Address, status: str) -> None:
        """Refuse a re-INVITE; its ACK belongs to the transaction, not to the call."""
        answer = invite.reply(status, self.dialog.local_tag)
        self.endpoint.answer(invite, answer, source)

    def serve_ack(self, ack: Message) -> None:
        """Stop repeating our answer; take a description that comes only now."""
        if self.invite is None or self.invite.cseq != ack.cseq:
            return
        self.endpoint.acknowledged(self.invite)
        if ack.body.strip() and self.agreed is not None:
            with contextlib.suppress(sdp.NoCommonCodecError, ValueError, IndexError):
                self.agree(sdp.parse(ack.body), self.agreed)

    def _answer(self, status: str, *headers: tuple[str, str], body: str = "") -> None:
        if self.invite is not None:
            answer = self.invite.reply(status, self.dialog.local_tag, *headers, body=body)
            self.endpoint.answer(self.invite, answer, self._source)
