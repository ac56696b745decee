"""Points in time as people write them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from campaigns.errors import UserError


def moment(text: str | None, *, now: datetime | None = None) -> datetime | None:
    """Return a point in time written as a date, a local date and time, or an age; None for None."""
    if text is None:
        return None
    now = now or datetime.now(UTC)
    number, unit = text[:-1], text[-1:]
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if unit in units and number.isdigit():
            return now - timedelta(**{units[unit]: int(number)})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError(
            f"{text!r} is no time: write 2026-11-21, 2026-11-21T09:00, 90m, 24h or 7d."
        ) from None
