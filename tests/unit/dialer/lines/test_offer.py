"""The SDP offer a trunk gets."""

from __future__ import annotations

from dialer.lines.offer import restrict

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 8 3 96 101\r\na=rtcp:4001\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:3 GSM/8000\r\na=rtpmap:96 opus/48000/2\r\n"
    "a=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
    "a=sendrecv\r\n"
)


def test_only_the_trunks_codecs_in_its_order() -> None:
    """The offer names the trunk's codecs, in its order, and keeps telephone events."""
    offer = restrict(SDP, ["PCMA", "PCMU"], ptime_ms=20)

    assert "m=audio 4000 RTP/AVP 8 0 101\r\n" in offer
    assert "opus" not in offer
    assert "fmtp:96" not in offer
    assert "a=fmtp:101 0-16\r\n" in offer
    assert offer.endswith("a=ptime:20\r\n")


def test_names_of_codecs_are_not_case_sensitive() -> None:
    """`OPUS` and `opus` are the same codec (RFC 4855 §3)."""
    assert "m=audio 4000 RTP/AVP 96 101" in restrict(SDP, ["OPUS"], ptime_ms=20)


def test_offer_is_never_emptied() -> None:
    """A trunk whose codecs we do not have gets the whole offer, and says 488 itself."""
    assert SDP == restrict(SDP, ["G722"], ptime_ms=20)
