"""How many calls to start now: the mode's own rule, then the guard, then the caps.

`decide` is a function of its argument: production, the simulator and the replay of a stored
decision call it with the same `Snapshot` and get the same `Decision`. Its `bound` names the limit
that decided; at a tie the rule in force is named, not the cap that happens to equal it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from pacing.census import Census, take_census, whole
from pacing.guard import Restraint, WindowStanding, restraint, stand
from pacing.types import Bound, Decision, Mode, Snapshot

Evidence = dict[str, float | int | str | None | list[float]]


@dataclass(frozen=True, slots=True)
class Limit:
    """One upper bound on the calls to start now."""

    bound: Bound
    calls: int


def decide(snapshot: Snapshot) -> Decision:
    """Return how many calls to start now, which limit decided it, and the numbers behind it."""
    census = take_census(snapshot)
    standings = tuple(stand(window) for window in snapshot.windows)
    evidence = _circumstances(snapshot, census, standings)
    if not census.anyone:
        return Decision(0, Bound.NO_AGENTS, evidence)
    ruling = _rule(snapshot, census, standings, evidence)
    caps = _caps(snapshot, census)
    evidence |= {f"cap_{cap.bound.value}": cap.calls for cap in caps}
    # min() keeps the first of equals: the rule in force before the caps.
    deciding = min((ruling, *caps), key=lambda limit: limit.calls)
    return Decision(max(0, deciding.calls), deciding.bound, evidence)


def _rule(
    snapshot: Snapshot,
    census: Census,
    standings: tuple[WindowStanding, ...],
    evidence: Evidence,
) -> Limit:
    """Return what mode and guard together allow, before the caps."""
    match snapshot.policy.mode:
        case Mode.PREVIEW:
            return Limit(Bound.AGENTS, 0)
        case Mode.PROGRESSIVE:
            return Limit(Bound.AGENTS, census.one_to_one)
        case Mode.POWER:
            spare = max(0.0, census.ready - census.waiting)
            wanted = Limit(Bound.RATIO, whole(snapshot.policy.ratio * spare) - census.pending)
        case Mode.PREDICTIVE:
            wanted = Limit(Bound.LOSS_THRESHOLD, census.one_to_one)
        case mode:
            assert_never(mode)
    return _guarded(wanted, restraint(snapshot, standings), census, standings, evidence)


def _guarded(
    wanted: Limit,
    held_back: Restraint | None,
    census: Census,
    standings: tuple[WindowStanding, ...],
    evidence: Evidence,
) -> Limit:
    """Lower *wanted* to what the guard allows; never raise it."""
    evidence["wanted"] = wanted.calls
    if held_back is not None:
        evidence["guard"] = held_back.reason
        return Limit(held_back.bound, min(wanted.calls, census.one_to_one))
    room = min(standing.headroom for standing in standings)
    spare = whole(census.ready) - census.waiting - census.pending
    allowed = max(census.one_to_one, room + spare)
    evidence["cap_guard"] = allowed
    return wanted if wanted.calls <= allowed else Limit(Bound.GUARD, allowed)


def _caps(snapshot: Snapshot, census: Census) -> tuple[Limit, ...]:
    """Return the caps that no rule may exceed."""
    lines = whole(snapshot.policy.max_lines_per_agent * census.enrolled)
    channels = sum(max(0, trunk.channels) for trunk in snapshot.trunks)
    startable = sum(max(0, min(trunk.channels, trunk.calls_now)) for trunk in snapshot.trunks)
    return (
        Limit(Bound.LINES_PER_AGENT, max(0, lines - census.in_flight)),
        Limit(Bound.TRUNK_ROOM, channels),
        Limit(Bound.CALLS_PER_SECOND, startable),
        Limit(Bound.LIST, max(0, snapshot.callable_leads)),
    )


def _circumstances(
    snapshot: Snapshot, census: Census, standings: tuple[WindowStanding, ...]
) -> Evidence:
    """Return the evidence every decision carries."""
    return {
        "mode": snapshot.policy.mode.value,
        "agents": census.enrolled,
        "ready": census.ready,
        "pending": census.pending,
        "waiting": census.waiting,
        "windows": "; ".join(str(standing) for standing in standings),
        "window_names": ", ".join(standing.window.name for standing in standings),
        "window_answered": [standing.window.answered for standing in standings],
        "window_abandoned": [standing.window.abandoned for standing in standings],
        "window_headroom": [standing.headroom for standing in standings],
        "held": ", ".join(standing.window.name for standing in standings if standing.held),
    }
