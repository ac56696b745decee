"""The gate's checks on campaign, lead, number, permission and hour; each refuses on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from campaigns.model import CampaignState, DoneReason, LeadState, TrunkKind
from campaigns.rules import public_holidays, registries, us_states
from campaigns.rules.calling_hours import WeeklyHours, window
from campaigns.rules.dialable_numbers import NumberKind, examine, is_fictional, may_be_wireless
from campaigns.rules.facts import CampaignFacts, Facts, LeadFacts, TrunkFacts
from campaigns.rules.refusals import DAY_S, SETTING_S, SOON_S, Refusals
from campaigns.rules.rule_ids import Rule
from pacing import Mode

# How long before the end of a window the last call must start, beyond its ring timeout (HOURS-1).
LAST_DIAL_MARGIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One question to the gate."""

    lead: LeadFacts
    campaign: CampaignFacts
    now: datetime
    facts: Facts


Judge = Callable[[Case, Refusals], None]

_KIND_RULES = {
    NumberKind.INVALID: Rule.NUMBER_INVALID,
    NumberKind.EMERGENCY: Rule.NUMBER_EMERGENCY,
    NumberKind.SHORT: Rule.NUMBER_SHORT,
    NumberKind.PREMIUM: Rule.NUMBER_PREMIUM,
    NumberKind.SHARED_COST: Rule.NUMBER_SHARED_COST,
    NumberKind.TOLL_FREE: Rule.NUMBER_TOLL_FREE,
    NumberKind.SATELLITE: Rule.NUMBER_SATELLITE,
    NumberKind.SPECIAL: Rule.NUMBER_SPECIAL,
}

# Campaign ----------------------------------------------------------------------------------------


def state(case: Case, refusals: Refusals) -> None:
    """Refuse while the campaign does not run."""
    if case.campaign.state is not CampaignState.RUNNING:
        refusals.until(Rule.CAMPAIGN_STATE, SOON_S)


def profile(case: Case, refusals: Refusals) -> None:
    """Refuse without a law to follow."""
    if case.campaign.profile is None or case.campaign.hours is None:
        refusals.until(Rule.PROFILE, SETTING_S)


def schedule(case: Case, refusals: Refusals) -> None:
    """Refuse outside the hours in which the campaign itself works."""
    own = case.campaign.schedule
    if own is None:
        return
    today = case.now.astimezone(ZoneInfo(own.zone)).date()
    if own.ends_on is not None and today > own.ends_on:
        refusals.until(Rule.SCHEDULE, DAY_S)
        return
    found = window(own.hours, (own.zone,), case.now, before_end_s=0)
    if not found.is_open:
        refusals.until(Rule.SCHEDULE, DAY_S if found.opens_in_s is None else found.opens_in_s)


def registry_age(case: Case, refusals: Refusals) -> None:
    """Refuse everything while a registry the law wants is missing or too old (TSR-9, UK-7).

    A campaign with lab trunks only reaches nobody a registry could hold.
    """
    law, versions = case.campaign.profile, case.campaign.registries
    if law is None or not any(trunk.kind is TrunkKind.REAL for trunk in case.facts.trunks):
        return
    if registries.stale(law, case.campaign.regions, versions or {}, case.now):
        refusals.until(Rule.REGISTRY_STALE, SETTING_S)


# Lead --------------------------------------------------------------------------------------------


def lead_state(case: Case, refusals: Refusals) -> None:
    """Refuse leads in a call or done."""
    if case.lead.state is not LeadState.OPEN:
        refusals.until(Rule.LEAD_STATE, SOON_S)


def callback(case: Case, refusals: Refusals) -> None:
    """Keep a lead for the agent that was promised to it."""
    kept = case.lead.kept_until
    if kept is not None and kept > case.now:
        refusals.until(Rule.CALLBACK, (kept - case.now).total_seconds())


def retry_wait(case: Case, refusals: Refusals) -> None:
    """Refuse before the next call is due."""
    due = case.lead.next_call_at
    if due is not None and due > case.now:
        refusals.until(Rule.RETRY, (due - case.now).total_seconds())


def attempts(case: Case, refusals: Refusals) -> None:
    """Refuse for good after the last attempt."""
    if case.lead.attempts >= case.campaign.max_attempts:
        refusals.for_good(Rule.ATTEMPTS, DoneReason.ATTEMPTS_EXHAUSTED)


# Number ------------------------------------------------------------------------------------------


def _is_ordinary(case: Case) -> bool:
    return examine(case.lead.number).kind is NumberKind.ORDINARY


def number_kind(case: Case, refusals: Refusals) -> None:
    """Refuse whatever is not an ordinary line, for good."""
    rule = _KIND_RULES.get(examine(case.lead.number).kind)
    if rule is not None:
        invalid = rule is Rule.NUMBER_INVALID
        refusals.for_good(rule, DoneReason.INVALID_NUMBER if invalid else DoneReason.REFUSED)


def region(case: Case, refusals: Refusals) -> None:
    """Refuse regions the campaign does not name.

    The stored region and the number's own must agree: a doctored row must not open a region.
    """
    own = examine(case.lead.number).region
    if _is_ordinary(case) and (own != case.lead.region or own not in case.campaign.regions):
        refusals.until(Rule.REGION, SETTING_S)


def number_live(case: Case, refusals: Refusals) -> None:
    """Refuse a number that is being called."""
    if case.facts.number_live and _is_ordinary(case):
        refusals.until(Rule.NUMBER_LIVE, SOON_S)


def person_live(case: Case, refusals: Refusals) -> None:
    """Refuse a person who is being called at another number."""
    if case.facts.person_live:
        refusals.until(Rule.PERSON_LIVE, SOON_S)


def trunks(case: Case, refusals: Refusals) -> None:
    """Refuse without a trunk that may dial the number and shows an authorised caller id."""
    if not _is_ordinary(case):
        return
    law, attached = case.campaign.profile, case.facts.trunks
    fictional = is_fictional(case.lead.number)
    wanted = TrunkKind.LAB if fictional else TrunkKind.REAL
    able = [t for t in attached if serves(t, case.lead.number, case.lead.region)]
    if not fictional and law is not None and law.lab_only:
        refusals.until(Rule.TRUNK_LAB, SETTING_S)
    elif attached and not any(trunk.kind is wanted for trunk in attached):
        refusals.until(Rule.TRUNK_REAL if fictional else Rule.TRUNK_LAB, SETTING_S)
    elif not able:
        refusals.until(Rule.TRUNK_NONE, SETTING_S)
    elif not any(trunk.owned for trunk in able):
        refusals.until(Rule.CALLER_ID, SETTING_S)


def serves(trunk: TrunkFacts, number: str, region: str) -> bool:
    """Say whether *trunk* may dial *number*: lab for fiction, real for the rest, region allowed."""
    kind = TrunkKind.LAB if is_fictional(number) else TrunkKind.REAL
    return trunk.kind is kind and (trunk.regions is None or region in trunk.regions)


# Permission --------------------------------------------------------------------------------------


def suppression(case: Case, refusals: Refusals) -> None:
    """Refuse who asked not to be called, for good; it beats consent and relationship (GATE-3)."""
    if None in (case.facts.suppressed, case.facts.litigator, case.facts.reassigned):
        refusals.until(Rule.DNC_UNKNOWN, SOON_S)
    if case.facts.suppressed:
        refusals.for_good(Rule.DNC, DoneReason.SUPPRESSED)


def litigator(case: Case, refusals: Refusals) -> None:
    """Refuse known litigators for good."""
    if case.facts.litigator:
        refusals.for_good(Rule.LITIGATOR, DoneReason.SUPPRESSED)


def reassigned(case: Case, refusals: Refusals) -> None:
    """Refuse a number that has passed to somebody else (TCPA-8)."""
    if case.facts.reassigned:
        refusals.until(Rule.REASSIGNED, DAY_S)


def registry(case: Case, refusals: Refusals) -> None:
    """Refuse registered numbers, but for consent or an established relationship (TSR-9, TSR-10)."""
    law, facts = case.campaign.profile, case.facts
    if law is None or facts.consented:
        return
    if facts.related_until is not None and facts.related_until > case.now:
        return
    wanted = {one.name for one in registries.needed(law, frozenset({case.lead.region}))}
    if facts.listed_in is None:
        if wanted:
            refusals.until(Rule.REGISTRY, SOON_S)
    elif wanted & facts.listed_in:
        refusals.until(Rule.REGISTRY, DAY_S)


def consent(case: Case, refusals: Refusals) -> None:
    """Refuse where consent is wanted and not on record; unknown is no consent."""
    law = case.campaign.profile
    if law is None or case.facts.consented:
        return
    if law.consent_required:
        refusals.until(Rule.CONSENT, SETTING_S)
    # A machine selects in every mode but preview, where an agent decides on each call.
    elif case.campaign.mode is not Mode.PREVIEW and (
        law.consent_autodial or (law.state_rules and _of_states(case).consent_autodial)
    ):
        refusals.until(Rule.CONSENT_AUTODIAL, SETTING_S)


def one_to_one(case: Case, refusals: Refusals) -> None:
    """Refuse to over-dial a line that may be wireless and has not consented (TCPA-7)."""
    law = case.campaign.profile
    if law is None or not law.wireless_one_to_one or case.campaign.one_to_one:
        return
    if case.facts.consented or case.lead.landline or not may_be_wireless(case.lead.number):
        return
    refusals.until(Rule.ONE_TO_ONE, SOON_S)


# Hour --------------------------------------------------------------------------------------------


def hours(case: Case, refusals: Refusals) -> None:
    """Refuse outside the hours of any zone, and any state, the person may be in (TZ-2, HOURS-1)."""
    allowed, law = case.campaign.hours, case.campaign.profile
    if allowed is None:
        return
    zones = case.lead.zones
    if not zones:
        refusals.until(Rule.ZONE_UNKNOWN, SETTING_S)
        return
    margin = case.campaign.ring_timeout_s + LAST_DIAL_MARGIN_S
    year = case.now.year
    if law is not None and law.closed_on_holidays:
        allowed = _without_holidays(allowed, case.lead.region, year)
    found = window(allowed, zones, case.now, before_end_s=margin)
    if not found.is_open:
        refusals.until(Rule.HOURS, DAY_S if found.opens_in_s is None else found.opens_in_s)
        return
    if law is not None and law.state_rules:
        found = window(_of_states(case).hours, zones, case.now, before_end_s=margin)
        if not found.is_open:
            wait_s = DAY_S if found.opens_in_s is None else found.opens_in_s
            refusals.until(Rule.STATE_HOURS, wait_s)


@lru_cache(maxsize=256)
def _without_holidays(allowed: WeeklyHours, where: str, year: int) -> WeeklyHours:
    days: frozenset[date] = frozenset()
    for at in (year, year + 1):
        days |= public_holidays.of_region(where, at)
    return allowed.without(days)


def _of_states(case: Case) -> us_states.StateRule:
    lead, number = case.lead, examine(case.lead.number)
    if number.kind is not NumberKind.ORDINARY:
        return us_states.StateRule()
    states = us_states.states_of(lead.number, number.region, lead.state_of_address)
    return us_states.rule_for(states, case.now.year)


def state_calls(case: Case) -> dict[int, int]:
    """Return how many calls the states the person may be in allow, by span in seconds."""
    law = case.campaign.profile
    return dict(_of_states(case).calls) if law is not None and law.state_rules else {}
