"""An agent's phone leg: it stays up for the shift and customers are joined to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pjsua2 as pj
import structlog

from dialer.lines.silence import Silence

if TYPE_CHECKING:
    from uuid import UUID

    from dialer.lines.leg import Leg
    from dialer.lines.outcome import Ending

log = structlog.get_logger()

_TONE_HZ = 880
_TONE_MS = 120
ON_HOLD = "phone on hold"
SILENT = "no audio from the phone"


class AgentDesk(Protocol):
    """Who is told what happens to an agent's phone."""

    def phone_up(self, agent: AgentLeg) -> None:
        """The phone answered."""

    def phone_troubled(self, agent: AgentLeg, reason: str) -> None:
        """The phone is on hold or silent: no call may be given to it."""

    def phone_down(self, agent: AgentLeg, reason: str) -> None:
        """The phone leg is over."""

    def phone_digit(self, agent: AgentLeg, digit: str) -> None:
        """The agent pressed a key."""


class Customer(Protocol):
    """Who an agent talks with: a customer's call of this process, or of another one."""

    leg: Leg | None

    def agent_lost(self, reason: str) -> None:
        """The agent's phone is gone or cannot be heard."""


class AgentLeg:
    """The open line of one logged-in agent. Implements `LegOwner`."""

    def __init__(self, session_id: UUID, agent_id: UUID, desk: AgentDesk, *, resume: bool) -> None:
        self.session_id = session_id
        self.agent_id = agent_id
        self.resume_ready = resume
        self.leg: Leg | None = None
        self.call: Customer | None = None
        self.is_up = False
        self.released = False
        self._desk = desk
        self._tone: pj.ToneGenerator | None = None
        self._silence = Silence()
        self._troubled = False

    # LegOwner ---------------------------------------------------------------------------------

    def leg_progressed(self, leg: Leg) -> None:
        """Nothing: the agent hears their own phone ring."""

    def leg_answered(self, leg: Leg) -> None:
        """Start counting RTP; the line is up once there is audio."""
        self._silence.began()
        if leg.audio is not None:
            self._up()

    def leg_media(self, leg: Leg) -> None:
        """Follow hold and resume; a conversation is reconnected after a re-INVITE."""
        if leg.on_hold:
            self._trouble(ON_HOLD)
            return
        if leg.audio is None:
            return
        if leg.answered and not self.is_up:
            self._up()
        if self.call is not None and self.call.leg is not None:
            self.connect(self.call.leg)

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Tell the desk; the customer on the line gets the announcement."""
        self.is_up = False
        if self.released:
            reason = "logged out"
        elif leg.answered:
            reason = "phone hung up"
        else:
            reason = f"phone did not answer ({ending.code} {ending.reason})"
        self._desk.phone_down(self, reason)

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Pass an agent's key press on."""
        del leg
        self._desk.phone_digit(self, digit)

    # The open line ----------------------------------------------------------------------------

    def _up(self) -> None:
        self.is_up = True
        self._tone = pj.ToneGenerator()
        self._tone.createToneGenerator(8000, 1)
        if self.leg is not None and self.leg.audio is not None:
            self._tone.startTransmit(self.leg.audio)
        self._desk.phone_up(self)

    def watch(self) -> None:
        """Notice a phone that stopped sending RTP; called a few times a second."""
        if self.leg is None or not self.is_up:
            return
        is_silent = self._silence.lasts(self.leg.received_packets())
        if is_silent:
            self._trouble(SILENT)
        elif is_silent is False and not self.leg.on_hold:
            self._troubled = False

    @property
    def can_talk(self) -> bool:
        """Say whether a call may be given to this phone."""
        return self.is_up and not self._troubled

    def _trouble(self, reason: str) -> None:
        if not self._troubled:
            self._troubled = True
            self._desk.phone_troubled(self, reason)

    # Conversations ----------------------------------------------------------------------------

    def take(self, call: Customer) -> None:
        """Join the customer: both ways, with a short tone to the agent."""
        self.call = call
        if call.leg is not None:
            self.connect(call.leg)
        self.beep()

    def beep(self) -> None:
        """Play the short tone that says a person is on the line."""
        if self._tone is None:
            return
        tone = pj.ToneDesc()
        tone.freq1 = _TONE_HZ
        tone.freq2 = 0
        tone.on_msec = _TONE_MS
        tone.off_msec = 0
        tones = pj.ToneDescVector()
        tones.push_back(tone)
        try:
            self._tone.play(tones)
        except pj.Error as error:
            log.warning("tone_failed", reason=error.reason)

    def connect(self, customer: Leg) -> None:
        """Let the two legs hear each other; takes effect on the next 20 ms tick of the bridge."""
        if self.leg is None or self.leg.audio is None or customer.audio is None:
            return
        customer.audio.startTransmit(self.leg.audio)
        self.leg.audio.startTransmit(customer.audio)

    def let_go(self, call: Customer) -> None:
        """Forget the customer, whose leg is over."""
        if self.call is call:
            self.call = None

    def part(self, call: Customer) -> None:
        """Separate the two legs while the customer's leg stays up for the announcement."""
        self.let_go(call)
        customer = call.leg
        if self.leg is None or self.leg.audio is None or customer is None or customer.audio is None:
            return
        try:
            customer.audio.stopTransmit(self.leg.audio)
            self.leg.audio.stopTransmit(customer.audio)
        except pj.Error as error:
            log.warning("part_failed", reason=error.reason)

    def hang_up(self) -> None:
        """End the phone leg: the agent logged out."""
        self.released = True
        if self.leg is not None:
            self.leg.hang_up()
