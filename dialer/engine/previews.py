"""Preview campaigns: every ready agent is shown a lead, and time limits are kept.

The pacer starts no call here: an agent does, or the limit the campaign has set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from campaigns.model import PreviewEnd
from campaigns.stores import claims, previews, trunk_room
from campaigns.stores.claims import ClaimBatch
from campaigns.stores.snapshots import LineRoom
from dialer.engine import placement
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Connection
    from campaigns.stores.leases import Lease
    from campaigns.stores.snapshots import ReadyAgent, View
    from campaigns.stores.trunk_room import DayUse
    from dialer.notify import Notifier

log = structlog.get_logger(__name__)

TIME_LIMIT = "time limit"


async def offer(
    connection: Connection,
    lease: Lease,
    view: View,
    *,
    today: Mapping[UUID, DayUse],
    now: datetime,
) -> ClaimBatch:
    """Claim a lead for each ready agent and show it; the caller's transaction holds the lease."""
    agents = await previews.hold_ready(connection, view.ready) if view.ready else []
    lines = _rooms_of(agents, view)
    if not lines:
        return ClaimBatch([], {})
    rooms = await trunk_room.lock(connection, lease.campaign_id, now=now, today=today)
    count = sum(line.free for line in lines)
    batch = await claims.claim(
        connection,
        campaign=view.campaign,
        epoch=lease.epoch,
        now=now,
        count=count,
        slots=placement.slots(count, lines, rooms),
        one_to_one=True,
    )
    shown = await previews.offer(
        connection,
        batch.claimed,
        agents,
        at=now,
        time_s=view.campaign.settings.preview_time_s,
    )
    used = Counter(claimed.trunk_id for claimed in shown)
    await trunk_room.spend(connection, rooms, used, now=now)
    return replace(batch, claimed=shown)


def _rooms_of(agents: list[ReadyAgent], view: View) -> list[LineRoom]:
    """Return the line processes with the agents to be shown a lead: a call for each, no more."""
    here = Counter(agent.process_id for agent in agents)
    return [
        LineRoom(line.process_id, min(line.free, n), agents=n, ready=n, in_flight=0)
        for line in view.lines
        if (n := here[line.process_id]) and line.free
    ]


async def settle(
    connection: Connection, lease: Lease, view: View, notifier: Notifier, *, now: datetime
) -> None:
    """Decide the previews whose time is up, give back those whose agent has left."""
    left = await previews.give_back_forsaken(connection, lease.campaign_id, at=now)
    if left:
        log.info("previews_returned", campaign=str(lease.campaign_id), calls=left)
    for due in await previews.due(connection, lease.campaign_id, now=now):
        if due.session_id is None:
            continue
        if view.campaign.settings.preview_end is PreviewEnd.DIAL:
            ordered = await previews.order(
                connection, due.session_id, due.attempt_id, at=now, by=TIME_LIMIT
            )
            if ordered is not None:
                notifier.post(Channel.LINES, ordered.process_id)
        else:
            await previews.skip(
                connection, due.session_id, due.attempt_id, at=now, reason=TIME_LIMIT
            )
        notifier.post(Channel.AGENTS, due.session_id)
