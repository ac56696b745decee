"""The kernel in the form that numba compiles answers what it answers over arrays."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

import numpy as np
import pytest

from pacing import (
    AgentStage,
    AgentView,
    Bound,
    GuardMode,
    Learner,
    Mode,
    PendingCall,
    Policy,
    RingEnd,
    Snapshot,
    TrunkRoom,
    WaitingCall,
    WindowCount,
    compiling,
    decide,
    durations,
    kernel,
    loops,
    observations,
)
from pacing.net_demand import waves
from pacing.reading import read_calls, read_history, read_settings, read_staff, read_windows
from tests.unit.pacing.snapshots import agents, snapshot


def taught(rng: np.random.Generator, calls: int) -> Learner:
    """Return a learner that has seen *calls* end, a third of them answered."""
    learner = Learner()
    for _ in range(calls):
        live = rng.random() < 0.3
        ring_s = 2.0 + rng.gamma(4.0, 1.75) if live else rng.choice([2.0, 20.0, 22.0])
        end = RingEnd.LIVE if live else RingEnd.NOT_LIVE
        learner.observe_end(end, float(ring_s), in_flight=int(rng.integers(0, 60)))
        learner.observe_talk(float(rng.exponential(120.0)), ended=bool(rng.random() < 0.9))
        learner.observe_wrap_up(float(rng.exponential(15.0)))
        learner.observe_dialed(3, 0.02)
        learner.observe_answered(abandoned=bool(rng.random() < 0.03), theta_at_dial=0.05)
    return learner


def any_snapshot(rng: np.random.Generator, mode: Mode) -> Snapshot:
    """Return some campaign in the middle of its work."""
    people, calls = int(rng.integers(1, 60)), int(rng.integers(0, 90))
    stages = rng.choice(list(AgentStage), people, p=[0.1, 0.05, 0.6, 0.2, 0.05])
    answered = int(rng.integers(0, 3000))
    return Snapshot(
        at_s=0.0,
        agents=tuple(
            AgentView(AgentStage(stage), float(rng.exponential(60.0)), bool(rng.random() < 0.05))
            for stage in stages
        ),
        pending=tuple(
            PendingCall(float(t), has_agent=bool(rng.random() < 0.1))
            for t in rng.uniform(0.0, 22.0, calls)
        ),
        waiting=(WaitingCall(0.5, 0.7),) * int(rng.integers(0, 2)),
        trunks=(TrunkRoom("lab", 300, 200),),
        windows=(WindowCount("day", answered, int(answered * 0.02), 30_000, 28_500, 9_000.0),),
        callable_leads=500,
        history=taught(rng, int(rng.integers(0, 60))).history(),
        policy=Policy(mode=mode, ratio=2.5, guard=rng.choice(list(GuardMode))),
    )


def test_loops_make_the_same_decisions() -> None:
    """
    In either form the same snapshot gives the same number of calls, bound and threshold.

    The loops run as plain Python here; that numba compiles them to the same is what
    tests/simulation/test_one_pacer.py looks at.
    """
    looped = compiling.assembled(lambda function: function)
    take_census = looped[kernel.take_census]
    caps = looped[kernel.caps]
    most_worth_asking = looped[kernel.most_worth_asking]
    look_ahead = looped[kernel.look_ahead]
    choose = looped[kernel.choose]
    rng = np.random.default_rng(7)
    started = 0
    for _ in range(60):
        view = any_snapshot(rng, Mode.PREDICTIVE if rng.random() < 0.8 else Mode.POWER)
        decision = decide(view)
        staff, calls = read_staff(view), read_calls(view)
        settings = read_settings(view, None)
        windows = read_windows(view.windows, view.remaining_shift_s)
        census = take_census(staff, calls)
        if census.enrolled <= 0.0:
            assert Bound.NO_AGENTS is decision.bound
            continue
        limits = caps(settings, census, calls)
        most = most_worth_asking(settings, census, limits)
        learned = read_history(view.history, view.policy)
        outlook = look_ahead(staff, calls, windows, learned, settings, most, waves())
        choice = choose(settings, census, limits, windows, outlook, most)

        assert decision.originate == choice.calls
        assert decision.bound is tuple(Bound)[choice.bound]
        assert decision.evidence["theta_at_dial"] == pytest.approx(choice.theta_at_dial, abs=1e-9)
        started += choice.calls
    assert started > 40


def test_loops_as_plain_python_learn_the_same() -> None:
    """
    A loop form, not even compiled, changes a learner's state exactly as its array form does.
    """
    state, other = observations.fresh_state(), observations.fresh_state()
    rng = np.random.default_rng(5)
    loop = compiling.LOOP_FORMS[durations.add]
    for _ in range(50):
        talk_s, ended = float(rng.exponential(200.0)), bool(rng.random() < 0.8)
        observations.observe_talk(state, talk_s, ended)
        loop(other.tallies.talk, talk_s, ended, 5000.0)

    assert state.tallies.talk.events.tolist() == other.tallies.talk.events.tolist()
    assert state.tallies.talk.exposed.tolist() == other.tallies.talk.exposed.tolist()


def test_without_numba_the_kernel_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the `fast` extra is not installed, compiled() gives the plain function back.
    """
    monkeypatch.setattr(compiling, "is_possible", lambda: False)

    assert kernel.choose is compiling.compiled(kernel.choose)


def test_deciding_loads_no_compiler() -> None:
    """
    A process that paces pays neither the second numba takes to load nor its memory.
    """
    import subprocess  # noqa: PLC0415 - a process of its own, without what other tests loaded
    import sys  # noqa: PLC0415

    code = (
        "import sys; from pacing import Mode, decide;"
        "from tests.unit.pacing.snapshots import agents, snapshot;"
        "decide(snapshot(Mode.PREDICTIVE, agents(ready=1, talking=3), pending=2));"
        "sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_loop_form_matches_its_signature() -> None:
    """
    A loop form takes exactly the arguments of the function it is compiled for.
    """
    assert loops.__name__ in {form.__module__ for form in compiling.LOOP_FORMS.values()}
    for function, form in compiling.LOOP_FORMS.items():
        assert signature(function) == signature(form)


def test_progressive_choice_is_the_same_compiled() -> None:
    """
    The quick path of one call per ready agent agrees with decide() as well.
    """
    view = replace(snapshot(Mode.PROGRESSIVE, agents(ready=5, talking=3), pending=2), windows=())
    staff, calls = read_staff(view), read_calls(view)
    census = kernel.take_census(staff, calls)
    settings = read_settings(view, None)
    choice = kernel.choose_one_to_one(settings, census, kernel.caps(settings, census, calls))

    assert (3, kernel.AGENTS) == (choice.calls, choice.bound)
    assert 3 == decide(view).originate
