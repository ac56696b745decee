"""Commands to running phones, one JSON object a line, over standard input or a UNIX socket.

``{"do": "hang_up", "phone": "agent1"}`` — *do* is one of the names in `COMMANDS`; ``"phone": "*"``
means all of them. Each command is answered by one JSON line with ``"ok"`` true or false.
"""

import asyncio
import contextlib
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from siplab.phones import CallError, Phone, PhoneBank, Wish
from siplab.sdp import Direction

Arguments = Mapping[str, Any]
_LONGEST_LINE = 65536


async def _hang_up(phone: Phone, _arguments: Arguments) -> object:
    await phone.hang_up()
    return None


async def _silent(phone: Phone, _arguments: Arguments) -> object:
    phone.go_silent()
    return None


async def _speak(phone: Phone, _arguments: Arguments) -> object:
    phone.speak_again()
    return None


async def _hold(phone: Phone, arguments: Arguments) -> object:
    await phone.hold(Direction(arguments.get("direction", "sendonly")))
    return None


async def _resume(phone: Phone, _arguments: Arguments) -> object:
    await phone.resume()
    return None


async def _refuse(phone: Phone, arguments: Arguments) -> object:
    phone.refuses_with = str(arguments.get("status", "486 Busy Here"))
    return None


async def _ignore(phone: Phone, _arguments: Arguments) -> object:
    phone.answers = False
    return None


async def _accept(phone: Phone, arguments: Arguments) -> object:
    phone.answers, phone.refuses_with = True, ""
    phone.answer_after = float(arguments.get("after", 0.0))
    return None


async def _press(phone: Phone, arguments: Arguments) -> object:
    await phone.press(str(arguments["digits"]))
    return None


async def _call(phone: Phone, arguments: Arguments) -> object:
    username, password = arguments.get("username", ""), arguments.get("password", "")
    await phone.call(str(arguments["to"]), Wish(str(username), str(password)))
    if pin := arguments.get("pin"):
        await asyncio.sleep(float(arguments.get("pin_after", 1.0)))
        await phone.press(str(pin))
    return None


async def _report(phone: Phone, _arguments: Arguments) -> object:
    return phone.report()


COMMANDS: Mapping[str, Callable[[Phone, Arguments], Awaitable[object]]] = {
    "hang_up": _hang_up,
    "silent": _silent,
    "speak": _speak,
    "hold": _hold,
    "resume": _resume,
    "refuse": _refuse,
    "ignore": _ignore,
    "accept": _accept,
    "press": _press,
    "call": _call,
    "report": _report,
}
"""What a phone can be told to do."""


async def obey(bank: PhoneBank, line: str) -> dict[str, object]:
    """Carry out one command line and return its answer; a bad command is answered, not raised."""
    try:
        arguments = json.loads(line)
        command = COMMANDS[arguments["do"]]
        name = str(arguments.get("phone", "*"))
        phones = list(bank) if name == "*" else [bank[name]]
        results = [await command(phone, arguments) for phone in phones]
    except (CallError, TimeoutError, OSError) as error:
        return {"ok": False, "error": str(error)}
    except (KeyError, ValueError, TypeError) as error:
        return {"ok": False, "error": f"not a command the phones know: {error}"}
    answer: dict[str, object] = {"ok": True}
    if any(result is not None for result in results):
        answer["phones"] = results
    return answer


async def obey_standard_input(bank: PhoneBank) -> None:
    """Obey commands from standard input until it ends."""
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or sys.stdin.isatty()):
        return  # a file or /dev/null cannot be waited on: nobody is there to obey
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await obey(bank, line.decode(errors="replace"))), flush=True)


@contextlib.asynccontextmanager
async def obey_socket(bank: PhoneBank, path: Path | None) -> AsyncIterator[None]:
    """Obey commands on a UNIX socket at *path* while the context lasts."""
    if path is None:
        yield
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                answer = await obey(bank, line.decode(errors="replace"))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    listening = _bind(path)
    server = await asyncio.start_unix_server(serve, sock=listening, limit=_LONGEST_LINE)
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _bind(path: Path) -> socket.socket:
    """Return a socket at *path* that only this user may write to."""
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    return listening


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
