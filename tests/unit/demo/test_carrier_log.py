"""Reading the carrier's log of a call that both sides end at once."""

from pathlib import Path

import pytest

from siplab import books

CALL = (
    ("R", "1 INVITE", "INVITE sip:+12125550101@127.0.0.1:5060 SIP/2.0"),
    ("S", "1 INVITE", "SIP/2.0 200 OK"),
    ("R", "1 ACK", "ACK sip:+12125550101@127.0.0.1:5060 SIP/2.0"),
)
OURS = ("R", "2 BYE", "BYE sip:carrier@127.0.0.1:5060 SIP/2.0")
THEIRS = ("S", "1 BYE", "BYE sip:+12125550199@127.0.0.1:6000 SIP/2.0")


def logged(folder: Path, *messages: tuple[str, str, str]) -> books.CarrierCall:
    """Return the call with these messages as the carrier's books have it."""
    lines = [
        f"2026-03-02\t12:00:{at:02d}\t{1000 + at}.0\t{way}\tc1\tCSeq:{cseq}\t{first}\n"
        for at, (way, cseq, first) in enumerate((*CALL, *messages))
    ]
    (folder / books.WIRE.format(1)).write_text("".join(lines))
    (call,) = books.read(folder)
    return call


@pytest.mark.parametrize(
    ("messages", "ended_by", "crossed"),
    [
        ((OURS,), "caller", False),
        ((THEIRS,), "carrier", False),
        ((THEIRS, THEIRS), "carrier", False),
        ((OURS, THEIRS), "caller", True),
        ((THEIRS, OURS), "carrier", True),
    ],
)
def test_who_hung_up(
    tmp_path: Path, messages: tuple[tuple[str, str, str], ...], ended_by: str, *, crossed: bool
) -> None:
    """
    The first BYE ends the call; one of the other side shows that both hung up at once.
    """
    call = logged(tmp_path, *messages)

    assert (ended_by, crossed) == (call.ended_by, call.byes_crossed)
