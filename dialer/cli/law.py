"""`dialer law`: profiles, registries, screenings, caller ids and waivers."""

from __future__ import annotations

import getpass
import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.errors import UserError
from campaigns.rules import profiles, us_states
from campaigns.rules import registries as known_registries
from campaigns.rules.calling_hours import WeeklyHours
from campaigns.stores import caller_ids, registries, waivers
from campaigns.stores.caller_ids import Proof
from campaigns.stores.registries import NewVersion
from dialer.cli import output, session
from dialer.cli.dnc import in_full, numbers_of
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.rules.profiles import Profile
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Profiles, registries, caller ids, waivers.")

Who = Annotated[str | None, typer.Option("--by", help="Who does this; default the login name.")]
Campaign = Annotated[str, typer.Option(help="The campaign's name.")]
Country = Annotated[
    str | None, typer.Option(help="Region of numbers written without +, such as US.")
]


def day(text: str | None, option: str) -> date | None:
    """Return a day written as 2026-11-27; raises `UserError` that names the option."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is no day: write it like 2026-11-27.") from None


def moment(text: str, option: str) -> datetime:
    """Return a time written as 2026-11-27 or 2026-11-27T14:00Z, in UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{option} {text!r} is no time: write it like 2026-11-27 or 2026-11-27T14:00Z."
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def signer(by: str | None) -> str:
    """Return who acts: the name given, else that of the login."""
    return by if by is not None else getpass.getuser()


@app.command("profiles")
def profiles_(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """List the legal profiles; several bind a campaign joined by +, the strictest rule of each."""
    del context
    output.table(
        [
            {
                "name": found.name,
                "title": found.title,
                "limit": f"{found.limit_ppm / 10_000:g} %",
                "as_of": found.as_of,
                "effective_from": found.effective_from,
            }
            for found in (profiles.get(name) for name in sorted(profiles.PROFILES))
        ],
        {
            "name": "Profile",
            "title": "Law",
            "limit": "Limit",
            "as_of": "As of",
            "effective_from": "In force",
        },
        as_json=as_json,
    )


@app.command()
def profile(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One profile, or several with +.")],
    *,
    on: Annotated[
        str | None, typer.Option(help="The day whose law is shown; default the day it was read.")
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Show what a profile, or several together, demand, with source and date."""
    del context
    found = profiles.get(name)
    wanted = day(on, "--on")
    if wanted is not None:
        found = profiles.find(name, on=wanted) or found
    output.facts(_shown(found), as_json=as_json, title=found.title)


def _shown(law: Profile) -> dict[str, object]:
    spans = {seconds: span for span, seconds in us_states.SPANS_S.items()}
    shown: dict[str, object] = {
        "name": law.name,
        "source": law.source,
        "as_of": law.as_of,
        "effective_from": law.effective_from,
        "abandonment_limit": law.limit_ppm / 1_000_000,
        "abandonment_target": law.target_ppm / 1_000_000,
        "windows": [kind.value for kind in law.windows],
        "ring_min_s": law.ring_min_s,
        "connect_limit_s": law.connect_limit_s,
        "clock": law.clock.value,
        "hours": _hours(law.hours),
        "closed_on_holidays": law.closed_on_holidays,
        "state_rules": law.state_rules,
        "calls": {spans[span_s]: calls for span_s, calls in law.calls.items()},
        "announcement": list(law.announcement),
        "registries": list(law.registries),
        "retention_years": law.retention_years,
    }
    for key in (
        "registry_max_age_days",
        "recall_block_s",
        "machine_recall_s",
        "recall_needs_agent",
        "refusal_block_days",
        "debt_calls_7d",
        "debt_quiet_days",
        "debt_gap_s",
        "reassigned_max_age_days",
        "consent_required",
        "consent_autodial",
        "revoke_all",
        "wireless_one_to_one",
        "amd_hang_up",
        "lab_only",
    ):
        value = getattr(law, key)
        if value is not None:
            shown[key] = value
    return shown


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _hours(hours: WeeklyHours) -> str:
    """Return weekly hours on one line, equal days together."""
    parts: list[tuple[str, str, str]] = []
    for name, spans in zip(_DAYS, hours.days, strict=True):
        text = ", ".join(f"{_time(start)}-{_time(end)}" for start, end in spans) or "closed"
        if parts and parts[-1][2] == text:
            parts[-1] = (parts[-1][0], name, text)
        else:
            parts.append((name, name, text))
    return "; ".join(f"{a if a == b else f'{a}-{b}'} {text}" for a, b, text in parts)


def _time(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


@app.command("registries")
def registries_(
    context: typer.Context,
    *,
    history: Annotated[bool, typer.Option("--history", help="Every load there ever was.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """List the national do-not-call registries loaded, with the date of each version."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            rows = await registries.versions(connection, newest_only=not history)
        return [
            {
                "registry": row.registry,
                "version_at": row.version_at,
                "numbers": row.numbers,
                "loaded_at": row.loaded_at,
                "loaded_by": row.loaded_by,
                "account": row.account,
                "file": row.file,
                "sha256": row.sha256,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {
            "registry": "Registry",
            "version_at": "Version",
            "numbers": "Numbers",
            "loaded_at": "Loaded",
            "loaded_by": "By",
            "file": "File",
        },
        as_json=as_json,
        empty="No registry is loaded yet: use `dialer law load-registry FILE`.",
    )


@app.command("load-registry")
def load_registry(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A number on each line.")],
    registry: Annotated[str, typer.Option(help="Which one, such as us-dnc or uk-tps.")],
    version: Annotated[
        str, typer.Option(help="The registry's own date of this file, such as 2026-11-20.")
    ],
    *,
    account: Annotated[str, typer.Option(help="Subscription account number (SAN).")] = "",
    by: Who = None,
    as_json: output.AsJson = False,
) -> None:
    """Load a national registry: its numbers replace the last version's, whole or not at all."""
    known = known_registries.table().get(registry)
    if known is None:
        names = ", ".join(known_registries.table())
        raise UserError(f"There is no registry {registry!r}: choose one of {names}.")
    numbers = numbers_of(file, known.region)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    new = NewVersion(
        registry=registry,
        version_at=moment(version, "--version"),
        file=file.name,
        sha256=digest,
        loaded_by=signer(by),
        account=account,
    )
    if new.version_at > datetime.now(UTC):
        raise UserError(
            f"--version {version} lies ahead: give the date the registry made the file."
        )

    async def work(pool: Pool) -> int:
        async with pool.acquire() as connection:
            loaded = await registries.load(connection, new, numbers)
        await session.wake(pool, Channel.ENGINE)
        return loaded

    output.facts(
        {
            "registry": registry,
            "version_at": new.version_at,
            "numbers": session.of(context).run(work),
            "sha256": digest,
        },
        as_json=as_json,
    )


@app.command()
def screen(
    context: typer.Context,
    numbers: Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Numbers with +.")],
    kind: Annotated[str, typer.Option(help="litigator or reassigned.")],
    *,
    answer: Annotated[str, typer.Option(help="What the service said: yes, no, no_data.")] = "yes",
    source: Annotated[str, typer.Option(help="Which service said so.")] = "command line",
    checked: Annotated[str | None, typer.Option(help="When it was asked; default now.")] = None,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Record what a service says about numbers: known litigators, numbers that changed hands."""
    wanted = [in_full(number, country) for number in numbers]
    at = datetime.now(UTC) if checked is None else moment(checked, "--checked")

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            said_yes = await registries.screen(
                connection,
                [(number, answer) for number in wanted],
                kind=kind,
                checked_at=at,
                source=source,
            )
        await session.wake(pool, Channel.ENGINE)
        return {"recorded": len(wanted), "yes": said_yes}

    output.facts(session.of(context).run(work), as_json=as_json)


@app.command("caller-ids")
def caller_ids_(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """List the numbers the trunks show, and what proves that they are ours."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            rows = await caller_ids.all_of_them(connection)
        return [
            {
                "trunk": row.trunk,
                "number": row.number,
                "owner": row.owner,
                "authorisation": row.authorisation,
                "valid_from": row.valid_from,
                "valid_until": row.valid_until,
                "answered_by": row.answered_by,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {
            "trunk": "Trunk",
            "number": "Number",
            "owner": "Owner",
            "authorisation": "Proof",
            "valid_until": "Until",
            "answered_by": "Answered by",
        },
        as_json=as_json,
        empty="No trunk shows a number yet: use `dialer trunk set NAME --caller-id NUMBER`.",
    )


@app.command("prove-caller-id")
def prove_caller_id(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The caller id, with +.")],
    owner: Annotated[str, typer.Option(help="To whom the number was assigned.")],
    document: Annotated[str, typer.Option(help="What proves it, such as a letter and its date.")],
    answered_by: Annotated[str, typer.Option(help="Who answers calls to it: staff, ivr …")],
    *,
    valid_from: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day.")] = None,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Record that a caller id is ours to show: without it a real trunk calls nobody (CLI-1)."""
    wanted = in_full(number, country)
    proof = Proof(
        owner=owner,
        authorisation=document,
        answered_by=answered_by,
        valid_from=day(valid_from, "--from"),
        valid_until=day(until, "--until"),
    )

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            trunks = await caller_ids.prove(connection, wanted, proof)
        await session.wake(pool, Channel.ENGINE)
        return {"number": wanted, "trunks": trunks, "until": proof.valid_until}

    output.facts(session.of(context).run(work), as_json=as_json)


@app.command()
def waive(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id, such as TCPA-7.")],
    campaign: Campaign,
    signed_by: Annotated[str, typer.Option(help="Who signs, by name: counsel, not a login.")],
    reason: Annotated[str, typer.Option(help="Why the rule does not bind this campaign.")],
    until: Annotated[str, typer.Option(help="Last day, at most a year ahead.")],
    *,
    as_json: output.AsJson = False,
) -> None:
    """Lift one rule for one campaign until a day; kept for ever with name and reason."""
    last = day(until, "--until")
    if last is None:
        raise UserError("--until is missing: a waiver has a last day.")

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            await waivers.sign(connection, campaign, rule, by=signed_by, reason=reason, until=last)
        await session.wake(pool, Channel.ENGINE)
        return {"campaign": campaign, "rule": rule, "signed_by": signed_by, "until": last}

    output.facts(session.of(context).run(work), as_json=as_json)


@app.command("end-waiver")
def end_waiver(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.")],
    campaign: Campaign,
    signed_by: Annotated[str, typer.Option(help="Who withdraws it, by name.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Withdraw a waiver at once."""

    async def work(pool: Pool) -> None:
        async with pool.acquire() as connection:
            await waivers.withdraw(connection, campaign, rule, by=signed_by, reason=reason)
        await session.wake(pool, Channel.ENGINE)

    session.of(context).run(work)
    typer.echo(f"{rule} binds campaign {campaign} again.")


@app.command("waivers")
def waivers_(context: typer.Context, campaign: Campaign, *, as_json: output.AsJson = False) -> None:
    """List a campaign's waivers, withdrawn ones too."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            rows = await waivers.of_campaign(connection, campaign)
        return [
            {
                "rule": row.rule,
                "until": row.until or "withdrawn",
                "signed_by": row.signed_by,
                "reason": row.reason,
                "signed_at": row.signed_at,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {
            "rule": "Rule",
            "until": "Until",
            "signed_by": "Signed by",
            "reason": "Reason",
            "signed_at": "Signed",
        },
        as_json=as_json,
        empty="No rule was ever waived for this campaign.",
    )
