"""Our one pass through the metadata answers what the library's own functions answer."""

from __future__ import annotations

import phonenumbers
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumber

from campaigns.rules.number_types import region_and_type

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
PARTS = (
    "fixed_line",
    "mobile",
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


def _examples(country_code: int) -> list[str]:
    """Return the library's example numbers of a country code, one of each type and region."""
    found = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country_code]:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
        if metadata is None:
            continue
        for part in PARTS:
            numbers = getattr(metadata, part)
            if numbers is not None and numbers.example_number:
                found.append(numbers.example_number)
    return found


def _of_the_library(country_code: int, national: str) -> tuple[str, int]:
    zeros = min(len(national) - len(national.lstrip("0")), len(national) - 1)
    number = PhoneNumber(
        country_code=country_code,
        national_number=int(national),
        italian_leading_zero=True if zeros else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )
    region = phonenumbers.region_code_for_number(number) or ""
    return region, phonenumbers.number_type(number)


def test_every_example_number_of_the_world() -> None:
    """Region and type of the library's examples, of every country and type, are the library's."""
    for code in CODES:
        for national in _examples(code):
            assert _of_the_library(code, national) == region_and_type(code, national)


@given(st.data())
def test_any_digits(data: st.DataObject) -> None:
    """Numbers near an example and numbers that are none get the library's answer too."""
    code = data.draw(st.sampled_from(CODES))
    digits = st.text("0123456789", min_size=4, max_size=13)
    national = data.draw(st.one_of(digits, st.sampled_from(_examples(code) or ["1234567"])))
    place = data.draw(st.integers(0, len(national) - 1))
    changed = national[:place] + data.draw(st.sampled_from("0123456789")) + national[place + 1 :]

    assert _of_the_library(code, changed) == region_and_type(code, changed)
