"""Do not call: per seller or for everyone, permanent, and effective at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.stores.database import rows_changed

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

EVERYONE = "*"


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """One entry; `seller` '*' suppresses for every seller, `source` says where it came from."""

    seller: str
    number: str
    source: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class RingingCall:
    """A live attempt nobody has answered, to be cancelled by the line process that holds it."""

    attempt_id: UUID
    process_id: UUID
    state: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What adding entries changed: new ones, leads ended, and calls the caller must cancel.

    Send each of `ringing` as a `line_command` of kind cancel (claimed ones too: they are dialed any
    moment), then NOTIFY 'lines'.
    """

    added: int
    leads_done: int
    ringing: tuple[RingingCall, ...]


async def add(
    connection: Connection, numbers: Sequence[str], *, seller: str, source: str
) -> Suppressed:
    """Suppress E.164 *numbers* for *seller* ('*' for every seller), in one transaction.

    Open leads with one of the numbers are done at once; leads in a call are done when it closes.
    """
    if not seller.strip():
        raise UserError(
            "Say for which seller the number must not be called, or '*' for every seller."
        )
    wanted = sorted(set(numbers))
    async with connection.transaction():
        added = await connection.execute(
            """
            INSERT INTO suppression (id, seller, number, source)
            SELECT n.id, $3, n.number, $4
            FROM unnest($1::uuid[], $2::text[]) AS n (id, number)
            ON CONFLICT (seller, number) DO NOTHING
            """,
            [new_id() for _ in wanted],
            wanted,
            seller.strip(),
            source,
        )
        done, ringing = await apply(connection, wanted, seller=seller.strip())
    return Suppressed(int(added.rsplit(" ", 1)[-1]), done, ringing)


OPTED_OUT = "opted out during the announcement"
"""Source of the entry, and the end reason of the call in which the key was pressed (TCPA-3)."""


async def opt_out(connection: Connection, attempt_id: UUID) -> Suppressed | None:
    """Suppress the number of a live attempt for its seller; None if there is no such attempt."""
    row = await connection.fetchrow(
        "SELECT a.dialed_number, c.seller FROM live_attempt a"
        " JOIN campaign c ON c.id = a.campaign_id WHERE a.id = $1",
        attempt_id,
    )
    if row is None:
        return None
    return await add(connection, [row["dialed_number"]], seller=row["seller"], source=OPTED_OUT)


async def apply(
    connection: Connection, numbers: Sequence[str], *, seller: str
) -> tuple[int, tuple[RingingCall, ...]]:
    """End the open leads with these numbers and return the unanswered calls to them."""
    done = rows_changed(
        await connection.execute(
            """
            -- A list may serve campaigns of several sellers: its leads end only when all of them
            -- are suppressed; the gate refuses the others one by one.
            UPDATE lead l SET state = 'done', done_reason = 'suppressed', held_by = 'DNC'
            FROM lead_number n
            WHERE n.number = ANY($1::text[]) AND l.id = n.lead_id AND l.state = 'open'
              AND NOT EXISTS (
                  SELECT FROM campaign_list cl JOIN campaign c ON c.id = cl.campaign_id
                  WHERE cl.list_id = l.list_id AND cl.active AND $2 <> '*' AND c.seller <> $2
              )
              AND ($2 = '*' OR EXISTS (
                  SELECT FROM campaign_list cl JOIN campaign c ON c.id = cl.campaign_id
                  WHERE cl.list_id = l.list_id AND cl.active AND c.seller = $2
              ))
            """,
            list(numbers),
            seller,
        )
    )
    ringing = await connection.fetch(
        """
        SELECT a.id, a.process_id, a.state
        FROM live_attempt a JOIN campaign c ON c.id = a.campaign_id
        -- Whatever number of the person rings: they asked not to be called.
        WHERE (a.dialed_number = ANY($1::text[])
               OR a.lead_id IN (SELECT n.lead_id FROM lead_number n
                                WHERE n.number = ANY($1::text[])))
          AND a.state IN ('claimed', 'dialing', 'ringing')
          AND ($2 = '*' OR c.seller = $2)
        ORDER BY a.claimed_at
        """,
        list(numbers),
        seller,
    )
    return done, tuple(RingingCall(row["id"], row["process_id"], row["state"]) for row in ringing)


async def remove(connection: Connection, number: str, *, seller: str) -> bool:
    """Take a number off the list; leads it has ended stay done. Return whether it was on it."""
    tag = await connection.execute(
        "DELETE FROM suppression WHERE seller = $1 AND number = $2", seller, number
    )
    return rows_changed(tag) > 0


async def entries(
    connection: Connection, *, seller: str | None = None, limit: int = 100
) -> list[SuppressionRow]:
    """Return entries, newest first, of one seller (with those for everyone) or of all."""
    rows = await connection.fetch(
        """
        SELECT seller, number, source, added_at FROM suppression
        WHERE $1::text IS NULL OR seller IN ($1, '*')
        ORDER BY added_at DESC, id DESC
        LIMIT $2
        """,
        seller,
        limit,
    )
    return [
        SuppressionRow(row["seller"], row["number"], row["source"], row["added_at"]) for row in rows
    ]


async def count(connection: Connection) -> int:
    """Return how many entries there are."""
    found = await connection.fetchval("SELECT count(*) FROM suppression")
    return int(found)
