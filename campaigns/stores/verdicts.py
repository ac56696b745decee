"""What call screening found, stored on the live attempt with its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns import lifecycle
from campaigns.model import Screening, Verdict, new_id

if TYPE_CHECKING:
    from campaigns.stores.database import Connection


@dataclass(frozen=True, slots=True)
class Finding:
    """What screening believes: the verdict, the screening state it reached, the features behind it.

    `screening` is None when screening is off or has nothing new to say.
    """

    verdict: Verdict
    screening: Screening | None = None
    confidence: float | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    greeting_ended_at: datetime | None = None

    @property
    def screening_before(self) -> tuple[Screening, ...]:
        """Return the screening states the table allows this one to follow."""
        if self.screening is None:
            return ()
        return lifecycle.predecessors(lifecycle.SCREENING, self.screening)

    @property
    def detail(self) -> dict[str, Any]:
        """Return what the event of the verdict says."""
        return {"verdict": self.verdict.value, "confidence": self.confidence}


async def record_verdict(
    connection: Connection, process_id: UUID, attempt_id: UUID, finding: Finding, *, at: datetime
) -> bool:
    """Store *finding* without reserving an agent; False if the call is not up any more.

    A screening state the table does not allow from the present one leaves that column as it is.
    """
    moved = await connection.fetchval(
        """
        -- The verdict, its evidence and its event, while the call is up.
        WITH moved AS (
            UPDATE live_attempt a
            SET screening = CASE WHEN a.screening = ANY($4::screening_state[]) THEN $5
                                 ELSE a.screening END,
                verdict = $6,
                verdict_confidence = $7,
                verdict_features = $8,
                verdict_at = $3,
                greeting_ended_at = COALESCE($9, a.greeting_ended_at)
            WHERE a.id = $1 AND a.process_id = $2
              AND a.answered_at IS NOT NULL AND a.state <> 'ended'
            RETURNING a.id
        ), told AS (
            INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
            SELECT $10, m.id, 'verdict', $3, $2, $11
            FROM moved m
        )
        SELECT id FROM moved
        """,
        attempt_id,
        process_id,
        at,
        finding.screening_before,
        finding.screening,
        finding.verdict,
        finding.confidence,
        dict(finding.features),
        finding.greeting_ended_at,
        new_id(),
        finding.detail,
    )
    return moved is not None
