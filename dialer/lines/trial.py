"""One test call with an endpoint of its own: through a trunk, or to an agent's phone.

The far side hears its own audio back. The result names each direction of RTP, so that "no audio"
becomes "no audio from the carrier".
"""

from __future__ import annotations

import asyncio
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
# Fewer packets than half of what 20 ms frames make in the time are "no audio worth the name".
ENOUGH_PACKETS = int(TALK_S / 0.02 / 2)


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


async def _follow(leg: Leg, caller: _Caller, far: str) -> Trial:
    answered = asyncio.create_task(caller.answered.wait(), name="answered")
    over = asyncio.create_task(caller.over.wait(), name="over")
    await asyncio.wait({answered, over}, timeout=RING_S, return_when=asyncio.FIRST_COMPLETED)
    legs: tuple[TrialLeg, ...] = ()
    if caller.answered.is_set():
        await asyncio.wait({over}, timeout=TALK_S)
        legs = _legs(leg, far)
    leg.hang_up()
    await asyncio.wait({over}, timeout=HANG_UP_S)
    for task in (answered, over):
        task.cancel()
    return _judge(leg, caller, legs, far)


def _legs(leg: Leg, far: str) -> tuple[TrialLeg, ...]:
    sent, received = 0, 0
    if leg.audio is not None and not leg.ended:
        stat = leg.getStreamStat(0)
        sent, received = int(stat.rtcp.txStat.pkt), int(stat.rtcp.rxStat.pkt)
    return (
        TrialLeg(f"from us to {far}", sent, sent >= ENOUGH_PACKETS),
        TrialLeg(f"from {far} to us", received, received >= ENOUGH_PACKETS),
    )


def _judge(leg: Leg, caller: _Caller, legs: tuple[TrialLeg, ...], far: str) -> Trial:
    code = caller.ending.code if caller.ending is not None else 0
    reason = caller.ending.reason if caller.ending is not None else ""
    if not leg.answered:
        rang = "It rang" if leg.rang else "It did not ring"
        why = f"{code} {reason}".strip() or f"no answer within {RING_S:.0f} s"
        return Trial(False, f"{rang}, but was not answered: {why}.", False, code, legs)  # noqa: FBT003
    deaf = [part.name for part in legs if not part.has_audio]
    if deaf:
        said = f"Answered, but there is no audio {' and none '.join(deaf)}."
    else:
        said = f"Answered, and audio flows both ways; {far} heard itself."
    return Trial(not deaf, said, True, code or 200, legs)  # noqa: FBT003
