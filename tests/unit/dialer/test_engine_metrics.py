"""The health and metrics endpoints of a process without a server of its own."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from campaigns.errors import UserError
from dialer import metrics


async def get(address: str, path: str) -> tuple[int, str]:
    """Return status and body of a page."""
    async with (
        asyncio.timeout(10),
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}{path}") as response,
    ):
        return response.status, await response.text()


async def test_a_ready_process_says_so() -> None:
    """
    Health, readiness and metrics answer on a free port of loopback.
    """
    metrics.calls_started.labels(campaign="spring").inc(3)

    async def ready() -> None:
        return None

    async with metrics.served(ready) as address:
        assert (200, '{"status": "ok"}') == await get(address, "/healthz")
        assert (200, '{"status": "ready"}') == await get(address, "/readyz")
        status, body = await get(address, "/metrics")

    assert 200 == status
    assert 'dialer_calls_started_total{campaign="spring"} 3.0' in body


async def test_a_process_that_cannot_work_says_why() -> None:
    """
    Readiness is a 503 with one sentence, while the process is alive and says so.
    """

    async def not_ready() -> str:
        return "Postgres does not answer."

    async with metrics.served(not_ready) as address:
        status, body = await get(address, "/readyz")
        assert 200 == (await get(address, "/healthz"))[0]

    assert 503 == status
    assert "Postgres does not answer." in body


async def test_a_taken_port_is_an_error() -> None:
    """
    A given port that somebody else holds is refused, not silently replaced.
    """

    async def ready() -> None:
        return None

    async with metrics.served(ready) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(UserError, match="DIALER_METRICS_PORT"):
            async with metrics.served(ready, port=port):
                pass
