"""What counted wrongly, put right by new events (PACE-8), and tests of screening (AMD-1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.rules.false_positives import Evidence

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


class Truth(StrEnum):
    """What a call is found to have been: reached a person, an abandoned person, no person."""

    PERSON = "person"
    ABANDONED = "abandoned"
    MACHINE = "machine"


_COUNTS = {Truth.PERSON: (1, 0), Truth.ABANDONED: (1, 1), Truth.MACHINE: (0, 0)}


@dataclass(frozen=True, slots=True)
class Counted:
    """How an attempt counts now, corrections included: H and A, each 0 or 1."""

    campaign_id: UUID
    answered_at: datetime
    answered_by_person: int
    abandoned: int


async def counted(connection: Connection, attempt_id: UUID) -> Counted:
    """Return how a closed, answered attempt counts; raises `UserError` if it is none."""
    row = await connection.fetchrow(
        """
        SELECT a.campaign_id, a.answered_at,
               a.answered_by_person::int + COALESCE(sum(k.answered_by_person), 0)::int AS answered,
               a.abandoned::int + COALESCE(sum(k.abandoned), 0)::int AS abandoned
        FROM attempt a LEFT JOIN abandonment_correction k ON k.attempt_id = a.id
        WHERE a.id = $1 AND a.answered_at IS NOT NULL
        GROUP BY a.campaign_id, a.answered_at, a.answered_by_person, a.abandoned
        """,
        attempt_id,
    )
    if row is None:
        raise UserError("There is no closed call with that id that anybody answered.")
    return Counted(row["campaign_id"], row["answered_at"], row["answered"], row["abandoned"])


async def correct(
    connection: Connection, attempt_id: UUID, truth: Truth, *, by: str, reason: str
) -> Counted:
    """Have an attempt count as what it was; return how it counts now.

    The record stays as it is; the difference is an event of its own. Raises `UserError` when the
    attempt counts so already or nobody answers for the change.
    """
    if not by.strip() or not reason.strip():
        raise UserError("A correction needs the name of who makes it and the reason.")
    async with connection.transaction():
        # One correction of an attempt at a time: the difference is to the sum of those before.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(attempt_id)
        )
        before = await counted(connection, attempt_id)
        answered, abandoned = _COUNTS[truth]
        if (answered, abandoned) == (before.answered_by_person, before.abandoned):
            raise UserError(f"That call counts as {truth} already: nothing was changed.")
        await connection.execute(
            "INSERT INTO abandonment_correction (id, campaign_id, attempt_id, answered_at,"
            " answered_by_person, abandoned, made_by, reason)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            new_id(),
            before.campaign_id,
            attempt_id,
            before.answered_at,
            answered - before.answered_by_person,
            abandoned - before.abandoned,
            by.strip(),
            reason.strip(),
        )
    return Counted(before.campaign_id, before.answered_at, answered, abandoned)


async def record_evidence(
    connection: Connection,
    campaign_id: UUID,
    evidence: Evidence,
    *,
    method: str,
    engine: str,
    by: str,
) -> None:
    """Record a test of screening; raises `UserError` when it proves nothing."""
    if not 0 <= evidence.taken_for_machines <= evidence.people or evidence.people < 1:
        raise UserError(
            "Of how many people were how many taken for machines? 0 <= errors <= people."
        )
    if not (method.strip() and engine.strip() and by.strip()):
        raise UserError("Evidence needs its method, the detector it tests, and who records it.")
    await connection.execute(
        "INSERT INTO screening_evidence (id, campaign_id, tested_at, people, taken_for_machines,"
        " method, engine, recorded_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new_id(),
        campaign_id,
        evidence.tested_at,
        evidence.people,
        evidence.taken_for_machines,
        method.strip(),
        engine.strip(),
        by.strip(),
    )


async def evidence_of(
    connection: Connection, campaign_id: UUID, *, now: datetime
) -> Evidence | None:
    """Return the newest test of a campaign's screening if it is still valid, None otherwise."""
    row = await connection.fetchrow(
        "SELECT tested_at, people, taken_for_machines FROM screening_evidence"
        " WHERE campaign_id = $1 ORDER BY tested_at DESC, recorded_at DESC LIMIT 1",
        campaign_id,
    )
    if row is None:
        return None
    found = Evidence(row["tested_at"], row["people"], row["taken_for_machines"])
    return found if found.is_valid(now) else None
