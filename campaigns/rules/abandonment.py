"""Which calls were answered by a person (H) and which of those were abandoned (A).

The definitions of docs/reference/rules.md, applied to one closed attempt; counting windows is the
ledger's business. Times compare as whole microseconds, so no verdict hangs on a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.model import Clock, Disposition, EndedBy, Verdict

# Believed at hang-up; anything else, silence and "not sure" too, counts as a person.
_NOT_A_PERSON = frozenset({Verdict.MACHINE, Verdict.FAX, Verdict.TONE})


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """What of an attempt decides; times carry a time zone, None is unknown."""

    answered_at: datetime | None
    ended_at: datetime
    clock: Clock
    connect_limit_s: float
    greeting_ended_at: datetime | None = None
    joined_at: datetime | None = None
    ended_by: EndedBy | None = None
    verdict: Verdict | None = None
    disposition: Disposition | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How one attempt counts; `hung_up_early` ones are in neither H nor A, but are reported."""

    answered_by_person: bool = False
    abandoned: bool = False
    hung_up_early: bool = False


def deadline(call: AnsweredCall) -> datetime | None:
    """Return when an agent had to be heard, None for a call nobody answered.

    A clock that starts at the end of the greeting starts at the answer when that end is unknown:
    the stricter reading.
    """
    if call.answered_at is None:
        return None
    start = call.answered_at
    if call.clock is Clock.GREETING_END and call.greeting_ended_at is not None:
        start = max(start, call.greeting_ended_at)
    return start + timedelta(microseconds=round(call.connect_limit_s * 1_000_000))


def was_person(call: AnsweredCall) -> bool:
    """Say whether a person answered, as far as anyone can know; unknown counts as a person."""
    if call.answered_at is None:
        return False
    if call.joined_at is not None:
        # The agent heard it, and outranks the screening: only their word makes it a machine.
        return call.disposition is not Disposition.MACHINE
    return call.verdict not in _NOT_A_PERSON


def count(call: AnsweredCall) -> Count:
    """Return how the attempt counts in every abandonment window it falls into."""
    limit = deadline(call)
    if limit is None or not was_person(call):
        return Count()
    if call.joined_at is not None:
        # A late connect is abandoned even if the agent then talks.
        return Count(answered_by_person=True, abandoned=call.joined_at > limit)
    if call.ended_by is EndedBy.THEM and call.ended_at < limit:
        return Count(hung_up_early=True)
    return Count(answered_by_person=True, abandoned=True)
