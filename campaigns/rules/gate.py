"""The gate every call passes: one pure function, asked inside the transaction that claims a lead.

It collects every rule that refuses, not only the first, so that "why is this lead not called" has a
full answer. What it is not told, it refuses (GATE-2): a fact that is None means unknown. `CHECKS`
is the whole law of the house, one row for each check with the rules it can refuse by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.model import Allow, Deny, LeadState
from campaigns.rules import call_history, gate_checks
from campaigns.rules.facts import CampaignFacts, Facts, LeadFacts, Schedule, TrunkFacts
from campaigns.rules.gate_checks import Case, Judge, serves
from campaigns.rules.refusals import Refusals
from campaigns.rules.rule_ids import NUMBER_RULES, RULE_TEXT, TIME_RULES, WAIVABLE, Rule

__all__ = [
    "CHECKS",
    "NUMBER_RULES",
    "RULE_TEXT",
    "WAIVABLE",
    "CampaignFacts",
    "Check",
    "Facts",
    "LeadFacts",
    "Rule",
    "Schedule",
    "TrunkFacts",
    "may_dial",
    "may_work",
    "next_allowed",
    "serves",
]


@dataclass(frozen=True, slots=True)
class Check:
    """One check and the rules it refuses by.

    `of_campaign` checks look at nothing of the lead: while one refuses, no lead is looked at.
    """

    judge: Judge
    rules: frozenset[Rule]
    of_campaign: bool = False


CHECKS: tuple[Check, ...] = (
    Check(gate_checks.state, frozenset({Rule.CAMPAIGN_STATE}), of_campaign=True),
    Check(gate_checks.profile, frozenset({Rule.PROFILE}), of_campaign=True),
    Check(gate_checks.schedule, frozenset({Rule.SCHEDULE}), of_campaign=True),
    Check(gate_checks.registry_age, frozenset({Rule.REGISTRY_STALE}), of_campaign=True),
    Check(gate_checks.lead_state, frozenset({Rule.LEAD_STATE})),
    Check(gate_checks.callback, frozenset({Rule.CALLBACK})),
    Check(gate_checks.retry_wait, frozenset({Rule.RETRY})),
    Check(gate_checks.attempts, frozenset({Rule.ATTEMPTS})),
    Check(gate_checks.number_kind, NUMBER_RULES),
    Check(gate_checks.region, frozenset({Rule.REGION})),
    Check(gate_checks.number_live, frozenset({Rule.NUMBER_LIVE})),
    Check(gate_checks.person_live, frozenset({Rule.PERSON_LIVE})),
    Check(
        gate_checks.trunks,
        frozenset({Rule.TRUNK_LAB, Rule.TRUNK_REAL, Rule.TRUNK_NONE, Rule.CALLER_ID}),
    ),
    Check(gate_checks.suppression, frozenset({Rule.DNC, Rule.DNC_UNKNOWN})),
    Check(gate_checks.litigator, frozenset({Rule.LITIGATOR})),
    Check(gate_checks.reassigned, frozenset({Rule.REASSIGNED})),
    Check(gate_checks.registry, frozenset({Rule.REGISTRY})),
    Check(gate_checks.consent, frozenset({Rule.CONSENT, Rule.CONSENT_AUTODIAL})),
    Check(gate_checks.one_to_one, frozenset({Rule.ONE_TO_ONE})),
    Check(gate_checks.hours, frozenset({Rule.ZONE_UNKNOWN, Rule.HOURS, Rule.STATE_HOURS})),
    Check(
        call_history.frequency,
        frozenset({Rule.FREQUENCY_8H, Rule.FREQUENCY, Rule.FREQUENCY_7D, Rule.FREQUENCY_30D}),
    ),
    Check(call_history.debt, frozenset({Rule.DEBT_CALLS, Rule.DEBT_QUIET, Rule.DEBT_GAP})),
    Check(call_history.refusal, frozenset({Rule.REFUSAL})),
    Check(call_history.recall, frozenset({Rule.RECALL, Rule.RECALL_AGENT})),
    Check(call_history.machine_recall, frozenset({Rule.MACHINE_RECALL})),
)


def may_dial(
    lead: LeadFacts,
    campaign: CampaignFacts,
    now: datetime,
    facts: Facts,
    *,
    checks: Sequence[Check] = CHECKS,
) -> Allow | Deny:
    """Say whether this lead's number may be dialed at *now* (with a time zone)."""
    refusals = Refusals(campaign.waived & WAIVABLE)
    case = Case(lead, campaign, now, facts)
    for check in checks:
        check.judge(case, refusals)
    return refusals.verdict()


_NOBODY = LeadFacts(LeadState.OPEN, "", "", (), attempts=0, next_call_at=None)


def may_work(campaign: CampaignFacts, now: datetime, trunks: Sequence[TrunkFacts]) -> Allow | Deny:
    """Say whether the campaign may call anybody at all: the checks that look at no lead."""
    own = tuple(check for check in CHECKS if check.of_campaign)
    return may_dial(_NOBODY, campaign, now, Facts(trunks=trunks), checks=own)


def next_allowed(
    lead: LeadFacts, campaign: CampaignFacts, now: datetime, facts: Facts
) -> datetime | None:
    """Return the first time the gate would allow the call, None if nothing but people can say.

    Each refusal says when to ask again; asking then may meet another one, so this asks on.
    """
    at = now
    for _ in range(32):
        verdict = may_dial(lead, campaign, at, facts)
        if isinstance(verdict, Allow):
            return at
        if verdict.ask_again_s is None or not _only_time_helps(verdict):
            return None
        at += timedelta(seconds=verdict.ask_again_s)
    return None


def _only_time_helps(verdict: Deny) -> bool:
    return all(rule in TIME_RULES for rule in verdict.rules)
