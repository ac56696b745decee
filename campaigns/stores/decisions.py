"""Decisions kept with all they were made from, so that "why 7 lines then?" has an answer."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pacing
from campaigns.model import new_id
from pacing import (
    AgentStage,
    AgentView,
    Bound,
    Decision,
    GuardMode,
    Histogram,
    History,
    Mode,
    PendingCall,
    Policy,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
)

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_VERSION = 1
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it was made; `claimed` is how many calls really started."""

    id: UUID
    campaign_id: UUID
    epoch: int
    decided_at: datetime
    originate: int
    claimed: int
    bound: Bound
    evidence: Mapping[str, Any]
    packed: bytes

    @property
    def snapshot(self) -> Snapshot:
        """Return what the decision was made from."""
        return unpack(self.packed)

    def replay(self) -> Decision:
        """Decide again from the stored snapshot."""
        return pacing.decide(self.snapshot)


async def store(
    connection: Connection,
    *,
    campaign_id: UUID,
    epoch: int,
    at: datetime,
    snapshot: Snapshot,
    decision: Decision,
    claimed: int,
    extra: Mapping[str, Any] | None = None,
) -> UUID:
    """Keep a decision; *extra* evidence of the engine's goes beside the pacer's."""
    decision_id = new_id()
    await connection.execute(
        "INSERT INTO decision (id, campaign_id, epoch, decided_at, originate, claimed, bound,"
        " evidence, snapshot)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        decision_id,
        campaign_id,
        epoch,
        at,
        decision.originate,
        claimed,
        decision.bound,
        {**decision.evidence, **(extra or {})},
        pack(snapshot),
    )
    return decision_id


async def latest(connection: Connection, campaign_id: UUID) -> StoredDecision | None:
    """Return the newest decision about a campaign, None if there is none."""
    found = await since(connection, campaign_id, limit=1)
    return found[0] if found else None


async def since(
    connection: Connection,
    campaign_id: UUID,
    *,
    start: datetime | None = None,
    limit: int = 1000,
) -> list[StoredDecision]:
    """Return the decisions about a campaign since *start*, newest first."""
    rows = await connection.fetch(
        "SELECT id, campaign_id, epoch, decided_at, originate, claimed, bound, evidence, snapshot"
        " FROM decision"
        " WHERE campaign_id = $1 AND ($2::timestamptz IS NULL OR decided_at >= $2)"
        " ORDER BY decided_at DESC LIMIT $3",
        campaign_id,
        start,
        limit,
    )
    return [
        StoredDecision(
            id=row["id"],
            campaign_id=row["campaign_id"],
            epoch=row["epoch"],
            decided_at=row["decided_at"],
            originate=row["originate"],
            claimed=row["claimed"],
            bound=Bound(row["bound"]),
            evidence=row["evidence"],
            packed=row["snapshot"],
        )
        for row in rows
    ]


def pack(snapshot: Snapshot) -> bytes:
    """Return *snapshot* as bytes; floats survive exactly, so a replay decides the same."""
    body = json.dumps(
        {"version": _VERSION, "snapshot": dataclasses.asdict(snapshot)}, separators=(",", ":")
    )
    return zlib.compress(body.encode(), _LEVEL)


def unpack(packed: bytes) -> Snapshot:
    """Return the snapshot in *packed*; ValueError for another version's."""
    body = json.loads(zlib.decompress(packed))
    if body["version"] != _VERSION:
        raise ValueError(f"the snapshot has version {body['version']}, not {_VERSION}")
    given = body["snapshot"]
    return Snapshot(
        **{
            **given,
            "agents": tuple(
                AgentView(**{**agent, "stage": AgentStage(agent["stage"])})
                for agent in given["agents"]
            ),
            "pending": tuple(PendingCall(**call) for call in given["pending"]),
            "waiting": tuple(WaitingCall(**call) for call in given["waiting"]),
            "trunks": tuple(TrunkRoom(**trunk) for trunk in given["trunks"]),
            "windows": tuple(WindowCount(**window) for window in given["windows"]),
            "history": _history(given["history"]),
            "policy": Policy(
                **{
                    **given["policy"],
                    "mode": Mode(given["policy"]["mode"]),
                    "guard": GuardMode(given["policy"]["guard"]),
                }
            ),
        }
    )


def _history(given: dict[str, Any]) -> History:
    histograms = {
        name: None
        if given[name] is None
        else Histogram(
            given[name]["width_s"], tuple(given[name]["events"]), tuple(given[name]["exposed"])
        )
        for name in ("ring_live", "ring_other", "talk", "wrap_up")
    }
    return History(**{**given, **histograms})
