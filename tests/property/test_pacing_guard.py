"""The limit holds after every event, however unkind the order of events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacing import (
    AgentStage,
    AgentView,
    GuardMode,
    Mode,
    PendingCall,
    Policy,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
    decide,
    headroom,
)

OVER_EAGER = Policy(mode=Mode.POWER, ratio=50.0, max_lines_per_agent=60.0, guard=GuardMode.ABSOLUTE)


@dataclass
class Floor:
    """A call centre in which an adversary picks what happens next.

    The adversary may answer any call, keep agents talking, give up waiting; what no pacer can
    prevent, a ready agent vanishing, is not among its moves.
    """

    policy: Policy
    limit_ppm: int = 30_000
    ready: int = 3
    talking: int = 0
    pending: int = 0
    waiting: int = 0
    answered: int = 0
    abandoned: int = 0
    dialed: int = 0

    def window(self) -> WindowCount:
        """Return the count so far."""
        return WindowCount("w", self.answered, self.abandoned, self.limit_ppm, self.limit_ppm)

    def dial(self) -> None:
        """Let the pacer start what it wants."""
        view = Snapshot(
            at_s=0.0,
            agents=(
                *(AgentView(AgentStage.READY, 1.0),) * self.ready,
                *(AgentView(AgentStage.TALKING, 60.0),) * self.talking,
            ),
            pending=(PendingCall(5.0),) * self.pending,
            waiting=(WaitingCall(0.5),) * self.waiting,
            trunks=(TrunkRoom("t", 100_000, 100_000),),
            windows=(self.window(),),
            callable_leads=100_000,
            policy=self.policy,
        )
        calls = decide(view).originate
        self.pending += calls
        self.dialed += calls

    def person_answers(self) -> None:
        """Answer a pending call; it goes to a ready agent, or waits."""
        if self.pending:
            self.pending -= 1
            if self.ready:
                self.connect()
            else:
                self.waiting += 1

    def connect(self) -> None:
        """Give a person to a ready agent."""
        self.ready -= 1
        self.talking += 1
        self.answered += 1

    def call_fails(self) -> None:
        """Let a pending call ring out."""
        self.pending = max(0, self.pending - 1)

    def patience_ends(self) -> None:
        """Let a waiting person be abandoned."""
        if self.waiting:
            self.waiting -= 1
            self.answered += 1
            self.abandoned += 1

    def talk_ends(self) -> None:
        """Free an agent, who takes whoever waits."""
        if self.talking:
            self.talking -= 1
            self.ready += 1
            if self.waiting:
                self.waiting -= 1
                self.connect()

    def agent_logs_in(self) -> None:
        """Add a ready agent, who takes whoever waits."""
        self.ready += 1
        if self.waiting:
            self.waiting -= 1
            self.connect()


MOVES = (
    Floor.dial,
    Floor.person_answers,
    Floor.call_fails,
    Floor.patience_ends,
    Floor.talk_ends,
)


@pytest.mark.parametrize("mode", [Mode.POWER, Mode.PREDICTIVE])
@given(moves=st.lists(st.sampled_from(MOVES), max_size=80), head_start=st.integers(0, 400))
def test_limit_holds_after_every_event(mode: Mode, moves: list[object], head_start: int) -> None:
    """
    Under guard=absolute 100·A ≤ 3·H after every event, for any order of events.
    """
    floor = Floor(replace(OVER_EAGER, mode=mode), answered=head_start)
    for move in moves:
        assert callable(move)
        move(floor)
        assert 100 * floor.abandoned <= 3 * floor.answered


@pytest.mark.parametrize("limit_ppm", [20_000, 30_000, 50_000])
def test_limit_holds_through_thousands_of_hostile_events(limit_ppm: int) -> None:
    """
    The adversary answers everything and frees nobody for long; the limit holds all the same.
    """
    rng = np.random.default_rng(limit_ppm)
    floor = Floor(OVER_EAGER, limit_ppm=limit_ppm)
    for step in range(15_000):
        # Long stretches of pure hostility, then some work gets done.
        kind = (0.25, 0.5, 0.02, 0.2, 0.03) if step // 500 % 2 else (0.2, 0.3, 0.1, 0.1, 0.3)
        MOVES[int(rng.choice(len(MOVES), p=kind))](floor)
        if step % 3000 == 0:
            floor.agent_logs_in()
        assert 1_000_000 * floor.abandoned <= limit_ppm * floor.answered

    assert floor.abandoned > 0
    assert floor.answered > 1000


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 999_999))
def test_headroom_is_exactly_what_fits(answered: int, abandoned: int, limit_ppm: int) -> None:
    """
    So many more abandoned calls keep the limit, and one more than that breaks it.
    """
    room = headroom(WindowCount("w", answered, abandoned, limit_ppm, limit_ppm))

    def kept(more: int) -> bool:
        return 1_000_000 * (abandoned + more) <= limit_ppm * (answered + more)

    assert room == 0 or kept(room)
    assert not kept(room + 1)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_another_answered_call_never_lowers_the_headroom(answered: int, abandoned: int) -> None:
    """
    A person given to an agent makes room, an abandoned one takes exactly one place.
    """
    now = headroom(WindowCount("w", answered, abandoned, 30_000, 30_000))
    served = headroom(WindowCount("w", answered + 1, abandoned, 30_000, 30_000))
    lost = headroom(WindowCount("w", answered + 1, abandoned + 1, 30_000, 30_000))

    assert served >= now
    assert lost == max(0, now - 1)
