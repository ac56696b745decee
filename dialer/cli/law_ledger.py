"""`dialer law windows`, `correct` and `screening-test`: the abandonment ledger and its evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from campaigns.errors import UserError
from campaigns.rules.false_positives import VALID_FOR, Evidence
from campaigns.stores import accounting_periods, campaigns, corrections
from campaigns.stores.corrections import Truth
from dialer.cli import output, session
from dialer.cli.law import Campaign, Who, moment, signer
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def add_to(app: typer.Typer) -> None:
    """Add these commands to `dialer law`."""
    app.command("windows")(windows)
    app.command("correct")(correct)
    app.command("screening-test")(screening_test)


def windows(
    context: typer.Context,
    campaign: Campaign,
    *,
    calls: Annotated[bool, typer.Option("--calls", help="Name each abandoned call.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show each abandonment window since the start, recomputed from the calls themselves."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, campaign)
            now = await connection.fetchval("SELECT clock_timestamp()")
            found = await accounting_periods.periods(connection, row, now=now)
            law = row.profile_on(now)
        limit = 0 if law is None else law.limit_ppm
        return [
            {
                "window": period.kind.value,
                "starts_at": period.starts_at,
                "ends_at": period.ends_at,
                "answered_by_person": period.answered_by_person,
                "abandoned": period.abandoned,
                "rate": f"{period.abandoned / max(1, period.answered_by_person):.3%}",
                # Integers decide, the printed rate is rounded.
                "within_limit": period.abandoned * 1_000_000 <= limit * period.answered_by_person,
                "calls": [str(one) for one in period.abandoned_ids] if calls else None,
            }
            for period in found
        ]

    columns = {
        "window": "Window",
        "starts_at": "From",
        "ends_at": "To",
        "answered_by_person": "Answered",
        "abandoned": "Abandoned",
        "rate": "Rate",
        "within_limit": "Within the limit",
    }
    output.table(
        session.of(context).run(work),
        {**columns, "calls": "Abandoned calls"} if calls else columns,
        as_json=as_json,
        empty="The campaign was never started.",
    )


def correct(
    context: typer.Context,
    attempt: Annotated[str, typer.Argument(metavar="ATTEMPT", help="The call's id.")],
    truth: Annotated[Truth, typer.Option("--was", help="What the call really was.")],
    signed_by: Annotated[str, typer.Option(help="Who says so, by name.")],
    reason: Annotated[str, typer.Option(help="How they know.")],
    *,
    as_json: output.AsJson = False,
) -> None:
    """Have a call count as what it was; the record stays, the correction is an event of its own."""
    try:
        wanted = UUID(attempt)
    except ValueError:
        raise UserError(
            f"{attempt!r} is no call's id: `dialer report attempts` has them."
        ) from None

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            now_counts = await corrections.correct(
                connection, wanted, truth, by=signed_by, reason=reason
            )
        return {
            "answered_by_person": now_counts.answered_by_person,
            "abandoned": now_counts.abandoned,
            "answered_at": now_counts.answered_at,
        }

    output.facts(session.of(context).run(work), as_json=as_json)


def screening_test(
    context: typer.Context,
    campaign: Campaign,
    people: Annotated[int, typer.Option(min=1, help="People who answered in the test.")],
    errors: Annotated[int, typer.Option(min=0, help="How many were taken for machines.")],
    method: Annotated[str, typer.Option(help="How it was tested, such as recordings heard.")],
    engine: Annotated[str, typer.Option(help="Detector, version, parameters and route.")],
    *,
    tested: Annotated[str | None, typer.Option(help="When; default now.")] = None,
    by: Who = None,
    as_json: output.AsJson = False,
) -> None:
    """Record how often screening takes people for machines: some laws want it first."""
    evidence = Evidence(
        datetime.now(UTC) if tested is None else moment(tested, "--tested"), people, errors
    )

    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            row = await campaigns.get(connection, campaign)
            await corrections.record_evidence(
                connection, row.id, evidence, method=method, engine=engine, by=signer(by)
            )
        await session.wake(pool, Channel.ENGINE, row.id)
        return {
            "campaign": campaign,
            "upper_bound": f"{evidence.upper_bound_ppm / 10_000:.2f} %",
            "valid_until": evidence.tested_at + VALID_FOR,
        }

    output.facts(session.of(context).run(work), as_json=as_json)
