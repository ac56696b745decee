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
    ready = 0
    partly: list[float] = []
    talkers: list[tuple[float, float]] = []
    wrappers: list[tuple[float, float]] = []
    talking_s: list[float] = []  # exposure of the laws: also those who are about to leave
    wrapping_s: list[float] = []
    for agent in snapshot.agents:
        stage, elapsed_s = agent.stage, agent.elapsed_s
        share = agent.share if takes_calls(agent) else 0.0
        if stage is AgentStage.READY:
            if share >= 1.0:
                ready += 1
            elif share:
                partly.append(share)
        elif stage is AgentStage.WRAP_UP:
            wrapping_s.append(elapsed_s)
            if share:
                wrappers.append((elapsed_s, share))
        elif stage is AgentStage.TALKING:
            talking_s.append(elapsed_s)
            if share:
                talkers.append((elapsed_s, share))
        elif stage is AgentStage.RESERVED and share:
            talkers.append((0.0, share))

    history, timeout = snapshot.history, snapshot.policy.ring_timeout_s
    talk, wrap_up = (
        learn(
            duration,
            histogram,
            running_s=np.array(running_s),
            weights=np.ones(len(running_s)),
            ring_timeout_s=timeout,
        )
        for duration, histogram, running_s in (
            (Duration.TALK, history.talk, talking_s),
            (Duration.WRAP_UP, history.wrap_up, wrapping_s),
        )
    )
    talker, wrapper = np.array(talkers).reshape(-1, 2), np.array(wrappers).reshape(-1, 2)
    chances = np.concatenate(
        (
            np.tile(np.array(partly), (ahead_s.size, 1)),
            _free_after_talk(talk, wrap_up, talker[:, 0], ahead_s) * talker[:, 1],
            _free_after_wrap_up(wrap_up, wrapper[:, 0], ahead_s) * wrapper[:, 1],
        ),
        axis=1,
    )
    return Supply(ready, chances, talk, wrap_up)


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
