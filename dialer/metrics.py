"""Metrics, and the small HTTP server every process without one of its own shows them on.

`/healthz` says that the process runs its loop, `/readyz` whether it can do its work, `/metrics`
what it has counted, in Prometheus's text format. Loopback only: whoever scrapes from elsewhere puts
a proxy before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from campaigns.errors import UserError

HOST = "127.0.0.1"
READY_TIMEOUT_S = 2.0

# Why a process is not ready, None when it is.
Readiness = Callable[[], Awaitable[str | None]]

attempts_ended = Counter(
    "dialer_attempts_ended", "Call attempts closed.", ["campaign", "outcome", "verdict"]
)
calls_started = Counter("dialer_calls_started", "Calls ordered from line processes.", ["campaign"])
decisions_made = Counter(
    "dialer_decisions", "Pacing decisions by the limit that decided.", ["campaign", "bound"]
)
tick_seconds = Histogram(
    "dialer_tick_seconds",
    "Snapshot, decision and claim of one campaign.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
campaigns_held = Gauge("dialer_campaigns_held", "Campaigns this engine holds the lease of.")
agents_logged_in = Gauge("dialer_agents", "Agents of a campaign by state.", ["campaign", "state"])
calls_in_flight = Gauge("dialer_calls_in_flight", "Calls nobody has answered yet.", ["campaign"])
answered_by_person = Gauge(
    "dialer_answered_by_person",
    "People who answered, per accounting window.",
    ["campaign", "window"],
)
abandoned_calls = Gauge(
    "dialer_abandoned", "Abandoned calls, per accounting window.", ["campaign", "window"]
)
database_away = Gauge("dialer_database_away", "1 while Postgres cannot be reached.")


def routes(readiness: Readiness) -> list[web.RouteDef]:
    """Return the three endpoints, for a process that has an HTTP server of its own."""

    async def healthz(request: web.Request) -> web.Response:
        del request
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        del request
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                detail = await readiness()
        except TimeoutError:
            detail = "Postgres does not answer."
        if detail is not None:
            return web.json_response({"status": "not ready", "detail": detail}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


@contextlib.asynccontextmanager
async def served(readiness: Readiness, *, host: str = HOST, port: int = 0) -> AsyncIterator[str]:
    """Serve the endpoints while the block runs; yield their address, "host:port".

    Port 0 takes a free one. Raises `UserError` when a given port is taken.
    """
    application = web.Application()
    application.add_routes(routes(readiness))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise UserError(
                f"Port {port} on {host} for health and metrics cannot be opened "
                f"({error.strerror}): set DIALER_METRICS_PORT to a free one, or to 0."
            ) from None
        bound = runner.addresses[0][1]
        yield f"{host}:{bound}"
    finally:
        await runner.cleanup()
