"""Preview: a claimed call is shown to one agent, who dials it or skips it.

It is no state of its own: the attempt stands as claimed, its agent as reserved, and the call leaves
once `ordered_at` is set, by the agent or by the time limit. An undecided preview that has lost its
agent goes back to its list as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.lifecycle import CallEventKind
from campaigns.model import Deny, LeadState, new_id
from campaigns.rules import gate
from campaigns.rules.gate import Rule
from campaigns.stores import campaigns, gate_facts, withdrawals
from campaigns.stores.gate_facts import LeadHead
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.claims import Claimed
    from campaigns.stores.database import Connection
    from campaigns.stores.snapshots import ReadyAgent

_UNDECIDED = "a.state = 'claimed' AND a.preview_until IS NOT NULL AND a.ordered_at IS NULL"


@dataclass(frozen=True, slots=True)
class Ordered:
    """A preview somebody has decided to dial; `refused` names the gate's rules that forbade it.

    A refused one is back on its list, and its agent is free.
    """

    process_id: UUID
    refused: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A preview the engine must look after: its time is up, or it has no agent any more."""

    attempt_id: UUID
    session_id: UUID | None


async def hold_ready(connection: Connection, agents: Sequence[ReadyAgent]) -> list[ReadyAgent]:
    """Lock those of *agents* who are still ready where they were; nobody is waited for."""
    rows = await connection.fetch(
        "SELECT s.id, s.process_id FROM agent_session s"
        " WHERE s.id = ANY($1::uuid[]) AND s.state = 'ready'"
        " ORDER BY s.id FOR UPDATE SKIP LOCKED",
        [agent.session_id for agent in agents],
    )
    there = {(row["id"], row["process_id"]) for row in rows}
    return [agent for agent in agents if (agent.session_id, agent.process_id) in there]


async def offer(
    connection: Connection,
    claimed: Sequence[Claimed],
    agents: Sequence[ReadyAgent],
    *,
    at: datetime,
    time_s: float,
) -> list[Claimed]:
    """Show each claim to an agent on its line process, the longest idle first; return those shown.

    *agents* are held (`hold_ready`) by the transaction that has claimed. A claim without an agent
    left on its process goes back at once.
    """
    waiting = list(agents)
    pairs: list[tuple[Claimed, ReadyAgent]] = []
    for claim in claimed:
        agent = next((one for one in waiting if one.process_id == claim.process_id), None)
        if agent is not None:
            waiting.remove(agent)
            pairs.append((claim, agent))
    await _reserve(connection, pairs, at=at, until=at + timedelta(seconds=time_s))
    shown = [claim for claim, _ in pairs]
    spare = [claim.attempt_id for claim in claimed if claim not in shown]
    if spare:
        await withdrawals.return_claimed(
            connection, at=at, reason="no agent to show it to", attempt_ids=spare
        )
    return shown


async def _reserve(
    connection: Connection,
    pairs: Sequence[tuple[Claimed, ReadyAgent]],
    *,
    at: datetime,
    until: datetime,
) -> None:
    if not pairs:
        return
    await connection.execute(
        """
        -- The agents are locked and ready, the attempts this transaction's own.
        WITH pair AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[])
                 AS p(id, session_id, call_event_id, agent_event_id)
        ), held AS (
            UPDATE agent_session s
            SET state = 'reserved', state_since = $5, attempt_id = p.id
            FROM pair p
            WHERE s.id = p.session_id
            RETURNING s.id, s.agent_id, p.id AS attempt_id, p.call_event_id, p.agent_event_id
        ), moved AS (
            UPDATE live_attempt a
            SET reservation = 'reserved', agent_session_id = h.id, agent_id = h.agent_id,
                reserved_at = $5, preview_until = $6
            FROM held h
            WHERE a.id = h.attempt_id
            RETURNING a.id, a.process_id, h.agent_id, h.call_event_id
        ), told_agents AS (
            INSERT INTO agent_event (id, agent_id, session_id, state, attempt_id, happened_at)
            SELECT h.agent_event_id, h.agent_id, h.id, 'reserved', h.attempt_id, $5 FROM held h
        )
        INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
        SELECT m.call_event_id, m.id, 'reserved', $5, m.process_id,
               jsonb_build_object('agent_id', m.agent_id, 'preview', true)
        FROM moved m
        """,
        [claim.attempt_id for claim, _ in pairs],
        [agent.session_id for _, agent in pairs],
        [new_id() for _ in pairs],
        [new_id() for _ in pairs],
        at,
        until,
    )


async def order(
    connection: Connection, session_id: UUID, attempt_id: UUID, *, at: datetime, by: str
) -> Ordered | None:
    """Have the line process dial a preview, if the gate still allows it; None if it is decided.

    Between the claim and this moment hours may have closed and people may have asked not to be
    called, so the gate judges again, in the transaction that lets the call go.
    """
    async with connection.transaction():
        call = await _undecided(connection, session_id, attempt_id)
        if call is None:
            return None
        campaign = await campaigns.by_id(connection, call["campaign_id"])
        if campaign is None:
            return None
        refused = await _judge(connection, campaign, call, now=at)
        if refused:
            await withdrawals.return_claimed(
                connection,
                at=at,
                reason=f"refused: {', '.join(refused)}",
                attempt_ids=[attempt_id],
            )
            return Ordered(call["process_id"], refused)
        await connection.execute(
            "WITH ordered AS (UPDATE live_attempt SET ordered_at = $2 WHERE id = $1"
            "                 RETURNING id, process_id)"
            " INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)"
            " SELECT $3, o.id, $4, $2, o.process_id, $5 FROM ordered o",
            attempt_id,
            at,
            new_id(),
            CallEventKind.ORDERED,
            {"by": by},
        )
        return Ordered(call["process_id"])


async def skip(
    connection: Connection, session_id: UUID, attempt_id: UUID, *, at: datetime, reason: str
) -> bool:
    """Give a preview back undialed; False if it is decided already.

    The lead is charged nothing and comes again after the campaign's `preview_skip_delay_s`, behind
    those that wait, so that nobody is shown what was skipped a moment ago. The agent is free.
    """
    async with connection.transaction():
        call = await _undecided(connection, session_id, attempt_id)
        if call is None:
            return False
        campaign = await campaigns.by_id(connection, call["campaign_id"])
        delay_s = 0.0 if campaign is None else campaign.settings.preview_skip_delay_s
        returned = await withdrawals.return_claimed(
            connection,
            at=at,
            reason=f"skipped: {reason}",
            attempt_ids=[attempt_id],
            next_call_at=at + timedelta(seconds=delay_s),
        )
        return returned == 1


async def _undecided(connection: Connection, session_id: UUID, attempt_id: UUID) -> Any:
    return await connection.fetchrow(
        "SELECT a.id, a.campaign_id, a.process_id, a.lead_id, a.lead_number_id"  # noqa: S608
        f" FROM live_attempt a WHERE a.id = $1 AND a.agent_session_id = $2 AND {_UNDECIDED}"
        " FOR UPDATE",
        attempt_id,
        session_id,
    )


async def _judge(
    connection: Connection, campaign: CampaignRow, call: Any, *, now: datetime
) -> tuple[Rule, ...]:
    """Return the rules that forbid the call now; that it is a call already is none."""
    row = await connection.fetchrow(
        "SELECT next_position, attempts_before FROM lead WHERE id = $1", call["lead_id"]
    )
    if row is None:
        return (Rule.LEAD_STATE,)
    head = LeadHead(
        call["lead_id"], LeadState.OPEN, None, row["next_position"], row["attempts_before"]
    )
    trunks = await gate_facts.trunks_of(connection, campaign.id, now=now)
    of_campaign = replace(
        await gate_facts.of_campaign(connection, campaign, now=now, one_to_one=True),
        # Whatever the campaign's mode, an agent has seen this lead and is on the line.
        mode=Mode.PREVIEW,
    )
    pictures = await gate_facts.load(connection, campaign, [head], trunks, now=now)
    number = next(
        (one for one in pictures.numbers.get(head.id, ()) if one.id == call["lead_number_id"]), None
    )
    if number is None:
        return (Rule.NUMBER_INVALID,)
    facts = replace(pictures.facts(head, number), number_live=False, person_live=False)
    verdict = gate.may_dial(pictures.lead(head, number), of_campaign, now, facts)
    if isinstance(verdict, Deny):
        return tuple(Rule(rule) for rule in verdict.rules)
    return ()


async def due(connection: Connection, campaign_id: UUID, *, now: datetime) -> list[Due]:
    """Return the campaign's undecided previews whose time is up."""
    rows = await connection.fetch(
        f"SELECT a.id, a.agent_session_id FROM live_attempt a"  # noqa: S608 - own condition
        f" WHERE a.campaign_id = $1 AND {_UNDECIDED} AND a.reservation = 'reserved'"
        " AND a.preview_until <= $2 ORDER BY a.id",
        campaign_id,
        now,
    )
    return [Due(row["id"], row["agent_session_id"]) for row in rows]


async def give_back_forsaken(connection: Connection, campaign_id: UUID, *, at: datetime) -> int:
    """Give the previews whose agent has left back to their lists as they were; return how many."""
    rows = await connection.fetch(
        "SELECT a.id FROM live_attempt a WHERE a.campaign_id = $1 AND a.state = 'claimed'"
        " AND a.preview_until IS NOT NULL AND a.reservation <> 'reserved'",
        campaign_id,
    )
    if not rows:
        return 0
    return await withdrawals.return_claimed(
        connection, at=at, reason="its agent left", attempt_ids=[row["id"] for row in rows]
    )
