"""The pool, the migrations and the SQLSTATEs worth a sentence of their own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from campaigns.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    # One of our own, or one lent by the pool: a store does not care.
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
    Pool = asyncpg.Pool[asyncpg.Record]

OLDEST_POSTGRES = 15
CONNECT_TIMEOUT_S = 10.0
# Any constant will do; it only has to differ from other programs' in the same cluster.
_MIGRATION_LOCK = 0x0_0D1A_1E4


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file; `checksum` is the SHA-256 of its text."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 that tells an edited migration from the one applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return the migrations shipped with this version, in order."""
    folder = resources.files("campaigns") / "sql" / "migrations"
    found = []
    for entry in folder.iterdir():
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def describe_dsn(dsn: str) -> str:
    """Return where *dsn* points, without user or password."""
    try:
        parts = urlsplit(dsn)
        where = parts.hostname or "the local socket"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the given address"
    return f"{where}{port}{parts.path}"


async def _set_codecs(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
        )


def _explain(dsn: str, error: BaseException) -> DatabaseError:
    where = describe_dsn(dsn)
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return DatabaseError(
            f"There is no such database at {where}: create it, or correct DIALER_DATABASE_URL."
        )
    if isinstance(
        error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError
    ):
        return DatabaseError(
            f"Postgres at {where} refused the user or password: correct DIALER_DATABASE_URL."
        )
    if isinstance(error, ValueError | asyncpg.InterfaceError):
        return DatabaseError(
            "DIALER_DATABASE_URL is not a Postgres address: write it as "
            "postgresql://user:password@host:port/database."
        )
    if isinstance(error, TimeoutError):
        return DatabaseError(
            f"Postgres at {where} did not answer within {CONNECT_TIMEOUT_S:.0f} s: "
            "check that it runs and that DIALER_DATABASE_URL is right."
        )
    return DatabaseError(
        f"Postgres at {where} cannot be reached ({type(error).__name__}): "
        "check that it runs and that DIALER_DATABASE_URL is right."
    )


async def connect(dsn: str) -> Connection:
    """Open one connection with our codecs; raises `DatabaseError` with one clear sentence."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise _explain(dsn, error) from error
    await _check_version(connection, dsn)
    await _set_codecs(connection)
    return connection


async def _keep(connection: Connection) -> None:
    # asyncpg would ask the server to reset the session each time one is given back: a round trip
    # as long as many of the statements themselves.
    del connection


async def open_pool(dsn: str, *, size: int = 4, settings: dict[str, str] | None = None) -> Pool:
    """Open a pool of at most *size* connections; raises `DatabaseError`.

    Every statement is bounded by 30 s, so that a stuck server is an error and not a silence. What
    is lent must be given back without settings, listeners or locks of the session's own.
    """
    await (await connect(dsn)).close()
    return await asyncpg.create_pool(
        dsn,
        # No floor: asyncpg would log a traceback a second for it while Postgres is away.
        min_size=0,
        max_size=size,
        init=_set_codecs,
        reset=_keep,
        command_timeout=30,
        server_settings={
            "application_name": "overdial",
            "timezone": "UTC",
            # Short statements, many of them: compiling one costs more than running it.
            "jit": "off",
            **(settings or {}),
        },
    )


async def _check_version(connection: Connection, dsn: str) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_POSTGRES:
        await connection.close()
        raise DatabaseError(
            f"Postgres at {describe_dsn(dsn)} is version {version.major}: "
            f"Overdial needs {OLDEST_POSTGRES} or newer."
        )


async def applied(connection: Connection) -> dict[int, str]:
    """Return version → checksum of the migrations this database has; empty for a new one."""
    known = await connection.fetchval("SELECT to_regclass('schema_migration') IS NOT NULL")
    if not known:
        return {}
    rows = await connection.fetch("SELECT version, checksum FROM schema_migration")
    return {row["version"]: row["checksum"] for row in rows}


async def migrate(dsn: str) -> list[Migration]:
    """Apply what is missing, each migration in a transaction of its own; return those applied.

    Safe when several processes start at once: an advisory lock lets one work and the others find
    nothing left to do.
    """
    connection = await connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        return await _apply_missing(connection)
    except (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError) as error:
        raise DatabaseError(
            f"The database at {describe_dsn(dsn)} holds tables or types of another program with "
            "our names: give Overdial a database of its own. Nothing was changed."
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseError(
            f"The Postgres role in use may not make tables at {describe_dsn(dsn)}: run "
            "`dialer migrate` as the role that owns them (docs/howto/own-postgres.md)."
        ) from error
    finally:
        await connection.close()


async def _apply_missing(connection: Connection) -> list[Migration]:
    have = await applied(connection)
    shipped = migrations()
    _refuse_foreign(have, shipped)
    missing = [migration for migration in shipped if migration.version not in have]
    # A role that may only read and write rows can still see that nothing is missing.
    for migration in missing:
        async with connection.transaction():
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration ("
                " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migration (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    await connection.execute("SELECT ensure_partitions(clock_timestamp())")
    return missing


def _refuse_foreign(have: dict[int, str], shipped: Sequence[Migration]) -> None:
    known = {migration.version: migration for migration in shipped}
    newer = [version for version in have if version not in known]
    if newer:
        raise DatabaseError(
            f"The database is at schema {max(have)}, newer than this program's "
            f"{max(known)}: upgrade Overdial."
        )
    edited = [v for v, checksum in have.items() if known[v].checksum != checksum]
    if edited:
        raise DatabaseError(
            f"Migration {edited[0]:04d} was changed after this database applied it: "
            "use the program version that made the database, or a new database."
        )


async def require_current(connection: Connection) -> None:
    """Raise `DatabaseError` unless the schema is the one this program was written for."""
    have = await applied(connection)
    shipped = migrations()
    _refuse_foreign(have, shipped)
    missing = [migration for migration in shipped if migration.version not in have]
    if missing:
        at = max(have, default=0)
        raise DatabaseError(
            f"The database is at schema {at}, this program needs {missing[-1].version}: "
            "run `dialer migrate`."
        )


def rows_changed(tag: Any) -> int:
    """Return how many rows a command tag such as `UPDATE 3` speaks of."""
    return int(str(tag).rsplit(" ", 1)[-1])
