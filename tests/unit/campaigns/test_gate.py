"""The gate: each rule refuses on its own, all are named together, and unknown means no."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.model import Allow, CampaignState, Deny, DoneReason, LeadState, TrunkKind
from campaigns.rules import profiles
from campaigns.rules.calling_hours import WeeklyHours
from campaigns.rules.gate import (
    RULE_TEXT,
    CampaignFacts,
    Facts,
    LeadFacts,
    Rule,
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
FACTS = Facts(suppressed=False, trunks=(LAB_TRUNK,), dialed_at=())


def test_ordinary_lead_at_noon_is_allowed() -> None:
    """
    When nothing speaks against a call, it is allowed.
    """
    assert Allow() == may_dial(LEAD, CAMPAIGN, NOON, FACTS)


def number(e164: str, region: str = "US") -> LeadFacts:
    """Return the lead with another number."""
    return replace(LEAD, number=e164, region=region)


HOUR = timedelta(hours=1)

CASES = {
    "paused": (LEAD, replace(CAMPAIGN, state=CampaignState.PAUSED), FACTS, Rule.CAMPAIGN_STATE),
    "profile": (LEAD, replace(CAMPAIGN, profile=None, hours=None), FACTS, Rule.PROFILE),
    "in call": (replace(LEAD, state=LeadState.IN_CALL), CAMPAIGN, FACTS, Rule.LEAD_STATE),
    "done": (replace(LEAD, state=LeadState.DONE), CAMPAIGN, FACTS, Rule.LEAD_STATE),
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
    "jamaica": (number("+18765550100", "JM"), CAMPAIGN, FACTS, Rule.REGION),
    "doctored region": (number("+18765550100", "US"), CAMPAIGN, FACTS, Rule.REGION),
    "real on lab": (number("+12125551234"), CAMPAIGN, FACTS, Rule.TRUNK_LAB),
    "lab on real": (LEAD, CAMPAIGN, replace(FACTS, trunks=(REAL_TRUNK,)), Rule.TRUNK_REAL),
    "no trunk": (LEAD, CAMPAIGN, replace(FACTS, trunks=()), Rule.TRUNK_NONE),
    "trunk elsewhere": (
        LEAD,
        CAMPAIGN,
        replace(FACTS, trunks=(TrunkFacts(TrunkKind.LAB, frozenset({"GB"})),)),
        Rule.TRUNK_NONE,
    ),
    "suppressed": (LEAD, CAMPAIGN, replace(FACTS, suppressed=True), Rule.DNC),
    "suppression unknown": (LEAD, CAMPAIGN, replace(FACTS, suppressed=None), Rule.DNC_UNKNOWN),
    "no zone": (replace(LEAD, zones=()), CAMPAIGN, FACTS, Rule.ZONE_UNKNOWN),
    "closed somewhere": (
        replace(LEAD, zones=("America/New_York", "Pacific/Honolulu")),
        CAMPAIGN,
        FACTS,
        Rule.HOURS,
    ),
    "calls today": (
        LEAD,
        CAMPAIGN,
        replace(FACTS, dialed_at=(NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR)),
        Rule.FREQUENCY,
    ),
    "calls unknown": (LEAD, CAMPAIGN, replace(FACTS, dialed_at=None), Rule.FREQUENCY),
    "abandoned": (LEAD, CAMPAIGN, replace(FACTS, abandoned_at=NOON - 71 * HOUR), Rule.RECALL),
    "machine": (
        LEAD,
        replace(CAMPAIGN, profile=UK, hours=UK.hours),
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


def test_every_rule_has_a_case_and_a_sentence() -> None:
    """
    No rule can be added without a test that it refuses and a sentence that explains it.
    """
    tried = {rule for *_, rule in CASES.values()}
    # Short codes cannot be written as E.164; special services have no example in these regions.
    elsewhere = {Rule.NUMBER_SHORT, Rule.NUMBER_SPECIAL}

    assert set(Rule) == tried | elsewhere
    assert set(Rule) == set(RULE_TEXT)


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
