"""In which time zones the person behind a number may be: every candidate counts (TZ-1, TZ-3).

A telephone number says where a line was handed out, not where it rings, and the library's table
names one wrong zone for many US prefixes (compliance §8). So the answer is a set, and a call is
allowed only while it is daytime in all of it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone

from campaigns.rules.area_codes import zones_of_area

_UNKNOWN = "Etc/Unknown"


@lru_cache(maxsize=1)
def _zones_by_region() -> dict[str, tuple[str, ...]]:
    """Return ISO 3166 region → IANA zones, from the tzdata package's zone.tab."""
    found: dict[str, list[str]] = {}
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if line and not line.startswith("#"):
            region, _, zone = line.split("\t")[:3]
            found.setdefault(region, []).append(zone)
    return {region: tuple(sorted(zones)) for region, zones in found.items()}


def zones_of_region(region: str) -> tuple[str, ...]:
    """Return every IANA zone of an ISO 3166 region, empty if there is no such region."""
    return _zones_by_region().get(region, ())


@lru_cache(maxsize=4096)
def is_zone(name: str) -> bool:
    """Say whether *name* is an IANA zone this machine can evaluate."""
    if not name or name == _UNKNOWN:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _by_number(number: phonenumbers.PhoneNumber, region: str) -> set[str]:
    found = {zone for zone in timezone.time_zones_for_number(number) if is_zone(zone)}
    # Unknown, or only the calling code was recognised: +1 alone would mean twenty countries.
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(number.country_code or 0, ())
    whole_region = set(zones_of_region(region))
    if not found or (len(regions) > 1 and len(found - whole_region) > len(whole_region)):
        return whole_region
    return found


def candidate_zones(
    e164: str,
    region: str,
    stated: str | None = None,
    *,
    parsed: phonenumbers.PhoneNumber | None = None,
) -> tuple[str, ...]:
    """Return every zone the person may be in, sorted; empty means that nothing is known (deny).

    *stated* is the zone the list gives for the person. It adds to what the number says and never
    replaces it: a wrong column must not make a call possible that the number forbids. *parsed*
    saves parsing the number again.
    """
    try:
        found = _by_number(parsed or phonenumbers.parse(e164, None), region)
    except phonenumbers.NumberParseException:
        found = set(zones_of_region(region))
    if e164.startswith("+1"):
        found.update(zones_of_area(e164[2:5]))
    if stated is not None and is_zone(stated):
        found.add(stated)
    return tuple(sorted(found))
