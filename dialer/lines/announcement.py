"""The message a person hears when no agent can be given in time (compliance MSG-1).

A campaign names a WAV file or a text; a text is spoken by espeak-ng once and kept. Players are
pooled and never destroyed while the process runs (amd reference, pitfall 2).
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import pjsua2 as pj

from campaigns.errors import UserError

if TYPE_CHECKING:
    from dialer.lines.leg import Leg

# For calls whose order names none, such as those of an older engine.
DEFAULT_TEXT = (
    "Hello. We are sorry that nobody is free to speak to you just now. We will not keep you any "
    "longer. Goodbye."
)
_RENDER_TIMEOUT_S = 20
_TAIL_S = 0.2


def _existing(announcement: str) -> Path | None:
    """Return the file that is already there; raises `UserError` when a named one is not."""
    if not announcement.lower().endswith(".wav"):
        return None
    given = Path(announcement)
    if not given.is_file():
        raise UserError(f"The announcement {given} is not there: give a WAV file or a text.")
    return given


def _place(announcement: str, folder: Path) -> tuple[Path, bool]:
    """Return where the spoken text is kept, and whether it is there already."""
    digest = hashlib.sha256(announcement.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"announcement-{digest}.wav"
    return made, made.exists()


async def prepare(announcement: str, folder: Path) -> Path:
    """Return an 8 kHz mono WAV for *announcement* (a path, or a text), made if need be.

    Raises `UserError` when the file is not there or the text cannot be spoken.
    """
    given = _existing(announcement)
    if given is not None:
        return given
    made, is_there = _place(announcement, folder)
    if is_there:
        return made
    speaker, converter = shutil.which("espeak-ng"), shutil.which("sox")
    if speaker is None or converter is None:
        raise UserError(
            "An announcement from text needs espeak-ng and sox: install them, or give a WAV file."
        )
    with tempfile.TemporaryDirectory(prefix="announcement-", dir=folder) as own:
        # A folder of its own: another line process may be speaking the same text.
        spoken, part = Path(own) / "spoken.wav", Path(own) / "part.wav"
        await _run(speaker, "-s", "150", "-w", str(spoken), "--", announcement)
        await _run(converter, str(spoken), "-r", "8000", "-c", "1", "-b", "16", str(part))
        part.rename(made)
    return made


async def _run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_RENDER_TIMEOUT_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        said = b"it took too long"
    if process.returncode != 0:
        why = said.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"The announcement could not be spoken ({why[-1] if why else program}): "
            "give a WAV file instead."
        )


def length_s(path: Path) -> float:
    """Return how long the file plays; raises `UserError` when it is no WAV file."""
    try:
        with wave.open(str(path), "rb") as reader:
            return reader.getnframes() / reader.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise UserError(f"The announcement {path} is not a WAV file ({error}).") from None


class Announcer:
    """Plays announcements into legs; one player per call at a time, reused afterwards."""

    def __init__(self) -> None:
        self._idle: dict[Path, list[pj.AudioMediaPlayer]] = {}
        self._playing: dict[int, tuple[Path, pj.AudioMediaPlayer]] = {}

    def play(self, leg: Leg, path: Path) -> float | None:
        """Start *path* towards *leg*; return its length in seconds, None if it cannot play."""
        if leg.audio is None or leg.ended:
            return None
        try:
            length = length_s(path)
            pool = self._idle.setdefault(path, [])
            if pool:
                player = pool.pop()
                player.setPos(0)
            else:
                player = pj.AudioMediaPlayer()
                player.createPlayer(str(path), pj.PJMEDIA_FILE_NO_LOOP)
            player.startTransmit(leg.audio)
        except (pj.Error, UserError):
            return None
        self._playing[id(leg)] = (path, player)
        return length + _TAIL_S

    def stop(self, leg: Leg) -> None:
        """Take the player back when the leg is over; harmless when none plays."""
        found = self._playing.pop(id(leg), None)
        if found is None:
            return
        path, player = found
        if leg.audio is not None and not leg.ended:
            player.stopTransmit(leg.audio)
        self._idle.setdefault(path, []).append(player)
