"""What the gate needs to know about leads, read in a few statements for many of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import Disposition, LeadState, Outcome, TrunkKind, Verdict
from campaigns.rules.facts import CampaignFacts, Facts, LeadFacts, TrunkFacts
from campaigns.rules.rule_ids import Rule
from campaigns.rules.us_states import SPANS_S

if TYPE_CHECKING:
    from campaigns.rules.profiles import Profile
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

# After an abandoned call that a law wants followed by a call with an agent: how long that is known.
_RECALL_AGENT = timedelta(days=30)
# Calls that did not connect to the dialed number do not count for a debt (12 CFR 1006.14(b)(3)).
_NOT_CONNECTED = frozenset(
    {
        Outcome.BUSY,
        Outcome.INVALID_NUMBER,
        Outcome.TRUNK_FAULT,
        Outcome.REFUSED,
        Outcome.CANCELLED,
    }
)
_NO_CONVERSATION = frozenset({Disposition.MACHINE, Disposition.NOBODY_THERE})


@dataclass(frozen=True, slots=True)
class LeadHead:
    """The columns of a lead that decide about it."""

    id: UUID
    state: LeadState
    next_call_at: datetime | None
    next_position: int
    attempts_before: int

    @classmethod
    def from_row(cls, row: Any) -> LeadHead:
        """Return an open lead as the claim's candidates give it."""
        due = row["next_call_at"]
        return cls(
            id=row["id"],
            state=LeadState.OPEN,
            # Postgres' -infinity arrives as the year 1, naive.
            next_call_at=due if due.tzinfo is not None and due.year > 1 else None,
            next_position=row["next_position"],
            attempts_before=row["attempts_before"],
        )


@dataclass(frozen=True, slots=True)
class LeadNumber:
    """One number of a lead, with what lists and services say about it."""

    id: UUID
    position: int
    number: str
    region: str
    zones: tuple[str, ...]
    landline: bool = False
    listed_in: frozenset[str] = frozenset()
    litigator: bool = False
    reassigned: bool = False
    consented: bool = False
    related_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Person:
    """Who a lead is: the subject behind it, where they live, which debt it is about."""

    subject_id: UUID
    address_state: str | None
    debt: str | None
    kept_until: datetime | None


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that was dialed, live or closed; `subject_id` None when its lead is not the person's.

    `about_debt` is the debt of its lead, '' where that is unknown.
    """

    number: str
    subject_id: UUID | None
    about_debt: str
    dialed_at: datetime
    ended_at: datetime | None = None
    abandoned: bool = False
    machine: bool = False
    connected: bool = True
    conversation_at: datetime | None = None
    refused: bool = False


@dataclass(slots=True)
class Trunks:
    """The enabled trunks of a campaign, as the gate sees them.

    `unproven` are those that show a caller id nobody has proven to be ours today (CLI-1).
    """

    facts: tuple[TrunkFacts, ...]
    unproven: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Pictures:
    """Everything known about a batch of leads; `lead` and `facts` are what the gate takes."""

    numbers: Mapping[UUID, Sequence[LeadNumber]]
    charged: Mapping[UUID, int]
    suppressed: frozenset[UUID]
    live_numbers: frozenset[str]
    live_persons: frozenset[UUID]
    trunks: Trunks
    _persons: Mapping[UUID, _Person]
    _calls: Sequence[_Call] = field(default_factory=tuple)

    def number_of(self, head: LeadHead) -> LeadNumber | None:
        """Return the number that is next for the lead; the first if its position is gone."""
        numbers = self.numbers.get(head.id, ())
        at = [number for number in numbers if number.position == head.next_position]
        return next(iter(at or numbers), None)

    def subject_of(self, head: LeadHead) -> UUID:
        """Return the person behind a lead."""
        return self._persons[head.id].subject_id

    def lead(self, head: LeadHead, number: LeadNumber) -> LeadFacts:
        """Return the lead as the gate sees it when *number* would be dialed."""
        person = self._persons[head.id]
        return LeadFacts(
            state=head.state,
            number=number.number,
            region=number.region,
            zones=number.zones,
            attempts=head.attempts_before + self.charged.get(head.id, 0),
            next_call_at=head.next_call_at,
            state_of_address=person.address_state,
            landline=number.landline,
            kept_until=person.kept_until,
        )

    def facts(self, head: LeadHead, number: LeadNumber) -> Facts:
        """Return what is known about the number and the person besides the lead."""
        person = self._persons[head.id]
        subject, debt = person.subject_id, person.debt or ""
        known = Facts(
            suppressed=head.id in self.suppressed,
            litigator=any(one.litigator for one in self.numbers[head.id]),
            reassigned=number.reassigned,
            number_live=number.number in self.live_numbers,
            person_live=subject in self.live_persons,
            trunks=self.trunks.facts,
            dialed_at=(),
            debt_dialed_at=(),
            listed_in=number.listed_in,
            related_until=number.related_until,
            consented=number.consented,
        )
        if not self._calls:
            return known
        to_number = [call for call in self._calls if call.number == number.number]
        to_person = [call for call in self._calls if call.subject_id == subject]
        either = [c for c in self._calls if c.number == number.number or c.subject_id == subject]
        about_debt = [c for c in to_person if not (debt and c.about_debt) or c.about_debt == debt]
        return replace(
            known,
            dialed_at=tuple(call.dialed_at for call in either),
            abandoned_at=_last(call.ended_at for call in to_number if call.abandoned),
            machine_at=_last(call.ended_at for call in to_number if call.machine),
            debt_dialed_at=tuple(call.dialed_at for call in about_debt if call.connected),
            conversation_at=_last(call.conversation_at for call in about_debt),
            refused_at=_last(call.ended_at for call in either if call.refused),
        )


def _last(moments: Any) -> datetime | None:
    return max((at for at in moments if at is not None), default=None)


async def trunks_of(connection: Connection, campaign_id: UUID, *, now: datetime) -> Trunks:
    """Return the enabled trunks attached to a campaign, as the gate sees them at *now*."""
    rows = await connection.fetch(
        """
        -- A lab trunk shows numbers reserved for fiction, which nobody owns.
        SELECT t.id, t.kind, t.settings -> 'regions' AS regions,
               t.kind = 'lab' OR NOT EXISTS (
                   SELECT FROM caller_id i
                   WHERE i.trunk_id = t.id
                     AND (i.owner IS NULL OR i.authorisation IS NULL
                          OR COALESCE(i.valid_from > $2::date, false)
                          OR COALESCE(i.valid_until < $2::date, false))
               ) AS owned
        FROM campaign_trunk ct JOIN trunk t ON t.id = ct.trunk_id
        WHERE ct.campaign_id = $1 AND t.enabled
        """,
        campaign_id,
        now.date(),
    )
    return Trunks(
        tuple(
            TrunkFacts(
                TrunkKind(row["kind"]),
                None if row["regions"] is None else frozenset(row["regions"]),
                owned=row["owned"],
            )
            for row in rows
        ),
        frozenset(row["id"] for row in rows if not row["owned"]),
    )


async def of_campaign(
    connection: Connection, campaign: CampaignRow, *, now: datetime, one_to_one: bool = False
) -> CampaignFacts:
    """Return all the gate needs of a campaign at *now*; `one_to_one` says what is asked about."""
    row = await connection.fetchrow(
        """
        SELECT ARRAY(
                   SELECT DISTINCT ON (v.registry) v.registry FROM registry_version v
                   ORDER BY v.registry, v.loaded_at DESC, v.id DESC
               ) AS registries,
               ARRAY(
                   SELECT DISTINCT ON (v.registry) v.version_at FROM registry_version v
                   ORDER BY v.registry, v.loaded_at DESC, v.id DESC
               ) AS versions,
               ARRAY(
                   SELECT last.rule
                   FROM (SELECT DISTINCT ON (w.rule) w.rule, w.kind, w.until FROM waiver_event w
                         WHERE w.campaign_id = $1
                         ORDER BY w.rule, w.signed_at DESC, w.id DESC) last
                   WHERE last.kind = 'signed' AND last.until >= $2
               ) AS waived
        """,
        campaign.id,
        now.date(),
    )
    if row is None:
        raise RuntimeError("a SELECT without FROM returned no row")
    return replace(
        campaign.facts(now),
        registries=dict(zip(row["registries"], row["versions"], strict=True)),
        # A rule this version does not know is none it could waive.
        waived=frozenset(Rule(rule) for rule in row["waived"] if rule in set(Rule)),
        one_to_one=one_to_one,
    )


_NUMBERS = """
-- A person who asked not to be called is not called at any of their numbers. What only a law with
-- real numbers asks for ($4) is not looked up for a lab.
SELECT n.lead_id, n.id, n.position, n.number, n.region, n.zones, n.landline,
       l.subject_id, l.address_state, l.debt,
       EXISTS (SELECT FROM suppression s
               -- Of a person who was forgotten, a keyed hash of the number is left.
               WHERE s.number IN (n.number, number_token(n.number))
                 AND s.seller IN ($2, '*')) AS suppressed,
       (SELECT c.anyone_from FROM callback c
        WHERE c.lead_id = n.lead_id AND c.closed_at IS NULL AND c.agent_id IS NOT NULL
          -- Shown to that very agent, it is kept for nobody else any more.
          AND NOT EXISTS (SELECT FROM live_attempt a
                          WHERE a.lead_id = n.lead_id AND a.agent_id = c.agent_id))
           AS kept_until,
       CASE WHEN $4 THEN ARRAY(SELECT r.registry FROM registry_number r WHERE r.number = n.number)
            ELSE '{}' END AS listed_in,
       CASE WHEN $4 THEN ARRAY(
           SELECT last.kind
           FROM (SELECT DISTINCT ON (s.kind) s.kind, s.answer FROM number_screening s
                 WHERE s.number = n.number ORDER BY s.kind, s.checked_at DESC) last
           WHERE last.answer = 'yes') ELSE '{}' END AS screened,
       $4 AND EXISTS (
           SELECT FROM consent_event g
           WHERE g.number = n.number AND g.kind = 'given' AND g.seller = $2
             AND g.purpose IN ('', $3) AND g.happened_at <= $6
             AND (g.valid_until IS NULL OR g.valid_until > $6)
             AND NOT EXISTS (
                 SELECT FROM consent_event r
                 WHERE r.number = n.number AND r.kind = 'revoked' AND r.seller IN ($2, '*')
                   AND ($5 OR r.purpose IN ('', $3)) AND r.happened_at >= g.happened_at)
       ) AS consented,
       CASE WHEN $4 THEN (
           SELECT max(e.happened_at + CASE e.kind WHEN 'transaction' THEN interval '18 months'
                                                  ELSE interval '3 months' END)
           FROM consent_event e
           WHERE e.number = n.number AND e.kind IN ('transaction', 'inquiry') AND e.seller = $2
             AND e.happened_at <= $6
       ) END AS related_until
FROM lead_number n
JOIN lead l ON l.id = n.lead_id
WHERE n.lead_id = ANY($1::uuid[])
ORDER BY n.lead_id, n.position
"""


async def load(
    connection: Connection,
    campaign: CampaignRow,
    heads: Sequence[LeadHead],
    trunks: Trunks,
    *,
    now: datetime,
) -> Pictures:
    """Read the facts about *heads*: numbers, permissions, past attempts, calls in progress."""
    ids = [head.id for head in heads]
    law = campaign.profile_on(now)
    numbers: dict[UUID, list[LeadNumber]] = {}
    persons: dict[UUID, _Person] = {}
    suppressed = set()
    for row in await connection.fetch(
        _NUMBERS,
        ids,
        campaign.seller,
        campaign.purpose,
        law is not None and not law.lab_only,
        law is not None and law.revoke_all,
        now,
    ):
        numbers.setdefault(row["lead_id"], []).append(_number(row))
        persons[row["lead_id"]] = _Person(
            row["subject_id"], row["address_state"], row["debt"], row["kept_until"]
        )
        if row["suppressed"]:
            suppressed.add(row["lead_id"])
    charged = {
        row["lead_id"]: row["charged"]
        for row in await connection.fetch(
            """
            SELECT a.lead_id, count(*) AS charged
            FROM attempt a JOIN lead l ON l.id = a.lead_id
            WHERE a.lead_id = ANY($1::uuid[]) AND a.charged
              AND a.claimed_at >= COALESCE(l.recycled_at, '-infinity')
            GROUP BY a.lead_id
            """,
            ids,
        )
    }
    dialed = sorted({number.number for found in numbers.values() for number in found})
    theirs = {
        row["id"]: (row["subject_id"], row["debt"] or "")
        for row in await connection.fetch(
            "SELECT id, subject_id, debt FROM lead WHERE subject_id = ANY($1::uuid[])",
            sorted({person.subject_id for person in persons.values()}),
        )
    }
    live = await connection.fetch(
        "SELECT dialed_number, lead_id, dialing_at FROM live_attempt"
        " WHERE dialed_number = ANY($1::text[]) OR lead_id = ANY($2::uuid[])",
        dialed,
        list(theirs),
    )
    calls = await _calls(connection, campaign, dialed, theirs, now=now)
    calls += [
        _Call(row["dialed_number"], *theirs.get(row["lead_id"], (None, "")), row["dialing_at"])
        for row in live
        if row["dialing_at"] is not None
    ]
    return Pictures(
        numbers=numbers,
        charged=charged,
        suppressed=frozenset(suppressed),
        live_numbers=frozenset(row["dialed_number"] for row in live),
        live_persons=frozenset(theirs[r["lead_id"]][0] for r in live if r["lead_id"] in theirs),
        trunks=trunks,
        _persons=persons,
        _calls=calls,
    )


def _number(row: Any) -> LeadNumber:
    return LeadNumber(
        id=row["id"],
        position=row["position"],
        number=row["number"],
        region=row["region"],
        zones=tuple(row["zones"]),
        landline=row["landline"],
        listed_in=frozenset(row["listed_in"]),
        litigator="litigator" in row["screened"],
        reassigned="reassigned" in row["screened"],
        consented=row["consented"],
        related_until=row["related_until"],
    )


def _horizon(campaign: CampaignRow, law: Profile) -> timedelta | None:
    """Return how far back calls matter, None when no rule of the campaign counts any."""
    spans = [timedelta(seconds=span) for span in law.calls]
    spans += [timedelta(seconds=SPANS_S[span]) for span in campaign.settings.calls]
    if law.state_rules:
        spans.append(timedelta(days=1))
    for block_s in (law.recall_block_s, law.machine_recall_s):
        if block_s is not None:
            spans.append(timedelta(seconds=block_s))
    if law.recall_needs_agent:
        spans.append(_RECALL_AGENT)
    # A day more: debts and refusals are counted by the person's own calendar.
    for days in (law.debt_quiet_days, 7 if law.debt_calls_7d else None, law.refusal_block_days):
        if days is not None:
            spans.append(timedelta(days=days + 1))
    return max(spans, default=None)


async def _calls(
    connection: Connection,
    campaign: CampaignRow,
    numbers: list[str],
    theirs: Mapping[UUID, tuple[UUID, str]],
    *,
    now: datetime,
) -> list[_Call]:
    law = campaign.profile_on(now)
    horizon = None if law is None else _horizon(campaign, law)
    if horizon is None:
        return []
    rows = await connection.fetch(
        """
        -- A call counts from the moment it was dialed, in whatever campaign (ST-3). An attempt may
        -- end hours after its claim, so the partition key gets a day of slack. Two branches, so
        -- that each reads its own index.
        WITH theirs AS (
            SELECT a.id FROM attempt a
            WHERE a.dialed_number = ANY($1::text[]) AND a.claimed_at > $3
              AND a.dialing_at IS NOT NULL
            UNION
            SELECT a.id FROM attempt a
            WHERE a.lead_id = ANY($2::uuid[]) AND a.claimed_at > $3 AND a.dialing_at IS NOT NULL
        )
        SELECT a.dialed_number, a.lead_id, a.dialing_at, a.ended_at, a.abandoned, a.verdict,
               a.outcome, a.disposition, a.joined_at,
               c.seller = $4 AND a.disposition = 'not_interested' AS refused
        FROM theirs t
        JOIN attempt a ON a.id = t.id AND a.claimed_at > $3
        JOIN campaign c ON c.id = a.campaign_id
        ORDER BY a.claimed_at
        """,
        numbers,
        list(theirs),
        now - horizon - timedelta(days=1),
        campaign.seller,
    )
    return [_call(row, theirs) for row in rows]


def _call(row: Any, theirs: Mapping[UUID, tuple[UUID, str]]) -> _Call:
    subject_id, debt = theirs.get(row["lead_id"], (None, ""))
    talked = row["joined_at"] is not None and row["disposition"] not in _NO_CONVERSATION
    return _Call(
        number=row["dialed_number"],
        subject_id=subject_id,
        about_debt=debt,
        dialed_at=row["dialing_at"],
        ended_at=row["ended_at"],
        abandoned=row["abandoned"],
        machine=row["verdict"] == Verdict.MACHINE,
        connected=row["outcome"] not in _NOT_CONNECTED,
        conversation_at=row["joined_at"] if talked else None,
        refused=bool(row["refused"]),
    )
