"""A virtual call centre paced by the pacer of production: see docs/explanation/simulation.md."""

from __future__ import annotations

from pacing.simulation.day import Day, Slot, play_days
from pacing.simulation.laws import Law, Mixture, Part
from pacing.simulation.library import built_in, markov, sales
from pacing.simulation.optimum import Optimum, optimum, optimum_of, twin_of
from pacing.simulation.pacers import PACERS, PacerError, PacerSpec, parse_pacer
from pacing.simulation.scenario import (
    Scenario,
    ScenarioError,
    Screening,
    Shift,
    Window,
)
from pacing.simulation.scenario_file import scenario_from_toml
from pacing.simulation.statistics import (
    Interval,
    Row,
    compare,
    interval,
    summarize,
    timeline,
    wilson,
)
from pacing.simulation.study import Study, simulate

__all__ = [
    "PACERS",
    "Day",
    "Interval",
    "Law",
    "Mixture",
    "Optimum",
    "PacerError",
    "PacerSpec",
    "Part",
    "Row",
    "Scenario",
    "ScenarioError",
    "Screening",
    "Shift",
    "Slot",
    "Study",
    "Window",
    "built_in",
    "compare",
    "interval",
    "markov",
    "optimum",
    "optimum_of",
    "parse_pacer",
    "play_days",
    "sales",
    "scenario_from_toml",
    "simulate",
    "summarize",
    "timeline",
    "twin_of",
    "wilson",
]
