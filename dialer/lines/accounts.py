"""PJSIP accounts: one per trunk, one local for agents' phones; all refuse what they do not know."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pjsua2 as pj
import structlog

from campaigns.model import Transport, TrunkKind
from campaigns.rules.dialable_numbers import DialPlan, dial_string, refuse_dialed
from campaigns.trunks import Srtp

if TYPE_CHECKING:
    from campaigns.stores.trunks import TrunkRow
    from dialer.lines.endpoint import Endpoint

log = structlog.get_logger()

FORBIDDEN = 403
# What an offer without a=ptime means (RFC 3551 §4.5).
DEFAULT_PTIME_MS = 20
_MIN_SESSION_S = 90
# What an unknown INVITE is offered to: source "ip:port", whole message, PJSIP's call id.
Incoming = Callable[["Account", pj.OnIncomingCallParam], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """Where one call goes: account, request URI, From URI, extra headers and limits of the offer.

    `codecs` empty leaves the offer as PJSIP makes it.
    """

    account: Account
    uri: str
    local_uri: str
    headers: dict[str, str]
    transport: str
    codecs: tuple[str, ...]
    ptime_ms: int


class Refused(Exception):
    """The trunk will not carry this call; the message names the rule, never the number."""


class Account(pj.Account):
    """An account that refuses incoming calls unless somebody claims them."""

    def __init__(self, endpoint: Endpoint, incoming: Incoming | None = None) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.way: _Way | None = None
        self._incoming = incoming

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        """Refuse an INVITE nobody expects (design §2, Safety)."""
        try:
            if self._incoming is not None and self._incoming(self, prm):
                return
            call = pj.Call(self, prm.callId)
            params = pj.CallOpParam()
            params.statusCode = FORBIDDEN
            call.hangup(params)
            self.endpoint.retired.add(call)
            log.warning("invite_refused", source=str(prm.rdata.srcAddress))
        except Exception:
            log.exception("incoming_call_failed")


def _common(config: pj.AccountConfig, endpoint: Endpoint) -> None:
    network = endpoint.network
    rtp = config.mediaConfig.transportConfig
    rtp.port = network.rtp_low
    rtp.portRange = max(0, network.rtp_high - network.rtp_low)
    rtp.boundAddress = network.bind_address
    if network.public_address:
        rtp.publicAddress = network.public_address
    # Told one of the two, PJSIP does not ask a name server for this host's addresses at every call.
    config.mediaConfig.ipv6Use = (
        pj.PJSUA_IPV6_ENABLED_USE_IPV6_ONLY if network.is_ipv6 else pj.PJSUA_IPV6_DISABLED
    )
    config.natConfig.contactRewriteUse = 0
    config.natConfig.viaRewriteUse = 0
    config.natConfig.sdpNatRewriteUse = 0
    config.natConfig.sipOutboundUse = 0
    config.callConfig.prackUse = pj.PJSUA_100REL_NOT_USED


def local_account(endpoint: Endpoint, incoming: Incoming) -> Account:
    """Return the account for agents' phones; it takes the INVITEs no trunk is meant by."""
    config = pj.AccountConfig()
    address = endpoint.network.public_address or endpoint.network.bind_address
    config.idUri = f"sip:overdial@{_bracketed(address)}"
    config.sipConfig.transportId = endpoint.transport_id(Transport.UDP)
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    config.callConfig.timerMinSESec = _MIN_SESSION_S
    config.callConfig.timerSessExpiresSec = 1800
    _common(config, endpoint)
    account = Account(endpoint, incoming)
    account.create(config, True)  # noqa: FBT003 - pjsua2 takes it by position
    return account


def trunk_account(trunk: TrunkRow, endpoint: Endpoint, incoming: Incoming) -> Account:
    """Return a trunk's account; it registers if the trunk asks for it."""
    settings = trunk.settings
    endpoint.allow(codec.value for codec in settings.codecs)
    config = pj.AccountConfig()
    user = trunk.username or settings.from_user or "overdial"
    host = _bracketed(trunk.host)
    config.idUri = f"sip:{user}@{settings.from_domain or host}"
    config.sipConfig.transportId = endpoint.transport_id(
        trunk.transport, verify=trunk.kind is not TrunkKind.LAB
    )
    if settings.proxy:
        config.sipConfig.proxies.push_back(f"sip:{settings.proxy};lr")
    if settings.register_account:
        config.regConfig.registrarUri = f"sip:{host}:{trunk.port};transport={trunk.transport.value}"
        config.regConfig.registerOnAdd = True
        config.regConfig.timeoutSec = settings.register_expires_s
        config.regConfig.retryIntervalSec = 30
    if trunk.username and trunk.password:
        credential = pj.AuthCredInfo("digest", "*", trunk.username, 0, trunk.password)
        config.sipConfig.authCreds.push_back(credential)
    if settings.srtp is Srtp.SDES:
        config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY
    else:
        # A trunk that offers SRTP in its answer gets it; ours offers plain RTP.
        config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_DISABLED
    config.mediaConfig.srtpSecureSignaling = 0
    if settings.session_timer_s:
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        config.callConfig.timerMinSESec = _MIN_SESSION_S
        config.callConfig.timerSessExpiresSec = settings.session_timer_s
    else:
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_INACTIVE
    config.natConfig.udpKaIntervalSec = settings.keep_alive_s
    _common(config, endpoint)
    account = Account(endpoint, incoming)
    account.create(config)
    return account


def route(trunk: TrunkRow, account: Account, number: str, caller_id: str) -> Route:
    """Return how *number* is called through *trunk*; raises `Refused`.

    The last gate before the wire: it judges the final dialed string, so that no prefix or format
    can turn a harmless number into an emergency or premium one (design §2, Safety).
    """
    way = _way(trunk, account)
    dialed = dial_string(number, way.plan)
    refusal = refuse_dialed(dialed, plan=way.plan, kind=trunk.kind, intended=number)
    if refusal is not None:
        raise Refused(f"the trunk refuses the dialed string: {refusal.value}")
    if trunk.kind is TrunkKind.LAB and not way.is_loopback:
        raise Refused("a lab trunk speaks to loopback peers only")
    headers = {}
    if way.identity:
        # RFC 3325 §9.1; the caller id is filled in where the trunk wants it there.
        identity = way.identity.replace("{caller_id}", caller_id)
        headers["P-Asserted-Identity"] = f"<{identity if ':' in identity else f'sip:{identity}'}>"
    return Route(
        account=account,
        uri=f"sip:{dialed}@{way.peer}",
        local_uri=f"{way.shown}<sip:{way.from_user or caller_id}@{way.domain}>",
        headers=headers,
        transport=way.transport,
        codecs=way.codecs,
        ptime_ms=way.ptime_ms,
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """What is the same for all calls through a trunk, made once for a row of it."""

    trunk: TrunkRow
    offered: tuple[str, ...]
    plan: DialPlan
    is_loopback: bool
    peer: str
    domain: str
    shown: str
    from_user: str | None
    identity: str | None
    transport: str
    codecs: tuple[str, ...]
    ptime_ms: int


def _way(trunk: TrunkRow, account: Account) -> _Way:
    known = account.way
    offered = account.endpoint.codecs
    if known is not None and known.trunk is trunk and known.offered is offered:
        return known
    settings = trunk.settings
    host = _bracketed(trunk.host)
    suffix = "" if trunk.transport is Transport.UDP else f";transport={trunk.transport.value}"
    wanted = tuple(codec.value for codec in settings.codecs)
    as_offered = wanted == offered and settings.ptime_ms == DEFAULT_PTIME_MS
    account.way = _Way(
        trunk=trunk,
        offered=offered,
        plan=settings.dial_plan,
        is_loopback=is_loopback(trunk.host),
        peer=f"{host}:{trunk.port}{suffix}",
        domain=settings.from_domain or host,
        shown=f'"{settings.from_name}" ' if settings.from_name else "",
        from_user=settings.from_user,
        identity=settings.asserted_identity,
        transport=trunk.transport.value,
        codecs=() if as_offered else wanted,
        ptime_ms=settings.ptime_ms,
    )
    return account.way


def is_loopback(host: str) -> bool:
    """Say whether *host* is an address of this machine's loopback; a name never is."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address
