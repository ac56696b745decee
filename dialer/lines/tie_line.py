"""A SIP leg between two line processes: the customer is in one, the agent in the other (design §2).

The customer's process has reserved the agent, and a token came of the same statement. It calls the
agent's process and shows the token; that process takes it, once, and joins the leg to the agent's.
What either end does to its leg the other sees: there is no other wire between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import pjsua2 as pj
import structlog

from campaigns.stores import tie_lines
from dialer.lines.dialog import headers
from dialer.lines.leg import DECLINE, Leg
from dialer.lines.silence import Silence
from dialer.supervision import DATABASE_AWAY

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Pool
    from campaigns.stores.reservations import ReservedAgent
    from campaigns.stores.tie_lines import Tie
    from dialer.lines.accounts import Account
    from dialer.lines.agents import AgentLeg, Customer
    from dialer.lines.outcome import Ending
    from dialer.lines.writer import Writer

log = structlog.get_logger(__name__)

TOKEN_HEADER = "X-Overdial-Tie"  # noqa: S105 - the name of a header, not what it holds
FORBIDDEN = 403
UNAVAILABLE = 480
# What a token may cost us while nobody has said who is calling.
TAKE_WITHIN_S = 1.0
UNPROVEN_AT_MOST = 50
PHONE_GONE = "the agent's phone is gone"


class Exchange(Protocol):
    """What tie lines need of their line process."""

    writer: Writer

    def agent_leg(self, session_id: UUID) -> AgentLeg | None:
        """Return the agent's phone leg if it is in this process."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a named task of the process."""

    def retire(self, leg: Leg) -> None:
        """Keep an ended leg until it can be destroyed without harm."""


class FarAgent:
    """An agent of another line process, as the customer's process sees it. Implements `LegOwner`.

    Its leg ends with the conversation, unlike the open line it leads to.
    """

    def __init__(self, ties: TieLines, attempt_id: UUID, session_id: UUID) -> None:
        self.leg: Leg | None = None
        self.attempt_id = attempt_id
        self.session_id = session_id
        self.is_joined: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ties = ties
        self._call: Customer | None = None
        self._silence = Silence()

    # LegOwner

    def leg_progressed(self, leg: Leg) -> None:
        """Nothing: the other process answers or refuses at once."""

    def leg_answered(self, leg: Leg) -> None:
        """Keep the dialog; the agent is there once there is audio."""
        self._ties.record(self, "up")
        self._audible(leg)

    def leg_media(self, leg: Leg) -> None:
        """Notice the audio."""
        self._audible(leg)

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Tell whoever waits or talks."""
        del ending
        if not self.is_joined.done():
            self.is_joined.set_result(False)
        self._lose()
        self._ties.over(self, leg)

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Nothing: keys are between the agent and the agent's process."""

    def _audible(self, leg: Leg) -> None:
        if leg.answered and leg.audio is not None and not self.is_joined.done():
            self._silence.began()
            self.is_joined.set_result(True)

    def watch(self) -> None:
        """Let go of a process that sends nothing more."""
        leg = self.leg
        if leg is not None and leg.answered and self._silence.lasts(leg.received_packets()):
            self._lose()
            leg.hang_up()

    def _lose(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.agent_lost(PHONE_GONE)

    # What a customer's call does to its agent

    @property
    def can_talk(self) -> bool:
        """Say whether the agent can be joined."""
        return self.leg is not None and not self.leg.ended and not self.leg.hung_up

    def take(self, call: Customer) -> None:
        """Join the customer, both ways."""
        self._call = call
        if call.leg is not None:
            self.connect(call.leg)

    def connect(self, customer: Leg) -> None:
        """Let customer and tie line hear each other."""
        if self.leg is None or self.leg.audio is None or customer.audio is None:
            return
        customer.audio.startTransmit(self.leg.audio)
        self.leg.audio.startTransmit(customer.audio)

    def let_go(self, call: Customer) -> None:
        """End the tie line: the customer's leg is over."""
        if self._call is call:
            self._call = None
        if self.leg is not None:
            self.leg.hang_up()

    def part(self, call: Customer) -> None:
        """End the tie line while the customer's leg stays up."""
        self.let_go(call)


class FarCustomer:
    """A customer of another line process, as the agent's process sees it. Implements `LegOwner`."""

    def __init__(self, ties: TieLines) -> None:
        self.leg: Leg | None = None
        self.attempt_id: UUID | None = None
        self.session_id: UUID | None = None
        self._ties = ties
        self._agent: AgentLeg | None = None
        self._silence = Silence()

    def meet(self, tie: Tie, agent: AgentLeg) -> None:
        """Answer: the token was good, and this is the agent it is for."""
        if self.leg is None or self.leg.ended:
            return
        self.attempt_id, self.session_id = tie.attempt_id, tie.session_id
        self._agent = agent
        self._silence.began()
        self.leg.accept()

    # LegOwner

    def leg_progressed(self, leg: Leg) -> None:
        """Nothing: we are the called side."""

    def leg_answered(self, leg: Leg) -> None:
        """Keep the dialog, and that the two hear each other."""
        self._ties.record(self, "up")
        if self._agent is not None and self._agent.leg is not None:
            self._ties.bridged(leg, self._agent.leg)

    def leg_media(self, leg: Leg) -> None:
        """Join the agent, or renew what a re-INVITE has changed."""
        agent = self._agent
        if agent is None or leg.audio is None:
            return
        if agent.call is self:
            agent.connect(leg)
        elif agent.call is None and agent.can_talk:
            agent.take(self)
        else:
            leg.hang_up()

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Give the agent's line back to its agent."""
        del ending
        if self._agent is not None:
            self._agent.let_go(self)
        self._ties.over(self, leg)

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Nothing: a customer's keys mean nothing to the agent's process."""

    def watch(self) -> None:
        """Let go of a process that sends nothing more: it cannot say goodbye."""
        leg = self.leg
        if leg is None or not leg.answered or leg.hung_up:
            return
        if self._silence.lasts(leg.received_packets()):
            if self._agent is not None:
                self._agent.part(self)
            leg.hang_up()

    # Customer

    def agent_lost(self, reason: str) -> None:
        """End the tie line: that tells the customer's process."""
        del reason
        if self.leg is not None:
            self.leg.hang_up()


class TieLines:
    """The tie lines of one line process, called and calling."""

    def __init__(
        self, exchange: Exchange, pool: Pool, process_id: UUID, local: Callable[[], Account]
    ) -> None:
        self._exchange = exchange
        self._pool = pool
        self._process_id = process_id
        self._local = local
        self._ends: dict[int, FarAgent | FarCustomer] = {}

    def __len__(self) -> int:
        """Return how many ends of tie lines are here: each takes a call's room."""
        return len(self._ends)

    @property
    def customers(self) -> int:
        """Return how many customers of other processes talk to agents here."""
        return sum(isinstance(end, FarCustomer) for end in self._ends.values())

    def watch(self) -> None:
        """Notice dead processes; called a few times a second."""
        for end in tuple(self._ends.values()):
            end.watch()

    # Calling ----------------------------------------------------------------------------------

    async def reach(
        self, attempt_id: UUID, agent: ReservedAgent, token: str, *, within_s: float
    ) -> FarAgent | None:
        """Call the process that holds a reserved agent; None if it does not answer in time."""
        elsewhere = agent.elsewhere
        if elsewhere is None:
            return None
        end = FarAgent(self, attempt_id, agent.session_id)
        host = f"[{elsewhere.address}]" if ":" in elsewhere.address else elsewhere.address
        leg = end.leg = Leg(self._local(), end, transport="udp")
        self._ends[id(leg)] = end
        try:
            leg.dial(f"sip:overdial@{host}:{elsewhere.port}", headers={TOKEN_HEADER: token})
        except pj.Error as error:
            log.warning("tie_line_failed", reason=error.reason)
            if not leg.ended:
                self.over(end, leg)
            return None
        self.record(end, "early")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                if await end.is_joined:
                    return end
        leg.hang_up()
        log.warning("tie_line_failed", to=str(elsewhere.process_id))
        return None

    # Called -----------------------------------------------------------------------------------

    def incoming(self, account: Account, prm: pj.OnIncomingCallParam) -> bool:
        """Take an INVITE that shows a token; whether the token is good is seen afterwards."""
        received = prm.rdata
        invite = str(received.wholeMsg)
        token = dict(headers(invite)).get(TOKEN_HEADER.lower())
        if not token:
            return False
        unproven = sum(
            isinstance(end, FarCustomer) and end.attempt_id is None for end in self._ends.values()
        )
        if unproven >= UNPROVEN_AT_MOST:
            return False
        end = FarCustomer(self)
        leg = end.leg = Leg(account, end, transport="udp", call_id=prm.callId)
        leg.invited(invite, peer=str(received.srcAddress))
        self._ends[id(leg)] = end
        self._exchange.spawn(f"tie-{id(leg)}", self._prove(end, leg, token))
        return True

    async def _prove(self, end: FarCustomer, leg: Leg, token: str) -> None:
        tie = None
        try:
            async with asyncio.timeout(TAKE_WITHIN_S), self._pool.acquire() as connection:
                tie = await tie_lines.take(connection, self._process_id, token)
        except DATABASE_AWAY as error:
            log.warning("tie_line_unproven", error=type(error).__name__)
        if tie is None:
            log.warning("invite_refused", why="no such tie line")
            leg.hang_up(FORBIDDEN)
            return
        agent = self._exchange.agent_leg(tie.session_id)
        if agent is None or not agent.can_talk or agent.call is not None:
            leg.hang_up(UNAVAILABLE)
            return
        try:
            end.meet(tie, agent)
        except pj.Error as error:
            log.warning("tie_line_failed", reason=error.reason)
            leg.hang_up(DECLINE)

    # Rows -------------------------------------------------------------------------------------

    def record(self, end: FarAgent | FarCustomer, state: str) -> None:
        """Keep what a BYE needs, should this process die."""
        if end.leg is not None:
            self._exchange.writer.leg(
                end.leg,
                kind="tie",
                state=state,
                attempt_id=end.attempt_id,
                agent_session_id=end.session_id,
            )

    def bridged(self, *members: Leg) -> None:
        """Keep that legs of this process hear each other."""
        self._exchange.spawn("bridged", self._exchange.writer.bridged(list(members)))

    def over(self, end: FarAgent | FarCustomer, leg: Leg) -> None:
        """Forget an end whose leg is over."""
        del end
        if self._ends.pop(id(leg), None) is not None:
            self._exchange.writer.leg_over(leg)
            self._exchange.retire(leg)
