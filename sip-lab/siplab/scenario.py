"""The SIPp scenario of the carrier, generated.

One scenario serves every call. A table (`plan_table`) says which route a call takes and how long
its stages last; a chain of tests jumps there. SIPp accepts a message it does not wait for if an
earlier ``optional="global"`` receive names it: so CANCEL is caught in every stage before the
answer, BYE and re-INVITE in every stage after it, and their labels look at the flags set so far.

SIPp 3.6.1 quirks met here: an optional receive may not stand directly before a pause; headers of
the INVITE must be kept in variables because ``[last_...]`` means the last message of any kind; an
empty variable alone on a line would end the headers, so each variable line is never empty.
"""

from siplab.gate import challenge, receive_registration, registration, verify
from siplab.number_plan import BY_LAST_TWO, Behaviour
from siplab.plan_table import COURSES, KEY_DIGITS, SOUNDS, Route
from siplab.setting import Setting
from siplab.sipp_xml import (
    answer_to_invite,
    any_final,
    content,
    dispatch,
    do,
    flag,
    goto,
    quoted,
    refused_ack,
    reply,
    request,
    send,
)

# SIPp's XML parser drops carriage returns, so line ends are matched as control characters.
_VIAS = "(Via|v|Record-Route):[[:print:]]*"
# The user part of the Request-URI and nothing else: From has digits and an @ too.
_USER = "INVITE sips?:[^@;]*"
_BYE_FROM = (
    '<ereg regexp="Via: SIP/2.0/UDP ([0-9.]+):([0-9]+)" search_in="msg"'
    ' assign_to="junk,bye_host,bye_port"/>'
)
_FIRST_REFUSAL = 300
_FIELDS = (
    # name, column in the table, is it a number SIPp calculates with
    ("route", 1, True),
    ("ring", 2, True),
    ("post_dial", 3, True),
    ("talk", 4, True),
    ("code", 5, True),
    ("phrase", 10, False),
    ("cause", 6, False),
    ("header", 7, False),
    ("sound", 8, True),
    ("behaviour", 9, False),
)


def carrier(setting: Setting) -> str:
    """Return the XML of the carrier's scenario."""
    parts = [
        '<?xml version="1.0" encoding="ISO-8859-1" ?>',
        '<!DOCTYPE scenario SYSTEM "sipp.dtd">',
        '<scenario name="carrier">',
        *_start(setting),
        *_before_answer(setting),
        *_rejections(),
        *_answer(setting),
        *_conversation(setting),
        *_endings(setting),
        *registration(setting),
        '<label id="end"/>',
        # Mentions the captures nobody reads: SIPp refuses a scenario with unused variables.
        '<Reference variables="junk,unused"/>',
        "</scenario>",
    ]
    return "\n".join(parts) + "\n"


def busy() -> str:
    """Return the XML of a carrier that answers every INVITE with 486 and does nothing else."""
    parts = [
        '<?xml version="1.0" encoding="ISO-8859-1" ?>',
        '<!DOCTYPE scenario SYSTEM "sipp.dtd">',
        '<scenario name="busy">',
        '<recv request="OPTIONS" optional="true" next="options"/>',
        '<recv request="INVITE"/>',
        send(reply("486 Busy Here", "Contact: <sip:[local_ip]:[local_port]>"), retrans=True),
        '<recv request="ACK"/>',
        goto("end"),
        '<label id="options"/>',
        send(reply("200 OK")),
        '<label id="end"/>',
        "</scenario>",
    ]
    return "\n".join(parts) + "\n"


def _sdp(setting: Setting, *, events: bool, direction: str) -> list[str]:
    """Return the carrier's session description, with RFC 4733 events if the caller offered them."""
    codec, number = setting.codec, setting.codec.payload_type
    formats = f"{number} [$event_type]" if events else f"{number}"
    lines = [
        "v=0",
        "o=siplab [call_number] 1 IN IP[local_ip_type] [local_ip]",
        "s=-",
        "c=IN IP[media_ip_type] [media_ip]",
        "t=0 0",
        f"m=audio [rtpstream_audio_port] RTP/AVP {formats}",
        f"a=rtpmap:{number} {codec.value}/8000",
    ]
    if events:
        lines += ["a=rtpmap:[$event_type] telephone-event/8000", "a=fmtp:[$event_type] 0-15"]
    return [*lines, "a=ptime:20", f"a={direction}"]


def _send_with_sdp(setting: Setting, status: str, label: str, *, retrans: bool) -> list[str]:
    """Return an answer to the INVITE with SDP, in two versions: events offered, or not."""
    headers = (f"Contact: <{setting.contact}>", "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE")
    with_events = _sdp(setting, events=True, direction="sendrecv")
    without = _sdp(setting, events=False, direction="sendrecv")
    then = f"{label}_sent"
    return [
        goto(f"{label}_events", "event_type"),
        send(answer_to_invite(status, *headers, body=without), retrans=retrans, then=then),
        f'<label id="{label}_events"/>',
        send(answer_to_invite(status, *headers, body=with_events), retrans=retrans, then=then),
        f'<label id="{then}"/>',
    ]


def _play(setting: Setting, sound: str) -> str:
    """Return the action that streams a sound, over and over, in 20 ms packets."""
    codec = setting.codec
    source = setting.sounds_folder / f"{sound}.{codec.suffix}"
    stream = f"{source},-1,{codec.payload_type},{codec.value}/8000"
    return f"<exec rtp_stream={quoted(stream)}/>"


def _captures() -> str:
    """Return the actions that keep what the INVITE said."""
    return (
        '<ereg regexp="INVITE sips?:([^@]*)@" search_in="msg" assign_to="junk,dialed"/>'
        f'<ereg regexp="{_USER}([0-9]{{{KEY_DIGITS}}})[;@]" search_in="msg" assign_to="junk,key"/>'
        f'<ereg regexp="{_USER}{_mute_digits()}[;@]" search_in="msg" assign_to="is_MUTE,junk"/>'
        # All Via and Record-Route lines in one piece, without the last line's end.
        f'<ereg regexp="{_VIAS}([[:cntrl:]]+{_VIAS})*" search_in="msg"'
        ' assign_to="vias,junk,unused"/>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>'
        '<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="cseq"/>'
        '<ereg regexp="a=rtpmap:([0-9]+) telephone-event/8000" search_in="msg"'
        ' assign_to="junk,event_type"/>'
        f"{flag('invited')}"
    )


def _first_invite(setting: Setting) -> str:
    """Return the receive of an INVITE that begins a call."""
    actions = _captures() + verify(setting)
    return f'<recv request="INVITE" rrs="true"><action>{actions}</action></recv>'


def _mute_digits() -> str:
    """Return the pattern of the numbers that get no answer at all, not even 100 Trying."""
    mute = [digits for digits, b in BY_LAST_TWO.items() if b is Behaviour.MUTE]
    return "(" + "|".join(f"{digits:02d}" for digits in mute) + ")"


def _start(setting: Setting) -> list[str]:
    """Return the first request, the challenge, the look-up and the jump to the call's route."""
    parts = [
        '<recv request="OPTIONS" optional="true" next="options"/>',
        '<recv request="BYE" optional="true" next="stray"/>',
        receive_registration(setting, 'optional="true" next="register"'),
        '<recv request="CANCEL" optional="global" next="cancel"/>',
        _first_invite(setting),
    ]
    if setting.credentials is not None:
        parts += challenge(setting.credentials, _first_invite(setting))
    table = quoted(setting.table)
    parts += [
        goto("route_MUTE", "is_MUTE"),
        send(answer_to_invite("100 Trying")),
        do(
            f'<lookup assign_to="line" file={table} key="[$key]"/>',
            '<test assign_to="unknown" variable="line" compare="less_than" value="1"/>',
        ),
        goto("unknown", "unknown"),
    ]
    actions = []
    for name, column, is_number in _FIELDS:
        text = f"{name}_text" if is_number else name
        value = quoted(f'[field{column} file="{setting.table}" line="[$line]"]')
        actions.append(f'<assignstr assign_to="{text}" value={value}/>')
        if is_number:
            actions.append(f'<todouble assign_to="{name}" variable="{text}"/>')
    actions.append('<log message="call\t[call_id]\t[$dialed]\t[$behaviour]\t[$from]"/>')
    routes = {int(route): f"route_{route.name}" for route in Route}
    return [*parts, do(*actions), *dispatch("route", routes, "route")]


def _before_answer(setting: Setting) -> list[str]:
    """Return trying, ringing and early media, one block per route."""
    ringing = send(answer_to_invite("180 Ringing", f"Contact: <{setting.contact}>"))
    post_dial, ring = '<pause variable="post_dial"/>', '<pause variable="ring"/>'
    parts: list[str] = []
    for route, then in (
        (Route.RING_THEN_REJECT, "reject"),
        (Route.RING_FOREVER, "reject"),
        (Route.CROSS, "reject"),
        (Route.ANSWER, "answer"),
        (Route.REFER, "answer"),
        (Route.HOLD, "answer"),
        (Route.NO_RTP, "answer"),
    ):
        parts += [f'<label id="route_{route.name}"/>']
        if route in (Route.CROSS, Route.REFER, Route.HOLD, Route.NO_RTP):
            parts += [do(flag(f"is_{route.name}"))]
        parts += [post_dial, ringing, ring, goto(then)]
    for route, then in (
        (Route.EARLY_MEDIA_ANSWER, "answer"),
        (Route.EARLY_MEDIA_REJECT, "reject"),
    ):
        sound = "ringback" if route is Route.EARLY_MEDIA_ANSWER else "not_in_service"
        parts += [f'<label id="route_{route.name}"/>', post_dial]
        label = f"early_{route.name}"
        parts += _send_with_sdp(setting, "183 Session Progress", label, retrans=False)
        parts += [do(_play(setting, sound)), ring, goto(then)]
    parts += ['<label id="route_Q850_REJECT"/>', do(flag("has_cause"))]
    parts += ['<label id="route_REJECT"/>', post_dial, goto("reject")]
    # A mute carrier sends nothing at all, not even to a CANCEL; SIPp forgets the call in the end.
    parts += ['<label id="route_MUTE"/>', '<pause milliseconds="40000"/>']
    return [*parts, goto("end")]


def _rejections() -> list[str]:
    """Return the final answers that are no answer."""
    rejected = do(flag("rejected"))
    codes = sorted({course.code for course in COURSES.values() if course.code >= _FIRST_REFUSAL})
    # SIPp wants status codes in the XML itself; phrase and header may vary.
    by_code = dispatch("code", {code: f"reject_{code}" for code in codes}, "code")
    for code in codes:
        refusal = answer_to_invite(f"{code} [$phrase]", "[$header]")
        caused = answer_to_invite(f"{code} [$phrase]", "Reason: Q.850;cause=[$cause]")
        by_code += [
            f'<label id="reject_{code}"/>',
            goto(f"reject_{code}_cause", "has_cause"),
            send(refusal, retrans=True, then="reject_ack"),
            f'<label id="reject_{code}_cause"/>',
            send(caused, retrans=True, then="reject_ack"),
        ]
    return [
        '<label id="unknown"/>',
        do('<log message="call\t[call_id]\t[$dialed]\tunknown\t[$from]"/>'),
        rejected,
        send(
            answer_to_invite("404 Not Found", "Warning: 399 siplab number"),
            retrans=True,
            then="reject_ack",
        ),
        '<label id="reject"/>',
        rejected,
        *by_code,
        '<label id="reject_ack"/>',
        '<recv request="ACK"/>',
        goto("end"),
        # CANCEL: in a stage before the answer it ends the call; later it is only acknowledged.
        '<label id="cancel"/>',
        goto("route_MUTE", "is_MUTE"),
        goto("cancel_invited", "invited"),
        goto("stray"),
        '<label id="cancel_invited"/>',
        send(reply("200 OK")),
        goto("answer_sent", "answered"),
        goto("reject_ack", "rejected"),
        goto("answer", "is_CROSS"),
        rejected,
        send(answer_to_invite("487 Request Terminated"), retrans=True, then="reject_ack"),
        '<label id="stray"/>',
        send(reply("481 Call/Transaction Does Not Exist"), then="end"),
        '<label id="options"/>',
        send(reply("200 OK", "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"), then="end"),
    ]


def _reinvite() -> str:
    """Return the receive of a re-INVITE at any time in the call."""
    held = '<ereg regexp="a=(sendonly|inactive|recvonly)" search_in="msg" assign_to="junk,held"/>'
    attributes = 'request="INVITE" optional="global" next="reinvite" rrs="true"'
    return f"<recv {attributes}><action>{held}</action></recv>"


def _answer(setting: Setting) -> list[str]:
    """Return 200, ACK and the start of the sound."""
    parts = ['<label id="answer"/>', do(flag("answered"))]
    parts += _send_with_sdp(setting, "200 OK", "answer", retrans=True)
    parts += [
        _reinvite(),
        f'<recv request="BYE" optional="global" next="bye"><action>{_BYE_FROM}</action></recv>',
        # An ACK that slipped in while a CANCEL was being answered is not waited for for ever.
        '<recv request="ACK" timeout="8000" ontimeout="acknowledged"/>',
        '<label id="acknowledged"/>',
        goto("talk", "is_NO_RTP"),
    ]
    sounds = {index + 1: f"sound_{index + 1}" for index in range(len(SOUNDS))}
    parts += dispatch("sound", sounds, "sounds")
    for index, sound in enumerate(SOUNDS):
        parts += [f'<label id="sound_{index + 1}"/>', do(_play(setting, sound)), goto("spoken")]
    return [*parts, '<label id="spoken"/>', goto("hold", "is_HOLD"), goto("refer", "is_REFER")]


def _conversation(setting: Setting) -> list[str]:
    """Return the talk, what the far end tries in its midst, and its hang-up."""
    contact = f"Contact: <{setting.contact}>"
    parts = [
        goto("talk"),
        '<label id="refer"/>',
        '<pause milliseconds="800"/>',
        send(
            request("REFER", 1, contact, "Refer-To: <sip:+12025550199@127.0.0.1:9>"), retrans=True
        ),
        *any_final("talk"),
        '<label id="hold"/>',
    ]
    for cseq, direction in ((1, "sendonly"), (2, "sendrecv")):
        body = _sdp(setting, events=False, direction=direction)
        answers = [
            '<recv response="100" optional="true"/>',
            f'<recv response="200" optional="true" next="held_{direction}"/>',
            *any_final(f"unheld_{direction}"),
        ]
        parts += [
            '<pause milliseconds="1200"/>',
            send(request("INVITE", cseq, contact, body=body), retrans=True),
            *answers,
            f'<label id="unheld_{direction}"/>',
            send(refused_ack(cseq, len(answers) + 1)),
            goto("talk"),
            f'<label id="held_{direction}"/>',
            send(request("ACK", cseq)),
        ]
    return [
        *parts,
        '<label id="talk"/>',
        '<pause variable="talk"/>',
        send(request("BYE", 9, contact), retrans=True),
        *any_final("end"),
    ]


def _endings(setting: Setting) -> list[str]:
    """Return the answers to the caller's own BYE and re-INVITE."""
    contact = f"Contact: <{setting.contact}>"
    parts = [
        '<label id="bye"/>',
        # The successor of a crashed dialer sends BYE from a port of its own, and SIPp would answer
        # to the port of the INVITE; Via says where to (RFC 3261 18.2.2).
        goto("bye_from_elsewhere", "bye_port"),
        send(reply("200 OK"), then="end"),
        '<label id="bye_from_elsewhere"/>',
        do('<setdest host="[$bye_host]" port="[$bye_port]" protocol="udp"/>'),
        send(reply("200 OK"), then="end"),
        '<label id="reinvite"/>',
    ]
    for direction in ("sendonly", "inactive"):
        parts += [
            do(
                f'<strcmp assign_to="differs" variable="held" value="{direction}"/>',
                '<test assign_to="same" variable="differs" compare="equal" value="0"/>',
            ),
            goto(f"reinvite_{direction}", "same"),
        ]
    for held, mirrored in (("none", "sendrecv"), ("sendonly", "recvonly"), ("inactive",) * 2):
        body = _sdp(setting, events=False, direction=mirrored)
        parts += [
            f'<label id="reinvite_{held}"/>',
            send(_reinvite_reply(contact, body), retrans=True, then="reinvite_ack"),
        ]
    return [*parts, '<label id="reinvite_ack"/>', '<recv request="ACK"/>', goto("talk")]


def _reinvite_reply(contact: str, body: list[str]) -> list[str]:
    """Return a 200 to a request whose To already carries our tag."""
    head = ["SIP/2.0 200 OK", "[last_Via:]", "[last_Record-Route:]", "[last_From:]", "[last_To:]"]
    return [*head, "[last_Call-ID:]", "[last_CSeq:]", contact, *content(body)]
