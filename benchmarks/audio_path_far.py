"""The far side of the audio path benchmark: answers every INVITE, talks, and counts what it hears.

One process, plain UDP sockets, nothing of pjsua2: what arrives is judged by somebody else's code.
All calls share one RTP socket; a stream is known by the port it is sent from. It serves the
commands ``mark`` and ``report`` as `benchmarks.children` has it.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.children import say

_FRAME_S = 0.02
_PHASES = 5
_PATIENCE_S = 0.06  # what a phone's jitter buffer bridges; a frame after it comes for nothing
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python's socket module does not name it
_TIMESPEC = struct.Struct("@qq")
_RTP = struct.Struct("!BBHII")
_SILENCE = b"\xff"


@dataclass(slots=True)
class Stream:
    """One call: what is sent to it and what came from it since the mark."""

    role: str
    port: int
    offset: int
    sequence: int = 0
    frames: int = 0
    silent: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    longest_gap_s: float = 0.0
    late: float = 0.0
    missing: int = 0
    last_sequence: int | None = None

    def forget(self) -> None:
        """Start to count anew."""
        self.frames = self.silent = self.missing = 0
        self.first_at = self.last_at = self.longest_gap_s = self.late = 0.0


@dataclass(slots=True)
class FarSide:
    """The SIP and RTP sockets and all streams."""

    sip: socket.socket
    rtp: socket.socket
    speech: list[bytes]
    streams: dict[int, Stream] = field(default_factory=dict)
    answers: dict[bytes, bytes] = field(default_factory=dict)
    phases: list[list[Stream]] = field(default_factory=lambda: [[] for _ in range(_PHASES)])

    def hear_sip(self) -> None:
        """Answer one request: 200 to everything but ACK."""
        message, peer = self.sip.recvfrom(65535)
        method = message.split(b" ", 1)[0]
        if method in {b"ACK", b"SIP/2.0"}:
            return
        call_id = _header(message, b"Call-ID")
        if method == b"INVITE" and call_id not in self.answers:
            self._open_stream(message)
            port = self.rtp.getsockname()[1]
            body = (
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
            ).encode()
            self.answers[call_id] = body
        body = self.answers.get(call_id, b"") if method == b"INVITE" else b""
        to = _header(message, b"To")
        if b";tag=" not in to:
            to += b";tag=far"
        host, port = self.sip.getsockname()
        head = [
            b"SIP/2.0 200 OK",
            *(b"Via: " + value for value in _headers(message, b"Via")),
            b"From: " + _header(message, b"From"),
            b"To: " + to,
            b"Call-ID: " + call_id,
            b"CSeq: " + _header(message, b"CSeq"),
            f"Contact: <sip:far@{host}:{port}>".encode(),
            *([b"Content-Type: application/sdp"] if body else []),
            b"Content-Length: " + str(len(body)).encode(),
        ]
        self.sip.sendto(b"\r\n".join(head) + b"\r\n\r\n" + body, peer)

    def _open_stream(self, invite: bytes) -> None:
        offered = re.search(rb"^m=audio (\d+)", invite, re.MULTILINE)
        callee = re.match(rb"INVITE sip:(\w+?)-", invite)
        if offered is None or callee is None:
            return
        port = int(offered[1])
        stream = Stream(callee[1].decode(), port, (37 * len(self.streams)) % len(self.speech))
        self.streams[port] = stream
        min(self.phases, key=len).append(stream)

    def hear_rtp(self) -> None:
        """Count every packet that waits."""
        for _ in range(64):
            try:
                packet, ancillary, _, peer = self.rtp.recvmsg(2048, 64)
            except BlockingIOError:
                return
            stream = self.streams.get(peer[1])
            if stream is None:
                continue
            sequence = packet[2] << 8 | packet[3]
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2][: _TIMESPEC.size])
            at = seconds + nanoseconds * 1e-9
            if stream.last_sequence is not None:
                step = (sequence - stream.last_sequence) & 0xFFFF
                stream.missing += step - 1 if 1 < step < 1000 else 0
            stream.last_sequence = sequence
            if stream.frames:
                gap_s = at - stream.last_at
                stream.longest_gap_s = max(stream.longest_gap_s, gap_s)
                stream.late += max(0.0, gap_s - _PATIENCE_S) / _FRAME_S
            else:
                stream.first_at = at
            stream.last_at = at
            stream.frames += 1
            stream.silent += packet.count(_SILENCE, 12) >= 158

    def speak(self, phase: int) -> None:
        """Send one frame to a fifth of the streams."""
        for stream in self.phases[phase]:
            sequence = stream.sequence = (stream.sequence + 1) & 0xFFFFFF
            header = _RTP.pack(0x80, 0, sequence & 0xFFFF, sequence * 160, stream.port)
            payload = self.speech[(stream.offset + sequence) % len(self.speech)]
            self.rtp.sendto(header + payload, ("127.0.0.1", stream.port))

    def report(self, role: str, seconds: float) -> dict[str, float]:
        """Return how complete the audio of the streams of one role was.

        One frame is expected for every 20 ms between the first and the last; that these two lie
        at the ends of the window is asked to two frames.
        """
        streams = [stream for stream in self.streams.values() if stream.role == role]
        delivered = []
        for stream in streams:
            between = (stream.last_at - stream.first_at) / _FRAME_S + 1
            expected = max(round(between), round(seconds / _FRAME_S) - 2)
            delivered.append(min(1.0, stream.frames / expected))
        return {
            "streams": len(streams),
            "delivered": float(np.mean(delivered)) if delivered else 0.0,
            "on_time": 1 - sum(s.late for s in streams) * _FRAME_S / seconds / len(streams)
            if streams
            else 0.0,
            "delivered_worst": min(delivered, default=0.0),
            "silent": sum(stream.silent for stream in streams)
            / max(1, sum(stream.frames for stream in streams)),
            "missing": sum(stream.missing for stream in streams),
            "longest_gap_ms": 1000 * max((s.longest_gap_s for s in streams), default=0.0),
        }


def main() -> None:
    """Serve until stdin closes."""
    sip, rtp = _bound(1 << 20), _bound(1 << 22)
    rtp.setblocking(False)  # noqa: FBT003 - the socket module's signature
    rtp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    far = FarSide(sip, rtp, _speech(int(sys.argv[1])))
    say(ready=sip.getsockname()[1])
    with selectors.DefaultSelector() as wires:
        for wire, work in ((sip, "sip"), (rtp, "rtp"), (sys.stdin, "stdin")):
            wires.register(wire, selectors.EVENT_READ, work)
        marked = time.monotonic()
        due, phase = time.monotonic(), 0
        while True:
            for key, _ in wires.select(max(0.0, due - time.monotonic())):
                if key.data == "sip":
                    far.hear_sip()
                elif key.data == "rtp":
                    far.hear_rtp()
                else:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    if json.loads(line)["do"] == "mark":
                        for stream in far.streams.values():
                            stream.forget()
                        marked = time.monotonic()
                        say(answer=None)
                    else:
                        seconds = time.monotonic() - marked
                        roles = ("agent", "customer", "screened")
                        say(answer={role: far.report(role, seconds) for role in roles})
            if time.monotonic() >= due:
                far.speak(phase)
                phase = (phase + 1) % _PHASES
                due += _FRAME_S / _PHASES


def _bound(buffer: int) -> socket.socket:
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    wire.bind(("127.0.0.1", 0))
    return wire


def _header(message: bytes, name: bytes) -> bytes:
    return next(iter(_headers(message, name)), b"")


def _headers(message: bytes, name: bytes) -> list[bytes]:
    found = re.findall(
        rb"^" + name + rb"[ \t]*:[ \t]*(.*)\r$", message, re.MULTILINE | re.IGNORECASE
    )
    return [bytes(value) for value in found]


def _speech(seed: int) -> list[bytes]:
    """Return 20 s of something that starts and stops as speech does, in mu-law frames of 20 ms."""
    source = np.random.default_rng(seed)
    levels = np.repeat(source.choice([0.003, 0.05, 0.2], 200, p=[0.3, 0.3, 0.4]), 800)
    samples = np.convolve(source.standard_normal(160_000), [0.5, 0.4, 0.3], "same") * levels
    # G.711 mu-law by its definition: sign, 3 bits of exponent, 4 of mantissa, all inverted.
    magnitude = np.minimum(np.abs(samples * 8000).astype(np.int64), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    code = np.where(samples < 0, 0x80, 0) | exponent << 4 | (magnitude >> (exponent + 3)) & 15
    encoded = (~code & 0xFF).astype(np.uint8).tobytes()
    return [encoded[at : at + 160] for at in range(0, len(encoded), 160)]


if __name__ == "__main__":
    main()
