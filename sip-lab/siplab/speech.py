"""The sounds of the lab: speech by espeak-ng, tones by arithmetic, as raw 8 kHz G.711 files.

Made once into a cache outside the repository (``$XDG_CACHE_HOME/overdial/siplab/<hash>``), the hash
over everything that shapes them, and never committed. The same inputs give the same bytes.

Errors: ``SpeechError`` (espeak-ng or sox is missing or refused a text).
"""

import contextlib
import fcntl
import hashlib
import inspect
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siplab import g711, phrases
from siplab.phrases import Phrase

RATE = 8000
"""Samples a second."""
_PEAK = 9000
"""Loudest sample of speech: about -11 dBFS, speech then averages near -24 dBFS."""
_SPEAKING_TIMEOUT_S = 30.0

Samples = NDArray[np.int16]


class SpeechError(RuntimeError):
    """A sound could not be made; the message says what to install."""


def cache_folder() -> Path:
    """Return the folder this version's sounds belong in, whether or not it exists."""
    sources = (
        inspect.getsource(phrases),
        inspect.getsource(g711),
        Path(__file__).read_text("utf-8"),
    )
    digest = hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "overdial" / "siplab" / digest


def ensure() -> Path:
    """Return the folder with all sounds, making them first if need be (a few seconds, once).

    Files are ``NAME.ulaw`` and ``NAME.alaw``. Several processes may ask at once: one works, the
    others wait.
    """
    folder = cache_folder()
    if (folder / "complete").exists():
        return folder
    for tool in ("espeak-ng", "sox"):
        if shutil.which(tool) is None:
            message = f"{tool} is not installed: apt-get install {tool}"
            raise SpeechError(message)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        if not (folder / "complete").exists():
            for name, samples in _everything().items():
                (folder / f"{name}.ulaw").write_bytes(g711.mulaw(samples))
                (folder / f"{name}.alaw").write_bytes(g711.alaw(samples))
            (folder / "complete").touch()
    return folder


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache against other processes of this machine."""
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def names(prefix: str) -> list[str]:
    """Return the names of one kind of sound: ``person``, ``business`` or ``voicemail``."""
    kinds = {
        "person": phrases.HELLOS,
        "business": phrases.BUSINESSES,
        "voicemail": phrases.GREETINGS,
    }
    return [f"{prefix}_{phrase.name}" for phrase in kinds[prefix]]


def load(name: str, payload_type: int) -> bytes:
    """Return a sound's bytes in PCMU (payload type 0) or PCMA (8); SpeechError if there is none."""
    path = ensure() / f"{name}.{'alaw' if payload_type == 8 else 'ulaw'}"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        message = f"no sound is called {name!r}: see {path.parent}"
        raise SpeechError(message) from None


def silence(seconds: float) -> Samples:
    """Return digital silence."""
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def tone(frequencies: Iterable[float], seconds: float, *, peak: int = 6000) -> Samples:
    """Return a sum of sines in Hz with 5 ms ramps, so that it neither clicks nor splatters."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave: NDArray[np.float64] = np.zeros(time.shape)
    for frequency in frequencies:
        wave += np.sin(2 * np.pi * frequency * time)
    wave *= peak / max(1.0, float(np.abs(wave).max()))
    ramp = np.minimum(1.0, np.minimum(time, time[-1] - time) / 0.005)
    shaped: Samples = (wave * ramp).astype(np.int16)
    return shaped


def ringback() -> Samples:
    """Return two rings as North America hears them: 440 + 480 Hz, 2 s on, 4 s off."""
    return np.concatenate([tone((440, 480), 2.0, peak=4000), silence(4.0)] * 2)


def special_information_tones() -> Samples:
    """Return the three rising tones of ITU-T E.180 that precede a network announcement."""
    return np.concatenate([tone((f,), 0.33) for f in (950, 1400, 1800)] + [silence(0.3)])


def _everything() -> dict[str, Samples]:
    """Return every sound by name."""
    wanted = [
        *phrases.HELLOS,
        *phrases.BUSINESSES,
        *phrases.GREETINGS,
        phrases.SHORT_WORD_GREETING,
        phrases.NOT_IN_SERVICE,
        *(line for phrase in phrases.HELLOS + phrases.BUSINESSES for line in _conversation(phrase)),
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:
        spoken = dict(zip(wanted, pool.map(_speak, wanted), strict=True))
    beep = tone((1000,), 0.4)
    sounds = {
        "silence": silence(20.0),
        "beep": beep,
        "ringback": ringback(),
        "sit": np.concatenate(
            [special_information_tones(), spoken[phrases.NOT_IN_SERVICE], silence(1.0)] * 3
        ),
        "not_in_service": np.concatenate(
            [special_information_tones(), spoken[phrases.NOT_IN_SERVICE], silence(2.0)]
        ),
        # CED answers for 2.6-4 s after a short silence; CNG calls 0.5 s on, 3 s off (ITU-T T.30).
        "fax_ced": np.concatenate([silence(0.5), tone((2100,), 3.3), silence(30.0)]),
        "fax_cng": np.concatenate([tone((1100,), 0.5), silence(3.0)] * 8),
        "voicemail_short_word": np.concatenate(
            [
                silence(0.4),
                spoken[phrases.HELLOS[0]],
                silence(0.6),
                spoken[phrases.SHORT_WORD_GREETING],
                silence(0.4),
                beep,
                silence(60.0),
            ]
        ),
    }
    for phrase in phrases.GREETINGS:
        sounds[f"voicemail_{phrase.name}"] = np.concatenate(
            [silence(0.5), spoken[phrase], silence(0.5), beep, silence(60.0)]
        )
    for kind, greetings in (("person", phrases.HELLOS), ("business", phrases.BUSINESSES)):
        for index, phrase in enumerate(greetings):
            parts = [silence(0.3 + 0.1 * (index % 6)), spoken[phrase], silence(2.0)]
            for turn, line in enumerate(_conversation(phrase) * 3):
                parts += [spoken[line], silence(3.0 + (index + turn) % 4)]
            sounds[f"{kind}_{phrase.name}"] = np.concatenate(parts)
    return sounds


def _conversation(phrase: Phrase) -> list[Phrase]:
    """Return what the person who answered with *phrase* goes on to say, in the same voice."""
    texts = phrases.CONVERSATION[phrase.voice[:2]]
    return [
        Phrase(f"{phrase.name}_{turn}", phrase.voice, text, phrase.pitch, phrase.speed)
        for turn, text in enumerate(texts)
    ]


def _speak(phrase: Phrase) -> Samples:
    """Return one text as 8 kHz samples, silence trimmed at both ends, levelled."""
    with tempfile.TemporaryDirectory(prefix="siplab-") as folder:
        spoken, narrow = Path(folder) / "spoken.wav", Path(folder) / "narrow.raw"
        voice = ["-v", phrase.voice, "-p", str(phrase.pitch), "-s", str(phrase.speed)]
        _run(["espeak-ng", *voice, "-w", str(spoken), phrase.text], phrase)
        raw = ["-t", "raw", "-r", str(RATE), "-e", "signed", "-b", "16", "-c", "1"]
        # The telephone band, and no dead air before the first or after the last syllable.
        trim = ["silence", "1", "0.01", "0.5%", "reverse"]
        _run(["sox", "-R", str(spoken), *raw, str(narrow), "highpass", "200", *trim, *trim], phrase)
        samples = np.fromfile(narrow, dtype="<i2").astype(np.float64)
    if not samples.size:
        message = f"espeak-ng said nothing in voice {phrase.voice}: is espeak-ng-data installed?"
        raise SpeechError(message)
    return (samples * (_PEAK / max(1.0, float(np.abs(samples).max())))).astype(np.int16)


def _run(command: list[str], phrase: Phrase) -> None:
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_SPEAKING_TIMEOUT_S
    )
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no reason given"]
        message = f"{command[0]} failed on {phrase.name} ({phrase.voice}): {lines[-1]}"
        raise SpeechError(message)
