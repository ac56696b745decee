"""Region and type of a phone number from the metadata of `phonenumbers`, in one pass.

The library's own functions go through a region's patterns once to find the region and again for the
type, and look every pattern up by its text on the way. Each call is judged right before it leaves,
so this keeps the compiled patterns and goes through them once. What it answers is what the library
answers: `tests/property/test_number_types.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumberType

if TYPE_CHECKING:
    from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

# In the library's order: the first that fits is the type (`phonenumberutil.number_type`).
_SPECIAL = (
    ("premium_rate", PhoneNumberType.PREMIUM_RATE),
    ("toll_free", PhoneNumberType.TOLL_FREE),
    ("shared_cost", PhoneNumberType.SHARED_COST),
    ("voip", PhoneNumberType.VOIP),
    ("personal_number", PhoneNumberType.PERSONAL_NUMBER),
    ("pager", PhoneNumberType.PAGER),
    ("uan", PhoneNumberType.UAN),
    ("voicemail", PhoneNumberType.VOICEMAIL),
)


@dataclass(frozen=True, slots=True)
class _Range:
    """The numbers of one description; no lengths mean any length."""

    lengths: frozenset[int]
    pattern: re.Pattern[str]

    def holds(self, national: str) -> bool:
        """Say whether a national number is one of them."""
        if self.lengths and len(national) not in self.lengths:
            return False
        return self.pattern.fullmatch(national) is not None


@dataclass(frozen=True, slots=True)
class _Region:
    """One region of a country code, ready to be asked."""

    name: str
    general: _Range | None
    special: tuple[tuple[_Range, int], ...]
    maybe_special: re.Pattern[str]
    fixed: _Range | None
    mobile: _Range | None
    is_mobile_fixed: bool

    def type_of(self, national: str) -> int:
        """Return the `PhoneNumberType` of a national number of this region."""
        if self.general is None or not self.general.holds(national):
            return PhoneNumberType.UNKNOWN
        if self.maybe_special.fullmatch(national):
            for numbers, kind in self.special:
                if numbers.holds(national):
                    return kind
        if self.fixed is not None and self.fixed.holds(national):
            if self.is_mobile_fixed or (self.mobile is not None and self.mobile.holds(national)):
                return PhoneNumberType.FIXED_LINE_OR_MOBILE
            return PhoneNumberType.FIXED_LINE
        if not self.is_mobile_fixed and self.mobile is not None and self.mobile.holds(national):
            return PhoneNumberType.MOBILE
        return PhoneNumberType.UNKNOWN


@dataclass(frozen=True, slots=True)
class _Led:
    """Neighbours in a country code's order whose numbers are known by how they begin."""

    by_name: dict[str, _Region]
    leading: re.Pattern[str]

    def region_of(self, national: str) -> _Region | None:
        """Return the first whose beginning a number has."""
        found = self.leading.match(national)
        return None if found is None else self.by_name[found.lastgroup or ""]


def region_and_type(country_code: int, national: str) -> tuple[str, int]:
    """Return the region (ISO 3166, "001" for global services) and the `PhoneNumberType`.

    *national* is the national significant number. No region and an unknown type are "" and
    `PhoneNumberType.UNKNOWN`; of a country code with one region the region is returned even then.
    """
    only, regions = _regions(country_code)
    if only is not None:
        return only.name, only.type_of(national)
    for region in regions:
        if isinstance(region, _Led):
            led = region.region_of(national)
            if led is not None:
                return led.name, led.type_of(national)
            continue
        kind = region.type_of(national)
        if kind != PhoneNumberType.UNKNOWN:
            return region.name, kind
    return "", PhoneNumberType.UNKNOWN


@lru_cache(maxsize=512)
def _regions(country_code: int) -> tuple[_Region | None, tuple[_Region | _Led, ...]]:
    """Return the only region, if there is just one, and else all in the library's order."""
    found: list[tuple[_Region, str]] = []
    for name in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(country_code, ()):
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(
            country_code, name
        )
        if metadata is not None:
            found.append((_region(name, metadata), metadata.leading_digits or ""))
    if len(found) == 1:
        return found[0][0], ()
    regions: list[_Region | _Led] = []
    for are_led, neighbours in groupby(found, key=lambda region: bool(region[1])):
        if are_led:
            regions.append(_led(list(neighbours)))
        else:
            regions += [region for region, _ in neighbours]
    return None, tuple(regions)


def _led(regions: list[tuple[_Region, str]]) -> _Led:
    # The name of a global service would begin with a digit; none of them shares its code.
    return _Led(
        by_name={region.name: region for region, _ in regions},
        leading=re.compile("|".join(f"(?P<{region.name}>{start})" for region, start in regions)),
    )


def _region(name: str, metadata: PhoneMetadata) -> _Region:
    special = tuple(
        (numbers, kind)
        for part, kind in _SPECIAL
        if (numbers := _range(getattr(metadata, part))) is not None
    )
    return _Region(
        name=name,
        general=_range(metadata.general_desc),
        special=special,
        # Hardly any number is special: one look instead of eight. An empty one holds nothing here.
        maybe_special=re.compile("|".join(numbers.pattern.pattern for numbers, _ in special)),
        fixed=_range(metadata.fixed_line),
        mobile=_range(metadata.mobile),
        is_mobile_fixed=bool(metadata.same_mobile_and_fixed_line_pattern),
    )


def _range(numbers: PhoneNumberDesc | None) -> _Range | None:
    if numbers is None or not numbers.national_number_pattern:
        return None
    return _Range(frozenset(numbers.possible_length), re.compile(numbers.national_number_pattern))
