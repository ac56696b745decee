"""Claiming leads: the one place where a lead becomes a call, through the gate, in one transaction.

Candidates come in order (list priority, lead priority, due time), each is locked, judged by
`campaigns.rules.gate.may_dial`, and then either claimed, or moved out of the way with the rule that
holds it, so that what cannot be called never stands in front of what can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import LeaseLost
from campaigns.model import (
    CallTimers,
    Deny,
    DoneReason,
    TrunkKind,
    new_id,
)
from campaigns.rules import gate, profiles
from campaigns.rules.dialable_numbers import NumberKind, examine
from campaigns.rules.gate import NUMBER_RULES, Rule, TrunkFacts
from campaigns.rules.retry import next_position
from campaigns.stores import campaigns, corrections, gate_facts
from campaigns.stores.gate_facts import LeadHead, LeadNumber, Pictures, Trunks
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

# How many leads one claim looks at beyond those it was asked for: bounds a tick's time.
EXAMINE_AT_LEAST = 200
EXAMINE_FACTOR = 4
_NUMBER_LIVE_S = 30.0

_CANDIDATES = """
    -- The due leads of a campaign in calling order, locked. `band` walks the distinct priorities of
    -- each list along the index, so waiting leads of a high priority are never read one by one; the
    -- outer LIMIT stops the walk, and only rows it has taken are locked.
    WITH RECURSIVE band AS (
        SELECT cl.list_id, cl.priority AS list_priority,
               (SELECT max(l.priority) FROM lead l
                WHERE l.list_id = cl.list_id AND l.state = 'open') AS priority
        FROM campaign_list cl
        WHERE cl.campaign_id = $1 AND cl.active
        UNION ALL
        SELECT b.list_id, b.list_priority,
               (SELECT max(l.priority) FROM lead l
                WHERE l.list_id = b.list_id AND l.state = 'open' AND l.priority < b.priority)
        FROM band b
        WHERE b.priority IS NOT NULL
    )
    SELECT due.id, due.next_call_at, due.next_position, due.attempts_before
    FROM (SELECT list_id, priority FROM band WHERE priority IS NOT NULL
          ORDER BY list_priority, priority DESC, list_id) b
    CROSS JOIN LATERAL (
        SELECT l.id, l.next_call_at, l.next_position, l.attempts_before
        FROM lead l
        WHERE l.list_id = b.list_id AND l.state = 'open' AND l.priority = b.priority
          AND l.next_call_at <= $2 AND l.id <> ALL($4::uuid[])
        ORDER BY l.next_call_at, l.id
        LIMIT $3
        FOR UPDATE OF l SKIP LOCKED
    ) due
    LIMIT $3
"""
CANDIDATES_UNLOCKED = _CANDIDATES.replace("FOR UPDATE OF l SKIP LOCKED", "")
"""The same leads in the same order, to look at only."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one call: a line process, a trunk with a channel and a token, and a caller id.

    `regions` None lets the trunk serve every region.
    """

    process_id: UUID
    trunk_id: UUID
    trunk_kind: TrunkKind
    caller_id: str
    regions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A lead that is now a call attempt in state claimed."""

    attempt_id: UUID
    lead_id: UUID
    lead_number_id: UUID
    number: str
    region: str
    slot: Slot
    timers: CallTimers

    @property
    def process_id(self) -> UUID:
        """Return the line process that dials it."""
        return self.slot.process_id

    @property
    def trunk_id(self) -> UUID:
        """Return the trunk it is dialed through."""
        return self.slot.trunk_id


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """What one claim did.

    `denied` counts leads by the first rule that refused them, `no_slot` those the gate allowed but
    no slot given could serve; `dry` says the lists hold no further due lead.
    """

    claimed: list[Claimed]
    denied: Mapping[Rule, int]
    no_slot: int = 0
    dry: bool = False


@dataclass(slots=True)
class _Work:
    """What a claim has decided so far; written in one statement each at its end."""

    slots: list[Slot]
    claimed: list[Claimed] = field(default_factory=list)
    held: dict[UUID, tuple[Rule, datetime]] = field(default_factory=dict)
    done: dict[UUID, tuple[Rule, DoneReason]] = field(default_factory=dict)
    other_number: dict[UUID, int] = field(default_factory=dict)
    denied: Counter[Rule] = field(default_factory=Counter)
    numbers: set[str] = field(default_factory=set)
    persons: set[UUID] = field(default_factory=set)
    no_slot: int = 0

    def take(self, number: LeadNumber) -> Slot | None:
        """Take the first slot that may dial this number."""
        for index, slot in enumerate(self.slots):
            trunk = TrunkFacts(slot.trunk_kind, slot.regions)
            if gate.serves(trunk, number.number, number.region):
                return self.slots.pop(index)
        return None


async def claim(
    connection: Connection,
    *,
    campaign: CampaignRow,
    epoch: int,
    now: datetime,
    count: int,
    slots: Sequence[Slot],
    one_to_one: bool = False,
    promised: Sequence[UUID] = (),
) -> ClaimBatch:
    """Turn up to *count* due leads of the campaign into call attempts, one per slot.

    One transaction of its own (a savepoint inside another). Raises `LeaseLost` and claims nothing
    when *epoch* is no longer the campaign's. State, settings and trunks are read anew, *campaign*
    only names it. *one_to_one* says that a free agent stands behind each of these calls; without
    it, lines that may only be dialed so are refused (TCPA-7). With *promised* the candidates are
    these leads, personal callbacks whose agent is at hand, and what keeps them for that agent
    does not count.
    """
    wanted = min(count, len(slots))
    if wanted <= 0:
        return ClaimBatch([], {})
    async with connection.transaction():
        held = await campaigns.lock_held(connection, campaign.id, epoch)
        if held is None:
            raise LeaseLost(f"campaign {campaign.id} has another engine: epoch {epoch} is over")
        facts = await gate_facts.of_campaign(connection, held, now=now, one_to_one=one_to_one)
        trunks = await gate_facts.trunks_of(connection, held.id, now=now)
        at_work = gate.may_work(facts, now, trunks.facts)
        if isinstance(at_work, Deny):
            return ClaimBatch([], dict.fromkeys(map(Rule, at_work.rules), 0))
        if not trunks.facts or facts.profile is None:
            return ClaimBatch([], {Rule.TRUNK_NONE: 0})
        work = _Work(slots=[slot for slot in slots if slot.trunk_id not in trunks.unproven])
        timers = profiles.call_timers(
            held.settings,
            facts.profile,
            seller=held.seller,
            # Where the law wants evidence of screening's mistakes first, it hangs up only with it.
            proven=not facts.profile.amd_hang_up
            and await corrections.evidence_of(connection, held.id, now=now) is not None,
        )
        if promised:
            # The agent sees the lead and dials it: the law's word for that is preview.
            facts = replace(facts, mode=Mode.PREVIEW)
        judge = _Judge(facts, now, timers, tuple(promised))
        dry = await _gather(connection, held, work, trunks, judge=judge, wanted=wanted)
        claimed = await _insert(connection, held, work, now=now)
        await _move_out_of_the_way(connection, work)
        return ClaimBatch(claimed, dict(work.denied), work.no_slot, dry)


async def _gather(
    connection: Connection,
    campaign: CampaignRow,
    work: _Work,
    trunks: Trunks,
    *,
    judge: _Judge,
    wanted: int,
) -> bool:
    """Judge candidates until *wanted* are claimed; return whether the lists ran dry."""
    now = judge.now
    seen: list[UUID] = []
    budget = max(EXAMINE_AT_LEAST, EXAMINE_FACTOR * wanted)
    while len(work.claimed) < wanted and len(seen) < budget:
        ask_for = min(wanted - len(work.claimed), budget - len(seen))
        # Ask for a few more than are missing, or a list with many refusals takes many round trips.
        heads = (
            await _promised(connection, judge.promised, seen, now=now)
            if judge.promised
            else await _candidates(connection, campaign.id, seen, now=now, limit=ask_for + 8)
        )
        if not heads:
            return True
        seen.extend(head.id for head in heads)
        pictures = await gate_facts.load(connection, campaign, heads, trunks, now=now)
        for head in heads:
            if len(work.claimed) >= wanted:
                break
            _judge(head, pictures, work, judge)
    return False


async def _candidates(
    connection: Connection, campaign_id: UUID, seen: list[UUID], *, now: datetime, limit: int
) -> list[LeadHead]:
    rows = await connection.fetch(_CANDIDATES, campaign_id, now, limit, seen)
    return [LeadHead.from_row(row) for row in rows]


async def _promised(
    connection: Connection, lead_ids: Sequence[UUID], seen: list[UUID], *, now: datetime
) -> list[LeadHead]:
    rows = await connection.fetch(
        """
        SELECT l.id, l.next_position, l.attempts_before,
               CASE WHEN l.held_by = 'CALLBACK' THEN '-infinity' ELSE l.next_call_at END
                   AS next_call_at
        FROM lead l
        WHERE l.id = ANY($1::uuid[]) AND l.id <> ALL($2::uuid[]) AND l.state = 'open'
          AND (l.next_call_at <= $3 OR l.held_by = 'CALLBACK')
        ORDER BY l.id
        FOR UPDATE SKIP LOCKED
        """,
        list(lead_ids),
        seen,
        now,
    )
    return [LeadHead.from_row(row) for row in rows]


@dataclass(frozen=True, slots=True)
class _Judge:
    """What every lead of one claim is judged by."""

    campaign: gate.CampaignFacts
    now: datetime
    timers: CallTimers
    promised: tuple[UUID, ...] = ()


def _judge(head: LeadHead, pictures: Pictures, work: _Work, judge: _Judge) -> None:
    now = judge.now
    number = pictures.number_of(head)
    if number is None:
        work.done[head.id] = (Rule.NUMBER_INVALID, DoneReason.INVALID_NUMBER)
        work.denied[Rule.NUMBER_INVALID] += 1
        return
    lead, facts = pictures.lead(head, number), pictures.facts(head, number)
    if head.id in judge.promised:
        lead = replace(lead, kept_until=None)
    verdict = gate.may_dial(lead, judge.campaign, now, facts)
    if isinstance(verdict, Deny):
        _put_aside(head, number, verdict, pictures, work, now=now)
        return
    subject_id = pictures.subject_of(head)
    if number.number in work.numbers or subject_id in work.persons:
        # Two leads with one number or person in a batch: the second waits as for any live call.
        rule = Rule.NUMBER_LIVE if number.number in work.numbers else Rule.PERSON_LIVE
        work.held[head.id] = (rule, now + timedelta(seconds=_NUMBER_LIVE_S))
        work.denied[rule] += 1
        return
    slot = work.take(number)
    if slot is None:
        work.no_slot += 1
        return
    work.numbers.add(number.number)
    work.persons.add(subject_id)
    work.claimed.append(
        Claimed(new_id(), head.id, number.id, number.number, number.region, slot, judge.timers)
    )


def _put_aside(
    head: LeadHead,
    number: LeadNumber,
    verdict: Deny,
    pictures: Pictures,
    work: _Work,
    *,
    now: datetime,
) -> None:
    rules = [Rule(rule) for rule in verdict.rules]
    decisive = rules[0]
    if verdict.final is None:
        decisive = _longest(rules)
        wait = timedelta(seconds=verdict.ask_again_s or _NUMBER_LIVE_S)
        work.held[head.id] = (decisive, now + wait)
    else:
        other = _other_number(head, number, rules, pictures)
        if other is None:
            decisive = _decisive_final(rules, verdict.final)
            work.done[head.id] = (decisive, verdict.final)
        else:
            decisive = next(rule for rule in rules if rule in NUMBER_RULES)
            work.other_number[head.id] = other
    work.denied[decisive] += 1


_WAITING_ORDER = (
    Rule.HOURS,
    Rule.STATE_HOURS,
    Rule.REGION,
    Rule.TRUNK_LAB,
    Rule.TRUNK_REAL,
    Rule.TRUNK_NONE,
)


def _longest(rules: Sequence[Rule]) -> Rule:
    """Return the rule to name for a lead that waits: what people ask about first."""
    return next((rule for rule in _WAITING_ORDER if rule in rules), rules[0])


def _decisive_final(rules: Sequence[Rule], reason: DoneReason) -> Rule:
    if reason is DoneReason.SUPPRESSED:
        return Rule.DNC if Rule.DNC in rules else Rule.LITIGATOR
    if reason is DoneReason.ATTEMPTS_EXHAUSTED:
        return Rule.ATTEMPTS
    return next((rule for rule in rules if rule in NUMBER_RULES), rules[0])


def _other_number(
    head: LeadHead, number: LeadNumber, rules: Sequence[Rule], pictures: Pictures
) -> int | None:
    """Return another position worth trying when only the number itself was condemned."""
    if {Rule.DNC, Rule.LITIGATOR, Rule.ATTEMPTS} & set(rules):
        return None
    usable = [
        other.position
        for other in pictures.numbers[head.id]
        if examine(other.number).kind is NumberKind.ORDINARY
    ]
    return next_position(usable, number.position)


async def _insert(
    connection: Connection, campaign: CampaignRow, work: _Work, *, now: datetime
) -> list[Claimed]:
    """Write the attempts; a number that another campaign has just claimed is held back."""
    if not work.claimed:
        return []
    # In the order of numbers, so that two campaigns with the same numbers cannot deadlock on the
    # unique index.
    wanted = sorted(work.claimed, key=lambda claimed: claimed.number)
    rows = await connection.fetch(
        """
        WITH wanted AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
                                 $6::uuid[], $7::uuid[], $8::text[], $9::uuid[])
                 AS w (id, lead_id, lead_number_id, number, region, process_id, trunk_id,
                       caller_id, event_id)
        ), inserted AS (
            INSERT INTO live_attempt (id, campaign_id, lead_id, lead_number_id, dialed_number,
                                      region, mode, epoch, process_id, trunk_id, caller_id, timers,
                                      claimed_at)
            SELECT w.id, $10, w.lead_id, w.lead_number_id, w.number, w.region, $11, $12,
                   w.process_id, w.trunk_id, w.caller_id, $13, $14
            FROM wanted w
            ON CONFLICT DO NOTHING
            RETURNING id, lead_id, process_id
        ), moved AS (
            UPDATE lead l SET state = 'in_call', held_by = NULL
            FROM inserted i WHERE l.id = i.lead_id AND l.state = 'open'
        ), told AS (
            INSERT INTO call_event (id, attempt_id, kind, happened_at, detail)
            SELECT w.event_id, i.id, 'claimed', $14,
                   jsonb_build_object('lead_id', w.lead_id, 'trunk_id', w.trunk_id,
                                      'process_id', w.process_id, 'epoch', $12::bigint)
            FROM inserted i JOIN wanted w ON w.id = i.id
        )
        SELECT id FROM inserted
        """,
        [claimed.attempt_id for claimed in wanted],
        [claimed.lead_id for claimed in wanted],
        [claimed.lead_number_id for claimed in wanted],
        [claimed.number for claimed in wanted],
        [claimed.region for claimed in wanted],
        [claimed.process_id for claimed in wanted],
        [claimed.trunk_id for claimed in wanted],
        [claimed.slot.caller_id for claimed in wanted],
        [new_id() for _ in wanted],
        campaign.id,
        campaign.mode,
        campaign.lease_epoch,
        wanted[0].timers.model_dump(mode="json"),
        now,
    )
    written = {row["id"] for row in rows}
    for claimed in wanted:
        if claimed.attempt_id not in written:
            until = now + timedelta(seconds=_NUMBER_LIVE_S)
            work.held[claimed.lead_id] = (Rule.NUMBER_LIVE, until)
            work.denied[Rule.NUMBER_LIVE] += 1
    return [claimed for claimed in work.claimed if claimed.attempt_id in written]


async def _move_out_of_the_way(connection: Connection, work: _Work) -> None:
    if work.held:
        await connection.execute(
            """
            UPDATE lead l SET next_call_at = h.until, held_by = h.rule
            FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS h (id, rule, until)
            WHERE l.id = h.id AND l.state = 'open'
            """,
            list(work.held),
            [str(rule) for rule, _ in work.held.values()],
            [until for _, until in work.held.values()],
        )
    if work.done:
        await connection.execute(
            """
            UPDATE lead l SET state = 'done', done_reason = d.reason::done_reason, held_by = d.rule
            FROM unnest($1::uuid[], $2::text[], $3::text[]) AS d (id, rule, reason)
            WHERE l.id = d.id AND l.state = 'open'
            """,
            list(work.done),
            [str(rule) for rule, _ in work.done.values()],
            [str(reason) for _, reason in work.done.values()],
        )
    if work.other_number:
        await connection.execute(
            """
            UPDATE lead l SET next_position = o.position
            FROM unnest($1::uuid[], $2::integer[]) AS o (id, position)
            WHERE l.id = o.id AND l.state = 'open'
            """,
            list(work.other_number),
            list(work.other_number.values()),
        )
