"""Building blocks of SIPp scenarios: messages, jumps, actions, as XML text.

SIPp's XML parser knows double quotes only, drops carriage returns, and wants status codes and
requests spelled out. A jump (``nop``) runs one scheduler tick after what precedes it.
"""

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape

TAG = "tag=siplab[pid]c[call_number]"
"""The tag the carrier adds to To."""


def quoted(value: str) -> str:
    """Return an attribute value; SIPp's parser knows double quotes only."""
    return '"' + escape(value, {'"': "&quot;"}) + '"'


def send(lines: Iterable[str], *, retrans: bool = False, then: str = "") -> str:
    """Return a message to send, again and again until answered if *retrans*.

    *then* names the label to go on at. It must not be a jump of its own: SIPp runs that one a tick
    later, and an ACK that arrives in between would not be expected yet.
    """
    attributes = ' retrans="500"' if retrans else ""
    attributes += f' next="{then}"' if then else ""
    return f"<send{attributes}><![CDATA[\n" + "\n".join(lines) + "\n]]></send>"


def goto(label: str, test: str = "") -> str:
    """Return a jump, taken if the variable *test* is set (or none is named)."""
    condition = f' test="{test}"' if test else ""
    return f'<nop next="{label}"{condition}/>'


def do(*actions: str) -> str:
    """Return actions to run between messages."""
    return "<nop><action>" + "".join(actions) + "</action></nop>"


def flag(name: str) -> str:
    """Return the action that sets a variable for `goto` to test."""
    return f'<assign assign_to="{name}" value="1"/>'


def dispatch(variable: str, labels: Mapping[int, str], scope: str) -> list[str]:
    """Return the jumps to the label of *variable*'s value, by halving: each step costs a tick."""
    values = sorted(labels)
    if len(values) == 1:
        return [goto(labels[values[0]])]
    middle = len(values) // 2
    upper = f"{scope}_from_{values[middle]}"
    test = f'<test assign_to="same" variable="{variable}" compare="greater_than_equal"'
    return [
        f'<nop next="{upper}" test="same"><action>{test} value="{values[middle]}"/></action></nop>',
        *dispatch(variable, {value: labels[value] for value in values[:middle]}, scope),
        f'<label id="{upper}"/>',
        *dispatch(variable, {value: labels[value] for value in values[middle:]}, scope),
    ]


def reply(status: str, *headers: str, body: Iterable[str] = ()) -> list[str]:
    """Return an answer to the request just received."""
    head = ["SIP/2.0 " + status, "[last_Via:]", "[last_From:]", f"[last_To:];{TAG}"]
    return [*head, "[last_Call-ID:]", "[last_CSeq:]", *headers, *content(body)]


def answer_to_invite(status: str, *headers: str, body: Iterable[str] = ()) -> list[str]:
    """Return an answer to the INVITE that began the call, whatever has come in since."""
    head = ["SIP/2.0 " + status, "[$vias]", "From:[$from]", f"To:[$to];{TAG}"]
    return [*head, "Call-ID: [call_id]", "CSeq:[$cseq]", *headers, *content(body)]


def request(method: str, cseq: int, *headers: str, body: Iterable[str] = ()) -> list[str]:
    """Return a request within the dialog, from the carrier's side."""
    head = [f"{method} [next_url] SIP/2.0"]
    head += ["Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport"]
    head += [f"From:[$to];{TAG}", "To:[$from]", "Call-ID: [call_id]", f"CSeq: {cseq} {method}"]
    return [*head, "[routes]", "Max-Forwards: 70", *headers, *content(body)]


def refused_ack(cseq: int, distance: int) -> list[str]:
    """Return the ACK to a refusal of our re-INVITE: same transaction, so the same branch.

    *distance* is how many messages and pauses of the scenario lie between INVITE and ACK, plus one.
    """
    lines = request("ACK", cseq)
    return [line.replace("[branch]", f"[branch-{distance}]") for line in lines]


def any_final(label: str) -> list[str]:
    """Return receives for whatever final answer a request of ours gets, each going on at *label*.

    SIPp cannot match responses by pattern; a code missing here goes on after the timeout.
    """
    codes = (202, 400, 403, 404, 405, 406, 408, 415, 420, 480, 481, 486, 487, 488, 489, 491)
    return [
        *(
            f'<recv response="{code}" optional="true" next="{label}"/>'
            for code in (*codes, 500, 501, 503, 600, 603, 606)
        ),
        f'<recv response="200" timeout="8000" ontimeout="{label}" next="{label}"/>',
    ]


def content(body: Iterable[str]) -> list[str]:
    """Return the headers that end a message, and its body."""
    lines = list(body)
    if not lines:
        return ["Content-Length: 0", ""]
    return ["Content-Type: application/sdp", "Content-Length: [len]", "", *lines]
