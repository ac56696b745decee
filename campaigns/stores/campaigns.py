"""Campaigns: rows and values, and what must be there before one may start."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from campaigns import lifecycle
from campaigns.complaints import first_complaint
from campaigns.errors import UserError
from campaigns.lifecycle import CAMPAIGN, IllegalTransition
from campaigns.model import CampaignSettings, CampaignState, new_id
from campaigns.rules import profiles, retry
from campaigns.rules.calling_hours import parse_hours
from campaigns.rules.facts import CampaignFacts, Schedule
from campaigns.rules.profiles import Profile
from campaigns.rules.us_states import SPANS_S
from campaigns.rules.zones import zones_of_region
from campaigns.stores import leads
from campaigns.stores.readiness import check_can_start, readiness_of
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_COLUMNS = """
    c.id, c.name, c.seller, c.purpose, c.state, c.mode, c.profile, c.regions, c.settings,
    c.settings_version, c.created_at, c.started_at, c.stopped_at, c.lease_holder, c.lease_epoch,
    c.lease_until, clock_timestamp() AS read_at,
    (SELECT jsonb_build_object('zone', s.zone, 'hours', s.hours, 'closed', s.closed,
                               'ends_on', s.ends_on)
     FROM campaign_schedule s WHERE s.campaign_id = c.id) AS schedule
"""
_LONGEST_NAME = 100

readiness = readiness_of


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign as stored; `profile` is None when this program knows no profile of that name.

    `profile` is the law on the day the row was read, `profile_on` that of any other day.
    """

    id: UUID
    name: str
    seller: str
    purpose: str
    state: CampaignState
    mode: Mode
    profile_name: str
    profile: Profile | None
    regions: frozenset[str]
    settings: CampaignSettings
    settings_version: int
    created_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    lease_holder: UUID | None
    lease_epoch: int
    lease_until: datetime | None
    schedule: Schedule | None = None

    def profile_on(self, now: datetime) -> Profile | None:
        """Return the law in force at *now*."""
        return profiles.find(self.profile_name, on=now.date())

    def facts(self, now: datetime) -> CampaignFacts:
        """Return what of the campaign's own row the gate needs at *now*.

        `campaigns.stores.gate_facts.of_campaign` adds what other tables hold.
        """
        known = self.profile_on(now)
        return CampaignFacts(
            state=self.state,
            mode=self.mode,
            regions=self.regions,
            profile=known,
            hours=None if known is None else profiles.effective_hours(known, self.settings),
            max_attempts=self.settings.max_attempts,
            ring_timeout_s=(
                self.settings.ring_timeout_s
                if known is None
                else profiles.call_timers(self.settings, known).ring_timeout_s
            ),
            schedule=self.schedule,
            calls={SPANS_S[span]: calls for span, calls in self.settings.calls.items()},
        )


@dataclass(frozen=True, slots=True)
class NewCampaign:
    """What a user says when creating a campaign."""

    name: str
    seller: str
    profile: str
    regions: Sequence[str]
    mode: Mode = Mode.PROGRESSIVE
    purpose: str = ""
    settings: CampaignSettings | None = None


def parse_settings(values: Mapping[str, Any]) -> CampaignSettings:
    """Return checked settings; raises `UserError` that names the field and what it may be."""
    try:
        settings = CampaignSettings.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(f"Campaign settings: {first_complaint(error)}") from None
    _check_settings(settings)
    return settings


def _check_settings(settings: CampaignSettings) -> None:
    retry.check_rules(settings.retry)
    if not settings.weekdays or not set(settings.weekdays) <= set(range(7)):
        raise UserError("Campaign setting weekdays: name at least one of 0 (Monday) to 6 (Sunday).")
    for span, calls in settings.calls.items():
        if span not in SPANS_S or calls < 1:
            raise UserError(
                f"Campaign setting calls.{span}: a limit of 1 or more for one of "
                f"{', '.join(SPANS_S)}, e.g. --set calls.24h=3."
            )


def _check_target(settings: CampaignSettings, profile_name: str) -> None:
    """Refuse an abandonment target above what the campaign's law allows."""
    profile = profiles.PROFILES.get(profile_name)
    target = settings.target_abandonment
    if target is None or profile is None:
        return
    if round(target * 1_000_000) > profile.limit_ppm:
        raise UserError(
            f"Campaign setting target_abandonment is {target:g}: profile {profile_name!r} allows "
            f"{profile.limit_ppm / 1_000_000:g} at most."
        )


def from_record(record: asyncpg.Record) -> CampaignRow:
    """Return the row as a value; raises `UserError` if its stored settings are not ours."""
    try:
        settings = CampaignSettings.model_validate(record["settings"])
    except ValidationError as error:
        raise UserError(
            f"Campaign {record['name']!r} has settings this version cannot read: "
            f"{first_complaint(error)}"
        ) from None
    return CampaignRow(
        id=record["id"],
        name=record["name"],
        seller=record["seller"],
        purpose=record["purpose"],
        state=CampaignState(record["state"]),
        mode=Mode(record["mode"]),
        profile_name=record["profile"],
        profile=profiles.find(record["profile"], on=record["read_at"].date()),
        regions=frozenset(record["regions"]),
        settings=settings,
        settings_version=record["settings_version"],
        created_at=record["created_at"],
        started_at=record["started_at"],
        stopped_at=record["stopped_at"],
        lease_holder=record["lease_holder"],
        lease_epoch=record["lease_epoch"],
        lease_until=record["lease_until"],
        schedule=None if record["schedule"] is None else _schedule(record["schedule"]),
    )


def _schedule(stored: Mapping[str, Any]) -> Schedule:
    closed = frozenset(date.fromisoformat(day) for day in stored["closed"])
    ends_on = stored["ends_on"]
    return Schedule(
        zone=stored["zone"],
        hours=parse_hours(stored["hours"]).without(closed),
        ends_on=None if ends_on is None else date.fromisoformat(ends_on),
    )


def check_regions(regions: Sequence[str]) -> list[str]:
    """Return the regions in capitals, sorted; raises `UserError` for one that does not exist."""
    found = sorted({region.strip().upper() for region in regions if region.strip()})
    if not found:
        raise UserError("Name at least one region the campaign may call, such as US, CA or GB.")
    for region in found:
        if not zones_of_region(region):
            raise UserError(
                f"{region!r} is no region: use two-letter codes such as US, CA or GB "
                "(+1 alone is not a region)."
            )
    return found


async def create(connection: Connection, new: NewCampaign) -> CampaignRow:
    """Create a campaign in state draft; raises `UserError` for what a user can mend."""
    name = new.name.strip()
    if not name or len(name) > _LONGEST_NAME or re.search(r"[\x00-\x1f\x7f]", name):
        raise UserError(f"A campaign needs a name of 1 to {_LONGEST_NAME} printable characters.")
    if not new.seller.strip():
        raise UserError(
            f"Campaign {name!r} needs a seller: on whose behalf it calls. "
            "Do-not-call requests are kept per seller."
        )
    profiles.get(new.profile)
    regions = check_regions(new.regions)
    settings = new.settings or CampaignSettings()
    _check_settings(settings)
    _check_target(settings, new.profile)
    record = await connection.fetchrow(
        """
        INSERT INTO campaign (id, name, seller, purpose, mode, profile, regions, settings)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (name) DO NOTHING
        RETURNING id
        """,
        new_id(),
        name,
        new.seller.strip(),
        new.purpose.strip(),
        new.mode,
        new.profile,
        regions,
        settings.model_dump(mode="json"),
    )
    if record is None:
        raise UserError(f"There is a campaign {name!r} already: choose another name.")
    return await get(connection, name)


async def get(connection: Connection, name: str) -> CampaignRow:
    """Return the campaign *name*; raises `UserError` that lists some there are."""
    record = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM campaign c WHERE c.name = $1",  # noqa: S608 - constant columns
        name,
    )
    if record is not None:
        return from_record(record)
    names = await connection.fetch("SELECT name FROM campaign ORDER BY created_at DESC LIMIT 5")
    known = ", ".join(repr(row["name"]) for row in names)
    hint = f"there are {known}." if known else "create one with `dialer campaign create`."
    raise UserError(f"There is no campaign {name!r}: {hint}")


async def by_id(connection: Connection, campaign_id: UUID) -> CampaignRow | None:
    """Return the campaign with this id, None if there is none."""
    record = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM campaign c WHERE c.id = $1",  # noqa: S608 - constant columns
        campaign_id,
    )
    return None if record is None else from_record(record)


async def all_campaigns(connection: Connection) -> list[CampaignRow]:
    """Return every campaign, oldest first."""
    records = await connection.fetch(
        f"SELECT {_COLUMNS} FROM campaign c ORDER BY c.created_at, c.id"  # noqa: S608 - constant
    )
    return [from_record(record) for record in records]


async def lock_held(connection: Connection, campaign_id: UUID, epoch: int) -> CampaignRow | None:
    """Return the campaign if *epoch* is still its lease's, locked so that the lease cannot change.

    The shared lock lasts until the transaction ends: a successor's take-over waits for it and then
    sees all that was written under the old epoch.
    """
    record = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM campaign c "  # noqa: S608 - constant columns
        "WHERE c.id = $1 AND c.lease_epoch = $2 FOR SHARE OF c",
        campaign_id,
        epoch,
    )
    return None if record is None else from_record(record)


async def configure(
    connection: Connection,
    name: str,
    *,
    settings: CampaignSettings | None = None,
    mode: Mode | None = None,
    profile: str | None = None,
    regions: Sequence[str] | None = None,
    purpose: str | None = None,
) -> CampaignRow:
    """Change what is given of a campaign; leads that only its old settings held are freed."""
    if profile is not None:
        profiles.get(profile)
    if settings is not None:
        _check_settings(settings)
    async with connection.transaction():
        campaign = await get(connection, name)
        _check_target(settings or campaign.settings, profile or campaign.profile_name)
        await connection.execute(
            """
            UPDATE campaign
            SET settings = coalesce($2, settings), mode = coalesce($3, mode),
                profile = coalesce($4, profile), regions = coalesce($5, regions),
                purpose = coalesce($6, purpose),
                settings_version = settings_version + 1
            WHERE id = $1
            """,
            campaign.id,
            None if settings is None else settings.model_dump(mode="json"),
            mode,
            profile,
            None if regions is None else check_regions(regions),
            None if purpose is None else purpose.strip(),
        )
        await leads.release_held(connection, campaign.id)
        changed = await get(connection, name)
        if changed.state is CampaignState.RUNNING:
            await check_can_start(connection, changed)
        return changed


async def attach_list(
    connection: Connection, campaign_id: UUID, list_id: UUID, *, priority: int = 1
) -> None:
    """Let the campaign call a list; lists of a lower priority number are called first."""
    await connection.execute(
        """
        INSERT INTO campaign_list (campaign_id, list_id, priority) VALUES ($1, $2, $3)
        ON CONFLICT (campaign_id, list_id) DO UPDATE SET priority = $3, active = true
        """,
        campaign_id,
        list_id,
        priority,
    )


async def attach_trunk(connection: Connection, name: str, trunk: str) -> None:
    """Let the campaign call through a trunk; raises `UserError` if either does not exist."""
    campaign = await get(connection, name)
    trunk_id = await connection.fetchval("SELECT id FROM trunk WHERE name = $1", trunk)
    if trunk_id is None:
        raise UserError(f"There is no trunk {trunk!r}: add it with `dialer trunk add`.")
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO campaign_trunk (campaign_id, trunk_id) VALUES ($1, $2) "
            "ON CONFLICT DO NOTHING",
            campaign.id,
            trunk_id,
        )
        await leads.release_held(connection, campaign.id)


async def detach_trunk(connection: Connection, name: str, trunk: str) -> None:
    """Stop the campaign from calling through a trunk; calls in flight go on."""
    campaign = await get(connection, name)
    await connection.execute(
        "DELETE FROM campaign_trunk USING trunk "
        "WHERE campaign_id = $1 AND trunk_id = trunk.id AND trunk.name = $2",
        campaign.id,
        trunk,
    )


async def start(connection: Connection, name: str) -> tuple[CampaignRow, tuple[str, ...]]:
    """Start or resume a campaign; return it and the warnings; raises `UserError` if it must not."""
    async with connection.transaction():
        campaign = await get(connection, name)
        if campaign.state is CampaignState.RUNNING:
            return campaign, ()
        warnings = await check_can_start(connection, campaign)
        await _move(connection, campaign, CampaignState.RUNNING)
        await leads.release_held(connection, campaign.id)
        return await get(connection, name), warnings


async def pause(connection: Connection, name: str) -> CampaignRow:
    """Stop starting calls; calls in flight and agents go on."""
    return await _moved(connection, name, CampaignState.PAUSED)


async def stop(connection: Connection, name: str) -> CampaignRow:
    """Let calls in flight end and start no more; the engine moves it on to stopped."""
    return await _moved(connection, name, CampaignState.STOPPING)


async def finish_stopping(connection: Connection, campaign_id: UUID, epoch: int) -> bool:
    """Move a stopping campaign without live attempts to stopped, guarded by the lease's *epoch*."""
    tag = await connection.execute(
        """
        UPDATE campaign c SET state = 'stopped', stopped_at = clock_timestamp()
        WHERE c.id = $1 AND c.lease_epoch = $2 AND c.state = 'stopping'
          AND NOT EXISTS (SELECT FROM live_attempt a WHERE a.campaign_id = c.id)
        """,
        campaign_id,
        epoch,
    )
    return tag == "UPDATE 1"


async def _moved(connection: Connection, name: str, new: CampaignState) -> CampaignRow:
    async with connection.transaction():
        campaign = await get(connection, name)
        if campaign.state is not new:
            await _move(connection, campaign, new)
        return await get(connection, name)


async def _move(connection: Connection, campaign: CampaignRow, new: CampaignState) -> None:
    try:
        lifecycle.check(CAMPAIGN, campaign.state, new)
    except IllegalTransition:
        raise UserError(
            f"Campaign {campaign.name!r} is {campaign.state} and cannot become {new}."
        ) from None
    changed = await connection.execute(
        """
        UPDATE campaign
        SET state = $2, started_at = CASE WHEN $2 = 'running'::campaign_state
                                          THEN coalesce(started_at, clock_timestamp())
                                          ELSE started_at END
        WHERE id = $1 AND state = ANY($3::campaign_state[])
        """,
        campaign.id,
        new,
        list(lifecycle.predecessors(CAMPAIGN, new)),
    )
    if changed != "UPDATE 1":
        raise UserError(f"Campaign {campaign.name!r} was changed by someone else: try again.")
