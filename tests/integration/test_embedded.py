"""The embedded Postgres beside those of other users of the machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from dialer import embedded


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder the embedded Postgres can reach when it has given up root's rights."""
    made = Path(tempfile.mkdtemp(prefix="overdial-embedded-"))
    made.chmod(0o755)
    yield made
    embedded.stop(made / "postgres")
    shutil.rmtree(made)


async def test_lock_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A lock file in /tmp that another user has made keeps nobody from starting and stopping.
    """
    theirs = type(embedded._server(folder / "postgres"))  # noqa: SLF001 - its package
    monkeypatch.setattr(theirs._lock, "acquire", _forbidden)  # noqa: SLF001 - its lock

    dsn, _ = embedded.start(folder / "postgres")
    connection = await asyncpg.connect(dsn)
    answer = await connection.fetchval("SELECT 1")
    await connection.close()
    embedded.stop(folder / "postgres")

    assert 1 == answer
    assert not (folder / "postgres" / "postmaster.pid").exists()


def _forbidden(*_: object, **__: object) -> bool:
    raise PermissionError("[Errno 13] Permission denied: '/tmp/.lockfile'")
