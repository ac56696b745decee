"""`dialer consent`: who agreed to be called, by which evidence, and who took it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.stores import consents
from campaigns.stores.consents import ConsentEvent, ConsentKind
from dialer.cli import output, session
from dialer.cli.dnc import in_full
from dialer.cli.law import Country, Who, moment, signer
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Who agreed to be called, and by which evidence.")

Numbers = Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Numbers with +.")]
Seller = Annotated[str, typer.Option(help="To whom it was given.")]
Source = Annotated[str, typer.Option(help="Where it was given, and what proves it.")]
When = Annotated[str | None, typer.Option("--at", help="When, such as 2026-11-20; default now.")]
Purpose = Annotated[str, typer.Option(help="What the calls may be about; default anything.")]


@app.command()
def add(
    context: typer.Context,
    numbers: Numbers,
    seller: Seller,
    source: Source,
    *,
    kind: Annotated[
        ConsentKind,
        typer.Option(help="given, or what begins a relationship: transaction, inquiry."),
    ] = ConsentKind.GIVEN,
    at: When = None,
    until: Annotated[str | None, typer.Option(help="When it ends by itself.")] = None,
    purpose: Purpose = "",
    by: Who = None,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Record consent, or a transaction or inquiry; leads that waited for it are called."""
    _record(
        context,
        [
            ConsentEvent(
                number=in_full(number, country),
                seller=seller,
                kind=kind,
                happened_at=datetime.now(UTC) if at is None else moment(at, "--at"),
                source=source,
                recorded_by=signer(by),
                purpose=purpose,
                valid_until=None if until is None else moment(until, "--until"),
            )
            for number in numbers
        ],
        as_json=as_json,
    )


@app.command()
def revoke(
    context: typer.Context,
    numbers: Numbers,
    source: Source,
    *,
    seller: Annotated[str, typer.Option(help="Towards whom; * for every seller.")] = "*",
    at: When = None,
    purpose: Purpose = "",
    by: Who = None,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Record that consent was taken back, at once. `dialer dnc add` stops all calls."""
    _record(
        context,
        [
            ConsentEvent(
                number=in_full(number, country),
                seller=seller,
                kind=ConsentKind.REVOKED,
                happened_at=datetime.now(UTC) if at is None else moment(at, "--at"),
                source=source,
                recorded_by=signer(by),
                purpose=purpose,
            )
            for number in numbers
        ],
        as_json=as_json,
    )


def _record(context: typer.Context, events: list[ConsentEvent], *, as_json: bool) -> None:
    async def work(pool: Pool) -> dict[str, object]:
        async with pool.acquire() as connection:
            freed = await consents.record(connection, events)
        await session.wake(pool, Channel.ENGINE)
        return {"recorded": len(events), "leads_judged_anew": freed}

    output.facts(session.of(context).run(work), as_json=as_json)


@app.command()
def show(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The number, with +.")],
    *,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Show the evidence about one number, newest first."""
    wanted = in_full(number, country)

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            rows = await consents.of_number(connection, wanted)
        return [
            {
                "happened_at": row.happened_at,
                "kind": row.kind.value,
                "seller": row.seller,
                "purpose": row.purpose or "any",
                "valid_until": row.valid_until,
                "source": row.source,
                "recorded_by": row.recorded_by,
            }
            for row in rows
        ]

    output.table(
        session.of(context).run(work),
        {
            "happened_at": "When",
            "kind": "What",
            "seller": "Seller",
            "purpose": "Purpose",
            "valid_until": "Until",
            "source": "Evidence",
            "recorded_by": "By",
        },
        as_json=as_json,
        empty="Nothing is on record about this number.",
    )
