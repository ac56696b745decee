"""Leads that are done, called once more: by how their last call ended, counted before it is done.

Only the campaign's own attempt limit begins anew. Who asked not to be called, and numbers that are
invalid or refused, stay done; frequency limits, recalls and registries bind as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.stores.database import rows_changed

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_DONE = """
    SELECT l.id,
           CASE WHEN a.disposition IS NOT NULL AND a.disposition <> 'none'
                    THEN a.disposition::text
                WHEN a.outcome <> 'answered' THEN a.outcome::text
                WHEN a.joined_at IS NOT NULL THEN 'talked'
                WHEN a.verdict IN ('machine', 'fax', 'tone', 'silence', 'no_audio')
                    THEN a.verdict::text
                WHEN a.abandoned THEN 'abandoned'
                ELSE 'hung_up' END AS ending
    FROM campaign_list cl
    JOIN lead l ON l.list_id = cl.list_id AND l.state = 'done'
        AND l.done_reason IN ('attempts_exhausted', 'reached', 'disposition')
    CROSS JOIN LATERAL (
        SELECT a.disposition, a.outcome, a.joined_at, a.verdict, a.abandoned
        FROM attempt a WHERE a.lead_id = l.id ORDER BY a.claimed_at DESC LIMIT 1
    ) a
    WHERE cl.campaign_id = $1 AND cl.active
"""


async def endings(connection: Connection, campaign_id: UUID) -> dict[str, int]:
    """Return how many done leads could be recycled, by how the last call of each ended."""
    rows = await connection.fetch(
        f"SELECT ending, count(*) AS leads FROM ({_DONE}) d"  # noqa: S608 - own text
        " GROUP BY ending ORDER BY count(*) DESC, ending",
        campaign_id,
    )
    return {row["ending"]: row["leads"] for row in rows}


async def recycle(
    connection: Connection, campaign_id: UUID, wanted: Sequence[str], *, now: datetime
) -> int:
    """Open the done leads whose last call ended in one of these ways; return how many.

    Raises `UserError` for an ending that no done lead has.
    """
    async with connection.transaction():
        there = await endings(connection, campaign_id)
        unknown = sorted(set(wanted) - set(there))
        if unknown:
            known = ", ".join(there) or "none has any"
            raise UserError(f"No done lead's last call ended as {unknown[0]!r}: {known}.")
        return rows_changed(
            await connection.execute(
                f"""
                UPDATE lead l
                SET state = 'open', done_reason = NULL, held_by = NULL, next_call_at = $3,
                    attempts_before = 0, recycled_at = $3
                FROM ({_DONE}) d
                WHERE l.id = d.id AND d.ending = ANY($2::text[]) AND l.state = 'done'
                """,  # noqa: S608 - own text
                campaign_id,
                list(wanted),
                now,
            )
        )
