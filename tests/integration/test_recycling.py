"""Done leads are called once more by how they ended; who asked not to be called is not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from campaigns.errors import UserError
from campaigns.model import CampaignSettings, new_id
from campaigns.rules.gate import Rule
from campaigns.stores import claims, recycling
from tests.lists import NOON, Floor, add_lead, lead_row, open_floor

if TYPE_CHECKING:
    from uuid import UUID

    from campaigns.stores.database import Connection, Pool


async def finish(
    connection: Connection, floor: Floor, number: str, outcome: str, reason: str
) -> UUID:
    """Add a lead that has had one call and is done."""
    lead_id = await add_lead(connection, floor.list_id, number)
    await connection.execute(
        "UPDATE lead SET state = 'done', done_reason = $2 WHERE id = $1", lead_id, reason
    )
    await connection.execute(
        """
        INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode,
                             epoch, process_id, trunk_id, caller_id, timers, screening, reservation,
                             outcome, claimed_at, dialing_at, ended_at, charged,
                             answered_by_person, abandoned)
        VALUES ($1, $2, $3, $4, $5, 'US', 'predictive', 1, $6, $7, '', '{}', 'none', 'none',
                $8, $9, $9, $9, true, false, false)
        """,
        new_id(),
        floor.campaign.id,
        lead_id,
        new_id(),
        number,
        floor.process_id,
        floor.trunk_id,
        outcome,
        NOON - timedelta(days=2),
    )
    return lead_id


async def test_chosen_endings_are_called_again_with_all_their_attempts(pool: Pool) -> None:
    """
    Counted by ending first; the chosen ones start anew, suppressed people are not even counted.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, settings=CampaignSettings(max_attempts=1))
        quiet = await finish(connection, floor, "+12125550100", "no_answer", "attempts_exhausted")
        busy = await finish(connection, floor, "+12125550101", "busy", "attempts_exhausted")
        await finish(connection, floor, "+12125550102", "no_answer", "suppressed")
        counts = await recycling.endings(connection, floor.campaign.id)
        with pytest.raises(UserError, match="'sale': busy, no_answer"):
            await recycling.recycle(connection, floor.campaign.id, ["sale"], now=NOON)
        recycled = await recycling.recycle(connection, floor.campaign.id, ["no_answer"], now=NOON)
        batch = await claims.claim(
            connection, campaign=floor.campaign, epoch=1, now=NOON, count=9, slots=floor.slots(9)
        )
        still_done = await lead_row(connection, busy)

    assert {"busy": 1, "no_answer": 1} == counts
    assert 1 == recycled
    assert [quiet] == [claimed.lead_id for claimed in batch.claimed]
    assert Rule.ATTEMPTS not in batch.denied
    assert "done" == still_done["state"]
