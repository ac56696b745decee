"""What an agent's message does: guarded writes, and the hints that wake those concerned."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.rules.gate import RULE_TEXT
from campaigns.stores import callbacks, line_commands, previews, sessions
from campaigns.stores.callbacks import Promise
from campaigns.stores.line_commands import CommandKind
from campaigns.stores.sessions import Session
from dialer.api import placement
from dialer.api.messages import (
    Dial,
    Dispose,
    HangUp,
    Hello,
    LogIn,
    LogOut,
    Pause,
    Ping,
    Problem,
    Ready,
    Said,
    Skip,
)
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Connection, Pool

Hints = list[tuple[Channel, object]]


class Refusal(Exception):
    """A message that cannot be obeyed now, with a sentence for the agent."""

    def __init__(self, problem: Problem, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = problem


async def obey(pool: Pool, agent_id: UUID, said: Said, *, at: datetime) -> Hints:
    """Do what *said* asks and return whom to wake; raises `Refusal` or `UserError`."""
    match said:
        case LogIn():
            return await _log_in(pool, agent_id, at)
        case Ready():
            session = await _session(pool, agent_id)
            async with pool.acquire() as connection:
                moved = await sessions.set_ready(connection, session.id, at=at)
            return [*_told(moved), (Channel.ENGINE, "")]
        case Pause():
            session = await _session(pool, agent_id)
            async with pool.acquire() as connection:
                moved = await sessions.request_pause(
                    connection, session.id, reason=said.reason, at=at
                )
            return [*_told(moved), (Channel.ENGINE, "")]
        case LogOut():
            session = await _session(pool, agent_id)
            async with pool.acquire() as connection:
                left = await sessions.log_out(connection, session.id, at=at)
            return [*_told(left or session), (Channel.ENGINE, "")]
        case Dial():
            return await _dial(pool, agent_id, said, at)
        case Skip():
            return await _skip(pool, agent_id, said, at)
        case Dispose():
            return await _dispose(pool, agent_id, said, at)
        case HangUp():
            return await _hang_up(pool, agent_id)
        case Ping() | Hello():
            return []
        case _:
            assert_never(said)


def _told(session: Session) -> Hints:
    hints: Hints = [(Channel.AGENTS, session.id), (Channel.BOARDS, "")]
    if session.process_id is not None:
        hints.append((Channel.LINES, session.process_id))
    return hints


async def _session(pool: Pool, agent_id: UUID) -> Session:
    async with pool.acquire() as connection:
        session = await sessions.of_agent(connection, agent_id)
    if session is None:
        raise Refusal(Problem.NOT_LOGGED_IN, "You are not logged in: log in first.")
    return session


async def _log_in(pool: Pool, agent_id: UUID, at: datetime) -> Hints:
    process_id = await placement.line_process_for(pool, agent_id)
    if process_id is None:
        raise Refusal(
            Problem.NO_LINE_PROCESS,
            "No line process is running, so your phone cannot be called: try again in a moment.",
        )
    async with pool.acquire() as connection:
        session = await sessions.log_in(connection, agent_id, process_id, at=at)
    return _told(session)


async def _dispose(pool: Pool, agent_id: UUID, said: Dispose, at: datetime) -> Hints:
    session = await _session(pool, agent_id)
    attempt_id = said.attempt_id or session.attempt_id
    if attempt_id is None:
        raise Refusal(Problem.NO_CALL, "There is no call to give a disposition to.")
    async with pool.acquire() as connection, connection.transaction():
        # Locks go attempt first, session second; the lead's id outlives the live row.
        call = await connection.fetchrow(
            "SELECT lead_id, campaign_id,"
            "       preview_until IS NOT NULL AND joined_at IS NULL AS is_unheard"
            " FROM live_attempt WHERE id = $1 AND agent_id = $2 FOR UPDATE",
            attempt_id,
            agent_id,
        )
        if call is not None and call["is_unheard"]:
            # A result given to a phone that only rings would end the lead unheard.
            raise Refusal(Problem.NOT_NOW, "Nobody is on the line yet: there is no result to give.")
        kept = call is not None and await sessions.dispose(
            connection, attempt_id, said.disposition, at=at
        )
        if call is None or not kept:
            raise Refusal(
                Problem.NOT_NOW,
                "That call is closed already: the wrap-up limit had passed, so it has no "
                "disposition.",
            )
        if said.call_at is not None:
            await _promise(connection, said, agent_id, attempt_id, call, at)
        if said.note and said.note.strip():
            await connection.execute(
                "INSERT INTO lead_note (id, lead_id, attempt_id, agent_id, body, written_at)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                new_id(),
                call["lead_id"],
                attempt_id,
                agent_id,
                said.note.strip(),
                at,
            )
    return [*_told(session), (Channel.ENGINE, "")]


async def _promise(
    connection: Connection,
    said: Dispose,
    agent_id: UUID,
    attempt_id: UUID,
    call: Any,
    at: datetime,
) -> None:
    if said.call_at is None:
        return
    promised = Promise(
        lead_id=call["lead_id"],
        campaign_id=call["campaign_id"],
        due_at=said.call_at,
        agent_id=agent_id if said.mine else None,
        attempt_id=attempt_id,
        note=(said.note or "").strip(),
    )
    try:
        await callbacks.promise(connection, promised, now=at)
    except UserError as error:
        raise Refusal(Problem.NOT_NOW, str(error)) from None


_DECIDED = "That lead is not yours to decide about any more: its time was up, or it went back."


async def _dial(pool: Pool, agent_id: UUID, said: Dial, at: datetime) -> Hints:
    session = await _session(pool, agent_id)
    async with pool.acquire() as connection:
        ordered = await previews.order(connection, session.id, said.attempt_id, at=at, by="agent")
    if ordered is None:
        raise Refusal(Problem.NOT_NOW, _DECIDED)
    if ordered.refused:
        why = "; ".join(RULE_TEXT[rule] for rule in ordered.refused)
        raise Refusal(
            Problem.REFUSED, f"This lead may not be called now: {why}. It went back to its list."
        )
    return [*_told(session), (Channel.LINES, ordered.process_id)]


async def _skip(pool: Pool, agent_id: UUID, said: Skip, at: datetime) -> Hints:
    session = await _session(pool, agent_id)
    async with pool.acquire() as connection:
        skipped = await previews.skip(
            connection, session.id, said.attempt_id, at=at, reason=said.reason
        )
    if not skipped:
        raise Refusal(Problem.NOT_NOW, _DECIDED)
    return [*_told(session), (Channel.ENGINE, "")]


async def _hang_up(pool: Pool, agent_id: UUID) -> Hints:
    session = await _session(pool, agent_id)
    async with pool.acquire() as connection, connection.transaction():
        call = await connection.fetchrow(
            "SELECT id, process_id FROM live_attempt"
            " WHERE agent_session_id = $1 AND state <> 'ended' AND (reservation = 'joined'"
            "       OR (reservation = 'reserved' AND preview_until IS NOT NULL"
            "           AND state IN ('dialing', 'ringing')))",
            session.id,
        )
        if call is None:
            raise Refusal(Problem.NO_CALL, "There is no call to hang up.")
        await line_commands.send(
            connection,
            call["process_id"],
            CommandKind.HANG_UP,
            attempt_id=call["id"],
            agent_session_id=session.id,
        )
    return [(Channel.LINES, call["process_id"])]
