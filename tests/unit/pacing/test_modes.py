"""What each mode starts when nothing else limits it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pacing import AgentStage, AgentView, Bound, Mode, PendingCall, WaitingCall, decide
from tests.unit.pacing.snapshots import agents, snapshot

OVER_DIALING = (Mode.POWER, Mode.PREDICTIVE)


def test_preview_starts_nothing() -> None:
    """
    In preview the agents start the calls themselves, the pacer none.
    """
    decision = decide(snapshot(Mode.PREVIEW, agents(ready=5)))

    assert 0 == decision.originate
    assert Bound.AGENTS is decision.bound


def test_progressive_one_call_per_ready_agent() -> None:
    """
    Progressive starts one call per ready agent, busy agents count for nothing.
    """
    decision = decide(snapshot(Mode.PROGRESSIVE, agents(ready=4, talking=3, wrapping=2)))

    assert 4 == decision.originate
    assert Bound.AGENTS is decision.bound


def test_progressive_net_of_calls_under_way() -> None:
    """
    A pending call and a waiting one each use up one ready agent.
    """
    decision = decide(snapshot(Mode.PROGRESSIVE, agents(ready=5), pending=2, waiting=1))

    assert 2 == decision.originate


def test_progressive_with_more_calls_than_agents() -> None:
    """
    Too many calls under way make the answer zero, never negative.
    """
    decision = decide(snapshot(Mode.PROGRESSIVE, agents(ready=1), pending=9))

    assert 0 == decision.originate


def test_call_with_an_agent_reserved_uses_no_other() -> None:
    """
    A call that already has its agent leaves the ready ones to others.
    """
    staff = (*agents(ready=3), AgentView(AgentStage.RESERVED, 1.0))
    view = replace(
        snapshot(Mode.PROGRESSIVE, staff),
        pending=(PendingCall(3.0, has_agent=True),),
        waiting=(WaitingCall(0.1, has_agent=True),),
    )

    assert 3 == decide(view).originate


def test_power_fixed_ratio_of_ready_agents() -> None:
    """
    Power keeps ratio × ready agents in flight, waiting calls taking agents first.
    """
    decision = decide(snapshot(Mode.POWER, agents(ready=5, talking=5), waiting=1, ratio=2.5))

    assert 10 == decision.originate
    assert Bound.RATIO is decision.bound


def test_power_counts_calls_already_pending() -> None:
    """
    Power starts only what is missing to its ratio.
    """
    decision = decide(snapshot(Mode.POWER, agents(ready=4, talking=5), pending=7, ratio=2.0))

    assert 1 == decision.originate


def test_predictive_dials_ahead_with_nobody_ready() -> None:
    """
    With every agent busy but some soon free, predictive starts calls all the same.
    """
    decision = decide(snapshot(Mode.PREDICTIVE, agents(talking=20, wrapping=20)))

    assert decision.originate > 0
    assert Bound.LOSS_THRESHOLD is decision.bound


def test_predictive_starts_at_least_as_many_as_progressive() -> None:
    """
    Where an agent is ready for each call, no call is at risk, so predictive starts it too.
    """
    decision = decide(snapshot(Mode.PREDICTIVE, agents(ready=6, talking=2), pending=2))

    assert decision.originate >= 4


@pytest.mark.parametrize("mode", Mode)
def test_nobody_logged_in(mode: Mode) -> None:
    """
    Without agents no mode starts a call, and the reason is that there is nobody.
    """
    decision = decide(snapshot(mode, ()))

    assert 0 == decision.originate
    assert Bound.NO_AGENTS is decision.bound


@pytest.mark.parametrize("mode", Mode)
def test_everybody_paused_or_leaving(mode: Mode) -> None:
    """
    Paused agents and those on their last call are nobody to call for.
    """
    staff = (
        AgentView(AgentStage.PAUSED, 10.0),
        AgentView(AgentStage.TALKING, 10.0, leaving=True),
        AgentView(AgentStage.READY, 10.0, leaving=True),
    )
    decision = decide(snapshot(mode, staff))

    assert 0 == decision.originate
    assert Bound.NO_AGENTS is decision.bound


def test_leaving_agent_takes_no_new_call() -> None:
    """
    A ready agent about to leave gets no call started for them.
    """
    staff = (*agents(ready=2), AgentView(AgentStage.READY, 1.0, leaving=True))

    assert 2 == decide(snapshot(Mode.PROGRESSIVE, staff)).originate


def test_leaving_agents_bring_no_calls_forward() -> None:
    """
    Predictive dials ahead for agents who stay, not for those who leave after this call.
    """
    staying = agents(talking=20, wrapping=20)
    leaving = tuple(AgentView(a.stage, a.elapsed_s, leaving=True) for a in staying)
    one_more = agents(talking=1)

    assert decide(snapshot(Mode.PREDICTIVE, staying + one_more)).originate > 0
    assert 0 == decide(snapshot(Mode.PREDICTIVE, leaving + one_more)).originate


def test_shared_agents_are_counted_once() -> None:
    """
    Two campaigns that share two ready agents start two calls between them, not four.
    """
    halves = (AgentView(AgentStage.READY, 5.0, share=0.5),) * 2
    calls = [decide(snapshot(Mode.PROGRESSIVE, halves)).originate for _ in range(2)]

    assert 2 == sum(calls)


def test_thirds_of_agents_add_up_to_whole_ones() -> None:
    """
    Three thirds of an agent are one agent, whatever floats say.
    """
    thirds = (AgentView(AgentStage.READY, 5.0, share=1 / 3),) * 3

    assert 1 == decide(snapshot(Mode.PROGRESSIVE, thirds)).originate


@pytest.mark.parametrize("mode", OVER_DIALING)
def test_shared_agents_bring_fewer_calls_than_own_ones(mode: Mode) -> None:
    """
    An agent shared with another campaign is worth less than one's own.
    """
    own = agents(ready=6, wrapping=6)
    shared = tuple(AgentView(a.stage, a.elapsed_s, share=0.5) for a in own)
    ours, theirs = snapshot(mode, own, ratio=3.0), snapshot(mode, shared, ratio=3.0)

    assert decide(theirs).originate < decide(ours).originate
