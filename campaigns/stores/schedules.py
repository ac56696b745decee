"""When a campaign itself works: hours on its own clock, days off, a last day; kept in one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from campaigns.errors import UserError
from campaigns.rules.calling_hours import parse_hours
from campaigns.rules.zones import is_zone
from campaigns.stores import campaigns

if TYPE_CHECKING:
    from campaigns.rules.facts import Schedule
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule as people write it: days to spans, `{"mon_fri": ["09:00-12:00", "13:00-17:00"]}`.

    Gaps between spans are breaks; `closed` are days off; `ends_on` is the last day of the campaign.
    """

    zone: str
    hours: Mapping[str, Sequence[str]]
    closed: tuple[date, ...] = ()
    ends_on: date | None = None


async def put(connection: Connection, campaign: str, new: NewSchedule) -> None:
    """Give a campaign a schedule, in place of the one it has; raises `UserError`."""
    row = await campaigns.get(connection, campaign)
    if not is_zone(new.zone):
        raise UserError(f"{new.zone!r} is no time zone: write it like Europe/Berlin.")
    try:
        hours = parse_hours(new.hours)
    except ValueError as error:
        raise UserError(f"Schedule hours: {error}.") from None
    if not any(hours.days):
        raise UserError("A schedule needs hours on one day at least: --hours mon_fri=09:00-17:00.")
    await connection.execute(
        "INSERT INTO campaign_schedule (campaign_id, zone, hours, closed, ends_on)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (campaign_id) DO UPDATE"
        " SET zone = $2, hours = $3, closed = $4, ends_on = $5, changed_at = clock_timestamp()",
        row.id,
        new.zone,
        {name: list(spans) for name, spans in new.hours.items()},
        sorted(set(new.closed)),
        new.ends_on,
    )


async def clear(connection: Connection, campaign: str) -> bool:
    """Take the schedule away: the campaign works whenever it runs. Return whether it had one."""
    row = await campaigns.get(connection, campaign)
    tag = await connection.execute("DELETE FROM campaign_schedule WHERE campaign_id = $1", row.id)
    return tag == "DELETE 1"


async def get(connection: Connection, campaign: str) -> NewSchedule | None:
    """Return a campaign's schedule as it was written, None if it has none."""
    row = await campaigns.get(connection, campaign)
    found = await connection.fetchrow(
        "SELECT zone, hours, closed, ends_on FROM campaign_schedule WHERE campaign_id = $1", row.id
    )
    if found is None:
        return None
    return NewSchedule(found["zone"], found["hours"], tuple(found["closed"]), found["ends_on"])


def is_over(schedule: Schedule | None, now: datetime) -> bool:
    """Say whether the campaign's last day has passed where it works."""
    if schedule is None or schedule.ends_on is None:
        return False
    return now.astimezone(ZoneInfo(schedule.zone)).date() > schedule.ends_on


async def stop_after_last_day(connection: Connection, campaign_id: UUID, epoch: int) -> bool:
    """Move a running campaign whose last day has passed to stopping; guarded by its lease."""
    tag = await connection.execute(
        "UPDATE campaign SET state = 'stopping'"
        " WHERE id = $1 AND lease_epoch = $2 AND state = 'running'",
        campaign_id,
        epoch,
    )
    return tag == "UPDATE 1"
