"""Who counts as a person and which calls count as abandoned (compliance §1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.model import Clock, Disposition, EndedBy, Verdict
from campaigns.rules.abandonment import AnsweredCall, Count, count, deadline

ANSWER = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the moment *seconds* after the answer."""
    return ANSWER + timedelta(seconds=seconds)


CALL = AnsweredCall(
    answered_at=ANSWER,
    ended_at=at(60),
    clock=Clock.ANSWER,
    connect_limit_s=2.0,
    ended_by=EndedBy.US,
)
LIVE = Count(answered_by_person=True)
ABANDONED = Count(answered_by_person=True, abandoned=True)
NEITHER = Count()
EARLY = Count(hung_up_early=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answered_at": None}, NEITHER),
        ({"joined_at": at(1.5)}, LIVE),
        ({"joined_at": at(2.0)}, LIVE),
        ({"joined_at": at(2.000001)}, ABANDONED),
        ({"joined_at": at(30)}, ABANDONED),
        ({}, ABANDONED),
        ({"ended_by": None}, ABANDONED),
        ({"ended_by": EndedBy.NETWORK, "ended_at": at(1)}, ABANDONED),
        ({"ended_by": EndedBy.THEM, "ended_at": at(1.999)}, EARLY),
        ({"ended_by": EndedBy.THEM, "ended_at": at(2.0)}, ABANDONED),
        ({"ended_by": EndedBy.US, "ended_at": at(1)}, ABANDONED),
        ({"verdict": Verdict.MACHINE}, NEITHER),
        ({"verdict": Verdict.FAX}, NEITHER),
        ({"verdict": Verdict.TONE}, NEITHER),
        ({"verdict": Verdict.SILENCE}, ABANDONED),
        ({"verdict": Verdict.NO_AUDIO}, ABANDONED),
        ({"verdict": Verdict.NOT_SURE}, ABANDONED),
        ({"verdict": Verdict.OFF}, ABANDONED),
        ({"verdict": Verdict.MACHINE, "joined_at": at(1)}, LIVE),
        ({"verdict": Verdict.MACHINE, "joined_at": at(9)}, ABANDONED),
        ({"joined_at": at(1), "disposition": Disposition.MACHINE}, NEITHER),
        ({"joined_at": at(9), "disposition": Disposition.MACHINE}, NEITHER),
        ({"joined_at": at(1), "disposition": Disposition.NOBODY_THERE}, LIVE),
    ],
)
def test_count_of_a_call(changes: dict[str, Any], expected: Count) -> None:
    """
    A person not joined in time is abandoned, whoever was late and whatever was believed.
    """
    assert expected == count(replace(CALL, **changes))


def test_greeting_clock_starts_at_the_end_of_the_greeting() -> None:
    """
    In the US the two seconds begin when the person has finished saying hello.
    """
    call = replace(CALL, clock=Clock.GREETING_END, greeting_ended_at=at(1.2), joined_at=at(3.1))

    assert at(3.2) == deadline(call)
    assert LIVE == count(call)
    assert ABANDONED == count(replace(call, joined_at=at(3.3)))


def test_unknown_end_of_greeting_is_the_answer() -> None:
    """
    When the end of the greeting was not heard, the stricter clock counts.
    """
    call = replace(CALL, clock=Clock.GREETING_END, joined_at=at(2.5))

    assert at(2.0) == deadline(call)
    assert ABANDONED == count(call)


def test_answer_clock_ignores_the_greeting() -> None:
    """
    In the UK the clock starts at the answer, however long the greeting was.
    """
    call = replace(CALL, greeting_ended_at=at(1.2), joined_at=at(2.5))

    assert ABANDONED == count(call)
