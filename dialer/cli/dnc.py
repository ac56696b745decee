"""`dialer dnc`: numbers that must not be called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import phonenumbers
import typer

from campaigns.errors import UserError
from campaigns.stores import suppressions, withdrawals
from campaigns.stores.suppressions import EVERYONE, Suppressed
from dialer.cli import output, session
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="Numbers that must not be called.")

Seller = Annotated[
    str, typer.Option(help="For whom the number must not be called; * for every seller.")
]
Country = Annotated[
    str | None,
    typer.Option(help="Region of numbers written without +, such as US; never guessed."),
]
BATCH = 5_000


@app.command()
def add(
    context: typer.Context,
    numbers: Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Numbers with +.")],
    *,
    seller: Seller = EVERYONE,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Suppress numbers at once: their leads are done and calls ringing there are cancelled."""
    wanted = [in_full(number, country) for number in numbers]

    async def work(pool: Pool) -> Suppressed:
        return await suppress(pool, wanted, seller=seller, source="command line")

    _say(session.of(context).run(work), as_json=as_json)


@app.command()
def remove(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Number with +.")],
    *,
    seller: Seller = EVERYONE,
    country: Country = None,
) -> None:
    """Take a number off the list; leads it has ended stay done."""
    wanted = in_full(number, country)

    async def work(pool: Pool) -> bool:
        async with pool.acquire() as connection:
            return await suppressions.remove(connection, wanted, seller=seller)

    if not session.of(context).run(work):
        raise UserError(f"That number is not on the list of seller {seller!r}: nothing changed.")
    typer.echo("The number is off the list.")


@app.command("list")
def list_(
    context: typer.Context,
    *,
    seller: Annotated[
        str | None, typer.Option(help="Only this seller's entries and those for everyone.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Newest entries shown.")] = 100,
    as_json: output.AsJson = False,
) -> None:
    """List the newest entries."""

    async def work(pool: Pool) -> tuple[list[dict[str, object]], int]:
        async with pool.acquire() as connection:
            rows = await suppressions.entries(connection, seller=seller, limit=limit)
            total = await suppressions.count(connection)
        return [
            {
                "number": row.number,
                "seller": row.seller,
                "source": row.source,
                "added_at": row.added_at,
            }
            for row in rows
        ], total

    rows, total = session.of(context).run(work)
    output.table(
        rows,
        {"number": "Number", "seller": "Seller", "source": "Source", "added_at": "Added"},
        as_json=as_json,
        empty="Nobody is on the do-not-call list yet.",
    )
    if not as_json and total > len(rows):
        session.note(f"{len(rows)} of {total} entries are shown.")


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A number on each line; # begins a remark.")
    ],
    *,
    seller: Seller = EVERYONE,
    country: Country = None,
    as_json: output.AsJson = False,
) -> None:
    """Suppress every number of a file, or none when a line is no number."""
    wanted = numbers_of(file, country)

    async def work(pool: Pool) -> Suppressed:
        total = Suppressed(0, 0, ())
        for start in range(0, len(wanted), BATCH):
            part = await suppress(
                pool, wanted[start : start + BATCH], seller=seller, source=file.name
            )
            total = Suppressed(
                total.added + part.added,
                total.leads_done + part.leads_done,
                (*total.ringing, *part.ringing),
            )
        return total

    _say(session.of(context).run(work), as_json=as_json)


async def suppress(pool: Pool, numbers: list[str], *, seller: str, source: str) -> Suppressed:
    """Add numbers to the list and cancel the calls ringing there."""
    async with pool.acquire() as connection:
        done = await suppressions.add(connection, numbers, seller=seller, source=source)
        cancelled = await withdrawals.order_cancel(
            connection, [call.attempt_id for call in done.ringing], reason="suppressed"
        )
    for process_id in cancelled:
        await session.wake(pool, Channel.LINES, process_id)
    return done


def in_full(number: str, country: str | None) -> str:
    """Return *number* as +E.164; raises `UserError`, which does not repeat it."""
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is None or not phonenumbers.is_possible_number(parsed):
        hint = "" if number.strip().startswith("+") or country else ", or say --country US"
        raise UserError(
            f"That is no telephone number: write it in full with + and country code{hint}."
        )
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def numbers_of(file: Path, country: str | None) -> list[str]:
    """Return the numbers of a file, one a line, as +E.164; raises `UserError` that names a line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text: save it as UTF-8.") from None
    numbers = []
    for at, line in enumerate(text.splitlines(), 1):
        number = line.partition("#")[0].strip().strip('",;')
        if not number:
            continue
        try:
            numbers.append(in_full(number, country))
        except UserError as error:
            raise UserError(f"{file}, line {at}: {error}") from None
    if not numbers:
        raise UserError(f"{file} holds no number: write one on each line.")
    return numbers


def _say(done: Suppressed, *, as_json: bool) -> None:
    output.facts(
        {
            "added": done.added,
            "leads_done": done.leads_done,
            "ringing_calls_cancelled": len(done.ringing),
        },
        as_json=as_json,
    )
