"""Why is this number not called: every rule that holds it, per campaign, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.model import Allow, LeadState
from campaigns.rules import gate
from campaigns.rules.gate import RULE_TEXT, Rule
from campaigns.stores import campaigns, gate_facts
from campaigns.stores.gate_facts import LeadHead

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class LeadReasons:
    """One lead with the number, in one campaign.

    `rules` are ids with their meaning, empty when nothing holds it; `next_call_at` is the first
    moment the gate would allow the call, None when time alone does not lift what holds it.
    """

    campaign: str
    list_name: str
    lead_id: UUID
    state: LeadState
    done_reason: str | None
    attempts: int
    is_next_number: bool
    rules: tuple[tuple[str, str], ...]
    next_call_at: datetime | None


@dataclass(frozen=True, slots=True)
class NumberReasons:
    """Everything that decides about one number; `suppressed_for` names sellers, '*' is everyone."""

    suppressed_for: tuple[str, ...]
    leads: tuple[LeadReasons, ...]


async def explain_lead(connection: Connection, number: str, *, now: datetime) -> NumberReasons:
    """Return what holds the E.164 *number* back in each campaign that has it."""
    sellers = await connection.fetch(
        "SELECT seller FROM suppression WHERE number = $1 ORDER BY seller", number
    )
    rows = await connection.fetch(
        """
        SELECT l.id, l.state, l.done_reason, l.next_call_at, l.next_position, l.attempts_before,
               n.position, n.id AS number_id, li.name AS list_name, cl.campaign_id
        FROM lead_number n
        JOIN lead l ON l.id = n.lead_id
        JOIN lead_list li ON li.id = l.list_id
        JOIN campaign_list cl ON cl.list_id = li.id AND cl.active
        WHERE n.number = $1
        ORDER BY cl.campaign_id, l.id, n.position
        """,
        number,
    )
    found = []
    for row in rows:
        campaign = await campaigns.by_id(connection, row["campaign_id"])
        if campaign is None:
            continue
        due = row["next_call_at"]
        head = LeadHead(
            id=row["id"],
            state=LeadState(row["state"]),
            next_call_at=due if due.year > 1 else None,
            next_position=row["position"],
            attempts_before=row["attempts_before"],
        )
        trunks = await gate_facts.trunks_of(connection, campaign.id, now=now)
        asked = await gate_facts.of_campaign(connection, campaign, now=now, one_to_one=True)
        pictures = await gate_facts.load(connection, campaign, [head], trunks, now=now)
        dialed = pictures.number_of(head)
        if dialed is None:
            continue
        lead = pictures.lead(head, dialed)
        facts = pictures.facts(head, dialed)
        verdict = gate.may_dial(lead, asked, now, facts)
        rules = () if isinstance(verdict, Allow) else verdict.rules
        found.append(
            LeadReasons(
                campaign=campaign.name,
                list_name=row["list_name"],
                lead_id=row["id"],
                state=head.state,
                done_reason=row["done_reason"],
                attempts=lead.attempts,
                is_next_number=row["position"] == row["next_position"],
                rules=tuple((str(rule), RULE_TEXT[Rule(rule)]) for rule in rules),
                next_call_at=gate.next_allowed(lead, asked, now, facts),
            )
        )
    return NumberReasons(tuple(row["seller"] for row in sellers), tuple(found))
