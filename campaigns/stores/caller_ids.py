"""Caller ids: which numbers we show, and what proves that we may (CLI-1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.stores import leads

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class CallerId:
    """One number a trunk shows; without owner and authorisation no real person is called by it."""

    trunk: str
    number: str
    owner: str | None
    authorisation: str | None
    valid_from: date | None
    valid_until: date | None
    answered_by: str | None


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a number is ours to show: its owner, the document, its validity, who answers there."""

    owner: str
    authorisation: str
    answered_by: str
    valid_from: date | None = None
    valid_until: date | None = None


async def prove(connection: Connection, number: str, proof: Proof) -> int:
    """Record the proof for every trunk that shows *number*; return how many do.

    Raises `UserError` if none does or the proof is not whole.
    """
    if not (proof.owner.strip() and proof.authorisation.strip() and proof.answered_by.strip()):
        raise UserError(
            "A caller id needs its owner, the document that proves it, and who answers there."
        )
    if proof.valid_from and proof.valid_until and proof.valid_until < proof.valid_from:
        raise UserError("The proof ends before it begins: correct --until or --from.")
    async with connection.transaction():
        trunks = await connection.fetch(
            "UPDATE caller_id SET owner = $2, authorisation = $3, valid_from = $4,"
            " valid_until = $5, answered_by = $6 WHERE number = $1 RETURNING trunk_id",
            number,
            proof.owner.strip(),
            proof.authorisation.strip(),
            proof.valid_from,
            proof.valid_until,
            proof.answered_by.strip(),
        )
        if not trunks:
            raise UserError(
                "No trunk shows that number: add it with `dialer trunk set --caller-id` first."
            )
        for row in await connection.fetch(
            "SELECT DISTINCT campaign_id FROM campaign_trunk WHERE trunk_id = ANY($1::uuid[])",
            [trunk["trunk_id"] for trunk in trunks],
        ):
            await leads.release_held(connection, row["campaign_id"])
    return len(trunks)


async def all_of_them(connection: Connection) -> list[CallerId]:
    """Return every caller id of every trunk."""
    rows = await connection.fetch(
        "SELECT t.name AS trunk, i.number, i.owner, i.authorisation, i.valid_from, i.valid_until,"
        " i.answered_by FROM caller_id i JOIN trunk t ON t.id = i.trunk_id"
        " ORDER BY t.name, i.number"
    )
    return [CallerId(**dict(row)) for row in rows]
