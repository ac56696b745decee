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
from math import exp, isfinite
from typing import Any, Self

import numpy as np

from pacing.answer_rate import memory
from pacing.durations import GRID, Duration, Floats
from pacing.threshold import PRIOR_LOSS_RATE
from pacing.types import Histogram, History

STATE_VERSION = 1

_MEMORY: dict[Duration, float] = {
    Duration.RING_LIVE: 1000.0,
    Duration.RING_OTHER: 2000.0,
    Duration.TALK: 5000.0,
    Duration.WRAP_UP: 5000.0,
}
"""How many durations are remembered; many more than ever run at once, or those count twice."""
_FIRST_RING_S = 15.0
_KEEP_RING = 0.99
_KEEP_LOSSES = 0.998
_KEEP_THETA = 0.97
_PRIOR_RISKED = 20 * 0.03


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
        self._tallies = {duration: _Tally(duration) for duration in Duration}
        self._ring_s = _FIRST_RING_S
        self._live = 0.0
        self._not_live = 0.0
        self._dialed = 0
        self._lost = 0.0
        self._risked = 0.0
        self._theta: float | None = None

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
        self._dialed += calls
        before = theta_at_dial if self._theta is None else self._theta
        keep = _KEEP_THETA**calls
        self._theta = keep * before + (1 - keep) * theta_at_dial

    def observe_end(self, end: RingEnd, ring_s: float, *, in_flight: int = 0) -> None:
        """Count a call that rang *ring_s* seconds; *in_flight* others are still ringing.

        A call counts by when it was dialed: the longer it rang, the more calls were dialed since
        (in_flight * ring_s / mean ring, by Little's law). Without that, long rings would weigh
        more than short ones dialed at the same time, and those are rarely live.
        """
        resolved = self._live + self._not_live
        rate = (1 + self._live) / (4 + resolved)
        remembered = memory(in_flight, rate)
        dialed_since = in_flight * max(0.0, ring_s) / self._ring_s
        self._ring_s = _KEEP_RING * self._ring_s + (1 - _KEEP_RING) * max(1.0, ring_s)
        self._live *= 1 - 1 / remembered
        self._not_live *= 1 - 1 / remembered
        weight = exp(-dialed_since / remembered)
        if end is RingEnd.LIVE:
            self._live += weight
            self._tallies[Duration.RING_LIVE].add(ring_s, ended=True, running=in_flight)
        else:
            self._not_live += weight
            self._tallies[Duration.RING_OTHER].add(ring_s, ended=True, running=in_flight)

    def observe_answered(self, *, abandoned: bool, theta_at_dial: float | None = None) -> None:
        """Count a person who answered; losses per unit of threshold give kappa.

        Without *theta_at_dial* the mean threshold of the calls dialed lately stands in.
        """
        theta = self._theta if theta_at_dial is None else theta_at_dial
        if theta is None:
            return
        self._lost = _KEEP_LOSSES * self._lost + abandoned
        self._risked = _KEEP_LOSSES * self._risked + theta

    def observe_talk(self, talk_s: float, *, ended: bool = True) -> None:
        """Count a talk of *talk_s* seconds; not *ended* means it was cut short from outside."""
        self._tallies[Duration.TALK].add(talk_s, ended=ended)

    def observe_wrap_up(self, wrap_up_s: float, *, ended: bool = True) -> None:
        """Count a wrap-up of *wrap_up_s* seconds, 0 when the agent was ready at once."""
        self._tallies[Duration.WRAP_UP].add(wrap_up_s, ended=ended)

    def history(self) -> History:
        """Return what was learned; equal parts come back as the same objects."""
        ring_live, ring_other, talk, wrap_up = (self._tallies[d].histogram() for d in Duration)
        return History(
            live=self._live,
            not_live=self._not_live,
            ring_live=ring_live,
            ring_other=ring_other,
            talk=talk,
            wrap_up=wrap_up,
            dialed=self._dialed,
            loss_rate=(_PRIOR_RISKED * PRIOR_LOSS_RATE + self._lost)
            / (_PRIOR_RISKED + self._risked),
            answer_rate_prior=self.answer_rate_prior,
        )

    def to_json(self) -> str:
        """Return the state as JSON, to be read by `from_json`."""
        return json.dumps(
            {
                "version": STATE_VERSION,
                "answer_rate_prior": self.answer_rate_prior,
                "ring_s": self._ring_s,
                "live": self._live,
                "not_live": self._not_live,
                "dialed": self._dialed,
                "lost": self._lost,
                "risked": self._risked,
                "theta": self._theta,
                "durations": {d.value: tally.to_dict() for d, tally in self._tallies.items()},
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
            learner._ring_s = max(1.0, _amount(state["ring_s"]))
            learner._live = _amount(state["live"])
            learner._not_live = _amount(state["not_live"])
            learner._dialed = int(_amount(state["dialed"]))
            learner._lost = _amount(state["lost"])
            learner._risked = _amount(state["risked"])
            learner._theta = None if theta is None else _amount(theta)
            for duration, tally in learner._tallies.items():
                tally.restore(state["durations"][duration.value])
        except (json.JSONDecodeError, KeyError, TypeError) as exc:
            message = f"learner state is incomplete or not JSON: {exc}"
            raise LearnerStateError(message) from exc
        return learner

    def _observe(self, record: AttemptRecord) -> None:
        self._dialed += 1
        self.observe_end(record.end, record.ring_s)
        if record.end is RingEnd.LIVE and record.theta_at_dial is not None:
            self.observe_answered(abandoned=record.abandoned, theta_at_dial=record.theta_at_dial)
        if record.talk_s is not None:
            self.observe_talk(record.talk_s)
        if record.wrap_up_s is not None:
            self.observe_wrap_up(record.wrap_up_s)


class _Tally:
    """Discounted events and exposure of one duration."""

    def __init__(self, duration: Duration) -> None:
        self._width, self._bins = GRID[duration]
        self._memory = _MEMORY[duration]
        self._events: Floats = np.zeros(self._bins)
        self._exposed: Floats = np.zeros(self._bins)
        self._histogram: Histogram | None = None

    def add(self, duration_s: float, *, ended: bool, running: int = 0) -> None:
        # Two clocks may make a short duration slightly negative; that is 0, not an error.
        at = max(0.0, duration_s) / self._width
        last = int(min(at, self._bins))
        keep = 1 - 1 / max(self._memory, 10.0 * running)
        self._events *= keep
        self._exposed *= keep
        self._exposed[:last] += 1
        if last < self._bins:
            self._exposed[last] += 1 if ended else at - last
            self._events[last] += ended
        self._histogram = None

    def histogram(self) -> Histogram:
        if self._histogram is None:
            events, exposed = tuple(self._events.tolist()), tuple(self._exposed.tolist())
            self._histogram = Histogram(self._width, events, exposed)
        return self._histogram

    def to_dict(self) -> dict[str, list[float]]:
        return {"events": self._events.tolist(), "exposed": self._exposed.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        events = np.array([_amount(value) for value in state["events"]])
        exposed = np.array([_amount(value) for value in state["exposed"]])
        if not events.size == exposed.size == self._bins:
            message = f"learner state has {events.size} bins where {self._bins} are expected"
            raise LearnerStateError(message)
        self._events, self._exposed = events, exposed


def _amount(value: object) -> float:
    """Return *value* as a finite number that is not negative; LearnerStateError if it is not."""
    if isinstance(value, int | float) and isfinite(value) and value >= 0:
        return float(value)
    message = f"expected a number of at least 0, got {value!r}"
    raise LearnerStateError(message)
