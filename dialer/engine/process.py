"""`dialer engine`: the process around an `Engine`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import structlog

from campaigns.errors import UserError
from campaigns.model import ProcessKind
from campaigns.stores import database
from dialer import logs, metrics
from dialer.engine.engine import Engine
from dialer.notify import Channel, Listener, Notifier
from dialer.processes import Endpoints, Process
from dialer.supervision import DATABASE_AWAY, supervised

if TYPE_CHECKING:
    from dialer.config import Config

log = structlog.get_logger(__name__)

POOL_SIZE = 8


async def run_engine(config: Config) -> None:
    """Run an engine until SIGINT or SIGTERM; raises `DatabaseError` when Postgres is not there."""
    if config.database_url is None:
        raise UserError("An engine needs DIALER_DATABASE_URL.")
    logs.configure_from(config)
    # Compiling a plan takes longer than any of the engine's statements runs.
    pool = await database.open_pool(config.database_url, size=POOL_SIZE, settings={"jit": "off"})
    try:
        await _serve(config.database_url, pool, metrics_port=config.metrics_port)
    finally:
        await pool.close()


async def _serve(dsn: str, pool: database.Pool, *, metrics_port: int) -> None:
    process = Process(pool, ProcessKind.ENGINE)
    notifier = Notifier(dsn)
    engine = Engine(pool, process, notifier)
    async with metrics.served(engine.ready, port=metrics_port) as address:
        process.endpoints = Endpoints(address=address)
        await process.register()
        log.info("engine_started", process=str(process.id), address=address)
        try:
            async with supervised() as supervisor:
                background = [
                    supervisor.spawn("heartbeat", process.run()),
                    supervisor.spawn("notifier", notifier.run()),
                    supervisor.spawn(
                        "listener", Listener(dsn, (Channel.ENGINE,), engine.hear).run()
                    ),
                ]
                await engine.run(supervisor)
                for task in background:
                    task.cancel()
        finally:
            with contextlib.suppress(*DATABASE_AWAY):
                await process.end()
    log.info("engine_stopped", process=str(process.id))
