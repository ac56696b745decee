"""Which numbers may be dialed at all, whoever asks and wherever they came from.

Two checks use this module: the gate, on a lead's number, and the trunk, on the string that is about
to leave (after prefix and formatting), because a harmless number can become a dangerous string and
because agents' telephones and test calls never pass the gate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType

from campaigns.model import TrunkKind
from campaigns.rules.number_types import region_and_type

_NOT_DIGITS = re.compile(r"[^0-9]+")
_DIALED = re.compile(r"\+?[0-9]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

# Ranges that regulators reserve for fiction, as far as phonenumbers calls them valid (design §2).
_FICTIONAL = re.compile(
    r"\+1[2-9][0-9]{2}55501[0-9]{2}"  # NANP: NPA-555-0100..0199 in every area code
    r"|\+442079460[0-9]{3}"  # Ofcom: London 020 7946 0xxx
    r"|\+3319900[0-9]{4}"  # ARCEP: 01 99 00 xx xx
    r"|\+493023125[0-9]{3}"  # Bundesnetzagentur: Berlin (0)30 23125 xxx
    r"|\+61491570(?:156|157|158|159|110)"  # ACMA: five mobile numbers
)

# US area codes in service or assigned that phonenumbers 9.0.43 does not know yet (compliance §8).
_NEW_US_AREA_CODES = ("436", "457", "465", "483", "621", "624", "679", "729", "837", "861", "924")
_NEW_US = re.compile(rf"\+1(?:{'|'.join(_NEW_US_AREA_CODES)})[2-9][0-9]{{6}}")

# Ranges that are refused whatever the library calls them, each under the name of its kind; all in
# one pattern, because every number is looked up here and hardly any is found.
_REFUSED = re.compile(
    # Global services: +870 Inmarsat, +881-883 satellite and international networks, +878 personal.
    r"(?P<SATELLITE>\+(?:870|878|88[1238])|\+1600|\+61147)"
    # 976 exchanges are NANP pay-per-call; personal numbers (NANP 5xx, 700) are charged like it.
    r"|(?P<PREMIUM>\+979|\+1900|\+1[2-9][0-9]{2}976|\+1(?:5(?:00|2[1-9]|33|44|66|77|88)|700))"
    r"|(?P<SHARED_COST>\+808)"
    r"|(?P<TOLL_FREE>\+800|\+18(?:00|22|33|44|55|66|77|88))"
)

# Emergency numbers that exchanges in most countries recognise at the start of what is dialed.
_EVERYWHERE = ("112", "911", "999")
_SHORTEST_NUMBER = 7


class NumberKind(StrEnum):
    """What a number is to a dialer; only `ordinary` is ever called."""

    ORDINARY = "ordinary"
    INVALID = "invalid"
    EMERGENCY = "emergency"
    SHORT = "short"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    TOLL_FREE = "toll_free"
    SATELLITE = "satellite"
    SPECIAL = "special"


_TYPES = {
    PhoneNumberType.FIXED_LINE: NumberKind.ORDINARY,
    PhoneNumberType.MOBILE: NumberKind.ORDINARY,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.ORDINARY,
    PhoneNumberType.VOIP: NumberKind.ORDINARY,
    PhoneNumberType.TOLL_FREE: NumberKind.TOLL_FREE,
    PhoneNumberType.PREMIUM_RATE: NumberKind.PREMIUM,
    # Personal numbers (UK 070, NANP 5xx) are charged like premium ones and are a fraud classic.
    PhoneNumberType.PERSONAL_NUMBER: NumberKind.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberKind.SHARED_COST,
}


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """A number as the rules see it; `region` is ISO 3166, empty when there is none."""

    kind: NumberKind
    region: str
    is_fictional: bool


class NumberFormat(StrEnum):
    """How a trunk wants numbers: `+15551234567`, `15551234567`, or as dialed inside its country."""

    E164 = "e164"
    DIGITS = "digits"
    NATIONAL = "national"


@dataclass(frozen=True, slots=True)
class DialPlan:
    """How a trunk turns a number into the string it dials; `country` is where the trunk stands."""

    number_format: NumberFormat = NumberFormat.E164
    prefix: str = ""
    country: str | None = None
    regions: frozenset[str] | None = None


class Refusal(StrEnum):
    """Why a trunk will not dial a string."""

    MALFORMED = "DIALED-MALFORMED"
    EMERGENCY = "DIALED-EMERGENCY"
    SHORT = "DIALED-SHORT"
    KIND = "DIALED-KIND"
    REGION = "DIALED-REGION"
    FICTIONAL = "DIALED-FICTIONAL"
    NOT_FICTIONAL = "DIALED-NOT-FICTIONAL"
    OTHER_NUMBER = "DIALED-OTHER-NUMBER"


def is_fictional(e164: str) -> bool:
    """Say whether *e164* lies in a range reserved for fiction: the only numbers a lab may dial."""
    return _FICTIONAL.fullmatch(e164) is not None


@lru_cache(maxsize=65_536)
def examine(e164: str) -> NumberFacts:
    """Classify *e164* (with +); anything that is not clearly an ordinary line is not `ordinary`."""
    is_number = _E164.fullmatch(e164) is not None
    if (not is_number or len(e164) <= _SHORTEST_NUMBER + 1) and is_emergency(e164):
        return NumberFacts(NumberKind.EMERGENCY, "", is_fictional=False)
    if not is_number:
        return NumberFacts(NumberKind.INVALID, "", is_fictional=False)
    split = _split(e164)
    if split is None:
        return NumberFacts(_by_range(e164) or NumberKind.INVALID, "", is_fictional(e164))
    return _facts(*split, e164)


@lru_cache(maxsize=65_536)
def may_be_wireless(e164: str) -> bool:
    """Say whether a number may ring a mobile: those of the US always may, however they look."""
    split = _split(e164) if _E164.fullmatch(e164) else None
    return split is None or region_and_type(*split)[1] != PhoneNumberType.FIXED_LINE


def _split(e164: str) -> tuple[int, str] | None:
    """Return *e164* as country code and national number, None when no country has such a code.

    What `phonenumbers.parse` finds in a canonical number. One with a trunk prefix left in it
    (+44 0…) stays as it is, and invalid; Italy's zeros belong to the number.
    """
    for end in (2, 3, 4):
        code = int(e164[1:end])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code, e164[end:]
    return None


def classify(number: phonenumbers.PhoneNumber, e164: str) -> NumberFacts:
    """Classify a parsed number; *e164* is the same number as text."""
    code = number.country_code
    if code is None:
        return NumberFacts(NumberKind.INVALID, "", is_fictional=False)
    return _facts(code, phonenumbers.national_significant_number(number), e164)


def _facts(country_code: int, national: str, e164: str) -> NumberFacts:
    region, number_type = region_and_type(country_code, national)
    kind = _by_range(e164)
    if kind is None and _NEW_US.fullmatch(e164):
        kind, region = NumberKind.ORDINARY, "US"
    if kind is None:
        kind = _by_type(number_type, e164)
    return NumberFacts(kind, "" if region == "001" else region, is_fictional(e164))


def _by_range(e164: str) -> NumberKind | None:
    """Return the kind of ranges that are refused even where the library has no type for them."""
    found = _REFUSED.match(e164)
    return None if found is None else NumberKind[found.lastgroup or ""]


def in_refused_range(e164: str) -> bool:
    """Say whether *e164* lies in a range that is refused whatever the library says of it."""
    return _by_range(e164) is not None


def _by_type(number_type: int, e164: str) -> NumberKind:
    if number_type == PhoneNumberType.UNKNOWN:
        return NumberKind.INVALID
    # UK 03 numbers cost what a geographic call costs, by law; other universal numbers may not.
    if e164.startswith("+443"):
        return NumberKind.ORDINARY
    return _TYPES.get(number_type, NumberKind.SPECIAL)


@lru_cache(maxsize=1)
def _emergency_patterns() -> tuple[re.Pattern[str], ...]:
    found = set()
    for region in phonenumbers.SUPPORTED_SHORT_REGIONS:
        metadata = phonenumbers.PhoneMetadata.short_metadata_for_region(region)
        if metadata is not None and metadata.emergency is not None:
            pattern = metadata.emergency.national_number_pattern
            if pattern:
                found.add(pattern)
    return tuple(re.compile(pattern) for pattern in sorted(found))


def is_emergency(dialed: str) -> bool:
    """Say whether *dialed* is an emergency number of any country, bare or behind a usual prefix."""
    digits = _NOT_DIGITS.sub("", dialed)
    # Nearly all numbers end here, each of them new: only short ones are worth remembering.
    if not digits or len(digits) > _SHORTEST_NUMBER:
        return False
    return _is_emergency(digits)


@lru_cache(maxsize=4096)
def _is_emergency(digits: str) -> bool:
    # Outside-line digits and international prefixes, as people and PBXs put them in front. Only
    # short numbers are dialed so; a longer rest is somebody's number in a small country.
    rests = (digits.removeprefix(prefix) for prefix in ("9", "0", "00", "011"))
    bodies = [digits, *(rest for rest in rests if 0 < len(rest) <= 4)]
    return any(pattern.fullmatch(body) for body in bodies for pattern in _emergency_patterns())


@lru_cache(maxsize=256)
def _starts(country: str | None, number_format: NumberFormat) -> tuple[str, ...]:
    """Return what a dialed string may not begin with on a trunk in *country*."""
    if country is None:
        return _EVERYWHERE
    own = {
        digits
        for digits in (f"{n:03d}" for n in range(1000))
        if phonenumbers.is_emergency_number(digits, country)
    }
    if number_format is NumberFormat.NATIONAL:
        return tuple(sorted(own | {"112"}))
    # Digits of an international number: only what exchanges act on at once. Delhi (+91 11) is
    # reachable through an Indian trunk, where 911 is no emergency number.
    return tuple(start for start in _EVERYWHERE if start in own or start == "112")


def dial_string(e164: str, plan: DialPlan) -> str:
    """Return what the trunk dials for *e164*; check it with `refuse_dialed` before it leaves."""
    if plan.number_format is NumberFormat.E164:
        return plan.prefix + e164
    if plan.number_format is NumberFormat.DIGITS or plan.country is None:
        return plan.prefix + e164.removeprefix("+")
    number = phonenumbers.parse(e164, None)
    written = phonenumbers.format_out_of_country_calling_number(number, plan.country)
    return plan.prefix + _NOT_DIGITS.sub("", written)


def _read_back(body: str, plan: DialPlan) -> str | None:
    """Return the E.164 number that the trunk would reach with *body*, None if it is none."""
    if body.startswith("+"):
        return body if plan.number_format is NumberFormat.E164 else None
    if plan.number_format is NumberFormat.E164:
        return None
    if plan.number_format is NumberFormat.DIGITS or plan.country is None:
        return f"+{body}"
    try:
        number = phonenumbers.parse(body, plan.country)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def refuse_dialed(
    dialed: str, *, plan: DialPlan, kind: TrunkKind, intended: str | None = None
) -> Refusal | None:
    """Return why a trunk must not dial *dialed*, None if it may.

    *intended* is the E.164 number that was meant; a string that would reach another one is refused.
    """
    if not dialed.startswith(plan.prefix):
        return Refusal.MALFORMED
    body = dialed[len(plan.prefix) :]
    if is_emergency(dialed) or (plan.prefix and is_emergency(body)):
        return Refusal.EMERGENCY
    if not _DIALED.fullmatch(body):
        return Refusal.MALFORMED
    if len(body.lstrip("+")) < _SHORTEST_NUMBER:
        return Refusal.SHORT
    if not dialed.startswith("+"):
        starts = _starts(plan.country, plan.number_format)
        if dialed.startswith(starts) or (not body.startswith("+") and body.startswith(starts)):
            return Refusal.EMERGENCY
    reached = _read_back(body, plan)
    if reached is None:
        return Refusal.MALFORMED
    return _refuse_reached(reached, plan=plan, kind=kind, intended=intended)


def _refuse_reached(
    reached: str, *, plan: DialPlan, kind: TrunkKind, intended: str | None
) -> Refusal | None:
    facts = examine(reached)
    if facts.kind is not NumberKind.ORDINARY:
        return Refusal.KIND
    if intended is not None and reached != intended:
        return Refusal.OTHER_NUMBER
    if plan.regions is not None and facts.region not in plan.regions:
        return Refusal.REGION
    if kind is TrunkKind.LAB and not facts.is_fictional:
        return Refusal.NOT_FICTIONAL
    if kind is TrunkKind.REAL and facts.is_fictional:
        return Refusal.FICTIONAL
    return None
