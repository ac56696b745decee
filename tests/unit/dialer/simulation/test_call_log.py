"""Any dialer's call log: columns and words guessed, shown, overridden, refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from campaigns.errors import UserError
from dialer.simulation import call_log
from dialer.simulation.past import CallEnd, Past

VICIDIAL = """started,ring_s,outcome,length_s,talk_s,wrap_up_s,agent
2026-11-20 09:00:00,8.2,SALE,150,120,18,6001
2026-11-20 09:00:01,22,NA,22,,,VDAD
2026-11-20 09:00:02,3,B,3,,,VDAD
2026-11-20 09:00:03,9,A,15,,,VDAD
2026-11-20 09:00:04,7,DROP,5,,,VDAD
2026-11-20 09:00:05,6,XYZ,66,60,12,6002
"""


def read(tmp_path: Path, text: str, **options: object) -> Past:
    """Return the past a file with *text* tells."""
    path = tmp_path / "calls.csv"
    path.write_text(text, encoding="utf-8")
    given = {"mapping": {}, "ends": {}, "zone": ZoneInfo("America/New_York")} | options
    return call_log.read(path, **given)  # type: ignore[arg-type] # options of several types


def test_vicidial_export_is_understood(tmp_path: Path) -> None:
    """
    The how-to's export needs no options: statuses, times in the zone, talk, wrap-up, agents.
    """
    past = read(tmp_path, VICIDIAL)

    assert [
        CallEnd.PERSON,
        CallEnd.NO_ANSWER,
        CallEnd.FAILED,
        CallEnd.MACHINE,
        CallEnd.ABANDONED,
        CallEnd.PERSON,  # a status of their own: an agent spoke with somebody
    ] == [call.end for call in past.calls]
    first = past.calls[0]
    assert datetime(2026, 11, 20, 14, 0, tzinfo=UTC) == first.started_at
    assert (8.2, 120.0, 18.0, "6001") == (
        first.ring_s,
        first.talk_s,
        first.wrap_up_s,
        first.agent,
    )
    assert {"6001", "6002"} == {stretch.agent for stretch in past.at_work}
    assert "Columns: started=started, ring_s=ring_s" in past.told[0]
    assert "2 person (SALE, XYZ)" in past.told[1]


def test_another_dialers_log(tmp_path: Path) -> None:
    """
    Times of answer and end give ring and talk; semicolons, epochs and clock durations are read.
    """
    past = read(
        tmp_path,
        "Call Start;Answered;End;Status;ACW;Agent\n"
        "1763650000;1763650009;1763650069;ANSWERED;0:15;ann\n"
        "1763650010;;1763650032;NO ANSWER;;\n"
        "1763650020;1763650028;1763650033;ANSWERED;;\n",
    )

    talked, missed, lost = past.calls
    assert (CallEnd.PERSON, 9.0, 60.0, 15.0) == (
        talked.end,
        talked.ring_s,
        talked.talk_s,
        talked.wrap_up_s,
    )
    assert (CallEnd.NO_ANSWER, 22.0) == (missed.end, missed.ring_s)
    assert (CallEnd.ABANDONED, 8.0) == (lost.end, lost.ring_s)


def test_columns_and_words_are_overridden(tmp_path: Path) -> None:
    """
    `--map` and `--outcome` say what the guess cannot know.
    """
    text = "when,klass,secs\n2026-11-20T09:00:00,K,30\n2026-11-20T09:01:00,L,20\n"

    past = read(
        tmp_path,
        text,
        mapping=call_log.parse_mapping(["started=when,outcome=klass", "talk_s=3"]),
        ends=call_log.parse_ends(["person=K", "machine=L,M"]),
    )

    assert [CallEnd.PERSON, CallEnd.MACHINE] == [call.end for call in past.calls]
    assert 30.0 == past.calls[0].talk_s


@pytest.mark.parametrize(
    ("text", "mapping", "sentence"),
    [
        ("a,b\n1,2\n", "", "no column that says when a call began: name it with --map started="),
        ("started,b\nsoon,2\n", "", "does not say when calls began, such as 'soon'"),
        ("started,b\n2026-11-20,2\n", "agent=user", "has no column 'user'; it has started, b."),
        ("started,b\n2026-11-20,2\n", "when=b", "a column can mean started, answered"),
        ("started,b\n2026-11-20,2\n", "started", "write it as MEANING=COLUMN"),
    ],
)
def test_useless_logs(tmp_path: Path, text: str, mapping: str, sentence: str) -> None:
    """
    A log or mapping that cannot be used is refused in one sentence.
    """
    with pytest.raises(UserError) as refused:
        read(tmp_path, text, mapping=call_log.parse_mapping([mapping]))

    assert sentence in str(refused.value)


def test_wrong_words() -> None:
    """
    A meaning that does not exist is refused with those that do.
    """
    with pytest.raises(UserError, match="the meanings are person, abandoned, machine"):
        call_log.parse_ends(["friend=X"])
