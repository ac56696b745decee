"""The embedded Postgres beside those of other users of the machine."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from dialer import cli, embedded
from dialer.embedded import Left


@pytest.fixture(scope="module")
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


def test_last_user_stops_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A command that ends leaves it to whoever else uses it, and the last one stops it.
    """
    monkeypatch.setenv("DIALER_DATA", str(folder))
    long_command = embedded.use(folder / "postgres")

    with pytest.raises(SystemExit) as left:
        cli.main(["campaign", "list"])
    assert 0 == left.value.code, capsys.readouterr().err
    assert _runs(folder)

    assert Left.STOPPED is long_command.leave()
    assert not _runs(folder)

    with pytest.raises(SystemExit):
        cli.main(["campaign", "status", "nobody"])
    assert "There is no campaign 'nobody'" in capsys.readouterr().err
    assert not _runs(folder)


def test_its_own_programs_run_on_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    `dialer postgres` runs a program of the cluster's on it, options and exit code included.
    """
    monkeypatch.setenv("DIALER_DATA", str(folder))

    with pytest.raises(SystemExit) as left:
        cli.main(["postgres", "psql", "-At", "--command", "SELECT 6 * 7"])

    assert (0, "42\n") == (left.value.code, capfd.readouterr().out)
    assert not _runs(folder)


async def test_parts_of_a_killed_serve_keep_it(folder: Path) -> None:
    """
    Whoever is connected without holding it, as the parts of a killed `serve` are, keeps it up.
    """
    use = embedded.use(folder / "postgres")
    part = await asyncpg.connect(use.dsn)

    left = await asyncio.to_thread(use.leave)

    assert Left.IN_USE is left
    assert 1 == await part.fetchval("SELECT 1")
    await part.close()


def _runs(folder: Path) -> bool:
    return (folder / "postgres" / "postmaster.pid").exists()


def _forbidden(*_: object, **__: object) -> bool:
    raise PermissionError("[Errno 13] Permission denied: '/tmp/.lockfile'")
