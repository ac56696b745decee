"""Leads and lists: counts, what a closed attempt leaves behind, and freeing what settings held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import Disposition, DoneReason, EndedBy, Outcome, Verdict, new_id
from campaigns.rules.retry import CallAgain, Ending, LeadPast, NeverAgain, key_of
from campaigns.stores.database import rows_changed

if TYPE_CHECKING:
    from asyncpg import Record

    from campaigns.stores.database import Connection

# Endings that show a number to be dead for this lead.
_DEAD = frozenset({Outcome.INVALID_NUMBER, Outcome.REFUSED})


@dataclass(frozen=True, slots=True)
class ListRow:
    """A list of leads with the counts of its import.

    `priority` and `active` are its place in a campaign, None where all lists are asked for.
    """

    id: UUID
    name: str
    created_at: datetime
    source: str
    report: Mapping[str, Any]
    leads: int
    priority: int | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class LeadCounts:
    """Where the leads of a campaign stand.

    `held` counts leads that a rule of the gate keeps for now, by rule id; `next_due_at` is the
    earliest moment at which a waiting or held lead is looked at again.
    """

    callable_now: int
    waiting: int
    held: Mapping[str, int]
    in_call: int
    done: Mapping[str, int]
    next_due_at: datetime | None

    @property
    def total(self) -> int:
        """Return how many leads there are."""
        return (
            self.callable_now
            + self.waiting
            + sum(self.held.values())
            + self.in_call
            + sum(self.done.values())
        )


async def create_list(
    connection: Connection, *, name: str, source: str = "", sha256: str | None = None
) -> UUID:
    """Create an empty list and return its id."""
    list_id = new_id()
    await connection.execute(
        "INSERT INTO lead_list (id, name, source, source_sha256) VALUES ($1, $2, $3, $4)",
        list_id,
        name,
        source,
        sha256,
    )
    return list_id


async def lists(connection: Connection, campaign_id: UUID | None = None) -> list[ListRow]:
    """Return the lists of a campaign in calling order, or all lists, newest first."""
    rows = await connection.fetch(
        """
        SELECT l.id, l.name, l.created_at, l.source, l.report,
               (SELECT count(*) FROM lead WHERE lead.list_id = l.id) AS leads,
               cl.priority, cl.active
        FROM lead_list l
        LEFT JOIN campaign_list cl ON cl.list_id = l.id AND cl.campaign_id = $1
        WHERE ($1::uuid IS NULL OR cl.campaign_id IS NOT NULL)
          -- Lists of unfinished imports are nobody's yet.
          AND NOT EXISTS (SELECT FROM lead_import i WHERE i.list_id = l.id AND i.state = 'reading')
        ORDER BY cl.priority, l.created_at DESC, l.id
        """,
        campaign_id,
    )
    return [
        ListRow(
            row["id"],
            row["name"],
            row["created_at"],
            row["source"],
            row["report"],
            row["leads"],
            row["priority"],
            row["active"],
        )
        for row in rows
    ]


async def delete_list(connection: Connection, list_id: UUID) -> int:
    """Remove a list nobody has called yet; return how many leads went with it.

    Raises `UserError` if any of its leads was called: a record of a call must keep its lead.
    """
    called = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM lead l JOIN attempt a ON a.lead_id = l.id WHERE l.list_id = $1)
            OR EXISTS (SELECT FROM lead l JOIN live_attempt a ON a.lead_id = l.id
                       WHERE l.list_id = $1)
        """,
        list_id,
    )
    if called:
        raise UserError(
            "Leads of this list have been called: take it from its campaigns instead "
            "(`dialer campaign unassign-list`)."
        )
    async with connection.transaction():
        removed = rows_changed(
            await connection.execute("DELETE FROM lead WHERE list_id = $1", list_id)
        )
        await connection.execute("DELETE FROM lead_list WHERE id = $1", list_id)
    return removed


async def release_held(connection: Connection, campaign_id: UUID) -> int:
    """Free the leads that only a rule of the gate held, so that changed settings are tried at once.

    Their retry wait was over when the rule held them, and the gate judges them anew.
    """
    return rows_changed(
        await connection.execute(
            """
            UPDATE lead l SET next_call_at = '-infinity', held_by = NULL
            FROM campaign_list cl
            WHERE cl.campaign_id = $1 AND l.list_id = cl.list_id
              AND l.state = 'open' AND l.held_by IS NOT NULL
            """,
            campaign_id,
        )
    )


# After a call -----------------------------------------------------------------------------------


async def pasts(
    connection: Connection, dialed: Mapping[UUID, UUID], *, before: Sequence[UUID] = ()
) -> dict[UUID, LeadPast]:
    """Return what came before for each lead, for `campaigns.rules.retry.after`.

    *dialed* maps the lead to the `lead_number` just dialed; *before* names attempts not to count,
    the ones being closed, should they be in `attempt` already.
    """
    ids = list(dialed)
    numbers: dict[UUID, dict[UUID, int]] = {}
    for row in await connection.fetch(
        "SELECT lead_id, id, position FROM lead_number WHERE lead_id = ANY($1::uuid[])", ids
    ):
        numbers.setdefault(row["lead_id"], {})[row["id"]] = row["position"]
    charged = Counter[UUID]()
    endings: dict[UUID, Counter[str]] = {}
    dead: dict[UUID, set[int]] = {}
    for row in await connection.fetch(
        "SELECT id, attempts_before FROM lead WHERE id = ANY($1::uuid[])", ids
    ):
        charged[row["id"]] = row["attempts_before"]
    for row in await connection.fetch(
        """
        SELECT a.lead_id, a.lead_number_id, a.outcome, a.verdict, a.disposition, a.ended_by,
               a.joined_at IS NOT NULL AS joined,
               a.charged AND a.claimed_at >= COALESCE(l.recycled_at, '-infinity') AS charged
        FROM attempt a LEFT JOIN lead l ON l.id = a.lead_id
        WHERE a.lead_id = ANY($1::uuid[]) AND a.id <> ALL($2::uuid[])
        """,
        ids,
        list(before),
    ):
        lead_id = row["lead_id"]
        charged[lead_id] += int(row["charged"])
        ending = ending_from(row)
        key = key_of(ending)
        if key is not None:
            endings.setdefault(lead_id, Counter())[key] += 1
        position = numbers.get(lead_id, {}).get(row["lead_number_id"])
        if position is not None and _is_dead(ending):
            dead.setdefault(lead_id, set()).add(position)
    return {
        lead_id: _past(
            numbers.get(lead_id, {}).get(number_id),
            sorted(numbers.get(lead_id, {}).values()),
            dead.get(lead_id, set()),
            charged=charged[lead_id],
            endings=endings.get(lead_id, Counter()),
        )
        for lead_id, number_id in dialed.items()
    }


def _past(
    position: int | None,
    positions: Sequence[int],
    dead: set[int],
    *,
    charged: int,
    endings: Mapping[str, int],
) -> LeadPast:
    current = position if position is not None else min(positions, default=0)
    usable = tuple(at for at in positions if at == current or at not in dead)
    return LeadPast(charged, endings, current, usable)


def ending_from(row: Mapping[str, Any] | Record) -> Ending:
    """Return an attempt's row (outcome, verdict, disposition, joined, ended_by) as an ending."""
    return Ending(
        outcome=Outcome(row["outcome"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        disposition=None if row["disposition"] is None else Disposition(row["disposition"]),
        joined=row["joined"],
        ended_by=None if row["ended_by"] is None else EndedBy(row["ended_by"]),
    )


def _is_dead(ending: Ending) -> bool:
    return ending.outcome in _DEAD or ending.disposition is Disposition.WRONG_NUMBER


async def settle(
    connection: Connection, results: Mapping[UUID, CallAgain | NeverAgain]
) -> list[UUID]:
    """Write what becomes of each lead after its call; return the leads that moved.

    Only leads in a call move: one that suppression ended meanwhile stays as it is.
    """
    again = {lead: result for lead, result in results.items() if isinstance(result, CallAgain)}
    never = {lead: result for lead, result in results.items() if isinstance(result, NeverAgain)}
    moved = []
    if again:
        moved += await connection.fetch(
            """
            UPDATE lead l
            SET state = 'open', next_call_at = r.at, next_position = r.position, held_by = NULL
            FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[]) AS r (id, at, position)
            WHERE l.id = r.id AND l.state = 'in_call'
            RETURNING l.id
            """,
            list(again),
            [result.at for result in again.values()],
            [result.position for result in again.values()],
        )
    if never:
        moved += await connection.fetch(
            """
            UPDATE lead l SET state = 'done', done_reason = r.reason::done_reason, held_by = NULL
            FROM unnest($1::uuid[], $2::text[]) AS r (id, reason)
            WHERE l.id = r.id AND l.state = 'in_call'
            RETURNING l.id
            """,
            list(never),
            [str(result.reason) for result in never.values()],
        )
    return [row["id"] for row in moved]


async def return_untouched(connection: Connection, lead_ids: Sequence[UUID]) -> int:
    """Put leads whose claimed call was never dialed back on the list as they were."""
    return rows_changed(
        await connection.execute(
            "UPDATE lead SET state = 'open' WHERE id = ANY($1::uuid[]) AND state = 'in_call'",
            list(lead_ids),
        )
    )


# Counts -----------------------------------------------------------------------------------------


async def callable_count(
    connection: Connection, campaign_id: UUID, *, now: datetime, cap: int = 1000
) -> int:
    """Return how many leads are due, at most *cap*: enough for a pacer, cheap on any list."""
    found = await connection.fetchval(
        """
        -- Walks the same bands of the same index as the claim does.
        WITH RECURSIVE band AS (
            SELECT cl.list_id,
                   (SELECT max(l.priority) FROM lead l
                    WHERE l.list_id = cl.list_id AND l.state = 'open') AS priority
            FROM campaign_list cl
            WHERE cl.campaign_id = $1 AND cl.active
            UNION ALL
            SELECT b.list_id,
                   (SELECT max(l.priority) FROM lead l
                    WHERE l.list_id = b.list_id AND l.state = 'open' AND l.priority < b.priority)
            FROM band b
            WHERE b.priority IS NOT NULL
        )
        SELECT count(*)
        FROM (
            SELECT FROM band b
            CROSS JOIN LATERAL (
                SELECT FROM lead l
                WHERE l.list_id = b.list_id AND l.state = 'open' AND l.priority = b.priority
                  AND l.next_call_at <= $2
                LIMIT $3
            ) due
            WHERE b.priority IS NOT NULL
            LIMIT $3
        ) few
        """,
        campaign_id,
        now,
        cap,
    )
    return int(found)


async def lead_counts(connection: Connection, campaign_id: UUID, *, now: datetime) -> LeadCounts:
    """Count every lead of the campaign's active lists; reads them all, so not for every tick."""
    callable_now = waiting = in_call = 0
    held = Counter[str]()
    done = {str(reason): 0 for reason in DoneReason}
    next_due: list[datetime] = []
    for row in await connection.fetch(
        """
        SELECT l.state, l.done_reason, l.next_call_at <= $2 AS due, l.held_by,
               count(*) AS leads, min(l.next_call_at) AS next_call_at
        FROM campaign_list cl
        JOIN lead l ON l.list_id = cl.list_id
        WHERE cl.campaign_id = $1 AND cl.active
        GROUP BY 1, 2, 3, 4
        """,
        campaign_id,
        now,
    ):
        if row["state"] == "done":
            done[row["done_reason"]] += row["leads"]
        elif row["state"] == "in_call":
            in_call += row["leads"]
        elif row["due"]:
            callable_now += row["leads"]
        else:
            next_due.append(row["next_call_at"])
            if row["held_by"] is None:
                waiting += row["leads"]
            else:
                held[row["held_by"]] += row["leads"]
    return LeadCounts(
        callable_now=callable_now,
        waiting=waiting,
        held=dict(held),
        in_call=in_call,
        done={reason: leads for reason, leads in done.items() if leads},
        next_due_at=min(next_due, default=None),
    )
