"""The API around the sockets: health, metrics, problems, and Postgres going away in mid-shift."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from campaigns.model import AgentState
from campaigns.stores import database
from dialer import embedded
from tests.calls import World
from tests.desks import Server, api, give_token

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


@pytest.fixture
async def server(dsn: str, pool: Pool) -> AsyncIterator[Server]:
    """Yield the API on a port of its own."""
    async with api(dsn, pool) as running:
        yield running


async def test_healthy_and_ready(server: Server) -> None:
    """
    With Postgres there and the schema current the process is healthy and ready.
    """
    async with server.http.get(f"{server.url}/healthz") as healthy:
        assert (200, {"status": "ok"}) == (healthy.status, await healthy.json())
    async with server.http.get(f"{server.url}/readyz") as ready:
        assert (200, {"status": "ready"}) == (ready.status, await ready.json())


async def test_not_ready_with_another_schema(server: Server, dsn: str) -> None:
    """
    With a schema this program does not know it is healthy, not ready, and says why.
    """
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO schema_migration (version, name, checksum) VALUES (9999, 'later', 'x')"
    )
    await connection.close()

    async with server.http.get(f"{server.url}/readyz") as ready:
        answer = await ready.json()
    async with server.http.get(f"{server.url}/healthz") as healthy:
        alive = healthy.status

    assert (503, "not ready", 200) == (ready.status, answer["status"], alive)
    assert "upgrade Overdial" in answer["detail"]


async def test_metrics_count_screens_and_name_nobody(server: Server, pool: Pool) -> None:
    """
    Prometheus finds the number of connected screens, and no agent's name or token.
    """
    world = await World(pool).build()
    session_id = await world.add_agent(state=AgentState.PAUSED)
    agent_id = (await world.session(session_id))["agent_id"]
    screen = await server.screen(await give_token(pool, agent_id, "hush-hush"))
    await screen.told("state")

    async with server.http.get(f"{server.url}/metrics") as response:
        text = await response.text()

    assert "dialer_agent_screens 1.0" in text
    assert "hush-hush" not in text
    assert "agent 1" not in text


async def test_unknown_path_is_a_problem(server: Server) -> None:
    """
    What is not there is answered as RFC 9457 says.
    """
    async with server.http.get(f"{server.url}/v1/nowhere") as response:
        answer = await response.json(content_type="application/problem+json")

    assert (404, 404) == (response.status, answer["status"])


async def test_wrong_method_is_a_problem(server: Server) -> None:
    """
    A method a path does not know names those it does.
    """
    async with server.http.post(f"{server.url}/healthz") as response:
        answer = await response.json(content_type="application/problem+json")

    assert (405, 405) == (response.status, answer["status"])
    assert "GET" in response.headers["Allow"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield the folder of a Postgres of this test's own, which it may stop and start."""
    root = Path(tempfile.mkdtemp(prefix="overdial-away-"))
    root.chmod(0o755)
    try:
        yield root / "data"
    finally:
        embedded.stop(root / "data")
        shutil.rmtree(root, ignore_errors=True)


async def test_postgres_away_in_mid_shift(folder: Path) -> None:
    """
    While Postgres is away the socket stays open, and it catches up by itself afterwards.
    """
    dsn, _ = embedded.start(folder, extra="fsync = off\n")
    await database.migrate(dsn)
    pool = await database.open_pool(dsn, size=4)
    world = await World(pool).build()
    session_id = await world.add_agent(state=AgentState.PAUSED)
    agent_id = (await world.session(session_id))["agent_id"]
    token = await give_token(pool, agent_id, "a token")
    async with api(dsn, pool) as server:
        screen = await server.screen(token)
        await screen.told("state", state="paused")

        embedded.stop(folder)
        await screen.say("ready")
        lost = await screen.told("error")
        async with server.http.get(f"{server.url}/readyz") as ready:
            while_away = ready.status
        embedded.start(folder)
        await pool.execute(
            "UPDATE agent_session SET pause_reason = 'back' WHERE id = $1", session_id
        )
        await screen.told("state", reason="back")
        await screen.say("ready")
        await screen.told("state", state="ready")
    await pool.close()

    assert "database_away" == lost["code"]
    assert 503 == while_away
