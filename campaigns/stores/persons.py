"""One person by telephone number: everything held about them, and forgetting it.

What a law obliges to keep is kept and restricted: call records until their retention ends, and the
wish not to be called for ever, as a keyed hash that recognises the number and does not show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.stores.database import rows_changed

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Connection

_LEADS = "SELECT DISTINCT lead_id FROM lead_number WHERE number = $1"

# What there is about a number or the leads that have it; $1 is the number, $2 those leads.
_HELD: Mapping[str, str] = {
    "leads": """
        SELECT l.id, ll.name AS list, ll.source AS file, l.source_line, l.name, l.fields, l.state,
               l.done_reason, l.address_state, l.debt, l.created_at
        FROM lead l JOIN lead_list ll ON ll.id = l.list_id WHERE l.id = ANY($2::uuid[])""",
    "numbers": """
        SELECT lead_id, position, number, region, zones, landline
        FROM lead_number WHERE lead_id = ANY($2::uuid[]) ORDER BY lead_id, position""",
    "notes": """
        SELECT n.lead_id, a.name AS agent, n.body, n.written_at
        FROM lead_note n JOIN agent a ON a.id = n.agent_id
        WHERE n.lead_id = ANY($2::uuid[]) ORDER BY n.written_at""",
    "callbacks": """
        SELECT lead_id, due_at, note, made_at, closed_at, closed_as
        FROM callback WHERE lead_id = ANY($2::uuid[]) ORDER BY made_at""",
    "attempts": """
        SELECT id, lead_id, seller, purpose, telemarketer, dialed_number, caller_id, claimed_at,
               dialing_at, answered_at, joined_at, ended_at, outcome, verdict, disposition,
               abandoned, message_started_at IS NOT NULL AS message_played
        FROM attempt WHERE dialed_number = $1 OR lead_id = ANY($2::uuid[]) ORDER BY claimed_at""",
    "consent": """
        SELECT number, seller, purpose, kind, happened_at, valid_until, source, recorded_by
        FROM consent_event WHERE number = $1 ORDER BY happened_at""",
    "do_not_call": """
        SELECT seller, source, added_at FROM suppression
        WHERE number IN ($1, number_token($1)) ORDER BY added_at""",
    "screenings": """
        SELECT kind, answer, checked_at, source FROM number_screening WHERE number = $1
        ORDER BY checked_at""",
    "registries": "SELECT registry FROM registry_number WHERE number = $1 ORDER BY registry",
}


@dataclass(frozen=True, slots=True)
class Erased:
    """What was forgotten: leads emptied, notes and promised calls removed; records that stay."""

    leads: int
    notes: int
    callbacks: int
    records_kept: int


async def held_about(connection: Connection, number: str) -> dict[str, list[dict[str, Any]]]:
    """Return everything there is about the person with *number* (E.164), by kind."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        leads = [row["lead_id"] for row in await connection.fetch(_LEADS, number)]
        found = {}
        for kind, query in _HELD.items():
            arguments = [number] if "$2" not in query else [number, leads]
            if "$1" not in query:
                query = f"SELECT * FROM ({query}) AS held WHERE $1::text IS NOT NULL"  # noqa: PLW2901, S608 - constant
            found[kind] = [dict(row) for row in await connection.fetch(query, *arguments)]
    return found


async def erase(connection: Connection, number: str, *, reason: str) -> Erased:
    """Forget the person with *number*, for good; raises `UserError` during a call with them.

    Leads stay as empty rows that are done, so every count stays; their numbers become keyed hashes.
    The number goes on every seller's do-not-call list in the same form, so that no file brings the
    person back.
    """
    async with connection.transaction():
        leads: list[UUID] = [row["lead_id"] for row in await connection.fetch(_LEADS, number)]
        busy = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM live_attempt WHERE dialed_number = $1"
            " OR lead_id = ANY($2::uuid[]))",
            number,
            leads,
        )
        if busy:
            raise UserError("There is a call with this person now: erase it when the call is over.")
        others = await connection.fetch(
            "SELECT DISTINCT number FROM lead_number WHERE lead_id = ANY($1::uuid[])", leads
        )
        numbers = sorted({number, *(row["number"] for row in others)})
        notes = rows_changed(
            await connection.execute("DELETE FROM lead_note WHERE lead_id = ANY($1::uuid[])", leads)
        )
        callbacks = rows_changed(
            await connection.execute("DELETE FROM callback WHERE lead_id = ANY($1::uuid[])", leads)
        )
        await connection.execute(
            """
            UPDATE lead SET name = '', fields = '{}', address_state = NULL, debt = NULL,
                            state = 'done', done_reason = coalesce(done_reason, 'suppressed'),
                            held_by = 'DNC'
            WHERE id = ANY($1::uuid[])
            """,
            leads,
        )
        await connection.execute(
            "UPDATE lead_number SET number = number_token(number) WHERE lead_id = ANY($1::uuid[])",
            leads,
        )
        await connection.execute("DELETE FROM import_change WHERE lead_id = ANY($1::uuid[])", leads)
        await _forget_numbers(connection, numbers, reason)
        kept = await connection.fetchval(
            "SELECT count(*) FROM attempt WHERE dialed_number = ANY($1::text[])", numbers
        )
    return Erased(len(leads), notes, callbacks, kept)


async def _forget_numbers(connection: Connection, numbers: list[str], reason: str) -> None:
    """Turn what the do-not-call list knows into keyed hashes, and put the numbers on it."""
    await connection.execute(
        """
        INSERT INTO suppression (id, seller, number, source)
        SELECT gen_random_uuid(), s.seller, number_token(s.number), s.source FROM suppression s
        WHERE s.number = ANY($1::text[]) ON CONFLICT DO NOTHING
        """,
        numbers,
    )
    await connection.execute("DELETE FROM suppression WHERE number = ANY($1::text[])", numbers)
    for number in numbers:
        await connection.execute(
            "INSERT INTO suppression (id, seller, number, source)"
            " VALUES ($1, '*', number_token($2), $3) ON CONFLICT DO NOTHING",
            new_id(),
            number,
            reason,
        )
        # The rejects of imports hold the cells of their rows, whichever way the number is written.
        await connection.execute(
            """
            UPDATE import_reject SET cells = ARRAY['erased']
            WHERE EXISTS (SELECT FROM unnest(cells) AS cell
                          WHERE length($1) > 7 AND regexp_replace(cell, '[^0-9]', '', 'g')
                                LIKE '%' || right(regexp_replace($1, '[^0-9]', '', 'g'), 9))
            """,
            number,
            timeout=600,
        )
