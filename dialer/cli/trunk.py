"""`dialer trunk`: where calls go out."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from campaigns.complaints import first_complaint
from campaigns.errors import UserError
from campaigns.model import Transport, TrunkKind
from campaigns.stores import trunks
from campaigns.stores.trunks import NewTrunk, TrunkRow
from campaigns.trunks import parse_settings
from dialer import trunk_sync
from dialer.cli import output, session, trial_view
from dialer.trunk_section import TrunkSection

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Where calls go out: carriers and PBXs.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The trunk's name.")]
CallerIds = Annotated[
    list[str] | None,
    typer.Option("--caller-id", help="Number shown to the called, with +; repeat for more."),
]
PasswordEnv = Annotated[
    str | None,
    typer.Option("--password-env", help="Environment variable that holds the password."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="How it wants to be spoken to, e.g. number_format=digits.",
    ),
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    host: Annotated[str, typer.Option(help="Host name or address of the carrier's SIP server.")],
    *,
    port: Annotated[int, typer.Option(help="SIP port.")] = 5060,
    transport: Annotated[Transport, typer.Option(help="SIP transport.")] = Transport.UDP,
    kind: Annotated[
        TrunkKind, typer.Option(help="lab speaks to loopback and dials fictional numbers only.")
    ] = TrunkKind.REAL,
    username: Annotated[str | None, typer.Option(help="Name for authentication.")] = None,
    password_env: PasswordEnv = None,
    caller_id: CallerIds = None,
    channels: Annotated[int, typer.Option(help="Calls at once.")] = 30,
    calls_per_second: Annotated[float, typer.Option(help="New calls a second.")] = 5.0,
    calls_per_day: Annotated[int, typer.Option(help="Daily cap on calls.")] = 10_000,
    minutes_per_day: Annotated[int, typer.Option(help="Daily cap on minutes.")] = 5_000,
    priority: Annotated[int, typer.Option(help="Lower is tried first.")] = 1,
    weight: Annotated[int, typer.Option(help="Share among trunks of one priority.")] = 1,
    settings: Settings = None,
    as_json: output.AsJson = False,
) -> None:
    """Add a trunk. The same keys may stand in a trunk section of dialer.toml instead."""
    values: dict[str, Any] = {
        "name": name,
        "host": host,
        "port": port,
        "transport": transport,
        "kind": kind,
        "username": username,
        "password_env": password_env,
        "caller_ids": tuple(caller_id or ()),
        "channels": channels,
        "calls_per_second": calls_per_second,
        "calls_per_day": calls_per_day,
        "minutes_per_day": minutes_per_day,
        "priority": priority,
        "weight": weight,
        **_pairs(settings),
    }
    try:
        section = TrunkSection.model_validate(values)
    except ValidationError as error:
        raise UserError(f"Trunk {name}: {first_complaint(error)}") from None

    async def work(pool: Pool) -> TrunkRow:
        async with pool.acquire() as connection:
            row = await trunks.add(connection, trunk_sync.new_trunk(section))
        await trunk_sync.reload_lines(pool)
        return row

    output.facts(
        _facts(session.of(context).run(work)), as_json=as_json, title=f"Trunk {name} added"
    )


@app.command("set")
def set_(
    context: typer.Context,
    name: Name,
    *,
    host: Annotated[str | None, typer.Option()] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    transport: Annotated[Transport | None, typer.Option()] = None,
    username: Annotated[str | None, typer.Option()] = None,
    password_env: PasswordEnv = None,
    caller_id: CallerIds = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    channels: Annotated[int | None, typer.Option(min=1)] = None,
    calls_per_second: Annotated[float | None, typer.Option(min=0.01)] = None,
    calls_per_day: Annotated[int | None, typer.Option(min=1)] = None,
    minutes_per_day: Annotated[int | None, typer.Option(min=1)] = None,
    priority: Annotated[int | None, typer.Option(min=1)] = None,
    weight: Annotated[int | None, typer.Option(min=1)] = None,
    settings: Settings = None,
    as_json: output.AsJson = False,
) -> None:
    """Change a trunk; what is not given stays. Calls in flight go on as they began."""
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "transport": transport,
        "username": username,
        "password": None if password_env is None else _password(name, password_env),
        "caller_ids": None if caller_id is None else tuple(caller_id),
        "enabled": enabled,
        "channels": channels,
        "calls_per_second": calls_per_second,
        "calls_per_day": calls_per_day,
        "minutes_per_day": minutes_per_day,
        "priority": priority,
        "weight": weight,
    }

    async def work(pool: Pool) -> TrunkRow:
        async with pool.acquire() as connection:
            before = await trunks.get(connection, name)
            dialect = before.settings.model_dump(mode="json", by_alias=True) | _pairs(settings)
            new = replace(
                _as_new(before),
                settings=parse_settings(dialect, trunk=name),
                **{key: value for key, value in given.items() if value is not None},
            )
            row = await trunks.put(connection, new)
        await trunk_sync.reload_lines(pool)
        return row

    output.facts(
        _facts(session.of(context).run(work)), as_json=as_json, title=f"Trunk {name} changed"
    )


@app.command("list")
def list_(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """List all trunks in the order they are tried."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            return [_facts(row) for row in await trunks.list_trunks(connection)]

    output.table(
        session.of(context).run(work),
        {
            "name": "Trunk",
            "kind": "Kind",
            "address": "Address",
            "state": "State",
            "caller_ids": "Caller ids",
            "channels": "Channels",
            "calls_per_second": "Calls/s",
            "calls_per_day": "Calls/day",
            "minutes_per_day": "Minutes/day",
            "priority": "Priority",
            "weight": "Weight",
        },
        as_json=as_json,
        empty="There is no trunk yet: add one with `dialer trunk add` or in dialer.toml.",
    )


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove a trunk that never carried a call; disable others with `trunk set --disable`."""

    async def work(pool: Pool) -> None:
        async with pool.acquire() as connection:
            await trunks.remove(connection, name)
        await trunk_sync.reload_lines(pool)

    session.of(context).run(work)
    typer.echo(f"Trunk {name} is removed.")


@app.command()
def sync(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """Bring the trunk sections of dialer.toml (or DIALER_TRUNK_*) into the database."""
    current = session.of(context)
    sections = current.config.trunk
    if not sections:
        raise UserError(
            "The settings name no trunk: write a [[trunk]] section into dialer.toml, "
            "or set DIALER_TRUNK_HOST."
        )
    done = current.run(lambda pool: trunk_sync.sync(pool, sections))
    output.table(
        [_facts(row) for row in done.trunks],
        {"name": "Trunk", "kind": "Kind", "address": "Address", "state": "State"},
        as_json=as_json,
    )
    if done.others and not as_json:
        typer.echo(f"Not in the settings and left as they are: {', '.join(done.others)}.")


@app.command("test")
def try_out(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Number to call, with +.")],
    *,
    trunk: Annotated[
        str | None, typer.Option(help="Trunk to call through; needed when there are several.")
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Place one call, echo its audio back, and name the leg that has no RTP."""
    from dialer.lines import trial

    current = session.of(context)
    config = current.with_dsn()

    async def work(pool: Pool) -> trial.Trial:
        async with pool.acquire() as connection:
            known = await trunks.list_trunks(connection)
        name = trunk or _only(known)
        async with asyncio.timeout(trial_view.LONGEST_S):
            return await trial.test_trunk(config, pool, name, number)

    trial_view.show(current.run(work), as_json=as_json)


def _only(known: list[TrunkRow]) -> str:
    if len(known) == 1:
        return known[0].name
    if not known:
        raise UserError("There is no trunk yet: add one with `dialer trunk add`.")
    names = ", ".join(row.name for row in known)
    raise UserError(f"There are several trunks ({names}): name one with --trunk.")


def _facts(row: TrunkRow) -> dict[str, object]:
    state = "enabled" if row.enabled else "disabled"
    if row.suspended_until is not None:
        state = f"suspended: {row.suspended_reason}"
    return {
        "name": row.name,
        "kind": row.kind.value,
        "address": f"{row.host}:{row.port}/{row.transport.value}",
        "state": state,
        "username": row.username,
        "has_password": row.password is not None,
        "caller_ids": row.caller_ids,
        "channels": row.channels,
        "calls_per_second": row.calls_per_second,
        "calls_per_day": row.calls_per_day,
        "minutes_per_day": row.minutes_per_day,
        "priority": row.priority,
        "weight": row.weight,
        "suspended_until": row.suspended_until,
        "settings": row.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def _as_new(row: TrunkRow) -> NewTrunk:
    return NewTrunk(
        name=row.name,
        kind=row.kind,
        host=row.host,
        port=row.port,
        transport=row.transport,
        username=row.username,
        password=row.password,
        settings=row.settings,
        caller_ids=row.caller_ids,
        enabled=row.enabled,
        priority=row.priority,
        weight=row.weight,
        channels=row.channels,
        calls_per_second=row.calls_per_second,
        calls_per_day=row.calls_per_day,
        minutes_per_day=row.minutes_per_day,
    )


def _password(trunk: str, variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise UserError(
            f"Trunk {trunk}: --password-env names {variable}, which is not set: "
            "put the password into that environment variable."
        )
    return value


def _pairs(settings: list[str] | None) -> dict[str, Any]:
    """Return `key=value` options as a mapping; lists are written with commas."""
    values: dict[str, Any] = {}
    for pair in settings or []:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {pair!r}: write it as KEY=VALUE, e.g. --set ptime_ms=20.")
        value: Any = text
        if key.strip() in {"codecs", "regions"}:
            value = [part.strip() for part in text.split(",") if part.strip()]
        values[key.strip()] = value
    return values
