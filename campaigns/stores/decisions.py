"""Decisions kept with all they were made from, so that "why 7 lines then?" has an answer.

Every decision is kept. One that starts calls, or starts none for a new reason, is a row of its own;
those that only repeat it ride packed on the next row (`Quiet`), where they take a few hundred bytes
each instead of kilobytes: what was learned hardly changes between two of them.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from math import isclose
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

import pacing
from campaigns.model import new_id
from pacing import Bound, Decision, Snapshot

if TYPE_CHECKING:
    import asyncpg

    from campaigns.stores.database import Connection

# How long a quiet decision may wait for the row that carries it.
QUIET_FOR = timedelta(seconds=30)
_VERSION = 1
_LEVEL = 6
# Another processor may add in another order; the calls to start may not differ at all.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Quiet:
    """A decision that started nothing and said nothing new, on its way to the next stored row."""

    at: datetime
    snapshot: Snapshot
    decision: Decision


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it was made; `claimed` is how many calls really started.

    `given` is the snapshot as it was written, `rule` the fingerprint of the pacing rule that made
    the decision, empty when that was not noted.
    """

    id: UUID
    campaign_id: UUID
    epoch: int
    decided_at: datetime
    originate: int
    claimed: int
    bound: Bound
    evidence: Mapping[str, Any]
    given: Any
    rule: str = ""

    @property
    def snapshot(self) -> Snapshot:
        """Return what the decision was made from; ValueError if this version cannot read it."""
        return _snapshot(self.given)

    def replay(self) -> Decision:
        """Decide again from the stored snapshot."""
        return pacing.decide(self.snapshot)

    def differences(self) -> list[str]:
        """Return what a replay says differently: keys of the answer and its evidence."""
        again = self.replay()
        found = []
        if again.originate != self.originate:
            found.append("originate")
        if again.bound is not self.bound:
            found.append("bound")
        return found + [
            key
            for key, value in again.evidence.items()
            if key not in self.evidence or not _alike(value, self.evidence[key])
        ]


async def store(  # noqa: PLR0913 - the columns of one row
    connection: Connection,
    *,
    campaign_id: UUID,
    epoch: int,
    at: datetime,
    snapshot: Snapshot,
    decision: Decision,
    claimed: int,
    extra: Mapping[str, Any] | None = None,
    quiet: Sequence[Quiet] = (),
) -> UUID:
    """Keep a decision and the quiet ones before it; *extra* evidence of the engine's is added."""
    decision_id = new_id()
    await connection.execute(
        "INSERT INTO decision (id, campaign_id, epoch, decided_at, originate, claimed, bound,"
        " evidence, snapshot, quiet)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        decision_id,
        campaign_id,
        epoch,
        at,
        decision.originate,
        claimed,
        decision.bound,
        {**decision.evidence, **(extra or {})},
        pack(snapshot),
        _pack_quiet(quiet) if quiet else None,
    )
    return decision_id


_COLUMNS = "id, campaign_id, epoch, decided_at, originate, claimed, bound, evidence, snapshot"


async def latest(connection: Connection, campaign_id: UUID) -> StoredDecision | None:
    """Return the newest stored row about a campaign, None if there is none."""
    found = await since(connection, campaign_id, limit=1)
    return found[0] if found else None


async def since(
    connection: Connection,
    campaign_id: UUID,
    *,
    start: datetime | None = None,
    limit: int = 1000,
) -> list[StoredDecision]:
    """Return the stored rows about a campaign since *start*, newest first, without quiet ones."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM decision"  # noqa: S608 - own columns
        " WHERE campaign_id = $1 AND ($2::timestamptz IS NULL OR decided_at >= $2)"
        " ORDER BY decided_at DESC LIMIT $3",
        campaign_id,
        start,
        limit,
    )
    return [_stored(row) for row in rows]


async def nearest_before(
    connection: Connection, campaign_id: UUID, at: datetime
) -> StoredDecision | None:
    """Return the newest decision made at *at* or before, quiet ones included; None without any."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM decision"  # noqa: S608 - own columns
        " WHERE campaign_id = $1 AND decided_at <= $2 ORDER BY decided_at DESC LIMIT 1",
        campaign_id,
        at,
    )
    carried = await connection.fetchrow(
        f"SELECT {_COLUMNS}, quiet FROM decision"  # noqa: S608 - own columns
        " WHERE campaign_id = $1 AND decided_at > $2 AND decided_at <= $3"
        " ORDER BY decided_at LIMIT 1",
        campaign_id,
        at,
        at + QUIET_FOR,
    )
    found = [] if row is None else [_stored(row)]
    if carried is not None:
        found += [one for one in _quiet_of(carried) if one.decided_at <= at]
    return max(found, key=lambda one: one.decided_at, default=None)


async def between(
    connection: Connection, campaign_id: UUID, start: datetime, end: datetime
) -> list[StoredDecision]:
    """Return every decision in [start, end], quiet ones included, oldest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS}, quiet FROM decision"  # noqa: S608 - own columns
        " WHERE campaign_id = $1 AND decided_at >= $2 AND decided_at <= $3"
        " ORDER BY decided_at",
        campaign_id,
        start,
        end + QUIET_FOR,
    )
    every = [one for row in rows for one in (*_quiet_of(row), _stored(row))]
    return [one for one in every if start <= one.decided_at <= end]


async def held(connection: Connection, campaign_id: UUID) -> frozenset[str]:
    """Return the windows the newest stored decision held at one to one."""
    names = await connection.fetchval(
        "SELECT evidence->>'held' FROM decision WHERE campaign_id = $1"
        " ORDER BY decided_at DESC LIMIT 1",
        campaign_id,
    )
    return frozenset(filter(None, (names or "").split(", ")))


@dataclass(frozen=True, slots=True)
class Kept:
    """From when to when decisions of a campaign are kept."""

    first: datetime
    last: datetime


async def kept(connection: Connection, campaign_id: UUID) -> Kept | None:
    """Return the span of the stored decisions, None when there are none."""
    row = await connection.fetchrow(
        "SELECT min(decided_at) AS first, max(decided_at) AS last FROM decision"
        " WHERE campaign_id = $1",
        campaign_id,
    )
    return None if row is None or row["first"] is None else Kept(row["first"], row["last"])


@cache
def rule_fingerprint() -> str:
    """Return what tells this version of the pacing rule from another: a hash of its sources."""
    digest = hashlib.sha256()
    for entry in sorted(resources.files("pacing").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py"):
            digest.update(entry.name.encode() + entry.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _snapshots() -> TypeAdapter[Snapshot]:
    return TypeAdapter(Snapshot)


def pack(snapshot: Snapshot) -> bytes:
    """Return *snapshot* as bytes; floats survive exactly, so a replay decides the same."""
    return _packed({"snapshot": _snapshots().dump_python(snapshot, mode="json")})


def unpack(packed: bytes) -> Snapshot:
    """Return the snapshot in *packed*; ValueError for one this version cannot read."""
    return _snapshot(_unpacked(packed)["snapshot"])


def _stored(row: asyncpg.Record) -> StoredDecision:
    try:
        body = _unpacked(row["snapshot"])
    except (ValueError, KeyError, zlib.error):
        # Of another version: what it says of itself is still worth showing.
        body = {"snapshot": None}
    return StoredDecision(
        id=row["id"],
        campaign_id=row["campaign_id"],
        epoch=row["epoch"],
        decided_at=row["decided_at"],
        originate=row["originate"],
        claimed=row["claimed"],
        bound=Bound(row["bound"]),
        evidence=row["evidence"],
        given=body["snapshot"],
        rule=body.get("rule", ""),
    )


def _pack_quiet(quiet: Sequence[Quiet]) -> bytes:
    """Pack quiet decisions; a history several of them share is written once."""
    histories: list[Any] = []
    index: dict[int, int] = {}
    entries = []
    for one in quiet:
        snapshot = _snapshots().dump_python(one.snapshot, mode="json")
        history = snapshot.pop("history")
        key = id(one.snapshot.history)
        if key not in index:
            index[key] = len(histories)
            histories.append(history)
        entries.append(
            {
                "at": one.at.isoformat(),
                "originate": one.decision.originate,
                "bound": one.decision.bound.value,
                "evidence": one.decision.evidence,
                "snapshot": snapshot,
                "history": index[key],
            }
        )
    return _packed({"histories": histories, "decisions": entries})


def _quiet_of(row: asyncpg.Record) -> list[StoredDecision]:
    if row["quiet"] is None:
        return []
    body = _unpacked(row["quiet"])
    return [
        StoredDecision(
            id=row["id"],
            campaign_id=row["campaign_id"],
            epoch=row["epoch"],
            decided_at=datetime.fromisoformat(entry["at"]),
            originate=entry["originate"],
            claimed=0,
            bound=Bound(entry["bound"]),
            evidence=entry["evidence"],
            given={**entry["snapshot"], "history": body["histories"][entry["history"]]},
            rule=body.get("rule", ""),
        )
        for entry in body["decisions"]
    ]


def _packed(body: dict[str, Any]) -> bytes:
    marked = {"version": _VERSION, "rule": rule_fingerprint(), **body}
    return zlib.compress(json.dumps(marked, separators=(",", ":")).encode(), _LEVEL)


def _unpacked(packed: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(zlib.decompress(packed))
    if body["version"] != _VERSION:
        raise ValueError(f"the snapshot has version {body['version']}, not {_VERSION}")
    return body


def _snapshot(given: Any) -> Snapshot:
    try:
        return _snapshots().validate_python(given)
    except ValidationError as error:
        raise ValueError(f"the snapshot cannot be read: {error.error_count()} wrong") from error


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isclose(one, other, rel_tol=_SAME, abs_tol=_SAME)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)
