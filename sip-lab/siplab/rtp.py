"""RTP sockets of many phones on one event loop, paced together."""

import asyncio
import contextlib
import socket
import struct
import time

from siplab.ear import FRAME_S, Ear
from siplab.mouth import Mouth

_PHASES = 5
"""The phones speak in turns, a fifth of a frame apart, so that packets do not come in bursts."""
_LONGEST_CATCH_UP_S = 0.2
_SO_TIMESTAMPNS = 35
"""From asm-generic/socket.h; Python's socket module does not name it."""
_TIMESPEC = struct.Struct("@qq")


class RtpPort:
    """One even UDP port for RTP with its odd neighbour held for RTCP, which nobody reads."""

    def __init__(self, address: str, ear: Ear) -> None:
        """Bind a free pair of ports and listen."""
        self.ear = ear
        self.mouth: Mouth | None = None
        self.remote: tuple[str, int] | None = None
        self.event_type: int | None = None
        self._rtp, self._rtcp = _bind_pair(address)
        self.port = int(self._rtp.getsockname()[1])
        asyncio.get_running_loop().add_reader(self._rtp.fileno(), self._receive)

    def speak(self) -> None:
        """Send what the mouth has for this frame."""
        if self.mouth is None or self.remote is None:
            return
        packet = self.mouth.next_packet()
        if packet is not None:
            # A full buffer or an unreachable peer loses a packet, as on any network.
            with contextlib.suppress(OSError):
                self._rtp.sendto(packet, self.remote)

    def close(self) -> None:
        """Give the ports back."""
        if self._rtp.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._rtp.fileno())
        self._rtp.close()
        self._rtcp.close()

    def _receive(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self._rtp.recvmsg(2048, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # An ICMP error of an earlier packet is reported here; the next read goes on.
                return
            self.ear.hear(_arrival(ancillary), packet, self.event_type)


class Metronome:
    """Has every port speak once in 20 ms."""

    def __init__(self) -> None:
        """Start with no ports."""
        self._phases: list[set[RtpPort]] = [set() for _ in range(_PHASES)]
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.create_task(self._beat(), name="siplab-metronome")

    def add(self, port: RtpPort) -> None:
        """Let *port* speak from now on."""
        min(self._phases, key=len).add(port)

    def remove(self, port: RtpPort) -> None:
        """Let *port* fall silent."""
        for phase in self._phases:
            phase.discard(port)

    async def stop(self) -> None:
        """Stop the beat."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        step = FRAME_S / _PHASES
        due = time.monotonic()
        turn = 0
        while True:
            for port in tuple(self._phases[turn]):
                port.speak()
            turn = (turn + 1) % _PHASES
            due += step
            late = time.monotonic() - due
            if late > _LONGEST_CATCH_UP_S:
                due += late
            await asyncio.sleep(max(0.0, -late))


def _bind_pair(address: str) -> tuple[socket.socket, socket.socket]:
    for _ in range(100):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.setblocking(False)  # noqa: FBT003 - the socket module's signature
        rtp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        rtp.bind((address, 0))
        port = int(rtp.getsockname()[1])
        try:
            if port % 2 == 0:
                rtcp.bind((address, port + 1))
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    message = f"no free pair of UDP ports on {address}"
    raise OSError(message)


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Return the kernel's time stamp of a packet, our own clock's if there is none."""
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
            return float(seconds) + float(nanoseconds) * 1e-9
    return time.time()
