"""Session descriptions: one G.711 audio stream with RFC 4733 events (RFC 3264, RFC 8866)."""

import enum
import re
from dataclasses import dataclass


class Direction(enum.StrEnum):
    """Which way audio flows, seen from the describer's side."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Tell whether the describer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Tell whether the describer listens."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def mirrored(self) -> "Direction":
        """Return the same flow seen from the other side."""
        swapped = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
        return swapped.get(self, self)


class NoCommonCodecError(ValueError):
    """The description has no plain RTP audio stream with G.711."""


G711_TYPES = (0, 8)
"""Payload types PCMU and PCMA (RFC 3551)."""
_DIRECTIONS = frozenset(direction.value for direction in Direction)
_NAMES = {0: "PCMU", 8: "PCMA"}
_DEFAULT_EVENT_TYPE = 101


@dataclass(frozen=True, slots=True)
class Description:
    """What one side says of its audio."""

    host: str
    port: int
    payload_types: tuple[int, ...]
    """G.711 types in order of preference."""
    event_type: int | None
    """Payload type of telephone-event, None if not offered."""
    direction: Direction = Direction.SENDRECV


def parse(body: str) -> Description:
    """Read the first audio stream; NoCommonCodecError if it is none we speak."""
    host, port, formats, direction = "", 0, [], Direction.SENDRECV
    event_type: int | None = None
    in_audio = False
    for line in body.replace("\r\n", "\n").split("\n"):
        if line.startswith("m="):
            if in_audio:
                break
            media = line[2:].split()
            if media[0] == "audio" and media[2] in ("RTP/AVP", "RTP/AVPF"):
                in_audio, port = True, int(media[1])
                formats = [int(text) for text in media[3:]]
        elif line.startswith("c=IN IP"):
            # The stream's own line, if any, comes after the session's and wins.
            host = line.split()[2]
        elif line.startswith("a=") and line[2:] in _DIRECTIONS:
            direction = Direction(line[2:])
        elif in_audio and (found := re.match(r"a=rtpmap:(\d+) telephone-event/8000", line)):
            event_type = int(found.group(1))
    payload_types = tuple(number for number in formats if number in G711_TYPES)
    if not in_audio or not host or not payload_types:
        message = "no plain RTP audio stream with PCMU or PCMA is described"
        raise NoCommonCodecError(message)
    if host == "0.0.0.0":  # noqa: S104 - how RFC 2543 phones put a call on hold
        direction = Direction.INACTIVE
    return Description(host, port, payload_types, event_type, direction)


def offer(
    host: str,
    port: int,
    direction: Direction = Direction.SENDRECV,
    payload_types: tuple[int, ...] = G711_TYPES,
) -> Description:
    """Return what a phone offers of its own accord."""
    return Description(host, port, payload_types, _DEFAULT_EVENT_TYPE, direction)


def answer(offered: Description, host: str, port: int, wanted: tuple[int, ...]) -> Description:
    """Return the answer to *offered*, its first codec that we also want, flow mirrored."""
    common = tuple(number for number in offered.payload_types if number in wanted)[:1]
    if not common:
        message = "no common G.711 codec"
        raise NoCommonCodecError(message)
    return Description(host, port, common, offered.event_type, offered.direction.mirrored)


def encode(description: Description, session: int, version: int) -> str:
    """Return the body for the wire."""
    types = [*description.payload_types]
    if description.event_type is not None:
        types.append(description.event_type)
    lines = [
        "v=0",
        f"o=phone {session} {version} IN IP4 {description.host}",
        "s=-",
        f"c=IN IP4 {description.host}",
        "t=0 0",
        f"m=audio {description.port} RTP/AVP {' '.join(str(number) for number in types)}",
    ]
    lines += [f"a=rtpmap:{n} {_NAMES[n]}/8000" for n in description.payload_types]
    if description.event_type is not None:
        lines.append(f"a=rtpmap:{description.event_type} telephone-event/8000")
        lines.append(f"a=fmtp:{description.event_type} 0-15")
    lines += ["a=ptime:20", f"a={description.direction.value}"]
    return "\r\n".join(lines) + "\r\n"
