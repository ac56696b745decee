"""From what a file says to a number that may be dialed: E.164, region, zones, or why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import resources

import phonenumbers

from campaigns.number_patterns import read_plain
from campaigns.rules.dialable_numbers import NumberKind, classify, is_emergency
from campaigns.rules.zones import candidate_zones, is_zone, zones_of_region

_SCIENTIFIC = re.compile(r"[0-9]([.,][0-9]+)?[eE]\+?[0-9]+")
_MOST_CHARACTERS = 60


class Reject(StrEnum):
    """Why a row or a number of it is not taken; the value is what the user reads."""

    NO_NUMBER = "no telephone number"
    INVALID = "not a valid telephone number"
    NO_COUNTRY = "no country code, and no country was given"
    UNKNOWN_COUNTRY = "its country is unknown"
    ROUNDED = "a spreadsheet has rounded the number (1.2E+10)"
    EMERGENCY = "an emergency number"
    SHORT = "a short code"
    PREMIUM = "a premium-rate or personal number"
    SHARED_COST = "a shared-cost number"
    TOLL_FREE = "a toll-free number"
    SATELLITE = "a satellite or global-service number"
    SPECIAL = "a special-service number"
    PRIORITY = "its priority is not a whole number from 0 to 99"
    CONSENT = "its consent has no date written as 2026-11-21"
    CELLS = "more cells than the header has columns"
    QUOTES = "its quotes are broken"
    DUPLICATE_IN_FILE = "duplicate of an earlier line"
    DUPLICATE_IN_LIST = "duplicate of a lead on the list"
    DUPLICATE_IN_CAMPAIGN = "duplicate of a lead the campaign has"
    DUPLICATE_EVERYWHERE = "duplicate of a lead on some list"


_KINDS = {
    NumberKind.INVALID: Reject.INVALID,
    NumberKind.EMERGENCY: Reject.EMERGENCY,
    NumberKind.SHORT: Reject.SHORT,
    NumberKind.PREMIUM: Reject.PREMIUM,
    NumberKind.SHARED_COST: Reject.SHARED_COST,
    NumberKind.TOLL_FREE: Reject.TOLL_FREE,
    NumberKind.SATELLITE: Reject.SATELLITE,
    NumberKind.SPECIAL: Reject.SPECIAL,
}

# What people write in a zone column besides IANA names.
_ZONE_WORDS = {
    "eastern": "America/New_York",
    "et": "America/New_York",
    "est": "America/New_York",
    "edt": "America/New_York",
    "central": "America/Chicago",
    "ct": "America/Chicago",
    "cst": "America/Chicago",
    "cdt": "America/Chicago",
    "mountain": "America/Denver",
    "mt": "America/Denver",
    "mst": "America/Denver",
    "mdt": "America/Denver",
    "pacific": "America/Los_Angeles",
    "pt": "America/Los_Angeles",
    "pst": "America/Los_Angeles",
    "pdt": "America/Los_Angeles",
    "alaska": "America/Anchorage",
    "hawaii": "Pacific/Honolulu",
    "atlantic": "America/Halifax",
    "newfoundland": "America/St_Johns",
}
_NORTH_AMERICA = frozenset({"US", "CA"})
_COUNTRY_WORDS = {
    "UK": "GB",
    "GREAT BRITAIN": "GB",
    "UNITED KINGDOM": "GB",
    "ENGLAND": "GB",
    "USA": "US",
    "UNITED STATES OF AMERICA": "US",
    "AMERICA": "US",
    "DEUTSCHLAND": "DE",
    "OESTERREICH": "AT",
    "ÖSTERREICH": "AT",
    "SCHWEIZ": "CH",
    "SUISSE": "CH",
    "ESPAÑA": "ES",
    "ITALIA": "IT",
    "NEDERLAND": "NL",
    "BRASIL": "BR",
    "CAN": "CA",
    "GBR": "GB",
    "DEU": "DE",
    "FRA": "FR",
    "AUS": "AU",
}


@dataclass(frozen=True, slots=True)
class DialableNumber:
    """A number that passed: E.164, ISO 3166 region, every zone the person may be in."""

    e164: str
    region: str
    zones: tuple[str, ...]


@lru_cache(maxsize=1)
def _country_names() -> dict[str, str]:
    table = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab")
    found = dict(_COUNTRY_WORDS)
    for line in table.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            code, name = line.split("\t")[:2]
            found[name.upper()] = code
            found[code] = code
    return found


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """Return the ISO 3166 code of a country written as a code or an English name, else None."""
    return _country_names().get(" ".join(text.upper().split()))


def clean(cell: str) -> str:
    """Return a cell without what spreadsheets put around numbers they must not touch."""
    text = cell.strip()
    # ="0201 234" and '0201 234 are how people keep a spreadsheet from eating the zero.
    wrapped = re.fullmatch(r'="?([^"]*)"?', text)
    text = (wrapped[1] if wrapped else text).strip().lstrip("'`\u2018\u2019").strip()
    return re.sub(r"(?<=[0-9])\.0$", "", text)


def parse_number(cell: str, country: str | None) -> phonenumbers.PhoneNumber | Reject:
    """Return the number written in *cell*, of any kind; *country* is where it is national."""
    text = clean(cell)
    if not text:
        return Reject.NO_NUMBER
    if len(text) > _MOST_CHARACTERS:
        return Reject.INVALID
    if _SCIENTIFIC.fullmatch(text):
        return Reject.ROUNDED
    if is_emergency(text):
        return Reject.EMERGENCY
    digits = sum(character.isdigit() for character in text)
    if not digits:
        return Reject.INVALID if any(map(str.isalpha, text)) else Reject.NO_NUMBER
    international = text.lstrip("( ").startswith(("+", "\uff0b"))
    if not international and country is None:
        return Reject.NO_COUNTRY
    if digits < 7:
        return Reject.SHORT
    try:
        number = phonenumbers.parse(text, None if international else country)
    except phonenumbers.NumberParseException:
        return Reject.INVALID
    number.extension = None
    return number


def read_e164(cell: str, country: str | None) -> str | Reject:
    """Return a number of any kind as E.164: what may not be dialed may still be suppressed."""
    number = parse_number(cell, country)
    if isinstance(number, Reject):
        return number
    if not phonenumbers.is_possible_number(number):
        return Reject.INVALID
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def read_number(cell: str, country: str | None, zone: str | None = None) -> DialableNumber | Reject:
    """Return the number in *cell*; *country* is its ISO 3166 country unless it begins with +.

    *zone* is what the list says about the person's zone, an IANA name or a word; a word nobody
    knows makes every zone of the country count.
    """
    plain = read_plain(cell.strip(), country)
    if plain is None:
        return read_by_library(cell, country, zone)
    if zone is None or not zone.strip():
        return DialableNumber(plain.e164, plain.region, plain.zones)
    stated = _zone_name(zone, plain.region)
    added = zones_of_region(plain.region) if stated is None else (stated,)
    return DialableNumber(plain.e164, plain.region, tuple(sorted({*plain.zones, *added})))


def read_by_library(
    cell: str, country: str | None, zone: str | None = None
) -> DialableNumber | Reject:
    """Return what `read_number` does, by the library alone: slower, and right by definition."""
    number = parse_number(cell, country)
    if isinstance(number, Reject):
        return number
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    facts = classify(number, e164)
    if facts.kind is not NumberKind.ORDINARY:
        return _KINDS[facts.kind]
    zones = candidate_zones(e164, facts.region, _zone_name(zone, facts.region), parsed=number)
    if zone is not None and zone.strip() and _zone_name(zone, facts.region) is None:
        zones = tuple(sorted({*zones, *zones_of_region(facts.region)}))
    return DialableNumber(e164, facts.region, zones)


def _zone_name(stated: str | None, region: str) -> str | None:
    """Return the IANA zone that a list's words mean, None for no words or unknown ones."""
    text = (stated or "").strip()
    word = _ZONE_WORDS.get(text.casefold().removesuffix(" time"))
    if word is not None and region in _NORTH_AMERICA:
        return word
    return text if is_zone(text) else None
