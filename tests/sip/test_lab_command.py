"""The lab's command line: what it prints, what it refuses, how it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from siplab import probe
from siplab.books import Books
from siplab.carrier import Carrier, Pace

PATIENCE_S = 60.0


async def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, output and errors of one command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "siplab", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Return a command that goes on until the context ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *("-m", "siplab", *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()


async def ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return the line a command prints when it is ready."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        answer: dict[str, Any] = json.loads(await process.stdout.readline())
    return answer


async def until_gone(pid: int) -> None:
    """Wait until no process has that id."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.05)


async def test_carrier_as_a_program(tmp_path: Path) -> None:
    """
    The command starts a carrier, says where, and takes it along when it is told to end.
    """
    async with running("carrier", "--folder", str(tmp_path), "--talk", "2") as command:
        started = await ready(command)
        busy = await probe.stray_invite("127.0.0.1", started["port"], user="+12125550145")

    assert 486 == busy.status
    assert 0 == command.returncode
    await until_gone(started["pid"])
    code, output, _ = await run("books", str(tmp_path))
    assert (0, "+12125550145") == (code, json.loads(output)["dialed"])


async def test_carrier_in_a_folder_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A relative folder is one of the working folder, not one inside itself.
    """
    monkeypatch.chdir(tmp_path)
    async with running("carrier", "--folder", "lab") as command:
        started = await ready(command)

    assert (tmp_path / "lab" / "wire-1.log").exists()
    assert str(tmp_path / "lab") == started["folder"]


async def test_phones_on_a_taken_port(tmp_path: Path) -> None:
    """
    Phones do not start on a port somebody else answers at.
    """
    async with Carrier(tmp_path, pace=Pace(ring=1, talk=1)) as carrier:
        taken = await run("phones", "--port", str(carrier.port))

    assert 2 == taken[0]
    assert "cannot be used: Address already in use" in taken[2]


async def test_carrier_dies_with_its_killed_command(tmp_path: Path) -> None:
    """
    Even a command that is killed leaves no SIPp behind.
    """
    async with running("carrier", "--folder", str(tmp_path)) as command:
        started = await ready(command)
        command.send_signal(signal.SIGKILL)
        await command.wait()
        await until_gone(started["pid"])


async def test_command_notices_that_its_carrier_is_gone(tmp_path: Path) -> None:
    """
    A carrier that dies under its command ends it with an error.
    """
    async with running("carrier", "--folder", str(tmp_path)) as command:
        os.kill((await ready(command))["pid"], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            assert 1 == await command.wait()


async def test_numbers_are_printed_with_their_behaviour() -> None:
    """
    A list of leads' numbers can be made on the command line, the same for the same seed.
    """
    first = await run("numbers", "--count", "30", "--seed", "4", "--countries", "gb,fr")
    second = await run("numbers", "--count", "30", "--seed", "4", "--countries", "gb,fr")

    assert first == second
    lines = first[1].splitlines()
    assert 30 == len(lines)
    assert {"+44", "+33"} == {line[:3] for line in lines}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("carrier", "--folder", "x", "--talk", "-1"),
            "must be a number of seconds from 0 to 3600",
        ),
        (("carrier", "--folder", "x", "--talk", "long"), "must be a number of seconds"),
        (("carrier", "--folder", "x", "--digest", "user"), "--digest wants USER:PASSWORD"),
        (("carrier", "--folder", "x", "--digest", 'u:p"w'), "letters, digits and _.@- only"),
        (("carrier",), "--folder"),
        (("phones", "--count", "0"), "--count must lie between 1 and 1000"),
        (("phones", "--port", "99999999"), "must be a port"),
        (("numbers", "--countries", "XX"), "no range reserved for fiction is known for 'XX'"),
        (("books", "/nowhere"), "no such folder"),
        ((), "COMMAND"),
    ],
)
async def test_misuse_is_one_clear_sentence(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    """
    Wrong arguments end with exit code 2 and the reason, never with a stack trace.
    """
    placed = [str(tmp_path) if argument == "x" else argument for argument in arguments]
    code, _, errors = await run(*placed)

    assert 2 == code
    assert complaint in errors
    assert "Traceback" not in errors


async def test_port_in_use_is_told_by_the_command(tmp_path: Path) -> None:
    """
    A taken port is one sentence and exit code 2.
    """
    async with Carrier(tmp_path / "first", pace=Pace(ring=1, talk=1)) as carrier:
        port = str(carrier.port)
        taken = await run("carrier", "--folder", str(tmp_path / "second"), "--port", port)

    assert 2 == taken[0]
    assert f"siplab: port {port} on 127.0.0.1 cannot be used: Address already in use\n" == taken[2]


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """
    Books that are being written are read up to their last complete line, and on from there.
    """
    wire = tmp_path / "wire-1.log"
    invite = "d\tt\t10.5\tR\tid1\tCSeq:1 INVITE\tINVITE sip:+12125550145@127.0.0.1 SIP/2.0\n"
    answer = "d\tt\t10.6\tS\tid1\tCSeq:1 INVITE\tSIP/2.0 486 Busy Here\n"
    books = Books(tmp_path)
    wire.write_text(invite + answer[:20])
    assert [None] == [call.status for call in books.calls()]

    wire.write_text(invite + answer)
    assert [486] == [call.status for call in books.calls()]


def test_description_may_come_before_the_call(tmp_path: Path) -> None:
    """
    The two files of the books are not written in step: the reader puts them together.
    """
    described = "call\tid1\t+12125550145\tbusy\t <sip:+12025550100@127.0.0.1>;tag=a\n"
    (tmp_path / "wire-1.log").touch()
    (tmp_path / "calls-1.log").write_text(described)
    books = Books(tmp_path)
    assert [] == books.calls()

    (tmp_path / "wire-1.log").write_text(
        "d\tt\t10.5\tR\tid1\tCSeq:1 INVITE\tINVITE sip:+12125550145@127.0.0.1 SIP/2.0\n"
    )
    assert ["+12025550100"] == [call.caller for call in books.calls()]
