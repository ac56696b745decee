"""Numbers as analysts write them, and one sentence for each wrong one."""

from __future__ import annotations

import pytest

from campaigns.errors import UserError
from dialer.simulation import quantities as q


@pytest.mark.parametrize(
    ("text", "quantity", "expected"),
    [
        ("20", q.AGENTS, [20]),
        ("5,10,20", q.AGENTS, [5, 10, 20]),
        ("5:50:15", q.AGENTS, [5, 20, 35, 50]),
        ("5:49:15", q.AGENTS, [5, 20, 35]),
        ("20,20", q.AGENTS, [20]),
        ("0.25", q.ANSWER_RATE, [0.25]),
        ("25%", q.ANSWER_RATE, [0.25]),
        ("5 %", q.ANSWER_RATE, [0.05]),
        ("10%:30%:10%", q.ANSWER_RATE, [0.1, 0.2, 0.3]),
        ("0.05:0.2:0.05", q.ANSWER_RATE, [0.05, 0.1, 0.15, 0.2]),
        ("0", q.WRAP_UP, [0]),
    ],
)
def test_values(text: str, quantity: q.Quantity, expected: list[float]) -> None:
    """
    One number, a list, a range with both ends, shares with or without a per cent sign.
    """
    assert expected == q.values(text, quantity)


@pytest.mark.parametrize(
    ("text", "quantity", "sentence"),
    [
        ("many", q.AGENTS, "--agents 'many' is not a whole number."),
        ("2.5", q.AGENTS, "--agents '2.5' is not a whole number."),
        ("0", q.AGENTS, "--agents '0' is out of range: from 1 to 10,000."),
        ("-3", q.TALK, "--talk '-3' is out of range: from 1 s to 7200 s."),
        ("nan", q.TALK, "--talk 'nan' is out of range: from 1 s to 7200 s."),
        ("25", q.ANSWER_RATE, "--answer-rate '25' is out of range: from 0.1 % to 100 %."),
        ("a lot", q.ANSWER_RATE, "--answer-rate 'a lot' is not a number, such as 0.25 or 25%."),
        ("1:5", q.AGENTS, "--agents '1:5': a range is FROM:TO:STEP, such as 5:50:5."),
        ("5:1:1", q.AGENTS, "end not below the start, such as 5:50:5."),
        ("1:5:0", q.AGENTS, "the step must be above 0"),
        ("1:1000:1", q.AGENTS, "--agents '1:1000:1' are 1,000 values: at most 50"),
        ("", q.AGENTS, "--agents '' is not a whole number."),
    ],
)
def test_wrong_values(text: str, quantity: q.Quantity, sentence: str) -> None:
    """
    What is wrong is one sentence with the option, the text and what would be right.
    """
    with pytest.raises(UserError) as refused:
        q.values(text, quantity)

    assert sentence in str(refused.value)


def test_pacers_keep_their_options() -> None:
    """
    Commas part pacers; those inside a pacer's options belong to it.
    """
    known = ["predictive", "vicidial-hard", "power"]

    assert ["predictive", "vicidial-hard:max=6,available-only", "power:1.5"] == q.pacer_names(
        ["predictive,vicidial-hard:max=6,available-only", "power:1.5"], known
    )
    assert ["predictive", "unknown"] == q.pacer_names(["predictive,unknown,"], known)


def test_times_of_day() -> None:
    """
    A time of day is seconds since midnight, and comes back with the day when it is a later one.
    """
    assert 61_200 == q.clock_time("17:00", "--by")
    assert "17:05" == q.clock_words(61_520)
    assert "01:00 (+1 day)" == q.clock_words(90_000)
    with pytest.raises(UserError, match="--by 'five' is no time of day"):
        q.clock_time("five", "--by")
