"""Agents: who they are, which phone is theirs, which campaigns they work for.

A token is shown once, when it is made, and kept only as its SHA-256: it holds 256 random bits, so
there is nothing a slow hash would protect. A PIN is short, so it is kept as an Argon2 hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import argon2
import phonenumbers

from campaigns.errors import UserError
from campaigns.model import AgentState, PhoneKind, TrunkKind, new_id
from campaigns.rules.dialable_numbers import (
    NumberKind,
    Refusal,
    dial_string,
    examine,
    is_emergency,
    refuse_dialed,
)
from campaigns.trunks import parse_settings

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

TOKEN_BYTES = 32
_LONGEST_NAME = 64
_PIN = re.compile(r"[0-9]{4,12}")
_EXTENSION = re.compile(r"[0-9A-Za-z_.+*#-]{1,64}")
_SIP_URI = re.compile(r"sips?:(?:[^@\s<>\"]+@)?[^@\s<>\";]+(?:;[^\s<>\"]*)?")
_PEER = re.compile(r"[0-9A-Fa-f.:]+")
_HASHER = argon2.PasswordHasher()


@dataclass(frozen=True, slots=True)
class NewAgent:
    """What a manager says when adding an agent.

    `phone_address` is a SIP URI, an extension on a trunk's PBX, a telephone number in full, or the
    address of the peer the agent calls in from. `trunk` names the trunk an extension or telephone
    is called through; `pin` is what a calling-in agent enters.
    """

    name: str
    phone_kind: PhoneKind
    phone_address: str
    display_name: str = ""
    trunk: str | None = None
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A campaign an agent works for; of an agent's calls, lower priority numbers go first."""

    campaign: str
    priority: int


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent, and where the agent stands now (offline when not logged in)."""

    id: UUID
    name: str
    display_name: str
    phone_kind: PhoneKind
    phone_address: str
    phone_trunk_id: UUID | None
    trunk: str | None
    state: AgentState
    since: datetime | None
    reason: str | None
    session_id: UUID | None
    assignments: tuple[Assignment, ...]


_AGENTS = """
    -- Agents with their session and campaigns.
    SELECT g.id, g.name, g.display_name, g.phone_kind, g.phone_address, g.phone_trunk_id,
           t.name AS trunk, COALESCE(s.state, 'offline') AS state, s.state_since,
           s.id AS session_id, COALESCE(s.pause_reason, s.pause_requested) AS reason,
           ARRAY(SELECT jsonb_build_array(c.name, m.priority)
                 FROM agent_campaign m
                 JOIN campaign c ON c.id = m.campaign_id
                 WHERE m.agent_id = g.id
                 ORDER BY m.priority, c.name) AS assignments
    FROM agent g
    LEFT JOIN trunk t ON t.id = g.phone_trunk_id
    LEFT JOIN agent_session s ON s.agent_id = g.id
"""


def _from_record(row: Any) -> AgentRow:
    return AgentRow(
        id=row["id"],
        name=row["name"],
        display_name=row["display_name"],
        phone_kind=PhoneKind(row["phone_kind"]),
        phone_address=row["phone_address"],
        phone_trunk_id=row["phone_trunk_id"],
        trunk=row["trunk"],
        state=AgentState(row["state"]),
        since=row["state_since"],
        reason=row["reason"],
        session_id=row["session_id"],
        assignments=tuple(Assignment(name, priority) for name, priority in row["assignments"]),
    )


async def add(connection: Connection, new: NewAgent) -> tuple[AgentRow, str]:
    """Add an agent; return it with the token to hand over, which is shown only this once."""
    name = _checked_name(new.name)
    address = _checked_address(new)
    token, pin_hash = _new_token(), await _pin_hash(new)
    async with connection.transaction():
        trunk_id = await _trunk_id(connection, new, address)
        added = await connection.fetchval(
            "INSERT INTO agent (id, name, display_name, phone_kind, phone_address, phone_trunk_id,"
            " pin_hash, token_hash)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING RETURNING id",
            new_id(),
            name,
            new.display_name.strip(),
            new.phone_kind,
            address,
            trunk_id,
            pin_hash,
            hash_token(token),
        )
    if added is None:
        raise UserError(f"There is an agent {name!r} already: choose another name.")
    return await get(connection, name), token


async def list_agents(connection: Connection) -> list[AgentRow]:
    """Return every agent by name."""
    return [_from_record(row) for row in await connection.fetch(f"{_AGENTS} ORDER BY g.name")]


async def get(connection: Connection, name: str) -> AgentRow:
    """Return the agent *name*; raises `UserError` that lists some there are."""
    row = await connection.fetchrow(f"{_AGENTS} WHERE g.name = $1", name)
    if row is not None:
        return _from_record(row)
    names = await connection.fetch("SELECT name FROM agent ORDER BY created_at DESC LIMIT 5")
    known = ", ".join(repr(row["name"]) for row in names)
    hint = f"there are {known}." if known else "add one with `dialer agents add`."
    raise UserError(f"There is no agent {name!r}: {hint}")


async def by_id(connection: Connection, agent_id: UUID) -> AgentRow | None:
    """Return the agent with this id, None if there is none."""
    row = await connection.fetchrow(f"{_AGENTS} WHERE g.id = $1", agent_id)
    return None if row is None else _from_record(row)


async def remove(connection: Connection, name: str) -> None:
    """Remove an agent who is not logged in and has never taken a call.

    Raises `UserError` otherwise: a record of a call must keep its agent.
    """
    agent = await get(connection, name)
    if agent.session_id is not None:
        raise UserError(f"Agent {name!r} is logged in: log the agent out first.")
    async with connection.transaction():
        if await connection.fetchval(
            "SELECT EXISTS (SELECT FROM attempt WHERE agent_id = $1)"
            " OR EXISTS (SELECT FROM lead_note WHERE agent_id = $1)",
            agent.id,
        ):
            raise UserError(
                f"Agent {name!r} has taken calls: take the agent's campaigns away instead."
            )
        await connection.execute("DELETE FROM agent WHERE id = $1", agent.id)


async def assign(
    connection: Connection, name: str, campaigns: Sequence[str], *, priority: int = 1
) -> AgentRow:
    """Let an agent work for *campaigns*, besides those there are; raises `UserError`."""
    if not 1 <= priority <= 1000:
        raise UserError(f"priority {priority} is out of range: use 1 (first) to 1000.")
    async with connection.transaction():
        agent = await get(connection, name)
        found = await _campaign_ids(connection, campaigns)
        await connection.execute(
            "INSERT INTO agent_campaign (agent_id, campaign_id, priority)"
            " SELECT $1, c, $3 FROM unnest($2::uuid[]) AS c"
            " ON CONFLICT (agent_id, campaign_id) DO UPDATE SET priority = $3",
            agent.id,
            found,
            priority,
        )
    return await get(connection, name)


async def unassign(connection: Connection, name: str, campaigns: Sequence[str]) -> AgentRow:
    """Take *campaigns* away from an agent; the call in progress goes on."""
    async with connection.transaction():
        agent = await get(connection, name)
        await connection.execute(
            "DELETE FROM agent_campaign WHERE agent_id = $1 AND campaign_id = ANY($2::uuid[])",
            agent.id,
            await _campaign_ids(connection, campaigns),
        )
    return await get(connection, name)


async def renew_token(connection: Connection, name: str) -> str:
    """Make the agent a new token and return it; the old one is void at once."""
    agent, token = await get(connection, name), _new_token()
    await connection.execute(
        "UPDATE agent SET token_hash = $2 WHERE id = $1", agent.id, hash_token(token)
    )
    return token


async def authenticate(connection: Connection, token: str) -> UUID | None:
    """Return the agent whose token this is, None if it is nobody's."""
    agent_id: UUID | None = await connection.fetchval(
        "SELECT id FROM agent WHERE token_hash = $1", hash_token(token)
    )
    return agent_id


async def called_in(connection: Connection, peer: str, pin: str) -> UUID | None:
    """Return the agent who calls in from the address *peer* with *pin*, None if there is none.

    Argon2 is slow on purpose: it runs in a thread, so that no call waits for it.
    """
    rows = await connection.fetch(
        "SELECT id, pin_hash FROM agent"
        " WHERE phone_kind = 'call_in' AND phone_address = $1 AND pin_hash IS NOT NULL"
        " ORDER BY id",
        peer,
    )
    for row in rows:
        if await asyncio.to_thread(_verify, row["pin_hash"], pin):
            agent_id: UUID = row["id"]
            return agent_id
    return None


def hash_token(token: str) -> str:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def _verify(pin_hash: str, pin: str) -> bool:
    try:
        return _HASHER.verify(pin_hash, pin)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


async def _pin_hash(new: NewAgent) -> str | None:
    if new.phone_kind is not PhoneKind.CALL_IN:
        if new.pin is not None:
            raise UserError("A PIN is for agents who call in: leave it out for other phones.")
        return None
    if new.pin is None or not _PIN.fullmatch(new.pin):
        raise UserError("An agent who calls in needs a PIN of 4 to 12 digits.")
    return await asyncio.to_thread(_HASHER.hash, new.pin)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UserError(f"An agent needs a name of 1 to {_LONGEST_NAME} printable characters.")
    return name


def _checked_address(new: NewAgent) -> str:
    """Return the phone's address in the form it is stored; raises `UserError`."""
    address = new.phone_address.strip()
    match new.phone_kind:
        case PhoneKind.SIP_URI:
            if not _SIP_URI.fullmatch(address):
                raise UserError("A SIP phone's address looks like sip:anna@192.0.2.10:5060.")
        case PhoneKind.EXTENSION:
            if not _EXTENSION.fullmatch(address):
                raise UserError("An extension is 1 to 64 letters, digits or . _ + * # -.")
            if is_emergency(address):
                raise UserError(
                    f"{address} is an emergency number: give the extension of the agent's phone."
                )
        case PhoneKind.TELEPHONE:
            try:
                parsed = phonenumbers.parse(address)
            except phonenumbers.NumberParseException:
                parsed = None
            if parsed is None or not phonenumbers.is_valid_number(parsed):
                raise UserError(
                    "An agent's telephone number must be valid and written in full, with + and "
                    "country code."
                )
            address = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
            kind = examine(address).kind
            if kind is not NumberKind.ORDINARY:
                raise UserError(
                    f"That is a {kind.replace('_', ' ')} number, and no trunk may dial it: give "
                    "an ordinary telephone number for the agent."
                )
        case PhoneKind.CALL_IN:
            if not _PEER.fullmatch(address):
                raise UserError(
                    "Give the IP address of the phone or PBX the agent calls in from, such as "
                    "192.0.2.10."
                )
    return address


# What a trunk holds against an agent's number, in words for whoever adds the agent.
_REFUSED = {
    Refusal.NOT_FICTIONAL: "it is a lab trunk, which dials only numbers reserved for fiction",
    Refusal.FICTIONAL: "the number is reserved for fiction, and only a lab trunk dials those",
    Refusal.REGION: "the number's region is not among the trunk's regions",
}


async def _trunk_id(connection: Connection, new: NewAgent, address: str) -> UUID | None:
    """Return the trunk the phone is called through; raises `UserError` if it would refuse to."""
    needs = new.phone_kind in (PhoneKind.EXTENSION, PhoneKind.TELEPHONE)
    if not needs:
        return None
    if new.trunk is None:
        raise UserError(
            f"A phone of kind {new.phone_kind} is called through a trunk: name it with --trunk."
        )
    row = await connection.fetchrow(
        "SELECT id, kind, settings FROM trunk WHERE name = $1", new.trunk
    )
    if row is None:
        raise UserError(f"There is no trunk {new.trunk!r}: add it with `dialer trunk add`.")
    if new.phone_kind is PhoneKind.TELEPHONE:
        plan = parse_settings(row["settings"], trunk=new.trunk).dial_plan
        refusal = refuse_dialed(
            dial_string(address, plan), plan=plan, kind=TrunkKind(row["kind"]), intended=address
        )
        if refusal is not None:
            why = _REFUSED.get(refusal, f"it refuses the dialed string, {refusal}")
            raise UserError(f"Trunk {new.trunk!r} cannot call that telephone: {why}.")
    trunk_id: UUID = row["id"]
    return trunk_id


async def _campaign_ids(connection: Connection, names: Sequence[str]) -> list[UUID]:
    rows = await connection.fetch(
        "SELECT id, name FROM campaign WHERE name = ANY($1::text[])", list(names)
    )
    found = {row["name"]: row["id"] for row in rows}
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            f"There is no campaign {missing[0]!r}: create it with `dialer campaign create`."
        )
    return [found[name] for name in names]
