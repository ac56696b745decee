"""Scenarios from TOML: what a file may say, and one clear sentence when it says something else.

    base = "S1"                  # start from a built-in scenario (default S1)
    name = "our evening shift"
    agents = 12
    answer_rate = 0.22           # or steps: [[0, 0.15], [7200, 0.3]] from second, share
    talk = {law = "lognormal", mean = 150, cv = 0.9}
    wrap_up = {law = "gamma", mean = 25, cv = 0.6}
    leads = 5000

    [[windows]]
    name = "day"
    limit = 0.03
    target = 0.0285

Every field of `Scenario` may be given; see docs/explanation/simulation.md.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from pacing.simulation.laws import Law, Mixture, Part
from pacing.simulation.library import built_in
from pacing.simulation.scenario import (
    LEGAL_WINDOW_S,
    Scenario,
    ScenarioError,
    Screening,
    Shift,
    Window,
)

_LAWS: dict[str, tuple[Callable[..., Law], dict[str, str]]] = {
    "exponential": (Law.exponential, {"mean": "mean_s"}),
    "lognormal": (Law.lognormal, {"mean": "mean_s", "cv": "cv"}),
    "gamma": (Law.gamma, {"mean": "mean_s", "cv": "cv", "shift": "shift_s"}),
    "pareto": (Law.pareto, {"mean": "mean_s", "shape": "shape"}),
    "uniform": (Law.uniform, {"least": "least_s", "most": "most_s"}),
    "normal": (
        Law.normal,
        {"mean": "mean_s", "deviation": "deviation_s", "least": "least_s", "most": "most_s"},
    ),
    "constant": (Law.constant, {"seconds": "seconds"}),
    "values": (Law.from_values, {"seconds": "values_s"}),
}
_WHOLE = ("agents", "leads", "attempts", "channels", "list_stretch", "campaigns")
_TEXT = ("name", "description")
_LAW_FIELDS = ("talk", "wrap_up", "ring_live", "patience")


def scenario_from_toml(text: str, *, source: str = "scenario file") -> Scenario:
    """Return the scenario that *text* describes; ScenarioError names *source* and the field."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ScenarioError(f"{source} is no TOML: {exc}") from None
    base = told.pop("base", "S1")
    if base not in built_in():
        known = ", ".join(built_in())
        raise ScenarioError(
            f"{source}: there is no scenario {base!r} to start from; there are {known}"
        )
    known_fields = {each.name for each in fields(Scenario)}
    changes: dict[str, Any] = {"name": source, "description": f"from {source}, based on {base}"}
    for key, value in told.items():
        if key not in known_fields:
            raise ScenarioError(
                f"{source}: there is no field {key!r}; there are {', '.join(sorted(known_fields))}"
            )
        changes[key] = _read(key, value, source)
    scenario = built_in()[base]
    if "shifts" in changes:
        changes.setdefault("agents", sum(shift.agents for shift in changes["shifts"]))
    try:
        if "shifts" not in changes and "agents" in changes:
            scenario = scenario.with_agents(changes.pop("agents"))
        return replace(scenario, **changes)
    except ScenarioError as exc:
        raise ScenarioError(f"{source}: {exc}") from None


def _read(key: str, value: Any, source: str) -> Any:
    where = f"{source}: {key}"
    if key in _TEXT:
        if not isinstance(value, str):
            raise ScenarioError(f"{where} must be a text, not {value!r}")
        return value
    if key in _WHOLE:
        return _whole(value, where)
    if key in _LAW_FIELDS:
        return _law(value, where)
    match key:
        case "answer_rate":
            if isinstance(value, list):
                return tuple(_pairs(value, where))
            return ((0.0, _number(value, where)),)
        case "outages":
            return tuple(_pairs(value, where))
        case "ring_other":
            return _mixture(value, where)
        case "screening":
            table = _table(value, where, ("time", "false_positives"))
            time = _law(table.get("time", {"law": "constant", "seconds": 2.5}), f"{where}.time")
            return Screening(time, _number(table.get("false_positives", 0.0), where))
        case "shifts":
            return tuple(_shift(each, where) for each in _tables(value, where))
        case "windows":
            return tuple(_window(each, where) for each in _tables(value, where))
        case _:
            return _number(value, where)


def _shift(value: Any, where: str) -> Shift:
    names = ("agents", "from_s", "to_s", "break_every_s", "break_s")
    table = _table(value, where, names)
    if "agents" not in table:
        raise ScenarioError(f"{where}: each shift needs a number of agents")
    times = {key: _number(table[key], f"{where}.{key}") for key in names[1:] if key in table}
    return Shift(_whole(table["agents"], f"{where}.agents"), **times)


def _window(value: Any, where: str) -> Window:
    names = ("name", "limit", "target", "answered", "abandoned", "carried", "length_s")
    table = _table(value, where, names)
    name, carried = table.get("name", "day"), table.get("carried", False)
    if not isinstance(name, str) or not isinstance(carried, bool):
        raise ScenarioError(f"{where}: name must be a text and carried true or false")
    limit = _number(table.get("limit", 0.03), f"{where}.limit")
    length_s = _number(table.get("length_s", LEGAL_WINDOW_S if carried else 28_800.0), where)
    return Window(
        name,
        limit,
        _number(table.get("target", 0.95 * limit), f"{where}.target"),
        _whole(table.get("answered", 0), f"{where}.answered"),
        _whole(table.get("abandoned", 0), f"{where}.abandoned"),
        carried,
        length_s,
    )


def _mixture(value: Any, where: str) -> Mixture:
    if isinstance(value, dict):
        return Mixture.of(_law(value, where))
    parts = []
    for each in _tables(value, where):
        table = dict(each)
        weight, machine = table.pop("weight", 1.0), table.pop("machine", False)
        if not isinstance(machine, bool):
            raise ScenarioError(f"{where}: machine must be true or false, not {machine!r}")
        parts.append(Part(_number(weight, f"{where}.weight"), _law(table, where), machine))
    try:
        return Mixture(tuple(parts))
    except ValueError as exc:
        raise ScenarioError(f"{where} {exc}") from None


def _law(value: Any, where: str) -> Law:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"law": "constant", "seconds": value}
    if not isinstance(value, dict) or value.get("law") not in _LAWS:
        raise ScenarioError(
            f"{where} must be a number of seconds or a table with law = one of {', '.join(_LAWS)}"
        )
    make, names = _LAWS[value["law"]]
    given = {key: number for key, number in value.items() if key != "law"}
    unknown = [key for key in given if key not in names]
    if unknown:
        raise ScenarioError(
            f"{where}: law {value['law']} takes {', '.join(names)}, not {unknown[0]!r}"
        )
    try:
        return make(
            **{
                names[key]: [_number(each, where) for each in number]
                if isinstance(number, list)
                else _number(number, f"{where}.{key}")
                for key, number in given.items()
            }
        )
    except ScenarioError:
        raise
    except (TypeError, ValueError) as exc:
        missing = [key for key in names if key not in given and key != "shift"]
        told = f"needs {', '.join(missing)}" if missing else str(exc)
        raise ScenarioError(f"{where}: law {value['law']} {told}") from None


def _table(value: Any, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError(f"{where} must be a table with {', '.join(names)}")
    unknown = [key for key in value if key not in names]
    if unknown:
        raise ScenarioError(f"{where} has no {unknown[0]!r}; there are {', '.join(names)}")
    return value


def _tables(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ScenarioError(f"{where} must be a list of tables")
    return value


def _pairs(value: Any, where: str) -> list[tuple[float, float]]:
    if not isinstance(value, list) or not all(
        isinstance(each, list) and len(each) == 2 for each in value
    ):
        raise ScenarioError(f"{where} must be a list of pairs of numbers")
    return [(_number(first, where), _number(second, where)) for first, second in value]


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ScenarioError(f"{where} must be a whole number, not {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScenarioError(f"{where} must be a number, not {value!r}")
    return float(value)
