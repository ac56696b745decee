"""kill -9 of each process in mid-campaign: nobody called twice, nothing lost, nothing stuck."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.acceptance.centre import Centre
from tests.laboratory import DialerProcess, eventually, free_rtp_range, free_sip_port

if TYPE_CHECKING:
    from pathlib import Path


async def _finish(centre: Centre) -> None:
    """Let the campaign run to its end and hold it to its promises."""
    await centre.until_called()
    await centre.stop()
    await centre.check_books()
    seen, written = await centre.calls_per_number(), await centre.charged_per_number()
    assert all(count <= written.get(number, 0) for number, count in seen.items())


async def test_engine_is_killed(tmp_path: Path) -> None:
    """Conversations outlive their engine; another one takes the lease and finishes the campaign."""
    async with Centre(tmp_path) as centre:
        await centre.start()
        await centre.until_bridged()
        talking = await centre.pool.fetchval(
            "SELECT id FROM live_attempt WHERE state = 'bridged' ORDER BY joined_at DESC LIMIT 1"
        )
        await centre.engine.kill()
        centre.engine = centre.child("engine")
        await centre.engine.start()
        await _finish(centre)

        outcome = await centre.pool.fetchrow(
            "SELECT outcome, ended_by FROM attempt WHERE id = $1", talking
        )
        assert outcome is not None
        assert "answered" == outcome["outcome"]


async def test_line_process_is_killed(tmp_path: Path) -> None:
    """A successor ends the orphaned calls, agents are called again, the campaign goes on."""
    async with Centre(tmp_path) as centre:
        await centre.start()
        await centre.until_bridged()
        await centre.lines[0].kill()
        centre.lines[0] = centre.child("lines", "--index", "0")
        await centre.lines[0].start()

        async def back() -> bool:
            found: int = await centre.pool.fetchval(
                "SELECT count(*) FROM agent_session WHERE state <> 'offline'"
            )
            return found == centre.agent_count

        await eventually(back, "every agent is on the line again")
        await _finish(centre)
        interrupted = await centre.pool.fetchval(
            "SELECT count(*) FROM attempt WHERE outcome = 'interrupted'"
        )

        assert interrupted >= 1


async def test_a_surviving_line_process_keeps_its_conversations(tmp_path: Path) -> None:
    """With two line processes, killing one drops no conversation of the other."""
    async with Centre(tmp_path, line_processes=2, agent_count=4) as centre:
        await centre.start()
        await centre.until_bridged()
        victim, survivor = centre.lines
        rows = await centre.pool.fetch("SELECT id, pid FROM process WHERE kind = 'lines'")
        by_pid = {row["pid"]: row["id"] for row in rows}
        used = await centre.pool.fetchval(
            "SELECT process_id FROM live_attempt WHERE state = 'bridged' LIMIT 1"
        )
        if by_pid[victim.pid] == used:
            victim, survivor = survivor, victim
        talking = [
            row["id"]
            for row in await centre.pool.fetch(
                "SELECT id FROM live_attempt WHERE process_id = $1 AND state = 'bridged'",
                by_pid[survivor.pid],
            )
        ]
        await victim.kill()
        await _finish(centre)
        outcomes = await centre.pool.fetch(
            "SELECT outcome FROM attempt WHERE id = ANY($1::uuid[])", talking
        )

        assert {"answered"} == {row["outcome"] for row in outcomes}


async def test_postgres_is_killed(tmp_path: Path) -> None:
    """Postgres dies and comes back: conversations go on meanwhile, and the books still balance."""
    async with Centre(tmp_path) as centre:
        await centre.start()
        await centre.until_bridged()
        pid = int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: _gone(pid), "Postgres is gone")
        from dialer import embedded  # noqa: PLC0415 - restarts what was killed

        async def up() -> bool:
            embedded.start(tmp_path / "postgres")
            return True

        await eventually(up, "Postgres runs again")
        await _finish(centre)


async def test_serve_revives_its_postgres(tmp_path: Path) -> None:
    """The embedded Postgres of `serve`, killed, is started again without anybody's help."""
    _open_to_postgres(tmp_path)
    low, high = free_rtp_range(100)
    serve = DialerProcess(
        ("serve",),
        {
            "DIALER_DATA": str(tmp_path),
            "DIALER_SIP_PORT": str(free_sip_port()),
            "DIALER_API_PORT": str(free_sip_port()),
            "DIALER_RTP_LOW": str(low),
            "DIALER_RTP_HIGH": str(high),
            "DIALER_DRAIN_S": "0",
        },
        tmp_path / "serve.log",
    )
    pid_file = tmp_path / "postgres" / "postmaster.pid"

    async def ready() -> bool:
        return "Ready" in serve.log.read_text()

    async def back() -> bool:
        return "database_back" in serve.log.read_text() or (
            pid_file.exists() and int(pid_file.read_text().split()[0]) != killed
        )

    try:
        await serve.start()
        await eventually(ready, "serve is ready")
        killed = int(pid_file.read_text().split()[0])
        os.kill(killed, signal.SIGKILL)

        assert await eventually(back, "Postgres runs again")
    finally:
        await serve.stop()


def _open_to_postgres(folder: Path) -> None:
    """Let the embedded Postgres, which gives up root's rights, reach its folder."""
    folder.chmod(0o755)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)


async def _second_serve(centre: Centre) -> str:
    """Try to start one `serve` too many; return what it said, which must be a refusal."""
    second = centre.child("serve")
    second.log = centre.folder / "second-serve.log"
    await second.start()
    assert second.process is not None
    assert 2 == await second.process.wait()
    return second.log.read_text()


async def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_serve_is_killed(tmp_path: Path) -> None:
    """A new `serve` adopts the children of the killed one and starts nothing twice."""
    async with Centre(tmp_path) as centre:
        serve = centre.child("serve")
        await serve.start()
        await centre.agents_at_work()
        await centre.begin()
        await centre.until_bridged()
        before = {
            row["pid"]
            for row in await centre.pool.fetch(
                "SELECT pid FROM process WHERE ended_at IS NULL AND kind <> 'serve'"
            )
        }
        await serve.kill()
        again = centre.child("serve")
        await again.start()

        async def adopted() -> bool:
            return "Found running" in again.log.read_text() and "Ready" in again.log.read_text()

        await eventually(adopted, "the new serve has adopted the children")
        assert "runs already" in await _second_serve(centre)
        await _finish(centre)
        after = {
            row["pid"]
            for row in await centre.pool.fetch(
                "SELECT pid FROM process WHERE ended_at IS NULL AND kind <> 'serve'"
            )
        }
        await again.stop()

        assert before == after
