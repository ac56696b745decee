"""What the simulated world is like: people, agents, the hours of a day.

Every random draw takes a numpy Generator as argument, so a seed fixes a whole day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import log1p

from numpy.random import Generator

Sampler = Callable[[Generator], float]
"""Draws one duration in seconds."""


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """An accounting window as it stands when the day begins."""

    name: str
    limit_ppm: int = 30_000
    target_ppm: int = 28_500
    answered: int = 0
    abandoned: int = 0
    length_s: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One campaign on one day.

    `answer_rates` are (from second, probability) steps in ascending order. A person who answered
    waits `patience_s` for an agent, then counts as abandoned.
    """

    name: str
    agents: int
    answer_rates: tuple[tuple[float, float], ...]
    ring_live: Sampler
    ring_other: Sampler
    talk: Sampler
    wrap_up: Sampler
    day_s: float = 8 * 3600.0
    patience_s: float = 2.0
    windows: tuple[WindowPlan, ...] = field(default=(WindowPlan("day", length_s=8 * 3600.0),))

    def answer_rate(self, at_s: float) -> float:
        """Return the probability that a call dialed at *at_s* is answered by a person."""
        rate = self.answer_rates[0][1]
        for start_s, step in self.answer_rates:
            if at_s >= start_s:
                rate = step
        return rate

    def warm(self, answered: int = 20_000) -> Scenario:
        """Return this scenario late in a legal window of 30 days, its target just met."""
        target = 29_500
        plan = WindowPlan(
            "legal", 30_000, target, answered, answered * target // 1_000_000, 10 * 86_400.0
        )
        return replace(self, windows=(plan,))


def markov(agents: int, *, ring_s: float = 10.0, p: float = 0.3, talk_s: float = 140.0) -> Scenario:
    """Return the Markov twin M<agents>: exponential ring and talk, no wrap-up."""
    return Scenario(
        name=f"M{agents}",
        agents=agents,
        answer_rates=((0.0, p),),
        ring_live=lambda rng: float(rng.exponential(ring_s)),
        ring_other=lambda rng: float(rng.exponential(ring_s)),
        talk=lambda rng: float(rng.exponential(talk_s)),
        wrap_up=lambda _rng: 0.0,
    )


def sales(
    name: str,
    agents: int,
    *,
    p: float | tuple[tuple[float, float], ...] = 0.3,
    talk_s: float = 120.0,
    wrap_s: float = 20.0,
) -> Scenario:
    """Return a scenario of the S family: lognormal talk, gamma wrap-up, a ring timeout of 22 s."""
    talk_sigma2 = _lognormal_sigma2(cv=0.9)
    shape = 1 / 0.6**2
    return Scenario(
        name=name,
        agents=agents,
        answer_rates=((0.0, p),) if isinstance(p, float) else p,
        ring_live=lambda rng: 2.0 + float(rng.gamma(4.0, 7.0 / 4.0)),
        ring_other=_not_live_ring,
        talk=lambda rng: talk_s * float(rng.lognormal(-talk_sigma2 / 2, talk_sigma2**0.5)),
        wrap_up=lambda rng: float(rng.gamma(shape, wrap_s / shape)),
    )


def _lognormal_sigma2(*, cv: float) -> float:
    """Return the variance of log X for a lognormal X with this coefficient of variation."""
    return log1p(cv**2)


def _not_live_ring(rng: Generator) -> float:
    """Draw 12 % fast failures, 35 % machines and the rest ringing out."""
    kind = rng.random()
    if kind < 0.12:
        return float(rng.uniform(1.0, 4.0))
    if kind < 0.47:
        return float(min(22.0, max(5.0, rng.normal(20.0, 1.5))))
    return 22.0


BUILT_IN: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        sales("S1", 20),
        sales("S2", 5),
        sales("S3", 200),
        sales("S4", 20, p=0.05),
        sales("S5", 20, talk_s=40.0, wrap_s=10.0),
        sales("S6", 20, talk_s=300.0, wrap_s=60.0),
        sales("S7", 20, p=((0.0, 0.15), (7200.0, 0.45), (14_400.0, 0.25), (21_600.0, 0.08))),
        sales("S9", 50, p=0.2),
        *(markov(agents) for agents in (5, 10, 20, 50, 100, 200)),
    )
}
"""The scenarios of the literature and of our own experiments, by name."""
