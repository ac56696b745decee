"""What a final SIP answer means for the lead: one total table, refined by Q.850 causes.

Sources: RFC 3261 §21 (status codes), RFC 8197 (607 Unwanted), RFC 8688 (608 Rejected), RFC 3326
(Reason header), ITU-T Q.850 (cause values). `TRUNK_FAULT` is never charged to the lead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from campaigns.model import EndedBy, Outcome

_INVALID = frozenset({404, 410, 484, 485, 604})
_BUSY = frozenset({486, 600})
_BLOCKED = frozenset({433, 607, 608})
_REQUEST_TERMINATED = 487
_TEMPORARILY_UNAVAILABLE = 480
_REQUEST_TIMEOUT = 408
_DECLINE = 603

_BY_CAUSE: dict[int, Outcome] = {
    1: Outcome.INVALID_NUMBER,
    17: Outcome.BUSY,
    18: Outcome.NO_ANSWER,
    19: Outcome.NO_ANSWER,
    20: Outcome.UNAVAILABLE,
    21: Outcome.DECLINED,
    22: Outcome.INVALID_NUMBER,
    27: Outcome.UNAVAILABLE,
    28: Outcome.INVALID_NUMBER,
    34: Outcome.TRUNK_FAULT,
    38: Outcome.TRUNK_FAULT,
    41: Outcome.TRUNK_FAULT,
    42: Outcome.TRUNK_FAULT,
}

_CAUSE = re.compile(r"Q\.850\s*;[^,\r\n]*?cause\s*=\s*(\d{1,3})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one customer leg ended, as the line process saw it.

    `rang` says a 180 or 183 came; `provisional` any provisional answer, 100 included; `local` that
    our own stack made the code (PJSIP makes 408 and 503 itself when a peer is silent or a socket
    fails); `ring_timeout` and `cancelled` why we sent CANCEL ourselves, if we did.
    """

    code: int
    reason: str = ""
    cause: int | None = None
    answered: bool = False
    rang: bool = False
    provisional: bool = False
    local: bool = False
    ring_timeout: bool = False
    cancelled: bool = False


def outcome(ending: Ending) -> Outcome:
    """Return what the network did; defined for every code from 0 to 699."""
    if ending.answered:
        return Outcome.ANSWERED
    if ending.cancelled:
        return Outcome.CANCELLED
    if ending.ring_timeout:
        return Outcome.NO_ANSWER if ending.provisional else Outcome.TRUNK_FAULT
    if ending.local or not 300 <= ending.code <= 699:
        return Outcome.TRUNK_FAULT
    if _is_blocked(ending):
        # Before the cause: "603+" always carries cause 21 as well (ATIS-1000099 §5).
        return Outcome.BLOCKED
    if ending.cause in _BY_CAUSE:
        return _BY_CAUSE[ending.cause]
    return _by_code(ending)


def _is_blocked(ending: Ending) -> bool:
    return ending.code in _BLOCKED or (
        ending.code == _DECLINE and "network blocked" in ending.reason.lower()
    )


def _by_code(ending: Ending) -> Outcome:
    code = ending.code
    if code < 400:
        return Outcome.REFUSED
    if code in _BUSY:
        return Outcome.BUSY
    if code in _INVALID:
        return Outcome.INVALID_NUMBER
    if code == _DECLINE:
        return Outcome.DECLINED
    if code in {_TEMPORARILY_UNAVAILABLE, _REQUEST_TERMINATED}:
        return Outcome.NO_ANSWER if ending.rang else Outcome.UNAVAILABLE
    if code == _REQUEST_TIMEOUT:
        if ending.rang:
            return Outcome.NO_ANSWER
        return Outcome.UNAVAILABLE if ending.provisional else Outcome.TRUNK_FAULT
    return Outcome.TRUNK_FAULT


def ended_by(ending: Ending, *, hung_up_by_us: bool) -> EndedBy:
    """Return who ended it: us, the other party, or the network in between."""
    if hung_up_by_us or ending.cancelled or ending.ring_timeout:
        return EndedBy.US
    if ending.answered:
        return EndedBy.THEM
    if ending.local or outcome(ending) is Outcome.TRUNK_FAULT:
        return EndedBy.NETWORK
    return EndedBy.THEM


def q850_cause(message: str) -> int | None:
    """Return the Q.850 cause of a Reason header (RFC 3326) in a SIP message, if it has one."""
    if "850" not in message:
        return None
    for line in message.split("\n"):
        if line[:7].lower() == "reason:":
            found = _CAUSE.search(line)
            if found:
                return int(found[1])
        if line in {"", "\r"}:
            break
    return None
