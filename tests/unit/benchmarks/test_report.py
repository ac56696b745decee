"""Reports of benchmarks: targets, verdicts, JSON and the table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.__main__ import summary
from benchmarks.registry import BENCHMARKS, find
from benchmarks.report import Report, at_least, at_most, rounded

REPORT = Report(
    benchmark="lines",
    command="python -m benchmarks lines --quick --seed 1",
    seed=1,
    machine="2 cores",
    metrics={"attempts_per_s": 312.345, "p99_ms": 100.0, "spare": 0.000123456},
    targets={"attempts_per_s": at_least(300), "p99_ms": at_most(100)},
)


def test_targets_met_exactly_are_met() -> None:
    """
    A metric at its target meets it, from either side.
    """
    assert at_most(100).is_met(100.0)
    assert at_least(300).is_met(300.0)
    assert REPORT.is_met


@pytest.mark.parametrize(("name", "value"), [("attempts_per_s", 299.9), ("p99_ms", 100.1)])
def test_a_missed_target_is_named(name: str, value: float) -> None:
    """
    A report with a metric beyond its target is not met and says which one.
    """
    report = replace(REPORT, metrics={**REPORT.metrics, name: value})

    assert not report.is_met
    assert [name] == report.missed


def test_a_metric_that_was_not_measured_misses_its_target() -> None:
    """
    What is not there is not met: no figure is no proof.
    """
    report = replace(REPORT, metrics={"p99_ms": 50.0})

    assert ["attempts_per_s"] == report.missed
    assert "NOT MEASURED" in report.to_table()


def test_json_has_the_keys_others_rely_on() -> None:
    """
    The object is the one of the command reference, and reads back as the same report.
    """
    text = REPORT.to_json()
    held = json.loads(text)

    assert ["benchmark", "command", "seed", "machine", "metrics", "targets"] == list(held)
    assert {"attempts_per_s": [">=", 300], "p99_ms": ["<=", 100]} == held["targets"]
    assert text == Report.from_json(text).to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"benchmark": "x"}', "not json"])
def test_output_that_is_no_report_is_refused(text: str) -> None:
    """
    Anything but a report is an error of its own, not a crash somewhere else.
    """
    with pytest.raises(ValueError, match=r".+"):
        Report.from_json(text)


def test_the_table_gives_each_target_its_verdict() -> None:
    """
    People see target and verdict beside each figure, and the figures without a target after them.
    """
    report = replace(REPORT, metrics={**REPORT.metrics, "p99_ms": 250.0})
    lines = report.to_table().splitlines()

    assert lines[2].endswith(">= 300   met")
    assert lines[3].endswith("<= 100   MISSED")
    assert lines[4].split() == ["spare", "0.0001235"]


@pytest.mark.parametrize(
    ("value", "shown"), [(312.345, 312.3), (12345.6, 12346), (0.68751, 0.6875), (0.0, 0.0)]
)
def test_figures_are_not_more_precise_than_the_measurement(value: float, shown: float) -> None:
    """
    Four significant digits, but never fewer than the whole part.
    """
    assert shown == rounded(value)


def test_the_summary_names_what_gave_no_result() -> None:
    """
    A benchmark without a report is told as such beside the verdicts of the others.
    """
    wanted = [each for name in ("lines", "path") if (each := find(name)) is not None]
    text = summary(wanted, [REPORT])

    assert "attempts_per_s" in text
    assert "path" in text.splitlines()[-1]
    assert text.splitlines()[-1].endswith("NO RESULT")


def test_names_are_unique() -> None:
    """
    A name means one benchmark.
    """
    assert len(BENCHMARKS) == len({each.name for each in BENCHMARKS})
