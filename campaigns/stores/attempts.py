"""Live attempts as line processes move them: batched, guarded, each move with its events.

Every statement carries `process_id = $process` and the states a move may start from
(`lifecycle.ATTEMPT`), so whatever another process decided meanwhile stands, and the caller learns
which of its moves did not apply. Locks are always taken attempt first, agent session second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns import lifecycle
from campaigns.lifecycle import CallEventKind
from campaigns.model import (
    AttemptState,
    CallTimers,
    EndedBy,
    Outcome,
    Reservation,
    Screening,
    new_id,
)
from campaigns.stores import reservations

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_LEGAL = [(old, new) for old, news in lifecycle.ATTEMPT.items() for new in sorted(news)]
_LEGAL_OLD = [old for old, _ in _LEGAL]
_LEGAL_NEW = [new for _, new in _LEGAL]

_EVENT_OF_STATE = {
    AttemptState.RINGING: CallEventKind.RINGING,
    AttemptState.ANSWERED: CallEventKind.ANSWERED,
    AttemptState.ANNOUNCING: CallEventKind.ANNOUNCING,
    AttemptState.ENDED: CallEventKind.ENDED,
}


@dataclass(frozen=True, slots=True)
class DialOrder:
    """What a line process needs to start one call; the number is for the INVITE, never a log.

    `agent_session_id` is the agent who ordered it in preview: nobody else may be given the call.
    """

    attempt_id: UUID
    campaign_id: UUID
    lead_id: UUID
    dialed_number: str
    region: str
    trunk_id: UUID
    caller_id: str
    timers: CallTimers
    claimed_at: datetime
    agent_session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended; `retry_after_s` is a 503's Retry-After, which suspends the trunk."""

    outcome: Outcome
    ended_by: EndedBy | None = None
    sip_code: int | None = None
    q850_cause: int | None = None
    reason: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a live attempt at `at`.

    With `state` it is a move (ringing, answered, announcing, ended with its `ending`); without, it
    only adds the event `kind`. `listening` says screening began with the answer. `id` becomes the
    event's, so that a step written twice, because the first answer was lost, leaves one event.
    """

    attempt_id: UUID
    at: datetime
    state: AttemptState | None = None
    kind: CallEventKind | None = None
    ending: Ending | None = None
    listening: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)

    def event(self) -> CallEventKind:
        """Return the kind of the event this step leaves."""
        if self.kind is not None:
            return self.kind
        if self.state is None or self.state not in _EVENT_OF_STATE:
            raise ValueError(f"a step to {self.state} needs the kind of its event")
        return _EVENT_OF_STATE[self.state]


async def take_claimed(
    connection: Connection, process_id: UUID, *, at: datetime, limit: int
) -> list[DialOrder]:
    """Move up to *limit* claimed attempts of this process to dialing and return them.

    Call it outside a transaction: when it returns, the move is durable and the INVITE may leave.
    """
    if limit <= 0:
        return []
    rows = await connection.fetch(
        """
        -- The oldest claims first; a claim being returned at this moment is skipped, a preview
        -- waits for the word of its agent.
        WITH taken AS (
            SELECT a.id
            FROM live_attempt a
            WHERE a.process_id = $1 AND a.state = 'claimed'
              AND (a.preview_until IS NULL
                   OR (a.ordered_at IS NOT NULL AND a.reservation = 'reserved'))
            ORDER BY a.claimed_at, a.id
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE live_attempt a
            SET state = 'dialing', dialing_at = $2
            FROM taken
            WHERE a.id = taken.id AND a.state = 'claimed'
            RETURNING a.id, a.campaign_id, a.lead_id, a.dialed_number, a.region, a.trunk_id,
                      a.caller_id, a.timers, a.claimed_at, a.agent_session_id
        ), told AS (
            INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id)
            SELECT e.id, m.id, 'dialing', $2, $1
            FROM (SELECT id, row_number() OVER () AS n FROM moved) m
            JOIN unnest($4::uuid[]) WITH ORDINALITY AS e(id, n) USING (n)
        )
        SELECT * FROM moved ORDER BY claimed_at, id
        """,
        process_id,
        at,
        limit,
        [new_id() for _ in range(limit)],
    )
    return [
        DialOrder(
            attempt_id=row["id"],
            campaign_id=row["campaign_id"],
            lead_id=row["lead_id"],
            dialed_number=row["dialed_number"],
            region=row["region"],
            trunk_id=row["trunk_id"],
            caller_id=row["caller_id"],
            timers=CallTimers.model_validate(row["timers"]),
            claimed_at=row["claimed_at"],
            agent_session_id=row["agent_session_id"],
        )
        for row in rows
    ]


@dataclass(slots=True)
class _Progress:
    """The steps of one attempt in one batch, merged: its states and every time it passed."""

    first: AttemptState | None = None
    state: AttemptState | None = None
    screening: Screening | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    message_started_at: datetime | None = None
    message_ended_at: datetime | None = None
    ended_at: datetime | None = None
    ending: Ending | None = None

    def add(self, step: Step) -> None:
        if step.state is not None:
            if self.state is not None:
                lifecycle.check(lifecycle.ATTEMPT, self.state, step.state)
            self.first = self.first or step.state
            self.state = step.state
        match step.state:
            case AttemptState.RINGING:
                self.ringing_at = step.at
            case AttemptState.ANSWERED:
                self.answered_at = step.at
                self.screening = Screening.LISTENING if step.listening else None
            case AttemptState.ANNOUNCING | AttemptState.LEAVING_MESSAGE:
                self.message_started_at = step.at
            case AttemptState.ENDED:
                self.ended_at = step.at
                self.ending = step.ending
                if step.ending is None:
                    raise ValueError("an attempt ends with an ending")
            case None if step.kind is CallEventKind.ANNOUNCED:
                self.message_ended_at = step.at
            case _:
                pass


_ADVANCE = """
-- Move each attempt to its last state, if the table allows it from where the row stands now: at
-- once, or by way of the batch's first state, from which the batch has been checked.
WITH given AS (
    SELECT *
    FROM unnest(
        $2::uuid[], $3::attempt_state[], $4::screening_state[], $5::timestamptz[],
        $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
        $10::call_outcome[], $11::ended_by[], $12::integer[], $13::integer[], $14::text[],
        $22::attempt_state[]
    ) AS g(id, state, screening, ringing_at, answered_at, message_started_at, message_ended_at,
           ended_at, outcome, ended_by, sip_code, q850_cause, end_reason, first)
), moved AS (
    UPDATE live_attempt a
    SET state = COALESCE(g.state, a.state),
        screening = CASE WHEN a.screening = 'none' THEN COALESCE(g.screening, a.screening)
                         ELSE a.screening END,
        ringing_at = COALESCE(a.ringing_at, g.ringing_at),
        answered_at = COALESCE(a.answered_at, g.answered_at),
        message_started_at = COALESCE(a.message_started_at, g.message_started_at),
        message_ended_at = COALESCE(a.message_ended_at, g.message_ended_at),
        ended_at = g.ended_at,
        outcome = g.outcome,
        ended_by = g.ended_by,
        sip_code = g.sip_code,
        q850_cause = g.q850_cause,
        end_reason = g.end_reason
    FROM given g
    WHERE a.id = g.id
      AND a.process_id = $1
      AND a.state <> 'ended'
      AND (g.state IS NULL OR EXISTS (
              SELECT
              FROM unnest($15::attempt_state[], $16::attempt_state[]) AS legal(old, new)
              WHERE legal.old = a.state AND legal.new IN (g.first, g.state)))
    RETURNING a.id, a.state, a.reservation
), told AS (
    INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
    SELECT e.id, e.attempt_id, e.kind, e.happened_at, $1, e.detail
    FROM unnest($17::uuid[], $18::uuid[], $19::text[], $20::timestamptz[], $21::jsonb[])
         AS e(id, attempt_id, kind, happened_at, detail)
    JOIN moved ON moved.id = e.attempt_id
    ON CONFLICT DO NOTHING
)
SELECT id, state, reservation FROM moved
"""


async def advance(connection: Connection, process_id: UUID, steps: Sequence[Step]) -> set[UUID]:
    """Apply what happened to many attempts in one statement; return the attempts it applied to.

    Steps of one attempt are applied in the order given and stand or fall together: the move is to
    the last state, guarded by the table from the row's present state to the last state or to the
    first (some of them may have been written before), every event is kept. An
    attempt not in the answer was ended or taken over by somebody else. Ending a call also frees its
    agent (`reservations.free_agents`), in the same transaction.
    """
    merged: dict[UUID, _Progress] = {}
    for step in steps:
        merged.setdefault(step.attempt_id, _Progress()).add(step)
    if not merged:
        return set()
    if not any(progress.ended_at for progress in merged.values()):
        return {row["id"] for row in await _advance(connection, process_id, merged, steps)}
    async with connection.transaction():
        rows = await _advance(connection, process_id, merged, steps)
        with_agent = [
            row["id"]
            for row in rows
            if row["state"] == AttemptState.ENDED
            and row["reservation"] in (Reservation.RESERVED, Reservation.JOINED)
        ]
        if with_agent:
            await reservations.free_agents(connection, with_agent)
    return {row["id"] for row in rows}


async def _advance(
    connection: Connection,
    process_id: UUID,
    merged: Mapping[UUID, _Progress],
    steps: Sequence[Step],
) -> list[Any]:
    progress = list(merged.values())
    endings = [p.ending for p in progress]
    return await connection.fetch(
        _ADVANCE,
        process_id,
        list(merged),
        [p.state for p in progress],
        [p.screening for p in progress],
        [p.ringing_at for p in progress],
        [p.answered_at for p in progress],
        [p.message_started_at for p in progress],
        [p.message_ended_at for p in progress],
        [p.ended_at for p in progress],
        [e and e.outcome for e in endings],
        [e and e.ended_by for e in endings],
        [e and e.sip_code for e in endings],
        [e and e.q850_cause for e in endings],
        [e and e.reason for e in endings],
        _LEGAL_OLD,
        _LEGAL_NEW,
        [step.id for step in steps],
        [step.attempt_id for step in steps],
        [step.event() for step in steps],
        [step.at for step in steps],
        [_detail(step) for step in steps],
        [p.first for p in progress],
    )


def _detail(step: Step) -> dict[str, Any]:
    """Return ids and codes worth keeping with the event, never a number."""
    detail = dict(step.detail)
    if step.ending is not None:
        detail["outcome"] = step.ending.outcome.value
        if step.ending.sip_code is not None:
            detail["sip_code"] = step.ending.sip_code
        if step.ending.retry_after_s is not None:
            detail["retry_after_s"] = step.ending.retry_after_s
    return detail


async def end_unknown(
    connection: Connection, process_id: UUID, known: Iterable[UUID], *, at: datetime
) -> list[UUID]:
    """End this process's dialing rows it holds no call for, as interrupted; return them.

    They exist when Postgres committed `take_claimed` but its answer was lost: no INVITE has left,
    and none will.
    """
    rows = await connection.fetch(
        """
        -- Only this process turns its claims into calls, so what it does not know is no call.
        WITH moved AS (
            UPDATE live_attempt a
            SET state = 'ended', ended_at = $3, outcome = 'interrupted', ended_by = 'network',
                end_reason = 'Postgres was lost before the call left'
            WHERE a.process_id = $1 AND a.state = 'dialing' AND NOT a.id = ANY($2::uuid[])
            RETURNING a.id
        ), told AS (
            INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id)
            SELECT gen_random_uuid(), m.id, 'interrupted', $3, $1 FROM moved m
        )
        SELECT id FROM moved
        """,
        process_id,
        list(known),
        at,
    )
    return [row["id"] for row in rows]


async def states(connection: Connection, attempt_ids: Iterable[UUID]) -> dict[UUID, AttemptState]:
    """Return where live attempts stand; those missing are closed or were returned."""
    rows = await connection.fetch(
        "SELECT id, state FROM live_attempt WHERE id = ANY($1::uuid[])", list(attempt_ids)
    )
    return {row["id"]: AttemptState(row["state"]) for row in rows}
