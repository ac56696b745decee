"""Campaigns start only when they may; counts, suppression and reasons tell the truth."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from campaigns.errors import UserError
from campaigns.lead_import import plan_import
from campaigns.model import CampaignSettings, CampaignState, DoneReason, TrunkKind, new_id
from campaigns.rules.gate import Rule
from campaigns.rules.retry import CallAgain, NeverAgain
from campaigns.stores import campaigns, claims, leads, suppressions
from campaigns.stores.campaigns import NewCampaign
from campaigns.stores.lead_reasons import explain_lead
from campaigns.suppression_import import import_suppressions
from pacing import Mode
from tests.lists import NOON, Floor, add_lead, add_list, add_trunk, lead_row, open_floor

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

SPRING = NewCampaign(name="spring", seller="Acme", profile="lab", regions=("us", "GB"))


async def test_campaign_is_stored_as_said(pool: Pool) -> None:
    """
    A new campaign is a draft with its regions in capitals and its settings as given.
    """
    settings = CampaignSettings(max_attempts=3, weekdays=(0, 1))
    async with pool.acquire() as connection:
        await campaigns.create(
            connection,
            NewCampaign(
                "spring", "Acme", "us-tsr", ("us", "GB"), Mode.PREDICTIVE, "sale", settings
            ),
        )
        found = await campaigns.get(connection, "spring")

    assert (CampaignState.DRAFT, Mode.PREDICTIVE, "us-tsr", "sale") == (
        found.state,
        found.mode,
        found.profile_name,
        found.purpose,
    )
    assert frozenset({"US", "GB"}) == found.regions
    assert settings == found.settings


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " "}, "needs a name"),
        ({"seller": ""}, "needs a seller"),
        ({"profile": "us"}, "no profile 'us'"),
        ({"regions": ()}, "Name at least one region"),
        ({"regions": ("+1",)}, "no region"),
        ({"settings": CampaignSettings(weekdays=(7,))}, "weekdays"),
    ],
)
async def test_impossible_campaign_is_refused(
    pool: Pool, changes: dict[str, Any], sentence: str
) -> None:
    """
    What is wrong with a new campaign is one sentence with what would be right.
    """
    values = {"name": "spring", "seller": "Acme", "profile": "lab", "regions": ("US",)}
    async with pool.acquire() as connection:
        with pytest.raises(UserError, match=sentence):
            await campaigns.create(connection, NewCampaign(**(values | changes)))


async def test_name_is_taken_once(pool: Pool) -> None:
    """
    A second campaign of the same name is refused, and an unknown one is told the known.
    """
    async with pool.acquire() as connection:
        await campaigns.create(connection, SPRING)
        with pytest.raises(UserError, match="'spring' already"):
            await campaigns.create(connection, SPRING)
        with pytest.raises(UserError, match="there are 'spring'"):
            await campaigns.get(connection, "autumn")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"ring_timeout_s": 5}, "ring_timeout_s is 5"),
        ({"ratios": 2}, "no setting 'ratios'"),
        ({"retry": {"buzy": {"delay_s": 5}}}, "no retry rule 'buzy'"),
    ],
)
def test_impossible_setting_is_refused(values: dict[str, Any], sentence: str) -> None:
    """
    A setting out of its range is named with its value.
    """
    with pytest.raises(UserError, match=sentence):
        campaigns.parse_settings(values)


async def test_start_names_each_missing_thing(pool: Pool) -> None:
    """
    A campaign with nothing is told everything it lacks at once, and stays a draft.
    """
    async with pool.acquire() as connection:
        await campaigns.create(connection, SPRING)
        with pytest.raises(UserError) as failure:
            await campaigns.start(connection, "spring")
        await add_trunk(connection, "bare", caller_id=None)
        await campaigns.attach_trunk(connection, "spring", "bare")
        with pytest.raises(UserError) as second:
            await campaigns.start(connection, "spring")
        found = await campaigns.get(connection, "spring")

    assert "no list" in str(failure.value)
    assert "no trunk" in str(failure.value)
    assert "'bare' has no caller id" in str(second.value)
    assert CampaignState.DRAFT is found.state


async def test_lab_profile_refuses_a_real_trunk(pool: Pool) -> None:
    """
    A campaign under profile lab does not start with a real trunk attached.
    """
    async with pool.acquire() as connection:
        row = await campaigns.create(connection, SPRING)
        await add_list(connection, row.id)
        await add_trunk(connection, "carrier", kind=TrunkKind.REAL)
        await campaigns.attach_trunk(connection, "spring", "carrier")

        with pytest.raises(UserError, match="'carrier' is a real one and profile 'lab'"):
            await campaigns.start(connection, "spring")


async def test_profile_this_program_does_not_know_dials_nothing(pool: Pool) -> None:
    """
    GATE-2: an unknown profile keeps a campaign from starting, and a running one from calling.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        await add_lead(connection, floor.list_id, "+12125550100")
        await connection.execute("UPDATE campaign SET profile = 'xx-new'")
        batch = await claim(connection, floor)
        await connection.execute("UPDATE campaign SET state = 'paused'")

        with pytest.raises(UserError, match="profile 'xx-new' is unknown"):
            await campaigns.start(connection, "spring")

    assert ([], {Rule.PROFILE: 0}) == (batch.claimed, batch.denied)


async def claim(connection: Connection, floor: Floor, count: int = 1) -> claims.ClaimBatch:
    """Claim *count* leads at noon."""
    return await claims.claim(
        connection,
        campaign=floor.campaign,
        epoch=1,
        now=NOON,
        count=count,
        slots=floor.slots(count),
    )


async def test_campaign_goes_through_its_states(pool: Pool) -> None:
    """
    Start, pause, resume and stop follow the table; stopped comes when no call is left.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        await add_lead(connection, floor.list_id, "+12125550100")
        paused = await campaigns.pause(connection, "spring")
        running, warnings = await campaigns.start(connection, "spring")
        await claim(connection, floor)
        stopping = await campaigns.stop(connection, "spring")
        too_early = await campaigns.finish_stopping(connection, floor.campaign.id, 1)
        await connection.execute("DELETE FROM live_attempt")
        foreign = await campaigns.finish_stopping(connection, floor.campaign.id, 9)
        done = await campaigns.finish_stopping(connection, floor.campaign.id, 1)
        stopped = await campaigns.get(connection, "spring")
        with pytest.raises(UserError, match="is stopped and cannot become paused"):
            await campaigns.pause(connection, "spring")

    assert [CampaignState.PAUSED, CampaignState.RUNNING, CampaignState.STOPPING] == [
        paused.state,
        running.state,
        stopping.state,
    ]
    assert ("no agent is assigned: nothing is dialed until one is and logs in",) == warnings
    assert (False, False, True) == (too_early, foreign, done)
    assert CampaignState.STOPPED is stopped.state


async def test_changed_settings_free_what_they_held(pool: Pool) -> None:
    """
    A lead held for its region is called as soon as the campaign may call there.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, regions=("US",))
        await add_lead(connection, floor.list_id, "+442079460001")
        held = await claim(connection, floor)
        await connection.execute("UPDATE campaign SET state = 'paused'")
        await campaigns.configure(connection, "spring", regions=["US", "GB"])
        await campaigns.start(connection, "spring")
        free = await claim(connection, floor)

    assert {Rule.REGION: 1} == held.denied
    assert 1 == len(free.claimed)


async def test_retry_wait_is_not_lifted_by_settings(pool: Pool) -> None:
    """
    A lead that waits after a call goes on waiting when settings change.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        due = NOON + timedelta(hours=3)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100", due=due)
        await campaigns.configure(connection, "spring", settings=CampaignSettings(max_attempts=9))
        lead = await lead_row(connection, lead_id)

    assert due == lead["next_call_at"]


async def test_counts_tell_where_every_lead_is(pool: Pool) -> None:
    """
    Due, waiting, held, in a call and done add up to all leads of the active lists.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, regions=("US",))
        called = await add_lead(connection, floor.list_id, "+12125550100", priority=9)
        await add_lead(connection, floor.list_id, "+442079460001", priority=8)
        await add_lead(connection, floor.list_id, "+19005551234", priority=7)
        await claim(connection, floor, 3)
        later = NOON + timedelta(hours=2)
        await add_lead(connection, floor.list_id, "+12125550101", due=later)
        await add_lead(connection, floor.list_id, "+12125550102")

        found = await leads.lead_counts(connection, floor.campaign.id, now=NOON)
        due = await leads.callable_count(connection, floor.campaign.id, now=NOON)
        capped = await leads.callable_count(connection, floor.campaign.id, now=later, cap=1)
        lead = await lead_row(connection, called)

    assert (1, 1, {"REGION": 1}, 1, {"refused": 1}, 5) == (
        found.callable_now,
        found.waiting,
        found.held,
        found.in_call,
        found.done,
        found.total,
    )
    assert NOON + timedelta(hours=1) == found.next_due_at
    assert (1, 1) == (due, capped)
    assert "in_call" == lead["state"]


async def test_settling_writes_each_future(pool: Pool) -> None:
    """
    After its call a lead is open with its next number and time, or done; others do not move.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        again = await add_lead(connection, floor.list_id, "+12125550100", "+12125550101")
        never = await add_lead(connection, floor.list_id, "+12125550102")
        idle = await add_lead(
            connection, floor.list_id, "+12125550103", due=NOON + timedelta(days=1)
        )
        await claim(connection, floor, 2)
        at = NOON + timedelta(hours=3)
        moved = await leads.settle(
            connection,
            {
                again: CallAgain(at, 1, charged=True),
                never: NeverAgain(DoneReason.REACHED, charged=True),
                idle: NeverAgain(DoneReason.REACHED, charged=True),
            },
        )
        rows = [await lead_row(connection, lead) for lead in (again, never, idle)]

    assert {again, never} == set(moved)
    assert [("open", 1, None), ("done", 0, "reached"), ("open", 0, None)] == [
        (row["state"], row["next_position"], row["done_reason"]) for row in rows
    ]
    assert at == rows[0]["next_call_at"]


async def test_suppression_takes_effect_at_once(pool: Pool) -> None:
    """
    Adding a number ends its open leads, names the calls to cancel, and outlives both.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        await add_lead(connection, floor.list_id, "+12125550100", priority=9)
        waiting = await add_lead(connection, floor.list_id, "+12125550100")
        batch = await claim(connection, floor, 1)

        found = await suppressions.add(
            connection, ["+12125550100"], seller="Acme", source="opt-out"
        )
        again = await suppressions.add(
            connection, ["+12125550100"], seller="Acme", source="opt-out"
        )
        lead = await lead_row(connection, waiting)
        entries = await suppressions.entries(connection, seller="Acme")

    assert (1, 1, [batch.claimed[0].attempt_id]) == (
        found.added,
        found.leads_done,
        [call.attempt_id for call in found.ringing],
    )
    assert floor.process_id == found.ringing[0].process_id
    assert 0 == again.added
    assert ("done", "suppressed") == (lead["state"], lead["done_reason"])
    assert [("Acme", "+12125550100", "opt-out")] == [
        (entry.seller, entry.number, entry.source) for entry in entries
    ]


async def test_suppression_is_kept_per_seller(pool: Pool) -> None:
    """
    A request to one seller leaves the other's leads and calls alone; '*' reaches them all.
    """
    async with pool.acquire() as connection:
        acme = await open_floor(connection)
        other = await open_floor(connection, "autumn", seller="Other")
        await add_lead(connection, acme.list_id, "+12125550100")
        theirs = await add_lead(connection, other.list_id, "+12125550100")

        mine = await suppressions.add(connection, ["+12125550100"], seller="Acme", source="x")
        kept = await lead_row(connection, theirs)
        everyone = await suppressions.add(connection, ["+12125550100"], seller="*", source="x")

    assert (1, "open", 1) == (mine.leads_done, kept["state"], everyone.leads_done)


async def test_removed_number_may_be_called_again(pool: Pool) -> None:
    """
    Taking a number off the list works once, and says so.
    """
    async with pool.acquire() as connection:
        await suppressions.add(connection, ["+12125550100"], seller="Acme", source="x")
        first = await suppressions.remove(connection, "+12125550100", seller="Acme")
        second = await suppressions.remove(connection, "+12125550100", seller="Acme")

    assert (True, False) == (first, second)


async def test_file_of_suppressed_numbers(pool: Pool, tmp_path: Path) -> None:
    """
    A file adds every number on it, dialable or not, and lists the lines that have none.
    """
    path = tmp_path / "dnc.csv"
    path.write_text("phone\n212-555-0100\n900-555-1234\n212-555-0100\nnonsense\n", encoding="utf-8")

    report = await import_suppressions(pool, plan_import(path, country="US"), seller="*")

    async with pool.acquire() as connection:
        count = await suppressions.count(connection)
    assert (3, 2, 2, [(5, "not a valid telephone number")]) == (
        report.rows_taken,
        report.added,
        count,
        report.rejected,
    )


async def test_every_rule_that_holds_a_number_is_told(pool: Pool) -> None:
    """
    `leads why` names the rules, in each campaign, and when time alone will lift them.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, profile="us-tsr")
        later = NOON + timedelta(hours=10)
        await add_lead(connection, floor.list_id, "+12125550100", due=later)
        await add_lead(connection, floor.list_id, "+12125550101")
        await suppressions.add(connection, ["+12125550101"], seller="Acme", source="x")

        waits = await explain_lead(connection, "+12125550100", now=NOON)
        listed = await explain_lead(connection, "+12125550101", now=NOON)
        unknown = await explain_lead(connection, "+12125550199", now=NOON)

    [lead] = waits.leads
    assert ["RETRY-WAIT"] == [rule for rule, _ in lead.rules]
    # 23:00 in New York, ten hours on, is night: the next morning at eight it is.
    assert NOON + timedelta(hours=19) == lead.next_call_at
    assert ("Acme",) == listed.suppressed_for
    assert {"LEAD-STATE", "DNC"} == {rule for rule, _ in listed.leads[0].rules}
    assert None is listed.leads[0].next_call_at
    assert ((), ()) == (unknown.suppressed_for, unknown.leads)


async def test_what_came_before_is_read_from_the_records(pool: Pool) -> None:
    """
    Charged attempts, endings by key and dead numbers come from the attempts themselves.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(
            connection,
            floor.list_id,
            "+12125550100",
            "+12125550101",
            "+12125550102",
            attempts_before=1,
        )
        numbers = {
            row["position"]: row["id"]
            for row in await connection.fetch("SELECT id, position FROM lead_number")
        }
        for position, outcome, charged in (
            (0, "busy", True),
            (0, "busy", True),
            (1, "invalid_number", True),
            (0, "trunk_fault", False),
        ):
            await connection.execute(
                """
                INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number,
                    region, mode, epoch, process_id, trunk_id, caller_id, timers, screening,
                    reservation, outcome, claimed_at, ended_at, charged, answered_by_person,
                    abandoned)
                VALUES ($1, $2, $3, $4, '', 'US', 'predictive', 1, $5, $6, '', '{}', 'none',
                        'none', $7, $8, $8, $9, false, false)
                """,
                new_id(),
                floor.campaign.id,
                lead_id,
                numbers[position],
                floor.process_id,
                floor.trunk_id,
                outcome,
                NOON,
                charged,
            )

        found = (await leads.pasts(connection, {lead_id: numbers[2]}))[lead_id]

    assert (4, {"busy": 2, "trunk_fault": 1}, 2, (0, 2)) == (
        found.charged,
        dict(found.endings or {}),
        found.position,
        found.positions,
    )
