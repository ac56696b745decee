"""Records of calls: complete, sealed day by day, kept as long as the law asks and no longer.

What is asked of each record is 16 CFR 310.5(a)(2), in force since 15 October 2024; retention is the
longest of the profiles in use. The seals follow LOG-1: the digest of a day holds every record that
was closed in it, and the digest of the day before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.rules import profiles

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_FIRST = "0" * 64
_LONG_S = 3600.0
_BATCH = 5000
# A record may be written a little after its call; a day is sealed when nothing can come any more.
_SETTLED = timedelta(hours=1)

FIELDS: Mapping[str, tuple[str, str]] = {
    "telemarketer": ("310.5(a)(2)(i)", "coalesce(a.telemarketer, '') = ''"),
    "seller": ("310.5(a)(2)(ii)", "coalesce(a.seller, '') = ''"),
    "purpose": ("310.5(a)(2)(iii)", "coalesce(a.purpose, '') = ''"),
    "called_party": ("310.5(a)(2)(iv)", "coalesce(a.called_party, '') = ''"),
    "calling_number": ("310.5(a)(2)(vii)", "a.caller_id = ''"),
    "called_number": ("310.5(a)(2)(vii)", "a.dialed_number = ''"),
    "time": ("310.5(a)(2)(vii)", "a.dialing_at IS NULL"),
    "script_version": ("310.5(a)(2)(viii)", "coalesce(a.script_sha256, '') = ''"),
    "message_version": (
        "310.5(a)(2)(viii)",
        "a.message_started_at IS NOT NULL AND coalesce(a.announcement_sha256, '') = ''",
    ),
    "caller_id_proof": (
        "310.5(a)(2)(ix)",
        "coalesce(a.caller_authorisation, '') = '' AND coalesce(t.kind::text, 'real') = 'real'",
    ),
    "outcome": ("310.5(a)(2)(x)", "a.outcome IS NULL"),
    "disposition": ("310.5(a)(2)(x)", "a.joined_at IS NOT NULL AND a.disposition IS NULL"),
}
"""Each field a record must have: where the rule says so, and the condition that it is missing.

Whether it was outbound, whether a message was played and how long it lasted follow from columns
that cannot be empty. Calls on lab trunks reach nobody and need no proof of their caller id.
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """A field that is missing in some records of a day, with one of them as an example."""

    day: date
    field: str
    rule: str
    attempts: int
    example: UUID


@dataclass(frozen=True, slots=True)
class Seal:
    """A day's digest over its records and the seal before."""

    day: date
    attempts: int
    events: int
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class SealCheck:
    """What came of recomputing a seal; `kept` is false once retention has dropped its records."""

    seal: Seal
    kept: bool
    holds: bool


async def gaps(
    connection: Connection, *, since: datetime, until: datetime
) -> tuple[int, list[Gap]]:
    """Return how many dialed attempts there are in the period, and what is missing in them."""
    counts = ", ".join(
        f"count(*) FILTER (WHERE {missing}) AS {name}, "
        f"(array_agg(a.id) FILTER (WHERE {missing}))[1] AS {name}_example"
        for name, (_, missing) in FIELDS.items()
    )
    rows = await connection.fetch(
        f"""
        SELECT (a.claimed_at AT TIME ZONE 'UTC')::date AS day, count(*) AS records, {counts}
        FROM attempt a
        LEFT JOIN trunk t ON t.id = a.trunk_id
        WHERE a.claimed_at >= $1 AND a.claimed_at < $2 AND a.dialing_at IS NOT NULL
        GROUP BY 1
        ORDER BY 1
        """,  # noqa: S608 - names and conditions of the table above
        since,
        until,
        timeout=_LONG_S,
    )
    found = [
        Gap(row["day"], name, rule, row[name], row[f"{name}_example"])
        for row in rows
        for name, (rule, _) in FIELDS.items()
        if row[name]
    ]
    return sum(row["records"] for row in rows), found


async def note_gaps(connection: Connection, found: Sequence[Gap]) -> None:
    """Keep what the check found: the day of discovery begins the 30 days for mending it."""
    await connection.executemany(
        "INSERT INTO record_gap (day, field, attempts, example) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (day, field) DO UPDATE SET attempts = excluded.attempts",
        [(gap.day, gap.field, gap.attempts, gap.example) for gap in found],
    )


# Seals ------------------------------------------------------------------------------------------

# Named one by one: a column that is added later must not change the digest of earlier days.
_RECORDS = """
SELECT jsonb_build_array(
    a.id, a.campaign_id, a.lead_id, a.lead_number_id, a.dialed_number, a.region, a.mode, a.epoch,
    a.process_id, a.trunk_id, a.caller_id, a.timers, a.screening, a.reservation, a.agent_id,
    a.outcome, a.verdict, a.disposition, a.ended_by, a.sip_code, a.q850_cause, a.end_reason,
    a.claimed_at, a.dialing_at, a.ringing_at, a.answered_at, a.greeting_ended_at, a.verdict_at,
    a.reserved_at, a.joined_at, a.message_started_at, a.message_ended_at, a.ended_at, a.closed_at,
    a.charged, a.answered_by_person, a.abandoned, a.telemarketer, a.seller, a.purpose,
    a.called_party, a.script_sha256, a.announcement_sha256, a.caller_name, a.caller_authorisation,
    a.caller_authorised_until
)::text AS record
FROM attempt a
WHERE a.closed_at >= $1 AND a.closed_at < $2
ORDER BY a.closed_at, a.id
"""
_EVENTS = """
SELECT jsonb_build_array(
    e.id, e.attempt_id, e.kind, e.happened_at, e.recorded_at, e.process_id, e.detail
)::text AS record
FROM call_event e
WHERE e.recorded_at >= $1 AND e.recorded_at < $2
ORDER BY e.recorded_at, e.id
"""


async def seals(connection: Connection) -> list[Seal]:
    """Return every seal, oldest first."""
    rows = await connection.fetch(
        "SELECT day, attempts, events, previous, digest FROM record_seal ORDER BY day"
    )
    return [Seal(**dict(row)) for row in rows]


async def seal_days(connection: Connection, *, now: datetime) -> list[Seal]:
    """Seal every day that is over and not sealed yet; a day without records is sealed too."""
    async with connection.transaction():
        # Two engines doing this at once would both extend the chain from the same seal.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('record seal', 0))")
        known = await seals(connection)
        first = await connection.fetchval("SELECT min(closed_at) FROM attempt")
        if known:
            day = known[-1].day + timedelta(days=1)
        elif first is None:
            return []
        else:
            day = first.astimezone(UTC).date()
        made: list[Seal] = []
        previous = known[-1].digest if known else _FIRST
        while _span(day)[1] + _SETTLED <= now:
            seal = await _sealed(connection, day, previous)
            await connection.execute(
                "INSERT INTO record_seal (day, attempts, events, previous, digest)"
                " VALUES ($1, $2, $3, $4, $5)",
                seal.day,
                seal.attempts,
                seal.events,
                seal.previous,
                seal.digest,
            )
            made.append(seal)
            previous, day = seal.digest, day + timedelta(days=1)
        return made


async def verify(connection: Connection) -> list[SealCheck]:
    """Recompute every seal whose records are still kept, and the chain between all of them."""
    checks: list[SealCheck] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        before = _FIRST
        for seal in await seals(connection):
            kept = bool(
                await connection.fetchval(
                    "SELECT to_regclass($1) IS NOT NULL", f"attempt_{seal.day:%Y%m}"
                )
            )
            holds = seal.previous == before
            if kept:
                holds = holds and await _sealed(connection, seal.day, before) == seal
            checks.append(SealCheck(seal, kept, holds))
            before = seal.digest
    return checks


def _span(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


async def _sealed(connection: Connection, day: date, previous: str) -> Seal:
    # The records' times are written in the session's zone.
    await connection.execute("SET LOCAL timezone = 'UTC'")
    digest = hashlib.sha256(f"{previous} {day.isoformat()}\n".encode())
    counts = []
    for query in (_RECORDS, _EVENTS):
        count = 0
        cursor = connection.cursor(query, *_span(day), prefetch=_BATCH, timeout=_LONG_S)
        async for row in cursor:
            digest.update(row["record"].encode() + b"\n")
            count += 1
        counts.append(count)
    return Seal(day, counts[0], counts[1], previous, digest.hexdigest())


# Retention --------------------------------------------------------------------------------------


async def retention_years(connection: Connection) -> int:
    """Return how long records are kept: the longest that any profile in use asks for."""
    names = await connection.fetch("SELECT DISTINCT profile FROM campaign")
    years = []
    for row in names:
        try:
            years.append(profiles.get(row["profile"]).retention_years)
        except UserError:
            # A profile this version does not know could ask for anything.
            years.append(_MOST_YEARS)
    return max(_LEAST_YEARS, *years) if years else _MOST_YEARS


# What only a lab wants to forget is kept a year all the same: nobody misses it sooner.
_LEAST_YEARS = 1
_MOST_YEARS = 10


async def old_months(connection: Connection, *, now: datetime) -> list[str]:
    """Return the partitions in which every record is older than the retention."""
    years = await retention_years(connection)
    rows = await connection.fetch(
        "SELECT month FROM old_record_months($1::timestamptz - make_interval(years => $2))",
        now,
        years,
    )
    return [row["month"] for row in rows]


async def drop_old_months(connection: Connection, *, now: datetime) -> list[str]:
    """Drop those partitions; day seals and the ledger's hours stay, and with them the counts."""
    found = await old_months(connection, now=now)
    for name in found:
        await connection.execute(f"DROP TABLE {name}")
    return found


async def set_organisation(connection: Connection, name: str) -> None:
    """Say who makes the calls, for the records from now on."""
    if not name.strip():
        raise UserError("Name the organisation that makes the calls.")
    await connection.execute(
        "INSERT INTO organisation (name) VALUES ($1)"
        " ON CONFLICT (one_row) DO UPDATE SET name = excluded.name",
        name.strip(),
    )
