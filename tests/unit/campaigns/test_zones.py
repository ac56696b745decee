"""Candidate zones: every place the person may be in (compliance §8)."""

from __future__ import annotations

import pytest

from campaigns.rules.zones import candidate_zones, is_zone, zones_of_region


@pytest.mark.parametrize(
    ("number", "region", "expected"),
    [
        ("+12125550100", "US", {"America/New_York"}),
        ("+14485550100", "US", {"America/New_York", "America/Chicago"}),
        ("+19305550100", "US", {"America/New_York", "America/Chicago"}),
        ("+13645550100", "US", {"America/New_York", "America/Chicago"}),
        ("+12195550100", "US", {"America/New_York", "America/Chicago"}),
        ("+14235550100", "US", {"America/New_York", "America/Chicago"}),
        ("+19288715550", "US", {"America/Phoenix", "America/Denver"}),
        ("+15415550100", "US", {"America/Los_Angeles", "America/Boise"}),
        ("+17095550100", "CA", {"America/St_Johns", "America/Goose_Bay"}),
        ("+18765550100", "JM", {"America/Jamaica"}),
        ("+442079460001", "GB", {"Europe/London"}),
        ("+33199001234", "FR", {"Europe/Paris"}),
    ],
)
def test_number_gives_every_zone_of_its_area(number: str, region: str, expected: set[str]) -> None:
    """
    Area codes across a zone border count on both sides of it.
    """
    assert expected <= set(candidate_zones(number, region))


def test_plus_one_alone_is_no_place() -> None:
    """
    A number known only by its calling code gets its own country's zones, not twenty countries'.
    """
    assert ("America/Jamaica",) == candidate_zones("+18765550100", "JM")


def test_unknown_area_code_means_the_whole_country() -> None:
    """
    TZ-3: an area code the library does not know has all the zones of its country.
    """
    assert set(zones_of_region("US")) == set(candidate_zones("+14365550100", "US"))


def test_australian_mobile_may_be_anywhere_in_australia() -> None:
    """
    A mobile number without a place counts in Perth as well as in Sydney.
    """
    found = candidate_zones("+61491570156", "AU")

    assert {"Australia/Sydney", "Australia/Perth", "Australia/Adelaide"} <= set(found)


def test_stated_zone_adds_and_never_replaces() -> None:
    """
    A wrong zone column cannot open an hour that the number closes.
    """
    found = candidate_zones("+12125550100", "US", "Asia/Tokyo")

    assert ("America/New_York", "Asia/Tokyo") == found


@pytest.mark.parametrize("name", ["", "Etc/Unknown", "Nowhere/Land", "../etc/passwd", "/etc"])
def test_names_that_are_no_zones_are_known(name: str) -> None:
    """
    What zoneinfo cannot evaluate is no zone, also when it looks like a path.
    """
    assert not is_zone(name)
