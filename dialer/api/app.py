"""The HTTP application: routes, problems as RFC 9457, and nothing that a proxy could misread."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from campaigns.errors import DatabaseError
from campaigns.model import new_id
from campaigns.stores import database
from dialer import metrics
from dialer.api import socket
from dialer.api.desk import Desk
from dialer.supervision import DATABASE_AWAY

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

log = structlog.get_logger(__name__)

LARGEST_BODY = 64 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(pool: Pool, desk: Desk) -> web.Application:
    """Return the application; its owner runs `desk.run` beside it."""
    app = web.Application(middlewares=[problems], client_max_size=LARGEST_BODY)
    app.add_routes(metrics.routes(functools.partial(not_ready, pool)))
    app.add_routes([web.get(socket.PATH, socket.Door(desk).handle)])

    async def close_screens(_: web.Application) -> None:
        await desk.close()

    app.on_shutdown.append(close_screens)
    return app


async def not_ready(pool: Pool) -> str | None:
    """Return why requests cannot be served, None when Postgres answers with our schema.

    Line processes and engines are not asked for: agents may log in before those are up.
    """
    try:
        async with pool.acquire() as connection:
            await database.require_current(connection)
    except DatabaseError as error:
        return str(error)
    except DATABASE_AWAY:
        return "Postgres does not answer."
    return None


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into `application/problem+json`; what went wrong inside stays inside."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _problem(error.status, error.reason, (error.text or "").strip(), error)
    except Exception:
        request_id = str(new_id())
        log.exception("request_failed", path=request.path, request=request_id)
        return _problem(500, "Internal Server Error", f"Look for request {request_id} in the log.")


def _problem(
    status: int, title: str, detail: str, error: web.HTTPException | None = None
) -> web.Response:
    response = web.json_response(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )
    for name in ("Allow", "Retry-After"):
        if error is not None and name in error.headers:
            response.headers[name] = error.headers[name]
    return response
