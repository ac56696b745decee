"""One run of a command: its settings, its database, and what becomes of its errors."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import typer

from campaigns.errors import LeaseLost, OverdialError, UserError
from campaigns.stores import database
from dialer import config as settings
from dialer import embedded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from campaigns.stores.database import Pool
    from dialer.config import Config

T = TypeVar("T")

MISUSE = 2
BROKEN = 1
INTERRUPTED = 130


@dataclass(slots=True)
class Session:
    """What the options before the command's name said; settings are read when first needed."""

    config_file: Path | None = None
    database_url: str | None = None
    _config: Config | None = None
    _embedded: embedded.Use | None = None

    @property
    def config(self) -> Config:
        """Return the settings; raises `UserError`."""
        if self._config is None:
            self._config = settings.load(self.config_file, database_url=self.database_url)
        return self._config

    def dsn(self) -> str:
        """Return the DSN in use, starting the embedded Postgres and naming its folder if needed.

        It runs until `close`, or until other commands that use it have ended too.
        """
        config = self.config
        if config.database_url is not None:
            return config.database_url
        if self._embedded is None:
            self._embedded = embedded.use(config.data / "postgres")
            note(f"Embedded Postgres in {self._embedded.folder}")
        return self._embedded.dsn

    def embedded_postgres(self) -> embedded.Use:
        """Return the embedded Postgres, held until `close`; `UserError` if it is not used."""
        self.dsn()
        if self._embedded is None:
            raise UserError(
                "A Postgres of your own is set (DIALER_DATABASE_URL or --database-url): call its "
                "programs yourself."
            )
        return self._embedded

    def close(self) -> None:
        """End the command: the embedded Postgres stops with its last user."""
        held, self._embedded = self._embedded, None
        if held is not None:
            held.leave()

    def with_dsn(self) -> Config:
        """Return the settings with `database_url` filled in: what the service processes take."""
        return self.config.model_copy(update={"database_url": self.dsn()})

    def run(self, work: Callable[[Pool], Awaitable[T]]) -> T:
        """Open the database, check its schema, and return what *work* returns."""
        return asyncio.run(self._with_pool(self.dsn(), work))

    async def _with_pool(self, dsn: str, work: Callable[[Pool], Awaitable[T]]) -> T:
        async with opened(dsn, new_is_ours=self.config.database_url is None) as pool:
            return await work(pool)


@asynccontextmanager
async def opened(dsn: str, *, new_is_ours: bool = False) -> AsyncIterator[Pool]:
    """Yield a pool on a database whose schema is current; raises `DatabaseError`.

    A database without any schema is given one when it is the embedded one (*new_is_ours*): nobody
    else can want it otherwise.
    """
    connection = await database.connect(dsn)
    try:
        if new_is_ours and not await database.applied(connection):
            await database.migrate(dsn)
        await database.require_current(connection)
    finally:
        await connection.close()
    pool = await database.open_pool(dsn)
    try:
        yield pool
    finally:
        await pool.close()


async def wake(pool: Pool, channel: str, payload: object = "") -> None:
    """Send a hint to other processes, outside any transaction; their poll is the guarantee."""
    await pool.execute("SELECT pg_notify($1, $2)", channel, str(payload))


def of(context: typer.Context) -> Session:
    """Return the session the top-level command made."""
    session = context.find_root().obj
    if not isinstance(session, Session):
        session = Session()
        context.find_root().obj = session
    return session


def note(text: str) -> None:
    """Say something to the person that is no part of the result: on standard error."""
    typer.echo(text, err=True)


def guarded(command: Callable[[], object]) -> int:
    """Run *command* and return the exit code, after one line about whatever went wrong."""
    try:
        result = command()
    except typer.Exit as leave:
        return leave.exit_code
    except BaseException as error:  # noqa: BLE001 - the last line of defence: no trace on screen
        return _explain(_innermost(error))
    return result if isinstance(result, int) else 0


def _innermost(error: BaseException) -> BaseException:
    """Return what went wrong in a task group: the first error made for people, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    parts = [_innermost(part) for part in error.exceptions]
    return next((part for part in parts if isinstance(part, OverdialError)), parts[0])


def _explain(error: BaseException) -> int:
    """Say what happened in one line and return the exit code."""
    match error:
        case KeyboardInterrupt() | typer.Abort():
            note("Stopped.")
            return INTERRUPTED
        case SystemExit():
            return error.code if isinstance(error.code, int) else BROKEN
        case UserError():
            note(str(error))
            return MISUSE
        case LeaseLost():
            note(f"This process stopped: {error}.")
            return BROKEN
        case typer.TyperException():
            return _explain_misuse(error)
        case BrokenPipeError():
            # Our reader has gone (`| head`): not an error. Keep the interpreter from saying so.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN
        case asyncpg.InsufficientPrivilegeError():
            note(
                "The Postgres role in use may not read or write Overdial's tables: grant it what "
                "docs/howto/own-postgres.md lists."
            )
            return MISUSE
        case asyncpg.PostgresConnectionError() | asyncpg.CannotConnectNowError():
            note(
                f"Postgres ended the connection ({type(error).__name__}): check that it runs, "
                "then try again."
            )
            return MISUSE
        case _:
            note(_record(error))
            return BROKEN


def _explain_misuse(error: typer.TyperException) -> int:
    message = error.format_message().strip()
    context = getattr(error, "ctx", None)
    if message and context is not None:
        stop = "" if message[-1] in ".?" else "."
        message = f"{message}{stop} See `{context.command_path} --help`."
    if message:
        note(message)
    return error.exit_code


def _record(error: BaseException) -> str:
    """Write the stack trace where it can be found and return the sentence that says where."""
    try:
        folder = settings.load().data / "logs"
    except UserError:
        folder = settings.default_data_folder() / "logs"
    path = folder / "errors.log"
    what = f"Something unexpected went wrong ({type(error).__name__})"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(f"--- {datetime.now(UTC).isoformat()} {sys.argv[1:3]}\n")
            out.write("".join(traceback.format_exception(error)))
        path.chmod(0o600)
    except OSError as failed:
        return f"{what}, and {path} cannot be written ({failed.strerror}): please report it."
    return f"{what}: the details are in {path}; please report it."
