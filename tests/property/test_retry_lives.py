"""Whole lives of leads: every one ends, within its limits, and never calls a dead number again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from campaigns.model import CampaignSettings, Disposition, EndedBy, Outcome, RetryRule, Verdict
from campaigns.rules.retry import (
    DEFAULTS,
    CallAgain,
    Ending,
    LeadPast,
    NeverAgain,
    after,
    key_of,
)

NOW = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)

endings = st.builds(
    Ending,
    st.sampled_from(Outcome),
    st.none() | st.sampled_from(Verdict),
    st.none() | st.sampled_from(Disposition),
    joined=st.booleans(),
    ended_by=st.none() | st.sampled_from(EndedBy),
)
settings = st.builds(
    CampaignSettings,
    max_attempts=st.integers(1, 8),
    retry=st.dictionaries(
        st.sampled_from(sorted(DEFAULTS)),
        st.builds(
            RetryRule,
            delay_s=st.integers(0, 86_400).map(float),
            attempts=st.none() | st.integers(1, 4),
        ),
    ),
)


@given(endings, settings, st.integers(0, 10), st.sets(st.integers(0, 4), min_size=1))
def test_next_step_is_possible(
    ending: Ending, policy: CampaignSettings, charged: int, positions: set[int]
) -> None:
    """
    A lead called again has a number it owns and a time not in the past; else a reason.
    """
    place = min(positions)
    past = LeadPast(charged, {}, place, tuple(sorted(positions)))

    found = after(ending, past=past, settings=policy, now=NOW)

    if isinstance(found, CallAgain):
        assert found.position in positions
        assert found.at >= NOW
        assert not found.charged or charged + 1 < policy.max_attempts
    else:
        assert found.reason


@given(st.lists(endings, min_size=60, max_size=60), settings, st.integers(1, 4))
def test_life_is_bounded(lives: list[Ending], policy: CampaignSettings, numbers: int) -> None:
    """
    However its calls end, a lead has at most its limit of charged calls, and no dead number twice.
    """
    positions = set(range(numbers))
    endings_seen = Counter[str]()
    charged, place = 0, 0
    for ending in lives:
        assert place in positions
        past = LeadPast(charged, endings_seen, place, tuple(sorted(positions)))
        found = after(ending, past=past, settings=policy, now=NOW)
        charged += int(found.charged)
        assert charged <= policy.max_attempts
        if isinstance(found, NeverAgain):
            return
        key = key_of(ending)
        if key is not None:
            endings_seen[key] += 1
        if ending.outcome in {Outcome.INVALID_NUMBER, Outcome.REFUSED} or (
            ending.disposition is Disposition.WRONG_NUMBER
        ):
            positions.discard(place)
        place = found.position
