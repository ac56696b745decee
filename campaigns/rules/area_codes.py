"""North American area codes: states and zones of each, from campaigns/data/area_codes.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class _Table:
    """Area code → the US states it may ring in, and the zones the library forgets."""

    states: Mapping[str, frozenset[str]]
    zones: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def _table() -> _Table:
    text = (resources.files("campaigns") / "data" / "area_codes.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    states: dict[str, set[str]] = {}
    for state, codes in data["states"].items():
        for code in codes:
            states.setdefault(code, set()).add(state)
    zones = {code: tuple(entry["zones"]) for entry in data["zones"] for code in entry["codes"]}
    return _Table({code: frozenset(found) for code, found in states.items()}, zones)


def zones_of_area(code: str) -> tuple[str, ...]:
    """Return the zones of a three-digit area code that crosses a border, empty for others."""
    return _table().zones.get(code, ())


def states_of_area(code: str) -> frozenset[str]:
    """Return the US states of an area code, empty when the table does not know it."""
    return _table().states.get(code, frozenset())


@lru_cache(maxsize=1)
def all_states() -> frozenset[str]:
    """Return every state of the table, two letters each."""
    return frozenset().union(*_table().states.values())
