"""When the law allows one call per ready agent only, for how many leads, and what would lift it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from campaigns.rules.dialable_numbers import may_be_wireless
from campaigns.rules.gate import Rule
from campaigns.stores import claims, gate_facts
from campaigns.stores.gate_facts import LeadHead
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

# How many of the leads next in turn are looked at: as many as one claim examines.
AHEAD = claims.EXAMINE_AT_LEAST
_FEW = 10


@dataclass(frozen=True, slots=True)
class OneToOneLeads:
    """Open leads that may be dialed only when an agent is free, of all open ones.

    They are those whose line may be wireless and of which no consent is on record (TCPA-7).
    """

    leads: int
    of: int


async def forbidden_by(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> str | None:
    """Return what allows one call per ready agent only at this moment, None if nothing does."""
    law = campaign.profile_on(now)
    if law is None:
        return "the campaign's legal profile is unknown"
    if law.announcement and not campaign.settings.announcement:
        return (
            f"profile {law.name} requires a recorded message where a call may be abandoned, "
            "and the campaign has none"
        )
    # Progressive and preview have an agent behind each call anyway.
    ahead = campaign.mode in (Mode.POWER, Mode.PREDICTIVE)
    if (
        ahead
        and law.wireless_one_to_one
        and await _next_need_an_agent(connection, campaign, now=now)
    ):
        return (
            f"profile {law.name} forbids it for lines that may be wireless without consent on "
            "record (TCPA-7), and such leads are next"
        )
    return None


async def _next_need_an_agent(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> bool:
    """Say whether any of the leads next in turn needs a free agent before it is dialed."""
    asked = await gate_facts.of_campaign(connection, campaign, now=now)
    if Rule.ONE_TO_ONE in asked.waived:
        return False
    rows = await connection.fetch(claims.CANDIDATES_UNLOCKED, campaign.id, now, AHEAD, [])
    heads = [LeadHead.from_row(row) for row in rows]
    trunks = await gate_facts.trunks_of(connection, campaign.id, now=now)
    # One of the first few decides it for most lists; all are read only where consent is the rule.
    for some in (heads[:_FEW], heads[_FEW:]):
        if not some:
            continue
        pictures = await gate_facts.load(connection, campaign, some, trunks, now=now)
        for head in some:
            number = pictures.number_of(head)
            if number is not None and not (
                number.consented or number.landline or not may_be_wireless(number.number)
            ):
                return True
    return False


async def one_to_one_leads(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> OneToOneLeads | None:
    """Count the leads that force one call per agent; None under a law that knows no such leads.

    Reads every open lead of the campaign: for people who ask, not for every tick.
    """
    law = campaign.profile_on(now)
    if law is None or not law.wireless_one_to_one:
        return None
    # Without consent and not known as landlines; every US line may be wireless (TCPA-7).
    row = await connection.fetchrow(
        """
        SELECT count(*) AS of,
               count(*) FILTER (WHERE NOT n.landline AND NOT EXISTS (
                   SELECT FROM consent_event g
                   WHERE g.number = n.number AND g.kind = 'given' AND g.seller = $2
                     AND g.purpose IN ('', $3) AND g.happened_at <= $4
                     AND (g.valid_until IS NULL OR g.valid_until > $4)
                     AND NOT EXISTS (
                         SELECT FROM consent_event r
                         WHERE r.number = n.number AND r.kind = 'revoked'
                           AND r.seller IN ($2, '*') AND r.purpose IN ('', $3)
                           AND r.happened_at >= g.happened_at))) AS leads
        FROM campaign_list cl
        JOIN lead l ON l.list_id = cl.list_id AND l.state = 'open'
        JOIN lead_number n ON n.lead_id = l.id AND n.position = l.next_position
        WHERE cl.campaign_id = $1 AND cl.active
        """,
        campaign.id,
        campaign.seller,
        campaign.purpose,
        now,
    )
    return None if row is None else OneToOneLeads(row["leads"], row["of"])
