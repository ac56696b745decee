"""`/healthz`, `/readyz`, `/metrics`: for whoever watches over the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from campaigns.errors import DatabaseError
from campaigns.model import ProcessKind
from campaigns.stores import database
from dialer import processes
from dialer.supervision import DATABASE_AWAY

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

READY_TIMEOUT_S = 2.0


class Health:
    """The three endpoints of the API process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def healthz(self, request: web.Request) -> web.Response:
        """Say that this process runs its loop; nothing about others."""
        del request
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Say whether requests can be served: Postgres answers and has this program's schema.

        Line processes and engines are reported, not required: agents may log in before they are up.
        """
        del request
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                async with self._pool.acquire() as connection:
                    await database.require_current(connection)
                lines = await processes.alive(self._pool, ProcessKind.LINES)
                engines = await processes.alive(self._pool, ProcessKind.ENGINE)
        except DatabaseError as error:
            return _not_ready(str(error))
        except DATABASE_AWAY:
            return _not_ready("Postgres does not answer.")
        return web.json_response(
            {"status": "ready", "line_processes": len(lines), "engines": len(engines)}
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Return this process's metrics in Prometheus's text format."""
        del request
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _not_ready(why: str) -> web.Response:
    return web.json_response({"status": "not ready", "detail": why}, status=503)
