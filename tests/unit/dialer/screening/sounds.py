"""Sounds of an answered call made by arithmetic, as 16-bit samples at 8 kHz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 8000
Samples = NDArray[np.float64]


def pcm(*parts: Samples) -> bytes:
    """Return the parts one after another as the detector wants them."""
    joined = np.concatenate(parts)
    return np.clip(joined * 32767, -32768, 32767).astype("<i2").tobytes()


def quiet(seconds: float) -> Samples:
    """Return digital silence."""
    return np.zeros(round(seconds * RATE))


def tone(*hertz: float, seconds: float, peak: float = 0.2) -> Samples:
    """Return one or more sines together."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(peak / len(hertz) * sum(np.sin(2 * np.pi * f * time) for f in hertz))


def noise(seconds: float, *, level_db: float, seed: int = 1) -> Samples:
    """Return white noise."""
    source = np.random.default_rng(seed)
    return source.standard_normal(round(seconds * RATE)) * 10 ** (level_db / 20)


def speech(
    seconds: float, *, level_db: float = -20.0, pitch: float = 120.0, seed: int = 1
) -> Samples:
    """Return something with the rhythm, the pitch and the spectrum of a voice, and no words.

    Four syllables a second, each a gliding pitch with harmonics under a formant that moves from
    syllable to syllable, between them consonants of noise.
    """
    source = np.random.default_rng(seed)
    syllables = max(1, round(seconds * 4))
    length = round(seconds * RATE / syllables)
    parts = []
    for _ in range(syllables):
        time = np.arange(length) / RATE
        glide = pitch * (1 + 0.15 * source.uniform(-1, 1) + 0.3 * source.uniform(-1, 1) * time)
        phase = 2 * np.pi * np.cumsum(glide) / RATE
        formants = source.uniform(350, 800), source.uniform(1000, 2300)
        voiced = np.zeros(length)
        for harmonic in range(2, int(3400 / pitch)):
            hertz = harmonic * pitch
            weight = sum(1 / (1 + ((hertz - f) / 120) ** 2) for f in formants)
            voiced += weight * np.sin(harmonic * phase + source.uniform(0, 6))
        envelope = np.sin(np.pi * np.minimum(1, time / time[-1] * 1.15)) ** 0.5
        hiss = 0.3 * source.standard_normal(length) * (1 - envelope)
        parts.append(voiced * envelope + hiss)
    voice = np.concatenate(parts)
    return np.asarray(voice * 10 ** (level_db / 20) / np.sqrt(np.mean(voice**2)))
