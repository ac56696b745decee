"""`dialer api`: the process that serves HTTP and agents' sockets on loopback."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from campaigns.errors import UserError
from campaigns.model import ProcessKind
from campaigns.stores import database
from dialer import logs
from dialer.api.app import build
from dialer.api.desk import Desk
from dialer.config import Config
from dialer.notify import Channel, Listener, Notifier
from dialer.processes import Endpoints, Process
from dialer.supervision import DATABASE_AWAY, supervised

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
POOL_SIZE = 8
# How long open requests may take to finish at a shutdown, in seconds.
SHUTDOWN_S = 3.0


async def run(config: Config) -> None:
    """Serve until a signal; raises `UserError` when the port is taken or Postgres is not there."""
    if config.database_url is None:
        raise ValueError("the API needs a database_url")
    logs.configure_from(config)
    pool = await database.open_pool(config.database_url, size=POOL_SIZE)
    try:
        await _serve(config.database_url, config.api_port, pool)
    finally:
        await pool.close()


async def _serve(dsn: str, port: int, pool: Pool) -> None:
    process = Process(pool, ProcessKind.API, endpoints=Endpoints(address=f"{HOST}:{port}"))
    notifier = Notifier(dsn)
    desk = Desk(pool, notifier, process.clock.now)
    runner = web.AppRunner(build(pool, desk), access_log=None, shutdown_timeout=SHUTDOWN_S)
    try:
        # From here on a signal is a wish to end in order, even if it comes before the start.
        async with supervised() as supervisor:
            await runner.setup()
            await _listen(runner, port)
            await process.register()
            log.info("api_started", address=f"{HOST}:{port}", process=str(process.id))
            tasks = [
                supervisor.spawn("heartbeat", process.run()),
                supervisor.spawn("notifier", notifier.run()),
                supervisor.spawn("listener", Listener(dsn, (Channel.AGENTS,), desk.hear).run()),
                supervisor.spawn("screens", desk.run()),
            ]
            await supervisor.stopping.wait()
            await runner.cleanup()
            for task in tasks:
                task.cancel()
    finally:
        await runner.cleanup()
        with contextlib.suppress(*DATABASE_AWAY):
            await process.end()
    log.info("api_stopped", process=str(process.id))


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"Port {port} on {HOST} is in use by another program: end that one, "
                "or set DIALER_API_PORT to a free port."
            ) from None
        if error.errno == errno.EACCES:
            raise UserError(
                f"Port {port} needs more rights than this user has: set DIALER_API_PORT to one "
                "above 1023."
            ) from None
        raise
