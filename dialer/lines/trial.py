"""One test call with an endpoint of its own: through a trunk, or to an agent's phone.

The far side hears its own audio back. The result names each direction of RTP, so that "no audio"
becomes "no audio from the carrier".
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pjsua2 as pj

from campaigns.errors import UserError
from campaigns.model import PhoneKind
from campaigns.stores import agents, trunks
from dialer.lines import accounts
from dialer.lines.endpoint import Endpoint, Network
from dialer.lines.leg import Leg

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from campaigns.stores.database import Pool
    from dialer.config import Config
    from dialer.lines.accounts import Account
    from dialer.lines.outcome import Ending

RING_S = 30.0
TALK_S = 5.0
HANG_UP_S = 6.0
COUNT_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class TrialLeg:
    """One direction of audio: who sends it to whom, and how many RTP packets went."""

    name: str
    packets: int
    has_audio: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a test call found; `said` is the sentence for the user."""

    ok: bool
    said: str
    answered: bool
    sip_code: int
    legs: tuple[TrialLeg, ...]


class _Caller:
    """Owner of the one leg: echoes its audio and waits for its end. Implements `LegOwner`."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.over = asyncio.Event()
        self.ending: Ending | None = None
        self.early_media = False

    def leg_progressed(self, leg: Leg) -> None:
        """Note audio before the answer."""
        self.early_media = leg.audio is not None

    def leg_answered(self, leg: Leg) -> None:
        """Begin the conversation with oneself."""
        self._echo(leg)
        self.answered.set()

    def leg_media(self, leg: Leg) -> None:
        """Echo as soon as there is audio."""
        if leg.answered:
            self._echo(leg)

    def _echo(self, leg: Leg) -> None:
        if leg.audio is not None:
            leg.audio.startTransmit(leg.audio)

    def leg_ended(self, leg: Leg, ending: Ending) -> None:
        """Note how it ended."""
        del leg
        self.ending = ending
        self.over.set()

    def leg_digit(self, leg: Leg, digit: str) -> None:
        """Nothing: keys mean nothing here."""


Way = tuple["Account", str, str, str]


async def test_trunk(config: Config, pool: Pool, trunk_name: str, number: str) -> Trial:
    """Call *number* through a trunk and echo its audio; raises `UserError` for wrong input."""
    async with pool.acquire() as connection:
        trunk = await trunks.get(connection, trunk_name)
    caller_id = trunk.caller_ids[0] if trunk.caller_ids else ""

    async def way(endpoint: Endpoint) -> Way:
        account = accounts.trunk_account(trunk, endpoint, _refuse)
        try:
            route = accounts.route(trunk, account, number, caller_id)
        except accounts.Refused as refused:
            raise UserError(f"Trunk {trunk_name!r} will not call that: {refused}.") from None
        return account, route.uri, route.local_uri, route.transport

    return await _call(config, way, far="the trunk")


async def test_agent(config: Config, pool: Pool, agent_name: str) -> Trial:
    """Call an agent's phone and echo its audio; raises `UserError` for wrong input."""
    async with pool.acquire() as connection:
        agent = await agents.get(connection, agent_name)
        trunk = None
        if agent.phone_trunk_id is not None:
            trunk = await trunks.by_id(connection, agent.phone_trunk_id)
    if agent.phone_kind is PhoneKind.CALL_IN:
        raise UserError(
            f"Agent {agent_name!r} calls in: there is no phone to call. Log in and dial in instead."
        )

    async def way(endpoint: Endpoint) -> Way:
        if agent.phone_kind is PhoneKind.SIP_URI or trunk is None:
            local = accounts.local_account(endpoint, _refuse)
            return local, agent.phone_address, "", "udp"
        account = accounts.trunk_account(trunk, endpoint, _refuse)
        if agent.phone_kind is PhoneKind.EXTENSION:
            uri = f"sip:{agent.phone_address}@{trunk.host}:{trunk.port}"
            if trunk.transport.value != "udp":
                uri += f";transport={trunk.transport.value}"
            return account, uri, "", trunk.transport.value
        caller_id = trunk.caller_ids[0] if trunk.caller_ids else ""
        try:
            route = accounts.route(trunk, account, agent.phone_address, caller_id)
        except accounts.Refused as refused:
            raise UserError(f"The phone of {agent_name!r} cannot be called: {refused}.") from None
        return account, route.uri, route.local_uri, route.transport

    return await _call(config, way, far="the phone")


def _refuse(account: Account, prm: pj.OnIncomingCallParam) -> bool:
    del account, prm
    return False


async def _call(config: Config, way: Callable[[Endpoint], Awaitable[Way]], *, far: str) -> Trial:
    config.check_files()
    network = Network(
        bind_address=str(config.bind_address),
        public_address=str(config.public_address or ""),
        rtp_low=config.rtp_low,
        rtp_high=config.rtp_high,
        tls_authorities=str(config.tls_ca or ""),
    )
    endpoint = Endpoint(network, wanted_calls=4)
    endpoint.start()
    endpoint.poll_forever(lambda: None)
    try:
        account, uri, local_uri, transport = await way(endpoint)
        caller = _Caller()
        leg = Leg(account, caller, transport=transport)
        try:
            leg.dial(uri, local_uri=local_uri)
        except pj.Error as error:
            raise UserError(f"The call could not be placed ({error.reason}).") from None
        return await _follow(leg, caller, far)
    finally:
        await endpoint.stop()


@dataclass(slots=True)
class _Heard:
    """RTP packets as last counted while the leg was up, and for how many seconds it was."""

    sent: int = 0
    received: int = 0
    up_s: float = 0.0

    def count(self, leg: Leg) -> None:
        """Read PJSIP's counters; they are gone with the leg."""
        if leg.audio is None or leg.ended or leg.answered_at is None:
            return
        stat = leg.getStreamStat(0)
        self.sent, self.received = int(stat.rtcp.txStat.pkt), int(stat.rtcp.rxStat.pkt)
        self.up_s = time.monotonic() - leg.answered_at

    def legs(self, far: str) -> tuple[TrialLeg, ...]:
        """Return both directions; half of what 20 ms frames make in the time is audio enough."""
        enough = max(1, int(self.up_s / 0.02 / 2))
        return (
            TrialLeg(f"from us to {far}", self.sent, self.sent >= enough),
            TrialLeg(f"from {far} to us", self.received, self.received >= enough),
        )


async def _follow(leg: Leg, caller: _Caller, far: str) -> Trial:
    answered = asyncio.create_task(caller.answered.wait(), name="answered")
    over = asyncio.create_task(caller.over.wait(), name="over")
    await asyncio.wait({answered, over}, timeout=RING_S, return_when=asyncio.FIRST_COMPLETED)
    heard = _Heard()
    until = time.monotonic() + TALK_S
    while caller.answered.is_set() and not caller.over.is_set() and time.monotonic() < until:
        await asyncio.wait({over}, timeout=COUNT_EVERY_S)
        heard.count(leg)
    hung_up_by_them = caller.over.is_set()
    leg.hang_up()
    await asyncio.wait({over}, timeout=HANG_UP_S)
    for task in (answered, over):
        task.cancel()
    if not leg.answered:
        return _unanswered(leg, caller)
    return _judge(heard, caller, far, hung_up_by_them=hung_up_by_them)


def _unanswered(leg: Leg, caller: _Caller) -> Trial:
    ending = caller.ending
    code = ending.code if ending is not None else 0
    if not leg.provisional and (ending is None or not ending.provisional) and leg.hung_up:
        said = f"Nothing came back at all within {RING_S:.0f} s: check host, port and firewall."
        return Trial(ok=False, said=said, answered=False, sip_code=0, legs=())
    if leg.hung_up:
        why = f"nobody answered within {RING_S:.0f} s"
    elif code < 400:
        why = f"it was redirected ({code}), which is never followed"
    else:
        why = f"{code} {ending.reason if ending is not None else ''}".strip()
    rang = "It rang" if leg.rang else "It did not ring"
    return Trial(ok=False, said=f"{rang}: {why}.", answered=False, sip_code=code, legs=())


def _judge(heard: _Heard, caller: _Caller, far: str, *, hung_up_by_them: bool) -> Trial:
    legs = heard.legs(far)
    deaf = [part.name for part in legs if not part.has_audio]
    if heard.up_s == 0:
        said = "Answered, and hung up again before any audio could be counted."
    elif deaf:
        said = f"Answered, but there is no audio {' and none '.join(deaf)}."
    else:
        said = f"Answered, and audio flows both ways; {far} heard itself."
    if hung_up_by_them and heard.up_s > 0:
        said += f" The other side hung up after {heard.up_s:.0f} s."
    code = caller.ending.code if caller.ending is not None else 200
    return Trial(ok=not deaf and heard.up_s > 0, said=said, answered=True, sip_code=code, legs=legs)
