"""Personal callbacks: the agent who promised the call is shown the lead, and then dials it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from campaigns.stores import claims, previews, trunk_room
from campaigns.stores.snapshots import LineRoom, ReadyAgent
from dialer.engine import placement

if TYPE_CHECKING:
    from campaigns.stores.callbacks import DueCallback
    from campaigns.stores.claims import Claimed
    from campaigns.stores.database import Connection
    from campaigns.stores.leases import Lease
    from campaigns.stores.snapshots import View
    from campaigns.stores.trunk_room import DayUse

log = structlog.get_logger(__name__)


async def offer(
    connection: Connection,
    lease: Lease,
    view: View,
    promised: Sequence[DueCallback],
    *,
    today: Mapping[UUID, DayUse],
    now: datetime,
) -> list[Claimed]:
    """Show each of the *promised* calls to its ready agent; the caller's transaction has the lease.

    It passes the same gate in the same transaction as every call.
    """
    shown: list[Claimed] = []
    for due in promised:
        agents = await previews.hold_ready(connection, [ReadyAgent(due.session_id, due.process_id)])
        free = next((line.free for line in view.lines if line.process_id == due.process_id), 0)
        if not agents or not free:
            continue
        rooms = await trunk_room.lock(connection, lease.campaign_id, now=now, today=today)
        line = LineRoom(due.process_id, 1, agents=1, ready=1, in_flight=0)
        batch = await claims.claim(
            connection,
            campaign=view.campaign,
            epoch=lease.epoch,
            now=now,
            count=1,
            slots=placement.slots(1, [line], rooms),
            one_to_one=True,
            promised=[due.lead_id],
        )
        offered = await previews.offer(
            connection,
            batch.claimed,
            agents,
            at=now,
            time_s=view.campaign.settings.preview_time_s,
        )
        used = Counter(claimed.trunk_id for claimed in offered)
        await trunk_room.spend(connection, rooms, used, now=now)
        shown += offered
    if shown:
        log.info("callbacks_shown", campaign=str(lease.campaign_id), calls=len(shown))
    return shown
