"""What a 20 ms frame of telephone audio sounds like: its level, its one or two strongest tones.

All streams of a line process are measured together: numpy's cost is per call, not per stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]
Counts = NDArray[np.int32]
Facts = NDArray[np.bool_]

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
# Spectra computed at a time: arrays under 128 KiB are not given back to the system by each free().
_BLOCK: Final = 120
_AUDIBLE_DB: Final = -55.0  # below this nothing is looked up in the spectrum
# ITU-T T.30: CNG 1100 Hz ±38, CED 2100 Hz ±15. ITU-T E.180: 950, 1400 and 1800 Hz ±50, and what
# ANSI T1.401 makes of them.
_INFORMATION_HZ: Final = ((890, 1010), (1340, 1460), (1740, 1830))
_PURE: Final = 0.85
_HANN = np.hanning(WINDOW + 1)[:WINDOW].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Frames:
    """Measurements, one array element per frame; the arrays share their shape.

    Levels in dB below full scale (a full-scale square wave is 0). `low_hz` and `high_hz` are the
    two strongest frequencies, equal where there is only one. `is_pure`: almost all energy between
    125 and 3500 Hz is in one tone; `pair_share` is the part in the two strongest. Frames below
    -55 dB have no tones. The others say which tones of the telephone network it could be.
    """

    level_db: Floats
    low_hz: Floats
    high_hz: Floats
    pair_share: Floats
    is_pure: Facts
    calling: Counts  # 1 in the band of a calling fax, else -2
    answering: Counts  # the same for an answering one
    information: Counts  # 1, 2, 3 in the bands of the special information tones, else 0
    is_beep: Facts  # a tone as voicemails have it before they record
    is_progress: Facts  # busy, congestion or ringing

    def part(self, start: int, end: int) -> Frames:
        """Return the frames from *start* to *end*."""
        return Frames(*[getattr(self, name)[start:end] for name in self.__slots__])


def measure(audio: Floats, present: NDArray[np.bool_]) -> Frames:
    """Measure the frames of many streams, sample values within ±1.

    *audio* is (streams, TAIL + n * FRAME), oldest first, *present* (n, streams) tells which of the
    n frames are there. The result lists them frame by frame, in the order of *present*.
    """
    fresh = audio[:, TAIL:].reshape(len(audio), -1, FRAME)
    power = np.einsum("ijk,ijk->ji", fresh, fresh)[present] / np.float32(FRAME)
    level = (10.0 * np.log10(power + np.float32(10 ** (SILENT_DB / 10)))).astype(np.float32)
    strongest = np.zeros((4, len(level)), np.float32)
    audible = np.flatnonzero(level > _AUDIBLE_DB)
    if audible.size:
        step, stream = np.nonzero(present)
        windows = sliding_window_view(audio, WINDOW, axis=1)[:, ::FRAME]
        for start in range(0, len(audible), _BLOCK):
            block = audible[start : start + _BLOCK]
            strongest[:, block] = _spectral(windows[stream[block], step[block]])
    return _recognise(level, *strongest)


def _recognise(
    level: Floats, peak_hz: Floats, share: Floats, pair_hz: Floats, pair_share: Floats
) -> Frames:
    paired = pair_share - share > 0.15  # there is a second tone
    low = np.where(paired, np.minimum(peak_hz, pair_hz), peak_hz)
    high = np.where(paired, np.maximum(peak_hz, pair_hz), peak_hz)
    pure = share > _PURE
    information = np.zeros(len(level), np.int32)
    for number, (lowest, highest) in enumerate(_INFORMATION_HZ, start=1):
        information[pure & (peak_hz > lowest) & (peak_hz < highest)] = number
    return Frames(
        level,
        low,
        high,
        pair_share,
        pure,
        np.where(pure & (np.abs(peak_hz - 1100) < 45), 1, -2),
        np.where(pure & (np.abs(peak_hz - 2100) < 30), 1, -2),
        information,
        pure & (peak_hz > 350) & (peak_hz < 2300) & (level > -42),
        (pair_share > _PURE) & (low > 300) & (high < 700),
    )


def _spectral(windows: Floats) -> Floats:
    """Return frequency and share of the strongest tone, and of the next: shape (4, windows)."""
    windows *= _HANN
    spectrum = fft.rfft(windows, axis=1, overwrite_x=True)[:, : _HIGH + _SIDE + 1]
    energy = spectrum.real**2 + spectrum.imag**2
    rows = np.arange(len(energy))
    total = energy[:, _LOW:_HIGH].sum(axis=1) + np.float32(1e-12)
    peak_hz, peak = _take_peak(energy, rows)
    pair_hz, second = _take_peak(energy, rows)
    share = np.minimum(peak / total, 1.0)
    pair_share = np.minimum((peak + second) / total, 1.0)
    return np.stack([peak_hz, share, pair_hz, pair_share])


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
