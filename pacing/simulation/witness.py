"""The same floor through `decide` and `Learner` themselves, as production's engine uses them.

Slower than `driving.py` by the making of snapshots and evidence, and by nothing else. A test plays
the same day both ways and expects the same decisions; whoever wants to see the evidence of every
decision of a simulated day uses this.
"""

from __future__ import annotations

from collections.abc import Iterator

from pacing.durations import Floats
from pacing.estimators import Learner, RingEnd
from pacing.pacer import decide
from pacing.simulation import floor as books
from pacing.simulation.driving import TOKENS, person_probability, trunk_room
from pacing.simulation.floor import Floor
from pacing.simulation.pacers import PacerSpec
from pacing.simulation.scenario import Scenario
from pacing.supply import PAUSED, READY, TALKING, WRAP_UP
from pacing.types import (
    AgentStage,
    AgentView,
    Decision,
    PendingCall,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
)

_STAGES = {
    READY: AgentStage.READY,
    TALKING: AgentStage.TALKING,
    WRAP_UP: AgentStage.WRAP_UP,
    PAUSED: AgentStage.PAUSED,
}


def decisions(
    scenario: Scenario, spec: PacerSpec, floor: Floor, trunk: Floats
) -> Iterator[tuple[Snapshot, Decision]]:
    """Play a day on *floor* and yield every snapshot with what production decides on it."""
    learner = Learner()
    held: frozenset[str] = frozenset()
    tick = 0
    while tick * scenario.tick_s < scenario.day_s:
        books.advance(floor, tick * scenario.tick_s)
        feed(floor, learner)
        shown = snapshot(scenario, spec, floor, learner, held=held, room=trunk_room(trunk, floor))
        decision = decide(shown)
        held = frozenset(str(decision.evidence["held"]).split(", "))
        if decision.originate:
            theta = decision.evidence.get("theta_at_dial", 0.0)
            assert isinstance(theta, float)  # noqa: S101 - tells the type checker
            began = books.start_calls(floor, decision.originate, theta)
            trunk[TOKENS] -= began
            learner.observe_dialed(began, theta)
        yield shown, decision
        tick += 1


def feed(floor: Floor, learner: Learner) -> None:
    """Feed *learner* what happened on *floor* since it was last fed."""
    for kind, value, other, in_flight in floor.seen[: floor.counts[books.SEEN]].tolist():
        match int(kind):
            case books.SEEN_LIVE:
                learner.observe_end(RingEnd.LIVE, value, in_flight=int(in_flight))
            case books.SEEN_OTHER:
                learner.observe_end(RingEnd.NOT_LIVE, value, in_flight=int(in_flight))
            case books.SEEN_SETTLED:
                learner.observe_answered(abandoned=bool(value), theta_at_dial=other)
            case books.SEEN_TALK:
                learner.observe_talk(value)
            case _:
                learner.observe_wrap_up(value)
    floor.counts[books.SEEN] = 0


def snapshot(
    scenario: Scenario,
    spec: PacerSpec,
    floor: Floor,
    learner: Learner,
    *,
    held: frozenset[str],
    room: tuple[int, int],
) -> Snapshot:
    """Return *floor* as production would read it from its database; windows begin with the day."""
    now = float(floor.reals[books.NOW])
    counts = floor.counts
    pending = floor.lists[books.PENDING_CALLS, : counts[books.PENDING]]
    agents = zip(
        floor.agents[:, books.AGENT_STAGE].tolist(),
        (now - floor.agents[:, books.AGENT_SINCE]).tolist(),
        floor.agents[:, books.AGENT_ANNOUNCED].tolist(),
        strict=True,
    )
    return Snapshot(
        at_s=now,
        agents=tuple(
            AgentView(_STAGES[int(stage)], elapsed_s, leaving=announced != books.STAYS)
            for stage, elapsed_s, announced in agents
            if stage != books.OFFLINE
        ),
        pending=tuple(
            map(PendingCall, (now - floor.calls[pending, books.CALL_DIALED_AT]).tolist())
        ),
        waiting=tuple(_waiting(floor, now)),
        trunks=(TrunkRoom("trunk", *room),),
        windows=tuple(
            WindowCount(
                window.name,
                window.answered + int(counts[books.ANSWERED]),
                window.abandoned + int(counts[books.ABANDONED]),
                window.limit_ppm,
                window.target_ppm,
                None if window.length_s is None else max(0.0, window.length_s - now),
                window.name in held,
            )
            for window in scenario.windows
        ),
        callable_leads=books.callable_now(floor),
        history=learner.history(),
        policy=spec.policy(scenario),
        remaining_shift_s=scenario.day_s - now,
    )


def _waiting(floor: Floor, now: float) -> Iterator[WaitingCall]:
    likely = person_probability(floor)
    for slot in floor.lists[books.WAITING_CALLS, : floor.counts[books.WAITING]]:
        since_s = now - float(floor.calls[slot, books.CALL_ANSWERED_AT])
        is_screened = floor.calls[slot, books.CALL_SCREENED] > 0
        yield WaitingCall(since_s, likely if is_screened else 1.0)
