"""What must be there before a campaign may start, each missing thing with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.model import TrunkKind
from campaigns.rules import profiles

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class Readiness:
    """What keeps a campaign from starting, and what a manager should know all the same."""

    missing: tuple[str, ...]
    warnings: tuple[str, ...]


async def readiness_of(connection: Connection, campaign: CampaignRow) -> Readiness:
    """Return every missing thing as a sentence with its remedy, and the warnings."""
    missing: list[str] = []
    warnings: list[str] = []
    if campaign.profile is None:
        known = ", ".join(sorted(profiles.PROFILES))
        missing.append(
            f"its legal profile {campaign.profile_name!r} is unknown (choose one of {known})"
        )
    await _check_lists(connection, campaign, missing, warnings)
    await _check_trunks(connection, campaign, missing, warnings)
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM agent_campaign WHERE campaign_id = $1)", campaign.id
    ):
        warnings.append("no agent is assigned: nothing is dialed until one is and logs in")
    return Readiness(tuple(missing), tuple(warnings))


async def _check_lists(
    connection: Connection, campaign: CampaignRow, missing: list[str], warnings: list[str]
) -> None:
    lists = await connection.fetch(
        "SELECT list_id FROM campaign_list WHERE campaign_id = $1 AND active", campaign.id
    )
    if not lists:
        missing.append("it has no list (import one with `dialer leads import`)")
    elif not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM lead WHERE list_id = ANY($1::uuid[]) AND state <> 'done')",
        [row["list_id"] for row in lists],
    ):
        warnings.append("its lists hold no lead that is not done")


async def _check_trunks(
    connection: Connection, campaign: CampaignRow, missing: list[str], warnings: list[str]
) -> None:
    trunks = await connection.fetch(
        """
        SELECT t.name, t.kind, EXISTS (SELECT FROM caller_id i WHERE i.trunk_id = t.id) AS shown
        FROM campaign_trunk ct JOIN trunk t ON t.id = ct.trunk_id
        WHERE ct.campaign_id = $1 AND t.enabled
        ORDER BY t.name
        """,
        campaign.id,
    )
    if not trunks:
        missing.append("no trunk is attached (attach one with `dialer campaign set --trunk`)")
        return
    missing.extend(
        f"trunk {trunk['name']!r} has no caller id (add one with `dialer trunk set --caller-id`)"
        for trunk in trunks
        if not trunk["shown"]
    )
    if campaign.profile is None:
        return
    if campaign.profile.lab_only:
        missing.extend(
            f"trunk {trunk['name']!r} is a real one and profile {campaign.profile.name!r} allows "
            "lab trunks only (choose the profile of the law that applies)"
            for trunk in trunks
            if trunk["kind"] == TrunkKind.REAL
        )
    elif all(trunk["kind"] == TrunkKind.LAB for trunk in trunks):
        warnings.append(
            "only lab trunks are attached: numbers reserved for fiction are all it calls"
        )


async def check_can_start(connection: Connection, campaign: CampaignRow) -> tuple[str, ...]:
    """Return the warnings; raises `UserError` that names each thing missing."""
    found = await readiness_of(connection, campaign)
    if found.missing:
        raise UserError(f"Campaign {campaign.name!r} cannot start: {'; '.join(found.missing)}.")
    return found.warnings
