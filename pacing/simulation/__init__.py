"""A small event-driven simulator that drives the pacer; the pacer does not know it."""

from __future__ import annotations

from pacing.simulation.day import DayResult, simulate_day
from pacing.simulation.scenario import BUILT_IN, Scenario, WindowPlan, markov, sales

__all__ = [
    "BUILT_IN",
    "DayResult",
    "Scenario",
    "WindowPlan",
    "markov",
    "sales",
    "simulate_day",
]
