"""What is kept of a SIP dialog so that another process can end it: BYE, or CANCEL while it rings.

RFC 3261 §12.1.2 and §12.2.1.1 say what a request inside a dialog carries, §9.1 what a CANCEL must
repeat of its INVITE. The values are kept as the text of the headers, which is what goes back out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "k": "supported",
    "l": "content-length",
    "c": "content-type",
}
_URI = re.compile(r"<([^>]+)>|^\s*([^;,\s]+)")


def headers(message: str) -> list[tuple[str, str]]:
    """Return (lower-case name, value) of each header of a SIP message, folded lines joined."""
    found: list[tuple[str, str]] = []
    for line in message.replace("\r\n", "\n").split("\n")[1:]:
        if not line:
            break
        if line[0] in " \t" and found:
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}")
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        found.append((_COMPACT.get(name, name), value.strip()))
    return found


def _by_name(message: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers(message):
        found.setdefault(name, []).append(value)
    return found


def _first(found: dict[str, list[str]], name: str) -> str:
    return found[name][0] if name in found else ""


def _cseq(found: dict[str, list[str]]) -> int:
    digits = _first(found, "cseq").split(" ", 1)[0]
    return int(digits) if digits.isdigit() else 0


def _uri(value: str) -> str:
    match = _URI.search(value)
    return (match[1] or match[2] or "") if match else ""


def _routes(values: list[str]) -> list[str]:
    return [part.strip() for value in values for part in re.split(r",(?=\s*[^,]*<)", value)]


@dataclass(frozen=True, slots=True)
class Dialog:
    """One dialog seen from our side.

    `local` and `remote` are whole From/To values with their tags; `target` is where requests go
    (the far Contact). Of our INVITE: `via` is its top Via, `to` its To without tag, `uri` its
    Request-URI, `invite_routes` its Routes; `peer` is the socket address we sent it to.
    """

    call_id: str
    local: str
    remote: str
    target: str
    cseq: int
    transport: str
    via: str = ""
    to: str = ""
    uri: str = ""
    peer: str = ""
    routes: list[str] = field(default_factory=list)
    invite_routes: list[str] = field(default_factory=list)

    @classmethod
    def from_invite(cls, message: str, *, transport: str, peer: str) -> Self:
        """Return the half-made dialog of an INVITE we sent."""
        found = _by_name(message)
        return cls(
            call_id=_first(found, "call-id"),
            local=_first(found, "from"),
            remote=_first(found, "to"),
            target=message.split(" ", 2)[1],
            cseq=_cseq(found),
            transport=transport,
            via=_first(found, "via"),
            to=_first(found, "to"),
            uri=message.split(" ", 2)[1],
            peer=peer,
            routes=_routes(found.get("route", [])),
            invite_routes=_routes(found.get("route", [])),
        )

    def ringing(self, message: str) -> Dialog:
        """Return the early dialog of a provisional answer, and which INVITE a CANCEL repeats.

        A challenged INVITE was sent twice, with another branch and CSeq; the answer names the one
        that counts. What the far side added to our Via (received, rport) is taken off again.
        """
        found = _by_name(message)
        via = re.sub(r";\s*received=[^;]*", "", _first(found, "via"))
        via = re.sub(r";\s*rport=\d+", ";rport", via)
        return replace(self.answered(message), via=via or self.via)

    def answered(self, message: str) -> Dialog:
        """Return the dialog after the far side's 2xx to our INVITE (RFC 3261 §12.1.2)."""
        found = _by_name(message)
        recorded = _routes(found.get("record-route", []))
        return replace(
            self,
            remote=_first(found, "to") or self.remote,
            target=_uri(_first(found, "contact")) or self.target,
            cseq=_cseq(found) or self.cseq,
            routes=recorded[::-1] or self.routes,
        )

    @classmethod
    def from_incoming(cls, invite: str, answer: str, *, transport: str, peer: str) -> Self:
        """Return the dialog of an INVITE we answered with *answer* (RFC 3261 §12.1.1)."""
        asked, said = _by_name(invite), _by_name(answer)
        return cls(
            call_id=_first(asked, "call-id"),
            local=_first(said, "to"),
            remote=_first(asked, "from"),
            target=_uri(_first(asked, "contact")),
            cseq=0,
            transport=transport,
            peer=peer,
            routes=_routes(asked.get("record-route", [])),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the dialog as JSON for the `leg` row."""
        # asdict() copies every value deeply, for each call: these are text, numbers and one list.
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the dialog stored in a `leg` row."""
        return cls(**stored)


_FIELDS = tuple(part.name for part in fields(Dialog))
