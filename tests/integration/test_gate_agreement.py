"""GATE-1: what the claim takes from real rows is what the pure gate allows, lead by lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from campaigns.model import (
    Allow,
    CampaignSettings,
    CampaignState,
    LeadState,
    TrunkKind,
    new_id,
)
from campaigns.rules import profiles, registries
from campaigns.rules.dialable_numbers import examine
from campaigns.rules.gate import CampaignFacts, Facts, LeadFacts, Rule, TrunkFacts, may_dial
from campaigns.rules.zones import candidate_zones
from campaigns.stores import claims
from pacing import Mode
from tests.lists import NOON, Floor, add_list, open_floor

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

DAY = timedelta(days=1)
NUMBERS = (
    "+12125551234",
    "+13055551234",
    "+12075551234",
    "+12705551234",
    "+12055551234",
    "+14155550123",
    "+442071234567",
    "+447911123456",
    "+390612345678",
    "+33123456789",
    "+16135551234",
    "+61212345678",
    "+18765551234",
    "+19005551234",
    "+18005551234",
)
REGIONS = ("US", "GB", "IT", "FR", "CA", "AU")


@dataclass(slots=True)
class Past:
    """A call that was made, as a test knows it."""

    number: str
    subject: UUID
    debt: str
    at: datetime
    abandoned: bool
    machine: bool
    talked: bool
    refused: bool
    busy: bool


@dataclass(slots=True)
class Person:
    """A lead as a test makes it; everything about it is known here and in rows."""

    id: UUID
    subject: UUID
    number: str
    attempts: int
    due: datetime | None
    done: bool
    state: str | None
    landline: bool
    debt: str
    suppressed: bool = False
    litigator: bool = False
    reassigned: bool = False
    listed: frozenset[str] = frozenset()
    consented: bool = False
    revoked: bool = False
    related: timedelta | None = None
    past: list[Past] = field(default_factory=list)


def some_person(random: Random, number: str, now: datetime) -> Person:
    """Return a lead about which one thing is wrong, or none, seldom more: so that each decides."""
    who = Person(
        id=new_id(),
        subject=new_id(),
        number=number,
        attempts=random.randrange(3),
        due=None,
        done=False,
        state=None,
        landline=random.random() < 0.3,
        debt=random.choice(("", "loan")),
        consented=random.random() < 0.7,
    )
    for flaw in random.sample(FLAWS, random.choice((0, 1, 1, 1, 2))):
        flaw(random, who, now)
    return who


def _calls(random: Random, who: Person, now: datetime, **what: bool) -> None:
    """Give the number calls of the last hours, days or weeks."""
    hours: tuple[int, ...] = random.choice(
        ((1,), (3, 7, 20), (23, 23, 23), (30, 30), (70,), (100, 150), (700,) * 4)
    )
    if what.get("many"):
        hours = tuple(random.choice((5, 20, 60, 100, 150)) for _ in range(8))
    who.past += [
        Past(
            number=who.number,
            subject=new_id(),
            debt=random.choice(("", "loan")),
            at=now - timedelta(hours=ago),
            abandoned=what.get("abandoned", False),
            machine=what.get("machine", False),
            talked=what.get("talked", False),
            refused=what.get("refused", False),
            busy=what.get("busy", False),
        )
        for ago in hours
    ]


def _listed(random: Random, who: Person, _: datetime) -> None:
    who.listed = frozenset(registries.table())
    who.consented = random.random() < 0.3
    who.related = timedelta(days=random.choice((30, 200, 600))) if random.random() < 0.5 else None


def _revoked(_: Random, who: Person, __: datetime) -> None:
    who.listed = frozenset(registries.table())
    who.consented = who.revoked = True


def _due(random: Random, who: Person, now: datetime) -> None:
    who.due = now + random.choice((-1, 1)) * timedelta(minutes=5)


def _set(**values: Any) -> Callable[[Random, Person, datetime], None]:
    def flaw(_: Random, who: Person, __: datetime) -> None:
        for name, value in values.items():
            setattr(who, name, value)

    return flaw


def _past(**what: bool) -> Callable[[Random, Person, datetime], None]:
    return lambda random, who, now: _calls(random, who, now, **what)


FLAWS: tuple[Callable[[Random, Person, datetime], None], ...] = (
    _listed,
    _listed,
    _revoked,
    _due,
    _set(done=True),
    _set(attempts=5),
    _set(consented=False, landline=False),
    _set(suppressed=True),
    _set(litigator=True),
    _set(reassigned=True),
    _set(state="KY"),
    _set(state="AL"),
    _past(),
    _past(many=True),
    _past(many=True, busy=True),
    _past(abandoned=True),
    _past(machine=True),
    _past(talked=True),
    _past(refused=True),
)


async def write(connection: Connection, floor: Floor, list_id: UUID, who: Person) -> None:
    """Put a lead and all that is known about it into rows."""
    seller = floor.campaign.seller
    await connection.execute("INSERT INTO subject (id) VALUES ($1)", who.subject)
    await connection.execute(
        "INSERT INTO lead (id, list_id, subject_id, next_call_at, attempts_before, address_state,"
        " debt, state, done_reason) VALUES ($1, $2, $3, coalesce($4, '-infinity'::timestamptz), $5,"
        " $6, nullif($7, ''), $8, $9)",
        who.id,
        list_id,
        who.subject,
        who.due,
        who.attempts,
        who.state,
        who.debt,
        "done" if who.done else "open",
        "reached" if who.done else None,
    )
    region = examine(who.number).region
    await connection.execute(
        "INSERT INTO lead_number (id, lead_id, position, number, region, zones, landline)"
        " VALUES ($1, $2, 0, $3, $4, $5, $6)",
        new_id(),
        who.id,
        who.number,
        region,
        list(candidate_zones(who.number, region)),
        who.landline,
    )
    if who.suppressed:
        await connection.execute(
            "INSERT INTO suppression (id, seller, number, source) VALUES ($1, $2, $3, 'test')",
            new_id(),
            seller,
            who.number,
        )
    for kind, said in (("litigator", who.litigator), ("reassigned", who.reassigned)):
        # An older opposite answer must not count.
        for answer, at in (("no" if said else "yes", 2 * DAY), ("yes" if said else "no", DAY)):
            await connection.execute(
                "INSERT INTO number_screening (id, number, kind, answer, checked_at, source)"
                " VALUES ($1, $2, $3, $4, $5, 'test')",
                new_id(),
                who.number,
                kind,
                answer,
                NOON - at,
            )
    for name in who.listed:
        await connection.execute(
            "INSERT INTO registry_number (registry, number) VALUES ($1, $2)", name, who.number
        )
    events = [("given", 9 * DAY)] if who.consented else []
    events += [("revoked", 3 * DAY)] if who.revoked else []
    events += [("transaction", who.related)] if who.related else []
    for event, ago in events:
        await connection.execute(
            "INSERT INTO consent_event (id, number, seller, kind, happened_at, source, recorded_by)"
            " VALUES ($1, $2, $3, $4, $5, 'test', 'test')",
            new_id(),
            who.number,
            seller,
            event,
            NOON - ago,
        )
    for call in who.past:
        await write_past(connection, floor, who, call)


async def write_past(connection: Connection, floor: Floor, who: Person, call: Past) -> None:
    """Write a closed attempt, made to the person's number from a lead of theirs or of nobody's."""
    lead_id = who.id if call.debt == who.debt else new_id()
    await connection.execute(
        """
        INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode,
                             epoch, process_id, trunk_id, caller_id, timers, screening, reservation,
                             outcome, verdict, disposition, joined_at, claimed_at, dialing_at,
                             ended_at, charged, answered_by_person, abandoned)
        VALUES ($1, $2, $3, $4, $5, 'US', 'predictive', 1, $6, $7, '', '{}', 'none', 'none', $8, $9,
                $10, $11, $12, $12, $12, false, true, $13)
        """,
        new_id(),
        floor.campaign.id,
        lead_id,
        new_id(),
        call.number,
        floor.process_id,
        floor.trunk_id,
        "busy" if call.busy else "answered",
        "machine" if call.machine else None,
        "not_interested" if call.refused else None,
        call.at if call.talked else None,
        call.at,
        call.abandoned,
    )


def expected(
    who: Person, campaign: CampaignFacts, trunks: tuple[TrunkFacts, ...], now: datetime
) -> bool:
    """Say whether the pure gate allows the call, from what the test knows about the person."""
    lead = LeadFacts(
        state=LeadState.DONE if who.done else LeadState.OPEN,
        number=who.number,
        region=examine(who.number).region,
        zones=candidate_zones(who.number, examine(who.number).region),
        attempts=who.attempts,
        next_call_at=who.due,
        state_of_address=who.state,
        landline=who.landline,
    )
    ended = [call.at for call in who.past]
    # Of other leads' calls to the number, nobody knows whose debt they were about.
    mine = [call for call in who.past if call.debt == who.debt]
    related = None
    if who.related is not None:
        # 18 calendar months, near enough for the three distances that are drawn.
        related = NOON - who.related + timedelta(days=547)
    facts = Facts(
        suppressed=who.suppressed,
        litigator=who.litigator,
        reassigned=who.reassigned,
        trunks=trunks,
        dialed_at=ended,
        abandoned_at=max((c.at for c in who.past if c.abandoned), default=None),
        machine_at=max((c.at for c in who.past if c.machine), default=None),
        debt_dialed_at=[c.at for c in mine if not c.busy],
        conversation_at=max((c.at for c in mine if c.talked), default=None),
        refused_at=max((c.at for c in who.past if c.refused), default=None),
        listed_in=who.listed,
        related_until=related,
        consented=who.consented and not who.revoked,
    )
    return isinstance(may_dial(lead, campaign, now, facts), Allow)


async def play(connection: Connection, seed: int) -> tuple[set[str], set[str]]:
    """Make a random world of *seed*; return the numbers claimed and those the gate allows."""
    random = Random(seed)
    law = random.choice([*(set(profiles.PROFILES) - {"lab"}), "us-tsr+us-fdcpa", "us-fl+uk-ofcom"])
    # Mostly while it is daytime somewhere that the campaign calls.
    now = NOON + timedelta(minutes=random.choice((-600, -200, -90, -45, 0, 30, 100, 180, 400)))
    mode = random.choice(list(Mode))
    settings = CampaignSettings(max_attempts=5, calls=random.choice(({}, {"7d": 3})))
    regions = tuple(random.sample(REGIONS, 5))
    floor = await open_floor(
        connection,
        f"spring {seed}",
        profile=law,
        mode=mode,
        settings=settings,
        kind=TrunkKind.REAL,
        regions=regions,
    )
    proven = random.random() < 0.9
    if proven:
        await connection.execute("UPDATE caller_id SET owner = 'Acme', authorisation = 'letter'")
    age = random.choice((1, 3, 3, 3, 8, 40)) * DAY
    versions = dict.fromkeys(registries.table(), NOON - age)
    for name, version_at in versions.items():
        await connection.execute(
            "INSERT INTO registry_version (id, registry, version_at, loaded_by, file, sha256,"
            " numbers) VALUES ($1, $2, $3, 'test', '', '', 1)",
            new_id(),
            name,
            version_at,
        )
    waived = frozenset(random.sample([Rule.CONSENT, Rule.ONE_TO_ONE, Rule.REGISTRY_STALE], 1))
    for rule in waived:
        await connection.execute(
            "INSERT INTO waiver_event (id, campaign_id, rule, kind, signed_by, reason, until)"
            " VALUES ($1, $2, $3, 'signed', 'counsel', 'test', $4)",
            new_id(),
            floor.campaign.id,
            rule,
            (now + DAY).date(),
        )
    one_to_one = random.random() < 0.5
    found = profiles.find(law, on=now.date())
    assert found is not None
    campaign = CampaignFacts(
        state=CampaignState.RUNNING,
        mode=mode,
        regions=frozenset(regions),
        profile=found,
        hours=found.hours,
        max_attempts=5,
        ring_timeout_s=22.0,
        calls={604_800: 3} if settings.calls else {},
        registries=versions,
        waived=waived,
        one_to_one=one_to_one,
    )
    trunks = (TrunkFacts(TrunkKind.REAL, None, owned=proven),)
    people = [some_person(random, number, now) for number in NUMBERS]
    list_id = await add_list(connection, floor.campaign.id)
    for who in people:
        await write(connection, floor, list_id, who)
    batch = await claims.claim(
        connection,
        campaign=floor.campaign,
        epoch=1,
        now=now,
        count=50,
        slots=floor.slots(50, kind=TrunkKind.REAL),
        one_to_one=one_to_one,
    )
    return (
        {claimed.number for claimed in batch.claimed},
        {who.number for who in people if expected(who, campaign, trunks, now)},
    )


@pytest.mark.parametrize("first", range(0, 60, 20))
async def test_claim_and_gate_never_disagree(pool: Pool, first: int) -> None:
    """
    Over random leads, laws, modes, waivers and hours the claim takes exactly what the gate allows.
    """
    claimed = 0
    async with pool.acquire() as connection:
        for seed in range(first, first + 20):
            world = connection.transaction()
            await world.start()
            try:
                taken, allowed = await play(connection, seed)
            finally:
                await world.rollback()
            assert allowed == taken, f"seed {seed}"
            claimed += len(taken)

    # Worlds in which nobody may be called prove nothing.
    assert claimed > 30
