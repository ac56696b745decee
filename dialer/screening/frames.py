"""What a 20 ms frame of telephone audio sounds like: its level, its one or two strongest tones.

All streams of a line process are measured together: numpy's cost is per call, not per stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]

RATE: Final = 8000
"""Samples a second."""
FRAME: Final = 160
"""Samples a frame, 20 ms."""
FRAME_S: Final = FRAME / RATE
WINDOW: Final = 256
"""Samples under one spectrum: the frame and the 96 samples before it."""
TAIL: Final = WINDOW - FRAME
SILENT_DB: Final = -90.0

_BIN_HZ: Final = RATE / WINDOW
_LOW, _HIGH = round(125 / _BIN_HZ), round(3500 / _BIN_HZ) + 1
_SIDE: Final = 2  # bins either side of a peak that belong to it: the main lobe of a Hann window
_AUDIBLE_DB: Final = -55.0  # below this nothing is looked up in the spectrum
_HANN = np.hanning(WINDOW + 1)[:WINDOW].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Frames:
    """Measurements, one array element per frame; the arrays share their shape.

    Levels in dB below full scale (a full-scale square wave is 0). `share` is the part of the energy
    between 125 and 3500 Hz that lies within 62 Hz of the strongest frequency, `pair_share` the same
    for the two strongest. Frequencies and shares of frames below -55 dB are 0.
    """

    level_db: Floats
    peak_hz: Floats
    share: Floats
    pair_hz: Floats
    pair_share: Floats

    def part(self, start: int, end: int) -> Frames:
        """Return the frames from *start* to *end*."""
        here = slice(start, end)
        return Frames(
            self.level_db[here],
            self.peak_hz[here],
            self.share[here],
            self.pair_hz[here],
            self.pair_share[here],
        )


def measure(windows: Floats) -> Frames:
    """Measure windows of shape (frames, WINDOW), samples scaled to ±1, oldest first."""
    count = len(windows)
    newest = windows[:, TAIL:]
    power = np.einsum("ij,ij->i", newest, newest) / np.float32(FRAME)
    level = (10.0 * np.log10(power + np.float32(10 ** (SILENT_DB / 10)))).astype(np.float32)
    measured = [np.zeros(count, np.float32) for _ in range(4)]
    audible = np.flatnonzero(level > _AUDIBLE_DB)
    if audible.size:
        for column, values in zip(measured, _spectral(windows[audible]), strict=True):
            column[audible] = values
    return Frames(level, *measured)


def _spectral(windows: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    spectrum = fft.rfft(windows * _HANN, axis=1)[:, : _HIGH + _SIDE + 1]
    energy = spectrum.real**2 + spectrum.imag**2
    rows = np.arange(len(energy))
    total = energy[:, _LOW:_HIGH].sum(axis=1) + np.float32(1e-12)
    peak_hz, peak = _take_peak(energy, rows)
    pair_hz, second = _take_peak(energy, rows)
    share = np.minimum(peak / total, 1.0)
    pair_share = np.minimum((peak + second) / total, 1.0)
    return peak_hz, share.astype(np.float32), pair_hz, pair_share.astype(np.float32)


def _take_peak(energy: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return frequency and energy of each row's strongest tone, and remove it from *energy*."""
    at = energy[:, _LOW:_HIGH].argmax(axis=1) + _LOW
    around = at[:, None] + np.arange(-_SIDE, _SIDE + 1)
    lobe = energy[rows[:, None], around]
    weight = lobe.sum(axis=1)
    # The centre of gravity of the amplitude over the main lobe: within 3 Hz for one steady sine.
    amplitude = np.sqrt(lobe)
    offset = (amplitude * np.arange(-_SIDE, _SIDE + 1, dtype=np.float32)).sum(axis=1)
    offset /= amplitude.sum(axis=1) + np.float32(1e-12)
    energy[rows[:, None], around] = 0
    return ((at + offset) * np.float32(_BIN_HZ)).astype(np.float32), weight
