"""The past of a campaign as a simulation needs it: calls that ended, and who was at work when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class CallEnd(StrEnum):
    """How a past call ended, as far as pacing goes."""

    PERSON = "person"
    ABANDONED = "abandoned"
    MACHINE = "machine"
    FAILED = "failed"
    NO_ANSWER = "no_answer"


ANSWERED_BY_PERSON = frozenset({CallEnd.PERSON, CallEnd.ABANDONED})


@dataclass(frozen=True, slots=True)
class PastCall:
    """One call; durations in seconds, None where it did not come to that or nobody wrote it down.

    `ring_s` runs from dialing to the answer, or to the end of a call nobody answered. A talk with
    `talk_ended` false was cut short from outside or still runs: it lasted at least `talk_s`.
    """

    started_at: datetime
    end: CallEnd
    ring_s: float | None = None
    screening_s: float | None = None
    talk_s: float | None = None
    talk_ended: bool = True
    wrap_up_s: float | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class AtWork:
    """A stretch in which one agent took calls or waited for them."""

    agent: str
    since: datetime
    until: datetime

    @property
    def seconds(self) -> float:
        """Return how long it lasted."""
        return max(0.0, (self.until - self.since).total_seconds())


@dataclass(frozen=True, slots=True)
class Past:
    """Everything a fit starts from; `told` says in sentences how the source was understood.

    `busy` are the agents' stretches of talk and wrap-up where the source has them to the second,
    None where the calls' own durations must do. Nothing after `until` is looked at.
    """

    source: str
    calls: Sequence[PastCall]
    at_work: Sequence[AtWork]
    told: tuple[str, ...] = field(default=())
    busy: Sequence[AtWork] | None = None
    until: datetime | None = None
