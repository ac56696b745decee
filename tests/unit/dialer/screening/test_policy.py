"""What is done with a posterior, and by when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.model import CallTimers, Clock, Screening, ScreeningMode, Verdict
from dialer.screening import (
    Move,
    Posterior,
    Reason,
    ScreeningRules,
    decide,
    is_listening_over,
    late_evidence,
)

BY_GREETING = CallTimers()
BY_ANSWER = CallTimers(clock=Clock.ANSWER, join_by_s=1.5)
SHADOW = ScreeningRules(hang_up_machines=False)
RECALL = ScreeningRules(recall_from_machines=True)


def believed(state: Screening, p_machine: float = 0.5, **more: float | None) -> Posterior:
    """Return a posterior two seconds into the stream."""
    fields = {"heard_s": 2.0, "speech_s": 1.0} | more
    return Posterior(state, "", 0.9, p_machine, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "move", "verdict", "reason"),
    [
        (Screening.LISTENING, Move.WAIT, Verdict.NOT_SURE, Reason.LISTENING),
        (Screening.PERSON, Move.JOIN, Verdict.PERSON, Reason.PERSON),
        (Screening.MACHINE, Move.HANG_UP, Verdict.MACHINE, Reason.MACHINE),
        (Screening.FAX, Move.HANG_UP, Verdict.FAX, Reason.FAX),
        (Screening.TONE, Move.HANG_UP, Verdict.TONE, Reason.TONE),
        (Screening.SILENCE, Move.JOIN, Verdict.SILENCE, Reason.SILENCE),
        (Screening.NO_AUDIO, Move.JOIN, Verdict.NO_AUDIO, Reason.NO_AUDIO),
        (Screening.NOT_SURE, Move.JOIN, Verdict.NOT_SURE, Reason.UNCLEAR),
    ],
)
def test_each_verdict(state: Screening, move: Move, verdict: Verdict, reason: Reason) -> None:
    """
    Only machines, faxes and tones are hung up; whatever stays unclear goes to an agent.
    """
    action = decide(believed(state, 0.99), BY_GREETING, since_answer_s=2.0)

    assert (move, verdict, reason) == (action.move, action.verdict, action.reason)


def test_shadow_mode() -> None:
    """
    Where hanging up is not allowed a machine is recorded as one, and joined.
    """
    action = decide(believed(Screening.MACHINE, 0.999), BY_GREETING, since_answer_s=2, rules=SHADOW)

    assert (Move.JOIN, Verdict.MACHINE) == (action.move, action.verdict)
    assert Reason.HANG_UP_NOT_ALLOWED is action.reason


@pytest.mark.parametrize(("cost", "move"), [(50.0, Move.HANG_UP), (200.0, Move.JOIN)])
def test_cost_of_losing_a_person(cost: float, move: Move) -> None:
    """
    At odds of 99 to 1 a machine is hung up where a person is worth 50 of them, not where 200.
    """
    rules = ScreeningRules(cost_of_losing_a_person=cost)

    action = decide(believed(Screening.MACHINE, 0.99), BY_GREETING, since_answer_s=2, rules=rules)

    assert move is action.move


def test_clock_that_starts_at_the_answer() -> None:
    """
    Where the law counts from the answer an agent is joined at 1.5 s whatever is believed.
    """
    waiting = decide(believed(Screening.LISTENING), BY_ANSWER, since_answer_s=1.4)
    joined = decide(believed(Screening.LISTENING), BY_ANSWER, since_answer_s=1.5)

    assert (Move.WAIT, Move.JOIN) == (waiting.move, joined.move)
    assert Reason.ANSWER_DEADLINE is joined.reason


def test_clock_that_starts_at_the_answer_without_a_join_time() -> None:
    """
    Without a time of its own the join comes half a second before the limit.
    """
    timers = CallTimers(clock=Clock.ANSWER, connect_limit_s=2.0)

    action = decide(believed(Screening.LISTENING), timers, since_answer_s=1.5)

    assert Move.JOIN is action.move


def test_clock_that_starts_at_the_end_of_the_greeting() -> None:
    """
    Nobody who has spoken waits longer than 1.5 s for a verdict.
    """
    posterior = believed(Screening.LISTENING, greeting_end_s=3.0)

    waiting = decide(posterior, BY_GREETING, since_answer_s=4.4)
    joined = decide(posterior, BY_GREETING, since_answer_s=4.5)

    assert (Move.WAIT, Move.JOIN) == (waiting.move, joined.move)
    assert Reason.SPEECH_END_DEADLINE is joined.reason


def test_greeting_that_goes_on() -> None:
    """
    While somebody talks no clock has started, but listening ends after eight seconds.
    """
    posterior = believed(Screening.LISTENING, speech_s=6.0)

    waiting = decide(posterior, BY_GREETING, since_answer_s=7.9)
    joined = decide(posterior, BY_GREETING, since_answer_s=8.0)

    assert (Move.WAIT, Move.JOIN) == (waiting.move, joined.move)
    assert Reason.LISTENED_LONG_ENOUGH is joined.reason


def test_nobody_speaks() -> None:
    """
    Without a word no greeting ends, so the strict clock, from the answer, holds: join by 1.5 s.
    """
    posterior = believed(Screening.LISTENING, speech_s=0.0)

    waiting = decide(posterior, BY_GREETING, since_answer_s=1.4)
    joined = decide(posterior, BY_GREETING, since_answer_s=1.5)

    assert (Move.WAIT, Move.JOIN) == (waiting.move, joined.move)
    assert Verdict.SILENCE is joined.verdict


def test_machine_at_the_deadline() -> None:
    """
    A machine known by the deadline is still hung up: the deadline protects people.
    """
    action = decide(believed(Screening.MACHINE, 0.99), BY_ANSWER, since_answer_s=1.5)

    assert Move.HANG_UP is action.move


@pytest.mark.parametrize(
    ("packets", "verdict"), [(0, Verdict.NO_AUDIO), (7, Verdict.SILENCE), (None, Verdict.SILENCE)]
)
def test_silence_without_a_single_packet(packets: int | None, verdict: Verdict) -> None:
    """
    Silence on a call that sent no RTP is no audio: the trunk's trouble, not a quiet person.
    """
    action = decide(
        believed(Screening.SILENCE), BY_GREETING, since_answer_s=4.0, media_packets=packets
    )

    assert (Move.JOIN, verdict) == (action.move, action.verdict)


@pytest.mark.parametrize("timers", [BY_ANSWER, BY_GREETING])
def test_nobody_has_spoken(timers: CallTimers) -> None:
    """
    Without a word there is no greeting to end: the clock counts from the answer, as silence.
    """
    posterior = believed(Screening.LISTENING, speech_s=0.0)

    waiting = decide(posterior, timers, since_answer_s=1.4)
    joined = decide(posterior, timers, since_answer_s=1.5)

    assert (Move.WAIT, Move.JOIN) == (waiting.move, joined.move)
    assert Verdict.SILENCE is joined.verdict


def test_screening_off() -> None:
    """
    A campaign without screening joins at once.
    """
    timers = CallTimers(screening=ScreeningMode.OFF)

    action = decide(Posterior(), timers, since_answer_s=0.0)

    assert (Move.JOIN, Verdict.OFF) == (action.move, action.verdict)


def test_agent_reserved_at_the_first_pause() -> None:
    """
    The first pause of somebody who may be a person is the moment to hold an agent.
    """
    pause = believed(Screening.LISTENING, 0.3, greeting_end_s=1.2)
    speaking = believed(Screening.LISTENING, 0.3)

    assert decide(pause, BY_GREETING, since_answer_s=1.5).reserve_agent
    assert not decide(speaking, BY_GREETING, since_answer_s=1.5).reserve_agent


def test_late_evidence_of_a_machine() -> None:
    """
    A machine that passed for a person is reported once it is known, for as long as it matters.
    """
    posterior = believed(Screening.MACHINE, 0.99)

    assert Verdict.MACHINE is late_evidence(posterior, Verdict.PERSON, since_join_s=2, rules=RECALL)
    assert late_evidence(posterior, Verdict.MACHINE, since_join_s=2, rules=RECALL) is None
    assert late_evidence(posterior, Verdict.PERSON, since_join_s=9, rules=RECALL) is None
    assert is_listening_over(since_join_s=9)


def test_late_evidence_needs_the_odds_too() -> None:
    """
    Weak evidence after the join is no news.
    """
    weak = believed(Screening.MACHINE, 0.9)

    assert late_evidence(weak, Verdict.PERSON, since_join_s=1, rules=RECALL) is None


@given(
    state=st.sampled_from([s for s in Screening if s is not Screening.NONE]),
    p_machine=st.floats(0, 1),
    greeting_end_s=st.none() | st.floats(0, 20),
    since_answer_s=st.floats(0, 60),
    timers=st.sampled_from([BY_GREETING, BY_ANSWER]),
    rules=st.sampled_from([ScreeningRules(), SHADOW, RECALL]),
)
def test_nobody_waits_forever(
    *,
    state: Screening,
    p_machine: float,
    greeting_end_s: float | None,
    since_answer_s: float,
    timers: CallTimers,
    rules: ScreeningRules,
) -> None:
    """
    No belief makes a call wait past the limits, and no call is hung up without strong evidence.
    """
    posterior = believed(state, p_machine, greeting_end_s=greeting_end_s)

    action = decide(posterior, timers, since_answer_s=since_answer_s, rules=rules)

    if since_answer_s >= 8.0:
        assert Move.WAIT is not action.move
    if action.move is Move.HANG_UP and state is Screening.MACHINE:
        assert rules.hang_up_machines
        assert p_machine >= 50 * (1 - p_machine)
    if action.move is Move.HANG_UP:
        assert state in {Screening.MACHINE, Screening.FAX, Screening.TONE}
