"""Profiles are data with a date, and the timers that follow from them keep the law."""

from __future__ import annotations

import pytest

from campaigns.errors import UserError
from campaigns.model import CampaignSettings, Clock, ScreeningMode
from campaigns.rules import profiles
from campaigns.rules.profiles import PROFILES, Profile


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_profile_is_whole(profile: Profile) -> None:
    """
    Every profile has a source and a date, a target within its limit, and a window to count in.
    """
    assert profile.source
    assert profile.as_of.year >= 2026
    assert 0 < profile.target_ppm <= profile.limit_ppm <= 50_000
    assert profile.windows
    assert profile.ring_min_s >= 15


@pytest.mark.parametrize(
    ("name", "limit", "clock", "hang_up"),
    [
        ("lab", 30_000, Clock.GREETING_END, True),
        ("us-tsr", 30_000, Clock.GREETING_END, True),
        ("uk-ofcom", 30_000, Clock.ANSWER, False),
        ("ca-crtc", 50_000, Clock.GREETING_END, True),
        ("strict-default", 30_000, Clock.ANSWER, False),
    ],
)
def test_values_of_the_reference(name: str, limit: int, clock: Clock, *, hang_up: bool) -> None:
    """
    The values are those of the compliance reference, §10.
    """
    profile = profiles.get(name)

    assert (limit, clock, hang_up) == (profile.limit_ppm, profile.clock, profile.amd_hang_up)


def test_answer_clock_joins_by_a_second_and_a_half() -> None:
    """
    Where the clock starts at answer an agent is joined by 1.5 s, and no machine is hung up on.
    """
    timers = profiles.call_timers(CampaignSettings(), profiles.get("uk-ofcom"))

    assert (1.5, False) == (timers.join_by_s, timers.hang_up_machines)


def test_greeting_clock_waits_for_the_verdict() -> None:
    """
    Where the clock starts at the end of the greeting there is no such deadline.
    """
    timers = profiles.call_timers(CampaignSettings(), profiles.get("us-tsr"))

    assert (None, True) == (timers.join_by_s, timers.hang_up_machines)


def test_screening_off_hangs_up_on_nothing() -> None:
    """
    Without screening nothing is known to be a machine.
    """
    settings = CampaignSettings(screening=ScreeningMode.OFF)

    assert not profiles.call_timers(settings, profiles.get("us-tsr")).hang_up_machines


def test_ring_timeout_never_undercuts_the_minimum() -> None:
    """
    RING-1: however short a campaign wants to ring, the legal minimum is kept.
    """
    settings = CampaignSettings(ring_timeout_s=15)

    timers = profiles.call_timers(settings, profiles.get("us-tsr"))

    assert timers.ring_timeout_s > timers.ring_min_s >= 15


def test_target_can_only_be_stricter() -> None:
    """
    A campaign's own abandonment target replaces the profile's when it is lower.
    """
    us = profiles.get("us-tsr")

    assert 10_000 == profiles.effective_target_ppm(us, CampaignSettings(target_abandonment=0.01))
    assert 28_500 == profiles.effective_target_ppm(us, CampaignSettings(target_abandonment=0.05))


def test_unknown_profile_names_the_known() -> None:
    """
    A misspelt profile is one sentence that lists what there is.
    """
    with pytest.raises(UserError, match=r"no profile 'us_tsr': choose one of .*us-tsr"):
        profiles.get("us_tsr")
