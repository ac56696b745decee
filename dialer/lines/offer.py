"""The SDP offer of a trunk: only its codecs, in its order, with its packet time (RFC 4566)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Payload types that need no rtpmap line (RFC 3551 §6).
_STATIC = {"0": "PCMU", "3": "GSM", "8": "PCMA", "9": "G722"}
_EVENTS = "telephone-event"


def restrict(sdp: str, codecs: Sequence[str], *, ptime_ms: int) -> str:
    """Return *sdp* with its audio limited to *codecs* (encoding names), telephone events kept.

    An offer that would be left without any codec stays as it is: the trunk then says 488, which
    names the problem better than silence.
    """
    lines = sdp.replace("\r\n", "\n").rstrip("\n").split("\n")
    names = dict(_STATIC)
    for line in lines:
        if line.startswith("a=rtpmap:"):
            payload, _, encoding = line[len("a=rtpmap:") :].partition(" ")
            names[payload] = encoding.split("/")[0]
    audio = next((line for line in lines if line.startswith("m=audio ")), "")
    head, offered = audio.split(" ")[:3], audio.split(" ")[3:]
    wanted = [codec.lower() for codec in codecs]
    kept = sorted(
        (payload for payload in offered if names.get(payload, "").lower() in wanted),
        key=lambda payload: wanted.index(names[payload].lower()),
    )
    if not kept:
        return sdp
    kept += [payload for payload in offered if names.get(payload, "").lower() == _EVENTS]
    dropped = set(offered) - set(kept)
    result = []
    for line in lines:
        if line == audio:
            result.append(" ".join([*head, *kept]))
        elif line.startswith("a=ptime:") or _payload(line) in dropped:
            continue
        else:
            result.append(line)
    result.append(f"a=ptime:{ptime_ms}")
    return "\r\n".join(result) + "\r\n"


def _payload(line: str) -> str | None:
    for prefix in ("a=rtpmap:", "a=fmtp:"):
        if line.startswith(prefix):
            return line[len(prefix) :].partition(" ")[0]
    return None
