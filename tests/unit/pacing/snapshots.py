"""Snapshots for the pacing tests, told in a few words."""

from __future__ import annotations

from pacing import (
    AgentStage,
    AgentView,
    GuardMode,
    History,
    Mode,
    PendingCall,
    Policy,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
)

ROOMY = (TrunkRoom("lab", channels=1000, calls_now=1000),)
SAFE = WindowCount("legal", 20_000, 300, limit_ppm=30_000, target_ppm=28_500)
"""A window with room for 309 more abandoned calls."""


def window(answered: int, abandoned: int, *, held: bool = False) -> WindowCount:
    """Return a 3 % window with a target of 2.85 %."""
    return WindowCount("day", answered, abandoned, 30_000, 28_500, 3600.0, held)


def agents(
    ready: int = 0, talking: int = 0, wrapping: int = 0, *, elapsed_s: float = 30.0
) -> tuple[AgentView, ...]:
    """Return agents by stage."""
    return (
        *(AgentView(AgentStage.READY, elapsed_s) for _ in range(ready)),
        *(AgentView(AgentStage.TALKING, elapsed_s) for _ in range(talking)),
        *(AgentView(AgentStage.WRAP_UP, elapsed_s) for _ in range(wrapping)),
    )


def snapshot(
    mode: Mode,
    staff: tuple[AgentView, ...],
    *,
    pending: int = 0,
    waiting: int = 0,
    windows: tuple[WindowCount, ...] = (SAFE,),
    trunks: tuple[TrunkRoom, ...] = ROOMY,
    leads: int = 1000,
    ratio: float = 1.0,
    lines: float = 8.0,
    guard: GuardMode = GuardMode.PREDICTIVE,
    history: History | None = None,
    age_s: float = 0.0,
    skew_s: float = 0.0,
    forbidden: str | None = None,
) -> Snapshot:
    """Return a snapshot in which nothing limits the mode but what the test names."""
    return Snapshot(
        at_s=0.0,
        agents=staff,
        pending=tuple(PendingCall(3.0) for _ in range(pending)),
        waiting=tuple(WaitingCall(0.2) for _ in range(waiting)),
        trunks=trunks,
        windows=windows,
        callable_leads=leads,
        history=history or History(live=60.0, not_live=140.0),
        policy=Policy(mode=mode, ratio=ratio, max_lines_per_agent=lines, guard=guard),
        over_dialing_forbidden=forbidden,
        age_s=age_s,
        clock_skew_s=skew_s,
    )
