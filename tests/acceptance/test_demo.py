"""`make demo`, for real: carrier, phones, Postgres, `dialer serve`, a campaign, and its books."""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]
DEMO = (sys.executable, "-m", "demo", "--fast", "--leads", "40", "--seed", "7")
INTERRUPTED = 130
WHOLE_RUN_S = 360


@asynccontextmanager
async def demo(*arguments: str, place: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the demo with *place* for its temporary files; it is ended if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *DEMO,
        *arguments,
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(place)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder that the embedded Postgres, without root's rights, can get into."""
    folder = Path(tempfile.mkdtemp(prefix="overdial-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def left_of(place: Path) -> list[str]:
    """Return the processes that still work for a demo in *place*."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("DIALER_DATA", "")]
        except psutil.Error:
            continue
        if any(word.startswith(str(place)) for word in words):
            found.append(f"{process.pid} {' '.join(words)}")
    return found


def files_in(place: Path) -> list[str]:
    """Return what a demo left behind in *place*."""
    # The embedded Postgres leaves the lock that its starters share.
    return [path.name for path in place.iterdir() if path.name != ".lockfile"]


async def text_of(process: asyncio.subprocess.Process) -> str:
    """Return all the process says until its end."""
    assert process.stdout is not None
    async with asyncio.timeout(WHOLE_RUN_S):
        said = (await process.stdout.read()).decode()
        await process.wait()
    return said


async def test_a_whole_campaign(place: Path) -> None:
    """
    The demo calls a list, and every call of ours is in the carrier's log with the same ending.
    """
    async with demo(place=place) as process:
        said = await text_of(process)

    assert process.returncode == 0, said
    compared = re.search(r"(\d+) calls compared with the carrier's own log: all agree\.", said)
    assert compared is not None
    # 40 rows: 2 duplicates, 2 bad ones, and 2 people who asked not to be called.
    assert int(compared[1]) >= 34
    assert "$ dialer leads import leads.csv --campaign spring" in said
    assert "SEEDED, NOT REAL" in said
    assert "✗" not in said
    assert [] == left_of(place)
    assert [] == files_in(place)


async def test_stopped_in_mid_campaign(place: Path) -> None:
    """
    Ctrl-C in the middle of calling ends every process the demo started.
    """
    async with demo(place=place) as process:
        assert process.stdout is not None
        async with asyncio.timeout(WHOLE_RUN_S):
            async for line in process.stdout:
                if b"joined" in line and not line.startswith(b"  0:00"):
                    break
        process.send_signal(signal.SIGINT)
        said = await text_of(process)

    assert process.returncode == INTERRUPTED, said
    assert "all agree" not in said
    assert [] == left_of(place)
    assert [] == files_in(place)


async def test_too_few_leads(place: Path) -> None:
    """
    Misuse is one sentence and exit code 2, before anything is started.
    """
    async with demo("--leads", "1", place=place) as process:
        said = await text_of(process)

    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert [] == files_in(place)
