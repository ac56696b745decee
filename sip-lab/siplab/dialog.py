"""One call's dialog (RFC 3261 12): its tags, target, route and sequence numbers, on either side."""

import secrets
from dataclasses import dataclass, field

from siplab.endpoint import Address, Endpoint
from siplab.message import Message, address_of, uri_of


@dataclass(slots=True)
class Dialog:
    """What a request within the call needs."""

    call_id: str
    local: str
    """Our From or To value, with our tag."""
    remote: str
    """The other side's, with its tag once known."""
    target: str
    """URI of the other side's Contact."""
    routes: list[str] = field(default_factory=list)
    cseq: int = 0
    remote_cseq: int = 0

    @classmethod
    def called(cls, invite: Message) -> "Dialog":
        """Return the dialog a received INVITE begins."""
        to = invite.header("to")
        local = to if ";tag=" in to else f"{to};tag={secrets.token_hex(6)}"
        contact = invite.header("contact") or invite.header("from")
        return cls(
            call_id=invite.call_id,
            local=local,
            remote=invite.header("from"),
            target=uri_of(contact),
            routes=invite.all("record-route"),
            remote_cseq=invite.cseq,
        )

    @classmethod
    def calling(cls, local_uri: str, target: str) -> "Dialog":
        """Return the dialog for an INVITE of our own."""
        return cls(
            call_id=f"phone-{secrets.token_hex(10)}",
            local=f"<{local_uri}>;tag={secrets.token_hex(6)}",
            remote=f"<{target}>",
            target=target,
        )

    @property
    def local_tag(self) -> str:
        """Return our tag."""
        return self.local.rpartition(";tag=")[2]

    @property
    def remote_tag(self) -> str:
        """Return the other side's tag, empty while it has none."""
        return self.remote.rpartition(";tag=")[2] if ";tag=" in self.remote else ""

    def confirm(self, answer: Message) -> None:
        """Learn tag, target and route from the answer to our INVITE."""
        self.remote = answer.header("to") or self.remote
        if contact := answer.header("contact"):
            self.target = uri_of(contact)
        self.routes = list(reversed(answer.all("record-route")))

    def destination(self) -> Address:
        """Return where requests go: the first route, else the target."""
        return address_of(uri_of(self.routes[0]) if self.routes else self.target)

    def request(
        self,
        endpoint: Endpoint,
        method: str,
        contact: str,
        *headers: tuple[str, str],
        body: str = "",
        cseq: int | None = None,
    ) -> Message:
        """Return a request within the dialog; ACK passes the *cseq* of its INVITE."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        fields = [
            ("via", endpoint.via(endpoint.new_branch())),
            ("max-forwards", "70"),
            ("from", self.local),
            ("to", self.remote),
            ("call-id", self.call_id),
            ("cseq", f"{cseq} {method}"),
            ("contact", f"<{contact}>"),
            *(("route", route) for route in self.routes),
            *headers,
        ]
        if body:
            fields.append(("content-type", "application/sdp"))
        return Message(f"{method} {self.target} SIP/2.0", fields, body)
