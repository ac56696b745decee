"""Every abandonment window of a campaign, recomputed from its attempts (LOG-2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.rules.profiles import WindowKind
from campaigns.stores import ledger

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class Period:
    """One accounting window, past or present, recomputed from the attempts themselves (LOG-2).

    `abandoned_ids` are the calls behind `abandoned`; corrections are in both counts.
    """

    kind: WindowKind
    starts_at: datetime
    ends_at: datetime
    answered_by_person: int
    abandoned: int
    abandoned_ids: tuple[UUID, ...]


_MOST_PERIODS = 1_000


async def periods(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> tuple[Period, ...]:
    """Return every window since the campaign's start, of each kind its law counts over.

    Reads the attempts, not the aggregates: what a regulator would be shown.
    """
    profile = campaign.profile
    if profile is None or campaign.started_at is None:
        return ()
    zone = ledger.home_zone(campaign)
    wanted: list[tuple[WindowKind, datetime, datetime]] = []
    for kind in profile.windows:
        at = campaign.started_at
        while at <= now and len(wanted) < _MOST_PERIODS:
            span = ledger.span_of(
                kind,
                now=now if kind is WindowKind.ROLLING_30D else at,
                started_at=campaign.started_at,
                zone=zone,
            )
            wanted.append((kind, span.starts_at, min(span.ends_at or now, now)))
            if span.ends_at is None:
                break
            at = span.ends_at
    rows = await connection.fetch(
        """
        SELECT w.n, count(a.id) FILTER (WHERE a.person) AS answered,
               count(a.id) FILTER (WHERE a.lost) AS abandoned,
               COALESCE(array_agg(a.id ORDER BY a.answered_at) FILTER (WHERE a.lost), '{}') AS ids
        FROM unnest($2::timestamptz[], $3::timestamptz[])
            WITH ORDINALITY AS w(starts_at, ends_at, n)
        LEFT JOIN LATERAL (
            SELECT a.id, a.answered_at,
                   a.answered_by_person::int + COALESCE(sum(k.answered_by_person), 0) = 1 AS person,
                   a.abandoned::int + COALESCE(sum(k.abandoned), 0) = 1 AS lost
            FROM attempt a LEFT JOIN abandonment_correction k ON k.attempt_id = a.id
            WHERE a.campaign_id = $1 AND a.answered_at >= w.starts_at AND a.answered_at < w.ends_at
              AND a.claimed_at >= w.starts_at - $4::interval
            GROUP BY a.id, a.answered_at, a.answered_by_person, a.abandoned
        ) a ON true
        GROUP BY w.n
        ORDER BY w.n
        """,
        campaign.id,
        [starts_at for _, starts_at, _ in wanted],
        [ends_at for _, _, ends_at in wanted],
        ledger.LONGEST_RING,
    )
    return tuple(
        Period(kind, starts, ends, row["answered"], row["abandoned"], tuple(row["ids"]))
        for (kind, starts, ends), row in zip(wanted, rows, strict=True)
    )
