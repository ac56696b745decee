"""Consent and business relationships: append-only evidence per number, seller and purpose.

A revocation is an event of its own and effective at once (TCPA-4); consent given again later counts
again. What a call may rest on is decided in `campaigns.stores.gate_facts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.stores.database import rows_changed

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

EVERY_SELLER = "*"


class ConsentKind(StrEnum):
    """What happened; transaction and inquiry begin a relationship of 18 and 3 months (TSR-10)."""

    GIVEN = "given"
    REVOKED = "revoked"
    TRANSACTION = "transaction"
    INQUIRY = "inquiry"


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One piece of evidence; `purpose` '' is every purpose of the seller.

    `source` says where it was given or revoked and what proves it: a form, a recording, a letter.
    """

    number: str
    seller: str
    kind: ConsentKind
    happened_at: datetime
    source: str
    recorded_by: str
    purpose: str = ""
    valid_until: datetime | None = None


async def record(connection: Connection, events: Sequence[ConsentEvent]) -> int:
    """Write *events* and free the leads that waited for them; return how many were freed.

    Raises `UserError` for an event without seller, source or recorder.
    """
    for event in events:
        _check(event)
    async with connection.transaction():
        await connection.executemany(
            "INSERT INTO consent_event (id, number, seller, purpose, kind, happened_at,"
            " valid_until, source, recorded_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                (
                    new_id(),
                    event.number,
                    event.seller.strip(),
                    event.purpose.strip(),
                    event.kind,
                    event.happened_at,
                    event.valid_until,
                    event.source.strip(),
                    event.recorded_by.strip(),
                )
                for event in events
            ],
        )
        return await release_numbers(connection, [event.number for event in events])


def _check(event: ConsentEvent) -> None:
    if not event.seller.strip():
        raise UserError("Say for which seller the consent is: it is never one for everybody.")
    if event.seller.strip() == EVERY_SELLER and event.kind is not ConsentKind.REVOKED:
        raise UserError("Only a revocation can be towards every seller: name the seller.")
    if not event.source.strip():
        raise UserError("Say where it was given and what proves it: --source 'web form 2026-03'.")
    if not event.recorded_by.strip():
        raise UserError("Say who records it: --by NAME.")


async def release_numbers(connection: Connection, numbers: Sequence[str]) -> int:
    """Let leads with these numbers that a rule of the gate holds be judged anew at once."""
    return rows_changed(
        await connection.execute(
            """
            UPDATE lead l SET next_call_at = '-infinity', held_by = NULL
            FROM lead_number n
            WHERE n.number = ANY($1::text[]) AND l.id = n.lead_id
              AND l.state = 'open' AND l.held_by IS NOT NULL
            """,
            list(numbers),
        )
    )


async def of_number(connection: Connection, number: str) -> list[ConsentEvent]:
    """Return the evidence about one number, newest first."""
    rows = await connection.fetch(
        "SELECT number, seller, purpose, kind, happened_at, valid_until, source, recorded_by"
        " FROM consent_event WHERE number = $1 ORDER BY happened_at DESC, id DESC",
        number,
    )
    return [
        ConsentEvent(
            number=row["number"],
            seller=row["seller"],
            kind=ConsentKind(row["kind"]),
            happened_at=row["happened_at"],
            source=row["source"],
            recorded_by=row["recorded_by"],
            purpose=row["purpose"],
            valid_until=row["valid_until"],
        )
        for row in rows
    ]
