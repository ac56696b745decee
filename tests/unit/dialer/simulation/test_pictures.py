"""What `dialer simulate` shows: rows, sentences and pictures of one small result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from campaigns.errors import UserError
from dialer.cli import simulate_view
from dialer.cli.simulate_plan import Asked, Found, plan
from dialer.simulation import charts, wording
from dialer.simulation.runs import Result
from pacing.simulation import Day, Row, Slot, Study

ROW = Row(
    pacer="predictive",
    occupancy=0.889,
    occupancy_ci=(0.881, 0.897),
    abandonment=0.0285,
    days_over_limit=1,
    worst_day=0.0304,
    connects_per_agent_hour=23.0,
    dials_per_live=3.9,
    days=8,
    days_over_limit_ci=(0.0, 0.5),
    worst_hour=0.041,
    talk_minutes_per_hour=53.34,
    predictive_gain=10.0,
    finished_s=3600.0 * 6.5,
    dials_per_day=12_000.0,
    misjudged=0.0,
)
PROGRESSIVE = replace(ROW, pacer="progressive", occupancy=0.72, abandonment=0.0)


def found(**asked: object) -> Found:
    """Return a result made by hand."""
    wanted = plan(Asked(sweeps={}, **asked), None)  # type: ignore[arg-type] # options of several types
    (point,) = wanted.points
    slots = tuple(Slot(300.0 * i, 100, 25, 1, 5000.0, 6000.0) for i in range(12))
    day = Day(
        dialed=1200,
        answered=300,
        abandoned=9,
        connected=291,
        misjudged=0,
        busy_s=60_000.0,
        staffed_s=72_000.0,
        most_in_flight=30,
        worst_hour=(3, 90),
        first_hour=(2, 80),
        windows=((9, 300),),
        over_limit=False,
        finished_s=None,
        timeline=slots,
    )
    study = Study(point.scenario, 1, {"predictive": [day], "progressive": [day]})
    return Found(wanted, [Result(point, study, (ROW, PROGRESSIVE))], next_agent=ROW)


def test_sentences_say_what_it_means() -> None:
    """
    Minutes of an hour, the limit, one agent more, the gain over one call per idle agent.
    """
    said = "\n".join(simulate_view.sentences(found()))

    assert "With 20 agents (predictive) expect 53 minutes of talk and wrap-up an hour" in said
    assert "1 of 8 days passed the limit of 3.0 % (worst day 3.04 %)" in said
    assert "A 21st agent adds 53 minutes of talk and wrap-up an hour, 23 conversations." in said
    assert "10.1 minutes an hour more from each than one call per idle agent" in said


def test_a_list_and_its_deadline() -> None:
    """
    The median finish is a time of day.
    """
    said = "\n".join(simulate_view.sentences(found(leads="5000", start="08:30")))

    assert "the list of 5,000 leads, begun at 08:30, is finished at 15:00 on a usual day" in said
    assert "Not even 2,000 agents are through 5,000 leads by 17:00." == (
        wording.staffing_sentence(None, 0.0, 5000, 61_200.0, 2000)
    )


def test_rows_have_the_keys_programs_read() -> None:
    """
    Each row has the keys of the reference, whatever was asked.
    """
    rows = simulate_view.records(found())

    assert {
        "pacer", "occupancy", "occupancy_ci", "abandonment", "days_over_limit", "worst_day",
        "connects_per_agent_hour", "dials_per_live", "agents", "finished_at",
    } <= set(rows[0])  # fmt: skip
    assert ["predictive", "progressive"] == [row["pacer"] for row in rows]


def test_pictures_are_drawn(tmp_path: Path) -> None:
    """
    The same pictures go into a file and onto the terminal.
    """
    result = found()
    result.swings.append(("talk ∓ 20 %", 0.86, 0.91))
    result.frontier.append(ROW)
    pictures = simulate_view.pictures(result)
    path = tmp_path / "day.png"

    charts.check_file(path)
    charts.save(pictures, path)
    text = charts.on_terminal(pictures, colours=False)

    assert path.read_bytes().startswith(b"\x89PNG")
    assert "Occupancy against abandonment" in text
    assert "talk ∓ 20 %" in text
    with pytest.raises(UserError, match=r"must end in \.png"):
        charts.check_file(tmp_path / "day.txt")
