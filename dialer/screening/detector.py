"""Who answered: a posterior that sharpens with every tenth of a second of audio.

`DetectorBank` follows all calls of a process at once, `Detector` is a bank for one. Audio is 16-bit
mono at 8 kHz. Only what was heard counts: fed in any pieces, the same audio gives the same verdict.
No pjsua2 here, no clock and no state outside the bank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaigns.model import Screening
from dialer.screening.frames import FRAME, FRAME_S, TAIL, Facts, measure
from dialer.screening.timing_model import FEATURES, TimingModel, default_model
from dialer.screening.tracks import HISTORY, Tracks

STEP: Final = 5
"""Frames between two looks at a stream: 100 ms. What is shorter waits, so that all streams that are
fed together are also looked at together."""
_STEP_BYTES: Final = 2 * FRAME * STEP

Rows = NDArray[np.intp]

_STATES: Final = (
    Screening.LISTENING,
    Screening.PERSON,
    Screening.MACHINE,
    Screening.FAX,
    Screening.TONE,
    Screening.SILENCE,
    Screening.NOT_SURE,
)
_LISTENING, _PERSON, _MACHINE, _FAX, _TONE, _SILENCE, _NOT_SURE = range(len(_STATES))
_CAUSES: Final = (
    "",
    "short_answer",
    "long_answer",
    "talks_on",
    "beep",
    "fax_calling",
    "fax_answering",
    "special_information",
    "busy",
    "nothing_said",
    "unclear",
)
_TEXT = {cause: code for code, cause in enumerate(_CAUSES)}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the evidence is enough. Probabilities of "machine"; seconds of the stream."""

    machine: float = 0.98
    """Twice in a row, from `machine_speech_s` of speech on: 0.98 is odds of 50 to 1."""
    machine_speech_s: float = 1.5
    word_s: float = 0.16
    """Less than this is no speech: the first breath of a noise."""
    person: float = 0.15
    person_gap_s: float = 0.3
    likely_person: float = 0.5
    likely_gap_s: float = 0.6
    forced_gap_s: float = 1.0
    unclear_gap_s: float = 1.3
    """Nobody waits longer than this after speech ends: unsure goes to the agent."""
    silence_s: float = 4.0
    listen_s: float = 8.0
    beep_logit: float = 2.5
    """What a beep followed by quiet adds to the log odds of a machine."""


class Posterior(NamedTuple):
    """What is believed about one call at this moment of its stream.

    Seconds count from the start of the stream (the answer, after `restart`). `greeting_end_s` is
    where speech last ended, None before speech and while it goes on (0.2 s pauses do not end it).
    """

    state: Screening = Screening.LISTENING
    cause: str = ""
    confidence: float = 0.5
    p_machine: float = 0.5
    heard_s: float = 0.0
    speech_s: float = 0.0
    gap_s: float = 0.0
    greeting_end_s: float | None = None
    evidence: tuple[float, ...] = ()

    @property
    def features(self) -> dict[str, float]:
        """Return the evidence by name, to be stored with the verdict."""
        return dict(zip(FEATURES + _MORE, self.evidence, strict=False))

    @property
    def is_final(self) -> bool:
        """Tell whether there is a verdict; later evidence may still find a machine."""
        return self.state is not Screening.LISTENING


NOTHING_HEARD: Final = Posterior()
_MORE: Final = ("onset_s", "tonal", "snr_db", "beeps", "beep_end_s", "speaking")


class DetectorBank:
    """Detectors for up to *capacity* streams at once, each known by the number `open` returned."""

    def __init__(
        self,
        capacity: int = 1000,
        *,
        model: TimingModel | None = None,
        thresholds: Thresholds = Thresholds(),
    ) -> None:
        self._model = model or default_model()
        self._thresholds = thresholds
        self._free = list(range(capacity - 1, -1, -1))
        self._rest = [b""] * capacity
        self._tracks = Tracks.empty(capacity)
        self._history = np.full((capacity, HISTORY), np.nan, np.float32)
        self._tail = np.zeros((capacity, TAIL), np.float32)
        self._state = np.zeros(capacity, np.int8)
        self._cause = np.zeros(capacity, np.int8)
        self._strikes = np.zeros(capacity, np.int8)
        self._logit = np.zeros(capacity)

    @property
    def model_version(self) -> str:
        """Return the version stored beside each verdict."""
        return self._model.version

    def open(self) -> int:
        """Return the number of a stream that has heard nothing; IndexError when all are taken."""
        stream = self._free.pop()
        self.restart(stream)
        return stream

    def restart(self, stream: int) -> None:
        """Forget all this stream has heard."""
        row = np.array([stream])
        self._tracks.reset(row)
        self._history[row] = np.nan
        self._tail[row] = 0
        self._state[row] = _LISTENING
        self._cause[row] = 0
        self._logit[row] = 0
        self._strikes[row] = 0
        self._rest[stream] = b""

    def close(self, stream: int) -> None:
        """Give the stream's place back."""
        self._rest[stream] = b""
        self._free.append(stream)

    def feed(self, audio: Mapping[int, bytes]) -> dict[int, Posterior]:
        """Take in what each stream has to say since the last call; return what is now believed.

        Audio that does not fill a step of 100 ms waits for the next call.
        """
        streams = [stream for stream in audio if self._hold(stream, audio[stream]) >= _STEP_BYTES]
        if streams:
            # Longest first, so that the streams still speaking are always the first n.
            streams.sort(key=lambda stream: -len(self._rest[stream]))
            self._hear(np.array(streams))
        return self.posteriors(audio)

    def posteriors(self, streams: Iterable[int]) -> dict[int, Posterior]:
        """Return what is believed about each of these streams."""
        wanted = list(streams)
        if not wanted:
            return {}
        rows = np.array(wanted)
        tracks = self._tracks.take(rows)
        gap_s = tracks.gap() * FRAME_S
        speech_s = tracks.speech * FRAME_S
        spoken = speech_s >= self._thresholds.word_s
        ended = spoken & (gap_s >= 0.2)
        more = (
            np.maximum(tracks.onset, 0) * FRAME_S,
            tracks.tonal / np.maximum(tracks.speech, 1),
            tracks.top_db - tracks.floor_db,
            tracks.beeps,
            np.maximum(tracks.beep_end, 0) * FRAME_S,
            spoken & ~ended,
        )
        evidence = np.column_stack([_table(tracks), *more]).tolist()
        columns = zip(
            self._state[rows].tolist(),
            self._cause[rows].tolist(),
            _probability(self._logit[rows]).tolist(),
            (tracks.frames * FRAME_S).tolist(),
            np.where(spoken, speech_s, 0.0).tolist(),
            gap_s.tolist(),
            np.where(ended, tracks.last * FRAME_S, np.nan).tolist(),
            evidence,
            strict=True,
        )
        return {
            stream: Posterior(
                _STATES[state],
                _CAUSES[cause],
                _confidence(state, p),
                p,
                heard,
                speech,
                gap,
                None if math.isnan(end) else end,
                tuple(values),
            )
            for stream, (state, cause, p, heard, speech, gap, end, values) in zip(
                wanted, columns, strict=True
            )
        }

    def _hold(self, stream: int, pcm: bytes) -> int:
        held = self._rest[stream] + pcm if self._rest[stream] else pcm
        self._rest[stream] = held
        return len(held)

    def _hear(self, rows: Rows) -> None:
        """Hear every whole step that waits; *rows* come with the longest wait first."""
        held = [self._rest[row] for row in rows.tolist()]
        steps = np.array([len(waiting) // _STEP_BYTES for waiting in held])
        longest = int(steps[0])
        for row, count, waiting in zip(rows.tolist(), steps.tolist(), held, strict=True):
            self._rest[row] = waiting[_STEP_BYTES * count :]
        width = _STEP_BYTES * longest
        samples = np.frombuffer(b"".join([w[:width].ljust(width, b"\0") for w in held]), "<i2")
        audio = np.empty((len(rows), TAIL + width // 2), np.float32)
        audio[:, :TAIL] = self._tail[rows]
        np.multiply(samples.reshape(len(rows), -1), np.float32(1 / 32768), out=audio[:, TAIL:])
        ends = (steps * STEP * FRAME)[:, None] + np.arange(TAIL)
        self._tail[rows] = np.take_along_axis(audio, ends, axis=1)

        # Step after step, frame after frame, and for each the streams that have so many.
        present = np.repeat(np.arange(longest), STEP)[:, None] < steps
        measured = measure(audio, present)
        tracks = self._tracks.take(rows)
        at = 0
        for active in present.sum(axis=1)[::STEP].tolist():
            heard, known = rows[:active], tracks.head(active)
            for _ in range(STEP):
                frame = measured.part(at, at + active)
                self._history[heard, known.frames % HISTORY] = frame.level_db
                known.hear(frame)
                at += active
            self._look(heard, known)
        self._tracks.put(rows, tracks)

    def _look(self, rows: Rows, tracks: Tracks) -> None:
        """Update noise floor and verdict; the order of the rules is their precedence."""
        limits = self._thresholds
        tracks.hear_floor(self._history[rows])
        speech_s = tracks.speech * FRAME_S
        heard_s = tracks.frames * FRAME_S
        gap_s = tracks.gap() * FRAME_S
        spoken = speech_s >= limits.word_s

        logit = np.where(spoken, self._model.machine(_table(tracks)), 0.0)
        beeped = (tracks.beeps > 0) & (speech_s >= limits.machine_speech_s)
        logit += np.where(beeped, limits.beep_logit, 0.0)
        self._logit[rows] = logit
        p = _probability(logit)

        strong = (p >= limits.machine) & (speech_s >= limits.machine_speech_s)
        self._strikes[rows] = np.where(strong, np.minimum(self._strikes[rows] + 1, 2), 0)
        state, cause = self._state[rows], self._cause[rows]
        open_ = np.isin(state, (_LISTENING, _NOT_SURE, _SILENCE))
        listening = state == _LISTENING

        def conclude(fact: Facts, verdict: int, why: str) -> None:
            nonlocal open_, listening
            if not fact.any():
                return
            state[fact] = verdict
            cause[fact] = _TEXT[why]
            open_ = open_ & ~fact
            listening = listening & ~fact

        revisable = open_ | (state == _PERSON)
        quiet_before = speech_s < 0.4  # a word or two would be a person or machine
        conclude(revisable & quiet_before & (tracks.calling >= 17), _FAX, "fax_calling")
        conclude(revisable & quiet_before & (tracks.answering >= 17), _FAX, "fax_answering")
        revisable = open_ | (state == _PERSON)
        conclude(revisable & (tracks.sit_stage == 3), _TONE, "special_information")
        conclude(open_ & quiet_before & (tracks.bursts >= 3), _TONE, "busy")
        revisable = open_ | (state == _PERSON)
        machine = revisable & (self._strikes[rows] >= 2)  # twice in a row
        conclude(machine & beeped, _MACHINE, "beep")
        conclude(machine & ~beeped, _MACHINE, "talks_on")
        early = (gap_s >= limits.person_gap_s) & (p <= limits.person)
        early |= (gap_s >= limits.likely_gap_s) & (p <= limits.likely_person)
        conclude(open_ & spoken & early, _PERSON, "short_answer")
        forced = open_ & spoken & (gap_s >= limits.forced_gap_s) & (p <= limits.likely_person)
        conclude(forced, _PERSON, "long_answer")
        conclude(listening & spoken & (gap_s >= limits.unclear_gap_s), _NOT_SURE, "unclear")
        conclude(listening & ~spoken & (heard_s >= limits.silence_s), _SILENCE, "nothing_said")
        conclude(listening & (heard_s >= limits.listen_s), _NOT_SURE, "unclear")
        self._state[rows] = state
        self._cause[rows] = cause


class Detector:
    """One stream: `feed` audio, read the posterior."""

    def __init__(
        self, *, model: TimingModel | None = None, thresholds: Thresholds = Thresholds()
    ) -> None:
        self._bank = DetectorBank(1, model=model, thresholds=thresholds)
        self._stream = self._bank.open()

    def feed(self, pcm: bytes) -> Posterior:
        """Take in more audio and return what is now believed."""
        return self._bank.feed({self._stream: pcm})[self._stream]

    def restart(self) -> None:
        """Forget everything, as at the answer."""
        self._bank.restart(self._stream)


def _table(tracks: Tracks) -> NDArray[np.float64]:
    """Return rows of `FEATURES`."""
    current = np.where(tracks.speech > 0, tracks.last - tracks.segment_from, 0)
    return np.column_stack(
        [
            tracks.speech * FRAME_S,
            tracks.gap() * FRAME_S,
            tracks.segments,
            tracks.first * FRAME_S,
            current * FRAME_S,
            tracks.longest * FRAME_S,
            tracks.longest_gap * FRAME_S,
        ]
    )


def _probability(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))


def _confidence(state: int, p_machine: float) -> float:
    """Return how sure the state is: one number to sort and audit by."""
    if state == _PERSON:
        return 1.0 - p_machine
    if state == _MACHINE:
        return p_machine
    if state in {_FAX, _TONE}:
        return 0.99
    return 0.5
