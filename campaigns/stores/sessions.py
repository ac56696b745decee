"""Agent sessions: an agent logged in, and every move of the agent state with its event.

A move is one statement guarded by `lifecycle.AGENT`; the event row is written by the same
statement, so no path can forget it. Where a call is concerned its row is locked first and the
session second, everywhere, so that two writers never wait for each other. The row of a session ends
with the log-out; its history is `agent_event`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns import lifecycle
from campaigns.errors import UserError
from campaigns.lifecycle import CallEventKind
from campaigns.model import AgentState, Disposition, new_id

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

LOGGED_IN = "logged in"
LOGGED_OUT = "logged out"
CALLING = "calling the phone"

_LEGAL = [(old, new) for old, news in lifecycle.AGENT.items() for new in sorted(news)]
_LEGAL_OLD = [old for old, _ in _LEGAL]
_LEGAL_NEW = [new for _, new in _LEGAL]
IN_CALL = (AgentState.RESERVED, AgentState.TALKING, AgentState.WRAP_UP)
COLUMNS = (
    "s.id, s.agent_id, s.state, s.state_since, s.pause_reason, s.pause_requested,"
    " s.logout_requested, s.process_id, s.attempt_id, s.wrap_up_until, s.logged_in_at"
)


@dataclass(frozen=True, slots=True)
class Session:
    """One row of `agent_session`."""

    id: UUID
    agent_id: UUID
    state: AgentState
    state_since: datetime
    pause_reason: str | None
    pause_requested: str | None
    logout_requested: bool
    process_id: UUID | None
    attempt_id: UUID | None
    wrap_up_until: datetime | None
    logged_in_at: datetime

    @property
    def next_rest(self) -> AgentState:
        """Return where the agent goes when the present call is over."""
        if self.logout_requested:
            return AgentState.OFFLINE
        return AgentState.READY if self.pause_requested is None else AgentState.PAUSED


@dataclass(frozen=True, slots=True)
class Move:
    """A session's next state; `reason` is kept as the pause reason where there is one."""

    session_id: UUID
    state: AgentState
    at: datetime
    reason: str | None = None
    wrap_up_until: datetime | None = None


def session_of(row: Any) -> Session:
    """Return the session in a row that has its columns."""
    return Session(
        id=row["id"],
        agent_id=row["agent_id"],
        state=AgentState(row["state"]),
        state_since=row["state_since"],
        pause_reason=row["pause_reason"],
        pause_requested=row["pause_requested"],
        logout_requested=row["logout_requested"],
        process_id=row["process_id"],
        attempt_id=row["attempt_id"],
        wrap_up_until=row["wrap_up_until"],
        logged_in_at=row["logged_in_at"],
    )


async def get(connection: Connection, session_id: UUID) -> Session | None:
    """Return the session, or None after its log-out."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM agent_session s WHERE s.id = $1",  # noqa: S608 - own columns
        session_id,
    )
    return None if row is None else session_of(row)


async def of_agent(connection: Connection, agent_id: UUID) -> Session | None:
    """Return the agent's session, or None when not logged in."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM agent_session s WHERE s.agent_id = $1",  # noqa: S608 - own columns
        agent_id,
    )
    return None if row is None else session_of(row)


async def move(connection: Connection, moves: Sequence[Move]) -> list[Session]:
    """Make the moves the table allows, each with its event; return the sessions that moved."""
    rows = await connection.fetch(
        f"""
        -- Requests wait through a call and are spent by the rest after it.
        WITH given AS (
            SELECT *
            FROM unnest($1::uuid[], $2::agent_state[], $3::timestamptz[], $4::text[],
                        $5::timestamptz[], $6::uuid[])
                 AS g(id, new_state, at, reason, until, event_id)
        ), moved AS (
            UPDATE agent_session s
            SET state = g.new_state,
                state_since = g.at,
                attempt_id = CASE WHEN g.new_state = ANY($9::agent_state[]) THEN s.attempt_id END,
                wrap_up_until = g.until,
                pause_reason = CASE WHEN g.new_state IN ('paused', 'offline') THEN g.reason END,
                pause_requested = CASE WHEN g.new_state = ANY($9::agent_state[])
                                       THEN s.pause_requested END,
                logout_requested = s.logout_requested AND g.new_state = ANY($9::agent_state[])
            FROM given g
            WHERE s.id = g.id
              AND EXISTS (
                  SELECT
                  FROM unnest($7::agent_state[], $8::agent_state[]) AS legal(old, new)
                  WHERE legal.old = s.state AND legal.new = g.new_state)
            RETURNING {COLUMNS}, g.event_id, g.reason, g.at
        ), told AS (
            INSERT INTO agent_event
                (id, agent_id, session_id, state, reason, attempt_id, happened_at)
            SELECT m.event_id, m.agent_id, m.id, m.state, m.reason, m.attempt_id, m.at
            FROM moved m
        )
        SELECT * FROM moved
        """,  # noqa: S608 - our own column names
        [m.session_id for m in moves],
        [m.state for m in moves],
        [m.at for m in moves],
        [m.reason for m in moves],
        [m.wrap_up_until for m in moves],
        [new_id() for _ in moves],
        _LEGAL_OLD,
        _LEGAL_NEW,
        IN_CALL,
    )
    return [session_of(row) for row in rows]


async def log_in(
    connection: Connection, agent_id: UUID, process_id: UUID, *, at: datetime
) -> Session:
    """Log the agent in and have the line process call the agent's phone.

    An agent already logged in keeps the session; only if its phone leg is not up is it called
    again, by *process_id*.
    """
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO agent_session (id, agent_id, state_since, logged_in_at, process_id)"
            " VALUES ($1, $2, $3, $3, $4) ON CONFLICT (agent_id) DO NOTHING",
            new_id(),
            agent_id,
            at,
            process_id,
        )
        row = await connection.fetchrow(
            f"UPDATE agent_session s SET process_id = $2"  # noqa: S608 - own columns
            f" WHERE s.agent_id = $1 AND s.state = 'offline' RETURNING {COLUMNS}",
            agent_id,
            process_id,
        )
        if row is None:
            session = await of_agent(connection, agent_id)
            if session is None:
                raise UserError("The agent logged out at this very moment: log in again.")
            if await _is_phone_gone(connection, session):
                return await _call_again(connection, session, at=at, resume=False)
            return session
        session = session_of(row)
        await _told(connection, session, at=at, reason=CALLING)
        await _call_phone(connection, session, resume=False)
        return session


async def _call_phone(connection: Connection, session: Session, *, resume: bool) -> None:
    """Have the session's line process call its phone; *resume* makes the agent ready then."""
    await connection.execute(
        "INSERT INTO line_command (id, process_id, kind, agent_session_id, detail)"
        " VALUES ($1, $2, 'call_agent', $3, $4)",
        new_id(),
        session.process_id,
        session.id,
        {"resume": resume},
    )


async def _call_again(
    connection: Connection, session: Session, *, at: datetime, resume: bool
) -> Session:
    """Call the phone of an agent who is paused because it hung up."""
    moved = await move(connection, [Move(session.id, AgentState.OFFLINE, at, CALLING)])
    await connection.execute(
        "UPDATE agent_session SET phone_gone = false WHERE id = $1", session.id
    )
    await _call_phone(connection, session, resume=resume)
    return moved[0]


async def phone_up(
    connection: Connection, session_id: UUID, process_id: UUID, *, at: datetime
) -> Session | None:
    """Note that the agent's phone answered: offline → paused, reason "logged in".

    None if the session is gone or belongs to another line process by now: hang the leg up then.
    """
    async with connection.transaction():
        if not await _is_held_by(connection, session_id, process_id):
            return None
        moved = await move(connection, [Move(session_id, AgentState.PAUSED, at, LOGGED_IN)])
        return moved[0] if moved else None


@dataclass(frozen=True, slots=True)
class PhoneLoss:
    """A phone that dropped or fell silent; `attempt_id` is the live call left without its agent."""

    session: Session
    attempt_id: UUID | None


async def phone_lost(
    connection: Connection,
    session_id: UUID,
    *,
    at: datetime,
    reason: str,
    to: AgentState = AgentState.OFFLINE,
    gone: bool = False,
) -> PhoneLoss | None:
    """Take an agent whose phone failed out of work, with the reason; None if logged out.

    *to* is offline when the leg was never up, paused when it was; *gone* says that a leg which was
    up has ended, so that it is called again before the agent can be ready. A call the agent was
    reserved for or talked on loses its agent and stays up: announce to it. A call in wrap-up gets
    disposition none.
    """
    async with connection.transaction():
        call = await connection.fetchrow(
            "SELECT a.id, a.state = 'ended' AS is_over, a.reservation, a.process_id"
            " FROM live_attempt a WHERE a.agent_session_id = $1 AND a.disposition IS NULL"
            " ORDER BY a.claimed_at DESC LIMIT 1 FOR UPDATE",
            session_id,
        )
        row = await connection.fetchrow(
            f"SELECT {COLUMNS} FROM agent_session s WHERE s.id = $1 FOR UPDATE",  # noqa: S608
            session_id,
        )
        if row is None:
            return None
        session = session_of(row)
        if session.state is to or session.state is AgentState.OFFLINE:
            await connection.execute(
                "UPDATE agent_session SET pause_reason = $2, phone_gone = $3 WHERE id = $1",
                session_id,
                reason,
                gone,
            )
            await _told(connection, session, at=at, reason=reason)
            return PhoneLoss(session, None)
        left: UUID | None = None
        if call is not None and session.attempt_id == call["id"]:
            if call["is_over"]:
                await give_disposition(connection, [call["id"]])
            else:
                left = call["id"]
                await _lose_agent(connection, call["id"], call["process_id"], at=at, reason=reason)
        moved = await move(connection, [Move(session_id, to, at, reason)])
        await connection.execute(
            "UPDATE agent_session SET phone_gone = $2 WHERE id = $1", session_id, gone
        )
        return PhoneLoss(moved[0] if moved else session, left)


async def _lose_agent(
    connection: Connection, attempt_id: UUID, process_id: UUID, *, at: datetime, reason: str
) -> None:
    await connection.execute(
        """
        -- The record keeps who talked; only a reservation that never joined forgets the agent.
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


async def set_ready(connection: Connection, session_id: UUID, *, at: datetime) -> Session:
    """Make the agent ready; in mid-call, take back a pause or log-out asked for.

    In wrap-up it ends the wrap-up, with disposition none if none was given. A phone that hung up is
    called again first. Raises `UserError` when the phone is being called.
    """
    async with connection.transaction():
        session = await locked(connection, session_id)
        match session.state:
            case AgentState.OFFLINE:
                raise UserError("Your phone is not connected: answer it or log in again.")
            case AgentState.READY:
                return session
            case AgentState.RESERVED | AgentState.TALKING:
                return await _request(connection, session_id, pause=None, log_out=False)
            case AgentState.WRAP_UP:
                await _request(connection, session_id, pause=None, log_out=False)
                return await _end_wrap_up(connection, session, at=at)
            case AgentState.PAUSED:
                if await _is_phone_gone(connection, session):
                    return await _call_again(connection, session, at=at, resume=True)
                moved = await move(connection, [Move(session_id, AgentState.READY, at)])
                return moved[0]


async def _is_phone_gone(connection: Connection, session: Session) -> bool:
    return session.state is AgentState.PAUSED and bool(
        await connection.fetchval("SELECT phone_gone FROM agent_session WHERE id = $1", session.id)
    )


async def request_pause(
    connection: Connection, session_id: UUID, *, reason: str, at: datetime
) -> Session:
    """Pause the agent with *reason*: now, or after the present call and its wrap-up."""
    async with connection.transaction():
        session = await locked(connection, session_id)
        match session.state:
            case AgentState.READY:
                moved = await move(connection, [Move(session_id, AgentState.PAUSED, at, reason)])
                return moved[0]
            case AgentState.RESERVED if await _give_up_preview(connection, session, at, reason):
                moved = await move(connection, [Move(session_id, AgentState.PAUSED, at, reason)])
                return moved[0]
            case AgentState.RESERVED | AgentState.TALKING | AgentState.WRAP_UP:
                return await _request(
                    connection, session_id, pause=reason, log_out=session.logout_requested
                )
            case AgentState.PAUSED | AgentState.OFFLINE:
                row = await connection.fetchrow(
                    "UPDATE agent_session s SET pause_reason = $2"  # noqa: S608 - own columns
                    f" WHERE s.id = $1 RETURNING {COLUMNS}",
                    session_id,
                    reason,
                )
                again = session_of(row)
                await _told(connection, again, at=at, reason=reason)
                return again


async def log_out(connection: Connection, session_id: UUID, *, at: datetime) -> Session | None:
    """Log the agent out now, or after the present call and its wrap-up: then return the session.

    The line process is told to hang the phone leg up.
    """
    async with connection.transaction():
        session = await locked(connection, session_id)
        is_in_call = session.state in IN_CALL and not (
            session.state is AgentState.RESERVED
            and await _give_up_preview(connection, session, at, LOGGED_OUT)
        )
        if is_in_call:
            return await _request(
                connection, session_id, pause=session.pause_requested, log_out=True
            )
        await _end(connection, session, at=at)
        return None


async def dispose(
    connection: Connection, attempt_id: UUID, disposition: Disposition, *, at: datetime
) -> bool:
    """Say what came of a call; in wrap-up that ends the wrap-up.

    False if the attempt is closed already (the wrap-up limit passed).
    """
    async with connection.transaction():
        kept = await connection.fetchval(
            """
            -- A disposition given by the wrap-up limit may still be bettered until the close.
            WITH given AS (
                UPDATE live_attempt a
                SET disposition = $2
                WHERE a.id = $1 AND a.agent_id IS NOT NULL
                RETURNING a.id, a.process_id
            ), told AS (
                INSERT INTO call_event (id, attempt_id, kind, happened_at, process_id, detail)
                SELECT $3, g.id, 'disposed', $4, g.process_id, $5
                FROM given g
            )
            SELECT id FROM given
            """,
            attempt_id,
            disposition,
            new_id(),
            at,
            {"disposition": disposition.value},
        )
        row = await connection.fetchrow(
            f"SELECT {COLUMNS} FROM agent_session s"  # noqa: S608 - own columns
            " WHERE s.attempt_id = $1 AND s.state = 'wrap_up' FOR UPDATE",
            attempt_id,
        )
        if row is not None:
            await rest(connection, [session_of(row)], at=at)
        return kept is not None


async def rest(
    connection: Connection, sessions: Sequence[Session], *, at: datetime
) -> list[Session]:
    """Move agents whose call is over to ready, to the pause or to the log-out they asked for.

    Call it in a transaction that holds the sessions' rows.
    """
    leaving = [session for session in sessions if session.next_rest is AgentState.OFFLINE]
    staying = [session for session in sessions if session.next_rest is not AgentState.OFFLINE]
    for session in leaving:
        await _end(connection, session, at=at)
    return await move(
        connection,
        [Move(s.id, s.next_rest, at, s.pause_requested) for s in staying],
    )


async def _end_wrap_up(connection: Connection, session: Session, *, at: datetime) -> Session:
    if session.attempt_id is not None:
        await give_disposition(connection, [session.attempt_id])
    moved = await move(connection, [Move(session.id, AgentState.READY, at)])
    return moved[0] if moved else session


async def give_disposition(connection: Connection, attempt_ids: Sequence[UUID]) -> None:
    """Close the books of calls nobody disposed, in a fixed order of locks."""
    await connection.execute(
        "UPDATE live_attempt a SET disposition = 'none'"
        " FROM (SELECT id FROM live_attempt WHERE id = ANY($1::uuid[]) AND disposition IS NULL"
        "       ORDER BY id FOR UPDATE) d"
        " WHERE a.id = d.id",
        attempt_ids,
    )


async def _end(connection: Connection, session: Session, *, at: datetime) -> None:
    await connection.execute("DELETE FROM agent_session WHERE id = $1", session.id)
    await connection.execute(
        "INSERT INTO agent_event (id, agent_id, session_id, state, reason, happened_at)"
        " VALUES ($1, $2, $3, 'offline', $4, $5)",
        new_id(),
        session.agent_id,
        session.id,
        LOGGED_OUT,
        at,
    )
    if session.process_id is not None:
        await connection.execute(
            "INSERT INTO line_command (id, process_id, kind, agent_session_id)"
            " VALUES ($1, $2, 'release_agent', $3)",
            new_id(),
            session.process_id,
            session.id,
        )


async def locked(connection: Connection, session_id: UUID) -> Session:
    """Return the session locked; its call, if any, is locked first."""
    await connection.execute(
        "SELECT FROM live_attempt WHERE agent_session_id = $1 ORDER BY id FOR UPDATE", session_id
    )
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM agent_session s WHERE s.id = $1 FOR UPDATE",  # noqa: S608
        session_id,
    )
    if row is None:
        raise UserError("You are not logged in: log in first.")
    return session_of(row)


async def _give_up_preview(
    connection: Connection, session: Session, at: datetime, reason: str
) -> bool:
    """Take a lead that the agent has not decided about from the agent; False if there is none.

    The engine gives the claim without an agent back to its list (`previews.give_back_forsaken`).
    """
    call = await connection.fetchrow(
        "SELECT id, process_id FROM live_attempt WHERE id = $1 AND agent_session_id = $2"
        " AND state = 'claimed' AND preview_until IS NOT NULL AND ordered_at IS NULL",
        session.attempt_id,
        session.id,
    )
    if call is None:
        return False
    await _lose_agent(connection, call["id"], call["process_id"], at=at, reason=reason)
    return True


async def _request(
    connection: Connection, session_id: UUID, *, pause: str | None, log_out: bool
) -> Session:
    row = await connection.fetchrow(
        "UPDATE agent_session s SET pause_requested = $2, logout_requested = $3"  # noqa: S608
        f" WHERE s.id = $1 RETURNING {COLUMNS}",
        session_id,
        pause,
        log_out,
    )
    return session_of(row)


async def _is_held_by(connection: Connection, session_id: UUID, process_id: UUID) -> bool:
    return (
        await connection.fetchval(
            "SELECT true FROM agent_session WHERE id = $1 AND process_id = $2 FOR UPDATE",
            session_id,
            process_id,
        )
        is True
    )


async def _told(connection: Connection, session: Session, *, at: datetime, reason: str) -> None:
    await connection.execute(
        "INSERT INTO agent_event (id, agent_id, session_id, state, reason, attempt_id, happened_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new_id(),
        session.agent_id,
        session.id,
        session.state,
        reason,
        session.attempt_id,
        at,
    )


def wrap_up_until(ended_at: datetime, limit_s: float) -> datetime:
    """Return when a wrap-up that began with the end of the call must be over."""
    return ended_at + timedelta(seconds=limit_s)
