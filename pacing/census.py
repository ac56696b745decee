"""Who is there and what is under way, counted once for every rule.

Waiting calls take ready agents first, then pending calls do: what is left is what one call per
agent may still use. An agent who is leaving or paused is no supply at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite

from pacing.types import AgentStage, AgentView, Snapshot

_ROUNDING = 1e-9  # three thirds of an agent are one agent


@dataclass(frozen=True, slots=True)
class Census:
    """The head count of one snapshot.

    `ready` and `enrolled` are sums of agent shares; `pending` and `waiting` count the calls that
    still need an agent, `in_flight` all calls nobody has joined yet.
    """

    anyone: bool
    enrolled: float
    ready: float
    pending: int
    waiting: int
    in_flight: int

    @property
    def one_to_one(self) -> int:
        """Return how many calls may start so that each finds a ready agent kept for it."""
        return max(0, whole(self.ready) - self.waiting - self.pending)


def take_census(snapshot: Snapshot) -> Census:
    """Count the agents and calls of *snapshot*."""
    staying = [agent for agent in snapshot.agents if takes_calls(agent)]
    return Census(
        anyone=bool(staying),
        enrolled=sum(agent.share for agent in staying),
        ready=sum(agent.share for agent in staying if agent.stage is AgentStage.READY),
        pending=sum(not call.has_agent for call in snapshot.pending),
        waiting=sum(not call.has_agent for call in snapshot.waiting),
        in_flight=len(snapshot.pending) + len(snapshot.waiting),
    )


def takes_calls(agent: AgentView) -> bool:
    """Return whether *agent* will take another call, now or after the present one."""
    return agent.stage is not AgentStage.PAUSED and not agent.leaving


def whole(amount: float) -> int:
    """Return *amount* rounded down to whole calls; nothing finite, nothing allowed."""
    return floor(amount + _ROUNDING) if isfinite(amount) else 0
