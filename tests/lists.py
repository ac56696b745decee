"""Campaigns, trunks, lists and leads for tests, written straight into a real database."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import CampaignSettings, TrunkKind, new_id
from campaigns.rules.dialable_numbers import examine
from campaigns.rules.zones import candidate_zones
from campaigns.stores import campaigns
from campaigns.stores.campaigns import CampaignRow, NewCampaign
from campaigns.stores.claims import Slot
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

NOON = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)
"""A Wednesday: 13:00 in New York, 10:00 in Los Angeles, 18:00 in London."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A running campaign with what it needs to call: a trunk, a line process, a list."""

    campaign: CampaignRow
    epoch: int
    trunk_id: UUID
    process_id: UUID
    list_id: UUID

    def slots(self, count: int, *, kind: TrunkKind = TrunkKind.LAB) -> list[Slot]:
        """Return room for *count* calls through the trunk."""
        return [Slot(self.process_id, self.trunk_id, kind, "+12125550199")] * count


def fictional(count: int, *, area: int = 212) -> list[str]:
    """Return *count* different numbers reserved for fiction, a hundred per area code."""
    areas = itertools.count(area)
    return [
        f"+1{code}55501{line:02d}"
        for code in itertools.islice(areas, count // 100 + 1)
        for line in range(100)
    ][:count]


async def add_trunk(
    connection: Connection,
    name: str = "lab",
    *,
    kind: TrunkKind = TrunkKind.LAB,
    settings: dict[str, Any] | None = None,
    caller_id: str | None = "+12125550199",
) -> UUID:
    """Add a trunk with one caller id."""
    trunk_id = new_id()
    await connection.execute(
        "INSERT INTO trunk (id, name, kind, host, settings) VALUES ($1, $2, $3, '127.0.0.1', $4)",
        trunk_id,
        name,
        kind,
        settings or {},
    )
    if caller_id is not None:
        await connection.execute(
            "INSERT INTO caller_id (id, trunk_id, number) VALUES ($1, $2, $3)",
            new_id(),
            trunk_id,
            caller_id,
        )
    return trunk_id


async def add_process(connection: Connection) -> UUID:
    """Add a line process that is alive for the next hour."""
    process_id = new_id()
    await connection.execute(
        "INSERT INTO process (id, kind, host, pid, capacity, lease_until) "
        "VALUES ($1, 'lines', 'test', 1, 100, clock_timestamp() + interval '1 hour')",
        process_id,
    )
    return process_id


async def add_list(
    connection: Connection, campaign_id: UUID | None = None, *, priority: int = 1
) -> UUID:
    """Add an empty list, attached to the campaign if one is given."""
    list_id = new_id()
    await connection.execute("INSERT INTO lead_list (id, name) VALUES ($1, 'list')", list_id)
    if campaign_id is not None:
        await campaigns.attach_list(connection, campaign_id, list_id, priority=priority)
    return list_id


async def add_lead(
    connection: Connection,
    list_id: UUID,
    *numbers: str,
    priority: int = 0,
    due: datetime | None = None,
    zones: Sequence[str] | None = None,
    attempts_before: int = 0,
) -> UUID:
    """Add an open lead with its numbers in order; *due* None is due at any time."""
    [lead_id] = await add_leads(
        connection,
        list_id,
        [numbers],
        priority=priority,
        due=due,
        zones=zones,
        attempts_before=attempts_before,
    )
    return lead_id


async def add_leads(
    connection: Connection,
    list_id: UUID,
    leads: Sequence[Sequence[str]],
    *,
    priority: int = 0,
    due: datetime | None = None,
    zones: Sequence[str] | None = None,
    attempts_before: int = 0,
) -> list[UUID]:
    """Add open leads, each with its numbers in order."""
    subjects = [new_id() for _ in leads]
    ids = [new_id() for _ in leads]
    await connection.executemany(
        "INSERT INTO subject (id) VALUES ($1)", [(subject,) for subject in subjects]
    )
    await connection.executemany(
        "INSERT INTO lead (id, list_id, subject_id, priority, next_call_at, attempts_before) "
        "VALUES ($1, $2, $3, $4, coalesce($5, '-infinity'::timestamptz), $6)",
        [
            (lead, list_id, subject, priority, due, attempts_before)
            for lead, subject in zip(ids, subjects, strict=True)
        ],
    )
    rows = []
    for lead, numbers in zip(ids, leads, strict=True):
        for position, number in enumerate(numbers):
            region = examine(number).region
            known = candidate_zones(number, region) if zones is None else zones
            rows.append((new_id(), lead, position, number, region, list(known)))
    await connection.executemany(
        "INSERT INTO lead_number (id, lead_id, position, number, region, zones) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        rows,
    )
    return ids


async def open_floor(
    connection: Connection,
    name: str = "spring",
    *,
    profile: str = "lab",
    regions: Sequence[str] = ("US", "CA", "GB", "FR", "DE", "AU"),
    kind: TrunkKind = TrunkKind.LAB,
    settings: CampaignSettings | None = None,
    mode: Mode = Mode.PROGRESSIVE,
    seller: str = "Acme",
) -> Floor:
    """Create a running campaign, leased at epoch 1, with a trunk, a process and an empty list."""
    # Tests live on a day of their own, whatever the machine's calendar says.
    await connection.execute("SELECT ensure_partitions($1)", NOON)
    campaign = await campaigns.create(
        connection,
        NewCampaign(
            name=name,
            seller=seller,
            profile=profile,
            regions=regions,
            mode=mode,
            settings=settings,
        ),
    )
    list_id = await add_list(connection, campaign.id)
    trunk_id = await add_trunk(connection, f"{name} trunk", kind=kind)
    await campaigns.attach_trunk(connection, name, f"{name} trunk")
    process_id = await add_process(connection)
    await connection.execute(
        "UPDATE campaign SET state = 'running', lease_epoch = 1, "
        "lease_until = clock_timestamp() + interval '1 hour' WHERE id = $1",
        campaign.id,
    )
    running = await campaigns.get(connection, name)
    return Floor(running, 1, trunk_id, process_id, list_id)


async def lead_row(connection: Connection, lead_id: UUID) -> dict[str, Any]:
    """Return a lead's row."""
    row = await connection.fetchrow("SELECT * FROM lead WHERE id = $1", lead_id)
    assert row is not None
    return dict(row)
