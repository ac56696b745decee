"""What holds for every decision, whatever the campaign looks like."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pacing import (
    AgentStage,
    AgentView,
    Bound,
    GuardMode,
    History,
    Learner,
    Mode,
    PendingCall,
    Policy,
    RingEnd,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
    decide,
)

SECONDS = st.floats(0.0, 400.0)
AGENTS = st.builds(
    AgentView,
    stage=st.sampled_from(AgentStage),
    elapsed_s=SECONDS,
    leaving=st.sampled_from([False, False, False, True]),
    share=st.sampled_from([1.0, 1.0, 0.5, 1 / 3]),
)
PENDING = st.builds(
    PendingCall, elapsed_s=st.floats(0.0, 40.0), has_agent=st.sampled_from([False, False, True])
)
WAITING = st.builds(
    WaitingCall,
    elapsed_s=st.floats(0.0, 2.0),
    person_probability=st.floats(0.0, 1.0),
    has_agent=st.sampled_from([False, False, True]),
)
TRUNKS = st.builds(
    TrunkRoom, trunk=st.just("t"), channels=st.integers(0, 40), calls_now=st.integers(0, 40)
)
LIMITS_PPM = st.sampled_from([0, 20_000, 30_000, 50_000, 1_000_000])


@st.composite
def windows(draw: st.DrawFn) -> WindowCount:
    """Return a window anywhere between untouched and far over its limit."""
    answered = draw(st.one_of(st.integers(0, 200), st.integers(0, 50_000)))
    limit = draw(LIMITS_PPM)
    return WindowCount(
        "w",
        answered,
        draw(st.integers(0, answered)) // draw(st.sampled_from([1, 10, 40, 100])),
        limit,
        draw(st.integers(0, 100)) * limit // 100,
        draw(st.one_of(st.none(), st.floats(0.0, 3e6))),
        draw(st.booleans()),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return what some calls may have taught."""
    learner = Learner(answer_rate_prior=draw(st.sampled_from([None, 0.05, 0.9])))
    for live, ring_s in draw(st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=8)):
        end = RingEnd.LIVE if live else RingEnd.NOT_LIVE
        learner.observe_end(end, ring_s, in_flight=draw(st.integers(0, 50)))
    for talk_s in draw(st.lists(SECONDS, max_size=4)):
        learner.observe_talk(talk_s)
        learner.observe_wrap_up(talk_s / 7)
    many = draw(st.sampled_from([0, 0, 300]))
    history = learner.history()
    return replace(
        history,
        live=history.live + many * 0.3,
        not_live=history.not_live + many * 0.7,
        loss_rate=draw(st.sampled_from([None, 0.1, 0.5, 3.0])),
    )


POLICIES = st.builds(
    Policy,
    mode=st.sampled_from(Mode),
    ratio=st.floats(0.0, 12.0),
    max_lines_per_agent=st.floats(0.0, 9.0),
    guard=st.sampled_from(GuardMode),
)
SNAPSHOTS = st.builds(
    Snapshot,
    at_s=st.just(0.0),
    agents=st.lists(AGENTS, max_size=14).map(tuple),
    pending=st.lists(PENDING, max_size=20).map(tuple),
    waiting=st.lists(WAITING, max_size=3).map(tuple),
    trunks=st.lists(TRUNKS, max_size=3).map(tuple),
    windows=st.lists(windows(), max_size=3).map(tuple),
    callable_leads=st.integers(0, 60),
    history=histories(),
    policy=POLICIES,
    remaining_shift_s=st.one_of(st.none(), st.floats(0.0, 30_000.0)),
    over_dialing_forbidden=st.sampled_from([None, None, None, "law"]),
    age_s=st.sampled_from([0.0, 0.0, 0.0, 9.0]),
    clock_skew_s=st.sampled_from([0.0, 0.0, 0.0, -1.0]),
)


def ready_agents(view: Snapshot) -> float:
    """Return the ready agents who will take a call, shares added up."""
    return sum(
        agent.share
        for agent in view.agents
        if agent.stage is AgentStage.READY and not agent.leaving
    )


def spare_agents(view: Snapshot) -> int:
    """Return how many calls would find a ready agent kept for them; negative if too many."""
    pending = sum(not call.has_agent for call in view.pending)
    waiting = sum(not call.has_agent for call in view.waiting)
    return int(ready_agents(view) + 1e-6) - pending - waiting


@given(SNAPSHOTS)
def test_no_cap_is_ever_exceeded(view: Snapshot) -> None:
    """
    No decision exceeds list, channels, calls per second or lines per agent.
    """
    calls = decide(view).originate
    staying = [a for a in view.agents if a.stage is not AgentStage.PAUSED and not a.leaving]
    lines = view.policy.max_lines_per_agent * sum(agent.share for agent in staying)

    assert 0 <= calls <= view.callable_leads
    assert calls <= sum(trunk.channels for trunk in view.trunks)
    assert calls <= sum(min(trunk.channels, trunk.calls_now) for trunk in view.trunks)
    assert 0 == calls or calls + len(view.pending) + len(view.waiting) <= lines + 1e-6
    assert staying or 0 == calls


@given(SNAPSHOTS)
def test_exactly_one_bound_explains_the_answer(view: Snapshot) -> None:
    """
    The bound is a known one, the named cap equals the answer, and the evidence is JSON.
    """
    decision = decide(view)
    cap = decision.evidence.get(f"cap_{decision.bound.value}")

    assert decision.bound in Bound
    assert decision.evidence == json.loads(json.dumps(decision.evidence, allow_nan=False))
    if decision.bound in {
        Bound.LIST,
        Bound.TRUNK_ROOM,
        Bound.CALLS_PER_SECOND,
        Bound.LINES_PER_AGENT,
    }:
        assert cap == decision.originate


@given(SNAPSHOTS)
def test_guard_only_lowers(view: Snapshot) -> None:
    """
    With any guard and any window, no more calls start than the mode itself wanted.
    """
    decision = decide(view)
    wanted = decision.evidence.get("wanted")

    assert wanted is None or decision.originate <= max(0, int(str(wanted)))


@given(SNAPSHOTS)
def test_without_room_every_call_has_its_agent(view: Snapshot) -> None:
    """
    Stale counts, a law or a window without room leave one call per ready agent.
    """
    decision = decide(view)
    held_back = decision.evidence.get("guard") is not None

    assert not held_back or decision.originate <= max(0, spare_agents(view))


@given(SNAPSHOTS)
def test_absolute_guard_is_never_looser_than_headroom(view: Snapshot) -> None:
    """
    Under guard=absolute calls in flight never exceed ready agents by more than the headroom.
    """
    view = replace(view, policy=replace(view.policy, guard=GuardMode.ABSOLUTE))
    decision = decide(view)
    rooms = decision.evidence["window_headroom"]
    assert isinstance(rooms, list)
    room = min(rooms, default=0)
    if view.policy.mode in {Mode.PROGRESSIVE, Mode.PREVIEW}:
        room = 0

    assert decision.originate <= max(0, spare_agents(view), spare_agents(view) + room)


@given(SNAPSHOTS, st.integers(1, 3))
def test_another_ready_agent_never_means_fewer_calls(view: Snapshot, more: int) -> None:
    """
    All else equal, agents who log in ready never lower the answer, in any mode.
    """
    newcomers = tuple(AgentView(AgentStage.READY, 1.0) for _ in range(more))
    joined = replace(view, agents=view.agents + newcomers)

    assert decide(view).originate <= decide(joined).originate


@given(SNAPSHOTS, st.data())
def test_agent_coming_free_never_means_fewer_calls(view: Snapshot, data: st.DataObject) -> None:
    """
    All else equal, an agent who is ready instead of busy never lowers the answer, in any mode.
    """
    busy = [i for i, agent in enumerate(view.agents) if agent.stage is not AgentStage.READY]
    assume(busy)
    index = data.draw(st.sampled_from(busy))
    freed = replace(view.agents[index], stage=AgentStage.READY)
    staff = (*view.agents[:index], freed, *view.agents[index + 1 :])

    assert decide(view).originate <= decide(replace(view, agents=staff)).originate


@pytest.mark.parametrize("guard", GuardMode)
@given(view=SNAPSHOTS)
def test_predictive_covers_progressive(view: Snapshot, guard: GuardMode) -> None:
    """
    Calls that each find a ready agent are always worth starting: predictive never starts fewer.
    """
    progressive = replace(view, policy=replace(view.policy, mode=Mode.PROGRESSIVE))
    predictive = replace(view, policy=replace(view.policy, mode=Mode.PREDICTIVE, guard=guard))

    assert decide(progressive).originate <= decide(predictive).originate


@given(SNAPSHOTS)
def test_deciding_twice_gives_the_same(view: Snapshot) -> None:
    """
    A decision depends on its snapshot and on nothing else.
    """
    assert decide(view) == decide(replace(view))


@given(SNAPSHOTS)
def test_agents_on_their_last_call_change_nothing(view: Snapshot) -> None:
    """
    Someone leaving adds no call, whatever they are doing now.
    """
    staying = tuple(agent for agent in view.agents if not agent.leaving)
    leaving = tuple(
        AgentView(stage, 5.0, leaving=True) for stage in (AgentStage.READY, AgentStage.RESERVED)
    )
    without = decide(replace(view, agents=staying))
    with_them = decide(replace(view, agents=staying + leaving))

    assert without.originate == with_them.originate
