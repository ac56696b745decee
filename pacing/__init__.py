"""Pacing: numbers in, numbers out. See `docs/explanation/pacing.md` for the reasoning."""

from __future__ import annotations

from pacing.estimators import AttemptRecord, Learner, LearnerStateError, RingEnd
from pacing.guard import headroom
from pacing.pacer import decide
from pacing.types import (
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

__all__ = [
    "AgentStage",
    "AgentView",
    "AttemptRecord",
    "Bound",
    "Decision",
    "GuardMode",
    "Histogram",
    "History",
    "Learner",
    "LearnerStateError",
    "Mode",
    "PendingCall",
    "Policy",
    "RingEnd",
    "Snapshot",
    "TrunkRoom",
    "WaitingCall",
    "WindowCount",
    "decide",
    "headroom",
]
