"""Calls answered by people and machines, made from espeak-ng speech, tones and noise.

Every clip is an answered call as it comes off a G.711 line at 8 kHz: some silence, speech at some
level, noise of some kind, then what the other end does next. Nothing is stored in the repository;
spoken texts are cached under ``$XDG_CACHE_HOME/overdial/screening``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from benchmarks.screening_texts import Language

RATE = 8000
Audio = NDArray[np.float64]
_NOISES = ("white", "pink", "hum", "babble")


@dataclass(frozen=True, slots=True)
class Clip:
    """One answered call; *greeting_end_s* is where its first turn of speech really ends."""

    kind: str
    text: str
    noise: str
    snr_db: float
    pcm: bytes
    speech_start_s: float
    greeting_end_s: float

    @property
    def is_person(self) -> bool:
        """Tell who answered."""
        return self.kind.startswith("person")


def spoken(voice: str, text: str, *, speed: int, pitch: int) -> Audio:
    """Return one text, trimmed, in the telephone band, loudest frame at 1.0."""
    name = hashlib.sha256(f"{voice}/{speed}/{pitch}/{text}".encode()).hexdigest()[:24]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "overdial" / "screening" / f"{name}.wav"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(made), text],
            check=True,
            capture_output=True,
            timeout=30,
        )
        made.rename(path)
    with wave.open(str(path)) as stored:
        rate = stored.getframerate()
        wide = np.frombuffer(stored.readframes(stored.getnframes()), "<i2").astype(np.float64)
    narrow = signal.resample_poly(wide, RATE, rate)
    band = signal.butter(4, [250, 3500], "bandpass", fs=RATE, output="sos")
    heard = np.asarray(signal.sosfilt(band, narrow))
    frames = np.abs(heard[: len(heard) // 80 * 80]).reshape(-1, 80).max(axis=1)
    loud = np.flatnonzero(frames > 0.02 * frames.max())
    heard = heard[loud[0] * 80 : (loud[-1] + 1) * 80]
    return np.asarray(heard / np.abs(heard).max())


def clips(
    languages: Sequence[Language], voices: Sequence[str], *, seed: int, takes: int
) -> Iterator[Clip]:
    """Yield *takes* calls for each text, voices and conditions drawn from *seed*."""
    source = np.random.default_rng(seed)
    wanted = []
    for language in languages:
        for kind, texts in (
            ("person", language.people),
            ("person_office", language.offices),
            ("machine", language.machines),
        ):
            for text in texts:
                for _ in range(takes if kind != "machine" else 2 * takes):
                    variant = str(source.choice(voices))
                    voice = f"{language.voice}+{variant}" if variant else language.voice
                    speed, pitch = int(source.integers(130, 215)), int(source.integers(20, 85))
                    wanted.append((kind, text, voice, speed, pitch))
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda w: spoken(w[2], w[1], speed=w[3], pitch=w[4]), wanted)
        hello = spoken(languages[0].voice, languages[0].people[0], speed=160, pitch=50)
        for (kind, text, *_), speech in zip(wanted, said, strict=True):
            yield _call(kind, text, speech, hello, source)


def _call(kind: str, text: str, speech: Audio, hello: Audio, source: np.random.Generator) -> Clip:
    start = float(source.uniform(0.15, 1.5))
    parts = [_quiet(start), speech]
    end = start + len(speech) / RATE
    if kind == "machine":
        if source.random() < 0.2:
            # A short word first, then a pause: what fools a timer.
            pause = float(source.uniform(0.3, 1.0))
            parts = [_quiet(start), hello, _quiet(pause), speech]
            kind = "machine_adversarial"
            end = start + (len(hello) + len(speech)) / RATE + pause
        beep = 0.4 * np.sin(2 * np.pi * source.choice([440, 850, 1000, 1400]) * _time(0.5))
        parts += [_quiet(float(source.uniform(0.2, 1.0))), beep, _quiet(3.0)]
    else:
        parts.append(_quiet(float(source.uniform(1.6, 3.0))))
        if source.random() < 0.5:
            parts += [hello, _quiet(2.0)]
    clean = np.concatenate(parts)
    level = 10 ** (float(source.uniform(-28, -14)) / 20)
    clean *= level / np.sqrt(np.mean(speech**2))
    snr = float(source.choice([60, 35, 25, 15]))
    noise = str(source.choice(_NOISES))
    noisy = clean + level * 10 ** (-snr / 20) * _noise(noise, len(clean), speech, source)
    pcm = np.clip(noisy * 32768, -32768, 32767).astype(np.int64)
    return Clip(kind, text, noise, snr, _through_g711(pcm), start, end)


def _quiet(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE))


def _time(seconds: float) -> Audio:
    return np.arange(round(seconds * RATE)) / RATE


def _noise(kind: str, length: int, speech: Audio, source: np.random.Generator) -> Audio:
    """Return noise with a mean square of 1."""
    match kind:
        case "hum":
            time = np.arange(length) / RATE
            noise = sum(np.sin(2 * np.pi * f * time) / f for f in (100, 150, 250, 350))
        case "pink":
            noise = signal.lfilter([1.0], [1.0, -0.95], source.standard_normal(length))
        case "babble":
            # Six voices over each other, none of them intelligible.
            turns = [
                np.roll(np.resize(speech, length), int(n)) for n in source.integers(0, length, 6)
            ]
            noise = np.sum(turns, axis=0)
        case _:
            noise = source.standard_normal(length)
    noise = np.asarray(noise)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def _through_g711(pcm: NDArray[np.int64]) -> bytes:
    """Return samples as mu-law (ITU-T G.711) leaves them."""
    magnitude = np.minimum(np.abs(pcm), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    mantissa = (magnitude >> (exponent + 3)) & 15
    decoded = (((mantissa << 3) + 132) << exponent) - 132
    return bytes(np.where(pcm < 0, -decoded, decoded).astype("<i2"))
