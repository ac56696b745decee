"""Plainly written telephone numbers, read without the library's parser.

The library takes about 90 µs for a number, most of it spent on what a plainly written number does
not need. This module takes the same steps for the plain cases (parse, region, type, zones) over
patterns compiled once from the library's own metadata, in a few microseconds, and says None to
everything else: the library then decides. A property test holds the two to the same answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType, phonenumberutil, tzdata

from campaigns.rules.dialable_numbers import NumberKind, examine, in_refused_range
from campaigns.rules.number_types import region_and_type
from campaigns.rules.zones import candidate_zones

# Only what carries no meaning of its own: a leading +, digits, and signs that merely group them.
_PLAIN = re.compile(r"\+?[0-9 ().\-]+")
_SIGNS = str.maketrans("", "", "+ ().-")
# Below this an exchange may take the digits for a short code or an emergency number.
_FEWEST_DIGITS = 8
_MOST_DIGITS = 15
_FEWEST_NATIONAL = 5


@dataclass(frozen=True, slots=True)
class PlainNumber:
    """An ordinary fixed or mobile number: E.164, ISO 3166 region, the zones it names by itself."""

    e164: str
    region: str
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _HomePlan:
    """How numbers of a country are written inside it."""

    code: str
    general: re.Pattern[str]
    lengths: frozenset[int]
    national: re.Pattern[str]
    transforms: bool
    abroad: re.Pattern[str]


def read_plain(cell: str, country: str | None) -> PlainNumber | None:
    """Return the number if it is plainly written and an ordinary line; None: ask the library."""
    if _PLAIN.fullmatch(cell) is None or cell.endswith(".0"):
        return None
    digits = cell.translate(_SIGNS)
    if not _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS:
        return None
    if cell[0] == "+":
        split = _from_abroad(digits)
    else:
        split = None if country is None else _from_home(digits, country)
    if split is None:
        return None
    return _ordinary(*split)


def _from_abroad(digits: str) -> tuple[str, str] | None:
    """Return calling code and national number of digits that followed a +."""
    for end in (1, 2, 3):
        code = digits[:end]
        if int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            plan = _home_plan(phonenumbers.region_code_for_country_code(int(code)))
            national = digits[end:]
            # A trunk prefix left in, as in +44 (0)20: the library strips it with care.
            if plan is None or plan.national.match(national):
                return None
            return (code, national) if len(national) >= _FEWEST_NATIONAL else None
    return None


def _from_home(digits: str, country: str) -> tuple[str, str] | None:
    """Return calling code and national number of digits dialed inside *country*."""
    plan = _home_plan(country)
    if plan is None or plan.abroad.match(digits):
        return None
    national = digits
    possible = len(digits) <= max(plan.lengths) and plan.general.fullmatch(digits) is not None
    if not possible and digits.startswith(plan.code):
        # Perhaps the calling code without its +, as in 1 212 555 0100.
        national = digits[len(plan.code) :]
        if plan.national.match(national) or plan.general.fullmatch(national) is None:
            return None
    national = _stripped(national, plan)
    # The library goes on from the main country of the calling code, which must see it alike.
    main = _home_plan(phonenumbers.region_code_for_country_code(int(plan.code)))
    if main is None or (national != digits and main is not plan and main.national.match(national)):
        return None
    return (plan.code, national) if len(national) in plan.lengths else None


def _stripped(national: str, plan: _HomePlan) -> str:
    """Return the number without its trunk prefix; empty when only the library can tell."""
    prefix = plan.national.match(national)
    if prefix is None:
        return national
    if plan.transforms or (prefix.lastindex is not None):
        return ""
    rest = national[prefix.end() :]
    if plan.general.fullmatch(national) and not plan.general.fullmatch(rest):
        return national
    return rest


def _ordinary(code: str, national: str) -> PlainNumber | None:
    """Return the number if it is a line that may be dialed."""
    e164 = f"+{code}{national}"
    if in_refused_range(e164):
        return None
    region, kind = region_and_type(int(code), national)
    has_place = kind in _WITH_PLACES or (
        kind == PhoneNumberType.MOBILE and int(code) in _MOBILES_WITH_PLACES
    )
    key = (e164[:5], region, kind, _place(e164) if has_place else "")
    known = _known.get(key)
    if known is None:
        facts = examine(e164)
        if facts.kind is not NumberKind.ORDINARY:
            return None
        known = (facts.region, candidate_zones(e164, facts.region))
        _known[key] = known
    return PlainNumber(e164, *known)


# Region and zones hang on calling code, area code and type, and on the longest prefix that the
# library has zones for.
_known: dict[tuple[str, str, int, str], tuple[str, tuple[str, ...]]] = {}
# What the library calls geographical (`phonenumberutil.is_number_type_geographical`).
_WITH_PLACES = frozenset({PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_MOBILES_WITH_PLACES = phonenumberutil._GEO_MOBILE_COUNTRIES  # noqa: SLF001 - it has no public name


def _place(e164: str) -> str:
    """Return the longest prefix of the number that the library's table of zones has."""
    table = tzdata.TIMEZONE_DATA
    for length in _place_lengths().get(e164[1:4], _SHORT_PLACES):
        prefix = e164[1 : 1 + length]
        if prefix in table:
            return prefix
    return ""


_SHORT_PLACES = (2, 1)


@lru_cache(maxsize=1)
def _place_lengths() -> dict[str, tuple[int, ...]]:
    """Return how long the table's prefixes are, longest first, by their first three digits."""
    found: dict[str, set[int]] = {}
    for prefix in tzdata.TIMEZONE_DATA:
        if len(prefix) > 2:
            found.setdefault(prefix[:3], set()).add(len(prefix))
    return {
        start: (*sorted(lengths, reverse=True), *_SHORT_PLACES) for start, lengths in found.items()
    }


_NEVER = "(?!)"


@lru_cache(maxsize=512)
def _home_plan(region: str) -> _HomePlan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    general = None if metadata is None else metadata.general_desc
    if metadata is None or general is None or not general.national_number_pattern:
        return None
    return _HomePlan(
        code=str(metadata.country_code),
        general=re.compile(general.national_number_pattern),
        lengths=frozenset(general.possible_length),
        national=re.compile(metadata.national_prefix_for_parsing or _NEVER),
        transforms=bool(metadata.national_prefix_transform_rule),
        abroad=re.compile(metadata.international_prefix or _NEVER),
    )
