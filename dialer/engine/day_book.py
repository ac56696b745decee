"""What trunks have carried today, counted from the records but not at every tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.stores import trunk_room
from campaigns.stores.trunk_room import DayUse

if TYPE_CHECKING:
    from campaigns.stores.database import Connection
    from dialer.clock import Timekeeper

GOOD_FOR_S = 5.0


@dataclass(frozen=True, slots=True)
class _Page:
    counted_at: float
    is_near_cap: bool
    use: Mapping[UUID, DayUse]


class DayBook:
    """Keeps the count of each campaign's trunks for a few seconds, and anew when a cap is near.

    Far from the cap a count that is some seconds old cannot let a trunk pass it: its calls per
    second bound what may have happened since, whoever started the calls.
    """

    def __init__(self, clock: Timekeeper) -> None:
        self._clock = clock
        self._pages: dict[UUID, _Page] = {}

    async def today(
        self, connection: Connection, campaign_id: UUID, *, now: datetime
    ) -> Mapping[UUID, DayUse]:
        """Return the day's use of the campaign's trunks."""
        page = self._pages.get(campaign_id)
        if page is not None and not page.is_near_cap:
            age_s = self._clock.monotonic() - page.counted_at
            if age_s < GOOD_FOR_S:
                return page.use
        trunks = await connection.fetch(
            "SELECT t.id FROM campaign_trunk ct JOIN trunk t ON t.id = ct.trunk_id"
            " WHERE ct.campaign_id = $1 AND t.enabled",
            campaign_id,
        )
        use = await trunk_room.day_use(connection, [row["id"] for row in trunks], now=now)
        rooms = await trunk_room.of_campaign(connection, campaign_id, now=now, today=use)
        self._pages[campaign_id] = _Page(
            counted_at=self._clock.monotonic(),
            is_near_cap=any(_is_near(room) for room in rooms),
            use=use,
        )
        return use


def _is_near(room: trunk_room.Room) -> bool:
    """Say whether the caps could be reached before the next count."""
    calls = 2 * (room.calls_per_second * GOOD_FOR_S + 1) + room.channels
    minutes = room.minutes_per_day - room.today.minutes - room.live_minutes
    return (
        room.calls_per_day - room.today.calls - room.in_use < calls or minutes < 2 * room.channels
    )
