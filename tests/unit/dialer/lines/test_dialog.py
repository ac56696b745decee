"""What is kept of a dialog, and the BYE and CANCEL made from it."""

from __future__ import annotations

from dialer.lines import orphans
from dialer.lines.dialog import Dialog, headers
from dialer.lines.orphans import Credentials

INVITE = (
    "INVITE sip:+12025550101@192.0.2.1:5060 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKabc\r\n"
    'From: "Us" <sip:+12025550100@192.0.2.1>;tag=ours\r\n'
    "To: <sip:+12025550101@192.0.2.1>\r\n"
    "Contact: <sip:us@192.0.2.9:5062>\r\n"
    "Call-ID: call-1\r\n"
    "CSeq: 41 INVITE\r\n"
    "Route: <sip:proxy.example;lr>\r\n"
    "Content-Length: 0\r\n\r\n"
)
ANSWER = (
    "SIP/2.0 200 OK\r\n"
    "v: SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKabc\r\n"
    "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n"
    "f: <sip:+12025550100@192.0.2.1>;tag=ours\r\n"
    "t: <sip:+12025550101@192.0.2.1>;tag=theirs\r\n"
    "m: <sip:far@192.0.2.77:5070;transport=udp>\r\n"
    "i: call-1\r\nCSeq: 41 INVITE\r\nl: 0\r\n\r\n"
)


def _dialog() -> Dialog:
    return Dialog.from_invite(INVITE, transport="udp", peer="192.0.2.1:5060").answered(ANSWER)


def test_bye_follows_the_dialog_of_the_answer() -> None:
    """A BYE goes to the far Contact, by the reversed record route, with both tags and a new CSeq.

    RFC 3261 §12.1.2 and §12.2.1.1.
    """
    message = orphans.bye(_dialog(), sent_by="192.0.2.50:9999")
    found = headers(message)

    assert message.startswith("BYE sip:far@192.0.2.77:5070;transport=udp SIP/2.0\r\n")
    assert ["<sip:p1.example;lr>", "<sip:p2.example;lr>"] == [
        value for name, value in found if name == "route"
    ]
    assert ("cseq", f"{41 + orphans.CSEQ_AHEAD} BYE") in found
    assert any(name == "to" and value.endswith("tag=theirs") for name, value in found)
    assert any(name == "from" and value.endswith("tag=ours") for name, value in found)


def test_cancel_repeats_its_invite() -> None:
    """A CANCEL has the INVITE's Via, CSeq number and Request-URI, and a To without tag (§9.1)."""
    ringing = Dialog.from_invite(INVITE, transport="udp", peer="192.0.2.1:5060")
    message = orphans.cancel(ringing)
    found = headers(message)

    assert message.startswith("CANCEL sip:+12025550101@192.0.2.1:5060 SIP/2.0\r\n")
    assert ("via", "SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKabc") in found
    assert ("cseq", "41 CANCEL") in found
    assert ("to", "<sip:+12025550101@192.0.2.1>") in found
    assert ("route", "<sip:proxy.example;lr>") in found


def test_cancel_of_a_challenged_call_repeats_the_second_invite() -> None:
    """After a digest challenge the CANCEL names the INVITE that is being answered."""
    ringing = (
        "SIP/2.0 180 Ringing\r\n"
        "Via: SIP/2.0/UDP 192.0.2.9:5062;rport=5062;received=192.0.2.9;branch=z9hG4bKsecond\r\n"
        "CSeq: 42 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    dialog = Dialog.from_invite(INVITE, transport="udp", peer="192.0.2.1:5060").ringing(ringing)
    found = headers(orphans.cancel(dialog))

    assert ("via", "SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKsecond") in found
    assert ("cseq", "42 CANCEL") in found
    assert ("to", "<sip:+12025550101@192.0.2.1>") in found


def test_bye_of_an_early_dialog_has_its_tag() -> None:
    """A call answered after its process died is reached by the tag its ringing named (§15)."""
    ringing = (
        "SIP/2.0 180 Ringing\r\nTo: <sip:+12025550101@192.0.2.1>;tag=early\r\n"
        "Contact: <sip:far@192.0.2.7>\r\nCSeq: 41 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    dialog = Dialog.from_invite(INVITE, transport="udp", peer="192.0.2.1:5060").ringing(ringing)
    message = orphans.bye(dialog, sent_by="192.0.2.50:9999")

    assert message.startswith("BYE sip:far@192.0.2.7 SIP/2.0")
    assert ("to", "<sip:+12025550101@192.0.2.1>;tag=early") in headers(message)


def test_dialog_survives_its_row() -> None:
    """What is read back from the `leg` row is what was stored."""
    assert _dialog() == Dialog.from_json(_dialog().to_json())


def test_dialog_of_a_call_we_answered() -> None:
    """For a phone that called in the roles are swapped: our tag is in To (RFC 3261 §12.1.1)."""
    dialog = Dialog.from_incoming(INVITE, ANSWER, transport="udp", peer="192.0.2.1:5060")

    assert dialog.local.endswith("tag=theirs")
    assert dialog.remote.endswith("tag=ours")
    assert "sip:us@192.0.2.9:5062" == dialog.target


def test_digest_matches_the_example_of_the_rfc() -> None:
    """The response of the worked example in RFC 2617 §3.5 is ours too, but for the client nonce.

    Checked without qop, whose response has no random part: MD5(HA1:nonce:HA2).
    """
    challenge = (
        'SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"\r\n'
        "\r\n"
    )
    line = orphans.digest(
        challenge,
        "Authorization",
        "GET",
        "/dir/index.html",
        Credentials("Mufasa", "Circle Of Life"),
    )

    assert line.startswith('Authorization: Digest username="Mufasa"')
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in line
