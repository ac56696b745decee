"""The gate: each rule refuses on its own, all are named together, and unknown means no."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from campaigns.model import Allow, CampaignState, Deny, DoneReason, LeadState, TrunkKind
from campaigns.rules import profiles
from campaigns.rules.calling_hours import ALWAYS, WeeklyHours
from campaigns.rules.gate import (
    CHECKS,
    RULE_TEXT,
    WAIVABLE,
    CampaignFacts,
    Facts,
    LeadFacts,
    Rule,
    Schedule,
    TrunkFacts,
    may_dial,
    next_allowed,
)
from pacing import Mode

NOON = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)
STRICT = profiles.get("strict-default")
UK = profiles.get("uk-ofcom")
LAB_TRUNK = TrunkFacts(TrunkKind.LAB)
REAL_TRUNK = TrunkFacts(TrunkKind.REAL)

LEAD = LeadFacts(
    state=LeadState.OPEN,
    number="+12125550100",
    region="US",
    zones=("America/New_York",),
    attempts=0,
    next_call_at=None,
)
CAMPAIGN = CampaignFacts(
    state=CampaignState.RUNNING,
    mode=Mode.PREDICTIVE,
    regions=frozenset({"US", "GB"}),
    profile=STRICT,
    hours=STRICT.hours,
    max_attempts=3,
    ring_timeout_s=22.0,
)
FACTS = Facts(
    suppressed=False,
    litigator=False,
    reassigned=False,
    trunks=(LAB_TRUNK,),
    dialed_at=(),
    debt_dialed_at=(),
    listed_in=frozenset(),
    consented=False,
)


def test_ordinary_lead_at_noon_is_allowed() -> None:
    """
    When nothing speaks against a call, it is allowed.
    """
    assert Allow() == may_dial(LEAD, CAMPAIGN, NOON, FACTS)


def number(e164: str, region: str = "US") -> LeadFacts:
    """Return the lead with another number."""
    return replace(LEAD, number=e164, region=region)


HOUR = timedelta(hours=1)


def under(name: str, **changes: Any) -> CampaignFacts:
    """Return the campaign under another law."""
    law = profiles.get(name)
    return replace(CAMPAIGN, profile=law, hours=law.hours, **changes)


REAL_FACTS = replace(FACTS, trunks=(REAL_TRUNK,))
REAL_LEAD = replace(LEAD, number="+12125551234")
FRESH = {"us-dnc": NOON - timedelta(days=31)}
FLORIDA = replace(LEAD, number="+13055550100")
CONSENTED = replace(FACTS, consented=True)
# It is 19:00 there: France closes from 13:00 to 14:00, when it is 13:00 in New York.
PARIS = replace(LEAD, zones=("Europe/Paris",))

CASES: dict[str, tuple[LeadFacts, CampaignFacts, Facts, Rule]] = {
    "paused": (LEAD, replace(CAMPAIGN, state=CampaignState.PAUSED), FACTS, Rule.CAMPAIGN_STATE),
    "profile": (LEAD, replace(CAMPAIGN, profile=None, hours=None), FACTS, Rule.PROFILE),
    "schedule": (
        LEAD,
        replace(CAMPAIGN, schedule=Schedule("Europe/Berlin", WeeklyHours.every_day((540, 1140)))),
        FACTS,
        Rule.SCHEDULE,
    ),
    "schedule over": (
        LEAD,
        replace(CAMPAIGN, schedule=Schedule("UTC", ALWAYS, ends_on=date(2026, 11, 17))),
        FACTS,
        Rule.SCHEDULE,
    ),
    "registry missing": (
        REAL_LEAD,
        under("us-tsr", registries={}),
        REAL_FACTS,
        Rule.REGISTRY_STALE,
    ),
    "registry old": (
        REAL_LEAD,
        under("us-tsr", registries={"us-dnc": NOON - timedelta(days=31, seconds=1)}),
        REAL_FACTS,
        Rule.REGISTRY_STALE,
    ),
    "in call": (replace(LEAD, state=LeadState.IN_CALL), CAMPAIGN, FACTS, Rule.LEAD_STATE),
    "done": (replace(LEAD, state=LeadState.DONE), CAMPAIGN, FACTS, Rule.LEAD_STATE),
    "callback": (replace(LEAD, kept_until=NOON + HOUR), CAMPAIGN, FACTS, Rule.CALLBACK),
    "waits": (replace(LEAD, next_call_at=NOON + HOUR), CAMPAIGN, FACTS, Rule.RETRY),
    "attempts": (replace(LEAD, attempts=3), CAMPAIGN, FACTS, Rule.ATTEMPTS),
    "invalid": (number("+1212555010"), CAMPAIGN, FACTS, Rule.NUMBER_INVALID),
    "emergency": (number("+911"), CAMPAIGN, FACTS, Rule.NUMBER_EMERGENCY),
    "premium": (number("+19005551234"), CAMPAIGN, FACTS, Rule.NUMBER_PREMIUM),
    "976": (number("+12129761234"), CAMPAIGN, FACTS, Rule.NUMBER_PREMIUM),
    "personal": (number("+447012345678", "GB"), CAMPAIGN, FACTS, Rule.NUMBER_PREMIUM),
    "toll free": (number("+18005550100"), CAMPAIGN, FACTS, Rule.NUMBER_TOLL_FREE),
    "shared cost": (number("+491805123456", "DE"), CAMPAIGN, FACTS, Rule.NUMBER_SHARED_COST),
    "satellite": (number("+881612345678", ""), CAMPAIGN, FACTS, Rule.NUMBER_SATELLITE),
    "inmarsat": (number("+870773111632", ""), CAMPAIGN, FACTS, Rule.NUMBER_SATELLITE),
    "live": (LEAD, CAMPAIGN, replace(FACTS, number_live=True), Rule.NUMBER_LIVE),
    "person live": (LEAD, CAMPAIGN, replace(FACTS, person_live=True), Rule.PERSON_LIVE),
    "jamaica": (number("+18765550100", "JM"), CAMPAIGN, FACTS, Rule.REGION),
    "doctored region": (number("+18765550100", "US"), CAMPAIGN, FACTS, Rule.REGION),
    "real on lab": (REAL_LEAD, CAMPAIGN, FACTS, Rule.TRUNK_LAB),
    "lab on real": (LEAD, under("us-tsr", registries=FRESH), REAL_FACTS, Rule.TRUNK_REAL),
    "no trunk": (LEAD, CAMPAIGN, replace(FACTS, trunks=()), Rule.TRUNK_NONE),
    "trunk elsewhere": (
        LEAD,
        CAMPAIGN,
        replace(FACTS, trunks=(TrunkFacts(TrunkKind.LAB, frozenset({"GB"})),)),
        Rule.TRUNK_NONE,
    ),
    "caller id": (
        REAL_LEAD,
        under("us-tsr", registries=FRESH),
        replace(FACTS, trunks=(replace(REAL_TRUNK, owned=False),)),
        Rule.CALLER_ID,
    ),
    "suppressed": (LEAD, CAMPAIGN, replace(FACTS, suppressed=True), Rule.DNC),
    "suppression unknown": (LEAD, CAMPAIGN, replace(FACTS, suppressed=None), Rule.DNC_UNKNOWN),
    "screening unknown": (LEAD, CAMPAIGN, replace(FACTS, litigator=None), Rule.DNC_UNKNOWN),
    "litigator": (LEAD, CAMPAIGN, replace(FACTS, litigator=True), Rule.LITIGATOR),
    "reassigned": (LEAD, CAMPAIGN, replace(FACTS, reassigned=True), Rule.REASSIGNED),
    "registered": (
        LEAD,
        under("us-tsr"),
        replace(FACTS, listed_in=frozenset({"us-dnc"})),
        Rule.REGISTRY,
    ),
    "registry unread": (LEAD, under("us-tsr"), replace(FACTS, listed_in=None), Rule.REGISTRY),
    "relationship over": (
        LEAD,
        under("us-tsr"),
        replace(FACTS, listed_in=frozenset({"us-dnc"}), related_until=NOON),
        Rule.REGISTRY,
    ),
    "no consent": (LEAD, under("consent-only"), FACTS, Rule.CONSENT),
    "consent unknown": (PARIS, under("fr-conso"), replace(FACTS, consented=None), Rule.CONSENT),
    "no consent in Florida": (FLORIDA, under("us-tsr"), FACTS, Rule.CONSENT_AUTODIAL),
    "wireless": (LEAD, under("us-tcpa"), FACTS, Rule.ONE_TO_ONE),
    "no zone": (replace(LEAD, zones=()), CAMPAIGN, FACTS, Rule.ZONE_UNKNOWN),
    "closed somewhere": (
        replace(LEAD, zones=("America/New_York", "Pacific/Honolulu")),
        CAMPAIGN,
        FACTS,
        Rule.HOURS,
    ),
    # It is 12:00 in Chicago; a Kentucky number whose person is in Hawaii has 8:00 there, and the
    # state of their address opens at ten.
    "state opens later": (
        replace(LEAD, number="+12705550100", zones=("Pacific/Honolulu",)),
        under("us-tsr"),
        FACTS,
        Rule.STATE_HOURS,
    ),
    "address in another state": (
        replace(LEAD, zones=("Pacific/Honolulu",), state_of_address="KY"),
        under("us-tsr"),
        FACTS,
        Rule.STATE_HOURS,
    ),
    "calls today": (
        LEAD,
        CAMPAIGN,
        replace(FACTS, dialed_at=(NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR)),
        Rule.FREQUENCY,
    ),
    "calls unknown": (LEAD, CAMPAIGN, replace(FACTS, dialed_at=None), Rule.FREQUENCY),
    "calls in Florida": (
        FLORIDA,
        under("us-tsr"),
        replace(CONSENTED, dialed_at=(NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR)),
        Rule.FREQUENCY,
    ),
    "calls in Maine": (
        replace(LEAD, number="+12075550100"),
        under("us-tsr"),
        replace(FACTS, dialed_at=(NOON - 7 * HOUR,)),
        Rule.FREQUENCY_8H,
    ),
    "own limit": (
        LEAD,
        replace(CAMPAIGN, calls={604_800: 2}),
        replace(FACTS, dialed_at=(NOON - 160 * HOUR, NOON - 100 * HOUR)),
        Rule.FREQUENCY_7D,
    ),
    "calls of a month": (
        PARIS,
        under("fr-conso"),
        replace(CONSENTED, dialed_at=tuple(NOON - n * 100 * HOUR for n in (1, 2, 3, 7))),
        Rule.FREQUENCY_30D,
    ),
    "debt calls": (
        LEAD,
        under("us-fdcpa"),
        replace(
            FACTS,
            debt_dialed_at=(*(NOON - n * 24 * HOUR for n in range(6, 0, -1)), NOON - 3 * HOUR),
        ),
        Rule.DEBT_CALLS,
    ),
    "debt calls unknown": (
        LEAD,
        under("us-fdcpa"),
        replace(FACTS, debt_dialed_at=None),
        Rule.DEBT_CALLS,
    ),
    "debt talked about": (
        LEAD,
        under("us-fdcpa"),
        replace(FACTS, conversation_at=NOON - 6 * 24 * HOUR),
        Rule.DEBT_QUIET,
    ),
    "debt again": (
        LEAD,
        under("us-fdcpa"),
        replace(FACTS, debt_dialed_at=(NOON - HOUR,)),
        Rule.DEBT_GAP,
    ),
    "refused": (
        PARIS,
        under("fr-conso"),
        replace(CONSENTED, refused_at=NOON - 59 * 24 * HOUR),
        Rule.REFUSAL,
    ),
    "abandoned": (LEAD, CAMPAIGN, replace(FACTS, abandoned_at=NOON - 71 * HOUR), Rule.RECALL),
    "abandoned in Italy": (
        LEAD,
        under("it-garante"),
        replace(FACTS, abandoned_at=NOON - 121 * HOUR),
        Rule.RECALL_AGENT,
    ),
    "machine": (
        LEAD,
        under("uk-ofcom"),
        replace(FACTS, machine_at=NOON - 23 * HOUR),
        Rule.MACHINE_RECALL,
    ),
}


@pytest.mark.parametrize(("lead", "campaign", "facts", "rule"), CASES.values(), ids=CASES.keys())
def test_each_rule_refuses_alone(
    lead: LeadFacts, campaign: CampaignFacts, facts: Facts, rule: Rule
) -> None:
    """
    One thing wrong is enough, and it is the one that is named.
    """
    verdict = may_dial(lead, campaign, NOON, facts)

    assert isinstance(verdict, Deny)
    assert (rule,) == verdict.rules


@pytest.mark.parametrize(("lead", "campaign", "facts", "rule"), CASES.values(), ids=CASES.keys())
def test_each_case_passes_without_its_check(
    lead: LeadFacts, campaign: CampaignFacts, facts: Facts, rule: Rule
) -> None:
    """
    GATE-1: take any check out and the call it refused goes through, so no check is idle.
    """
    others = tuple(check for check in CHECKS if rule not in check.rules)

    assert len(CHECKS) - 1 == len(others)
    assert Allow() == may_dial(lead, campaign, NOON, facts, checks=others)


def test_every_rule_has_a_case_and_a_sentence() -> None:
    """
    No rule can be added without a check, a test that it refuses and a sentence that explains it.
    """
    tried = {rule for *_, rule in CASES.values()}
    # Short codes cannot be written as E.164; special services have no example in these regions.
    elsewhere = {Rule.NUMBER_SHORT, Rule.NUMBER_SPECIAL}

    assert set(Rule) == tried | elsewhere
    assert set(Rule) == set(RULE_TEXT)
    assert set(Rule) == {rule for check in CHECKS for rule in check.rules}


@pytest.mark.parametrize(("lead", "campaign", "facts", "rule"), CASES.values(), ids=CASES.keys())
def test_waiver_lifts_what_it_may_and_nothing_else(
    lead: LeadFacts, campaign: CampaignFacts, facts: Facts, rule: Rule
) -> None:
    """
    GATE-4: a signed waiver lifts its own rule if counsel may decide on it; no other can be lifted.
    """
    verdict = may_dial(lead, replace(campaign, waived=frozenset(Rule)), NOON, facts)
    alone = may_dial(lead, replace(campaign, waived=frozenset({rule})), NOON, facts)

    assert (rule in WAIVABLE) is isinstance(verdict, Allow)
    assert verdict == alone


def test_registry_may_be_31_days_old_to_the_second() -> None:
    """
    TSR-9: a version of exactly 31 days is still good; the case above is one second older.
    """
    campaign = under("us-tsr", registries=FRESH)

    assert Allow() == may_dial(REAL_LEAD, campaign, NOON, REAL_FACTS)


def test_relationship_and_consent_outrank_the_registry_but_not_the_person() -> None:
    """
    TSR-10, GATE-3: both exempt from the national registry; a request not to be called beats them.
    """
    listed = replace(FACTS, listed_in=frozenset({"us-dnc"}))
    related = replace(listed, related_until=NOON + HOUR)
    campaign = under("us-tsr")

    assert Allow() == may_dial(LEAD, campaign, NOON, related)
    assert Allow() == may_dial(LEAD, campaign, NOON, replace(listed, consented=True))
    both = replace(related, consented=True, suppressed=True)
    assert Deny((Rule.DNC,), DoneReason.SUPPRESSED, None) == may_dial(LEAD, campaign, NOON, both)


def test_seven_calls_on_monday_are_enough_until_next_monday() -> None:
    """
    REGF-1: the eighth call waits for the person's own midnight a week after the first seven.
    """
    monday = datetime(2026, 11, 16, 15, 0, tzinfo=UTC)
    calls = tuple(monday + n * timedelta(minutes=30) for n in range(7))
    facts = replace(FACTS, debt_dialed_at=calls)
    campaign = under("us-fdcpa")

    for day in range(1, 7):
        refused = may_dial(LEAD, campaign, monday + timedelta(days=day), facts)
        assert isinstance(refused, Deny)
        assert (Rule.DEBT_CALLS,) == refused.rules
    assert Allow() == may_dial(LEAD, campaign, monday + timedelta(days=7), facts)


def test_conversation_on_tuesday_is_followed_by_quiet_until_tuesday() -> None:
    """
    REGF-2: the day of the conversation is the first of the seven.
    """
    tuesday = datetime(2026, 11, 17, 20, 0, tzinfo=UTC)
    facts = replace(FACTS, conversation_at=tuesday)
    campaign = under("us-fdcpa")
    monday, again = (datetime(2026, 11, day, 15, 0, tzinfo=UTC) for day in (23, 24))

    assert isinstance(may_dial(LEAD, campaign, monday, facts), Deny)
    assert Allow() == may_dial(LEAD, campaign, again, facts)


def test_free_agent_or_landline_lifts_the_one_to_one_rule() -> None:
    """
    TCPA-7: an agent behind the call, consent, or a line known not to be wireless.
    """
    campaign = under("us-tcpa")

    assert Allow() == may_dial(LEAD, replace(campaign, one_to_one=True), NOON, FACTS)
    assert Allow() == may_dial(LEAD, campaign, NOON, CONSENTED)
    assert Allow() == may_dial(replace(LEAD, landline=True), campaign, NOON, FACTS)


@pytest.mark.parametrize(
    ("law", "number", "region", "zone", "day"),
    [
        ("uk-ofcom", "+442079460001", "GB", "Europe/London", "2026-12-28"),
        ("strict-default", "+12125550100", "US", "America/New_York", "2026-11-26"),
        # Confederate Memorial Day, in Alabama only; the federal law alone would allow it.
        ("us-tsr", "+12055550100", "US", "America/Chicago", "2026-04-27"),
        # Independence Day falls on a Saturday: its observed Friday is closed too (ST-4).
        ("us-tsr", "+12055550100", "US", "America/Chicago", "2026-07-03"),
    ],
)
def test_holidays_are_closed(law: str, number: str, region: str, zone: str, day: str) -> None:
    """
    ST-4: public holidays close, those of one state and observed days too.
    """
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone))
    lead = replace(LEAD, number=number, region=region, zones=(zone,))

    verdict = may_dial(lead, under(law), noon, CONSENTED)

    assert isinstance(verdict, Deny)
    assert {Rule.HOURS, Rule.STATE_HOURS} >= set(verdict.rules)


def test_all_refusing_rules_are_named() -> None:
    """
    Who asks why a lead is not called gets every reason, not the first.
    """
    lead = replace(LEAD, attempts=9, zones=())

    verdict = may_dial(lead, CAMPAIGN, NOON, replace(FACTS, suppressed=True))

    assert isinstance(verdict, Deny)
    assert {Rule.ATTEMPTS, Rule.ZONE_UNKNOWN, Rule.DNC} == set(verdict.rules)


def test_suppression_is_the_reason_on_record() -> None:
    """
    When several rules end a lead, suppression is the one that is kept (GATE-3).
    """
    verdict = may_dial(replace(LEAD, attempts=9), CAMPAIGN, NOON, replace(FACTS, suppressed=True))

    assert isinstance(verdict, Deny)
    assert DoneReason.SUPPRESSED is verdict.final


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-11-18T13:59:59", False),
        ("2026-11-18T14:00:00", True),
        # 20:00 New York is 01:00 UTC; ring timeout 22 s and a minute before it is too late.
        ("2026-11-19T00:58:37", True),
        ("2026-11-19T00:58:38", False),
        ("2026-11-19T01:00:00", False),
    ],
)
def test_no_phone_rings_outside_the_hours(at: str, *, allowed: bool) -> None:
    """
    HOURS-1: calls start in [start, end), early enough to have rung out before the end.
    """
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)

    assert allowed is isinstance(may_dial(LEAD, CAMPAIGN, now, FACTS), Allow)


def test_fourth_call_is_free_a_day_after_the_first() -> None:
    """
    The lead is asked again exactly when the oldest of the day's calls is 24 hours old.
    """
    calls = (NOON - 5 * HOUR, NOON - 2 * HOUR, NOON - HOUR)

    verdict = may_dial(LEAD, CAMPAIGN, NOON, replace(FACTS, dialed_at=calls))

    assert isinstance(verdict, Deny)
    assert 19 * 3600 == verdict.ask_again_s


def test_preview_may_call_again_after_an_abandoned_call() -> None:
    """
    RECALL-1 spares calls for which an agent is on the line beforehand.
    """
    preview = replace(CAMPAIGN, mode=Mode.PREVIEW)

    assert Allow() == may_dial(LEAD, preview, NOON, replace(FACTS, abandoned_at=NOON - HOUR))


def test_lab_profile_dials_fiction_only_even_through_a_real_trunk() -> None:
    """
    Under profile lab no number of a real person is allowed, whatever trunk is attached.
    """
    lab = profiles.get("lab")
    campaign = replace(CAMPAIGN, profile=lab, hours=lab.hours)

    verdict = may_dial(number("+12125551234"), campaign, NOON, replace(FACTS, trunks=(REAL_TRUNK,)))

    assert isinstance(verdict, Deny)
    assert (Rule.TRUNK_LAB,) == verdict.rules


def test_next_call_is_found_across_several_waits() -> None:
    """
    A retry wait that ends at night leads on to the next morning.
    """
    lead = replace(LEAD, next_call_at=NOON + 12 * HOUR)

    assert datetime(2026, 11, 19, 14, 0, tzinfo=UTC) == next_allowed(lead, CAMPAIGN, NOON, FACTS)


def test_next_call_is_unknown_when_people_must_act() -> None:
    """
    What only a setting or a person can lift has no time.
    """
    assert None is next_allowed(LEAD, CAMPAIGN, NOON, replace(FACTS, suppressed=True))
    assert None is next_allowed(number("+18765550100", "JM"), CAMPAIGN, NOON, FACTS)


def test_campaign_weekdays_close_the_others() -> None:
    """
    On a weekday the campaign does not call, the window opens on the next one it does.
    """
    thursdays = replace(CAMPAIGN, hours=WeeklyHours.every_day((540, 1200)).only((3,)))

    assert datetime(2026, 11, 19, 14, 0, tzinfo=UTC) == next_allowed(LEAD, thursdays, NOON, FACTS)
