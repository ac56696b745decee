"""An agent held for a call: reserve, join, release, and free at the end of the call.

`reserve_agent` is the one statement between a person's "hello" and an agent's ear: it records the
verdict and takes the longest-idle agent, or records that there was none. That an agent has at most
one call and a call at most one agent is held by unique indexes, whatever the code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns import lifecycle
from campaigns.lifecycle import CallEventKind
from campaigns.model import AgentState, AttemptState, Reservation, new_id
from campaigns.stores import sessions, tie_lines
from campaigns.stores.sessions import Move

if TYPE_CHECKING:
    from campaigns.stores.database import Connection
    from campaigns.stores.verdicts import Finding

_UP = tuple(
    state for state in AttemptState if state not in (AttemptState.CLAIMED, AttemptState.ENDED)
)
_RESERVABLE = lifecycle.predecessors(lifecycle.RESERVATION, Reservation.RESERVED)
_JOINABLE = lifecycle.predecessors(lifecycle.ATTEMPT, AttemptState.BRIDGED)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another line process, which holds the agent's phone leg, and where it takes SIP."""

    process_id: UUID
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ReservedAgent:
    """The agent held for a call; `session_id` names the phone leg to join."""

    session_id: UUID
    agent_id: UUID
    agent_name: str
    elsewhere: Elsewhere | None = None


_RESERVE = """
-- Lock the call, take the agent idle longest, record the verdict: one statement, all or nothing.
WITH call AS MATERIALIZED (
    SELECT a.id, a.campaign_id
    FROM live_attempt a
    WHERE a.id = $1
      AND a.process_id = $2
      AND a.state = ANY($4::attempt_state[])
      AND a.reservation = ANY($5::reservation_state[])
    FOR UPDATE
), chosen AS MATERIALIZED (
    SELECT s.id, s.agent_id
    FROM call c
    JOIN agent_campaign m ON m.campaign_id = c.campaign_id
    JOIN agent_session s ON s.agent_id = m.agent_id
    JOIN process p ON p.id = s.process_id
    WHERE s.state = 'ready'
      AND (s.process_id = $2
           OR ($17::bytea IS NOT NULL
               AND p.sip_address IS NOT NULL
               AND p.ended_at IS NULL
               AND p.lease_until > clock_timestamp()
               AND NOT p.draining
               AND p.id <> ALL($18::uuid[])))
    -- Who is in this process hears the person at once; elsewhere it takes a call between the two.
    ORDER BY s.process_id <> $2, m.priority, s.state_since, s.id
    LIMIT 1
    FOR UPDATE OF s SKIP LOCKED
), held AS (
    UPDATE agent_session s
    SET state = 'reserved', state_since = $3, attempt_id = $1
    FROM chosen
    WHERE s.id = chosen.id
    RETURNING s.id, s.agent_id, s.process_id
), tied AS (
    INSERT INTO tie_line (token_hash, attempt_id, agent_session_id, process_id, expires_at)
    SELECT $17, $1, h.id, h.process_id, clock_timestamp() + $19
    FROM held h
    WHERE h.process_id <> $2
), moved AS (
    UPDATE live_attempt a
    SET reservation = CASE WHEN h.id IS NULL THEN a.reservation ELSE 'reserved' END,
        agent_session_id = COALESCE(h.id, a.agent_session_id),
        agent_id = COALESCE(h.agent_id, a.agent_id),
        reserved_at = CASE WHEN h.id IS NULL THEN a.reserved_at ELSE $3 END,
        screening = CASE WHEN a.screening = ANY($6::screening_state[]) THEN $7 ELSE a.screening END,
        verdict = COALESCE($8, a.verdict),
        verdict_confidence = COALESCE($9, a.verdict_confidence),
        verdict_features = COALESCE($10::jsonb, a.verdict_features),
        verdict_at = CASE WHEN $8::amd_verdict IS NULL THEN a.verdict_at ELSE $3 END,
        greeting_ended_at = COALESCE($11, a.greeting_ended_at)
    FROM call c
    LEFT JOIN held h ON true
    WHERE a.id = c.id
    RETURNING a.id, h.id AS session_id, h.agent_id, h.process_id
), told_verdict AS (
    INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
    SELECT $12, m.id, 'verdict', $3, $2, $13
    FROM moved m
    WHERE $8::amd_verdict IS NOT NULL
), told_reservation AS (
    INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
    SELECT $14, m.id,
           CASE WHEN m.session_id IS NULL THEN 'no_agent' ELSE 'reserved' END, $3, $2,
           CASE WHEN m.session_id IS NULL THEN '{}'::jsonb
                ELSE jsonb_build_object('agent_id', m.agent_id) END
    FROM moved m
    WHERE m.session_id IS NOT NULL OR $16
), told_agent AS (
    INSERT INTO agent_event (id, agent_id, session_id, state, attempt_id, happened_at)
    SELECT $15, m.agent_id, m.session_id, 'reserved', m.id, $3
    FROM moved m
    WHERE m.session_id IS NOT NULL
)
SELECT m.session_id, m.agent_id, g.name, m.process_id, p.sip_address, p.sip_port
FROM moved m
JOIN agent g ON g.id = m.agent_id
JOIN process p ON p.id = m.process_id
"""


async def reserve_agent(
    connection: Connection,
    process_id: UUID,
    attempt_id: UUID,
    *,
    at: datetime,
    finding: Finding | None = None,
    again: bool = False,
    token: str | None = None,
    avoided: Sequence[UUID] = (),
) -> ReservedAgent | None:
    """Hold the longest-idle ready agent of the call's campaign, of this line process if it has one.

    Agents whose assignment to the campaign has the lower priority number go first. With *token* an
    agent of another line process will do, but for those *avoided*; the token then is that process's
    to take (`tie_lines.take`). None when nobody is ready (the verdict is recorded all the same) or
    the call is not up or has its agent already.
    *again* says that this is a further try, which leaves no `no_agent` event of its own. An agent
    row locked by somebody else at this instant is passed over: try again within the limit.
    """
    row = await connection.fetchrow(
        _RESERVE,
        attempt_id,
        process_id,
        at,
        _UP,
        _RESERVABLE,
        finding.screening_before if finding else (),
        finding and finding.screening,
        finding and finding.verdict,
        finding and finding.confidence,
        None if finding is None else dict(finding.features),
        finding and finding.greeting_ended_at,
        new_id(),
        {} if finding is None else finding.detail,
        new_id(),
        new_id(),
        not again,
        None if token is None else tie_lines.digest(token),
        list(avoided),
        timedelta(seconds=tie_lines.VALID_S),
    )
    if row is None:
        return None
    elsewhere = None
    if row["process_id"] != process_id:
        elsewhere = Elsewhere(row["process_id"], row["sip_address"], row["sip_port"])
    return ReservedAgent(row["session_id"], row["agent_id"], row["name"], elsewhere)


async def join(
    connection: Connection, process_id: UUID, attempt_id: UUID, *, at: datetime
) -> UUID | None:
    """Note that the customer and the reserved agent hear each other; return the session.

    None if the call ended or lost its agent meanwhile: part the legs again.
    """
    session_id: UUID | None = await connection.fetchval(
        """
        -- Call and agent move together or not at all.
        WITH call AS MATERIALIZED (
            SELECT a.id, a.agent_session_id
            FROM live_attempt a
            WHERE a.id = $1
              AND a.process_id = $2
              AND a.state = ANY($4::attempt_state[])
              AND a.reservation = 'reserved'
            FOR UPDATE
        ), agent AS (
            UPDATE agent_session s
            SET state = 'talking', state_since = $3
            FROM call c
            WHERE s.id = c.agent_session_id AND s.attempt_id = c.id AND s.state = 'reserved'
            RETURNING s.id, s.agent_id, s.attempt_id
        ), moved AS (
            UPDATE live_attempt a
            SET state = 'bridged', reservation = 'joined', joined_at = $3
            FROM agent g
            WHERE a.id = g.attempt_id
            RETURNING a.id
        ), told_call AS (
            INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
            SELECT $5, m.id, 'joined', $3, $2, jsonb_build_object('agent_id', g.agent_id)
            FROM moved m, agent g
        ), told_agent AS (
            INSERT INTO agent_event (id, agent_id, session_id, state, attempt_id, happened_at)
            SELECT $6, g.agent_id, g.id, 'talking', g.attempt_id, $3
            FROM agent g
        )
        SELECT g.id FROM agent g
        """,
        attempt_id,
        process_id,
        at,
        _JOINABLE,
        new_id(),
        new_id(),
    )
    return session_id


async def release(
    connection: Connection, process_id: UUID, attempt_id: UUID, *, at: datetime, reason: str
) -> sessions.Session | None:
    """Give the agent back while the call stays up (a machine after all, a failed join).

    The agent goes back to ready, or to the pause or log-out asked for; one who was already talking
    gets there through a wrap-up of no length. None if the call holds no agent.
    """
    async with connection.transaction():
        call = await connection.fetchrow(
            "SELECT a.agent_session_id FROM live_attempt a"
            " WHERE a.id = $1 AND a.process_id = $2 AND a.state <> 'ended'"
            " AND a.reservation IN ('reserved', 'joined') FOR UPDATE",
            attempt_id,
            process_id,
        )
        if call is None:
            return None
        await connection.execute(
            """
            WITH freed AS (
                UPDATE live_attempt a
                SET reservation = 'released',
                    agent_session_id = NULL,
                    agent_id = CASE WHEN a.joined_at IS NULL THEN NULL ELSE a.agent_id END
                WHERE a.id = $1
                RETURNING a.id
            )
            INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
            SELECT $2, f.id, $3, $4, $5, $6
            FROM freed f
            """,
            attempt_id,
            new_id(),
            CallEventKind.AGENT_LOST,
            at,
            process_id,
            {"reason": reason},
        )
        return await _back_to_work(connection, call["agent_session_id"], at=at)


async def _back_to_work(
    connection: Connection, session_id: UUID, *, at: datetime
) -> sessions.Session | None:
    session = await sessions.get(connection, session_id)
    if session is None:
        return None
    if session.state is AgentState.TALKING:
        await sessions.move(connection, [Move(session.id, AgentState.WRAP_UP, at, None, at)])
    rested = await sessions.rest(connection, [session], at=at)
    return rested[0] if rested else None


async def free_agents(
    connection: Connection, attempt_ids: Sequence[UUID]
) -> list[sessions.Session]:
    """Free the agents of calls that have just ended; the caller's transaction holds the calls.

    A talking agent gets the wrap-up of `timers.wrap_up_limit_s`; with no limit to use, or with the
    disposition already given, the wrap-up has no length. A reserved agent goes back to work and the
    call forgets about it.
    """
    rows = await connection.fetch(
        "SELECT a.id AS call_id, a.reservation, a.ended_at, a.disposition,"
        "       COALESCE((a.timers->>'wrap_up_limit_s')::float8, 0) AS limit_s,"
        "       s.id, s.agent_id, s.state, s.state_since, s.pause_reason, s.pause_requested,"
        "       s.logout_requested, s.process_id, s.attempt_id, s.wrap_up_until, s.logged_in_at"
        " FROM live_attempt a"
        " JOIN agent_session s ON s.id = a.agent_session_id AND s.attempt_id = a.id"
        " WHERE a.id = ANY($1::uuid[]) AND a.reservation IN ('reserved', 'joined')"
        " ORDER BY s.id FOR UPDATE OF s",
        attempt_ids,
    )
    wrapping: list[Move] = []
    resting: list[tuple[sessions.Session, datetime]] = []
    disposed: list[UUID] = []
    released: list[UUID] = []
    for row in rows:
        session, ended_at = sessions.session_of(row), row["ended_at"]
        if session.state is not AgentState.TALKING:
            released.append(row["call_id"])
            resting.append((session, ended_at))
            continue
        at_once = row["limit_s"] <= 0 or row["disposition"] is not None
        until = ended_at if at_once else sessions.wrap_up_until(ended_at, row["limit_s"])
        wrapping.append(Move(session.id, AgentState.WRAP_UP, ended_at, None, until))
        if at_once:
            disposed.append(row["call_id"])
            resting.append((session, ended_at))
    moved = await sessions.move(connection, wrapping) if wrapping else []
    for session, ended_at in resting:
        moved += await sessions.rest(connection, [session], at=ended_at)
    if disposed or released:
        await connection.execute(
            """
            UPDATE live_attempt a
            SET disposition = CASE WHEN a.id = ANY($1::uuid[])
                                   THEN COALESCE(a.disposition, 'none') ELSE a.disposition END,
                reservation = CASE WHEN a.id = ANY($2::uuid[]) THEN 'released'
                                   ELSE a.reservation END,
                agent_session_id = CASE WHEN a.id = ANY($2::uuid[]) THEN NULL
                                        ELSE a.agent_session_id END,
                agent_id = CASE WHEN a.id = ANY($2::uuid[]) AND a.joined_at IS NULL THEN NULL
                                ELSE a.agent_id END
            WHERE a.id = ANY($1::uuid[] || $2::uuid[])
            """,
            disposed,
            released,
        )
    return moved
