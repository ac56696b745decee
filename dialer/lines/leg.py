"""One SIP leg: a pjsua2 call that reports to its owner and remembers its dialog.

Callbacks run inside `libHandleEvents` on the one thread; they never raise into PJSIP, which would
end the process, and never do more than tell the owner.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Protocol

import pjsua2 as pj
import structlog

from dialer.lines.dialog import Dialog
from dialer.lines.offer import restrict
from dialer.lines.outcome import Ending, q850_cause

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

DECLINE = 603
_RINGING = (180, 189)
_RETRY_AFTER = re.compile("retry-after", re.IGNORECASE)
_OK = 200
_FINAL = 300
_FAILURE = 400
# What PJSIP answers with another INVITE: two challenges and a session interval (RFC 4028 §7.3).
_TRIED_AGAIN = frozenset({401, 407, 422})
CANCEL_GIVE_UP_S = 4.0
# How PJSIP sums up a message: "Response msg 486/INVITE/cseq=7 (rdata0x…)".
_INVITE_ANSWER = "/INVITE/"


class LegOwner(Protocol):
    """Who is told what happens on a leg. All times are `time.monotonic()` seconds."""

    def leg_progressed(self, leg: Leg) -> None:
        """A 180 or 183 came; called once."""

    def leg_answered(self, leg: Leg) -> None:
        """The far side answered (2xx and ACK)."""

    def leg_media(self, leg: Leg) -> None:
        """Audio became active or changed; `leg.audio` and `leg.on_hold` say how."""

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """The leg is over; called once."""

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """The far side pressed a key."""


class _Nobody:
    """The owner of a leg that nobody cares about any more. Implements `LegOwner`."""

    def leg_progressed(self, leg: Leg) -> None:
        """Nothing."""

    def leg_answered(self, leg: Leg) -> None:
        """Nothing."""

    def leg_media(self, leg: Leg) -> None:
        """Nothing."""

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Nothing."""

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Nothing."""


class Leg(pj.Call):
    """A call of pjsua2; when it has ended, `dialer.lines.retired` says when it may go."""

    def __init__(
        self, account: pj.Account, owner: LegOwner, *, transport: str, call_id: int = -1
    ) -> None:
        if call_id == -1:
            super().__init__(account)
        else:
            super().__init__(account, call_id)
        self.owner: LegOwner = owner
        self.transport = transport
        self.codecs: tuple[str, ...] = ()
        self.ptime_ms = 20
        self.audio: pj.AudioMedia | None = None
        self.on_hold = False
        self.rang = False
        self.provisional = False
        self.answered = False
        self.ended = False
        self.ring_timeout = False
        self.cancelled = False
        self.hung_up = False
        self.retry_after_s: float | None = None
        self.progressed_at: float | None = None
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self._final_code: int | None = None
        self._final_text = ""
        self._giving_up: asyncio.TimerHandle | None = None
        self._dialog: Dialog | None = None
        self._invite = ""
        self._invited = ""
        self._peer = ""

    # What we do to the leg --------------------------------------------------------------------

    def dial(
        self,
        uri: str,
        *,
        call_id: str = "",
        local_uri: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send the INVITE; raises `pj.Error` when PJSIP refuses (no capacity, bad URI)."""
        params = pj.CallOpParam(True)  # noqa: FBT003 - pjsua2 takes it by position
        setting = params.opt
        setting.audioCount = 1
        setting.videoCount = 0
        setting.textCount = 0
        if call_id:
            setting.customCallId = call_id
        if local_uri:
            params.txOption.localUri = local_uri
        for name, value in (headers or {}).items():
            header = pj.SipHeader()
            header.hName = name
            header.hValue = value
            params.txOption.headers.push_back(header)
        self.makeCall(uri, params)

    def invited(self, invite: str, *, peer: str) -> None:
        """Keep the INVITE that made this leg, from "host:port" *peer*."""
        self._invited, self._peer = invite, peer

    def accept(self) -> None:
        """Answer the INVITE that made this leg; raises `pj.Error` when PJSIP refuses."""
        params = pj.CallOpParam(True)  # noqa: FBT003 - pjsua2 takes it by position
        params.statusCode = _OK
        params.opt.audioCount = 1
        params.opt.videoCount = 0
        params.opt.textCount = 0
        self.answer(params)

    def hang_up(self, code: int = 0) -> None:
        """Send BYE, CANCEL or a final answer, as the leg's state asks; harmless when it is over.

        A ringing leg ends when its CANCEL is answered, so that a 200 crossing it is seen; a far
        side that answers neither is given up after `CANCEL_GIVE_UP_S`.
        """
        if self.ended or self.hung_up:
            return
        self.hung_up = True
        self._hang_up_now(code)
        if not self.ended and not self.answered:
            self._giving_up = asyncio.get_running_loop().call_later(
                CANCEL_GIVE_UP_S, self._guarded, self._give_up_cancel
            )

    def _hang_up_now(self, code: int = 0) -> None:
        params = pj.CallOpParam()
        params.statusCode = code
        try:
            self.hangup(params)
        except pj.Error as error:
            log.warning("hang_up_failed", reason=error.reason)

    def _give_up_cancel(self) -> None:
        if not self.ended:
            self._over(0, "CANCEL was not answered")

    def forget(self) -> None:
        """Let go of whoever was told of this leg, which is over."""
        self.owner = _NOBODY
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def received_packets(self) -> int | None:
        """Return how many RTP packets came so far, None when there is no media."""
        if self.audio is None or self.ended:
            return None
        try:
            stat = self.getStreamStat(0)
            return int(stat.rtcp.rxStat.pkt)
        except pj.Error:
            return None

    @property
    def has_dialog(self) -> bool:
        """Say whether there is a dialog to keep: an INVITE was sent, or one was answered."""
        return bool(self._invite) or self._dialog is not None

    @property
    def dialog(self) -> Dialog | None:
        """Return what a BYE or CANCEL needs, None without a dialog to keep.

        Made when first asked for: of a leg that is refused at once nobody asks.
        """
        if self._dialog is None and self._invite:
            self._dialog = Dialog.from_invite(
                self._invite, transport=self.transport, peer=self._peer
            )
        return self._dialog

    # What PJSIP tells -------------------------------------------------------------------------

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        """Follow the INVITE session from calling to confirmed to disconnected."""
        self._guarded(self._state_changed, prm)

    def _state_changed(self, prm: pj.OnCallStateParam) -> None:
        sent_before = bool(self._invite)
        refused = self._read(prm)
        # Asking PJSIP where the call stands is dear, and most calls are sent and refused.
        if refused is not None:
            if not self.ended:
                self._over(*refused)
            return
        if self._invite and not sent_before:
            return
        info = self.getInfo()
        state = info.state
        if state == pj.PJSIP_INV_STATE_EARLY:
            self._early(int(info.lastStatusCode))
        elif state == pj.PJSIP_INV_STATE_CONFIRMED and not self.answered:
            self.answered = True
            self.answered_at = time.monotonic()
            self.owner.leg_answered(self)
            if self.hung_up:
                self._hang_up_now()
        elif state == pj.PJSIP_INV_STATE_DISCONNECTED and not self.ended:
            self._over(int(info.lastStatusCode), str(info.lastReason))

    def _over(self, code: int, reason: str) -> None:
        self.ended = True
        self.ended_at = time.monotonic()
        self.owner.leg_ended(self, self._ending(code, reason))

    def _read(self, prm: pj.OnCallStateParam) -> tuple[int, str] | None:
        """Keep what a BYE or CANCEL will need from the message that moved the session.

        Return code and reason if it was a final no to our INVITE: that session is over.
        """
        event = prm.e
        if event.type != pj.PJSIP_EVENT_TSX_STATE:
            return None
        body = event.body
        state = body.tsxState
        source = state.src
        kind = state.type
        if kind == pj.PJSIP_EVENT_TX_MSG:
            if not self._invite:
                sent = source.tdata
                text = sent.wholeMsg
                if text.startswith("INVITE "):
                    self._invite, self._peer = text, sent.dstAddress
                elif self._invited and text.startswith("SIP/2.0 200"):
                    self._dialog = Dialog.from_incoming(
                        self._invited, text, transport=self.transport, peer=self._peer
                    )
        elif kind == pj.PJSIP_EVENT_RX_MSG:
            received = source.rdata
            text = received.wholeMsg
            if text.startswith("SIP/2.0 "):
                code = int(text[8:11])
                self._response(text, code)
                is_no = code >= _FAILURE and code not in _TRIED_AGAIN and not self.answered
                if is_no and _INVITE_ANSWER in received.info:
                    return code, text[12 : text.find("\n")].rstrip("\r")
            elif text.startswith("BYE "):
                self._final_text = text
        return None

    def _response(self, text: str, code: int) -> None:
        if code >= _FINAL:
            self._final_code = code
            self._final_text = text
            self.retry_after_s = _retry_after(text)
        elif self.dialog is None or self.answered:
            return
        elif code >= _OK:
            self._dialog = self.dialog.answered(text)
        else:
            self._dialog = self.dialog.ringing(text)

    def _early(self, code: int) -> None:
        self.provisional = True
        if not self.rang and _RINGING[0] <= code <= _RINGING[1]:
            self.rang = True
            self.progressed_at = time.monotonic()
            self.owner.leg_progressed(self)

    def _ending(self, code: int, reason: str) -> Ending:
        final_received = self._final_code is not None
        return Ending(
            # PJSIP reports a redirect it was told not to follow as 487.
            # Where nothing came back there is no code but our own.
            code=self._final_code or (0 if self.hung_up and not self.answered else code),
            reason=reason,
            cause=q850_cause(self._final_text),
            answered=self.answered,
            rang=self.rang,
            # A CANCEL is only answered where a provisional response was (RFC 3261 §9.1).
            provisional=self.provisional or (self.hung_up and final_received),
            local=not final_received and not self.hung_up,
            ring_timeout=self.ring_timeout,
            cancelled=self.cancelled,
        )

    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:
        """Limit our SDP to the trunk's codecs, where it names any."""
        if self.codecs:
            self._guarded(self._restrict, prm)

    def _restrict(self, prm: pj.OnCallSdpCreatedParam) -> None:
        session = prm.sdp
        session.wholeSdp = restrict(session.wholeSdp, self.codecs, ptime_ms=self.ptime_ms)

    def onCallMediaState(self, prm: object) -> None:
        """Keep the audio of the leg and whether the far side put us on hold."""
        del prm
        self._guarded(self._media_changed)

    def _media_changed(self) -> None:
        # The parent of a nested struct must stay referenced (amd reference, pitfall 1).
        info = self.getInfo()
        media = info.media
        for index in range(len(media)):
            part = media[index]
            if part.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            active = part.status in {
                pj.PJSUA_CALL_MEDIA_ACTIVE,
                pj.PJSUA_CALL_MEDIA_REMOTE_HOLD,
                pj.PJSUA_CALL_MEDIA_LOCAL_HOLD,
            }
            self.on_hold = part.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD
            self.audio = self.getAudioMedia(index) if active else None
            self.owner.leg_media(self)
            return

    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        """Notice a bare 100, which moves no session but says that the trunk is alive."""
        if self.provisional or self.answered or self.ended:
            return
        self._guarded(self._transaction_moved, prm)

    def _transaction_moved(self, prm: pj.OnCallTsxStateParam) -> None:
        event = prm.e
        body = event.body
        state = body.tsxState
        if state.type == pj.PJSIP_EVENT_RX_MSG:
            source = state.src
            received = source.rdata
            self.provisional = received.info.startswith("Response msg 1")

    def onCallMediaTransportState(self, prm: object) -> None:
        """Nothing: PJSIP says it five times a call, and pjsua2's own way to nothing is longer."""

    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:
        """Pass a pressed key on."""
        digit = str(prm.digit)
        self._guarded(self.owner.leg_digit, self, digit)

    # Toll fraud: nobody but us decides where a call goes (design §2) --------------------------

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        """Refuse REFER."""
        prm.statusCode = DECLINE
        log.warning("transfer_refused", method="REFER")

    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:
        """Refuse INVITE with Replaces."""
        prm.statusCode = DECLINE
        log.warning("transfer_refused", method="Replaces")

    def onCallRedirected(self, prm: object) -> int:
        """Never follow a 3xx."""
        del prm
        return int(pj.PJSIP_REDIRECT_STOP)

    def _guarded(self, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except Exception:
            log.exception("leg_callback_failed")


_NOBODY = _Nobody()


def _retry_after(text: str) -> float | None:
    if _RETRY_AFTER.search(text) is None:
        return None
    for line in text.split("\n"):
        if line[:12].lower() == "retry-after:":
            digits = line[12:].strip().split(" ", 1)[0].split(";", 1)[0].split("(", 1)[0].strip()
            return float(digits) if digits.isdigit() else None
    return None
