"""The compiled patterns never say anything about a number that the library would not."""

from __future__ import annotations

import phonenumbers
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.lead_numbers import DialableNumber, read_by_library
from campaigns.number_patterns import read_plain

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
# Countries whose plans are the oddest, and those people call most.
OFTEN = ("US", "CA", "JM", "GB", "JE", "DE", "FR", "IT", "SM", "AU", "MX", "AR", "BR", "RU", "KZ")
FORMATS = (
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
)


@st.composite
def written_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """Return a number of some country and type as somebody writes it, digits changed, and where."""
    region = draw(st.one_of(st.sampled_from(OFTEN), st.sampled_from(REGIONS)))
    kind = draw(st.integers(0, 10))
    number = phonenumbers.example_number_for_type(region, kind)
    number = number or phonenumbers.example_number(region)
    assert number is not None
    text = phonenumbers.format_number(number, draw(st.sampled_from(FORMATS)))
    changes = draw(st.dictionaries(st.integers(2, 18), st.sampled_from("0123456789"), max_size=7))
    changed = "".join(
        changes.get(place, sign) if sign.isdigit() else sign for place, sign in enumerate(text)
    )
    before = draw(st.sampled_from(("", "", "", "0", "1", "00", "011", "+", "(0)")))
    after = draw(st.sampled_from(("", "", "", "1", ".0", " ", "00")))
    reader = region if draw(st.integers(0, 4)) else draw(st.sampled_from(REGIONS))
    return before + changed + after, reader


@given(written_numbers())
@example(("+1 212 555 0100", "US"))
@example(("1 212-555-0100", "US"))
@example(("1 658 555 0100", "JM"))
@example(("020 7946 0001", "GB"))
@example(("+44 (0)20 7946 0001", "GB"))
@example(("02 1234 5678", "IT"))
@example(("+61 147 100 100", "AU"))
@example(("+1 212 976 1234", "US"))
def test_patterns_agree_with_the_library(written: tuple[str, str]) -> None:
    """
    Whatever the patterns read, the library reads as the same number, region and zones.
    """
    text, region = written

    plain = read_plain(text, region)

    if plain is not None:
        expected = DialableNumber(plain.e164, plain.region, plain.zones)
        assert expected == read_by_library(text, region)


@given(st.sampled_from(("US", "GB", "DE", "FR", "AU")), st.integers(0, 99))
def test_usual_numbers_need_no_library(region: str, line: int) -> None:
    """
    Numbers as lists have them are read by the patterns: they are why an import is fast.
    """
    written = {
        "US": f"(212) 555-01{line:02d}",
        "GB": f"020 7946 00{line:02d}",
        "DE": f"030 231251{line:02d}",
        "FR": f"01 99 00 12 {line:02d}",
        "AU": "0491 570 156",
    }[region]

    assert read_plain(written, region) is not None
    assert read_plain(read_plain(written, region).e164, None) is not None  # type: ignore[union-attr] # just asserted
