"""What the gate is told: a lead, its campaign, and what is known about the number and the person.

A fact that is None could not be found out, and what the gate is not told it refuses (GATE-2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from campaigns.model import CampaignState, LeadState, TrunkKind
from campaigns.rules.calling_hours import WeeklyHours
from campaigns.rules.profiles import Profile
from campaigns.rules.rule_ids import Rule
from pacing import Mode


@dataclass(frozen=True, slots=True)
class LeadFacts:
    """The lead and the one of its numbers that would be dialed; `attempts` counts charged ones.

    `state_of_address` is the US state of the person's address, if the list says. `landline` says
    that the list knows the line not to be wireless. `kept_until` is set while a callback keeps the
    lead for one agent.
    """

    state: LeadState
    number: str
    region: str
    zones: tuple[str, ...]
    attempts: int
    next_call_at: datetime | None
    state_of_address: str | None = None
    landline: bool = False
    kept_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a campaign itself works, on the wall clock of its own zone, the last day included."""

    zone: str
    hours: WeeklyHours
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """What of a campaign the gate needs; `hours` are the profile's on the campaign's weekdays.

    `calls` are the campaign's own limits by span in seconds, `registries` the version dates of the
    national registries loaded, `waived` the rules that a signed waiver lifts today. `one_to_one`
    says that a free agent stands behind each call that is asked about.
    """

    state: CampaignState
    mode: Mode
    regions: frozenset[str]
    profile: Profile | None
    hours: WeeklyHours | None
    max_attempts: int
    ring_timeout_s: float
    schedule: Schedule | None = None
    calls: Mapping[int, int] = field(default_factory=dict)
    registries: Mapping[str, datetime] | None = None
    waived: frozenset[Rule] = frozenset()
    one_to_one: bool = False


@dataclass(frozen=True, slots=True)
class TrunkFacts:
    """An attached, enabled trunk; `regions` None serves every region.

    `owned` says that each caller id it shows is proven to be ours on the day of the call (CLI-1).
    """

    kind: TrunkKind
    regions: frozenset[str] | None = None
    owned: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the number and the person besides the lead.

    `dialed_at` holds the calls to the number or to the person, of any campaign, over the longest
    span any limit counts. `abandoned_at` and `machine_at` are the last of their kind to the number.
    `debt_dialed_at` and `conversation_at` concern the lead's debt, `refused_at` the seller.
    `listed_in` names the registries the number is on, `related_until` ends an established business
    relationship (TSR-10), `consented` is a valid consent to this seller and purpose.
    """

    suppressed: bool | None = None
    litigator: bool | None = None
    reassigned: bool | None = None
    number_live: bool = False
    person_live: bool = False
    trunks: Sequence[TrunkFacts] = ()
    dialed_at: Sequence[datetime] | None = None
    abandoned_at: datetime | None = None
    machine_at: datetime | None = None
    debt_dialed_at: Sequence[datetime] | None = None
    conversation_at: datetime | None = None
    refused_at: datetime | None = None
    listed_in: frozenset[str] | None = None
    related_until: datetime | None = None
    consented: bool | None = None
