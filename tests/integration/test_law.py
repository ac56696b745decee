"""Evidence and its effect: registries, consent, caller ids, waivers, schedules, opt-outs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from campaigns.errors import UserError
from campaigns.model import CampaignSettings, TrunkKind, new_id
from campaigns.rules.gate import Rule
from campaigns.stores import (
    claims,
    consents,
    lead_reasons,
    registries,
    schedules,
    suppressions,
    waivers,
)
from campaigns.stores.consents import ConsentEvent, ConsentKind
from campaigns.stores.registries import NewVersion
from campaigns.stores.schedules import NewSchedule
from pacing import Mode
from tests.lists import NOON, Floor, add_lead, add_leads, lead_row, open_floor
from tests.shell import Shell

if TYPE_CHECKING:
    from campaigns.stores.claims import ClaimBatch
    from campaigns.stores.database import Connection, Pool

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
REAL = "+12125551234"


async def real_floor(connection: Connection, name: str = "spring", law: str = "us-tsr") -> Floor:
    """Return a campaign on a real trunk whose caller id is proven, with the registry of today."""
    floor = await open_floor(
        connection,
        name,
        profile=law,
        kind=TrunkKind.REAL,
        mode=Mode.PREDICTIVE,
        settings=CampaignSettings(max_attempts=50),
    )
    await connection.execute("UPDATE caller_id SET owner = 'Acme', authorisation = 'letter'")
    new = NewVersion("us-dnc", NOON - DAY, "file", "", "test")
    if not await registries.versions(connection):
        await registries.load(connection, new, ["+14155550000"])
    return floor


async def claim(connection: Connection, floor: Floor, *, now: datetime = NOON) -> ClaimBatch:
    """Claim one lead through the real trunk."""
    return await claims.claim(
        connection,
        campaign=floor.campaign,
        epoch=1,
        now=now,
        count=1,
        slots=floor.slots(1, kind=TrunkKind.REAL),
    )


async def end_call(connection: Connection, floor: Floor, number: str, at: datetime) -> None:
    """Turn the live attempt to *number* into the record of a call dialed *at*."""
    await connection.execute("DELETE FROM live_attempt WHERE dialed_number = $1", number)
    await connection.execute(
        """
        INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode,
                             epoch, process_id, trunk_id, caller_id, timers, screening, reservation,
                             outcome, claimed_at, dialing_at, ended_at, charged,
                             answered_by_person, abandoned)
        VALUES ($1, $2, $3, $4, $5, 'US', 'predictive', 1, $6, $7, '', '{}', 'none', 'none',
                'no_answer', $8, $8, $8, true, false, false)
        """,
        new_id(),
        floor.campaign.id,
        new_id(),
        new_id(),
        number,
        floor.process_id,
        floor.trunk_id,
        at,
    )


async def make_one_person(connection: Connection, one: UUID, other: UUID) -> None:
    """Let two leads be the same person's."""
    await connection.execute(
        "UPDATE lead SET subject_id = (SELECT subject_id FROM lead WHERE id = $1) WHERE id = $2",
        one,
        other,
    )


async def test_tsr_9_registry_of_31_days_is_good_and_a_second_older_blocks(pool: Pool) -> None:
    """
    TSR-9: the age counts from the registry's own date, to the second; then nobody is called.
    """
    async with pool.acquire() as connection:
        floor = await real_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, REAL)
        version_at = NOON - DAY

        late = version_at + timedelta(days=31, seconds=1)
        blocked = await claim(connection, floor, now=late)
        untouched = await lead_row(connection, lead_id)
        good = await claim(connection, floor, now=version_at + timedelta(days=31))

    assert ({Rule.REGISTRY_STALE: 0}, []) == (blocked.denied, blocked.claimed)
    assert untouched["held_by"] is None
    assert 1 == len(good.claimed)


async def test_registry_is_replaced_whole_or_not_at_all(pool: Pool) -> None:
    """
    A new version replaces the numbers, an older or empty one changes nothing; loads are kept.
    """
    async with pool.acquire() as connection:
        first = NewVersion("us-dnc", NOON, "one", "a", "anna", account="SAN 1")
        await registries.load(connection, first, ["+12125550001", "+12125550002"])
        with pytest.raises(UserError, match="newer than this file's"):
            await registries.load(
                connection, replace(first, version_at=NOON - DAY), ["+12125550003"]
            )
        with pytest.raises(UserError, match="holds no number"):
            await registries.load(connection, replace(first, version_at=NOON + DAY), [])
        second = replace(first, version_at=NOON + DAY, file="two")
        await registries.load(connection, second, ["+12125550002"])
        numbers = await connection.fetch("SELECT number FROM registry_number")
        loads = await registries.versions(connection, newest_only=False)
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("DELETE FROM registry_version")

    assert ["+12125550002"] == [row["number"] for row in numbers]
    assert ["two", "one"] == [load.file for load in loads]


async def test_tsr_10_registered_number_is_called_with_consent_until_it_is_revoked(
    pool: Pool,
) -> None:
    """
    TSR-10, TCPA-4: consent frees the lead at once, and revoking it holds the lead at once.
    """
    async with pool.acquire() as connection:
        floor = await real_floor(connection)
        new = NewVersion("us-dnc", NOON, "file", "", "test")
        await registries.load(connection, new, [REAL])
        lead_id = await add_lead(connection, floor.list_id, REAL)
        held = await claim(connection, floor)
        given = ConsentEvent(REAL, "Acme", ConsentKind.GIVEN, NOON, "web form", "anna")
        freed = await consents.record(connection, [given])
        before = await claim(connection, floor, now=NOON + HOUR)
        lead = await lead_row(connection, lead_id)
        await connection.execute("DELETE FROM live_attempt")
        await connection.execute("UPDATE lead SET state = 'open'")
        revoked = replace(given, kind=ConsentKind.REVOKED, happened_at=NOON + HOUR, seller="*")
        await consents.record(connection, [revoked])
        after = await claim(connection, floor, now=NOON + 2 * HOUR)

    assert ({Rule.REGISTRY: 1}, 1) == (held.denied, freed)
    assert 1 == len(before.claimed)
    assert "in_call" == lead["state"]
    assert {Rule.REGISTRY: 1} == after.denied


async def test_st_3_fourth_call_to_florida_is_refused_across_campaigns_and_caller_ids(
    pool: Pool,
) -> None:
    """
    ST-3: three calls in 24 hours, whichever campaign, list and caller id made them.
    """
    number = "+13055551234"
    async with pool.acquire() as connection:
        one = await real_floor(connection, "one", "us-fl")
        two = await real_floor(connection, "two", "us-tsr")
        given = ConsentEvent(number, "Acme", ConsentKind.GIVEN, NOON - DAY, "form", "anna")
        await consents.record(connection, [given])
        await add_lead(connection, one.list_id, number)
        await add_lead(connection, two.list_id, number)
        verdicts = []
        for index, floor in enumerate((one, two, one, two)):
            at = NOON + index * timedelta(minutes=10)
            await connection.execute(
                "UPDATE lead SET state = 'open', next_call_at = '-infinity', held_by = NULL"
            )
            batch = await claim(connection, floor, now=at)
            verdicts.append(len(batch.claimed) or dict(batch.denied))
            await end_call(connection, floor, number, at)

    assert [1, 1, 1, {Rule.FREQUENCY: 1}] == verdicts


async def test_frequency_counts_the_person_and_not_only_the_number(pool: Pool) -> None:
    """
    A person with two numbers on two lists gets the calls of one person.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection, profile="strict-default")
        other = await open_floor(connection, "autumn", profile="strict-default")
        [mine] = await add_leads(connection, floor.list_id, [["+12125550100"]])
        [theirs] = await add_leads(connection, other.list_id, [["+12125550101"]])
        await make_one_person(connection, mine, theirs)
        for hours in (3, 2, 1):
            await end_call(connection, other, "+12125550101", NOON - hours * HOUR)
        await connection.execute("UPDATE attempt SET lead_id = $1", theirs)

        batch = await claims.claim(
            connection, campaign=floor.campaign, epoch=1, now=NOON, count=1, slots=floor.slots(1)
        )

    assert {Rule.FREQUENCY: 1} == batch.denied


async def test_person_in_a_call_elsewhere_is_not_called_at_another_number(pool: Pool) -> None:
    """
    One person is never in two calls, not even at two numbers on two lists.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        other = await open_floor(connection, "autumn")
        [mine] = await add_leads(connection, floor.list_id, [["+12125550100"]])
        [theirs] = await add_leads(connection, other.list_id, [["+12125550101"]])
        await make_one_person(connection, mine, theirs)
        slots = floor.slots(1)
        first = await claims.claim(
            connection, campaign=other.campaign, epoch=1, now=NOON, count=1, slots=slots
        )
        second = await claims.claim(
            connection, campaign=floor.campaign, epoch=1, now=NOON, count=1, slots=slots
        )

    assert 1 == len(first.claimed)
    assert {Rule.PERSON_LIVE: 1} == second.denied


async def test_tcpa_3_opting_out_refuses_the_seller_in_every_campaign(pool: Pool) -> None:
    """
    TCPA-3: the key pressed during the announcement binds the seller's other campaigns at once.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        sister = await open_floor(connection, "autumn")
        stranger = await open_floor(connection, "winter", seller="Other")
        for each in (floor, sister, stranger):
            await add_lead(connection, each.list_id, "+12125550100")
        slots = floor.slots(1)
        [live] = (
            await claims.claim(
                connection, campaign=floor.campaign, epoch=1, now=NOON, count=1, slots=slots
            )
        ).claimed

        done = await suppressions.opt_out(connection, live.attempt_id)

        await connection.execute("DELETE FROM live_attempt")
        refused = await claims.claim(
            connection, campaign=sister.campaign, epoch=1, now=NOON, count=1, slots=slots
        )
        other = await claims.claim(
            connection, campaign=stranger.campaign, epoch=1, now=NOON, count=1, slots=slots
        )
        rows = await connection.fetch("SELECT seller, source FROM suppression")

    assert done is not None
    assert [] == refused.claimed
    assert 1 == len(other.claimed)
    assert [("Acme", suppressions.OPTED_OUT)] == [tuple(row) for row in rows]


async def test_gate_4_waiver_is_signed_ends_and_is_never_edited(pool: Pool) -> None:
    """
    GATE-4: a named person lifts one rule until a day; withdrawn it binds again; all is kept.
    """
    async with pool.acquire() as connection:
        floor = await real_floor(connection, law="us-tcpa")
        await add_lead(connection, floor.list_id, REAL)
        today = (await connection.fetchval("SELECT clock_timestamp()")).date()
        held = await claim(connection, floor)
        for rule in ("DNC", "NUMBER-EMERGENCY", "nonsense"):
            with pytest.raises(UserError, match="No waiver can lift"):
                await waivers.sign(connection, "spring", rule, by="C", reason="r", until=today)
        with pytest.raises(UserError, match="a year ahead"):
            await waivers.sign(
                connection, "spring", "TCPA-7", by="C", reason="r", until=today + 400 * DAY
            )
        await waivers.sign(
            connection, "spring", "TCPA-7", by="Counsel", reason="no ATDS", until=today + 30 * DAY
        )
        allowed = await claim(connection, floor)
        await connection.execute("DELETE FROM live_attempt")
        await connection.execute("UPDATE lead SET state = 'open'")
        await waivers.withdraw(connection, "spring", "TCPA-7", by="Counsel", reason="new ruling")
        again = await claim(connection, floor)
        kept = await connection.fetchval("SELECT count(*) FROM waiver_event")
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("UPDATE waiver_event SET until = NULL")

    assert {Rule.ONE_TO_ONE: 1} == held.denied
    assert 1 == len(allowed.claimed)
    assert {Rule.ONE_TO_ONE: 1} == again.denied
    assert 2 == kept


async def test_schedule_closes_the_campaign_and_leaves_its_leads_alone(pool: Pool) -> None:
    """
    Outside its own hours, in its breaks and on its days off a campaign calls nobody.
    """
    async with pool.acquire() as connection:
        floor = await open_floor(connection)
        lead_id = await add_lead(connection, floor.list_id, "+12125550100")
        # NOON is a Wednesday, 19:00 in Berlin.
        hours = {"mon_fri": ["09:00-18:00", "19:30-20:00"]}
        await schedules.put(connection, "spring", NewSchedule("Europe/Berlin", hours))
        slots = floor.slots(1)

        closed = await claims.claim(
            connection, campaign=floor.campaign, epoch=1, now=NOON, count=1, slots=slots
        )
        lead = await lead_row(connection, lead_id)
        opened = await claims.claim(
            connection, campaign=floor.campaign, epoch=1, now=NOON + HOUR / 2, count=1, slots=slots
        )

    assert ({Rule.SCHEDULE: 0}, []) == (closed.denied, closed.claimed)
    assert lead["held_by"] is None
    assert 1 == len(opened.claimed)


def test_cfg_1_start_is_refused_until_everything_is_there(
    dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    CFG-1: the refusal names each missing thing, and with all of them mended the campaign starts.
    """
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("DIALER_DATA", str(tmp_path / "data"))
    shell = Shell(dsn, capsys)
    leads = tmp_path / "leads.csv"
    leads.write_text("name,phone\nAnn,+12125551234\n")
    registry = tmp_path / "registry.txt"
    registry.write_text("+14155551234\n(415) 555-1235\n")
    today = datetime.now(UTC).date().isoformat()
    shell.ok("trunk", "add", "carrier", "--host", "192.0.2.9", "--caller-id", "+14155559876")
    shell.ok("campaign", "create", "Spring", "--seller", "Acme", "--profile", "us-tcpa",
             "--region", "US", "--trunk", "carrier", "--mode", "predictive")  # fmt: skip
    shell.ok("leads", "import", str(leads), "--campaign", "Spring")

    refused = shell("campaign", "start", "Spring")
    shell.ok("campaign", "set", "Spring", "--purpose", "renewals", "--set",
             "announcement={seller} called.")  # fmt: skip
    unsaid = shell("campaign", "start", "Spring")
    shell.ok("campaign", "set", "Spring", "--set",
             "announcement=This call was for telemarketing purposes on behalf of {seller}. To be "
             "called no more press 9 or dial +1 415 555 9876.")  # fmt: skip
    shell.ok("law", "prove-caller-id", "+14155559876", "--owner", "Acme", "--document", "letter",
             "--answered-by", "staff")  # fmt: skip
    loaded = shell.ok("law", "load-registry", str(registry), "--registry", "us-dnc", "--version",
                      today, "--by", "anna", "--json").json  # fmt: skip
    why = shell.ok("leads", "why", "+12125551234", "--json").json
    started = shell("campaign", "start", "Spring")
    law = shell.ok("law", "profile", "us-tsr+us-fdcpa", "--json").json
    reasons = shell.ok("campaign", "why", "Spring").out

    assert 2 == refused.code
    for thing in ("no purpose", "needs an announcement", "nobody has proven", "us-dnc was never"):
        assert thing in refused.err
    for thing in ("telemarketing purposes", "which key to press", "do-not-call requests"):
        assert thing in unsaid.err
    assert 2 == loaded["numbers"]
    assert "CAMPAIGN-STATE" in str(why)
    assert 0 == started.code, started.err
    assert (7, ["us-dnc"]) == (law["debt_calls_7d"], law["registries"])
    assert "Law forces one call per ready agent for 1 of 1 lead" in reasons


async def test_lead_why_names_every_rule_and_the_next_possible_call(pool: Pool) -> None:
    """
    `leads why` says all that holds a number, and when the last of it lifts.
    """
    async with pool.acquire() as connection:
        floor = await real_floor(connection, law="us-tsr+us-fdcpa")
        lead_id = await add_lead(connection, floor.list_id, REAL)
        await end_call(connection, floor, REAL, NOON - HOUR)
        await connection.execute("UPDATE attempt SET lead_id = $1", lead_id)
        night = NOON + 8 * HOUR

        waiting = await lead_reasons.explain_lead(connection, REAL, now=NOON)
        later = await lead_reasons.explain_lead(connection, REAL, now=night)

    [found] = waiting.leads
    assert ("REGF-GAP",) == tuple(rule for rule, _ in found.rules)
    assert NOON + HOUR == found.next_call_at
    [found] = later.leads
    assert ("HOURS-1",) == tuple(rule for rule, _ in found.rules)
    assert datetime(2026, 11, 19, 13, 0, tzinfo=UTC) == found.next_call_at
