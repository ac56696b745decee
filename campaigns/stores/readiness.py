"""What must be there before a campaign may start, each missing thing with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.model import TrunkKind
from campaigns.rules import announcements, profiles, registries
from campaigns.rules.gate import Rule
from campaigns.stores import gate_facts
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.rules.profiles import Profile
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
    elif not campaign.profile.lab_only:
        _check_words(campaign, campaign.profile, missing, warnings)
        await _check_registries(connection, campaign, campaign.profile, missing)
    await _check_lists(connection, campaign, missing, warnings)
    await _check_trunks(connection, campaign, missing, warnings)
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM agent_campaign WHERE campaign_id = $1)", campaign.id
    ):
        warnings.append("no agent is assigned: nothing is dialed until one is and logs in")
    return Readiness(tuple(missing), tuple(warnings))


def _check_words(
    campaign: CampaignRow, law: Profile, missing: list[str], warnings: list[str]
) -> None:
    """Ask for the purpose, and for an announcement that says what the law wants said (MSG-1)."""
    if not campaign.purpose:
        missing.append("it has no purpose (say it with `dialer campaign set --purpose`)")
    if campaign.mode not in (Mode.POWER, Mode.PREDICTIVE) or not law.announcement:
        return
    text = campaign.settings.announcement
    if not text:
        missing.append(
            f"mode {campaign.mode} needs an announcement for people no agent is free for "
            "(`dialer campaign set --set announcement='…'`)"
        )
        return
    if text.endswith(".wav"):
        warnings.append(
            f"{text} is played as it is: make sure that it says {', '.join(law.announcement)}"
        )
        return
    missing.extend(
        f"its announcement does not say {what}"
        for what in announcements.unsaid(text, law.announcement, seller=campaign.seller)
    )


async def _check_registries(
    connection: Connection, campaign: CampaignRow, law: Profile, missing: list[str]
) -> None:
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM campaign_trunk ct JOIN trunk t ON t.id = ct.trunk_id"
        " WHERE ct.campaign_id = $1 AND t.enabled AND t.kind = 'real')",
        campaign.id,
    ):
        return
    now = await connection.fetchval("SELECT clock_timestamp()")
    facts = await gate_facts.of_campaign(connection, campaign, now=now)
    if Rule.REGISTRY_STALE in facts.waived:
        return
    versions = facts.registries or {}
    for registry in registries.stale(law, campaign.regions, versions, now):
        have = versions.get(registry.name)
        what = "was never loaded" if have is None else f"is of {have:%Y-%m-%d}"
        missing.append(
            f"registry {registry.name} {what}, it may be {law.registry_max_age_days} days old "
            "(load it with `dialer law load-registry`)"
        )


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
    now = await connection.fetchval("SELECT clock_timestamp()")
    attached = await gate_facts.trunks_of(connection, campaign.id, now=now)
    if attached.unproven:
        missing.append(
            "a trunk shows a caller id nobody has proven to be yours today "
            "(`dialer law prove-caller-id`)"
        )
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
