"""The ways to write the moment `campaign explain` is asked about."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from campaigns.errors import UserError
from dialer.cli.explain import moment_in

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)  # 16:00 in Berlin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, NOW),
        ("10:03:12", datetime(2026, 3, 4, 9, 3, 12, tzinfo=UTC)),
        ("10:03", datetime(2026, 3, 4, 9, 3, tzinfo=UTC)),
        ("16:30", datetime(2026, 3, 3, 15, 30, tzinfo=UTC)),  # not yet today: yesterday's
        ("2026-03-01T10:03:12", datetime(2026, 3, 1, 9, 3, 12, tzinfo=UTC)),
        ("2026-03-01T10:03:12Z", datetime(2026, 3, 1, 10, 3, 12, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 2, 28, 23, 0, tzinfo=UTC)),
        ("90m", datetime(2026, 3, 4, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str | None, expected: datetime) -> None:
    """
    A time of day is the last one that has passed in the zone; other times are what they say.
    """
    assert expected == moment_in(text, BERLIN, now=NOW)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "10:03:12+01:00", "2026-13-01"])
def test_no_moment(text: str) -> None:
    """
    What is no time is refused with the ways to write one.
    """
    with pytest.raises(UserError, match="write"):
        moment_in(text, BERLIN, now=NOW)
