"""What can be taken out as files: leads, attempts, dispositions, events, the ledger, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaigns.csv_export import CsvFile

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from campaigns.stores.database import Connection

_BATCH = 2000
_LONG_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Export:
    """A file that can be written: its query and what the query's parameters are called."""

    query: str
    parameters: tuple[str, ...]


_PERIOD = ("campaign_id", "since", "until")

EXPORTS: Mapping[str, Export] = {
    "leads": Export(
        """
        SELECT l.id, ll.name AS list, l.name, n.number, n.region,
               ARRAY(SELECT m.number FROM lead_number m WHERE m.lead_id = l.id
                     AND m.position <> 0 ORDER BY m.position) AS further_numbers,
               n.zones, l.address_state, l.debt, l.priority, l.state, l.done_reason, l.held_by,
               nullif(l.next_call_at, '-infinity') AS next_call_at,
               (SELECT count(*) FROM attempt a WHERE a.lead_id = l.id AND a.charged)
                   + l.attempts_before AS attempts,
               last.outcome AS last_outcome, last.disposition AS last_disposition,
               last.claimed_at AS last_call_at, l.fields, l.source_line, l.created_at
        FROM campaign_list cl
        JOIN lead_list ll ON ll.id = cl.list_id
        JOIN lead l ON l.list_id = ll.id
        LEFT JOIN lead_number n ON n.lead_id = l.id AND n.position = 0
        LEFT JOIN LATERAL (SELECT a.outcome, a.disposition, a.claimed_at FROM attempt a
                           WHERE a.lead_id = l.id ORDER BY a.claimed_at DESC LIMIT 1) last ON true
        WHERE cl.campaign_id = $1 AND ($2::text IS NULL OR ll.name = $2)
        ORDER BY cl.priority, ll.id, l.source_line, l.id
        """,
        ("campaign_id", "list"),
    ),
    "attempts": Export(
        """
        SELECT a.id, a.lead_id, a.telemarketer, a.seller, a.purpose, a.called_party,
               'outbound' AS direction, a.message_started_at IS NOT NULL AS message_played,
               a.caller_id AS calling_number, a.dialed_number AS called_number,
               coalesce(a.dialing_at, a.claimed_at) AS called_at,
               coalesce(extract(epoch FROM a.ended_at - a.answered_at)::integer, 0) AS duration_s,
               a.script_sha256, a.announcement_sha256, a.caller_name, a.caller_authorisation,
               a.caller_authorised_until, a.outcome, a.joined_at IS NOT NULL AS connected,
               a.abandoned AS dropped, a.disposition, g.name AS agent, t.name AS trunk, a.region,
               a.mode, a.verdict, a.verdict_confidence, a.ended_by, a.sip_code, a.q850_cause,
               a.end_reason, a.claimed_at, a.dialing_at, a.ringing_at, a.answered_at,
               a.greeting_ended_at, a.verdict_at, a.reserved_at, a.joined_at, a.message_started_at,
               a.message_ended_at, a.ended_at, a.closed_at, a.charged, a.answered_by_person,
               a.abandoned
        FROM attempt a
        LEFT JOIN agent g ON g.id = a.agent_id
        LEFT JOIN trunk t ON t.id = a.trunk_id
        WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3
        ORDER BY a.claimed_at, a.id
        """,
        _PERIOD,
    ),
    "dispositions": Export(
        """
        SELECT a.id AS attempt_id, a.lead_id, l.name, a.dialed_number AS number, g.name AS agent,
               a.disposition, a.joined_at, a.ended_at, a.closed_at,
               (SELECT string_agg(n.body, E'\\n' ORDER BY n.written_at) FROM lead_note n
                WHERE n.attempt_id = a.id) AS notes
        FROM attempt a
        LEFT JOIN lead l ON l.id = a.lead_id
        LEFT JOIN agent g ON g.id = a.agent_id
        WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3
          AND a.disposition IS NOT NULL
        ORDER BY a.claimed_at, a.id
        """,
        _PERIOD,
    ),
    "events": Export(
        """
        SELECT e.attempt_id, e.kind, e.happened_at, e.recorded_at, e.process_id, e.detail
        FROM attempt a
        JOIN call_event e ON e.attempt_id = a.id
        WHERE a.campaign_id = $1 AND a.claimed_at >= $2 AND a.claimed_at < $3
        ORDER BY e.happened_at, e.id
        """,
        _PERIOD,
    ),
    "ledger": Export(
        """
        SELECT hour, origin, answered_by_person, abandoned FROM abandonment_hour
        WHERE campaign_id = $1 AND hour >= $2 AND hour < $3 ORDER BY hour, origin
        """,
        _PERIOD,
    ),
    "waivers": Export(
        """
        SELECT rule, kind, signed_by, reason, until, signed_at FROM waiver_event
        WHERE campaign_id = $1 ORDER BY signed_at
        """,
        ("campaign_id",),
    ),
    "registries": Export(
        """
        SELECT registry, version_at, loaded_at, loaded_by, account, file, sha256, numbers
        FROM registry_version ORDER BY loaded_at
        """,
        (),
    ),
    "seals": Export(
        "SELECT day, attempts, events, previous, digest, sealed_at FROM record_seal ORDER BY day",
        (),
    ),
    "imports": Export(
        """
        SELECT id, file, sha256, state, started_at, finished_at, report FROM lead_import
        WHERE campaign_id = $1 ORDER BY started_at
        """,
        ("campaign_id",),
    ),
}


async def write(
    connection: Connection, name: str, out: SupportsWrite[str], **parameters: Any
) -> int:
    """Write one export as CSV to *out*, a row at a time; return how many rows it has.

    Needs a transaction, and the parameters its entry in `EXPORTS` names.
    """
    export = EXPORTS[name]
    statement = await connection.prepare(export.query, timeout=_LONG_S)
    file = CsvFile(out, [column.name for column in statement.get_attributes()])
    arguments = [parameters[key] for key in export.parameters]
    async for row in statement.cursor(*arguments, prefetch=_BATCH, timeout=_LONG_S):
        file.add(tuple(row))
    return file.rows
