"""Rules of US states, applied besides the federal ones to whoever may be in the state (ST-1).

The table is campaigns/data/us_states.toml. A number rings in any state its area code covers, and in
the state of the person's address; of all of them the strictest value holds (ST-2).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from importlib import resources

from campaigns.rules import public_holidays
from campaigns.rules.area_codes import all_states, states_of_area
from campaigns.rules.calling_hours import ALWAYS, WeeklyHours, parse_hours


@dataclass(frozen=True, slots=True)
class StateRule:
    """What one state, or several together, demand.

    `calls` maps a span in seconds to how many calls a person may get in it; `consent_autodial`
    wants consent before a machine selects and dials.
    """

    states: tuple[str, ...] = ()
    hours: WeeklyHours = ALWAYS
    calls: Mapping[int, int] = field(default_factory=dict, hash=False)
    consent_autodial: bool = False
    closed_on_holidays: bool = False
    source: str = ""
    as_of: date | None = None


SPANS_S = {"8h": 28_800, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
"""How data files and settings write the spans that calls are counted over."""


@lru_cache(maxsize=1)
def table() -> Mapping[str, StateRule]:
    """Return the rule of each state that has one."""
    text = (resources.files("campaigns") / "data" / "us_states.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    return {
        entry["code"]: StateRule(
            states=(entry["code"],),
            hours=parse_hours(entry["hours"]) if "hours" in entry else ALWAYS,
            calls={SPANS_S[span]: calls for span, calls in entry.get("calls", {}).items()},
            consent_autodial=entry.get("consent_autodial", False),
            closed_on_holidays=entry.get("holidays") == "closed",
            source=f"{entry['source']} ({entry['grade']})",
            as_of=data["as_of"],
        )
        for entry in data["state"]
    }


@lru_cache(maxsize=4096)
def states_of(e164: str, region: str, address: str | None) -> tuple[str, ...]:
    """Return every US state the person may be in; all of them for an area code nobody knows."""
    if region != "US":
        return ()
    found = set(states_of_area(e164[2:5])) or set(all_states())
    if address:
        found.add(address.strip().upper())
    return tuple(sorted(found))


@lru_cache(maxsize=4096)
def rule_for(states: tuple[str, ...], year: int) -> StateRule:
    """Return the strictest rule of *states*, with the holidays of *year* and the next one."""
    rules = [table()[state] for state in states if state in table()]
    hours = ALWAYS
    calls: dict[int, int] = {}
    for rule in rules:
        hours = hours.within(rule.hours)
        if rule.closed_on_holidays:
            for at in (year, year + 1):
                hours = hours.without(public_holidays.of_state(rule.states[0], at))
        for span_s, count in rule.calls.items():
            calls[span_s] = min(count, calls.get(span_s, count))
    return StateRule(
        states=tuple(rule.states[0] for rule in rules),
        hours=hours,
        calls=calls,
        consent_autodial=any(rule.consent_autodial for rule in rules),
    )
