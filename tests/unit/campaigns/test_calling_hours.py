"""Calling hours on local wall clocks, through every change of the clocks (compliance §8)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from campaigns.rules.calling_hours import ALWAYS, WeeklyHours, window
from campaigns.rules.profiles import PROFILES
from campaigns.rules.zones import candidate_zones, zones_of_region

EIGHT_TO_NINE = WeeklyHours.every_day((8 * 60, 21 * 60))


def is_open(zones: tuple[str, ...], local: str, zone: str) -> bool:
    """Say whether a call may start at *local* time of *zone*."""
    now = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))
    return window(EIGHT_TO_NINE, zones, now, before_end_s=0).is_open


@pytest.mark.parametrize(
    ("zones", "local", "zone", "expected"),
    [
        # The day the clocks go forward (8 March 2026) and back (1 November 2026) in the US.
        (("America/New_York",), "2026-03-08T07:59", "America/New_York", False),
        (("America/New_York",), "2026-03-08T08:00", "America/New_York", True),
        (("America/New_York",), "2026-03-08T12:00", "UTC", True),
        (("America/New_York",), "2026-03-08T11:59", "UTC", False),
        (("America/New_York",), "2026-11-01T12:59", "UTC", False),
        (("America/New_York",), "2026-11-01T13:00", "UTC", True),
        # The UK goes forward on 29 March 2026.
        (("Europe/London",), "2026-03-29T06:59", "UTC", False),
        (("Europe/London",), "2026-03-29T07:00", "UTC", True),
        # Arizona does not change its clocks; the Navajo Nation in it does.
        (("America/Phoenix",), "2026-07-01T15:00", "UTC", True),
        (("America/Phoenix", "America/Denver"), "2026-07-02T03:00", "UTC", False),
        # Half-hour zones, one of them with half an hour of summer time.
        (("America/St_Johns",), "2026-07-01T10:30", "UTC", True),
        (("America/St_Johns",), "2026-07-01T10:29", "UTC", False),
        (("Australia/Lord_Howe",), "2026-01-01T21:00", "UTC", True),
        (("Australia/Lord_Howe",), "2026-01-01T20:59", "UTC", False),
        (("Pacific/Honolulu",), "2026-01-01T18:00", "UTC", True),
        (("America/Puerto_Rico",), "2026-01-01T12:00", "UTC", True),
    ],
)
def test_local_clock_decides(
    zones: tuple[str, ...], local: str, zone: str, *, expected: bool
) -> None:
    """
    A window opens and closes on the wall clock of each zone, whatever its offset that day.
    """
    assert expected is is_open(zones, local, zone)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-01-15T12:59", False),
        ("2026-01-15T13:00", True),
        ("2026-01-15T20:59", True),
        ("2026-01-15T21:00", False),
        ("2026-07-15T13:59", False),
        ("2026-07-15T14:00", True),
        ("2026-07-15T20:59", True),
    ],
)
def test_unknown_american_zone_means_all_of_them(local: str, *, expected: bool) -> None:
    """
    TZ-3: a US number of unknown place is called from 13:00 Eastern in winter, 14:00 in summer.
    """
    assert expected is is_open(zones_of_region("US"), local, "America/New_York")


@pytest.mark.parametrize(("local", "expected"), [("08:05", False), ("09:00", True)])
def test_overlay_code_of_the_panhandle_counts_as_central(local: str, *, expected: bool) -> None:
    """
    850-432 and its overlay 448 are called by the later of the two clocks.
    """
    for number in ("+18504320123", "+14484320123"):
        zones = candidate_zones(number, "US")
        assert expected is is_open(zones, f"2026-01-15T{local}", "America/New_York")


@pytest.mark.parametrize(
    ("local", "expected"),
    [("10:59", False), ("11:00", True), ("20:59", True), ("21:00", False)],
)
def test_moved_person_is_called_when_both_places_are_awake(local: str, *, expected: bool) -> None:
    """
    A New York number of a person in California is called from 11:00 to 21:00 Eastern.
    """
    zones = candidate_zones("+12125550100", "US", "America/Los_Angeles")

    assert expected is is_open(zones, f"2026-01-15T{local}", "America/New_York")


def test_answer_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The server's own time zone changes nothing.
    """
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    now = datetime(2026, 1, 15, 18, 0, tzinfo=UTC)

    assert window(EIGHT_TO_NINE, ("America/New_York",), now, before_end_s=0).is_open


def test_always_open_is_open_at_any_moment() -> None:
    """
    Profile lab works at any hour of any day, also across midnight and with a margin.
    """
    for hour in range(24):
        for day in (8, 9, 1):
            now = datetime(2026, 3, day, hour, 59, 59, tzinfo=UTC)
            zones = ("America/New_York", "Europe/London", "Australia/Sydney")
            assert window(ALWAYS, zones, now, before_end_s=120).is_open


def test_sunday_is_closed_until_monday() -> None:
    """
    The wait named on a closed day ends when the next open one begins.
    """
    sunday = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    found = window(PROFILES["uk-ofcom"].hours, ("Europe/London",), sunday, before_end_s=60)

    assert (False, 20 * 3600.0) == (found.is_open, found.opens_in_s)


def test_window_that_is_never_open_has_no_time() -> None:
    """
    Zones whose days never overlap give no opening, rather than a wrong one.
    """
    noon_hour = WeeklyHours.every_day((720, 780))
    zones = ("America/New_York", "Asia/Tokyo")

    found = window(noon_hour, zones, datetime(2026, 1, 1, tzinfo=UTC), before_end_s=0)

    assert (False, None) == (found.is_open, found.opens_in_s)
