"""The rules of the gate by id, with a sentence for each and what can be done about it."""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """Ids of the rules, as they are stored, shown, and listed in docs/reference/rules.md."""

    CAMPAIGN_STATE = "CAMPAIGN-STATE"
    PROFILE = "PROFILE"
    SCHEDULE = "SCHEDULE"
    REGISTRY_STALE = "REGISTRY-STALE"
    CALLER_ID = "CLI-1"
    LEAD_STATE = "LEAD-STATE"
    CALLBACK = "CALLBACK"
    RETRY = "RETRY-WAIT"
    ATTEMPTS = "ATTEMPTS"
    NUMBER_INVALID = "NUMBER-INVALID"
    NUMBER_EMERGENCY = "NUMBER-EMERGENCY"
    NUMBER_SHORT = "NUMBER-SHORT"
    NUMBER_PREMIUM = "NUMBER-PREMIUM"
    NUMBER_SHARED_COST = "NUMBER-SHARED-COST"
    NUMBER_TOLL_FREE = "NUMBER-TOLL-FREE"
    NUMBER_SATELLITE = "NUMBER-SATELLITE"
    NUMBER_SPECIAL = "NUMBER-SPECIAL"
    NUMBER_LIVE = "NUMBER-LIVE"
    PERSON_LIVE = "PERSON-LIVE"
    REGION = "REGION"
    TRUNK_LAB = "TRUNK-LAB"
    TRUNK_REAL = "TRUNK-REAL"
    TRUNK_NONE = "TRUNK-NONE"
    DNC = "DNC"
    DNC_UNKNOWN = "DNC-UNKNOWN"
    LITIGATOR = "LITIGATOR"
    REGISTRY = "REGISTRY"
    REASSIGNED = "TCPA-8"
    CONSENT = "CONSENT"
    CONSENT_AUTODIAL = "CONSENT-AUTODIAL"
    ONE_TO_ONE = "TCPA-7"
    REFUSAL = "REFUSAL"
    ZONE_UNKNOWN = "TZ-3"
    HOURS = "HOURS-1"
    STATE_HOURS = "ST-1"
    FREQUENCY_8H = "FREQUENCY-8H"
    FREQUENCY = "FREQUENCY-24H"
    FREQUENCY_7D = "FREQUENCY-7D"
    FREQUENCY_30D = "FREQUENCY-30D"
    DEBT_CALLS = "REGF-1"
    DEBT_QUIET = "REGF-2"
    DEBT_GAP = "REGF-GAP"
    RECALL = "RECALL-1"
    MACHINE_RECALL = "RECALL-2"
    RECALL_AGENT = "RECALL-3"


RULE_TEXT: dict[Rule, str] = {
    Rule.CAMPAIGN_STATE: "the campaign is not running",
    Rule.PROFILE: "the campaign's legal profile is unknown",
    Rule.SCHEDULE: "it is outside the campaign's own schedule",
    Rule.REGISTRY_STALE: "a national do-not-call registry is missing or too old",
    Rule.CALLER_ID: "no trunk for the number shows a caller id that is proven to be ours today",
    Rule.LEAD_STATE: "the lead is in a call or done",
    Rule.CALLBACK: "the lead waits for the agent it was promised",
    Rule.RETRY: "the lead waits for its next call",
    Rule.ATTEMPTS: "the lead has had all its attempts",
    Rule.NUMBER_INVALID: "the number is not a valid telephone number",
    Rule.NUMBER_EMERGENCY: "emergency numbers are never dialed",
    Rule.NUMBER_SHORT: "short codes are never dialed",
    Rule.NUMBER_PREMIUM: "premium-rate and personal numbers are never dialed",
    Rule.NUMBER_SHARED_COST: "shared-cost numbers are never dialed",
    Rule.NUMBER_TOLL_FREE: "toll-free numbers are never dialed",
    Rule.NUMBER_SATELLITE: "satellite and global-service numbers are never dialed",
    Rule.NUMBER_SPECIAL: "special-service numbers are never dialed",
    Rule.NUMBER_LIVE: "the number is in a call already",
    Rule.PERSON_LIVE: "the person is in a call at another number or on another list",
    Rule.REGION: "the number's region is not one the campaign may call",
    Rule.TRUNK_LAB: "lab trunks dial numbers reserved for fiction only",
    Rule.TRUNK_REAL: "real trunks do not dial numbers reserved for fiction",
    Rule.TRUNK_NONE: "no attached trunk serves the number's region",
    Rule.DNC: "the person is on the do-not-call list",
    Rule.DNC_UNKNOWN: "the do-not-call list could not be read",
    Rule.LITIGATOR: "the number is reported as a litigator's",
    Rule.REGISTRY: "the number is on a national do-not-call registry",
    Rule.REASSIGNED: "the number belongs to somebody else by now",
    Rule.CONSENT: "the law wants consent and none is on record",
    Rule.CONSENT_AUTODIAL: "consent to calls a machine selects is wanted and not on record",
    Rule.ONE_TO_ONE: "the line may be wireless and has not consented: an agent must be free first",
    Rule.REFUSAL: "the person refused lately",
    Rule.ZONE_UNKNOWN: "no time zone is known for the number",
    Rule.HOURS: "it is outside calling hours where the person may be",
    Rule.STATE_HOURS: "it is outside the calling hours of a state the person may be in",
    Rule.FREQUENCY_8H: "the person has had the calls of 8 hours",
    Rule.FREQUENCY: "the person has had the calls of 24 hours",
    Rule.FREQUENCY_7D: "the person has had the calls of 7 days",
    Rule.FREQUENCY_30D: "the person has had the calls of 30 days",
    Rule.DEBT_CALLS: "the debt has had its calls of seven days",
    Rule.DEBT_QUIET: "the debt was talked about in the last seven days",
    Rule.DEBT_GAP: "the last call about the debt was a short while ago",
    Rule.RECALL: "an abandoned call blocks the number for a while",
    Rule.MACHINE_RECALL: "a machine verdict blocks the number for a while",
    Rule.RECALL_AGENT: "after an abandoned call an agent must be on the line first (preview)",
}

NUMBER_RULES = frozenset(
    {
        Rule.NUMBER_INVALID,
        Rule.NUMBER_EMERGENCY,
        Rule.NUMBER_SHORT,
        Rule.NUMBER_PREMIUM,
        Rule.NUMBER_SHARED_COST,
        Rule.NUMBER_TOLL_FREE,
        Rule.NUMBER_SATELLITE,
        Rule.NUMBER_SPECIAL,
    }
)
"""Rules that condemn one number for good; another number of the same lead may still be called."""

WAIVABLE = frozenset(
    {
        Rule.CONSENT,
        Rule.CONSENT_AUTODIAL,
        Rule.ONE_TO_ONE,
        Rule.REFUSAL,
        Rule.HOURS,
        Rule.STATE_HOURS,
        Rule.FREQUENCY_8H,
        Rule.FREQUENCY,
        Rule.FREQUENCY_7D,
        Rule.FREQUENCY_30D,
        Rule.DEBT_GAP,
        Rule.RECALL,
        Rule.MACHINE_RECALL,
        Rule.RECALL_AGENT,
        Rule.REGISTRY,
        Rule.REGISTRY_STALE,
    }
)
"""Rules that a signed waiver may lift for one campaign: whether they bind is for counsel to say.

Do-not-call requests, number kinds, caller ids and everything that protects the machine itself are
not among them.
"""

TIME_RULES = frozenset(
    {
        Rule.SCHEDULE,
        Rule.CALLBACK,
        Rule.HOURS,
        Rule.STATE_HOURS,
        Rule.RETRY,
        Rule.REFUSAL,
        Rule.FREQUENCY_8H,
        Rule.FREQUENCY,
        Rule.FREQUENCY_7D,
        Rule.FREQUENCY_30D,
        Rule.DEBT_CALLS,
        Rule.DEBT_QUIET,
        Rule.DEBT_GAP,
        Rule.RECALL,
        Rule.MACHINE_RECALL,
    }
)
"""Rules that lift by themselves when time passes."""
