"""Public holidays by ISO 3166 region and US state, shifted ("observed") days included (ST-4)."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import holidays

# Where holidays differ inside a country and a number does not say in which part it rings, a day
# that is a holiday in any of these parts counts.
_PARTS = {"GB": ("ENG", "NIR", "SCT", "WLS")}


@lru_cache(maxsize=512)
def of_region(region: str, year: int) -> frozenset[date]:
    """Return the public holidays of a region in a year, empty where the library knows none."""
    if region not in _supported():
        return frozenset()
    parts: tuple[str | None, ...] = _PARTS.get(region, (None,))
    return frozenset(
        day
        for part in parts
        for day in holidays.country_holidays(region, subdiv=part, years=[year])
    )


@lru_cache(maxsize=512)
def of_state(state: str, year: int) -> frozenset[date]:
    """Return the holidays of a US state, those of the federation included."""
    return of_region("US", year) | frozenset(
        holidays.country_holidays("US", subdiv=state, years=[year])
    )


@lru_cache(maxsize=1)
def _supported() -> frozenset[str]:
    return frozenset(holidays.list_supported_countries(include_aliases=False))
