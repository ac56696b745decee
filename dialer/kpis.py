"""The key figures of the trade, each with its formula and what stands in its denominator.

The trade uses one name for several figures, so none is shown without its formula. `None` means that
the denominator is zero or that a part has no such thing: a list has no agents' time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from campaigns.errors import UserError
from campaigns.stores.performance import By, Sums


class Unit(StrEnum):
    """How a figure is written."""

    SHARE = "share"
    SECONDS = "seconds"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Kpi:
    """One key figure: numerator / denominator, in words and computed."""

    name: str
    title: str
    formula: str
    unit: Unit
    numerator: Callable[[Sums], float | None]
    denominator: Callable[[Sums], float | None]
    not_by: frozenset[By] = frozenset()

    def of(self, sums: Sums) -> float | None:
        """Return the figure, None where there is nothing to divide by."""
        above, below = self.numerator(sums), self.denominator(sums)
        return None if above is None or not below else above / below


def _handled(sums: Sums) -> float:
    return sums.talk_s + sums.wrap_s


def _working(sums: Sums) -> float | None:
    return None if sums.available_s is None else _handled(sums) + sums.available_s


# Of an agent's calls only those that reached the agent are known.
_NO_AGENT = frozenset({By.AGENT})

KPIS: Sequence[Kpi] = (
    Kpi(
        "occupancy", "Occupancy", "(talk + wrap-up) / (talk + wrap-up + available)",
        Unit.SHARE, _handled, _working,
    ),
    Kpi(
        "logged_in_share", "Logged-in share",
        "(talk + wrap-up + available) / time logged in, pauses included",
        Unit.SHARE, _working, lambda s: s.duty_s,
    ),
    Kpi(
        "answer_rate", "Answer rate", "answered / attempts dialed",
        Unit.SHARE, lambda s: s.answered, lambda s: s.dialed, _NO_AGENT,
    ),
    Kpi(
        "contact_rate", "Contact (hit) rate", "answered by a person / attempts dialed",
        Unit.SHARE, lambda s: s.persons, lambda s: s.dialed, _NO_AGENT,
    ),
    Kpi(
        "right_party_rate", "Right-party contact rate",
        "calls whose disposition says the right person spoke / attempts dialed",
        Unit.SHARE, lambda s: s.right_party, lambda s: s.dialed, _NO_AGENT,
    ),
    Kpi(
        "conversion", "Conversion", "sales / calls given to an agent",
        Unit.SHARE, lambda s: s.conversions, lambda s: s.joined,
    ),
    Kpi(
        "conversion_per_attempt", "Conversion per attempt", "sales / attempts dialed",
        Unit.SHARE, lambda s: s.conversions, lambda s: s.dialed, _NO_AGENT,
    ),
    Kpi(
        "handle_time", "Average handle time", "(talk + wrap-up) / calls given to an agent",
        Unit.SECONDS, _handled, lambda s: s.joined,
    ),
    Kpi(
        "average_duration", "Average duration", "talk / calls given to an agent",
        Unit.SECONDS, lambda s: s.talk_s, lambda s: s.joined,
    ),
    Kpi(
        "calls_per_agent_hour", "Calls per agent hour",
        "calls given to an agent / hours of talk, wrap-up and available",
        Unit.NUMBER, lambda s: 3600.0 * s.joined, _working,
    ),
    Kpi(
        "calls_per_account", "Calls per account", "attempts dialed / leads dialed at least once",
        Unit.NUMBER, lambda s: s.dialed, lambda s: s.leads_dialed, _NO_AGENT,
    ),
    Kpi(
        "abandonment", "Abandonment",
        "answered by a person and not given to an agent in time / answered by a person",
        Unit.SHARE, lambda s: s.abandoned, lambda s: s.persons, _NO_AGENT,
    ),
    Kpi(
        "speed_of_answer", "Average speed of answer",
        "seconds from answer to agent / calls given to an agent",
        Unit.SECONDS, lambda s: s.wait_s, lambda s: s.joined,
    ),
    Kpi(
        "within_two_seconds", "Within two seconds",
        "calls given to an agent within 2 s of the answer / calls given to an agent",
        Unit.SHARE, lambda s: s.quick, lambda s: s.joined,
    ),
    Kpi(
        "first_call_close", "First-call close",
        "leads settled in their only talk of the period / leads spoken with",
        Unit.SHARE, lambda s: s.closed_at_once, lambda s: s.leads_spoken,
    ),
    Kpi(
        "penetration", "List penetration",
        "leads attempted at least once / leads that may be dialed, both to date",
        Unit.SHARE, lambda s: s.leads_attempted, lambda s: s.leads_dialable,
    ),
)  # fmt: skip
_BY_NAME = {kpi.name: kpi for kpi in KPIS}


@dataclass(frozen=True, slots=True)
class Row:
    """One part with its figures; `missed` are those that miss their target."""

    name: str
    values: Mapping[str, float | None]
    sums: Sums
    missed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach: at least, or at most where less is better."""

    kpi: str
    value: float

    @property
    def is_ceiling(self) -> bool:
        """Say whether less is better."""
        return self.kpi in _LESS_IS_BETTER

    def is_met(self, value: float | None) -> bool:
        """Say whether a figure reaches it; one that cannot be known does not miss it."""
        if value is None:
            return True
        return value <= self.value if self.is_ceiling else value >= self.value


_LESS_IS_BETTER = frozenset({"abandonment", "speed_of_answer", "handle_time", "calls_per_account"})


def find(name: str) -> Kpi:
    """Return a key figure by name; raises `UserError`."""
    found = _BY_NAME.get(name.strip().casefold().replace("-", "_"))
    if found is None:
        raise UserError(f"There is no figure {name!r}: choose among {', '.join(_BY_NAME)}.")
    return found


def parse_goal(text: str) -> Goal:
    """Return `conversion=5%` or `calls_per_agent_hour=12` as a goal; raises `UserError`."""
    name, mark, value = text.partition("=")
    kpi = find(name)
    number = value.strip()
    try:
        parsed = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        parsed = float("nan")
    if not mark or not parsed == parsed:  # noqa: PLR0124 - only NaN differs from itself
        raise UserError(f"A target is written FIGURE=VALUE, such as conversion=5%, not {text!r}.")
    return Goal(kpi.name, parsed)


def rows(parts: Sequence[Sums], by: By, goals: Sequence[Goal] = ()) -> list[Row]:
    """Return the figures of each part, held against the goals."""
    found = []
    for sums in parts:
        values = {kpi.name: None if by in kpi.not_by else kpi.of(sums) for kpi in KPIS}
        missed = frozenset(goal.kpi for goal in goals if not goal.is_met(values[goal.kpi]))
        found.append(Row(sums.name, values, sums, missed))
    return found


def written(kpi: Kpi, value: float | None) -> str:
    """Return a figure as people read it."""
    if value is None:
        return "-"
    if kpi.unit is Unit.SHARE:
        return f"{100 * value:.1f} %"
    return f"{value:.1f} s" if kpi.unit is Unit.SECONDS else f"{value:.2f}"
