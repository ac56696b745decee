"""What the gate needs to know about leads, read in a few statements for many of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.model import LeadState, TrunkKind
from campaigns.rules.gate import Facts, LeadFacts, TrunkFacts

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

_FREQUENCY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LeadHead:
    """The columns of a lead that decide about it."""

    id: UUID
    state: LeadState
    next_call_at: datetime | None
    next_position: int
    attempts_before: int


@dataclass(frozen=True, slots=True)
class LeadNumber:
    """One number of a lead."""

    id: UUID
    position: int
    number: str
    region: str
    zones: tuple[str, ...]


@dataclass(slots=True)
class _History:
    dialed_at: list[datetime] = field(default_factory=list)
    abandoned_at: datetime | None = None
    machine_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pictures:
    """Everything known about a batch of leads; `lead` and `facts` are what the gate takes."""

    numbers: Mapping[UUID, Sequence[LeadNumber]]
    charged: Mapping[UUID, int]
    suppressed: frozenset[UUID]
    live: frozenset[str]
    trunks: Sequence[TrunkFacts]
    _histories: Mapping[str, _History]

    def number_of(self, head: LeadHead) -> LeadNumber | None:
        """Return the number that is next for the lead; the first if its position is gone."""
        numbers = self.numbers.get(head.id, ())
        at = [number for number in numbers if number.position == head.next_position]
        return next(iter(at or numbers), None)

    def lead(self, head: LeadHead, number: LeadNumber) -> LeadFacts:
        """Return the lead as the gate sees it when *number* would be dialed."""
        return LeadFacts(
            state=head.state,
            number=number.number,
            region=number.region,
            zones=number.zones,
            attempts=head.attempts_before + self.charged.get(head.id, 0),
            next_call_at=head.next_call_at,
        )

    def facts(self, head: LeadHead, number: LeadNumber) -> Facts:
        """Return what is known about the number besides the lead."""
        history = self._histories.get(number.number, _History())
        return Facts(
            suppressed=head.id in self.suppressed,
            number_live=number.number in self.live,
            trunks=self.trunks,
            dialed_at=tuple(history.dialed_at),
            abandoned_at=history.abandoned_at,
            machine_at=history.machine_at,
        )


async def trunks_of(connection: Connection, campaign_id: UUID) -> tuple[TrunkFacts, ...]:
    """Return the enabled trunks attached to a campaign, as the gate sees them."""
    rows = await connection.fetch(
        """
        SELECT t.kind, t.settings -> 'regions' AS regions
        FROM campaign_trunk ct JOIN trunk t ON t.id = ct.trunk_id
        WHERE ct.campaign_id = $1 AND t.enabled
        """,
        campaign_id,
    )
    return tuple(
        TrunkFacts(
            TrunkKind(row["kind"]),
            None if row["regions"] is None else frozenset(row["regions"]),
        )
        for row in rows
    )


async def load(
    connection: Connection,
    campaign: CampaignRow,
    heads: Sequence[LeadHead],
    trunks: Sequence[TrunkFacts],
    *,
    now: datetime,
) -> Pictures:
    """Read the facts about *heads*: numbers, past attempts, suppression, calls in progress."""
    ids = [head.id for head in heads]
    numbers: dict[UUID, list[LeadNumber]] = {}
    suppressed = set()
    for row in await connection.fetch(
        """
        -- A person who asked not to be called is not called at any of their numbers.
        SELECT n.lead_id, n.id, n.position, n.number, n.region, n.zones,
               EXISTS (SELECT FROM suppression s
                       WHERE s.number = n.number AND s.seller IN ($2, '*')) AS suppressed
        FROM lead_number n
        WHERE n.lead_id = ANY($1::uuid[])
        ORDER BY n.lead_id, n.position
        """,
        ids,
        campaign.seller,
    ):
        number = LeadNumber(
            row["id"], row["position"], row["number"], row["region"], tuple(row["zones"])
        )
        numbers.setdefault(row["lead_id"], []).append(number)
        if row["suppressed"]:
            suppressed.add(row["lead_id"])
    charged = {
        row["lead_id"]: row["charged"]
        for row in await connection.fetch(
            """
            SELECT lead_id, count(*) FILTER (WHERE charged) AS charged
            FROM attempt WHERE lead_id = ANY($1::uuid[]) GROUP BY lead_id
            """,
            ids,
        )
    }
    dialed = sorted({number.number for found in numbers.values() for number in found})
    live = await connection.fetch(
        "SELECT dialed_number FROM live_attempt WHERE dialed_number = ANY($1::text[])", dialed
    )
    return Pictures(
        numbers=numbers,
        charged=charged,
        suppressed=frozenset(suppressed),
        live=frozenset(row["dialed_number"] for row in live),
        trunks=trunks,
        _histories=await _histories(connection, campaign, dialed, now=now),
    )


async def _histories(
    connection: Connection, campaign: CampaignRow, numbers: list[str], *, now: datetime
) -> dict[str, _History]:
    profile = campaign.profile
    if profile is None:
        return {}
    blocks = [
        timedelta(seconds=block_s)
        for block_s in (profile.recall_block_s, profile.machine_recall_s)
        if block_s is not None
    ]
    if profile.attempts_24h is not None:
        blocks.append(_FREQUENCY)
    if not blocks:
        return {}
    found: dict[str, _History] = {}
    for row in await connection.fetch(
        """
        -- A call counts from the moment it was dialed, in whatever campaign (ST-3). An attempt may
        -- end hours after its claim, so the partition key gets a day of slack.
        SELECT dialed_number, dialing_at, ended_at, abandoned, verdict = 'machine' AS machine
        FROM attempt
        WHERE dialed_number = ANY($1::text[]) AND claimed_at > $2 AND dialing_at IS NOT NULL
        ORDER BY claimed_at
        """,
        numbers,
        now - max(blocks) - timedelta(days=1),
    ):
        history = found.setdefault(row["dialed_number"], _History())
        history.dialed_at.append(row["dialing_at"])
        if row["abandoned"]:
            history.abandoned_at = row["ended_at"]
        if row["machine"]:
            history.machine_at = row["ended_at"]
    return found
