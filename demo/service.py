"""The lab and the service the demo runs on: a carrier, phones, Postgres, `dialer serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil

from campaigns.errors import UserError
from demo.shell import Shell
from dialer import embedded

READY_WITHIN_S = 90.0
STOP_WITHIN_S = 40.0
DRAIN_S = 3
SERVE_LOG = "serve.log"
_RTP_PORTS = 600
# Below the ports the kernel hands out by itself, and apart from each other.
_SIGNALLING = range(12_000, 20_000, 2)
_RTP = range(20_000, 31_000, _RTP_PORTS)


def settings(folder: Path) -> dict[str, str]:
    """Return the environment of every `dialer` command: nothing of the user's own settings."""
    inherited = {name: value for name, value in os.environ.items() if name[:7] != "DIALER_"}
    sip, api = _free_pair(), _free_pair()
    rtp = _free_range()
    return inherited | {
        "DIALER_DATA": str(folder),
        "DIALER_SIP_PORT": str(sip),
        "DIALER_API_PORT": str(api),
        "DIALER_RTP_LOW": str(rtp),
        "DIALER_RTP_HIGH": str(rtp + _RTP_PORTS - 1),
        "DIALER_DRAIN_S": str(DRAIN_S),
    }


@contextlib.asynccontextmanager
async def served(shell: Shell) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `dialer serve` until the block ends; nothing of it is left, whatever happened."""
    try:
        async with shell.background("serve", log=SERVE_LOG, grace_s=STOP_WITHIN_S) as process:
            await _until_ready(process, shell)
            yield process
    finally:
        await asyncio.to_thread(end_what_is_left, shell.folder)


async def _until_ready(process: asyncio.subprocess.Process, shell: Shell) -> None:
    log = shell.logs / SERVE_LOG
    until = time.monotonic() + READY_WITHIN_S
    while "Ready." not in await asyncio.to_thread(log.read_text, "utf-8", "replace"):
        if process.returncode is not None:
            raise UserError(f"`dialer serve` did not start: {shell.last_line(SERVE_LOG)}")
        if time.monotonic() > until:
            raise UserError(
                f"`dialer serve` was not ready after {READY_WITHIN_S:.0f} s: "
                f"{shell.last_line(SERVE_LOG)}"
            )
        await asyncio.sleep(0.1)


def dsn_of(folder: Path) -> str:
    """Return the DSN of the Postgres that `dialer serve` started in *folder*."""
    dsn, _ = embedded.start(folder / "postgres")
    return dsn


def end_what_is_left(folder: Path) -> None:
    """End every process that works in *folder* and outlived `dialer serve`, and its Postgres."""
    processes = list(_working_in(folder))
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=DRAIN_S + 5)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if (folder / "postgres").exists():
        embedded.stop(folder / "postgres")


def _working_in(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            # Postgres inherits the settings too; it is stopped by its own means, in order.
            if process.pid == os.getpid() or process.name() == "postgres":
                continue
            if process.environ().get("DIALER_DATA") == str(folder):
                yield process


def _free_pair() -> int:
    """Return a port that is free, and the next one too, for UDP and TCP."""
    for port in random.sample(_SIGNALLING, 200):
        if all(map(_is_free, (port, port + 1))):
            return port
    raise UserError("No two neighbouring ports are free on 127.0.0.1: end what uses them.")


def _free_range() -> int:
    """Return the first of many ports of which the lowest are free; PJSIP skips taken ones."""
    for port in random.sample(_RTP, len(_RTP)):
        if all(map(_is_free, range(port, port + 20))):
            return port
    raise UserError("No range of RTP ports is free on 127.0.0.1: end what uses them.")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
