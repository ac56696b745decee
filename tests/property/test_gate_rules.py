"""The gate against an oracle that reads wall clocks, and against its own promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from campaigns.model import Allow, CampaignState, Deny, LeadState, TrunkKind
from campaigns.rules import registries
from campaigns.rules.calling_hours import WeeklyHours, window
from campaigns.rules.dialable_numbers import (
    DialPlan,
    NumberFormat,
    NumberKind,
    dial_string,
    examine,
    is_emergency,
    refuse_dialed,
)
from campaigns.rules.gate import CampaignFacts, Facts, LeadFacts, Rule, TrunkFacts, may_dial
from campaigns.rules.profiles import PROFILES
from pacing import Mode

ZONES = (
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "Pacific/Honolulu",
    "Europe/London",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
)
moments = st.integers(0, 2 * 365 * 86_400).map(
    lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)
numbers = st.sampled_from(
    (
        ("+12125550100", "US"),
        ("+18765550100", "JM"),
        ("+442079460001", "GB"),
        ("+12125551234", "US"),
        ("+19005551234", "US"),
        ("+18005550100", "US"),
        ("+881612345678", ""),
        ("+911", ""),
        ("nonsense", ""),
    )
)
zones = st.lists(st.sampled_from(ZONES), unique=True, max_size=3).map(tuple)
spans = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda s: s[0] < s[1])
weeks = st.lists(st.lists(spans, max_size=2).map(tuple), min_size=7, max_size=7).map(
    lambda days: WeeklyHours(tuple(days))
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[LeadFacts, CampaignFacts, datetime, Facts]:
    """Return a lead, a campaign, a moment and facts, most of them ordinary."""
    now = draw(moments)
    number, region = draw(numbers)
    profile = draw(st.sampled_from((None, *PROFILES.values())))
    ago = st.timedeltas(timedelta(0), timedelta(days=4)).map(lambda back: now - back)
    lead = LeadFacts(
        state=draw(st.sampled_from(LeadState)),
        number=number,
        region=draw(st.sampled_from((region, "US"))),
        zones=draw(zones),
        attempts=draw(st.integers(0, 6)),
        next_call_at=draw(st.none() | ago | ago.map(lambda at: at + timedelta(days=4))),
    )
    campaign = CampaignFacts(
        state=draw(st.sampled_from(CampaignState)),
        mode=draw(st.sampled_from(Mode)),
        regions=draw(st.frozensets(st.sampled_from(("US", "GB", "JM")))),
        profile=profile,
        hours=None if profile is None else profile.hours,
        max_attempts=draw(st.integers(1, 5)),
        ring_timeout_s=22.0,
        registries=draw(
            st.none()
            | st.just({name: now - timedelta(days=3) for name in registries.table()})
            | st.dictionaries(st.sampled_from(tuple(registries.table())), ago)
        ),
        one_to_one=draw(st.booleans()),
    )
    facts = Facts(
        suppressed=draw(st.sampled_from((None, True, False, False))),
        number_live=draw(st.booleans()),
        trunks=draw(
            st.lists(
                st.builds(
                    TrunkFacts,
                    st.sampled_from(TrunkKind),
                    st.none() | st.frozensets(st.sampled_from(("US", "GB"))),
                ),
                max_size=2,
            )
        ),
        dialed_at=draw(st.none() | st.lists(ago, max_size=5)),
        abandoned_at=draw(st.none() | ago),
        machine_at=draw(st.none() | ago),
        litigator=draw(st.sampled_from((None, True, False, False))),
        reassigned=draw(st.sampled_from((None, True, False, False))),
        person_live=draw(st.booleans()),
        debt_dialed_at=draw(st.none() | st.lists(ago, max_size=9)),
        conversation_at=draw(st.none() | ago),
        refused_at=draw(st.none() | ago),
        listed_in=draw(st.none() | st.frozensets(st.sampled_from(("us-dnc", "uk-tps")))),
        related_until=draw(st.none() | ago.map(lambda at: at + timedelta(days=2))),
        consented=draw(st.sampled_from((None, True, False))),
    )
    return lead, campaign, now, facts


@st.composite
def calls(draw: st.DrawFn) -> tuple[LeadFacts, CampaignFacts, datetime, Facts]:
    """Return a situation in which only little can be wrong, so that many are allowed."""
    lead, campaign, now, facts = draw(situations())
    number, region = draw(numbers)
    return (
        replace(lead, state=LeadState.OPEN, number=number, region=region, attempts=0),
        replace(campaign, state=CampaignState.RUNNING, regions=frozenset({"US", "GB"})),
        now,
        replace(
            facts,
            suppressed=False,
            litigator=False,
            reassigned=False,
            number_live=False,
            person_live=False,
            trunks=(TrunkFacts(TrunkKind.LAB), TrunkFacts(TrunkKind.REAL)),
        ),
    )


def is_daytime(lead: LeadFacts, campaign: CampaignFacts, now: datetime) -> bool:
    """Say whether every wall clock is inside the hours: the oracle."""
    assert campaign.hours is not None
    if not lead.zones:
        return False
    for zone in lead.zones:
        local = now.astimezone(ZoneInfo(zone))
        minutes = local.hour * 60 + local.minute + local.second / 60
        spans = campaign.hours.days[local.weekday()]
        if not any(start <= minutes < end for start, end in spans):
            return False
    return True


@given(situations() | calls())
def test_allowed_calls_break_no_rule(
    situation: tuple[LeadFacts, CampaignFacts, datetime, Facts],
) -> None:
    """
    Whatever the gate allows, each rule read on its own allows too.
    """
    lead, campaign, now, facts = situation
    if not isinstance(may_dial(lead, campaign, now, facts), Allow):
        return

    profile = campaign.profile
    assert profile is not None
    assert CampaignState.RUNNING is campaign.state
    assert LeadState.OPEN is lead.state
    assert lead.attempts < campaign.max_attempts
    assert lead.next_call_at is None or lead.next_call_at <= now
    assert NumberKind.ORDINARY is examine(lead.number).kind
    assert lead.region in campaign.regions
    assert examine(lead.number).is_fictional or not profile.lab_only
    assert False is facts.suppressed
    assert not facts.number_live
    assert not facts.person_live
    assert False is facts.litigator
    assert False is facts.reassigned
    assert facts.consented or not profile.consent_required
    assert is_daytime(lead, campaign, now)
    day = [at for at in facts.dialed_at or () if at > now - timedelta(days=1)]
    assert profile.attempts_24h is None or len(day) < profile.attempts_24h
    if profile.recall_block_s is not None and campaign.mode is not Mode.PREVIEW:
        rest = timedelta(seconds=profile.recall_block_s)
        assert facts.abandoned_at is None or facts.abandoned_at + rest <= now


@given(situations())
def test_refusal_says_why_and_when(
    situation: tuple[LeadFacts, CampaignFacts, datetime, Facts],
) -> None:
    """
    A refusal names at least one rule, each once, and is either final or to be asked again.
    """
    verdict = may_dial(*situation)

    if isinstance(verdict, Deny):
        assert verdict.rules
        assert len(set(verdict.rules)) == len(verdict.rules)
        assert (verdict.final is None) is (verdict.ask_again_s is not None)
        assert verdict.ask_again_s is None or verdict.ask_again_s > 0


@given(situations() | calls(), st.sampled_from(ZONES))
def test_more_against_a_call_never_allows_it(
    situation: tuple[LeadFacts, CampaignFacts, datetime, Facts], zone: str
) -> None:
    """
    Another zone, a suppression, a call today or a lost trunk can only turn yes into no.
    """
    lead, campaign, now, facts = situation
    if isinstance(may_dial(lead, campaign, now, facts), Allow):
        return
    worse = (
        (replace(lead, zones=(*lead.zones, zone)) if lead.zones else lead, facts),
        (lead, replace(facts, suppressed=True)),
        (lead, replace(facts, trunks=facts.trunks[1:])),
        (lead, replace(facts, dialed_at=(*(facts.dialed_at or ()), now))),
        (replace(lead, attempts=lead.attempts + 1), facts),
    )

    for worse_lead, worse_facts in worse:
        known = worse_facts if facts.dialed_at is not None else facts
        assert isinstance(may_dial(worse_lead, campaign, now, known), Deny)


@given(weeks, zones.filter(bool), moments, st.sampled_from((0.0, 82.0, 3600.0)))
def test_window_agrees_with_the_wall_clock(
    hours: WeeklyHours, places: tuple[str, ...], now: datetime, margin: float
) -> None:
    """
    An open window means daytime on each wall clock, now and until the margin is over.
    """
    found = window(hours, places, now, before_end_s=margin)

    if found.is_open:
        for zone in places:
            local = now.astimezone(ZoneInfo(zone))
            minutes = local.hour * 60 + local.minute + local.second / 60
            assert any(start <= minutes < end for start, end in hours.days[local.weekday()])
        if margin:
            # A phone that starts ringing now stops ringing inside the window.
            assert window(
                hours, places, now + timedelta(seconds=margin - 1), before_end_s=0
            ).is_open


@given(weeks, zones.filter(bool), moments)
def test_named_opening_is_one(hours: WeeklyHours, places: tuple[str, ...], now: datetime) -> None:
    """
    When the window is closed, it is open at the moment it names, and not a minute before.
    """
    found = window(hours, places, now, before_end_s=60)
    if found.is_open or found.opens_in_s is None:
        return

    opening = now + timedelta(seconds=found.opens_in_s)
    before = opening - timedelta(seconds=1)

    assert window(hours, places, opening, before_end_s=60).is_open
    assert before <= now or not window(hours, places, before, before_end_s=60).is_open


@given(
    st.text("0123456789+*#9 1", max_size=16),
    st.sampled_from(NumberFormat),
    st.sampled_from(("", "9", "0", "00", "1234#")),
    st.sampled_from((None, "US", "GB", "DE", "IN", "AU")),
    st.sampled_from(TrunkKind),
)
def test_no_string_reaches_what_must_not_be_dialed(
    text: str, written: NumberFormat, prefix: str, country: str | None, kind: TrunkKind
) -> None:
    """
    Whatever string arrives, one that leaves is long, ordinary, and of the trunk's kind.
    """
    plan = DialPlan(written, prefix, country or ("US" if written == "national" else None))
    dialed = prefix + text

    if refuse_dialed(dialed, plan=plan, kind=kind) is None:
        assert not is_emergency(dialed)
        assert not dialed.startswith(("911", "112")) or country == "IN"
        assert len([digit for digit in text if digit.isdigit()]) >= 7


@given(st.integers(0, 799), st.integers(0, 99), st.sampled_from(NumberFormat))
def test_numbers_survive_formatting(area: int, line: int, written: NumberFormat) -> None:
    """
    Every fictional number of every area code that is valid passes a lab trunk in every format.
    """
    number = f"+1{200 + area}55501{line:02d}"
    plan = DialPlan(written, country="US")
    dialable = NumberKind.ORDINARY is examine(number).kind

    refusal = refuse_dialed(
        dial_string(number, plan), plan=plan, kind=TrunkKind.LAB, intended=number
    )

    assert dialable is (refusal is None)


def test_rules_have_distinct_ids() -> None:
    """
    No two rules share an id.
    """
    assert len(Rule) == len({str(rule) for rule in Rule})
