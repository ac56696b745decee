"""Leads become call attempts in one transaction, once each, in order, and only through the gate."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.errors import LeaseLost
from campaigns.model import CampaignSettings, TrunkKind, new_id
from campaigns.rules.gate import Rule
from campaigns.stores import claims, database
from campaigns.stores.claims import ClaimBatch, Slot
from tests.lists import (
    NOON,
    Floor,
    add_lead,
    add_leads,
    add_list,
    add_trunk,
    fictional,
    lead_row,
    open_floor,
)

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool


async def claim(
    connection: Connection, floor: Floor, count: int, *, now: datetime = NOON
) -> ClaimBatch:
    """Claim *count* leads of the floor with as many slots."""
    return await claims.claim(
        connection,
        campaign=floor.campaign,
        epoch=floor.epoch,
        now=now,
        count=count,
        slots=floor.slots(count),
    )


async def test_due_lead_becomes_a_claimed_attempt(pool: Pool) -> None:
    """
    A claimed lead is in a call, has one attempt with its timers and one event, all at once.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")

        batch = await claim(connection, floor, 5)

        attempt = await connection.fetchrow("SELECT * FROM live_attempt")
        events = await connection.fetch("SELECT attempt_id, kind, happened_at FROM call_event")
        lead = await lead_row(connection, lead_id)

    assert attempt is not None
    assert [attempt["id"]] == [claimed.attempt_id for claimed in batch.claimed]
    assert ("claimed", "+12125550100", "US") == tuple(
        attempt[column] for column in ("state", "dialed_number", "region")
    )
    assert (floor.process_id, floor.trunk_id, 1) == tuple(
        attempt[column] for column in ("process_id", "trunk_id", "epoch")
    )
    assert 22.0 == attempt["timers"]["ring_timeout_s"]
    assert [(attempt["id"], "claimed", NOON)] == [tuple(event) for event in events]
    assert "in_call" == lead["state"]
    assert batch.dry


async def test_order_is_list_then_lead_priority_then_due_time(pool: Pool) -> None:
    """
    Lists with a lower number come first, then leads of higher priority, then those due longest.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        second = await add_list(connection, floor.campaign.id, priority=2)
        hour = timedelta(hours=1)
        expected = [
            await add_lead(connection, floor.list_id, "+12125550100", priority=9),
            await add_lead(connection, floor.list_id, "+12125550101", due=NOON - 2 * hour),
            await add_lead(connection, floor.list_id, "+12125550102", due=NOON - hour),
            await add_lead(connection, second, "+12125550103", priority=50),
        ]
        await add_lead(connection, floor.list_id, "+12125550104", priority=99, due=NOON + hour)

        found = [(await claim(connection, floor, 1)).claimed[0].lead_id for _ in expected]
        rest = await claim(connection, floor, 1)

    assert expected == found
    assert [] == rest.claimed


async def test_fifty_claimers_get_disjoint_leads(dsn: str) -> None:
    """
    However many claim at once, no lead and no number is claimed twice, and none is left over.
    """
    pool = await database.open_pool(dsn, size=50)
    try:
        async with pool.acquire() as connection:
            floor = await open_floor(connection)
            await add_leads(connection, floor.list_id, [[n] for n in fictional(500)])

        async def claimer() -> list[UUID]:
            found: list[UUID] = []
            async with pool.acquire() as connection:
                while True:
                    batch = await claim(connection, floor, 4)
                    found += [claimed.lead_id for claimed in batch.claimed]
                    if not batch.claimed and batch.dry:
                        return found

        async with asyncio.timeout(60):
            found = await asyncio.gather(*(claimer() for _ in range(50)))
        counts = Counter(lead for leads in found for lead in leads)
        async with pool.acquire() as connection:
            live = await connection.fetchval("SELECT count(*) FROM live_attempt")
    finally:
        await pool.close()

    assert 500 == len(counts)
    assert {1} == set(counts.values())
    assert 500 == live


async def test_lost_lease_claims_nothing(pool: Pool) -> None:
    """
    An engine whose lease has passed to another gets an error, and not one row is written.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")
        await connection.execute("UPDATE campaign SET lease_epoch = 2")

        with pytest.raises(LeaseLost):
            await claim(connection, floor, 1)

        live = await connection.fetchval("SELECT count(*) FROM live_attempt")
        lead = await lead_row(connection, lead_id)

    assert 0 == live
    assert "open" == lead["state"]


async def test_take_over_waits_for_a_claim_in_progress(pool: Pool) -> None:
    """
    A successor cannot take the lease between a claim's check and its commit.
    """
    async with pool.acquire() as connection, pool.acquire() as successor:
        floor = await open_floor(connection)
        await add_lead(connection, floor.list_id, "+12125550100")
        transaction = connection.transaction()
        await transaction.start()
        await claim(connection, floor, 1)
        take_over = asyncio.create_task(
            successor.execute("UPDATE campaign SET lease_epoch = lease_epoch + 1"),
            name="take-over",
        )
        done, _ = await asyncio.wait({take_over}, timeout=0.3)
        await transaction.commit()
        await asyncio.wait_for(take_over, 10)
        seen = await successor.fetchval("SELECT count(*) FROM live_attempt")

    assert set() == done
    assert 1 == seen


@pytest.mark.parametrize(
    ("state", "rule"), [("paused", Rule.CAMPAIGN_STATE), ("stopping", Rule.CAMPAIGN_STATE)]
)
async def test_campaign_that_does_not_run_claims_nothing(
    pool: Pool, state: str, rule: Rule
) -> None:
    """
    The state is read in the claiming transaction: a pause holds from its commit on.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")
        await connection.execute("UPDATE campaign SET state = $1", state)

        batch = await claim(connection, floor, 1)

        lead = await lead_row(connection, lead_id)

    assert ([], {rule: 0}) == (batch.claimed, batch.denied)
    assert (None, "open") == (lead["held_by"], lead["state"])


async def test_refused_leads_do_not_stand_in_front(pool: Pool) -> None:
    """
    Whatever the gate refuses is moved away with its rule, and the next lead is called.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, regions=("US",))
        suppressed = await add_lead(connection, floor.list_id, "+12125550110", priority=9)
        abroad = await add_lead(connection, floor.list_id, "+442079460001", priority=8)
        premium = await add_lead(connection, floor.list_id, "+19005551234", priority=7)
        real = await add_lead(connection, floor.list_id, "+12125551234", priority=6)
        spent = await add_lead(
            connection, floor.list_id, "+12125550111", priority=5, attempts_before=5
        )
        good = await add_lead(connection, floor.list_id, "+12125550112")
        await connection.execute(
            "INSERT INTO suppression (id, seller, number, source) VALUES ($1, $2, $3, 'test')",
            new_id(),
            floor.campaign.seller,
            "+12125550110",
        )

        batch = await claim(connection, floor, 1)

        rows = [
            await lead_row(connection, lead) for lead in (suppressed, abroad, premium, real, spent)
        ]

    assert [good] == [claimed.lead_id for claimed in batch.claimed]
    assert [
        ("done", "suppressed", "DNC"),
        ("open", None, "REGION"),
        ("done", "refused", "NUMBER-PREMIUM"),
        ("open", None, "TRUNK-LAB"),
        ("done", "attempts_exhausted", "ATTEMPTS"),
    ] == [(row["state"], row["done_reason"], row["held_by"]) for row in rows]
    assert {Rule.DNC, Rule.REGION, Rule.NUMBER_PREMIUM, Rule.TRUNK_LAB, Rule.ATTEMPTS} == set(
        batch.denied
    )


async def test_closed_window_holds_a_lead_until_it_opens(pool: Pool) -> None:
    """
    Outside calling hours a lead waits exactly until they begin, and is then called.
    """
    night = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
    async with pool.acquire() as connection:
        floor = await open_floor(connection, profile="us-tsr")
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")

        before = await claim(connection, floor, 1, now=night)
        held = await lead_row(connection, lead_id)
        opening = datetime(2026, 11, 18, 13, 0, tzinfo=UTC)
        early = await claim(connection, floor, 1, now=opening - timedelta(seconds=1))
        after = await claim(connection, floor, 1, now=opening)

    assert ({Rule.HOURS: 1}, []) == (before.denied, before.claimed)
    assert (opening, "HOURS-1") == (held["next_call_at"], held["held_by"])
    assert [] == early.claimed
    assert 1 == len(after.claimed)


async def test_lead_goes_on_with_its_next_number(pool: Pool) -> None:
    """
    A number that may never be dialed costs only itself: the lead's other number is called.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+18005550123", "+12125550100")

        first = await claim(connection, floor, 1)
        second = await claim(connection, floor, 1)

        lead = await lead_row(connection, lead_id)

    assert {Rule.NUMBER_TOLL_FREE: 1} == first.denied
    assert ["+12125550100"] == [claimed.number for claimed in first.claimed + second.claimed]
    assert (1, "in_call") == (lead["next_position"], lead["state"])


async def test_suppression_of_one_number_silences_the_person(pool: Pool) -> None:
    """
    Who asked not to be called at one number is not called at another one either.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100", "+12125550101")
        await connection.execute(
            "INSERT INTO suppression (id, seller, number, source) VALUES ($1, '*', $2, 'test')",
            new_id(),
            "+12125550101",
        )

        batch = await claim(connection, floor, 1)

        lead = await lead_row(connection, lead_id)

    assert [] == batch.claimed
    assert ("done", "suppressed") == (lead["state"], lead["done_reason"])


async def test_other_seller_is_not_bound_by_a_suppression(pool: Pool) -> None:
    """
    A do-not-call request counts for the seller it was made to.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, seller="Acme")
        await add_lead(connection, floor.list_id, "+12125550100")
        await connection.execute(
            "INSERT INTO suppression (id, seller, number, source) VALUES ($1, 'Other', $2, 'test')",
            new_id(),
            "+12125550100",
        )

        batch = await claim(connection, floor, 1)

    assert 1 == len(batch.claimed)


async def test_number_in_a_call_elsewhere_waits(pool: Pool) -> None:
    """
    One number is never dialed twice at once, whichever campaigns and lists it is on.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        other = await open_floor(connection, "autumn")
        await add_lead(connection, floor.list_id, "+12125550100")
        await add_lead(connection, floor.list_id, "+12125550100")
        await add_lead(connection, other.list_id, "+12125550100")

        batch = await claim(connection, floor, 3)
        elsewhere = await claim(connection, other, 1)

    assert 1 == len(batch.claimed)
    assert {Rule.NUMBER_LIVE: 1} == batch.denied
    assert ({Rule.NUMBER_LIVE: 1}, []) == (elsewhere.denied, elsewhere.claimed)


async def test_two_campaigns_claiming_the_same_numbers_do_not_block(pool: Pool) -> None:
    """
    Campaigns with the same numbers in opposite orders share them without a deadlock.
    """
    numbers = fictional(60)
    async with pool.acquire() as connection, pool.acquire() as second:
        floor = await open_floor(connection)
        other = await open_floor(connection, "autumn")
        await add_leads(connection, floor.list_id, [[number] for number in numbers])
        await add_leads(connection, other.list_id, [[number] for number in reversed(numbers)])

        async with asyncio.timeout(30):
            batches = await asyncio.gather(claim(connection, floor, 60), claim(second, other, 60))
        live = await connection.fetch("SELECT dialed_number FROM live_attempt")

    assert 60 == sum(len(batch.claimed) for batch in batches)
    assert sorted(numbers) == sorted(row["dialed_number"] for row in live)


async def test_each_call_takes_a_slot_that_may_dial_it(pool: Pool) -> None:
    """
    A number goes to the trunk that serves its region; without a free one the lead just waits.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        british = await add_trunk(connection, "british", settings={"regions": ["GB"]})
        await connection.execute(
            "INSERT INTO campaign_trunk (campaign_id, trunk_id) VALUES ($1, $2)",
            floor.campaign.id,
            british,
        )
        await connection.execute(
            "UPDATE trunk SET settings = $2 WHERE id = $1", floor.trunk_id, {"regions": ["US"]}
        )
        american = await add_lead(connection, floor.list_id, "+12125550100", priority=9)
        english = await add_lead(connection, floor.list_id, "+442079460001")
        slot = Slot(floor.process_id, british, TrunkKind.LAB, "+442079460099", frozenset({"GB"}))

        batch = await claims.claim(
            connection, campaign=floor.campaign, epoch=1, now=NOON, count=1, slots=[slot]
        )

        lead = await lead_row(connection, american)

    assert [(english, british)] == [(found.lead_id, found.trunk_id) for found in batch.claimed]
    assert 1 == batch.no_slot
    assert ("open", None) == (lead["state"], lead["held_by"])


async def test_calls_of_a_day_are_limited_across_campaigns(pool: Pool) -> None:
    """
    Under the strictest profile a fourth call in 24 hours is refused, whoever made the three.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, profile="strict-default")
        other = await open_floor(connection, "autumn")
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")
        for hours in (5, 4, 3):
            await close_attempt(connection, other, "+12125550100", NOON - timedelta(hours=hours))

        batch = await claim(connection, floor, 1)

        lead = await lead_row(connection, lead_id)

    assert {Rule.FREQUENCY: 1} == batch.denied
    assert NOON + timedelta(hours=19) == lead["next_call_at"]


async def test_abandoned_number_rests_under_the_british_profile(pool: Pool) -> None:
    """
    For 72 hours after an abandoned call its number is not dialed automatically.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(
            connection, profile="uk-ofcom", settings=CampaignSettings(max_attempts=9)
        )
        await add_lead(connection, floor.list_id, "+442079460001")
        then = NOON - timedelta(hours=71)
        await close_attempt(connection, floor, "+442079460001", then, abandoned=True)

        refused = await claim(connection, floor, 1, now=NOON)
        allowed = await claim(connection, floor, 1, now=NOON + timedelta(hours=16))

    assert {Rule.RECALL: 1} == refused.denied
    assert 1 == len(allowed.claimed)


async def close_attempt(
    connection: Connection, floor: Floor, number: str, at: datetime, *, abandoned: bool = False
) -> None:
    """Write the record of a call to *number* that another lead had."""
    await connection.execute(
        """
        INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode,
                             epoch, process_id, trunk_id, caller_id, timers, screening, reservation,
                             outcome, claimed_at, dialing_at, ended_at, charged,
                             answered_by_person, abandoned)
        VALUES ($1, $2, $3, $4, $5, 'US', 'predictive', 1, $6, $7, '', '{}', 'none', 'none',
                'answered', $8, $8, $8, true, true, $9)
        """,
        new_id(),
        floor.campaign.id,
        new_id(),
        new_id(),
        number,
        floor.process_id,
        floor.trunk_id,
        at,
        abandoned,
    )


async def test_claim_reads_the_index_and_not_the_list(pool: Pool) -> None:
    """
    On a list of thousands, waiting leads of a higher priority do not make the claim read them all.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        await connection.execute(
            """
            WITH made AS (
                INSERT INTO subject (id) SELECT gen_random_uuid() FROM generate_series(1, 20000)
                RETURNING id
            ), numbered AS (SELECT id, row_number() OVER () AS n FROM made)
            INSERT INTO lead (id, list_id, subject_id, priority, next_call_at)
            SELECT gen_random_uuid(), $1, id, CASE WHEN n <= 15000 THEN 5 ELSE 1 END,
                   CASE WHEN n <= 15000 THEN $2::timestamptz ELSE '-infinity' END
            FROM numbered
            """,
            floor.list_id,
            NOON + timedelta(hours=1),
        )
        await connection.execute("ANALYZE lead")

        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {claims._CANDIDATES}",  # noqa: SLF001 - its plan
            floor.campaign.id,
            NOON,
            50,
            [],
        )

    nodes = list(walk(plan[0]["Plan"]))
    scans = [node for node in nodes if node.get("Relation Name") == "lead"]
    touched = sum(
        node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        for node in scans
    )

    assert {"Index Scan", "Index Only Scan"} >= {node["Node Type"] for node in scans}
    assert touched < 200


def walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plan's nodes."""
    return [node, *(found for child in node.get("Plans", []) for found in walk(child))]
