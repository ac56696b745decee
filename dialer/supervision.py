"""The root of every process: one task group, named side tasks, signals, drain, retries.

A side task that dies takes the process down loudly. A stop is a state, not an exception: `stopping`
is set, the tasks see it at their next turn and finish what they hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog

from campaigns.errors import DatabaseError, UserError

log = structlog.get_logger(__name__)

# What says that Postgres is away, as opposed to a statement being wrong.
DATABASE_AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    DatabaseError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
)


@dataclass(slots=True)
class Backoff:
    """Growing pauses between tries, with jitter so that processes do not retry in step."""

    first_s: float = 0.1
    most_s: float = 2.0
    failures: int = 0

    def failed(self) -> float:
        """Count one more failure and return how long to wait, in seconds."""
        self.failures += 1
        pause = min(self.most_s, self.first_s * 2.0 ** min(self.failures - 1, 16))
        return pause * random.uniform(0.7, 1.0)  # noqa: S311 - jitter, not a secret

    def worked(self) -> bool:
        """Forget the failures; return whether there were any."""
        had = self.failures > 0
        self.failures = 0
        return had


def raise_if_cancelled() -> None:
    """Raise `CancelledError` in a task that was asked to end.

    asyncpg turns a cancellation in mid-statement into an error of its own now and then; whoever
    waits out errors would wait that one out too, and never end.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@dataclass(slots=True)
class Outage:
    """Says once that Postgres is away, and once that it is back, whoever notices."""

    away: bool = False
    backoff: Backoff = field(default_factory=Backoff)

    def began(self, error: BaseException) -> float:
        """Note a failure and return how long to wait before the next try, in seconds.

        Raises `CancelledError` in a task that was asked to end.
        """
        raise_if_cancelled()
        if not self.away:
            self.away = True
            log.warning("database_lost", error=type(error).__name__)
        return self.backoff.failed()

    def ended(self) -> None:
        """Note that Postgres answered."""
        if self.away:
            self.away = False
            log.info("database_back", tries=self.backoff.failures)
        self.backoff.worked()


@dataclass(slots=True)
class Supervisor:
    """Holds the task group of a process and the one event that ends it."""

    group: asyncio.TaskGroup
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def spawn(self, name: str, task: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a named task; its failure ends the process."""
        return self.group.create_task(task, name=name)

    def stop(self, reason: str) -> None:
        """Ask every task to finish."""
        if not self.stopping.is_set():
            log.info("stopping", reason=reason)
            self.stopping.set()

    async def pause(self, seconds: float) -> bool:
        """Wait *seconds* or until the stop, whichever is first; return whether to go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        return not self.stopping.is_set()

    async def repeat(
        self, every_s: float, turn: Callable[[], Awaitable[object]], *, outage: Outage
    ) -> None:
        """Run *turn* every *every_s* seconds until the stop; wait out a Postgres that is away."""
        going = not self.stopping.is_set()
        while going:
            try:
                await turn()
            except DATABASE_AWAY as error:
                going = await self.pause(outage.began(error))
                continue
            outage.ended()
            going = await self.pause(every_s)


@contextlib.asynccontextmanager
async def supervised(
    *, signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
) -> AsyncIterator[Supervisor]:
    """Run a process: yield its supervisor, wait for its tasks, turn *signals* into a stop.

    Leaving the block does not stop the tasks; `Supervisor.stop` does. A second signal changes
    nothing: a drain has its own deadline.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(group)
            for caught in signals:
                loop.add_signal_handler(caught, supervisor.stop, caught.name)
            try:
                yield supervisor
            except BaseException:
                supervisor.stop("failure")
                raise
    except BaseExceptionGroup as failures:
        # What is a sentence for the user alone stays one, rather than a group of one.
        if len(failures.exceptions) == 1 and isinstance(failures.exceptions[0], UserError):
            raise failures.exceptions[0] from None
        raise
    finally:
        for caught in signals:
            loop.remove_signal_handler(caught)
