"""Scenario files, laws and pacers by name: what they accept, and what they say otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from pacing.simulation import (
    Law,
    PacerError,
    Scenario,
    ScenarioError,
    built_in,
    parse_pacer,
    scenario_from_toml,
)

FULL = """
base = "S4"
name = "evening"
agents = 12
answer_rate = [[0, 0.15], [7200, 0.3]]
talk = {law = "lognormal", mean = 150, cv = 0.9}
wrap_up = 25
leads = 5000
attempts = 3
screening = {time = 2.0, false_positives = 0.02}
outages = [[60, 120]]
ring_other = [
    {weight = 1, law = "constant", seconds = 20},
    {weight = 2, law = "uniform", least = 1, most = 4, machine = true},
]

[[windows]]
name = "day"
target = 0.02

[[shifts]]
agents = 8

[[shifts]]
agents = 4
from_s = 3600
break_every_s = 3600
break_s = 300
"""


def test_a_full_file() -> None:
    """
    Every kind of field is read, what is not named comes from the base.
    """
    scenario = scenario_from_toml(FULL, source="evening.toml")

    assert "evening" == scenario.name
    assert 12 == scenario.agents == sum(shift.agents for shift in scenario.shifts)
    assert 150.0 == pytest.approx(scenario.talk.mean_s, rel=0.01)
    assert 25.0 == scenario.wrap_up.mean_s
    assert 20_000 == scenario.windows[0].target_ppm
    assert built_in()["S4"].ring_live == scenario.ring_live
    assert 0.15 * 0.25 + 0.3 * 0.75 == pytest.approx(scenario.mean_answer_rate)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agents = ", "no TOML"),
        ('base = "S99"', "no scenario 'S99'"),
        ("agent = 5", "no field 'agent'"),
        ("agents = 0", "agents must be 1"),
        ('agents = "many"', "must be a whole number"),
        ("answer_rate = 1.2", "share above 0"),
        ("answer_rate = [[60, 0.2]]", "from second 0"),
        ("answer_rate = [0.2]", "pairs"),
        ('talk = {law = "weird"}', "one of exponential"),
        ('talk = {law = "gamma", mean = 3}', "needs cv"),
        ('talk = {law = "exponential", mean = -3}', "above 0"),
        ('talk = {law = "exponential", mean = 3, cv = 2}', "takes mean, not 'cv'"),
        ("talk = 0", "longer than 0"),
        ("outages = [[20, 10]]", "end after it begins"),
        ("windows = [{target = 0.05}]", "0 < target <= limit"),
        ("shifts = [{from_s = 3}]", "number of agents"),
        ("screening = {time = 2, false_positives = 2}", "false_positives"),
        ("tick_s = true", "must be a number"),
        ("name = 3", "must be a text"),
    ],
)
def test_wrong_files_get_one_sentence(text: str, said: str) -> None:
    """
    What is wrong is said in one line that names the file.
    """
    with pytest.raises(ScenarioError, match=r"mine\.toml") as caught:
        scenario_from_toml(text, source="mine.toml")

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scenario", built_in().values(), ids=lambda scenario: scenario.name)
def test_built_in_scenarios_describe_themselves(scenario: Scenario) -> None:
    """
    Every built-in scenario says in a line what it is, and can have another team.
    """
    assert scenario.description
    assert 0 < scenario.mean_answer_rate < 1
    assert abs(scenario.with_agents(40).agents - 40) <= len(scenario.shifts)


@pytest.mark.parametrize(
    ("law", "mean_s"),
    [
        (Law.exponential(140.0), 140.0),
        (Law.lognormal(120.0, 0.9), 120.0),
        (Law.gamma(7.0, 0.5, shift_s=2.0), 9.0),
        (Law.pareto(120.0, 2.2), 120.0),
        (Law.uniform(1.0, 4.0), 2.5),
        (Law.normal(20.0, 1.5, least_s=5.0, most_s=30.0), 20.0),
        (Law.constant(22.0), 22.0),
        (Law.from_values([1.0, 2.0, 9.0]), 4.0),
        (Law.from_survival([0.0, 10.0], [1.0, 0.5]), 10.0 / np.log(2)),
        (Law.lognormal(120.0, 0.9).scaled_to(60.0), 60.0),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_laws_have_the_mean_they_say(law: Law, mean_s: float) -> None:
    """
    What is drawn has the mean that was asked for.
    """
    assert mean_s == pytest.approx(law.mean_s, rel=0.02)


def test_survival_is_that_of_the_law() -> None:
    """
    The survival read from the table is the exponential's own.
    """
    at_s = np.array([0.0, 50.0, 140.0, 500.0])

    assert np.exp(-at_s / 140.0) == pytest.approx(Law.exponential(140.0).survival(at_s))


def test_pacers_by_name() -> None:
    """
    Names take a number or options.
    """
    assert 2.5 == parse_pacer("power:2.5").level
    tuned = parse_pacer("vicidial-hard:max=6,intensity=-20,available-only")
    assert (6.0, -20.0, True) == (tuned.most_level, tuned.intensity, tuned.available_only)
    assert parse_pacer("issabel:overcommit,qos=0.9").overcommit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("predictiv", "there is no pacer 'predictiv'"),
        ("predictive:3", "has no option '3'"),
        ("power:fast", "must be a number"),
        ("power:0", "must be 0.1 to 100"),
        ("vicidial-hard:maximum=3", "has no option 'maximum=3'"),
    ],
)
def test_wrong_pacers_get_one_sentence(text: str, said: str) -> None:
    """
    An unknown pacer or option is said in one line with the choices.
    """
    with pytest.raises(PacerError) as caught:
        parse_pacer(text)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
