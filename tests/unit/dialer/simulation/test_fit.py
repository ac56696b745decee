"""A past becomes a scenario: rates by the hour, teams by the quarter, censored talks, refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.errors import UserError
from dialer.simulation.fit import Rules, fit
from dialer.simulation.past import AtWork, CallEnd, Past, PastCall
from dialer.simulation.prediction import prediction_interval

MORNING = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)


def calls(hours: int, *, person_every: dict[int, int], day: int = 0) -> list[PastCall]:
    """Return a call every ten seconds; in hour h every n-th reaches a person."""
    found = []
    for index in range(hours * 360):
        at = MORNING + timedelta(days=day, seconds=10 * index)
        is_person = index % person_every[index // 360] == 0
        found.append(
            PastCall(
                started_at=at,
                end=CallEnd.PERSON if is_person else CallEnd.NO_ANSWER,
                ring_s=8.0 if is_person else 22.0,
                talk_s=60.0 if is_person else None,
                wrap_up_s=10.0 if is_person else None,
                agent="ann" if is_person else None,
            )
        )
    return found


def work(agent: str, start_h: float, end_h: float, day: int = 0) -> AtWork:
    """Return a stretch at work, hours from the morning."""
    since = MORNING + timedelta(days=day, hours=start_h)
    return AtWork(agent, since, since + timedelta(hours=end_h - start_h))


def test_rates_and_team_follow_the_day() -> None:
    """
    Two equal days of three hours: the answer rate by the hour, the team as it comes and goes.
    """
    every = {0: 2, 1: 4, 2: 10}
    past = Past(
        "log",
        calls(3, person_every=every) + calls(3, person_every=every, day=1),
        [work(name, *hours, day=day) for day in (0, 1)
         for name, hours in (("ann", (0, 3)), ("ben", (0, 1)), ("eva", (1, 3)), ("tom", (1, 2)))],
    )  # fmt: skip

    fitted = fit(past, rules=Rules(), zone=UTC)

    assert (0.5, 0.25, 0.1) == pytest.approx([p for _, p in fitted.scenario.answer_rate], abs=0.02)
    assert (2,) * 4 + (3,) * 4 + (2,) * 4 == fitted.agents_by_slot
    assert (3, 2) == (fitted.most_agents, fitted.happened.days)
    present = [
        sum(s.agents for s in fitted.scenario.shifts
            if s.from_s <= at and (s.to_s is None or at < s.to_s))
        for at in (1800.0, 5400.0, 9000.0)
    ]  # fmt: skip
    assert [2, 3, 2] == present


def test_a_talk_cut_short_lasted_at_least_so_long() -> None:
    """
    Talks that still run count as longer than they are (Kaplan-Meier), not as short ones.
    """
    ended = [
        PastCall(MORNING + timedelta(seconds=i), CallEnd.PERSON, 8.0, talk_s=100.0, agent="ann")
        for i in range(30)
    ]
    running = [
        PastCall(
            MORNING + timedelta(seconds=30 + i),
            CallEnd.PERSON,
            8.0,
            talk_s=10.0,
            talk_ended=False,
            agent="ann",
        )
        for i in range(30)
    ]
    past = Past("log", ended + running, [work("ann", 0, 1)])

    fitted = fit(past, rules=Rules(), zone=UTC)

    assert fitted.scenario.talk.mean_s > 90


@pytest.mark.parametrize(
    ("few", "agents", "sentence"),
    [
        (40, None, "log has 40 calls, 20 of them answered by a person: a fit needs at least 50"),
        (200, None, "does not say who was at work: name the column with --map agent=COLUMN"),
    ],
)
def test_a_past_that_says_too_little(few: int, agents: int | None, sentence: str) -> None:
    """
    Too few calls, or nobody at work, is one sentence with what to do.
    """
    past = Past("log", calls(1, person_every={0: 2})[:few], [])

    with pytest.raises(UserError) as refused:
        fit(past, rules=Rules(), zone=UTC, agents=agents)

    assert sentence in str(refused.value)
    if few > 50:
        assert 7 == fit(past, rules=Rules(), zone=UTC, agents=7).most_agents


def test_prediction_intervals() -> None:
    """
    Many values speak by their order, few by Student's t; one is not enough.
    """
    many = prediction_interval([float(i) for i in range(399)])
    few = prediction_interval([1.0, 2.0, 3.0])

    assert (1.0, 397.0) == (many.low, many.high)
    assert few.low < -8
    assert 2.0 in few
    with pytest.raises(ValueError, match="at least two"):
        prediction_interval([1.0])
