"""The gate every call passes: one pure function, asked inside the transaction that claims a lead.

It collects every rule that refuses, not only the first, so that "why is this lead not called" has a
full answer. What it is not told, it refuses (GATE-2): a fact that is None means unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from campaigns.model import Allow, CampaignState, Deny, DoneReason, LeadState, TrunkKind
from campaigns.rules.calling_hours import WeeklyHours, window
from campaigns.rules.dialable_numbers import NumberKind, examine, is_fictional
from campaigns.rules.profiles import Profile
from pacing import Mode

# How long before the end of a window the last call must start, beyond its ring timeout (HOURS-1).
LAST_DIAL_MARGIN_S = 60.0
# When to ask again about something only people can change: settings, trunks, the running state.
_SETTING_S = 3600.0
_SOON_S = 30.0
_DAY_S = 86_400.0


class Rule(StrEnum):
    """Ids of the rules, as they are stored, shown, and listed in docs/reference/rules.md."""

    CAMPAIGN_STATE = "CAMPAIGN-STATE"
    PROFILE = "PROFILE"
    LEAD_STATE = "LEAD-STATE"
    NUMBER_INVALID = "NUMBER-INVALID"
    NUMBER_EMERGENCY = "NUMBER-EMERGENCY"
    NUMBER_SHORT = "NUMBER-SHORT"
    NUMBER_PREMIUM = "NUMBER-PREMIUM"
    NUMBER_SHARED_COST = "NUMBER-SHARED-COST"
    NUMBER_TOLL_FREE = "NUMBER-TOLL-FREE"
    NUMBER_SATELLITE = "NUMBER-SATELLITE"
    NUMBER_SPECIAL = "NUMBER-SPECIAL"
    NUMBER_LIVE = "NUMBER-LIVE"
    REGION = "REGION"
    TRUNK_LAB = "TRUNK-LAB"
    TRUNK_REAL = "TRUNK-REAL"
    TRUNK_NONE = "TRUNK-NONE"
    DNC = "DNC"
    DNC_UNKNOWN = "DNC-UNKNOWN"
    ZONE_UNKNOWN = "TZ-3"
    HOURS = "HOURS-1"
    RETRY = "RETRY-WAIT"
    ATTEMPTS = "ATTEMPTS"
    FREQUENCY = "FREQUENCY-24H"
    RECALL = "RECALL-1"
    MACHINE_RECALL = "RECALL-2"


RULE_TEXT: dict[Rule, str] = {
    Rule.CAMPAIGN_STATE: "the campaign is not running",
    Rule.PROFILE: "the campaign's legal profile is unknown",
    Rule.LEAD_STATE: "the lead is in a call or done",
    Rule.NUMBER_INVALID: "the number is not a valid telephone number",
    Rule.NUMBER_EMERGENCY: "emergency numbers are never dialed",
    Rule.NUMBER_SHORT: "short codes are never dialed",
    Rule.NUMBER_PREMIUM: "premium-rate and personal numbers are never dialed",
    Rule.NUMBER_SHARED_COST: "shared-cost numbers are never dialed",
    Rule.NUMBER_TOLL_FREE: "toll-free numbers are never dialed",
    Rule.NUMBER_SATELLITE: "satellite and global-service numbers are never dialed",
    Rule.NUMBER_SPECIAL: "special-service numbers are never dialed",
    Rule.NUMBER_LIVE: "the number is in a call already",
    Rule.REGION: "the number's region is not one the campaign may call",
    Rule.TRUNK_LAB: "lab trunks dial numbers reserved for fiction only",
    Rule.TRUNK_REAL: "real trunks do not dial numbers reserved for fiction",
    Rule.TRUNK_NONE: "no attached trunk serves the number's region",
    Rule.DNC: "the person is on the do-not-call list",
    Rule.DNC_UNKNOWN: "the do-not-call list could not be read",
    Rule.ZONE_UNKNOWN: "no time zone is known for the number",
    Rule.HOURS: "it is outside calling hours where the person may be",
    Rule.RETRY: "the lead waits for its next call",
    Rule.ATTEMPTS: "the lead has had all its attempts",
    Rule.FREQUENCY: "the number has had its calls of the last 24 hours",
    Rule.RECALL: "an abandoned call blocks the number for a while",
    Rule.MACHINE_RECALL: "a machine verdict blocks the number for a while",
}

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

NUMBER_RULES = frozenset(_KIND_RULES.values())
"""Rules that condemn one number for good; another number of the same lead may still be called."""


@dataclass(frozen=True, slots=True)
class LeadFacts:
    """The lead and the one of its numbers that would be dialed; `attempts` counts charged ones."""

    state: LeadState
    number: str
    region: str
    zones: tuple[str, ...]
    attempts: int
    next_call_at: datetime | None


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """What of a campaign the gate needs; `hours` are the profile's on the campaign's weekdays."""

    state: CampaignState
    mode: Mode
    regions: frozenset[str]
    profile: Profile | None
    hours: WeeklyHours | None
    max_attempts: int
    ring_timeout_s: float


@dataclass(frozen=True, slots=True)
class TrunkFacts:
    """An attached, enabled trunk; `regions` None serves every region."""

    kind: TrunkKind
    regions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the number besides the lead; None is "could not be found out".

    `dialed_at` holds the calls to the number in the last 24 hours, of any campaign. `abandoned_at`
    and `machine_at` are the last of their kind, None when there was none within the block.
    """

    suppressed: bool | None = None
    number_live: bool = False
    trunks: Sequence[TrunkFacts] = ()
    dialed_at: Sequence[datetime] | None = None
    abandoned_at: datetime | None = None
    machine_at: datetime | None = None


@dataclass(slots=True)
class _Refusals:
    """Collects refusals; the lead waits for the longest of them, a final one ends it."""

    rules: list[Rule] = field(default_factory=list)
    final: DoneReason | None = None
    wait_s: float = 0.0

    def for_good(self, rule: Rule, reason: DoneReason) -> None:
        self.rules.append(rule)
        # Suppression beats everything (GATE-3): it is the reason that must be on record.
        if self.final is None or reason is DoneReason.SUPPRESSED:
            self.final = reason

    def until(self, rule: Rule, wait_s: float) -> None:
        self.rules.append(rule)
        self.wait_s = max(self.wait_s, wait_s)


def may_dial(lead: LeadFacts, campaign: CampaignFacts, now: datetime, facts: Facts) -> Allow | Deny:
    """Say whether this lead's number may be dialed at *now* (with a time zone)."""
    refusals = _Refusals()
    _check_campaign(campaign, refusals)
    _check_lead(lead, campaign, now, refusals)
    _check_number(lead, campaign, facts, refusals)
    _check_suppression(facts, refusals)
    _check_hours(lead, campaign, now, refusals)
    _check_frequency(campaign, now, facts, refusals)
    if not refusals.rules:
        return Allow()
    ask_again_s = None if refusals.final is not None else max(refusals.wait_s, 1.0)
    return Deny(tuple(refusals.rules), refusals.final, ask_again_s)


def _check_campaign(campaign: CampaignFacts, refusals: _Refusals) -> None:
    if campaign.state is not CampaignState.RUNNING:
        refusals.until(Rule.CAMPAIGN_STATE, _SOON_S)
    if campaign.profile is None or campaign.hours is None:
        refusals.until(Rule.PROFILE, _SETTING_S)


def _check_lead(
    lead: LeadFacts, campaign: CampaignFacts, now: datetime, refusals: _Refusals
) -> None:
    if lead.state is not LeadState.OPEN:
        refusals.until(Rule.LEAD_STATE, _SOON_S)
    if lead.next_call_at is not None and lead.next_call_at > now:
        refusals.until(Rule.RETRY, (lead.next_call_at - now).total_seconds())
    if lead.attempts >= campaign.max_attempts:
        refusals.for_good(Rule.ATTEMPTS, DoneReason.ATTEMPTS_EXHAUSTED)


def _check_number(
    lead: LeadFacts, campaign: CampaignFacts, facts: Facts, refusals: _Refusals
) -> None:
    number = examine(lead.number)
    rule = _KIND_RULES.get(number.kind)
    if rule is not None:
        invalid = number.kind is NumberKind.INVALID
        refusals.for_good(rule, DoneReason.INVALID_NUMBER if invalid else DoneReason.REFUSED)
        return
    # The stored region and the number's own must agree: a doctored row must not open a region.
    if number.region != lead.region or number.region not in campaign.regions:
        refusals.until(Rule.REGION, _SETTING_S)
    if facts.number_live:
        refusals.until(Rule.NUMBER_LIVE, _SOON_S)
    _check_trunks(lead, campaign, facts, refusals)


def _check_trunks(
    lead: LeadFacts, campaign: CampaignFacts, facts: Facts, refusals: _Refusals
) -> None:
    fictional = is_fictional(lead.number)
    wanted = TrunkKind.LAB if fictional else TrunkKind.REAL
    if not fictional and campaign.profile is not None and campaign.profile.lab_only:
        refusals.until(Rule.TRUNK_LAB, _SETTING_S)
    elif not any(trunk.kind is wanted for trunk in facts.trunks):
        if not facts.trunks:
            refusals.until(Rule.TRUNK_NONE, _SETTING_S)
        else:
            refusals.until(Rule.TRUNK_REAL if fictional else Rule.TRUNK_LAB, _SETTING_S)
    elif not any(serves(trunk, lead.number, lead.region) for trunk in facts.trunks):
        refusals.until(Rule.TRUNK_NONE, _SETTING_S)


def serves(trunk: TrunkFacts, number: str, region: str) -> bool:
    """Say whether *trunk* may dial *number*: lab for fiction, real for the rest, region allowed."""
    kind = TrunkKind.LAB if is_fictional(number) else TrunkKind.REAL
    return trunk.kind is kind and (trunk.regions is None or region in trunk.regions)


def _check_suppression(facts: Facts, refusals: _Refusals) -> None:
    if facts.suppressed is None:
        refusals.until(Rule.DNC_UNKNOWN, _SOON_S)
    elif facts.suppressed:
        refusals.for_good(Rule.DNC, DoneReason.SUPPRESSED)


def _check_hours(
    lead: LeadFacts, campaign: CampaignFacts, now: datetime, refusals: _Refusals
) -> None:
    if campaign.hours is None:
        return
    if not lead.zones:
        refusals.until(Rule.ZONE_UNKNOWN, _SETTING_S)
        return
    margin = campaign.ring_timeout_s + LAST_DIAL_MARGIN_S
    now_open = window(campaign.hours, lead.zones, now, before_end_s=margin)
    if not now_open.is_open:
        refusals.until(Rule.HOURS, _DAY_S if now_open.opens_in_s is None else now_open.opens_in_s)


def _check_frequency(
    campaign: CampaignFacts, now: datetime, facts: Facts, refusals: _Refusals
) -> None:
    profile = campaign.profile
    if profile is None:
        return
    if profile.attempts_24h is not None:
        _check_calls_of_a_day(profile.attempts_24h, now, facts, refusals)
    # An agent already on the line cannot abandon: preview is free of both recall blocks.
    if campaign.mode is Mode.PREVIEW:
        return
    for rule, last, block_s in (
        (Rule.RECALL, facts.abandoned_at, profile.recall_block_s),
        (Rule.MACHINE_RECALL, facts.machine_at, profile.machine_recall_s),
    ):
        if last is not None and block_s is not None:
            wait_s = (last + timedelta(seconds=block_s) - now).total_seconds()
            if wait_s > 0:
                refusals.until(rule, wait_s)


def _check_calls_of_a_day(limit: int, now: datetime, facts: Facts, refusals: _Refusals) -> None:
    if facts.dialed_at is None:
        refusals.until(Rule.FREQUENCY, _SOON_S)
        return
    day = timedelta(seconds=_DAY_S)
    recent = sorted(at for at in facts.dialed_at if at > now - day)
    if len(recent) >= limit:
        # Free again once all but limit - 1 of them are more than a day old.
        refusals.until(Rule.FREQUENCY, (recent[len(recent) - limit] + day - now).total_seconds())


def next_allowed(
    lead: LeadFacts, campaign: CampaignFacts, now: datetime, facts: Facts
) -> datetime | None:
    """Return the first time the gate would allow the call, None if nothing but people can say.

    Each refusal says when to ask again; asking then may meet another one, so this asks on.
    """
    at = now
    for _ in range(16):
        verdict = may_dial(lead, campaign, at, facts)
        if isinstance(verdict, Allow):
            return at
        if verdict.ask_again_s is None or not _only_time_helps(verdict):
            return None
        at += timedelta(seconds=verdict.ask_again_s)
    return None


_TIME_HELPS = frozenset({Rule.HOURS, Rule.RETRY, Rule.FREQUENCY, Rule.RECALL, Rule.MACHINE_RECALL})


def _only_time_helps(verdict: Deny) -> bool:
    return all(rule in _TIME_HELPS for rule in verdict.rules)
