"""What has been heard on each stream so far: speech, pauses and tones, kept frame by frame.

One array element per stream. All counts are frames of 20 ms. Nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from dialer.screening.frames import Counts, Facts, Frames

Levels = NDArray[np.float32]

HISTORY: Final = 100
"""Frames of level history from which the noise floor is taken: 2 s."""

# Speech stands this far over the noise, over silence and near the loudest heard (dB).
_OVER_NOISE, _OVER_SILENCE, _UNDER_TOP = 7.0, -52.0, -26.0
_FLOOR_LOW, _FLOOR_HIGH = -75.0, -32.0
_LEVEL_FRAMES, _LEVEL_DB = 25, 7.5
_WORD, _SYLLABLE, _PAUSE = 5, 2, 10  # first sound of speech, further sound, gap between segments

_STEADY_HZ, _STEADY_DB, _STEADY_SHARE, _STEADY_RUN = 12.0, 3.0, 0.94, 3
_TONE_HZ = 25.0
_SIT_FRAMES, _SIT_GAP = 8, 10
_BEEP_FRAMES, _BEEP_REST = 8, 3
_BURST_SHORTEST, _BURST_LONGEST, _LULL_LONGEST = 8, 36, 36


@dataclass(slots=True)
class Tracks:
    """The state of many streams."""

    frames: Counts  # heard so far
    floor_db: Levels
    top_db: Levels  # loudest level held for two frames
    level_db: Levels  # of the frame before
    run: Counts  # sounding frames in a row, tones excluded

    speech: Counts  # frames of speech in all
    onset: Counts  # the frame speech began at, -1 before
    last: Counts  # the frame after the latest of speech, -1 before
    segments: Counts  # stretches of speech, 0.2 s or more apart
    segment_from: Counts  # where the latest stretch began
    first: Counts  # length of the first stretch
    longest: Counts
    longest_gap: Counts
    tonal: Counts  # frames of speech carried by one frequency, as in singing or music

    low_hz: Levels  # the one or two tones of the frame before
    high_hz: Levels
    steady: Counts  # frames in a row with the same tones
    single: Counts  # frames in a row with the same single tone
    calling: Counts  # evidence for a fax that calls (CNG) or answers (CED)
    answering: Counts
    sit_stage: Counts
    sit_count: Counts
    sit_idle: Counts
    beeps: Counts  # pure tones that came after speech
    beep_end: Counts  # frame after the latest beep, -1 before
    burst: Counts  # frames of the present burst of a progress tone, and of the lull since
    lull: Counts
    burst_hz: Levels
    bursts: Counts  # alike bursts in a row, as busy and congestion tones have them

    @classmethod
    def empty(cls, size: int) -> Self:
        """Return *size* streams that have heard nothing."""
        kinds = {"Counts": np.int32, "Levels": np.float32}
        tracks = cls(**{f.name: np.zeros(size, kinds[str(f.type)]) for f in fields(cls)})
        tracks.reset(np.arange(size))
        return tracks

    def reset(self, rows: NDArray[np.intp]) -> None:
        """Forget what these streams have heard."""
        for name in self.__slots__:
            getattr(self, name)[rows] = 0
        for column in (self.onset, self.last, self.beep_end):
            column[rows] = -1
        self.floor_db[rows] = _FLOOR_LOW + 15
        self.top_db[rows] = _OVER_SILENCE
        self.level_db[rows] = _FLOOR_LOW

    def take(self, rows: NDArray[np.intp]) -> Tracks:
        """Return copies of these rows."""
        return Tracks(*[getattr(self, name)[rows] for name in self.__slots__])

    def put(self, rows: NDArray[np.intp], part: Tracks) -> None:
        """Write rows back."""
        for name in self.__slots__:
            getattr(self, name)[rows] = getattr(part, name)

    def head(self, count: int) -> Tracks:
        """Return a view of the first *count* streams."""
        if count == len(self.frames):
            return self
        return Tracks(*[getattr(self, name)[:count] for name in self.__slots__])

    def gap(self) -> Counts:
        """Return the frames since speech was last heard, 0 before any."""
        return np.where(self.last >= 0, self.frames - self.last, 0)

    def hear_floor(self, history: Levels) -> None:
        """Set the noise floor from the levels of the last 2 s: (streams, HISTORY), NaN unheard.

        The 10th percentile: speech pauses that often, noise never does. A level that hardly moves
        for half a second is noise however loud it is, and what it counted for was never speech.
        """
        ranked = np.sort(history, axis=1)  # NaN sorts last
        rows = np.arange(len(ranked))
        heard = np.minimum(self.frames, HISTORY)
        low, high = ranked[rows, heard // 10], ranked[rows, heard * 97 // 100]
        level = (heard >= _LEVEL_FRAMES) & (high - low < _LEVEL_DB)
        ceiling = np.where(level, 0.0, _FLOOR_HIGH)
        self.floor_db[:] = np.clip(low, _FLOOR_LOW, ceiling)
        mistaken = level & (self.onset >= self.frames - heard)
        for column in (self.run, self.speech, self.segments, self.first, self.longest, self.tonal):
            column[mistaken] = 0
        self.onset[mistaken] = self.last[mistaken] = -1

    def hear(self, frames: Frames) -> None:
        """Take in one frame of every stream."""
        heard = frames.level_db
        np.maximum(self.top_db, np.minimum(heard, self.level_db), out=self.top_db)
        threshold = np.maximum(self.floor_db + _OVER_NOISE, self.top_db + _UNDER_TOP)
        sounding = heard > np.maximum(threshold, _OVER_SILENCE)

        moved = np.maximum(
            np.abs(frames.low_hz - self.low_hz), np.abs(frames.high_hz - self.high_hz)
        )
        self._hear_speech(frames, sounding, moved)
        # A fax turns the phase of its tone now and then (ANSam), hence no strict run.
        self.calling[:] = np.maximum(self.calling + frames.calling, 0)
        self.answering[:] = np.maximum(self.answering + frames.answering, 0)
        self._hear_special_information(frames)
        self._hear_beep(frames, moved)
        self._hear_bursts(frames, sounding)
        self.low_hz[:], self.high_hz[:], self.level_db[:] = frames.low_hz, frames.high_hz, heard
        self.frames += 1

    def _hear_speech(self, frames: Frames, sounding: Facts, moved: Levels) -> None:
        # Asked of the level, not of `sounding`: a lasting tone soon counts as noise.
        same = (
            (frames.level_db > _OVER_SILENCE)
            & (frames.pair_share > _STEADY_SHARE)
            & (moved < _STEADY_HZ)
            & (np.abs(frames.level_db - self.level_db) < _STEADY_DB)
        )
        self.steady[:] = np.where(same, self.steady + 1, 0)
        self.run[:] = np.where(sounding & (self.steady < _STEADY_RUN), self.run + 1, 0)

        begun = self.last >= 0
        # Between words a shorter sound is enough: consonants cut words into pieces.
        within = begun & (self.frames - self.last < _PAUSE)
        needed = np.where(within, _SYLLABLE, _WORD)
        spoken = self.run >= needed
        fresh = spoken & (self.last < self.frames)  # the run was not counted up to here yet
        begins = (
            self.frames + 1 - np.where(self.last == self.frames, 1, np.minimum(self.run, needed))
        )
        gap = np.where(begun, begins - self.last, 0)
        opens = fresh & (~begun | (gap >= _PAUSE))

        self.speech += np.where(spoken, self.frames + 1 - np.maximum(begins, self.last), 0)
        self.onset[:] = np.where(spoken & ~begun, begins, self.onset)
        np.maximum(self.longest_gap, np.where(opens & begun, gap, 0), out=self.longest_gap)
        self.segments += opens
        self.segment_from[:] = np.where(opens, begins, self.segment_from)
        self.last[:] = np.where(spoken, self.frames + 1, self.last)
        length = np.where(spoken, self.frames + 1 - self.segment_from, 0)
        np.maximum(self.longest, length, out=self.longest)
        self.first[:] = np.where(spoken & (self.segments == 1), length, self.first)
        self.tonal += spoken & frames.is_pure

    def _hear_special_information(self, frames: Frames) -> None:
        inside = frames.information == self.sit_stage + 1
        self.sit_count += inside
        self.sit_idle[:] = np.where(inside, 0, self.sit_idle + 1)
        passed = self.sit_count >= _SIT_FRAMES
        self.sit_stage[:] = np.minimum(self.sit_stage + passed, 3)
        self.sit_count[passed] = 0
        # The tail of a tone lasts up to 14 frames past the 8 that were needed.
        lost = (self.sit_idle > _SIT_GAP + 14) & (self.sit_stage < 3)  # three tones
        self.sit_stage[lost] = 0
        self.sit_count[lost] = 0

    def _hear_beep(self, frames: Frames, moved: Levels) -> None:
        self.single[:] = np.where(frames.is_beep & (moved < _TONE_HZ), self.single + 1, 0)
        # A vowel may be as pure, but it stands in the middle of speech: a beep comes after it.
        after = (self.last >= 0) & (self.frames - self.last >= _BEEP_FRAMES + _BEEP_REST)
        self.beeps += after & (self.single == _BEEP_FRAMES)
        going_on = (self.beeps > 0) & (self.single >= _BEEP_FRAMES)
        self.beep_end[:] = np.where(going_on, self.frames + 1, self.beep_end)

    def _hear_bursts(self, frames: Frames, sounding: Facts) -> None:
        """Count bursts alike: 0.16-0.72 s of a 300-700 Hz tone or pair, as long a lull (E.180)."""
        progress = sounding & frames.is_progress
        # Both tones beat in the spectrum; their middle stands still.
        hz = (frames.low_hz + frames.high_hz) / 2
        starts = progress & (self.lull > 0)
        alike = (
            (self.burst >= _BURST_SHORTEST)
            & (self.burst <= _BURST_LONGEST)
            & (self.lull >= _BURST_SHORTEST // 2)
            & (self.lull <= _LULL_LONGEST)
            & (np.abs(hz - self.burst_hz) < 2 * _TONE_HZ)
        )
        self.bursts[:] = np.where(starts, np.where(alike, self.bursts + 1, 0), self.bursts)
        self.burst[:] = np.where(starts, 1, self.burst + progress)
        self.burst_hz[:] = np.where(progress, hz, self.burst_hz)
        self.lull[:] = np.where(progress, 0, self.lull + 1)
        foreign = sounding & ~progress & (self.lull > 2)  # speech is no busy tone
        self.bursts[foreign] = 0
