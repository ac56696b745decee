"""SIP messages: parse, ask, build. Only what the lab needs of RFC 3261 7 and 20."""

import re
from dataclasses import dataclass, field

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "k": "supported",
}
_URI = re.compile(r"<([^>]*)>|^\s*([^;\s]+)")
_TAG = re.compile(r";\s*tag=([^;\s>]+)")


class MalformedMessageError(ValueError):
    """The bytes are no SIP message."""


@dataclass(slots=True)
class Message:
    """One request or response; header names are lower case, long form, in the order received."""

    first_line: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @property
    def is_request(self) -> bool:
        """Tell requests from responses."""
        return not self.first_line.startswith("SIP/2.0 ")

    @property
    def status(self) -> int:
        """Return the status code of a response, 0 for a request."""
        return 0 if self.is_request else int(self.first_line[8:11])

    @property
    def reason(self) -> str:
        """Return the reason phrase of a response, empty for a request."""
        return "" if self.is_request else self.first_line[12:]

    @property
    def method(self) -> str:
        """Return the method; of a response, the one its CSeq names."""
        if self.is_request:
            return self.first_line.partition(" ")[0]
        return self.header("cseq").rpartition(" ")[2]

    @property
    def uri(self) -> str:
        """Return the Request-URI."""
        return self.first_line.split(" ")[1] if self.is_request else ""

    @property
    def cseq(self) -> int:
        """Return the CSeq number."""
        return int(self.header("cseq").split()[0])

    @property
    def call_id(self) -> str:
        """Return the Call-ID."""
        return self.header("call-id")

    @property
    def branch(self) -> str:
        """Return the topmost Via's branch, which names the transaction."""
        found = re.search(r";\s*branch=([^;\s,]+)", self.header("via"))
        return found.group(1) if found else ""

    def header(self, name: str) -> str:
        """Return the first value of a header, empty if it is absent."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return every value of a header, in order."""
        return [value for key, value in self.headers if key == name]

    def tag(self, name: str) -> str:
        """Return the tag of From or To, empty if it has none."""
        found = _TAG.search(self.header(name))
        return found.group(1) if found else ""

    def encode(self) -> bytes:
        """Return the bytes for the wire; Content-Length is added."""
        lines = [self.first_line]
        lines += [f"{_canonical(name)}: {value}" for name, value in self.headers]
        body = self.body.encode()
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body

    def reply(self, status: str, to_tag: str, *extra: tuple[str, str], body: str = "") -> "Message":
        """Return a response to this request; *status* is code and phrase."""
        headers: list[tuple[str, str]] = []
        for name, value in self.headers:
            if name in ("via", "record-route", "from", "call-id", "cseq"):
                headers.append((name, value))
            elif name == "to":
                tagged = value if ";tag=" in value or not to_tag else f"{value};tag={to_tag}"
                headers.append((name, tagged))
        return Message(f"SIP/2.0 {status}", [*headers, *extra], body)


def parse(data: bytes) -> Message:
    """Return the message in *data*; MalformedMessageError if there is none."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
    first_line = lines[0]
    if " " not in first_line or "SIP/2.0" not in first_line:
        message = "not a SIP message"
        raise MalformedMessageError(message)
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers.append((_COMPACT.get(key, key), value.strip()))
    return Message(first_line, headers, body)


def uri_of(value: str) -> str:
    """Return the URI in a From, To, Contact or Route value."""
    found = _URI.search(value)
    if found is None:
        message = "no URI in the header"
        raise MalformedMessageError(message)
    return found.group(1) or found.group(2)


def address_of(uri: str) -> tuple[str, int]:
    """Return host and port of a SIP URI (5060 if it names none)."""
    rest = uri.partition(":")[2].rpartition("@")[2]
    host_port = re.split(r"[;?>]", rest)[0]
    host, _, port = host_port.partition(":")
    return host, int(port) if port else 5060


def _canonical(name: str) -> str:
    special = {"call-id": "Call-ID", "cseq": "CSeq", "www-authenticate": "WWW-Authenticate"}
    return special.get(name) or "-".join(part.capitalize() for part in name.split("-"))
