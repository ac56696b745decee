"""One simulated day, driven event by event by the very `decide` that production calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush

from numpy.random import Generator

from pacing.estimators import Learner, RingEnd
from pacing.pacer import decide
from pacing.simulation.scenario import Scenario
from pacing.types import (
    AgentStage,
    AgentView,
    Bound,
    Decision,
    PendingCall,
    Policy,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
)

Pacer = Callable[[Snapshot], Decision]


@dataclass(frozen=True, slots=True)
class DayResult:
    """What a day came to; times in seconds, `occupancy` and `abandonment` as shares."""

    dialed: int
    answered: int
    abandoned: int
    busy_s: float
    logged_in_s: float
    most_in_flight: int
    bounds: dict[Bound, int]
    window: tuple[int, int]
    """(abandoned, answered) of the first window at the end of the day."""
    worst: tuple[int, int]
    """The same when its share was highest, from 200 answered on."""

    @property
    def occupancy(self) -> float:
        """Return talk and wrap-up time per logged-in time."""
        return self.busy_s / self.logged_in_s

    @property
    def abandonment(self) -> float:
        """Return abandoned per answered calls."""
        return self.abandoned / max(1, self.answered)


class _What(IntEnum):
    """Kinds of event; at the same instant the lower one happens first."""

    AGENT_FREE = 0
    WRAP_UP = 1
    RING_END = 2
    GIVE_UP = 3
    TICK = 4


@dataclass(slots=True)
class _Agent:
    stage: AgentStage = AgentStage.READY
    since_s: float = 0.0


@dataclass(slots=True)
class _Call:
    dialed_s: float
    live: bool
    theta: float
    answered_s: float = 0.0
    waiting: bool = False


@dataclass(slots=True)
class _World:
    """The state of the day; methods are its events."""

    scenario: Scenario
    policy: Policy
    rng: Generator
    pacer: Pacer
    learner: Learner
    warm_up_s: float
    now: float = 0.0
    events: list[tuple[float, int, int, int]] = field(default_factory=list)
    agents: list[_Agent] = field(default_factory=list)
    idle: deque[int] = field(default_factory=deque)
    pending: dict[int, _Call] = field(default_factory=dict)
    queue: deque[tuple[int, _Call]] = field(default_factory=deque)
    held: frozenset[str] = frozenset()
    serial: int = 0
    answered: int = 0
    abandoned: int = 0
    counted: tuple[int, int, int] = (0, 0, 0)
    dialed: int = 0
    busy_s: float = 0.0
    most_in_flight: int = 0
    bounds: dict[Bound, int] = field(default_factory=dict)
    worst: tuple[int, int] = (0, 1)

    def push(self, at_s: float, what: _What, subject: int) -> None:
        self.serial += 1
        heappush(self.events, (at_s, what, self.serial, subject))

    def snapshot(self) -> Snapshot:
        now, plans = self.now, self.scenario.windows
        return Snapshot(
            at_s=now,
            agents=tuple(AgentView(agent.stage, now - agent.since_s) for agent in self.agents),
            pending=tuple(PendingCall(now - call.dialed_s) for call in self.pending.values()),
            waiting=tuple(WaitingCall(now - call.answered_s) for _, call in self.queue),
            trunks=(TrunkRoom("lab", 100_000, 100_000),),
            windows=tuple(
                WindowCount(
                    plan.name,
                    plan.answered + self.answered,
                    plan.abandoned + self.abandoned,
                    plan.limit_ppm,
                    plan.target_ppm,
                    None if plan.length_s is None else plan.length_s - now,
                    plan.name in self.held,
                )
                for plan in plans
            ),
            callable_leads=1_000_000,
            history=self.learner.history(),
            policy=self.policy,
            remaining_shift_s=self.scenario.day_s - now,
        )

    def tick(self) -> None:
        decision = self.pacer(self.snapshot())
        self.bounds[decision.bound] = self.bounds.get(decision.bound, 0) + 1
        self.held = frozenset(str(decision.evidence.get("held", "")).split(", "))
        theta = decision.evidence.get("theta_at_dial")
        theta = theta if isinstance(theta, float) else 0.0
        rate = self.scenario.answer_rate(self.now)
        for _ in range(decision.originate):
            live = bool(self.rng.random() < rate)
            ring = (self.scenario.ring_live if live else self.scenario.ring_other)(self.rng)
            self.dialed += 1
            self.pending[self.dialed] = _Call(self.now, live, theta)
            self.push(self.now + ring, _What.RING_END, self.dialed)
        if decision.originate:
            self.learner.observe_dialed(decision.originate, theta)
        self.most_in_flight = max(self.most_in_flight, len(self.pending))

    def ring_end(self, number: int) -> None:
        call = self.pending.pop(number)
        rang_s, in_flight = self.now - call.dialed_s, len(self.pending)
        if not call.live:
            self.learner.observe_end(RingEnd.NOT_LIVE, rang_s, in_flight=in_flight)
            return
        self.learner.observe_end(RingEnd.LIVE, rang_s, in_flight=in_flight)
        call.answered_s = self.now
        if self.idle:
            self.connect(self.idle.popleft(), call)
        else:
            call.waiting = True
            self.queue.append((number, call))
            self.push(self.now + self.scenario.patience_s, _What.GIVE_UP, number)

    def give_up(self, number: int) -> None:
        # People wait in order of their answer, so only the first can be the one giving up.
        if self.queue and self.queue[0][0] == number:
            _, call = self.queue.popleft()
            self.settle(call, abandoned=True)

    def settle(self, call: _Call, *, abandoned: bool) -> None:
        self.answered += 1
        self.abandoned += abandoned
        self.learner.observe_answered(abandoned=abandoned, theta_at_dial=call.theta)
        share = self.first_window()
        if share[1] >= 200 and share[0] * self.worst[1] > self.worst[0] * share[1]:
            self.worst = share

    def first_window(self) -> tuple[int, int]:
        plan = self.scenario.windows[0]
        return plan.abandoned + self.abandoned, plan.answered + self.answered

    def connect(self, index: int, call: _Call) -> None:
        self.settle(call, abandoned=False)
        agent = self.agents[index]
        agent.stage, agent.since_s = AgentStage.TALKING, self.now
        self.push(self.now + self.scenario.talk(self.rng), _What.WRAP_UP, index)

    def wrap_up(self, index: int) -> None:
        agent = self.agents[index]
        self.learner.observe_talk(self.now - agent.since_s)
        self.count_busy(agent)
        agent.stage, agent.since_s = AgentStage.WRAP_UP, self.now
        self.push(self.now + self.scenario.wrap_up(self.rng), _What.AGENT_FREE, index)

    def agent_free(self, index: int) -> None:
        agent = self.agents[index]
        self.learner.observe_wrap_up(self.now - agent.since_s)
        self.count_busy(agent)
        agent.stage, agent.since_s = AgentStage.READY, self.now
        if self.queue:
            self.connect(index, self.queue.popleft()[1])
        else:
            self.idle.append(index)

    def count_busy(self, agent: _Agent) -> None:
        self.busy_s += max(0.0, self.now - max(agent.since_s, self.warm_up_s))

    def start_counting(self) -> None:
        self.counted = (self.dialed, self.answered, self.abandoned)


def simulate_day(
    scenario: Scenario,
    policy: Policy,
    rng: Generator,
    *,
    pacer: Pacer = decide,
    tick_s: float = 0.5,
    warm_up_s: float = 0.0,
    learner: Learner | None = None,
) -> DayResult:
    """Return what one day of *scenario* comes to; the first *warm_up_s* are not counted."""
    world = _World(scenario, policy, rng, pacer, learner or Learner(), warm_up_s)
    world.agents = [_Agent() for _ in range(scenario.agents)]
    world.idle.extend(range(scenario.agents))
    happen = {
        _What.AGENT_FREE: world.agent_free,
        _What.WRAP_UP: world.wrap_up,
        _What.RING_END: world.ring_end,
        _What.GIVE_UP: world.give_up,
    }
    ticks = 0
    counting = False
    world.push(0.0, _What.TICK, 0)
    while world.events and world.events[0][0] < scenario.day_s:
        world.now, what, _, subject = heappop(world.events)
        if what == _What.TICK:
            if not counting and world.now >= warm_up_s:
                counting = True
                world.start_counting()
            world.tick()
            ticks += 1
            world.push(ticks * tick_s, _What.TICK, 0)
        else:
            happen[_What(what)](subject)
    world.now = scenario.day_s
    for agent in world.agents:
        if agent.stage is not AgentStage.READY:
            world.count_busy(agent)
    dialed, answered, abandoned = world.counted
    return DayResult(
        dialed=world.dialed - dialed,
        answered=world.answered - answered,
        abandoned=world.abandoned - abandoned,
        busy_s=world.busy_s,
        logged_in_s=scenario.agents * (scenario.day_s - warm_up_s),
        most_in_flight=world.most_in_flight,
        bounds=world.bounds,
        window=world.first_window(),
        worst=world.worst,
    )
