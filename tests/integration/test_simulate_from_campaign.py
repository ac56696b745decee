"""`dialer simulate --from-campaign`: what happened, read right, beside what would have."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from campaigns.model import AgentState, new_id
from campaigns.stores import campaigns, database
from dialer.simulation import campaign_past
from dialer.simulation.campaign_past import Span
from dialer.simulation.fit import fit
from tests.calls import World
from tests.shell import Shell

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

CALLS, EVERY_S = 300, 4
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
END = START + timedelta(seconds=CALLS * EVERY_S + 60)

# One call every four seconds: of ten three persons, of whom one in thirty is lost, one machine.
_ATTEMPTS = """
INSERT INTO attempt (id, campaign_id, lead_id, lead_number_id, dialed_number, region, mode, epoch,
                     process_id, trunk_id, caller_id, timers, screening, reservation, agent_id,
                     outcome, verdict, claimed_at, dialing_at, answered_at, verdict_at, joined_at,
                     ended_at, closed_at, charged, answered_by_person, abandoned)
SELECT gen_random_uuid(), $1, gen_random_uuid(), gen_random_uuid(), '+12015550100', 'US',
       'progressive', 1, $2, $3, '+12025550100', '{}', 'none', 'none',
       CASE WHEN c.person AND NOT c.lost THEN ($4::uuid[])[1 + c.i % 3] END,
       CASE WHEN c.person OR c.i % 10 = 3 THEN 'answered' ELSE 'no_answer' END::call_outcome,
       CASE WHEN c.person THEN 'person' WHEN c.i % 10 = 3 THEN 'machine' END::amd_verdict,
       c.at, c.at, CASE WHEN c.person OR c.i % 10 = 3 THEN c.at + interval '6 seconds' END,
       CASE WHEN c.person OR c.i % 10 = 3 THEN c.at + interval '7 seconds' END,
       CASE WHEN c.person AND NOT c.lost THEN c.at + interval '7 seconds' END,
       c.at + make_interval(secs => CASE WHEN c.person AND NOT c.lost THEN 27 ELSE 20 END),
       c.at + interval '40 seconds', true, c.person, c.lost
FROM (
    SELECT i, i % 10 < 3 AS person, i % 100 = 0 AS lost, $5::timestamptz + i * interval '4 seconds'
               AS at
    FROM generate_series(0, $6 - 1) AS i
) c
"""


async def fill(pool: Pool) -> World:
    """Return a campaign that called for twenty minutes with three agents."""
    world = await World(pool).build(name="spring", started_at=START)
    await pool.execute("SELECT ensure_partitions($1)", START)
    for _ in range(3):
        await world.add_agent(since=START)
    agents = [row["id"] for row in await pool.fetch("SELECT id FROM agent ORDER BY name")]
    await pool.execute(
        _ATTEMPTS, world.campaign_id, world.process_id, world.trunk_id, agents, START, CALLS
    )
    # Each agent talks 20 s and wraps up 4 s in every minute, and is ready in between.
    events = []
    for agent, session in zip(
        agents, await pool.fetch("SELECT id FROM agent_session ORDER BY agent_id"), strict=True
    ):
        for minute in range(int((END - START).total_seconds()) // 60):
            at = START + timedelta(minutes=minute)
            for state, second in (
                (AgentState.READY, 0),
                (AgentState.TALKING, 30),
                (AgentState.WRAP_UP, 50),
                (AgentState.READY, 54),
            ):
                events.append(
                    (new_id(), agent, session["id"], state, at + timedelta(seconds=second))
                )
    await pool.executemany(
        "INSERT INTO agent_event (id, agent_id, session_id, state, happened_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        events,
    )
    return world


async def test_what_happened_is_what_the_rows_say(pool: Pool) -> None:
    """
    Answer rate, times, team, occupancy and abandonment come out of the rows, the trunk's caps too.
    """
    await fill(pool)
    async with pool.acquire() as connection:
        row = await campaigns.get(connection, "spring")
        past, rules = await campaign_past.read(connection, row, Span(START, END))
    fitted = fit(past, rules=rules, zone=UTC)
    scenario, happened = fitted.scenario, fitted.happened

    assert (CALLS, 90, 3, 87) == (
        happened.dialed,
        happened.answered,
        happened.abandoned,
        happened.connected,
    )
    assert pytest.approx(24 / 60, abs=0.02) == happened.occupancy
    assert 3 == fitted.most_agents
    assert pytest.approx(0.3, abs=0.01) == scenario.mean_answer_rate
    assert pytest.approx(6.0) == scenario.ring_live.mean_s
    assert pytest.approx(20.0) == scenario.talk.mean_s
    assert (1000, 1000.0) == (scenario.channels, scenario.calls_per_s)
    assert ("30 days from the start", 0.03) == (
        scenario.windows[0].name,
        scenario.windows[0].limit,
    )
    machines = sum(part.weight for part in scenario.ring_other.parts if part.machine)
    assert pytest.approx(30 / 210) == machines / scenario.ring_other.total


def test_what_would_have_been_stands_beside_it(
    dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The first row is what happened; with more agents there would have been more room for calls.
    """
    # So little is simulated that it is done before numba would have compiled it.
    monkeypatch.setattr("pacing.simulation.day.is_possible", lambda: False)

    async def work() -> None:
        pool = await database.open_pool(dsn, size=2)
        try:
            await fill(pool)
        finally:
            await pool.close()

    asyncio.run(work())
    shell = Shell(dsn, capsys)

    words = ("simulate", "--from-campaign", "spring", "--pacer", "progressive", "--agents", "2,6",
             "--replications", "2", "--processes", "1")  # fmt: skip
    rows = shell.ok(*words, "--json").json
    nobody = shell("simulate", "--from-campaign", "autumn")
    too_little = shell("simulate", "--from-campaign", "spring", "--since", "1m")

    assert ["what happened", "progressive", "progressive"] == [row["pacer"] for row in rows]
    assert pytest.approx(3 / 90) == rows[0]["abandonment"]
    assert [2, 6] == [row["agents"] for row in rows[1:]]
    # 24 s of each 24 + 6 + 0.7 / 0.3 × 21 s: renewal theory.
    assert pytest.approx(0.31, abs=0.08) == rows[1]["occupancy"]
    assert 2 == nobody.code
    assert 2 == too_little.code
    assert "a fit needs at least 50" in too_little.err
