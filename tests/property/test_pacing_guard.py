"""The limit holds after every event, however unkind the order of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

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
from pacing.guard import Windows
from pacing.kernel import Census, Outlook, allowance
from pacing.reading import read_settings

NO_OUTLOOK = cast("Outlook", None)
"""guard=absolute looks at counts alone; an outlook would fail loudly if it looked at one."""
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


def test_limit_holds_through_a_million_hostile_events() -> None:
    """
    The adversary answers everything and frees nobody for long; 100·A ≤ 3·H all the same.

    A million events ask the guard itself, the function `decide` asks: a snapshot for each would
    take minutes. Whatever is wanted is granted up to what the guard allows.
    """
    rng = np.random.default_rng(3)
    counts = np.array([[0, 0, 30_000, 30_000]])
    windows = Windows(counts, np.array([np.inf]), np.zeros(1, dtype=np.bool_))
    settings = read_settings(Snapshot(at_s=0.0, policy=OVER_EAGER), None)
    ready, talking, pending, waiting, answered, abandoned, dialed = 5, 0, 0, 0, 0, 0, 0
    kinds = (  # dial, answer, fail, lose patience, talk ends: long stretches of pure hostility
        rng.choice(5, 500_000, p=(0.2, 0.3, 0.1, 0.1, 0.3)).tolist(),
        rng.choice(5, 500_000, p=(0.25, 0.5, 0.02, 0.2, 0.03)).tolist(),
    )
    for step in range(1_000_000):
        match kinds[step // 500 % 2][step // 1000 * 500 + step % 500]:
            case 0:
                one_to_one = max(0, ready - waiting - pending)
                census = Census(ready + talking, ready, pending, waiting, one_to_one)
                counts[0, 0], counts[0, 1] = answered, abandoned
                wanted = 40
                allowed, bound = allowance(settings, census, windows, NO_OUTLOOK, wanted, wanted)
                calls = wanted if bound < 0 else min(wanted, allowed)
                pending, dialed = pending + calls, dialed + calls
            case 1 if pending:
                pending -= 1
                if ready:
                    ready, talking, answered = ready - 1, talking + 1, answered + 1
                else:
                    waiting += 1
            case 2 if pending:
                pending -= 1
            case 3 if waiting:
                waiting, answered, abandoned = waiting - 1, answered + 1, abandoned + 1
                assert 100 * abandoned <= 3 * answered, f"after {step} events"
            case 4 if talking:
                if waiting:
                    waiting, answered = waiting - 1, answered + 1
                else:
                    talking, ready = talking - 1, ready + 1

    assert dialed > 100_000
    assert abandoned > 1000


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
