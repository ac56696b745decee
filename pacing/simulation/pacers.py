"""The pacers a simulation can compare, by the names a user writes.

A pacer is written NAME, NAME:NUMBER or NAME:option=value,option…, such as `power:1.5` or
`vicidial-hard:max=6,available-only`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from pacing.durations import Floats
from pacing.simulation import baselines
from pacing.simulation.baselines import Rule
from pacing.simulation.scenario import Scenario
from pacing.types import GuardMode, Mode, Policy


class PacerError(ValueError):
    """A pacer there is not; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class PacerSpec:
    """One pacer: production's in a `mode`, or another dialer's `rule`; exactly one is set.

    `level` is the lines per agent of power, ratio and lines-per-idle rules and where ADAPT starts;
    `most_level`, `intensity` (percent), `difference` (agents kept idle, VICIdial's dl_diff_target)
    and `available_only` are VICIdial's settings, `qos` and `overcommit` are Issabel's.
    """

    name: str
    mode: Mode | None = None
    guard: GuardMode = GuardMode.PREDICTIVE
    rule: Rule | None = None
    level: float = 1.0
    most_level: float = 3.0
    intensity: float = 0.0
    difference: float = 0.0
    available_only: bool = False
    limit: float = 0.03
    qos: float = 0.97
    overcommit: bool = False

    def policy(self, scenario: Scenario) -> Policy:
        """Return the settings production's `decide` gets."""
        return Policy(
            mode=self.mode or Mode.PROGRESSIVE,
            ratio=self.level,
            max_lines_per_agent=scenario.max_lines_per_agent,
            guard=self.guard,
            connect_limit_s=scenario.patience_s,
            ring_timeout_s=scenario.ring_timeout_s,
        )

    def options(self, scenario: Scenario) -> Floats:
        """Return the options another dialer's rule gets."""
        options = np.zeros(baselines.OPTIONS)
        options[baselines.RULE] = float(self.rule if self.rule is not None else Rule.PROGRESSIVE)
        options[baselines.LEVEL] = self.level
        options[baselines.MOST_LEVEL] = self.most_level
        options[baselines.INTENSITY] = self.intensity
        options[baselines.DIFFERENCE] = self.difference
        options[baselines.AVAILABLE_ONLY] = float(self.available_only)
        options[baselines.LIMIT] = self.limit
        options[baselines.QOS] = self.qos
        options[baselines.OVERCOMMIT] = float(self.overcommit)
        options[baselines.DAY_S] = scenario.day_s
        return options


PACERS: dict[str, tuple[PacerSpec, str]] = {
    spec.name: (spec, what)
    for spec, what in (
        (PacerSpec("predictive", Mode.PREDICTIVE), "Overdial's pacer, the guard included"),
        (
            PacerSpec("predictive-absolute", Mode.PREDICTIVE, GuardMode.ABSOLUTE),
            "the same under the strictest guard: every call in flight counts as lost",
        ),
        (PacerSpec("progressive", Mode.PROGRESSIVE), "one call per ready agent"),
        (PacerSpec("power", Mode.POWER, level=1.5), "power:RATIO calls per ready agent, guarded"),
        (
            PacerSpec("lines-per-idle", rule=Rule.LINES_PER_IDLE, level=1.5),
            "baseline: lines-per-idle:RATIO calls per idle agent, no guard",
        ),
        (
            PacerSpec("vicidial-ratio", rule=Rule.VICIDIAL_RATIO, level=1.5),
            "baseline: VICIdial RATIO, vicidial-ratio:LEVEL lines per working agent",
        ),
        (
            PacerSpec("vicidial-hard", rule=Rule.VICIDIAL_HARD),
            "baseline: VICIdial ADAPT_HARD_LIMIT",
        ),
        (
            PacerSpec("vicidial-average", rule=Rule.VICIDIAL_AVERAGE),
            "baseline: VICIdial ADAPT_AVERAGE",
        ),
        (
            PacerSpec("vicidial-tapered", rule=Rule.VICIDIAL_TAPERED),
            "baseline: VICIdial ADAPT_TAPERED",
        ),
        (PacerSpec("issabel", rule=Rule.ISSABEL), "baseline: Issabel's predictor"),
        (
            PacerSpec("expected", rule=Rule.EXPECTED),
            "baseline: expected answers matched to expected free agents",
        ),
    )
}
"""Every pacer by name, with one line for a list of them."""

_NUMBER_IS_LEVEL = ("power", "lines-per-idle", "vicidial-ratio")
_VICIDIAL = ("level", "max", "intensity", "difference", "available-only", "limit")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "vicidial-ratio": ("level", "available-only"),
    "vicidial-hard": _VICIDIAL,
    "vicidial-average": _VICIDIAL,
    "vicidial-tapered": _VICIDIAL,
    "issabel": ("qos", "overcommit"),
    "expected": ("limit",),
}
_RANGES = {
    "level": (0.1, 100.0),
    "max": (1.0, 100.0),
    "intensity": (-99.0, 99.0),
    "difference": (-100.0, 100.0),
    "limit": (0.0, 1.0),
    "qos": (0.0, 1.0),
}


def parse_pacer(text: str) -> PacerSpec:
    """Return the pacer that *text* names; PacerError if there is none."""
    name, _, options = text.strip().partition(":")
    if name not in PACERS:
        raise PacerError(f"there is no pacer {name!r}: choose from {', '.join(PACERS)}")
    spec = replace(PACERS[name][0], name=text.strip())
    for option in filter(None, options.split(",")):
        spec = _with_option(spec, name, option.strip())
    return spec


def _with_option(spec: PacerSpec, name: str, option: str) -> PacerSpec:
    key, equals, value = option.partition("=")
    if not equals and key not in {"available-only", "overcommit"}:
        key, value = "level", key
    allowed = _OPTIONS.get(name, ()) + (("level",) if name in _NUMBER_IS_LEVEL else ())
    if key not in allowed:
        choices = f"choose from {', '.join(allowed)}" if allowed else "it has none"
        raise PacerError(f"pacer {name} has no option {option!r}: {choices}")
    if key == "available-only":
        return replace(spec, available_only=True)
    if key == "overcommit":
        return replace(spec, overcommit=True)
    low, high = _RANGES[key]
    try:
        number = float(value)
    except ValueError:
        raise PacerError(f"pacer {name}: {key} must be a number, not {value!r}") from None
    if not (isfinite(number) and low <= number <= high):
        raise PacerError(f"pacer {name}: {key} must be {low:g} to {high:g}, not {value}")
    match key:
        case "max":
            return replace(spec, most_level=number)
        case "intensity":
            return replace(spec, intensity=number)
        case "difference":
            return replace(spec, difference=number)
        case "limit":
            return replace(spec, limit=number)
        case "qos":
            return replace(spec, qos=number)
        case _:
            return replace(spec, level=number)
