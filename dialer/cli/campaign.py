"""`dialer campaign`: make campaigns, run them, and see why they do what they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from campaigns.errors import UserError
from campaigns.model import CampaignSettings
from campaigns.stores import campaigns, withdrawals
from campaigns.stores.campaigns import CampaignRow, NewCampaign
from campaigns.stores.readiness import readiness_of
from campaigns.stores.withdrawals import Withdrawn
from dialer.cli import board, campaign_lists, explain, output, report, schedule, session, status
from dialer.notify import Channel
from pacing import Mode

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(
    no_args_is_help=True, help="Make campaigns, run them, see why they do what they do."
)
app.command("status")(status.status)
app.command("why")(status.why)
app.command("schedule")(schedule.schedule)
app.command("explain")(explain.explain)
app.command("watch")(board.watch)
app.command("report")(report.campaign)
campaign_lists.add_to(app)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]
Regions = Annotated[
    list[str] | None,
    typer.Option("--region", help="Region it may call, such as US or GB; repeat for more."),
]
Trunks = Annotated[
    list[str] | None, typer.Option("--trunk", help="Trunk to call through; repeat for more.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting, e.g. max_attempts=3 or retry.busy.delay_s=600; repeat for more.",
    ),
]


@app.command()
def create(
    context: typer.Context,
    name: Name,
    seller: Annotated[str, typer.Option(help="On whose behalf it calls; owns the DNC list.")],
    profile: Annotated[
        str, typer.Option(help="Legal profile, e.g. us-tsr, uk-ofcom, strict-default, lab.")
    ],
    region: Regions = None,
    *,
    mode: Annotated[Mode, typer.Option(help="How calls are started.")] = Mode.PROGRESSIVE,
    purpose: Annotated[str, typer.Option(help="What the calls are about.")] = "",
    trunk: Trunks = None,
    settings: Settings = None,
    as_json: output.AsJson = False,
) -> None:
    """Create a campaign in state draft."""
    given = campaigns.parse_settings(_with(CampaignSettings(), settings))
    new = NewCampaign(
        name=name,
        seller=seller,
        profile=profile,
        regions=region or [],
        mode=mode,
        purpose=purpose,
        settings=given,
    )

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection, connection.transaction():
            made = await campaigns.create(connection, new)
            for one in trunk or []:
                await campaigns.attach_trunk(connection, made.name, one)
            ready = await readiness_of(connection, made)
        return {**_facts(made), "missing": ready.missing, "warnings": ready.warnings}

    made = session.of(context).run(work)
    output.facts(made, as_json=as_json, title=f"Campaign {name} created")


@app.command("set")
def set_(
    context: typer.Context,
    name: Name,
    region: Regions = None,
    *,
    mode: Annotated[Mode | None, typer.Option(help="How calls are started.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Legal profile; several that bind at once joined by +.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="What the calls are about.")] = None,
    trunk: Trunks = None,
    no_trunk: Annotated[
        list[str] | None, typer.Option("--no-trunk", help="Trunk to use no longer.")
    ] = None,
    settings: Settings = None,
    as_json: output.AsJson = False,
) -> None:
    """Change a campaign; what is not given stays. Takes effect at the next tick."""

    async def work(pool: Pool) -> CampaignRow:
        async with pool.acquire() as connection, connection.transaction():
            before = await campaigns.get(connection, name)
            for one in trunk or []:
                await campaigns.attach_trunk(connection, name, one)
            for one in no_trunk or []:
                await campaigns.detach_trunk(connection, name, one)
            changed = await campaigns.configure(
                connection,
                name,
                settings=(
                    campaigns.parse_settings(_with(before.settings, settings)) if settings else None
                ),
                mode=mode,
                profile=profile,
                regions=region,
                purpose=purpose,
            )
        await session.wake(pool, Channel.ENGINE, changed.id)
        return changed

    changed = session.of(context).run(work)
    output.facts(_facts(changed), as_json=as_json, title=f"Campaign {name} changed")


@app.command("list")
def list_(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """List all campaigns."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            return [_facts(row) for row in await campaigns.all_campaigns(connection)]

    output.table(
        session.of(context).run(work),
        {
            "name": "Campaign",
            "state": "State",
            "mode": "Mode",
            "profile": "Profile",
            "regions": "Regions",
            "seller": "Seller",
            "started_at": "Started",
        },
        as_json=as_json,
        empty="There is no campaign yet: make one with `dialer campaign create`.",
    )


@app.command()
def start(context: typer.Context, name: Name, *, as_json: output.AsJson = False) -> None:
    """Start or resume a campaign; refuses while something it needs is missing."""

    async def work(pool: Pool) -> tuple[CampaignRow, tuple[str, ...]]:
        async with pool.acquire() as connection:
            started, warnings = await campaigns.start(connection, name)
        await session.wake(pool, Channel.ENGINE, started.id)
        return started, warnings

    started, warnings = session.of(context).run(work)
    _say_state(started, as_json=as_json, warnings=warnings)


@app.command()
def pause(context: typer.Context, name: Name, *, as_json: output.AsJson = False) -> None:
    """Start no more calls for now; agents stay logged in and calls in flight go on."""

    async def work(pool: Pool) -> CampaignRow:
        async with pool.acquire() as connection:
            paused = await campaigns.pause(connection, name)
        await session.wake(pool, Channel.ENGINE, paused.id)
        return paused

    _say_state(session.of(context).run(work), as_json=as_json)


@app.command()
def stop(
    context: typer.Context,
    name: Name,
    *,
    now: Annotated[
        bool,
        typer.Option("--now", help="Emergency stop: cancel every call nobody has answered yet."),
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Start no more calls and let those in flight end. Conversations are never cut off."""

    async def work(pool: Pool) -> tuple[CampaignRow, Withdrawn | None]:
        async with pool.acquire() as connection:
            if not now:
                stopping = await campaigns.stop(connection, name)
                withdrawn = None
            else:
                at = await connection.fetchval("SELECT clock_timestamp()")
                withdrawn = await withdrawals.emergency_stop(connection, name, at=at)
                stopping = await campaigns.get(connection, name)
        await session.wake(pool, Channel.ENGINE, stopping.id)
        for process_id in withdrawn.processes if withdrawn else ():
            await session.wake(pool, Channel.LINES, process_id)
        return stopping, withdrawn

    stopped, withdrawn = session.of(context).run(work)
    _say_state(stopped, as_json=as_json, withdrawn=withdrawn)


def _facts(row: CampaignRow) -> dict[str, object]:
    return {
        "name": row.name,
        "state": row.state.value,
        "mode": row.mode.value,
        "profile": row.profile_name,
        "regions": sorted(row.regions),
        "seller": row.seller,
        "purpose": row.purpose,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "stopped_at": row.stopped_at,
    }


def _say_state(
    row: CampaignRow,
    *,
    as_json: bool,
    warnings: tuple[str, ...] = (),
    withdrawn: Withdrawn | None = None,
) -> None:
    if as_json:
        taken_back = {}
        if withdrawn is not None:
            taken_back = {"returned": withdrawn.returned, "cancelling": withdrawn.cancelling}
        output.print_json({**_facts(row), "warnings": warnings, **taken_back})
        return
    typer.echo(f"Campaign {row.name} is {row.state.value}.")
    for warning in warnings:
        typer.echo(f"Note: {warning}.")
    if withdrawn is not None:
        typer.echo(
            f"{withdrawn.cancelling} ringing calls are being cancelled, {withdrawn.returned} leads "
            "went back to the list undialed; conversations go on."
        )


def _with(settings: CampaignSettings, changes: list[str] | None) -> Mapping[str, Any]:
    """Return *settings* as a mapping with `key=value` changes; dots reach into retry rules."""
    values = settings.model_dump(mode="json")
    for change in changes or []:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {change!r}: write it as KEY=VALUE, e.g. --set max_attempts=3.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *path, last = key.strip().split(".")
        inner: Any = values
        for part in path:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise UserError(f"--set {change!r}: {key} is no setting that has parts.")
        inner[last] = value
    return values
