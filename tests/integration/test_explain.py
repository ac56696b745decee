"""Decisions are kept, every one of them, and `campaign explain` says why each was made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pacing
from campaigns.stores import database, decisions
from campaigns.stores.decisions import Quiet, StoredDecision
from pacing import (
    AgentStage,
    AgentView,
    Mode,
    PendingCall,
    Policy,
    Snapshot,
    TrunkRoom,
    WindowCount,
)
from tests.calls import NOW, World
from tests.shell import Shell

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

SNAPSHOT = Snapshot(
    at_s=0.0,
    agents=(
        AgentView(AgentStage.READY, 1 / 3),
        AgentView(AgentStage.READY, 4.5),
        AgentView(AgentStage.TALKING, 61.0),
    ),
    pending=(PendingCall(2 / 3, "lab"),),
    trunks=(TrunkRoom("lab", 100, 100),),
    windows=(WindowCount("today", 200, 3, 30_000, 28_500, 3600.0),),
    callable_leads=40,
    policy=Policy(mode=Mode.PREDICTIVE),
)
# Nobody is ready: decided again and again, with the same answer.
BUSY = replace(
    SNAPSHOT,
    agents=(AgentView(AgentStage.PAUSED, 9.0),),
)


def at(seconds: float) -> datetime:
    """Return the moment *seconds* after the tests' time."""
    return NOW + timedelta(seconds=seconds)


async def fill(pool: Pool) -> World:
    """Return a campaign with one decision that started calls, four quiet ones, and the next row."""
    world = await World(pool).build(name="spring")
    quiet_history = pacing.History(live=3.0, not_live=7.0)
    quiet = [
        Quiet(
            at(second),
            (snapshot := replace(BUSY, at_s=float(second), history=quiet_history)),
            pacing.decide(snapshot),
        )
        for second in (1, 2, 3, 4)
    ]
    async with pool.acquire() as connection:
        for second, snapshot, before in ((0, SNAPSHOT, []), (5, BUSY, quiet)):
            decided = pacing.decide(snapshot)
            await decisions.store(
                connection,
                campaign_id=world.campaign_id,
                epoch=1,
                at=at(second),
                snapshot=snapshot,
                decision=decided,
                claimed=decided.originate,
                extra={"line_processes": 1},
                quiet=before,
            )
    return world


async def test_every_decision_is_found_by_its_time(pool: Pool) -> None:
    """
    Quiet decisions ride on the next row and are found, in order, each with its own snapshot.
    """
    world = await fill(pool)

    async def nearest(seconds: float) -> StoredDecision | None:
        async with pool.acquire() as connection:
            return await decisions.nearest_before(connection, world.campaign_id, at(seconds))

    assert None is await nearest(-0.1)
    asked = [await nearest(seconds) for seconds in (0.5, 1, 3.7, 4.9, 5, 60)]
    async with pool.acquire() as connection:
        every = await decisions.between(connection, world.campaign_id, at(0.5), at(9))

    assert [0, 1, 3, 4, 5, 5] == [(one.decided_at - NOW).seconds for one in asked if one]
    assert [1, 2, 3, 4, 5] == [(one.decided_at - NOW).seconds for one in every]
    assert [1.0, 2.0, 3.0, 4.0, 0.0] == [one.snapshot.at_s for one in every]
    assert [3.0] * 4 == [one.snapshot.history.live for one in every[:4]]
    assert [[]] * 5 == [one.differences() for one in every]


async def test_held_windows_outlive_the_engine(pool: Pool) -> None:
    """
    A successor knows from the newest decision which windows are held at one to one.
    """
    world = await fill(pool)
    async with pool.acquire() as connection:
        none = await decisions.held(connection, world.campaign_id)
        await connection.execute(
            "UPDATE decision SET evidence = evidence || jsonb_build_object('held', 'today, all')"
        )
        both = await decisions.held(connection, world.campaign_id)

    assert frozenset() == none
    assert frozenset({"today", "all"}) == both


async def test_a_decision_of_another_rule_is_told_apart(pool: Pool) -> None:
    """
    A stored answer that the rule does not give any more shows what is different.
    """
    world = await fill(pool)
    await pool.execute(
        "UPDATE decision SET originate = originate + 1,"
        " evidence = jsonb_set(evidence, '{cap_list}', '7') WHERE decided_at = $1",
        NOW,
    )
    async with pool.acquire() as connection:
        stored = await decisions.nearest_before(connection, world.campaign_id, NOW)

    assert stored is not None
    assert ["originate", "cap_list"] == stored.differences()
    assert decisions.rule_fingerprint() == stored.rule


@pytest.fixture
def shell(dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Return commands on a database with a campaign that has decided."""

    async def work() -> None:
        pool = await database.open_pool(dsn, size=2)
        try:
            await fill(pool)
        finally:
            await pool.close()

    asyncio.run(work())
    return Shell(dsn, capsys)


def test_explain_says_why_and_replays(shell: Shell) -> None:
    """
    The decision before the moment asked about, its limits, model and window, and the replay.
    """
    said = shell.ok("campaign", "explain", "spring", "--at", "2026-03-04T15:00:00.4", "--zone",
                    "UTC").out  # fmt: skip
    found = shell.ok("campaign", "explain", "spring", "--at", "2026-03-04T16:00:00.4+01:00",
                     "--json").json  # fmt: skip

    started = pacing.decide(SNAPSHOT)
    assert f"Decided at 15:00:00.000, 0.4 s before: {started.originate} new call" in said
    assert "Agents: 2 ready, 1 talking." in said
    assert "people answered" in said
    assert "Window today: 3 of 200 abandoned, room for 3 more (limit 3.00 %" in said
    assert "Decided again from the stored snapshot: the same answer." in said
    assert (started.originate, started.bound.value) == (found["originate"], found["bound"])
    assert [True] == [limit["decided"] for limit in found["limits"] if limit["decided"]]
    assert found["replay"]["is_same"]
    assert 0.4 == pytest.approx(
        (
            datetime.fromisoformat(found["asked_at"]) - datetime.fromisoformat(found["decided_at"])
        ).total_seconds()
    )


def test_explain_lists_a_span(shell: Shell) -> None:
    """
    With `--until` every decision of the span is a row, the quiet ones too.
    """
    rows = shell.ok("campaign", "explain", "spring", "--at", "2026-03-04T15:00:00Z", "--until",
                    "2026-03-04T15:00:04.5Z", "--json").json  # fmt: skip

    assert 5 == len(rows)
    assert ["no_agents"] * 4 == [row["bound"] for row in rows[1:]]


def test_explain_of_a_wrong_moment(shell: Shell) -> None:
    """
    A moment before the first decision, no moment at all, a wrong zone and span: one sentence each.
    """
    early = shell("campaign", "explain", "spring", "--at", "2026-03-04T14:00:00Z", "--zone", "UTC")
    no_time = shell("campaign", "explain", "spring", "--at", "soon")
    no_zone = shell("campaign", "explain", "spring", "--zone", "Mars/Olympus")
    backwards = shell("campaign", "explain", "spring", "--at", "2h", "--until", "3h")

    assert [2] * 4 == [said.code for said in (early, no_time, no_zone, backwards)]
    assert "the first is of 2026-03-04 15:00:00." in early.err
    assert "'soon' is no time" in no_time.err
    assert "IANA name" in no_zone.err
    assert "earlier time first" in backwards.err
