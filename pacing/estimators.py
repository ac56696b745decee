"""What a campaign learns from its own calls, as the sufficient statistics `decide` reads.

A `Learner` is fed one event at a time and hands out a `History`. Recent events weigh more: each new
one discounts those before it. What is running now is not fed here; the snapshot shows it, and
`decide` counts it as right-censored. Only durations cut short for another reason (a supervisor took
the call over, the agent's phone died) are fed with `ended=False`.

LearnerStateError is raised for a saved state this version cannot read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, nan
from typing import Any, Self

import numpy as np

from pacing import observations
from pacing.durations import Duration, Tally
from pacing.observations import DIALED, LIVE, LOST, NOT_LIVE, RING_S, RISKED, THETA
from pacing.types import Histogram, History

STATE_VERSION = 1


class LearnerStateError(ValueError):
    """A saved learner state that this version cannot read."""


class RingEnd(StrEnum):
    """How the ringing of one call attempt ended: a person answered, or anything else happened."""

    LIVE = "live"
    NOT_LIVE = "not_live"


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One finished call attempt, as a campaign's own rows tell it.

    `ring_s` runs from dialing to the answer or the end. `theta_at_dial` is what the decision that
    started the call says under that key; without it the attempt teaches nothing about losses.
    """

    end: RingEnd
    ring_s: float
    talk_s: float | None = None
    wrap_up_s: float | None = None
    abandoned: bool = False
    theta_at_dial: float | None = None


class Learner:
    """Everything learned so far; see the module's docstring for what to feed it."""

    def __init__(self, *, answer_rate_prior: float | None = None) -> None:
        """Start knowing nothing; `answer_rate_prior` is the list's own history if there is one."""
        self.answer_rate_prior = answer_rate_prior
        self._state = observations.fresh_state()
        self._histograms: dict[Duration, Histogram] = {}

    @classmethod
    def from_records(
        cls, records: Iterable[AttemptRecord], *, answer_rate_prior: float | None = None
    ) -> Self:
        """Rebuild a learner from *records*, oldest first."""
        learner = cls(answer_rate_prior=answer_rate_prior)
        for record in records:
            learner._observe(record)
        return learner

    def observe_dialed(self, calls: int, theta_at_dial: float) -> None:
        """Count *calls* started by a decision whose evidence has *theta_at_dial*."""
        observations.observe_dialed(self._state, calls, theta_at_dial)

    def observe_end(self, end: RingEnd, ring_s: float, *, in_flight: int = 0) -> None:
        """Count a call that rang *ring_s* seconds; *in_flight* others are still ringing."""
        is_live = end is RingEnd.LIVE
        observations.observe_end(self._state, is_live, ring_s, in_flight)
        self._histograms.pop(Duration.RING_LIVE if is_live else Duration.RING_OTHER, None)

    def observe_answered(self, *, abandoned: bool, theta_at_dial: float | None = None) -> None:
        """Count a person who answered; losses per unit of threshold give kappa.

        Without *theta_at_dial* the mean threshold of the calls dialed lately stands in.
        """
        theta = nan if theta_at_dial is None else theta_at_dial
        observations.observe_answered(self._state, abandoned, theta)

    def observe_talk(self, talk_s: float, *, ended: bool = True) -> None:
        """Count a talk of *talk_s* seconds; not *ended* means it was cut short from outside."""
        observations.observe_talk(self._state, talk_s, ended)
        self._histograms.pop(Duration.TALK, None)

    def observe_wrap_up(self, wrap_up_s: float, *, ended: bool = True) -> None:
        """Count a wrap-up of *wrap_up_s* seconds, 0 when the agent was ready at once."""
        observations.observe_wrap_up(self._state, wrap_up_s, ended)
        self._histograms.pop(Duration.WRAP_UP, None)

    def history(self) -> History:
        """Return what was learned; equal parts come back as the same objects."""
        numbers = self._state.numbers
        for duration, tally in zip(Duration, self._state.tallies, strict=True):
            if duration not in self._histograms:
                self._histograms[duration] = _histogram(tally)
        return History(
            live=float(numbers[LIVE]),
            not_live=float(numbers[NOT_LIVE]),
            ring_live=self._histograms[Duration.RING_LIVE],
            ring_other=self._histograms[Duration.RING_OTHER],
            talk=self._histograms[Duration.TALK],
            wrap_up=self._histograms[Duration.WRAP_UP],
            dialed=int(numbers[DIALED]),
            loss_rate=observations.kappa(numbers),
            answer_rate_prior=self.answer_rate_prior,
        )

    def to_json(self) -> str:
        """Return the state as JSON, to be read by `from_json`."""
        numbers = self._state.numbers
        theta = float(numbers[THETA])
        return json.dumps(
            {
                "version": STATE_VERSION,
                "answer_rate_prior": self.answer_rate_prior,
                "ring_s": float(numbers[RING_S]),
                "live": float(numbers[LIVE]),
                "not_live": float(numbers[NOT_LIVE]),
                "dialed": int(numbers[DIALED]),
                "lost": float(numbers[LOST]),
                "risked": float(numbers[RISKED]),
                "theta": None if theta != theta else theta,  # noqa: PLR0124 - NaN
                "durations": {
                    duration.value: {
                        "events": tally.events.tolist(),
                        "exposed": tally.exposed.tolist(),
                    }
                    for duration, tally in zip(Duration, self._state.tallies, strict=True)
                },
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the learner saved as *text*; LearnerStateError if this version cannot read it."""
        try:
            state = json.loads(text)
            if state["version"] != STATE_VERSION:
                message = f"learner state has version {state['version']}, not {STATE_VERSION}"
                raise LearnerStateError(message)
            prior, theta = state["answer_rate_prior"], state["theta"]
            learner = cls(answer_rate_prior=None if prior is None else _amount(prior))
            numbers = learner._state.numbers
            numbers[RING_S] = max(1.0, _amount(state["ring_s"]))
            numbers[LIVE] = _amount(state["live"])
            numbers[NOT_LIVE] = _amount(state["not_live"])
            numbers[DIALED] = int(_amount(state["dialed"]))
            numbers[LOST] = _amount(state["lost"])
            numbers[RISKED] = _amount(state["risked"])
            numbers[THETA] = nan if theta is None else _amount(theta)
            for duration, tally in zip(Duration, learner._state.tallies, strict=True):
                _restore(tally, state["durations"][duration.value])
        except (json.JSONDecodeError, KeyError, TypeError) as exc:
            message = f"learner state is incomplete or not JSON: {exc}"
            raise LearnerStateError(message) from exc
        return learner

    def _observe(self, record: AttemptRecord) -> None:
        self._state.numbers[DIALED] += 1
        self.observe_end(record.end, record.ring_s)
        if record.end is RingEnd.LIVE and record.theta_at_dial is not None:
            self.observe_answered(abandoned=record.abandoned, theta_at_dial=record.theta_at_dial)
        if record.talk_s is not None:
            self.observe_talk(record.talk_s)
        if record.wrap_up_s is not None:
            self.observe_wrap_up(record.wrap_up_s)


def _histogram(tally: Tally) -> Histogram:
    return Histogram(tally.width_s, tuple(tally.events.tolist()), tuple(tally.exposed.tolist()))


def _restore(tally: Tally, state: dict[str, Any]) -> None:
    events = np.array([_amount(value) for value in state["events"]])
    exposed = np.array([_amount(value) for value in state["exposed"]])
    bins = tally.events.size
    if not events.size == exposed.size == bins:
        message = f"learner state has {events.size} bins where {bins} are expected"
        raise LearnerStateError(message)
    tally.events[:], tally.exposed[:] = events, exposed


def _amount(value: object) -> float:
    """Return *value* as a finite number that is not negative; LearnerStateError if it is not."""
    if isinstance(value, int | float) and isfinite(value) and value >= 0:
        return float(value)
    message = f"expected a number of at least 0, got {value!r}"
    raise LearnerStateError(message)
