"""Trunks as rows: adding and changing them, their caller ids, and suspending one that fails."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import phonenumbers

from campaigns.errors import UserError
from campaigns.model import Transport, TrunkKind, new_id
from campaigns.trunks import TrunkSettings, parse_settings

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

# Faults in a row that suspend a trunk, and how long it rests: twice as long each time, until a call
# through it works again.
FAULTS_IN_A_ROW = 5
FIRST_REST_S = 30.0
LONGEST_REST_S = 300.0
# What a carrier may ask for with Retry-After; a longer wish is a person's business.
LONGEST_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class NewTrunk:
    """What is said about a trunk when it is added or changed; see the `trunk` table."""

    name: str
    kind: TrunkKind
    host: str
    port: int = 5060
    transport: Transport = Transport.UDP
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    settings: TrunkSettings = field(default_factory=TrunkSettings)
    caller_ids: tuple[str, ...] = ()
    enabled: bool = True
    priority: int = 1
    weight: int = 1
    channels: int = 30
    calls_per_second: float = 5.0
    calls_per_day: int = 10_000
    minutes_per_day: int = 5_000


@dataclass(frozen=True, slots=True)
class TrunkRow:
    """A trunk as stored; the password is for line processes and is never shown."""

    id: UUID
    name: str
    kind: TrunkKind
    enabled: bool
    host: str
    port: int
    transport: Transport
    username: str | None
    password: str | None = field(repr=False)
    settings: TrunkSettings
    caller_ids: tuple[str, ...]
    priority: int
    weight: int
    channels: int
    calls_per_second: float
    calls_per_day: int
    minutes_per_day: int
    suspended_until: datetime | None
    suspended_reason: str | None
    resumed_at: datetime


_TRUNKS = """
    -- Trunks with their caller ids.
    SELECT t.id, t.name, t.kind, t.enabled, t.host, t.port, t.transport, t.username, t.password,
           t.settings, t.priority, t.weight, t.channels, t.calls_per_second, t.calls_per_day,
           t.minutes_per_day, t.suspended_until, t.suspended_reason, t.resumed_at,
           ARRAY(SELECT i.number FROM caller_id i WHERE i.trunk_id = t.id ORDER BY i.number)
               AS caller_ids
    FROM trunk t
"""


def _from_record(row: Any) -> TrunkRow:
    return TrunkRow(
        id=row["id"],
        name=row["name"],
        kind=TrunkKind(row["kind"]),
        enabled=row["enabled"],
        host=row["host"],
        port=row["port"],
        transport=Transport(row["transport"]),
        username=row["username"],
        password=row["password"],
        settings=parse_settings(row["settings"], trunk=row["name"]),
        caller_ids=tuple(row["caller_ids"]),
        priority=row["priority"],
        weight=row["weight"],
        channels=row["channels"],
        calls_per_second=row["calls_per_second"],
        calls_per_day=row["calls_per_day"],
        minutes_per_day=row["minutes_per_day"],
        suspended_until=row["suspended_until"],
        suspended_reason=row["suspended_reason"],
        resumed_at=row["resumed_at"],
    )


async def add(connection: Connection, new: NewTrunk) -> TrunkRow:
    """Add a trunk; raises `UserError` if there is one of that name, or for impossible values."""
    if await connection.fetchval("SELECT true FROM trunk WHERE name = $1", new.name):
        raise UserError(f"There is a trunk {new.name!r} already: choose another name.")
    return await put(connection, new)


async def put(connection: Connection, new: NewTrunk) -> TrunkRow:
    """Add the trunk, or make the one of that name as said; calls in flight go on as they began.

    Caller ids not named any more are removed. The kind of a trunk that has carried calls cannot
    change: a lab trunk's record must never look like a real one's.
    """
    check(new)
    async with connection.transaction():
        trunk_id = await connection.fetchval(
            """
            INSERT INTO trunk AS t
                (id, name, kind, host, port, transport, username, password, settings, enabled,
                 priority, weight, channels, calls_per_second, calls_per_day, minutes_per_day,
                 tokens)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                    greatest(1, $14::real))
            ON CONFLICT (name) DO UPDATE
            SET kind = $3, host = $4, port = $5, transport = $6, username = $7, password = $8,
                settings = $9, enabled = $10, priority = $11, weight = $12, channels = $13,
                calls_per_second = $14, calls_per_day = $15, minutes_per_day = $16
            WHERE t.kind = $3 OR NOT EXISTS (SELECT FROM attempt a WHERE a.trunk_id = t.id)
            RETURNING t.id
            """,
            new_id(),
            new.name,
            new.kind,
            new.host,
            new.port,
            new.transport,
            new.username,
            new.password,
            new.settings.model_dump(mode="json", by_alias=True),
            new.enabled,
            new.priority,
            new.weight,
            new.channels,
            new.calls_per_second,
            new.calls_per_day,
            new.minutes_per_day,
        )
        if trunk_id is None:
            raise UserError(
                f"Trunk {new.name!r} has carried calls and cannot change its kind: "
                "add a new trunk under another name."
            )
        await connection.execute(
            "DELETE FROM caller_id WHERE trunk_id = $1 AND number <> ALL($2::text[])",
            trunk_id,
            list(new.caller_ids),
        )
        await connection.execute(
            "INSERT INTO caller_id (id, trunk_id, number)"
            " SELECT n.id, $1, n.number FROM unnest($2::uuid[], $3::text[]) AS n(id, number)"
            " ON CONFLICT (trunk_id, number) DO NOTHING",
            trunk_id,
            [new_id() for _ in new.caller_ids],
            list(new.caller_ids),
        )
    return await get(connection, new.name)


async def list_trunks(connection: Connection) -> list[TrunkRow]:
    """Return every trunk, in the order they are tried."""
    rows = await connection.fetch(f"{_TRUNKS} ORDER BY t.priority, t.name")
    return [_from_record(row) for row in rows]


async def get(connection: Connection, name: str) -> TrunkRow:
    """Return the trunk *name*; raises `UserError` that lists those there are."""
    row = await connection.fetchrow(f"{_TRUNKS} WHERE t.name = $1", name)
    if row is not None:
        return _from_record(row)
    names = await connection.fetch("SELECT name FROM trunk ORDER BY name LIMIT 5")
    known = ", ".join(repr(row["name"]) for row in names)
    hint = f"there are {known}." if known else "add one with `dialer trunk add`."
    raise UserError(f"There is no trunk {name!r}: {hint}")


async def by_id(connection: Connection, trunk_id: UUID) -> TrunkRow | None:
    """Return the trunk with this id, None if there is none."""
    row = await connection.fetchrow(f"{_TRUNKS} WHERE t.id = $1", trunk_id)
    return None if row is None else _from_record(row)


async def remove(connection: Connection, name: str) -> None:
    """Remove a trunk that never carried a call; raises `UserError` otherwise."""
    trunk = await get(connection, name)
    used = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM attempt WHERE trunk_id = $1)"
        " OR EXISTS (SELECT FROM live_attempt WHERE trunk_id = $1)"
        " OR EXISTS (SELECT FROM agent WHERE phone_trunk_id = $1)",
        trunk.id,
    )
    if used:
        raise UserError(
            f"Trunk {name!r} has carried calls or reaches an agent's phone: disable it instead."
        )
    await connection.execute("DELETE FROM trunk WHERE id = $1", trunk.id)


def check(new: NewTrunk) -> None:
    """Raise `UserError` for a trunk that cannot be meant."""
    if new.kind is TrunkKind.LAB and not _is_loopback(new.host):
        raise UserError(
            f"Trunk {new.name!r} is a lab trunk but {new.host} is not this machine: "
            "lab trunks speak to loopback addresses only."
        )
    for number in new.caller_ids:
        try:
            parsed = phonenumbers.parse(number)
        except phonenumbers.NumberParseException:
            parsed = None
        if parsed is None or not phonenumbers.is_possible_number(parsed):
            raise UserError(
                f"Trunk {new.name!r}: a caller id is no telephone number in full, with + and "
                "country code."
            )


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "ip6-localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


# Suspension -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Suspension:
    """A trunk that takes no calls for a while, and the reason in a supervisor's words."""

    trunk_id: UUID
    name: str
    until: datetime
    reason: str


async def review_faults(
    connection: Connection, trunk_ids: Sequence[UUID], *, now: datetime
) -> list[Suspension]:
    """Suspend the trunks whose last calls failed through their own fault; return those.

    The last five calls since the trunk was last resumed are looked at, in the order they ended. A
    503 with Retry-After suspends at once, for as long as it asks (RFC 3261 §21.5.4).
    """
    rows = await connection.fetch(
        """
        -- The latest calls of each trunk since it was last resumed, and what a 503 asked for.
        SELECT t.id, t.name, t.backoff_s, l.faults, l.calls, l.retry_at,
               EXISTS (SELECT FROM attempt w
                       WHERE w.trunk_id = t.id AND w.ended_at > t.resumed_at
                         AND w.claimed_at > t.resumed_at - interval '1 day'
                         AND w.outcome <> 'trunk_fault') AS worked
        FROM trunk t
        CROSS JOIN LATERAL (
            SELECT count(*) AS calls,
                   count(*) FILTER (WHERE a.outcome = 'trunk_fault') AS faults,
                   max(a.ended_at + make_interval(secs => least(a.retry_s, $4)))
                       FILTER (WHERE a.retry_s IS NOT NULL) AS retry_at
            FROM (
                SELECT c.outcome, c.ended_at,
                       (SELECT (e.detail->>'retry_after_s')::float8
                        FROM call_event e
                        WHERE e.attempt_id = c.id AND e.kind = 'ended'
                          AND e.happened_at >= c.ended_at
                          AND c.outcome = 'trunk_fault'
                        LIMIT 1) AS retry_s
                FROM attempt c
                WHERE c.trunk_id = t.id AND c.ended_at > t.resumed_at
                  AND c.claimed_at > t.resumed_at - interval '1 day'
                ORDER BY c.ended_at DESC
                LIMIT $3
            ) a
        ) l
        WHERE t.id = ANY($1::uuid[]) AND (t.suspended_until IS NULL OR t.suspended_until <= $2)
          AND (l.faults = $3 OR l.retry_at > $2)
        """,
        list(trunk_ids),
        now,
        FAULTS_IN_A_ROW,
        LONGEST_RETRY_AFTER_S,
    )
    found = []
    for row in rows:
        asked = row["retry_at"] if row["retry_at"] is not None and row["retry_at"] > now else None
        rest_s = row["backoff_s"]
        reason = "the carrier asked to wait (503 with Retry-After)"
        if row["faults"] == FAULTS_IN_A_ROW:
            rest_s = _next_rest(0.0 if row["worked"] else row["backoff_s"])
            reason = f"{FAULTS_IN_A_ROW} calls in a row failed through the trunk's fault"
            until = max(now + timedelta(seconds=rest_s), asked or now)
        else:
            until = asked or now
        suspended = await connection.fetchval(
            "UPDATE trunk SET suspended_until = $2, suspended_reason = $3, backoff_s = $4"
            " WHERE id = $1 AND (suspended_until IS NULL OR suspended_until <= $5) RETURNING true",
            row["id"],
            until,
            reason,
            rest_s,
            now,
        )
        if suspended:
            found.append(Suspension(row["id"], row["name"], until, reason))
    return found


def _next_rest(last_s: float) -> float:
    """Return the rest after one of *last_s*, 0 when calls worked since: 30 s, 60 s … 300 s."""
    return min(LONGEST_REST_S, max(FIRST_REST_S, 2 * last_s))


async def resume_due(connection: Connection, *, now: datetime) -> list[str]:
    """Let trunks whose rest is over take calls again; return their names."""
    rows = await connection.fetch(
        "UPDATE trunk SET suspended_until = NULL, suspended_reason = NULL, resumed_at = $1"
        " WHERE suspended_until <= $1 RETURNING name",
        now,
    )
    return [row["name"] for row in rows]
