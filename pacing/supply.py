"""When agents will be free, given what each is doing and for how long.

A talking agent is free once talk and wrap-up are over, a wrapping-up agent once the wrap-up is:

    talk:     g(tau) = sum over u of [f_T(e + u) / S_T(e)] * F_W(tau - u)
    wrap-up:  g(tau) = [F_W(e + tau) - F_W(e)] / S_W(e)

A reserved agent is about to talk. Paused agents and those leaving never come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pacing.census import takes_calls
from pacing.durations import Duration, DurationLaw, Floats, learn
from pacing.types import AgentStage, Snapshot

_STEPS = 24
_NEVER = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """`ready_now` whole agents, and each other agent's chance per moment: (moments, agents)."""

    ready_now: int
    chances: Floats
    talk: DurationLaw
    wrap_up: DurationLaw


def foresee(snapshot: Snapshot, ahead_s: Floats) -> Supply:
    """Return who is free now and who may be free within each of *ahead_s* seconds (ascending)."""
    history, timeout = snapshot.history, snapshot.policy.ring_timeout_s
    # Every agent at it is exposure, also one who is about to leave.
    talking = _elapsed(snapshot, AgentStage.TALKING)
    wrapping = _elapsed(snapshot, AgentStage.WRAP_UP)
    talk = learn(
        Duration.TALK,
        history.talk,
        running_s=talking,
        weights=np.ones_like(talking),
        ring_timeout_s=timeout,
    )
    wrap_up = learn(
        Duration.WRAP_UP,
        history.wrap_up,
        running_s=wrapping,
        weights=np.ones_like(wrapping),
        ring_timeout_s=timeout,
    )
    ready = 0
    partly: list[float] = []
    talk_s: list[float] = []
    talk_share: list[float] = []
    wrap_s: list[float] = []
    wrap_share: list[float] = []
    for agent in snapshot.agents:
        if not takes_calls(agent):
            continue
        if agent.stage is AgentStage.READY:
            if agent.share >= 1.0:
                ready += 1
            else:
                partly.append(agent.share)
        elif agent.stage is AgentStage.WRAP_UP:
            wrap_s.append(agent.elapsed_s)
            wrap_share.append(agent.share)
        else:
            talk_s.append(agent.elapsed_s if agent.stage is AgentStage.TALKING else 0.0)
            talk_share.append(agent.share)
    chances = np.concatenate(
        (
            np.tile(np.array(partly), (ahead_s.size, 1)),
            _free_after_talk(talk, wrap_up, np.array(talk_s), ahead_s) * np.array(talk_share),
            _free_after_wrap_up(wrap_up, np.array(wrap_s), ahead_s) * np.array(wrap_share),
        ),
        axis=1,
    )
    return Supply(ready, chances, talk, wrap_up)


def _elapsed(snapshot: Snapshot, stage: AgentStage) -> Floats:
    return np.array([agent.elapsed_s for agent in snapshot.agents if agent.stage is stage])


def _free_after_wrap_up(wrap_up: DurationLaw, elapsed_s: Floats, ahead_s: Floats) -> Floats:
    alive = np.maximum(wrap_up.survival(elapsed_s), _NEVER)
    return 1.0 - wrap_up.survival(elapsed_s[None, :] + ahead_s[:, None]) / alive[None, :]


def _free_after_talk(
    talk: DurationLaw, wrap_up: DurationLaw, elapsed_s: Floats, ahead_s: Floats
) -> Floats:
    grid = np.linspace(0.0, float(ahead_s[-1]), _STEPS + 1)
    middle = (grid[:-1] + grid[1:]) / 2
    alive = talk.survival(elapsed_s[:, None] + grid[None, :])
    ending = (alive[:, :-1] - alive[:, 1:]) / np.maximum(alive[:, :1], _NEVER)
    wrapped = wrap_up.ended(np.maximum(ahead_s[:, None] - middle[None, :], 0.0))
    return wrapped @ ending.T
