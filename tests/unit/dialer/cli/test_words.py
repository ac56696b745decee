"""How commands read what people type, and how they write what programs read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from campaigns.errors import UserError
from campaigns.model import AgentState, PhoneKind
from dialer.cli import output
from dialer.cli.agents import guess_kind
from dialer.cli.dnc import in_full
from dialer.cli.moments import moment
from dialer.cli.session import guarded

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("phone", "kind"),
    [
        ("sip:anna@192.0.2.1", PhoneKind.SIP_URI),
        ("sips:anna@example.net", PhoneKind.SIP_URI),
        ("201", PhoneKind.EXTENSION),
        ("*201", PhoneKind.EXTENSION),
        ("+14155550123", PhoneKind.TELEPHONE),
        ("192.0.2.7", PhoneKind.CALL_IN),
        ("2001:db8::1", PhoneKind.CALL_IN),
    ],
)
def test_phone_is_recognised(phone: str, kind: PhoneKind) -> None:
    """
    The kind of a phone shows in how its address is written.
    """
    assert kind is guess_kind(phone)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T09:30", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T09:30+01:00", datetime(2026, 11, 20, 8, 30, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_point_in_time(text: str, at: datetime) -> None:
    """
    A time is a date, a local date and time, or an age.
    """
    assert at == moment(text, now=NOW)


@pytest.mark.parametrize("text", ["yesterday", "", "h", "-3h", "2026-13-01", "9" * 12 + "d"])
def test_no_point_in_time(text: str) -> None:
    """
    What is no time is refused with examples of what is.
    """
    with pytest.raises(UserError, match=r"is no time: write 2026-11-21, .* 90m, 24h or 7d"):
        moment(text, now=NOW)


def test_number_of_a_named_country() -> None:
    """
    A national number is read with the country that was named, and only then.
    """
    assert "+493023125001" == in_full("030 23125001", "DE")
    with pytest.raises(UserError, match="say --country US"):
        in_full("030 23125001", None)


def test_values_become_json() -> None:
    """
    Times are RFC 3339 in UTC, durations seconds, enums their words, ids text.
    """

    @dataclass
    class Thing:
        at: datetime
        day: date
        long: timedelta
        state: AgentState
        id: UUID
        path: Path
        parts: tuple[int, ...]

    thing = Thing(
        datetime(2026, 11, 21, 15, 0, tzinfo=UTC),
        date(2026, 11, 21),
        timedelta(seconds=1.5),
        AgentState.WRAP_UP,
        UUID(int=7),
        Path("a/b"),
        (1, 2),
    )

    assert {
        "at": "2026-11-21T15:00:00Z",
        "day": "2026-11-21",
        "long": 1.5,
        "state": "wrap_up",
        "id": "00000000-0000-0000-0000-000000000007",
        "path": "a/b",
        "parts": [1, 2],
    } == json.loads(json.dumps(output.plain(thing)))


def test_table_says_when_it_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """
    An empty table is a sentence for people and an empty list for programs.
    """
    output.table([], {"a": "A"}, as_json=False, empty="Nothing yet.")
    output.table([], {"a": "A"}, as_json=True)

    assert "Nothing yet.\n[]\n" == capsys.readouterr().out


def test_cells_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Square brackets in data are shown as they are.
    """
    output.table([{"a": "[bold]x[/bold]"}], {"a": "A"}, as_json=False)

    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_error_inside_a_task_group_is_still_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A user's error that comes wrapped in groups is shown as itself.
    """

    def fail() -> None:
        inner = ExceptionGroup("inner", [OSError("noise"), UserError("Mend this.")])
        raise ExceptionGroup("outer", [inner])

    assert 2 == guarded(fail)
    assert "Mend this.\n" == capsys.readouterr().err
