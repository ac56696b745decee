"""What trunks can take now: channels, calls per second, and the daily caps.

Everything is counted from rows. Only the calls-per-second bucket is a value of the trunk's own row,
because all processes share it; it fills with time and holds one second's worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import TrunkKind

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class DayUse:
    """What a trunk has carried since midnight UTC: closed attempts, and whole minutes begun."""

    calls: int = 0
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """One trunk of a campaign now; `in_use` are its channels taken by calls of all campaigns.

    `live_minutes` are the minutes of calls still up, `tokens` what the calls-per-second bucket
    holds.
    """

    trunk_id: UUID
    name: str
    kind: TrunkKind
    regions: frozenset[str] | None
    caller_ids: tuple[str, ...]
    priority: int
    weight: int
    channels: int
    in_use: int
    live_minutes: int
    tokens: float
    calls_per_second: float
    calls_per_day: int
    minutes_per_day: int
    suspended_until: datetime | None
    suspended_reason: str | None
    today: DayUse

    @property
    def free_channels(self) -> int:
        """Return how many more calls may be up at once, daily caps and suspension included."""
        if self.suspended_until is not None or not self.caller_ids:
            return 0
        return max(0, min(self.channels - self.in_use, self.calls_left_today))

    @property
    def calls_left_today(self) -> int:
        """Return how many calls the daily caps still allow."""
        if self.today.minutes + self.live_minutes >= self.minutes_per_day:
            return 0
        return max(0, self.calls_per_day - self.today.calls - self.in_use)

    @property
    def calls_now(self) -> int:
        """Return how many calls may start at this instant."""
        return min(self.free_channels, floor(self.tokens))


_ROOM = """
    -- A bucket never holds more than one second's worth, and at least one call.
    SELECT t.id, t.name, t.kind, t.settings -> 'regions' AS regions, t.priority, t.weight,
           t.channels, t.calls_per_second, t.calls_per_day, t.minutes_per_day, t.suspended_until,
           t.suspended_reason,
           least(greatest(1, t.calls_per_second),
                 t.tokens + greatest(0, extract(epoch FROM $2::timestamptz - t.tokens_at))
                            * t.calls_per_second)::float8 AS tokens,
           ARRAY(SELECT i.number FROM caller_id i WHERE i.trunk_id = t.id ORDER BY i.number)
               AS caller_ids,
           live.in_use, live.minutes
    FROM trunk t
    CROSS JOIN LATERAL (
        SELECT count(*) AS in_use,
               COALESCE(sum(ceil(extract(epoch FROM $2::timestamptz - a.answered_at) / 60.0)), 0)
                   ::bigint AS minutes
        FROM live_attempt a
        WHERE a.trunk_id = t.id AND a.state <> 'ended'
    ) live
"""


async def of_campaign(
    connection: Connection, campaign_id: UUID, *, now: datetime, today: Mapping[UUID, DayUse]
) -> list[Room]:
    """Return the room of a campaign's enabled trunks, in the order they are tried."""
    rows = await connection.fetch(
        f"{_ROOM}"
        " JOIN campaign_trunk ct ON ct.trunk_id = t.id AND ct.campaign_id = $1"
        " WHERE t.enabled ORDER BY t.priority, t.id",
        campaign_id,
        now,
    )
    return [_room(row, now=now, today=today) for row in rows]


async def lock(
    connection: Connection, campaign_id: UUID, *, now: datetime, today: Mapping[UUID, DayUse]
) -> list[Room]:
    """Return the same, with the trunks' rows locked until the transaction ends.

    Whoever starts calls locks first and counts then, so that two engines cannot both take the last
    channel.
    """
    await connection.execute(
        "SELECT FROM trunk t JOIN campaign_trunk ct ON ct.trunk_id = t.id"
        " WHERE ct.campaign_id = $1 AND t.enabled ORDER BY t.id FOR NO KEY UPDATE OF t",
        campaign_id,
    )
    return await of_campaign(connection, campaign_id, now=now, today=today)


async def spend(
    connection: Connection, rooms: Sequence[Room], used: Mapping[UUID, int], *, now: datetime
) -> None:
    """Take the tokens of the calls started from locked *rooms*."""
    spent = [room for room in rooms if used.get(room.trunk_id)]
    if not spent:
        return
    await connection.execute(
        "UPDATE trunk t SET tokens = s.tokens, tokens_at = $3"
        " FROM unnest($1::uuid[], $2::real[]) AS s(id, tokens) WHERE t.id = s.id",
        [room.trunk_id for room in spent],
        [room.tokens - used[room.trunk_id] for room in spent],
        now,
    )


async def day_use(
    connection: Connection, trunk_ids: Sequence[UUID], *, now: datetime
) -> dict[UUID, DayUse]:
    """Count what trunks have carried since midnight UTC; reads a day of attempts, so not per tick.

    A minute begun is a minute, as carriers bill.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await connection.fetch(
        """
        SELECT a.trunk_id, count(*) FILTER (WHERE a.dialing_at >= $2) AS calls,
               COALESCE(sum(ceil(extract(epoch FROM a.ended_at - greatest(a.answered_at, $2))
                                 / 60.0)) FILTER (WHERE a.answered_at IS NOT NULL), 0)::bigint
                   AS minutes
        FROM attempt a
        WHERE a.trunk_id = ANY($1::uuid[]) AND a.ended_at >= $2
          AND a.claimed_at >= $2::timestamptz - interval '1 day'
        GROUP BY a.trunk_id
        """,
        list(trunk_ids),
        midnight,
    )
    counted = {row["trunk_id"]: DayUse(row["calls"], row["minutes"]) for row in rows}
    return {trunk_id: counted.get(trunk_id, DayUse()) for trunk_id in trunk_ids}


def _room(row: Any, *, now: datetime, today: Mapping[UUID, DayUse]) -> Room:
    suspended = row["suspended_until"]
    is_suspended = suspended is not None and suspended > now
    return Room(
        trunk_id=row["id"],
        name=row["name"],
        kind=TrunkKind(row["kind"]),
        regions=None if row["regions"] is None else frozenset(row["regions"]),
        caller_ids=tuple(row["caller_ids"]),
        priority=row["priority"],
        weight=row["weight"],
        channels=row["channels"],
        in_use=row["in_use"],
        live_minutes=row["minutes"],
        tokens=row["tokens"],
        calls_per_second=row["calls_per_second"],
        calls_per_day=row["calls_per_day"],
        minutes_per_day=row["minutes_per_day"],
        suspended_until=suspended if is_suspended else None,
        suspended_reason=row["suspended_reason"] if is_suspended else None,
        today=today.get(row["id"], DayUse()),
    )
