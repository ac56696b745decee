"""One customer call from the INVITE to its end: screening, reservation, join, announcement.

The legal timers live here, on monotonic time, and came with the dial command (design §2): they
hold when the engine or Postgres is away. Nothing here waits for a third party between the verdict
and the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from datetime import timedelta
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import pjsua2 as pj

from campaigns.lifecycle import CallEventKind
from campaigns.model import Clock, EndedBy, Outcome, Screening, ScreeningMode, Verdict
from campaigns.stores import tie_lines
from campaigns.stores.suppressions import OPTED_OUT
from campaigns.stores.verdicts import Finding
from dialer.lines.outcome import Ending, ended_by, outcome
from dialer.lines.timers import Timers
from dialer.screening import Action, Move, ScreeningRules, decide, is_listening_over, late_evidence

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.attempts import DialOrder
    from campaigns.stores.reservations import ReservedAgent
    from dialer.lines.accounts import Route
    from dialer.lines.agents import AgentLeg
    from dialer.lines.leg import Leg
    from dialer.lines.tie_line import FarAgent
    from dialer.lines.writer import Writer
    from dialer.screening import Posterior, Screened, Screener

# The message must begin inside the limit, so the search for an agent ends a little before it.
ANNOUNCE_MARGIN_S = 0.15
# Without a hint an agent who became free is found this soon.
RESERVE_AGAIN_S = 0.1
# A line process answers another in a few hundredths of a second, or something is wrong with it.
TIE_WITHIN_S = 0.8
# If screening stalls for any reason the person is not made to wait for it.
SCREENING_STALL_S = 9.0
# A server that does not answer at once owes a 100 within 200 ms; five INVITEs fit into this.
SILENT_TRUNK_S = 8.0


class Phase(Enum):
    """Where the call stands for this process; Postgres holds the durable state."""

    DIALING = auto()
    LISTENING = auto()
    SEEKING_AGENT = auto()
    JOINED = auto()
    ANNOUNCING = auto()
    OVER = auto()


class Lines(Protocol):
    """What a call needs of its line process."""

    writer: Writer
    screener: Screener
    agent_free: asyncio.Event

    def agent_leg(self, session_id: UUID) -> AgentLeg | None:
        """Return the agent's phone leg if it is in this process."""

    async def far_agent(
        self, attempt_id: UUID, agent: ReservedAgent, token: str, *, within_s: float
    ) -> FarAgent | None:
        """Return the agent of another line process, reached; None if it cannot be in time."""

    def announce(self, call: CustomerCall) -> float | None:
        """Start the announcement towards the call; return its length in seconds."""

    def call_over(self, call: CustomerCall) -> None:
        """Forget the call."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a named task of the process."""


class CustomerCall:
    """A customer leg and what becomes of it. Implements `LegOwner`."""

    def __init__(self, order: DialOrder, lines: Lines) -> None:
        self.order = order
        self.timers = order.timers
        self.leg: Leg | None = None
        self.phase = Phase.DIALING
        self.agent: AgentLeg | FarAgent | None = None
        self.screened: Screened | None = None
        self._dialed_at = 0.0
        self.answered_at = 0.0
        self.joined_at = 0.0
        self.verdict = Verdict.NOT_SURE
        self.end_reason: str | None = None
        self._reason = ""
        self._greeting_end_at: float | None = None
        self._lines = lines
        self._writer = lines.writer
        self._timers = Timers()
        self._told_late = False
        self._avoided: list[UUID] = []

    # From INVITE to answer --------------------------------------------------------------------

    def start(self, leg: Leg, route: Route) -> None:
        """Send the INVITE. An error of PJSIP ends the attempt as the trunk's fault."""
        self.leg = leg
        leg.codecs, leg.ptime_ms = route.codecs, route.ptime_ms
        # One timer until something comes back: most calls are refused long before either is due.
        self._dialed_at = time.monotonic()
        first = min(SILENT_TRUNK_S, self.timers.ring_timeout_s)
        self._timers.set("ring", first, self._still_silent)
        try:
            leg.dial(
                route.uri,
                call_id=str(self.order.attempt_id),
                local_uri=route.local_uri,
                headers=route.headers,
            )
        except pj.Error as error:
            self.refuse(Outcome.TRUNK_FAULT, f"the call could not be placed: {error.reason}")
            return
        self._record_leg(leg, "early")

    def refuse(self, what: Outcome, reason: str) -> None:
        """End an attempt whose INVITE never left."""
        self._timers.clear_all()
        self.phase = Phase.OVER
        self._writer.ended(
            self.order,
            what,
            EndedBy.US if what is Outcome.REFUSED else EndedBy.NETWORK,
            Ending(code=0),
            reason=reason,
            retry_after_s=None,
        )
        self._lines.call_over(self)

    def _record_leg(self, leg: Leg, state: str) -> None:
        self._writer.leg(
            leg,
            kind="customer",
            state=state,
            attempt_id=self.order.attempt_id,
            trunk_id=self.order.trunk_id,
        )

    def _ring_timeout(self) -> None:
        leg = self.leg
        if leg is None or self.phase is not Phase.DIALING:
            return
        if leg.progressed_at is not None:
            short = leg.progressed_at + self.timers.ring_min_s - time.monotonic()
            if short > 0:
                self._timers.set("ring", short, self._ring_timeout)
                return
        leg.ring_timeout = True
        leg.hang_up()

    def _still_silent(self) -> None:
        """Give a trunk up that has not even said 100: nothing rings behind it (RFC 3261 §8.2.6)."""
        leg = self.leg
        if leg is None or self.phase is not Phase.DIALING or leg.hung_up:
            return
        if leg.provisional or self.timers.ring_timeout_s <= SILENT_TRUNK_S:
            self._await_answer()
            return
        self.end_reason = "the trunk said nothing"
        leg.ring_timeout = True
        leg.hang_up()

    def _await_answer(self) -> None:
        left = self._dialed_at + self.timers.ring_timeout_s - time.monotonic()
        self._timers.set("ring", left, self._ring_timeout)

    def cancel(self, reason: str) -> None:
        """Stop an unanswered call at once: suppression and emergency stop only (RING-1)."""
        if self.leg is not None and self.phase is Phase.DIALING and not self.leg.hung_up:
            self.leg.cancelled = True
            self.end_reason = reason
            self._writer.event(self.order.attempt_id, CallEventKind.CANCELLED, reason=reason)
            self.leg.hang_up()

    def hang_up(self, reason: str) -> None:
        """End the call at once, whatever it has reached."""
        if self.phase is Phase.DIALING:
            self.cancel(reason)
        elif self.leg is not None:
            self.end_reason = self.end_reason or reason
            self.leg.hang_up()

    def give_up(self, reason: str) -> None:
        """End the call as its agent asks: one that rings once it has rung long enough (RING-1)."""
        if self.phase is Phase.DIALING:
            self.end_reason = reason
            self._ring_timeout()
        else:
            self.hang_up(reason)

    def leg_progressed(self, leg: Leg) -> None:
        """Note the ringing: the minimum ring time starts here (RING-2)."""
        self._await_answer()
        self._writer.ringing(self.order.attempt_id)
        self._record_leg(leg, "early")

    def leg_answered(self, leg: Leg) -> None:
        """Start the legal clock and the screening; early media counted for nothing."""
        self._timers.clear("ring")
        self.answered_at = leg.answered_at or time.monotonic()
        orderer = self.order.agent_session_id
        listening = (
            orderer is None and self.timers.screening is ScreeningMode.ON and not leg.hung_up
        )
        self._writer.answered(self.order.attempt_id, listening=listening)
        self._record_leg(leg, "up")
        if leg.hung_up:
            # CANCEL and 200 crossed on the wire (RFC 3261 §9.1): the BYE is on its way.
            self.phase = Phase.OVER
            self.end_reason = "answered while being cancelled"
            return
        self._timers.set("max_call", self.timers.max_call_s, lambda: self.hang_up("call limit"))
        self.phase = Phase.LISTENING
        if orderer is not None:
            self._seek_orderer(orderer)
            return
        if not listening:
            self._seek_agent(Verdict.OFF, "screening_off")
            return
        if self.timers.join_by_s is not None:
            self._timers.set("join_by", self.timers.join_by_s, self._fail_open)
        self._timers.set("stall", SCREENING_STALL_S, self._fail_open)
        self._listen(leg)

    def leg_media(self, leg: Leg) -> None:
        """Begin or renew what needs audio: listening, or the conversation after a re-INVITE."""
        if leg.audio is None:
            return
        if self.phase is Phase.LISTENING and self.screened is None:
            self._listen(leg)
        elif self.phase is Phase.JOINED and self.agent is not None:
            self.agent.connect(leg)

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """End the call at once when the announcement's key for it asks never to be called again.

        No confirmation and no agent (47 CFR 64.1200(a)(7)(i)(B)); outside an announcement a
        customer's keys mean nothing.
        """
        if self.phase is not Phase.ANNOUNCING or digit != self.timers.opt_out_key:
            return
        self.end_reason = OPTED_OUT
        self._writer.event(self.order.attempt_id, CallEventKind.OPTED_OUT)
        self._lines.spawn(
            f"opt-out-{self.order.attempt_id}", self._writer.opt_out(self.order.attempt_id)
        )
        leg.hang_up()

    # Screening --------------------------------------------------------------------------------

    def _listen(self, leg: Leg) -> None:
        if leg.audio is None:
            return
        try:
            self.screened = self._lines.screener.begin(leg.audio)
        except pj.Error:
            # No tap to be had: nobody waits for a verdict that cannot come.
            self._seek_agent(Verdict.NOT_SURE, "no_tap")

    @cached_property
    def _rules(self) -> ScreeningRules:
        return ScreeningRules(hang_up_machines=self.timers.hang_up_machines)

    def consider(self) -> None:
        """Act on what screening makes of the audio so far; called after every screening step."""
        screened = self.screened
        if screened is None:
            return
        if self.phase is Phase.LISTENING:
            action = decide(
                screened.posterior,
                self.timers,
                since_answer_s=time.monotonic() - self.answered_at,
                rules=self._rules,
                media_packets=self._packets(screened.posterior),
            )
            if action.move is not Move.WAIT:
                self._act(action, screened.posterior)
        elif self.phase is Phase.JOINED:
            self._consider_late(screened.posterior)
        elif self.phase is not Phase.SEEKING_AGENT:
            self._stop_listening()

    def _packets(self, posterior: Posterior) -> int | None:
        # Asking PJSIP is dear; it matters only where nothing at all was heard.
        if posterior.state is not Screening.SILENCE or self.leg is None:
            return None
        return self.leg.received_packets()

    def _act(self, action: Action, posterior: Posterior) -> None:
        self._note_greeting(posterior)
        if action.move is Move.JOIN:
            self._seek_agent(action.verdict, action.reason.value)
            return
        self.verdict = action.verdict
        self.end_reason = f"screened out: {action.verdict}"
        self.phase = Phase.OVER
        self._record_finding(action.reason.value)
        self._stop_listening()
        if self.leg is not None:
            self.leg.hang_up()

    def _note_greeting(self, posterior: Posterior) -> None:
        """Keep when the greeting ended; while somebody still speaks it ends now at the earliest."""
        if posterior.greeting_end_s is not None:
            self._greeting_end_at = self.answered_at + posterior.greeting_end_s
        elif posterior.speech_s > 0:
            self._greeting_end_at = time.monotonic()

    def _consider_late(self, posterior: Posterior) -> None:
        since_join_s = time.monotonic() - self.joined_at
        late = late_evidence(posterior, self.verdict, since_join_s=since_join_s, rules=self._rules)
        if late is not None and not self._told_late:
            self._told_late = True
            self._writer.event(
                self.order.attempt_id,
                CallEventKind.VERDICT,
                late=late.value,
                p_machine=round(posterior.p_machine, 4),
            )
        if is_listening_over(since_join_s=since_join_s, rules=self._rules):
            self._stop_listening()

    def _record_finding(self, reason: str) -> None:
        """Write the verdict without asking for an agent; the end of the call waits for it."""
        self._reason = reason
        finding = self._finding()
        self._writer.hold(self.order.attempt_id)
        self._lines.spawn(
            f"verdict-{self.order.attempt_id}",
            self._writer.verdict(self.order.attempt_id, finding),
        )

    def _stop_listening(self) -> None:
        if self.screened is not None:
            self._lines.screener.end(self.screened)
            self.screened = None

    def _fail_open(self) -> None:
        """Join whoever answered: the clock runs out, or screening says nothing."""
        if self.phase is Phase.LISTENING:
            if self.screened is not None:
                self._note_greeting(self.screened.posterior)
            self._seek_agent(Verdict.NOT_SURE, "clock")

    def _finding(self) -> Finding:
        posterior = self.screened.posterior if self.screened is not None else None
        greeting_ended_at = None
        if self._greeting_end_at is not None:
            ago = timedelta(seconds=time.monotonic() - self._greeting_end_at)
            greeting_ended_at = self._writer.now() - ago
        screening = None if self.verdict is Verdict.OFF else Screening(self.verdict.value)
        features: dict[str, Any] = {"reason": self._reason}
        if posterior is not None:
            features |= {name: round(value, 4) for name, value in posterior.features.items()}
            features["cause"] = posterior.cause
            features["p_machine"] = round(posterior.p_machine, 4)
            features["model"] = self._lines.screener.bank.model_version
        return Finding(
            verdict=self.verdict,
            screening=screening,
            confidence=posterior.confidence if posterior is not None else None,
            features=features,
            greeting_ended_at=greeting_ended_at,
        )

    # Agent ------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """Return when an agent or the announcement must be heard (CONN-1), monotonic seconds."""
        start = self.answered_at
        if self.timers.clock is Clock.GREETING_END and self._greeting_end_at is not None:
            start = max(start, self._greeting_end_at)
        return start + self.timers.connect_limit_s

    def _seek_agent(self, verdict: Verdict, reason: str) -> None:
        self.verdict, self._reason = verdict, reason
        self.phase = Phase.SEEKING_AGENT
        self._timers.clear("join_by")
        self._timers.clear("stall")
        self._lines.spawn(f"reserve-{self.order.attempt_id}", self._reserve())

    async def _reserve(self) -> None:
        finding = self._finding()
        again = False
        while self.phase is Phase.SEEKING_AGENT:
            self._lines.agent_free.clear()
            remaining = self.deadline() - ANNOUNCE_MARGIN_S - time.monotonic()
            if remaining <= 0 and again:
                break
            token = tie_lines.new_token()
            held = await self._writer.reserve(
                self.order.attempt_id,
                finding,
                again=again,
                within_s=max(0.25, remaining),
                token=token,
                avoided=self._avoided,
            )
            again = True
            if held is not None:
                if await self._join_reserved(held, token):
                    return
                continue
            remaining = self.deadline() - ANNOUNCE_MARGIN_S - time.monotonic()
            if remaining <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(RESERVE_AGAIN_S, remaining)):
                    await self._lines.agent_free.wait()
        if self.phase is Phase.SEEKING_AGENT:
            self.end_reason = "no agent in time"
            self._announce()

    def _seek_orderer(self, session_id: UUID) -> None:
        """Join the agent who ordered the call in preview and waits for it: nobody else."""
        self.verdict, self._reason = Verdict.OFF, "preview"
        self.phase = Phase.SEEKING_AGENT
        self._lines.spawn(f"join-{self.order.attempt_id}", self._join_orderer(session_id))

    async def _join_orderer(self, session_id: UUID) -> None:
        agent = self._lines.agent_leg(session_id)
        if not await self._join(session_id, agent) and self.phase is Phase.SEEKING_AGENT:
            self.end_reason = "the agent who ordered the call was gone"
            self._announce()
        await self._writer.verdict(self.order.attempt_id, self._finding())

    async def _join_reserved(self, reserved: ReservedAgent, token: str) -> bool:
        agent: AgentLeg | FarAgent | None
        if reserved.elsewhere is None:
            agent = self._lines.agent_leg(reserved.session_id)
        else:
            agent = await self._reach(reserved, token)
        return await self._join(reserved.session_id, agent)

    async def _reach(self, reserved: ReservedAgent, token: str) -> FarAgent | None:
        left = self.deadline() - ANNOUNCE_MARGIN_S - time.monotonic()
        within_s = max(0.0, min(TIE_WITHIN_S, left))
        agent = await self._lines.far_agent(
            self.order.attempt_id, reserved, token, within_s=within_s
        )
        if agent is None and reserved.elsewhere is not None:
            # Whatever ails that process, this person has no time to try it again.
            self._avoided.append(reserved.elsewhere.process_id)
        return agent

    async def _join(self, session_id: UUID, agent: AgentLeg | FarAgent | None) -> bool:
        if self.phase is not Phase.SEEKING_AGENT or self.leg is None:
            # The customer left while the agent was being reserved; the end frees the agent.
            if agent is not None:
                agent.let_go(self)
            return True
        if agent is None or not agent.can_talk or agent.leg is None:
            await self._writer.release(self.order.attempt_id, session_id, "the phone is not there")
            return False
        self.phase = Phase.JOINED
        self.agent = agent
        self.joined_at = time.monotonic()
        agent.take(self)
        held = await self._writer.joined(self.order.attempt_id, session_id, [self.leg, agent.leg])
        if not held and self.agent is agent:
            agent.part(self)
            self.agent_lost("the reservation was taken back")
        return True

    def agent_lost(self, reason: str) -> None:
        """Give the customer the announcement rather than silence when the agent's phone is gone."""
        if self.phase is not Phase.JOINED:
            return
        self.agent = None
        self._writer.event(self.order.attempt_id, CallEventKind.AGENT_LOST, reason=reason)
        self.end_reason = f"agent lost: {reason}"
        self._announce()

    # Announcement and end ---------------------------------------------------------------------

    def _announce(self) -> None:
        self.phase = Phase.ANNOUNCING
        self._stop_listening()
        length_s = self._lines.announce(self)
        if length_s is None:
            self.end_reason = f"{self.end_reason}, no announcement could be played"
            if self.leg is not None:
                self.leg.hang_up()
            return
        self._writer.announcing(self.order.attempt_id)
        self._timers.set("announcement", length_s, self._announced)

    def _announced(self) -> None:
        if self.leg is not None and not self.leg.ended:
            self._writer.event(self.order.attempt_id, CallEventKind.ANNOUNCED)
            self.leg.hang_up()

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Close this process's books on the call."""
        self._timers.clear_all()
        agent, self.agent = self.agent, None
        if self.phase is Phase.LISTENING and self.screened is not None and leg.answered:
            # They hung up in mid-greeting: the clock of the law had not begun, and the row says so.
            self._note_greeting(self.screened.posterior)
            self._record_finding("hung_up_while_listening")
        self.phase = Phase.OVER
        self._stop_listening()
        if agent is not None:
            agent.let_go(self)
        self._writer.ended(
            self.order,
            outcome(ending),
            ended_by(ending, hung_up_by_us=leg.hung_up),
            ending,
            reason=self.end_reason,
            retry_after_s=leg.retry_after_s,
        )
        self._writer.leg_over(leg)
        self._lines.call_over(self)
