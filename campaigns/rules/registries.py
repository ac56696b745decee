"""National do-not-call registries: which there are, and which of them a campaign needs fresh."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from campaigns.rules.profiles import Profile


@dataclass(frozen=True, slots=True)
class Registry:
    """One national registry; it lists numbers of its region only."""

    name: str
    region: str
    title: str


@lru_cache(maxsize=1)
def table() -> Mapping[str, Registry]:
    """Return the registries by name, from campaigns/data/registries.toml."""
    text = (resources.files("campaigns") / "data" / "registries.toml").read_text(encoding="utf-8")
    return {
        name: Registry(name, entry["region"], entry["title"])
        for name, entry in tomllib.loads(text).items()
        if isinstance(entry, dict)
    }


def needed(profile: Profile, regions: frozenset[str]) -> tuple[Registry, ...]:
    """Return the registries that a profile wants consulted in these regions."""
    return tuple(table()[name] for name in profile.registries if table()[name].region in regions)


def stale(
    profile: Profile,
    regions: frozenset[str],
    versions: Mapping[str, datetime],
    now: datetime,
) -> tuple[Registry, ...]:
    """Return the registries that are missing or older than the profile allows at *now* (TSR-9).

    A version is as old as the registry's own date of it, not as the day somebody loaded it.
    """
    if profile.registry_max_age_days is None:
        return ()
    oldest = now - timedelta(days=profile.registry_max_age_days)
    return tuple(
        registry
        for registry in needed(profile, regions)
        if registry.name not in versions or versions[registry.name] < oldest
    )
