"""The agents of a line process: calling their phones, and what happens when a phone fails.

Implements `AgentDesk`. A phone is a SIP URI, an extension of a PBX, a telephone number through a
trunk, or a phone that calls in from a known address and enters a PIN (design §2, Agents).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import argon2
import pjsua2 as pj
import structlog

from campaigns.model import AgentState, PhoneKind
from campaigns.rules.dialable_numbers import is_emergency
from campaigns.stores import line_commands, sessions
from dialer.lines import accounts
from dialer.lines.agents import SILENT, AgentLeg
from dialer.lines.leg import Leg
from dialer.lines.timers import Timers
from dialer.notify import Channel
from dialer.supervision import DATABASE_AWAY, raise_if_cancelled

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Pool
    from campaigns.stores.line_commands import AgentPhone
    from dialer.lines.accounts import Account
    from dialer.lines.outcome import Ending
    from dialer.lines.writer import Writer
    from dialer.notify import Notifier

log = structlog.get_logger(__name__)

ANSWER_WITHIN_S = 45.0
PIN_WITHIN_S = 30.0
PIN_TRIES = 3
STATEMENT_TIMEOUT_S = 5.0
RETRY_S = 0.5


class Switchboard(Protocol):
    """What the desk needs of its line process."""

    writer: Writer
    agent_free: asyncio.Event

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a named task of the process."""

    async def trunk_route(self, trunk_id: UUID, number: str) -> accounts.Route:
        """Return how a telephone number is called through a trunk; raises `accounts.Refused`."""

    async def trunk_peer(self, trunk_id: UUID) -> tuple[Account, str, str]:
        """Return account, "host:port" and transport of a trunk."""

    def retire(self, leg: Leg) -> None:
        """Keep an ended leg until it can be destroyed without harm."""


class Desk:
    """The phone legs of the agents logged in here."""

    def __init__(
        self,
        board: Switchboard,
        pool: Pool,
        process_id: UUID,
        notifier: Notifier,
        local: Callable[[], Account],
    ) -> None:
        self.agents: dict[UUID, AgentLeg] = {}
        self._board = board
        self._pool = pool
        self._process_id = process_id
        self._notifier = notifier
        self._local = local
        self._callers: dict[int, CallIn] = {}

    def watch(self) -> None:
        """Notice silent phones; called a few times a second."""
        for agent in tuple(self.agents.values()):
            agent.watch()

    # Calling the phone ------------------------------------------------------------------------

    async def call(self, session_id: UUID, *, resume: bool) -> None:
        """Call the phone of a session's agent, or expect it to call in."""
        async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._pool.acquire() as connection:
            phone = await line_commands.phone_of(connection, session_id)
        if phone is None or phone.kind is PhoneKind.CALL_IN:
            return
        known = self.agents.get(session_id)
        if known is not None and known.leg is not None and not known.leg.ended:
            return
        agent = AgentLeg(session_id, phone.agent_id, self, resume=resume)
        try:
            account, uri, local_uri, transport = await self._way_to(phone)
            leg = Leg(account, agent, transport=transport)
            agent.leg = leg
            self.agents[session_id] = agent
            leg.dial(uri, local_uri=local_uri)
        except (accounts.Refused, pj.Error) as error:
            self.agents.pop(session_id, None)
            why = error.reason if isinstance(error, pj.Error) else str(error)
            await self._lost(session_id, f"the phone could not be called: {why}")
            return
        self._board.writer.leg(leg, kind="agent", state="early", agent_session_id=session_id)
        asyncio.get_running_loop().call_later(ANSWER_WITHIN_S, self._not_answered, agent)

    async def _way_to(self, phone: AgentPhone) -> tuple[Account, str, str, str]:
        if phone.kind is PhoneKind.SIP_URI or phone.trunk_id is None:
            transport = "tcp" if "transport=tcp" in phone.address.lower() else "udp"
            if phone.address.lower().startswith("sips:") or "transport=tls" in phone.address:
                transport = "tls"
            return self._local(), phone.address, "", transport
        if phone.kind is PhoneKind.EXTENSION:
            if is_emergency(phone.address):
                raise accounts.Refused("the extension is an emergency number")
            account, peer, transport = await self._board.trunk_peer(phone.trunk_id)
            suffix = "" if transport == "udp" else f";transport={transport}"
            return account, f"sip:{phone.address}@{peer}{suffix}", "", transport
        route = await self._board.trunk_route(phone.trunk_id, phone.address)
        return route.account, route.uri, route.local_uri, route.transport

    def _not_answered(self, agent: AgentLeg) -> None:
        if agent.leg is not None and not agent.leg.answered:
            agent.leg.hang_up()

    def release(self, session_id: UUID) -> None:
        """Hang the phone up: the agent logged out."""
        agent = self.agents.get(session_id)
        if agent is not None:
            agent.hang_up()

    # AgentDesk --------------------------------------------------------------------------------

    def phone_up(self, agent: AgentLeg) -> None:
        """Bring the session from offline to paused, or back to ready after a crash."""
        if agent.leg is not None:
            self._board.writer.leg(
                agent.leg, kind="agent", state="up", agent_session_id=agent.session_id
            )
        self._spawn("phone-up", agent.session_id, lambda: self._up(agent))

    async def _up(self, agent: AgentLeg) -> None:
        async with self._pool.acquire() as connection:
            now = self._board.writer.now()
            session = await sessions.phone_up(
                connection, agent.session_id, self._process_id, at=now
            )
            if session is None:
                agent.hang_up()
                return
            if agent.resume_ready:
                await sessions.set_ready(connection, agent.session_id, at=now)
        self._changed(agent.session_id)

    def phone_troubled(self, agent: AgentLeg, reason: str) -> None:
        """Pause the agent with the reason; the customer on the line gets the announcement."""
        call = agent.call
        if call is not None:
            agent.part(call)
            call.agent_lost(reason)
        self._spawn(
            "phone-troubled",
            agent.session_id,
            lambda: self._lost(agent.session_id, reason, to=AgentState.PAUSED),
        )

    def phone_down(self, agent: AgentLeg, reason: str) -> None:
        """Pause the agent with the reason; the customer on the line gets the announcement."""
        self.agents.pop(agent.session_id, None)
        call, agent.call = agent.call, None
        if call is not None:
            call.agent_lost(reason)
        if agent.leg is not None:
            self._board.writer.leg_over(agent.leg)
            self._board.retire(agent.leg)
        was_up = agent.leg is not None and agent.leg.answered
        to = AgentState.PAUSED if was_up else AgentState.OFFLINE
        self._spawn(
            "phone-down",
            agent.session_id,
            lambda: self._lost(agent.session_id, reason, to=to, gone=was_up),
        )

    def phone_digit(self, agent: AgentLeg, digit: str) -> None:
        """Nothing yet: an agent on the open line uses the screen, not the keypad."""
        del agent, digit

    async def _lost(
        self,
        session_id: UUID,
        reason: str,
        *,
        to: AgentState = AgentState.OFFLINE,
        gone: bool = False,
    ) -> None:
        async with self._pool.acquire() as connection:
            await sessions.phone_lost(
                connection,
                session_id,
                at=self._board.writer.now(),
                reason=reason,
                to=to,
                gone=gone,
            )
        self._changed(session_id)

    def _changed(self, session_id: UUID) -> None:
        self._board.agent_free.set()
        self._notifier.post(Channel.AGENTS, session_id)
        self._notifier.post(Channel.ENGINE)
        self._notifier.post(Channel.BOARDS)

    def _spawn(self, name: str, session_id: UUID, work: Callable[[], Awaitable[None]]) -> None:
        self._board.spawn(f"{name}-{session_id}", _until_written(work))

    # Calling in -------------------------------------------------------------------------------

    def incoming(self, account: Account, prm: pj.OnIncomingCallParam) -> bool:
        """Take an INVITE from an address where an agent's phone is expected; else refuse it."""
        source = str(prm.rdata.srcAddress)
        peers = {phone.address for phone in self._expected}
        if source not in peers and source.rpartition(":")[0].strip("[]") not in peers:
            return False
        caller = CallIn(self, source)
        leg = Leg(account, caller, transport="udp", call_id=prm.callId)
        leg.invited(str(prm.rdata.wholeMsg), peer=source)
        caller.leg = leg
        self._callers[id(leg)] = caller
        caller.answer()
        return True

    _expected: tuple[AgentPhone, ...] = ()

    async def refresh_expected(self) -> None:
        """Read which agents may call in now."""
        async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._pool.acquire() as connection:
            self._expected = tuple(await line_commands.calling_in(connection, self._process_id))

    async def identify(self, source: str, pin: str) -> AgentPhone | None:
        """Return whose PIN it is among the agents expected from *source*."""
        host = source.rpartition(":")[0].strip("[]")
        for phone in self._expected:
            if phone.address not in {source, host} or phone.pin_hash is None:
                continue
            if await asyncio.to_thread(_fits, phone.pin_hash, pin):
                return phone
        return None

    def admit(self, caller: CallIn, phone: AgentPhone) -> None:
        """Make the leg of a caller who gave the right PIN the agent's open line."""
        leg = caller.leg
        if leg is None or leg.ended:
            return
        self._callers.pop(id(leg), None)
        agent = AgentLeg(phone.session_id, phone.agent_id, self, resume=False)
        agent.leg = leg
        leg.owner = agent
        self.agents[phone.session_id] = agent
        agent.leg_answered(leg)

    def gone(self, leg: Leg) -> None:
        """Forget a caller who never got in."""
        self._callers.pop(id(leg), None)
        self._board.retire(leg)

    def spawn_check(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a PIN check as a task of the process."""
        self._board.spawn(name, work)


class CallIn:
    """A phone that called in and has to enter its PIN, ended by #. Implements `LegOwner`."""

    def __init__(self, desk: Desk, source: str) -> None:
        self.leg: Leg | None = None
        self._desk = desk
        self._source = source
        self._digits = ""
        self._tries = 0
        self._timers = Timers()
        self._tone: pj.ToneGenerator | None = None

    def answer(self) -> None:
        """Answer and wait for the PIN."""
        if self.leg is not None:
            self.leg.accept()
            self._timers.set("pin", PIN_WITHIN_S, self.leg.hang_up)

    def leg_progressed(self, leg: Leg) -> None:
        """Nothing: we are the called side."""

    def leg_answered(self, leg: Leg) -> None:
        """Nothing: the PIN decides."""

    def leg_media(self, leg: Leg) -> None:
        """Ask for the PIN with two short tones, once there is audio."""
        if leg.audio is None or self._tone is not None:
            return
        self._tone = pj.ToneGenerator()
        self._tone.createToneGenerator(8000, 1)
        self._tone.startTransmit(leg.audio)
        self._ask()

    def _ask(self) -> None:
        if self._tone is None:
            return
        tones = pj.ToneDescVector()
        for _ in range(2):
            tone = pj.ToneDesc()
            tone.freq1, tone.freq2, tone.on_msec, tone.off_msec = 660, 0, 150, 100
            tones.push_back(tone)
        self._tone.play(tones)

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Collect the PIN."""
        if digit != "#":
            self._digits = (self._digits + digit)[-16:]
            return
        pin, self._digits = self._digits, ""
        self._tries += 1
        self._desk.spawn_check(f"pin-{id(leg)}", self._check(leg, pin))

    async def _check(self, leg: Leg, pin: str) -> None:
        phone = await self._desk.identify(self._source, pin)
        if phone is not None:
            self._timers.clear_all()
            self._desk.admit(self, phone)
        elif self._tries >= PIN_TRIES:
            log.warning("pin_refused", source=self._source)
            leg.hang_up()
        else:
            self._ask()

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Forget the caller."""
        del ending
        self._timers.clear_all()
        self._desk.gone(leg)


def _fits(pin_hash: str, pin: str) -> bool:
    try:
        return argon2.PasswordHasher().verify(pin_hash, pin)
    except argon2.exceptions.VerificationError:
        return False


async def _until_written(work: Callable[[], Awaitable[None]]) -> None:
    """Repeat *work* until Postgres takes it: a phone's state must not be forgotten."""
    while True:
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                await work()
        except DATABASE_AWAY:
            raise_if_cancelled()
            await asyncio.sleep(RETRY_S)
        else:
            return


__all__ = ["SILENT", "CallIn", "Desk", "Switchboard"]
