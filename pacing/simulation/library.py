"""The built-in scenarios: those of the literature and of our own experiments, and hard cases.

S1-S9 are campaigns as they are (lognormal talk, gamma wrap-up, rings that time out after 22 s); M5
to M200 are their Markov twins, for which the optimum is known exactly (`optimum.py`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import pi, sin

from pacing.simulation.laws import Law, Mixture, Part
from pacing.simulation.scenario import DAY_S, Scenario, Screening, Shift

HOUR_S = 3600.0
Rate = float | tuple[tuple[float, float], ...]


def markov(
    agents: int, *, answer_rate: float = 0.3, ring_s: float = 10.0, talk_s: float = 140.0
) -> Scenario:
    """Return the Markov twin M<agents>: exponential ringing and talk, no wrap-up."""
    ring = Law.exponential(ring_s)
    return Scenario(
        name=f"M{agents}",
        agents=agents,
        answer_rate=((0.0, answer_rate),),
        talk=Law.exponential(talk_s),
        wrap_up=Law.constant(0.0),
        ring_live=ring,
        ring_other=Mixture.of(ring),
        description=f"{agents} agents, everything memoryless: the exact optimum is known",
    )


def sales(
    name: str,
    agents: int,
    *,
    answer_rate: Rate = 0.3,
    talk_s: float = 120.0,
    wrap_up_s: float = 20.0,
    description: str = "",
) -> Scenario:
    """Return a campaign of the S family."""
    steps = ((0.0, answer_rate),) if isinstance(answer_rate, float) else answer_rate
    return Scenario(
        name=name,
        agents=agents,
        answer_rate=steps,
        talk=Law.lognormal(talk_s, 0.9),
        wrap_up=Law.gamma(wrap_up_s, 0.6),
        ring_live=Law.gamma(7.0, 0.5, shift_s=2.0),
        ring_other=Mixture(
            (
                Part(0.12, Law.uniform(1.0, 4.0)),
                Part(0.35, Law.normal(20.0, 1.5, least_s=5.0, most_s=22.0), machine=True),
                Part(0.53, Law.constant(22.0)),
            )
        ),
        description=description,
    )


@lru_cache(maxsize=1)
def built_in() -> dict[str, Scenario]:
    """Return the built-in scenarios by name."""
    base = sales("S1", 20, description="20 agents, 30 % answered, talks of 2 minutes")
    scenarios = (
        base,
        sales("S2", 5, description="a team of 5"),
        sales("S3", 200, description="a floor of 200"),
        sales("S4", 20, answer_rate=0.05, description="an old list: 5 % answered"),
        sales("S5", 20, talk_s=40.0, wrap_up_s=10.0, description="short calls: 40 s"),
        sales("S6", 20, talk_s=300.0, wrap_up_s=60.0, description="long calls: 5 minutes"),
        sales(
            "S7",
            20,
            answer_rate=(
                (0.0, 0.15),
                (2 * HOUR_S, 0.45),
                (4 * HOUR_S, 0.25),
                (6 * HOUR_S, 0.08),
            ),
            description="answer rate jumps every two hours: 15, 45, 25, 8 %",
        ),
        sales("S9", 50, answer_rate=0.2, description="50 agents, 20 % answered"),
        *(markov(agents) for agents in (5, 10, 20, 50, 100, 200)),
        sales("N500", 500, description="a floor of 500"),
        replace(
            base,
            name="shifts",
            shifts=(
                Shift(8, to_s=5 * HOUR_S),
                Shift(6, from_s=0.5 * HOUR_S),
                Shift(6, from_s=2 * HOUR_S, to_s=6 * HOUR_S),
            ),
            description="agents log in and out in three groups",
        ),
        replace(
            base,
            name="breaks",
            shifts=(Shift(20, break_every_s=HOUR_S, break_s=300.0),),
            description="each agent takes 5 minutes off every hour",
        ),
        replace(
            base,
            name="diurnal",
            answer_rate=_diurnal(0.2, 0.12),
            description="answer rate swings from 8 to 32 % over the day",
        ),
        replace(
            base,
            name="caps",
            channels=45,
            calls_per_s=2.0,
            description="a trunk of 45 channels and 2 calls a second",
        ),
        replace(
            base,
            name="screening",
            screening=Screening(Law.constant(2.5), false_positives=0.05),
            description="2.5 s of screening, 5 % of the people taken for machines",
        ),
        replace(
            base,
            name="list",
            list_spread=0.6,
            description="good and bad stretches of the list: answer rate varies by 60 %",
        ),
        replace(
            base,
            name="heavy-tail",
            talk=Law.pareto(120.0, 2.2),
            description="talks of 2 minutes on average, a few of them endless",
        ),
        sales(
            "jump",
            200,
            answer_rate=((0.0, 0.05), (4 * HOUR_S, 0.5)),
            description="200 agents, answer rate jumps from 5 to 50 % at half time",
        ),
        replace(
            base,
            name="outage",
            outages=((2 * HOUR_S, 2 * HOUR_S + 600.0),),
            description="the carrier is out for ten minutes",
        ),
        replace(
            base,
            name="shared-trunk",
            channels=90,
            calls_per_s=4.0,
            campaigns=2,
            description="two campaigns of 20 agents share 90 channels and 4 calls a second",
        ),
    )
    return {scenario.name: scenario for scenario in scenarios}


def _diurnal(mean: float, swing: float) -> tuple[tuple[float, float], ...]:
    """Return a sine over the day in steps of a quarter of an hour."""
    quarter = 900.0
    steps = range(int(DAY_S / quarter))
    return tuple(
        (step * quarter, mean + swing * sin(2 * pi * (step + 0.5) * quarter / DAY_S))
        for step in steps
    )
