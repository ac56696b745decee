"""Campaign leases: which engine owns a campaign, and since which epoch.

A lease is taken when nobody holds it or the holder let it run out; the epoch then grows by one and
is part of every guarded write, so a holder that was only slow writes nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import LeaseLost
from campaigns.stores import campaigns

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

LEASE_S = 6.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A campaign held by an engine (`holder` is its process) since `epoch`."""

    campaign_id: UUID
    holder: UUID
    epoch: int


async def take_free(
    connection: Connection, holder: UUID, *, lease_s: float = LEASE_S, limit: int = 100
) -> list[Lease]:
    """Take campaigns that need an engine and have none: those at work, and any with live calls."""
    rows = await connection.fetch(
        """
        -- A lease that a crashed engine left behind runs out by the database's own clock.
        WITH free AS (
            SELECT c.id
            FROM campaign c
            WHERE (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
              AND (c.state IN ('running', 'stopping')
                   OR EXISTS (SELECT FROM live_attempt a WHERE a.campaign_id = c.id))
            ORDER BY c.id
            LIMIT $3
            FOR UPDATE OF c SKIP LOCKED
        )
        UPDATE campaign c
        SET lease_holder = $1,
            lease_epoch = c.lease_epoch + 1,
            lease_until = clock_timestamp() + make_interval(secs => $2)
        FROM free
        WHERE c.id = free.id
        RETURNING c.id, c.lease_epoch
        """,
        holder,
        lease_s,
        limit,
    )
    return [Lease(row["id"], holder, row["lease_epoch"]) for row in rows]


async def renew(
    connection: Connection, held: Sequence[Lease], *, lease_s: float = LEASE_S
) -> set[Lease]:
    """Renew *held*; return those still held. The rest belong to somebody else by now."""
    if not held:
        return set()
    rows = await connection.fetch(
        """
        UPDATE campaign c
        SET lease_until = clock_timestamp() + make_interval(secs => $4)
        FROM unnest($1::uuid[], $2::bigint[]) AS h(id, epoch)
        WHERE c.id = h.id AND c.lease_epoch = h.epoch AND c.lease_holder = $3
        RETURNING c.id
        """,
        [lease.campaign_id for lease in held],
        [lease.epoch for lease in held],
        held[0].holder,
        lease_s,
    )
    kept = {row["id"] for row in rows}
    return {lease for lease in held if lease.campaign_id in kept}


async def give_back(connection: Connection, held: Sequence[Lease]) -> None:
    """Let go of *held* at once, so that another engine need not wait for them to run out."""
    await connection.execute(
        """
        UPDATE campaign c
        SET lease_holder = NULL, lease_until = NULL
        FROM unnest($1::uuid[], $2::bigint[]) AS h(id, epoch)
        WHERE c.id = h.id AND c.lease_epoch = h.epoch
        """,
        [lease.campaign_id for lease in held],
        [lease.epoch for lease in held],
    )


async def hold(connection: Connection, lease: Lease) -> CampaignRow:
    """Return the campaign, its lease locked until the transaction ends; raises `LeaseLost`."""
    campaign = await campaigns.lock_held(connection, lease.campaign_id, lease.epoch)
    if campaign is None or campaign.lease_holder != lease.holder:
        raise LeaseLost(
            f"campaign {lease.campaign_id} has another engine: epoch {lease.epoch} is over"
        )
    return campaign
