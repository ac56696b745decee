"""Legal profiles: the numbers a regulator's text puts on a dialer, as data with a date.

The values are campaigns/data/profiles/*.toml, one file for each law with its source and the day it
was read; a table of them: docs/reference/rules.md. Several laws bind at once: `us-tsr+us-fdcpa` is
the strictest value of both for every rule (GATE-4). A profile is not legal advice; whoever runs a
campaign answers for choosing the right one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import lru_cache, reduce
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from campaigns.errors import UserError
from campaigns.model import CallTimers, CampaignSettings, Clock, ScreeningMode
from campaigns.rules.calling_hours import ALWAYS, WeeklyHours, parse_hours
from campaigns.rules.us_states import SPANS_S

# An agent is joined this long after answer where the clock starts at answer: it leaves half a
# second of the two-second limit for the join itself.
JOIN_BY_S = 1.5
# After the minimum ring, the time a signal needs to cross the network before we may give up.
_RING_SLACK_S = 1.0
# Where a law names no limit, a dialer still must not abandon people at will.
_HOUSE_LIMIT_PPM = 30_000
_HOUSE_TARGET_PPM = 28_500


class WindowKind(StrEnum):
    """Over which calls an abandonment rate is counted."""

    CALENDAR_DAY = "calendar_day"
    CALENDAR_MONTH = "calendar_month"
    TUMBLING_30D = "tumbling_30d"
    ROLLING_30D = "rolling_30d"
    CAMPAIGN = "campaign"


@dataclass(frozen=True, slots=True)
class Profile:
    """One regulator's rules, or the strictest of several.

    `limit_ppm` and `target_ppm` are parts per million of calls answered by a person; the worst of
    `windows` decides. `recall_block_s` holds a number after an abandoned call, `machine_recall_s`
    after a machine verdict; both yield to preview, where an agent is on the line beforehand.
    `calls` maps a span in seconds to the calls a number or person may get in it, whatever campaign
    makes them. `announcement` lists what the recorded message must say where over-dialing is
    allowed at all. `registries` must be no older than `registry_max_age_days` (TSR-9).
    `wireless_one_to_one` forbids over-dialing lines that may be wireless without consent (TCPA-7).
    """

    name: str
    title: str
    as_of: date
    source: str
    effective_from: date
    regions: frozenset[str] = frozenset()
    limit_ppm: int = _HOUSE_LIMIT_PPM
    target_ppm: int = _HOUSE_TARGET_PPM
    windows: tuple[WindowKind, ...] = (WindowKind.TUMBLING_30D,)
    ring_min_s: float = 15.0
    connect_limit_s: float = 2.0
    clock: Clock = Clock.GREETING_END
    hours: WeeklyHours = ALWAYS
    announcement: tuple[str, ...] = ()
    amd_hang_up: bool = True
    machine_deduction: bool = False
    lab_only: bool = False
    calls: Mapping[int, int] = field(default_factory=dict, hash=False)
    recall_block_s: float | None = None
    machine_recall_s: float | None = None
    recall_needs_agent: bool = False
    refusal_block_days: int | None = None
    debt_calls_7d: int | None = None
    debt_quiet_days: int | None = None
    debt_gap_s: float | None = None
    registries: tuple[str, ...] = ()
    registry_max_age_days: int | None = None
    reassigned_max_age_days: int | None = None
    consent_required: bool = False
    consent_autodial: bool = False
    revoke_all: bool = False
    wireless_one_to_one: bool = False
    state_rules: bool = False
    closed_on_holidays: bool = False
    retention_years: int = 6

    @property
    def attempts_24h(self) -> int | None:
        """Return how many calls a number may get in 24 hours, None for no such rule."""
        return self.calls.get(SPANS_S["24h"])

    @property
    def dnc_max_age_days(self) -> int | None:
        """Return how old a national do-not-call registry may be, None where none is consulted."""
        return self.registry_max_age_days if self.registries else None


class _Values(BaseModel):
    """Rules as a data file writes them; what is not written is inherited or not ruled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    regions: frozenset[str] | None = None
    limit_ppm: int | None = Field(default=None, gt=0, le=1_000_000)
    target_ppm: int | None = Field(default=None, gt=0, le=1_000_000)
    windows: tuple[WindowKind, ...] | None = None
    ring_min_s: float | None = None
    connect_limit_s: float | None = None
    clock: Clock | None = None
    hours: dict[str, list[str]] | None = None
    announcement: tuple[str, ...] | None = None
    amd_hang_up: bool | None = None
    machine_deduction: bool | None = None
    lab_only: bool | None = None
    calls: dict[str, int] | None = None
    recall_block_s: float | None = None
    machine_recall_s: float | None = None
    recall_needs_agent: bool | None = None
    refusal_block_days: int | None = None
    debt_calls_7d: int | None = None
    debt_quiet_days: int | None = None
    debt_gap_s: float | None = None
    registries: tuple[str, ...] | None = None
    registry_max_age_days: int | None = None
    reassigned_max_age_days: int | None = None
    consent_required: bool | None = None
    consent_autodial: bool | None = None
    revoke_all: bool | None = None
    wireless_one_to_one: bool | None = None
    state_rules: bool | None = None
    holidays: str | None = Field(default=None, pattern="^closed$")
    retention_years: int | None = None

    def given(self) -> dict[str, Any]:
        """Return what is written, as fields of `Profile`."""
        found = {
            key: value
            for key in type(self).model_fields
            if key in _Values.model_fields and (value := getattr(self, key)) is not None
        }
        if "hours" in found:
            found["hours"] = parse_hours(found["hours"])
        if "calls" in found:
            found["calls"] = {SPANS_S[span]: count for span, count in found["calls"].items()}
        if "holidays" in found:
            found["closed_on_holidays"] = found.pop("holidays") == "closed"
        return found


class _Change(_Values):
    on: date
    source: str


class _File(_Values):
    title: str
    source: str
    as_of: date
    effective_from: date
    extends: str | None = None
    change: tuple[_Change, ...] = ()


@lru_cache(maxsize=1)
def _files() -> Mapping[str, _File]:
    folder = resources.files("campaigns") / "data" / "profiles"
    return {
        entry.name.removesuffix(".toml"): _File.model_validate(
            tomllib.loads(entry.read_text(encoding="utf-8"))
        )
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def _values(name: str, on: date) -> dict[str, Any]:
    """Return the rules of a profile in force on a day, those it extends included."""
    file = _files()[name]
    values = {} if file.extends is None else _values(file.extends, on)
    values |= file.given()
    for change in sorted(file.change, key=lambda change: change.on):
        if change.on <= on:
            values |= change.given()
    return values


@lru_cache(maxsize=256)
def _single(name: str, on: date) -> Profile:
    file = _files()[name]
    sources = [file.source, *(change.source for change in file.change if change.on <= on)]
    begun = [change.on for change in file.change if change.on <= on]
    return Profile(
        name=name,
        title=file.title,
        as_of=file.as_of,
        source="; ".join(sources),
        effective_from=max([file.effective_from, *begun]),
        **_values(name, on),
    )


def compose(left: Profile, right: Profile) -> Profile:
    """Return the stricter value of both for every rule (GATE-4)."""
    calls = dict(left.calls)
    for span_s, count in right.calls.items():
        calls[span_s] = min(count, calls.get(span_s, count))
    return Profile(
        name=f"{left.name}+{right.name}",
        title=f"{left.title}; {right.title}",
        as_of=min(left.as_of, right.as_of),
        source=f"{left.source}; {right.source}",
        effective_from=max(left.effective_from, right.effective_from),
        hours=left.hours.within(right.hours),
        clock=Clock.ANSWER if Clock.ANSWER in (left.clock, right.clock) else left.clock,
        calls=calls,
        **{
            name: _stricter(rule, getattr(left, name), getattr(right, name))
            for name, rule in _STRICTER.items()
        },
    )


def _stricter(rule: str, left: Any, right: Any) -> Any:
    if rule == "all":
        return left and right
    if rule == "any":
        return left or right
    if rule == "union":
        if isinstance(left, frozenset):
            return left | right
        return tuple(dict.fromkeys((*left, *right)))
    given = [value for value in (left, right) if value is not None]
    if not given:
        return None
    return min(given) if rule == "least" else max(given)


_STRICTER = {
    "regions": "union",
    "limit_ppm": "least",
    "target_ppm": "least",
    "windows": "union",
    "ring_min_s": "most",
    "connect_limit_s": "least",
    "announcement": "union",
    "amd_hang_up": "all",
    "machine_deduction": "all",
    "lab_only": "any",
    "recall_block_s": "most",
    "machine_recall_s": "most",
    "recall_needs_agent": "any",
    "refusal_block_days": "most",
    "debt_calls_7d": "least",
    "debt_quiet_days": "most",
    "debt_gap_s": "most",
    "registries": "union",
    "registry_max_age_days": "least",
    "reassigned_max_age_days": "least",
    "consent_required": "any",
    "consent_autodial": "any",
    "revoke_all": "any",
    "wireless_one_to_one": "any",
    "state_rules": "any",
    "closed_on_holidays": "any",
    "retention_years": "most",
}
"""Which of two values is the stricter one, for each rule that is not composed by name above."""


def find(name: str, *, on: date) -> Profile | None:
    """Return the profile, or several joined by `+`, as in force on a day; None if one is unknown.

    Before a law's first day its first values hold: a campaign is never less bound than was meant.
    """
    names = tuple(dict.fromkeys(part.strip() for part in name.split("+")))
    if not all(part in _files() for part in names):
        return None
    return _composed(names, on)


@lru_cache(maxsize=256)
def _composed(names: tuple[str, ...], on: date) -> Profile:
    return reduce(compose, (_single(name, on) for name in names))


class _Shelf(Mapping[str, Profile]):
    """The profiles by name as of the day their values were taken; `a+b` finds both composed."""

    def __getitem__(self, name: str) -> Profile:
        names = [part.strip() for part in name.split("+")]
        known = [_files()[part].as_of for part in names]
        found = find(name, on=max(known))
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_files())

    def __len__(self) -> int:
        return len(_files())


PROFILES: Mapping[str, Profile] = _Shelf()


def get(name: str) -> Profile:
    """Return the profile *name*; raises `UserError` that lists those there are."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        raise UserError(
            f"There is no profile {name!r}: choose one of {known}, or several joined by +."
        ) from None


def changes(name: str) -> tuple[tuple[date, str], ...]:
    """Return the days on which single profile *name* changes, each with its source."""
    return tuple((change.on, change.source) for change in _files()[name].change)


# Who called and that nobody could be given, nothing else (compliance MSG-1, TCPA-3).
DEFAULT_ANNOUNCEMENT = (
    "Hello. You were called on behalf of {seller}. We are sorry that nobody is free to speak to "
    "you just now. We will not keep you any longer. Goodbye."
)


def call_timers(
    settings: CampaignSettings, profile: Profile, *, seller: str = "", proven: bool = False
) -> CallTimers:
    """Return what the line process must hold for one call: the campaign's wishes inside the law.

    In an announcement's text `{seller}` stands for the one on whose behalf it is called. *proven*
    says that there is valid evidence of how often screening takes people for machines (AMD-1).
    """
    announcement = settings.announcement or DEFAULT_ANNOUNCEMENT
    return CallTimers(
        ring_timeout_s=max(settings.ring_timeout_s, profile.ring_min_s + _RING_SLACK_S),
        ring_min_s=profile.ring_min_s,
        connect_limit_s=profile.connect_limit_s,
        clock=profile.clock,
        join_by_s=JOIN_BY_S if profile.clock is Clock.ANSWER else None,
        screening=settings.screening,
        hang_up_machines=(profile.amd_hang_up or proven) and settings.screening is ScreeningMode.ON,
        announcement=announcement.replace("{seller}", seller),
        opt_out_key=settings.opt_out_key,
        max_call_s=settings.max_call_s,
        wrap_up_limit_s=settings.wrap_up_limit_s,
    )


def effective_hours(profile: Profile, settings: CampaignSettings) -> WeeklyHours:
    """Return the profile's hours on the campaign's weekdays."""
    return profile.hours.only(settings.weekdays)


def effective_target_ppm(profile: Profile, settings: CampaignSettings) -> int:
    """Return the abandonment target: the campaign's own where it is stricter than the profile's."""
    if settings.target_abandonment is None:
        return profile.target_ppm
    return min(profile.target_ppm, round(settings.target_abandonment * 1_000_000))
