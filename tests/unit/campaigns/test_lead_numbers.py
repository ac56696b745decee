"""Numbers as people write them become E.164, or a reason why not."""

from __future__ import annotations

import pytest

from campaigns.lead_numbers import DialableNumber, Reject, country_code, read_e164, read_number


@pytest.mark.parametrize(
    ("cell", "country", "expected"),
    [
        ("212-555-0100", "US", "+12125550100"),
        ("(212) 555 0100", "US", "+12125550100"),
        ("1.212.555.0100", "US", "+12125550100"),
        ("2125550100.0", "US", "+12125550100"),
        ("'02079460001", "GB", "+442079460001"),
        ('="02079460001"', "GB", "+442079460001"),
        ("442079460001", "GB", "+442079460001"),
        ("0044 20 7946 0001", "DE", "+442079460001"),
        ("011 44 20 7946 0001", "US", "+442079460001"),
        ("+44 (0)20 7946 0001", "US", "+442079460001"),
        ("+44 20 7946 0001", None, "+442079460001"),
        ("\uff0b1\uff12125550100", None, "+12125550100"),
        ("212-555-0100 ext. 12", "US", "+12125550100"),
        ("tel:+1-212-555-0100", "US", "+12125550100"),
    ],
)
def test_written_numbers_are_understood(cell: str, country: str | None, expected: str) -> None:
    """
    Spaces, brackets, prefixes and what spreadsheets add make no difference.
    """
    found = read_number(cell, country)

    assert isinstance(found, DialableNumber)
    assert expected == found.e164


@pytest.mark.parametrize(
    ("cell", "country", "expected"),
    [
        ("", "US", Reject.NO_NUMBER),
        ("n/a", "US", Reject.INVALID),
        ("-", "US", Reject.NO_NUMBER),
        ("1.2E+10", "US", Reject.ROUNDED),
        ("4,42079E+11", "GB", Reject.ROUNDED),
        ("2125550100", None, Reject.NO_COUNTRY),
        ("555-0100", "US", Reject.INVALID),
        ("12345", "US", Reject.SHORT),
        ("911", "US", Reject.EMERGENCY),
        ("9-911", "US", Reject.EMERGENCY),
        ("+1 900 555 1234", None, Reject.PREMIUM),
        ("0900 1 123456", "DE", Reject.PREMIUM),
        ("+800 1234 5678", None, Reject.TOLL_FREE),
        ("0" * 80, "US", Reject.INVALID),
    ],
)
def test_unusable_numbers_have_a_reason(cell: str, country: str | None, expected: Reject) -> None:
    """
    Each number not taken has the one reason a user can act on.
    """
    assert expected is read_number(cell, country)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("us", "US"),
        ("GB", "GB"),
        ("UK", "GB"),
        ("Germany", "DE"),
        ("deutschland", "DE"),
        ("United States", "US"),
        ("Atlantis", None),
    ],
)
def test_countries_by_code_or_name(text: str, expected: str | None) -> None:
    """
    A country column may hold codes or names.
    """
    assert expected == country_code(text)


def test_unknown_zone_word_makes_every_zone_count() -> None:
    """
    A zone nobody understands makes the call rarer, never more frequent.
    """
    plain = read_number("+12125550100", None)
    stated = read_number("+12125550100", None, "somewhere nice")
    pacific = read_number("+12125550100", None, "Pacific Time")

    assert isinstance(plain, DialableNumber)
    assert isinstance(stated, DialableNumber)
    assert isinstance(pacific, DialableNumber)
    assert ("America/New_York",) == plain.zones
    assert "Pacific/Honolulu" in stated.zones
    assert ("America/Los_Angeles", "America/New_York") == pacific.zones


def test_numbers_never_dialed_can_be_suppressed() -> None:
    """
    The do-not-call list takes numbers of any kind.
    """
    assert "+19005551234" == read_e164("900 555 1234", "US")
    assert Reject.SHORT is read_e164("12345", "US")
