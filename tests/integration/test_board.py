"""The live board: counted from rows, and drawn with words besides colours."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from campaigns.errors import UserError
from campaigns.model import AgentState, AttemptState, CampaignState, Outcome, new_id
from campaigns.stores import closings, ledger
from dialer import board_view
from dialer.board import BoardSnapshot, read_board
from tests.calls import World

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


def ago(seconds: float) -> datetime:
    """Return the time *seconds* ago."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a database with a campaign that started an hour ago."""
    return await World(pool).build(name="Spring", started_at=ago(3600), mode="predictive")


async def ended(world: World, outcome: str, **columns: object) -> None:
    """Add a call that has ended, ready to be closed."""
    await world.add_call(
        state=AttemptState.ENDED,
        at=ago(30),
        outcome=outcome,
        ended_at=ago(5),
        dialing_at=ago(29),
        **columns,
    )


async def close(world: World) -> None:
    """Close every ended call, as an engine does."""
    lease = await world.add_lease()
    async with world.db.acquire() as connection:
        await closings.close_ended(connection, lease, at=datetime.now(UTC))


def drawn(board: BoardSnapshot, *, width: int = 110, now: datetime | None = None) -> str:
    """Return the board as a terminal shows it, without colours."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(board_view.render(board, now=now))
    return out.getvalue()


async def test_empty_campaign_is_shown(world: World) -> None:
    """
    A campaign without calls, agents or decisions has a board, and it says what is missing.
    """
    board = await read_board(world.db, "Spring")
    text = drawn(board)

    assert (CampaignState.RUNNING, 0, 0) == (board.state, board.attempts, board.joined)
    assert "none assigned" in text
    assert "no decision yet" in text
    assert "! NO ENGINE holds this campaign" in text
    assert "NO LINE PROCESS" not in text


async def test_unknown_campaign(world: World) -> None:
    """
    A campaign that does not exist is a sentence.
    """
    with pytest.raises(UserError, match="There is no campaign named 'Autumn'"):
        await read_board(world.db, "Autumn")


async def test_counts_are_those_of_the_rows(world: World) -> None:
    """
    Calls by state, outcomes, verdicts, dispositions, agents, trunks and leads are counted right.
    """
    await world.add_leads(4)
    await world.add_agent(since=ago(12))
    await world.add_agent(state=AgentState.PAUSED, pause_reason="lunch", since=ago(65))
    await world.add_call(state=AttemptState.RINGING, at=ago(3))
    await world.add_call(state=AttemptState.RINGING, at=ago(2))
    await world.add_call(state=AttemptState.CLAIMED, at=ago(1))
    await ended(world, "busy")
    await ended(world, "no_answer")
    await ended(world, "answered", answered_at=ago(20), verdict="machine")
    await close(world)

    board = await read_board(world.db, "Spring")

    assert {AttemptState.RINGING: 2, AttemptState.CLAIMED: 1} == board.calls
    assert {Outcome.ANSWERED: 1, Outcome.BUSY: 1, Outcome.NO_ANSWER: 1} == board.outcomes
    assert {"machine": 1} == board.verdicts
    assert 6 == board.attempts
    assert [2] == [trunk.in_use for trunk in board.trunks]
    assert [(AgentState.READY, None), (AgentState.PAUSED, "lunch")] == [
        (agent.state, agent.reason) for agent in board.agents
    ]
    assert 4 <= board.leads.counts.callable_now
    assert 3 == board.leads.counts.in_call
    assert board.engine_alive
    assert not board.is_finished


async def test_abandonment_stands_against_its_limit(world: World) -> None:
    """
    A call lost after a person answered shows as a word, and seeded history is named.
    """
    lost = {"answered_at": ago(25), "verdict": "person", "ended_by": "us"}
    await ended(world, "answered", **lost)
    await close(world)
    async with world.db.acquire() as connection:
        await ledger.seed(
            connection, await world.campaign(), answered_by_person=9, abandoned=0, hour=ago(10)
        )

    board = await read_board(world.db, "Spring")
    text = drawn(board)

    (window,) = board.ledger
    assert (10, 1, 9) == (window.answered_by_person, window.abandoned, window.seeded)
    assert window.is_over
    assert "OVER 10.00 % of 3.00 %" in text
    assert "1 of 10, 9 of them seeded history" in text


async def test_latest_decision_is_explained(world: World) -> None:
    """
    The board says how many calls the engine last started and which limit decided it, in words.
    """
    await world.db.execute(
        "INSERT INTO decision (id, campaign_id, epoch, decided_at, originate, claimed, bound,"
        " evidence, snapshot) VALUES ($1, $2, 1, $3, 4, 4, 'guard', $4, '')",
        new_id(),
        world.campaign_id,
        ago(1),
        {"answer_rate": 0.25, "ready": 3},
    )

    board = await read_board(world.db, "Spring")
    text = drawn(board)

    assert board.pacing is not None
    assert (4, "guard") == (board.pacing.originate, board.pacing.bound)
    assert "4 new calls, decided by the abandonment guard" in text
    assert "answer rate 0.25" in text


async def test_trouble_is_said_in_words(world: World) -> None:
    """
    A suspended trunk and old figures are words on the board.
    """
    await world.db.execute(
        "UPDATE trunk SET suspended_until = clock_timestamp() + interval '1 minute',"
        " suspended_reason = '5 faults in a row'"
    )
    board = await read_board(world.db, "Spring")

    text = drawn(board, now=board.at + timedelta(seconds=42))

    assert "! suspended: 5 faults" in text
    assert "! data 42 s old" in text


async def test_many_agents_fit_on_the_screen(world: World) -> None:
    """
    With more agents than fit, the busy ones are shown and the rest are counted.
    """
    for _ in range(board_view.MOST_AGENTS + 3):
        await world.add_agent(state=AgentState.PAUSED, since=ago(5))
    await world.add_agent(since=ago(5))

    board = await read_board(world.db, "Spring")
    text = drawn(board)

    assert "… and 4 more" in text
    assert "ready" in text
    assert "0 talking, 1 ready" in text


async def test_finished_campaign_is_known(world: World) -> None:
    """
    With every lead done and no call open, the board knows that nothing will happen any more.
    """
    leads = await world.add_leads(2)
    await world.db.execute(
        "UPDATE lead SET state = 'done', done_reason = 'reached' WHERE id = ANY($1::uuid[])", leads
    )

    board = await read_board(world.db, "Spring")

    assert board.is_finished
    assert {"reached": 2} == board.leads.counts.done


async def test_narrow_terminal_still_shows_everything(world: World) -> None:
    """
    On an 80-column terminal no line is wider than the terminal.
    """
    await world.add_agent(since=ago(5))
    board = await read_board(world.db, "Spring")

    lines = drawn(board, width=80).splitlines()

    assert all(len(line) <= 80 for line in lines)


async def test_expected_stands_beside_observed(world: World) -> None:
    """
    What decisions foresaw of the calls they started, and what came of those very calls.
    """
    at = ago(120)
    for _ in range(4):
        await world.add_agent(since=ago(600))
    await world.db.execute(
        "INSERT INTO decision (id, campaign_id, epoch, decided_at, originate, claimed, bound,"
        " evidence, snapshot) VALUES ($1, $2, 1, $3, 10, 10, 'loss_threshold', $4, '')",
        new_id(),
        world.campaign_id,
        at,
        {"p_hat": 0.3, "kappa": 0.5, "theta_at_dial": 0.1, "talk_mean_s": 50.0,
         "wrap_up_mean_s": 10.0, "agents": 4.0},
    )  # fmt: skip
    joined = {"answered_at": ago(110), "joined_at": ago(109), "disposition": "sale"}
    lost = {"answered_at": ago(110), "verdict": "person", "ended_by": "us"}
    for index in range(10):
        columns = {0: joined, 1: joined, 2: lost}.get(index, {})
        await world.add_call(
            state=AttemptState.ENDED,
            at=at,
            outcome="answered" if columns else "no_answer",
            dialing_at=at,
            ended_at=ago(60),
            **columns,
        )
    await close(world)

    board = await read_board(world.db, "Spring", since=ago(290))
    text = drawn(board)

    forecast = board.forecast
    assert forecast is not None
    assert (10, 3.0, 3.0) == (
        forecast.calls,
        forecast.answered.expected,
        forecast.answered.observed,
    )
    assert (0.3, 0.3) == (forecast.answer_rate.expected, forecast.answer_rate.observed)
    assert pytest.approx(0.15) == forecast.lost.expected
    assert 1.0 == forecast.lost.observed
    assert pytest.approx(2.85 * 60 / (4 * 60 * forecast.minutes)) == forecast.occupancy.expected
    assert forecast.occupancy.observed is not None
    assert "expected" in text
    assert "people answered" in text
    assert (1, 0) == (board.losses.no_agent, board.losses.unpreventable)


async def test_the_board_says_where_a_window_stands(world: World) -> None:
    """
    Until the integer rule allows a loss, the board counts the people still to answer.
    """
    async with world.db.acquire() as connection:
        await ledger.seed(
            connection, await world.campaign(), answered_by_person=21, abandoned=0, hour=ago(10)
        )

    text = drawn(await read_board(world.db, "Spring"))

    assert "1:1 until 33 people answered, 12 to go" in text
