"""Reading what agents' screens show: one query for all agents somebody is looking at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from campaigns.model import AgentState, Disposition, EndedBy, Outcome, PhoneKind
from dialer.api.screen import AgentView, Call

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

NOTES_SHOWN = 5

# A call belongs on the screen from the moment the agent is held for it: audio comes later.
_VIEWS = """
SELECT clock_timestamp() AS at, a.id AS agent_id, a.name, a.display_name, a.phone_kind,
       ARRAY(SELECT c.name
             FROM agent_campaign ac
             JOIN campaign c ON c.id = ac.campaign_id
             WHERE ac.agent_id = a.id
             ORDER BY ac.priority, c.name) AS campaigns,
       s.id AS session_id, s.state, s.state_since, s.pause_reason, s.pause_requested,
       s.logout_requested, s.wrap_up_until,
       l.id AS attempt_id, c.name AS campaign, c.settings ->> 'script' AS script,
       lead.name AS lead_name, lead.fields, n.number, n.region, n.zones,
       l.answered_at, l.joined_at, l.ended_at, l.outcome, l.ended_by, l.disposition,
       CASE WHEN l.state = 'claimed' AND l.ordered_at IS NULL THEN l.preview_until END
           AS preview_until,
       l.preview_until IS NOT NULL AS is_preview, l.dialing_at,
       ARRAY(SELECT jsonb_build_object('by', w.name, 'written_at', ln.written_at, 'text', ln.body)
             FROM lead_note ln
             JOIN agent w ON w.id = ln.agent_id
             WHERE ln.lead_id = l.lead_id
             ORDER BY ln.written_at DESC
             LIMIT $2) AS notes
FROM agent a
LEFT JOIN agent_session s ON s.agent_id = a.id
LEFT JOIN live_attempt l ON l.id = s.attempt_id
LEFT JOIN campaign c ON c.id = l.campaign_id
LEFT JOIN lead ON lead.id = l.lead_id
LEFT JOIN lead_number n ON n.id = l.lead_number_id
WHERE a.id = ANY($1::uuid[])
"""


async def read_views(pool: Pool, agent_ids: Iterable[UUID]) -> dict[UUID, AgentView]:
    """Return the views of *agent_ids*; an agent removed meanwhile is missing."""
    rows = await pool.fetch(_VIEWS, list(agent_ids), NOTES_SHOWN)
    return {row["agent_id"]: _view(row) for row in rows}


def _view(row: asyncpg.Record) -> AgentView:
    return AgentView(
        at=row["at"],
        agent_id=row["agent_id"],
        name=row["name"],
        display_name=row["display_name"] or row["name"],
        campaigns=tuple(row["campaigns"]),
        phone_kind=PhoneKind(row["phone_kind"]),
        session_id=row["session_id"],
        state=AgentState(row["state"] or AgentState.OFFLINE),
        since=row["state_since"],
        reason=row["pause_reason"],
        pause_requested=row["pause_requested"],
        log_out_requested=bool(row["logout_requested"]),
        wrap_up_until=row["wrap_up_until"],
        call=None if row["attempt_id"] is None else _call(row),
    )


def _call(row: asyncpg.Record) -> Call:
    return Call(
        attempt_id=row["attempt_id"],
        campaign=row["campaign"],
        script=row["script"] or "",
        lead_name=row["lead_name"] or "",
        fields=row["fields"] or {},
        number=row["number"] or "",
        region=row["region"] or "",
        zones=tuple(row["zones"] or ()),
        notes=tuple(row["notes"] or ()),
        is_preview=row["is_preview"],
        preview_until=row["preview_until"],
        dialing_at=row["dialing_at"],
        answered_at=row["answered_at"],
        joined_at=row["joined_at"],
        ended_at=row["ended_at"],
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        ended_by=None if row["ended_by"] is None else EndedBy(row["ended_by"]),
        disposition=None if row["disposition"] is None else Disposition(row["disposition"]),
    )
