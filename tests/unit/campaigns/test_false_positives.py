"""UK-1, AMD-1: people taken for machines are abandoned calls too, and only evidence allows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from campaigns.model import CampaignSettings
from campaigns.rules import profiles
from campaigns.rules.false_positives import VALID_FOR, Evidence, british_rate, estimated

TESTED = datetime(2026, 11, 1, tzinfo=UTC)


def test_uk_1_golden_vector() -> None:
    """
    UK-1: D=20, L=970, Ag=30 and 1 % false positives are 2.941 %, not the naive 2.020 %.
    """
    found = british_rate(dropped=20, live=970, machines=30, false_positive_ppm=10_000)

    assert Fraction(194, 10) == found.dropped_people
    assert 9.994 == round(float(found.false_positives), 3)
    assert 999.394 == round(float(found.people), 3)
    assert "2.941%" == f"{float(found.rate):.3%}"


def test_without_screening_the_rate_is_plain() -> None:
    """
    With no machines and no false positives it is dropped calls over people; nothing is 0 of 0.
    """
    assert (
        Fraction(3, 100) == british_rate(dropped=3, live=97, machines=0, false_positive_ppm=0).rate
    )
    assert 0 == british_rate(dropped=0, live=0, machines=0, false_positive_ppm=0).rate


@pytest.mark.parametrize(
    ("people", "errors", "expected"),
    # The textbook values of the Wilson score interval.
    [(100, 0, 0.036994), (100, 1, 0.054487), (1000, 10, 0.018308), (10, 5, 0.763407)],
)
def test_amd_1_evidence_counts_with_its_upper_bound(
    people: int, errors: int, expected: float
) -> None:
    """
    AMD-1: a small sample proves little: the upper end of the 95 % interval is reckoned with.
    """
    bound = Evidence(TESTED, people, errors).upper_bound_ppm

    assert abs(bound / 1_000_000 - expected) < 2e-5
    assert bound * people >= errors * 1_000_000


def test_amd_1_evidence_expires_and_then_nothing_is_hung_up_on() -> None:
    """
    AMD-1: valid for 90 days; without it screening under the British profile hangs up on nobody.
    """
    evidence = Evidence(TESTED, 100, 0)
    uk = profiles.get("uk-ofcom")

    assert evidence.is_valid(TESTED + VALID_FOR)
    assert not evidence.is_valid(TESTED + VALID_FOR + timedelta(seconds=1))
    assert not profiles.call_timers(CampaignSettings(), uk).hang_up_machines
    assert profiles.call_timers(CampaignSettings(), uk, proven=True).hang_up_machines


def test_estimate_is_rounded_up() -> None:
    """
    A third of a person is one: the guard never reckons with too few.
    """
    assert [0, 1, 11] == [estimated(n, 10_000) for n in (0, 1, 1000)]
