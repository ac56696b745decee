"""What the machine itself gives the service: ports, files, memory, disk, time.

Each check is a sentence with a level; nothing here changes anything or raises for something the
user can put right.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.metadata
import os
import re
import resource
import shutil
import socket
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import psutil

from dialer.config import PORTS_PER_CALL, Config

# RTP, RTCP, a recording and the screening audio; and what a process holds beside its calls.
FILES_PER_CALL = 4
FILES_BESIDE_CALLS = 256
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - its size is what is asked about
SHARED_MEMORY_BYTES = 256 * 2**20
DISK_BAD_BYTES = 2**30
DISK_LOW_BYTES = 10 * 2**30
# Governments change their clocks with months of notice; two New Years are too many.
TZDATA_YEARS = 1
LAB_PROGRAMS = ("sipp", "espeak-ng", "sox")


class Level(StrEnum):
    """How a check came out: fine, works with less, does not work."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: a sentence that says what was found, and what to do about it."""

    name: str
    level: Level
    sentence: str
    remedy: str | None = None


def port_checks(config: Config, calls: int) -> list[Check]:
    """Look at the SIP ports one by one and at the RTP range as a whole."""
    address = str(config.bind_address)
    taken: list[str] = []
    by_us = 0
    ports = [config.line_sip_port(index) + step for index in range(config.lines) for step in (0, 1)]
    holders = _holders()
    for port in ports:
        for kind, label in ((socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")):
            problem = bind_problem(address, port, kind)
            if problem is None:
                continue
            if holders.get((kind, port)) == "overdial":
                by_us += 1
                continue
            holder = holders.get((kind, port))
            taken.append(f"{label} {port} ({f'used by {holder}' if holder else problem})")
    first, last = ports[0], ports[-1]
    if taken:
        sentence = f"SIP ports cannot be opened on {address}: {', '.join(taken)}."
        sip = Check("sip ports", Level.BAD, sentence, "Set DIALER_SIP_PORT or free the port")
    elif by_us:
        sentence = f"SIP ports {first} to {last} on {address} are held by a running Overdial."
        sip = Check("sip ports", Level.OK, sentence)
    else:
        sentence = f"SIP ports {first} to {last} on {address} are free."
        sip = Check("sip ports", Level.OK, sentence)
    return [sip, rtp_check(config, config.max_calls or calls, local_port_range())]


def bind_problem(address: str, port: int, kind: socket.SocketKind) -> str | None:
    """Return why *port* cannot be opened, None when it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                # A connection that has just ended does not hold the port for a new listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "in use"
        if error.errno == errno.EACCES:
            return "needs root"
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{address} is no address of this machine"
        return os.strerror(error.errno or 0)
    return None


def _holders() -> dict[tuple[int, int], str]:
    """Return (socket type, port) → the program that holds it, as far as this user may know."""
    found: dict[tuple[int, int], str] = {}
    try:
        sockets = psutil.net_connections(kind="inet")
    except psutil.Error:
        return found
    for entry in sockets:
        if not entry.laddr or entry.pid is None or entry.raddr:
            continue
        try:
            program = psutil.Process(entry.pid)
            words = program.cmdline()
            ours = any(Path(word).name in {"dialer", "dialer.lines"} for word in words[:4])
            found[entry.type, entry.laddr.port] = "overdial" if ours else program.name()
        except psutil.Error:
            continue
    return found


def local_port_range() -> tuple[int, int]:
    """Return the ports the kernel gives to outgoing connections."""
    try:
        words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
        return int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):
        return 32_768, 60_999


def rtp_check(config: Config, calls: int, outgoing: tuple[int, int]) -> Check:
    """Judge the RTP range: room for *calls* in each process, and nobody else's ports."""
    low, high = config.rtp_low, config.rtp_high
    first, last = config.rtp_range(0)
    room = (last - first + 1) // PORTS_PER_CALL
    if low <= outgoing[1] and outgoing[0] <= high:
        sentence = (
            f"The RTP range {low} to {high} overlaps the ports the kernel gives to other "
            f"programs ({outgoing[0]} to {outgoing[1]}): a call may find its port taken."
        )
        return Check("rtp ports", Level.WARN, sentence, "Set DIALER_RTP_LOW and DIALER_RTP_HIGH")
    if room < calls:
        sentence = (
            f"The RTP range {low} to {high} has room for {room} calls in each of {config.lines} "
            f"line processes, fewer than the {calls} they could hold."
        )
        return Check("rtp ports", Level.WARN, sentence, "Widen DIALER_RTP_LOW … DIALER_RTP_HIGH")
    sentence = f"The RTP range {low} to {high} has room for {room} calls in each line process."
    return Check("rtp ports", Level.OK, sentence)


def file_limit_check(calls: int, limits: tuple[int, int] | None = None) -> Check:
    """Judge how many files a process may open for *calls*; *limits* are soft and hard."""
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    need = calls * FILES_PER_CALL + FILES_BESIDE_CALLS
    endless = resource.RLIM_INFINITY
    if hard != endless and hard < need:
        room = max(0, hard - FILES_BESIDE_CALLS) // FILES_PER_CALL
        sentence = (
            f"A process may open {hard} files, enough for about {room} calls; "
            f"{calls} calls need {need}."
        )
        remedy = f"Raise the hard limit: LimitNOFILE={need} in systemd, or ulimit -Hn {need}"
        return Check("file limit", Level.WARN, sentence, remedy)
    raised = "" if soft == endless or soft >= need else " (a line process raises its own limit)"
    shown = "any number of" if hard == endless else f"{hard}"
    sentence = f"A process may open {shown} files; {calls} calls need {need}{raised}."
    return Check("file limit", Level.OK, sentence)


def shared_memory_check(folder: Path = SHARED_MEMORY) -> Check:
    """Judge the memory file system that audio for screening passes through."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        sentence = f"{folder} is missing or not writable: calls cannot be screened from memory."
        return Check("shared memory", Level.WARN, sentence, f"Mount a tmpfs at {folder}")
    free = shutil.disk_usage(folder).free
    sentence = f"{folder} has {_size(free)} free for screening audio."
    if free < SHARED_MEMORY_BYTES:
        return Check("shared memory", Level.WARN, sentence, "In Docker: --shm-size=512m")
    return Check("shared memory", Level.OK, sentence)


def disk_check(folder: Path) -> Check:
    """Judge the room for the database and recordings."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    sentence = f"{_size(free)} free for data in {folder}."
    if not os.access(place, os.W_OK):
        sentence = f"The data folder {folder} cannot be written to."
        return Check("disk", Level.BAD, sentence, "Set DIALER_DATA to a folder of your own")
    if free < DISK_BAD_BYTES:
        return Check("disk", Level.BAD, sentence, "Free some space, or set DIALER_DATA")
    if free < DISK_LOW_BYTES:
        return Check("disk", Level.WARN, sentence, "Free some space, or set DIALER_DATA")
    return Check("disk", Level.OK, sentence)


def _size(count: int) -> str:
    giga = count / 2**30
    return f"{giga:.1f} GiB" if giga >= 1 else f"{count / 2**20:.0f} MiB"


def tzdata_release() -> tuple[str, str] | None:
    """Return the time zone release in use and where it is from; None when there is none.

    Python reads the system's zones first and the tzdata package only where they are missing.
    """
    for folder in zoneinfo.TZPATH:
        for name, pattern in (("tzdata.zi", r"# version (\S+)"), ("+VERSION", r"(\S+)")):
            try:
                with (Path(folder) / name).open(encoding="utf-8") as zones:
                    found = re.match(pattern, zones.readline())
            except OSError:
                continue
            if found:
                return found[1], "the system"
    try:
        return importlib.metadata.version("tzdata"), "the package tzdata"
    except importlib.metadata.PackageNotFoundError:
        return None


def tzdata_check(release: tuple[str, str] | None = None, *, year: int | None = None) -> Check:
    """Judge the age of the time zones; local calling hours are read from them."""
    found = release or tzdata_release()
    if found is None:
        sentence = "There is no time zone database: local calling hours cannot be computed."
        return Check("time zones", Level.BAD, sentence, "make setup")
    name, origin = found
    sentence = f"Time zones are release {name} from {origin}."
    numbers = re.match(r"\d{4}", name)
    this_year = year or datetime.now(UTC).year
    if numbers and this_year - int(numbers[0]) > TZDATA_YEARS:
        remedy = "Upgrade the system package tzdata"
        return Check("time zones", Level.WARN, f"{sentence} They are out of date.", remedy)
    return Check("time zones", Level.OK, sentence)


class _Timex(ctypes.Structure):
    """The head of Linux's `struct timex` (adjtimex(2)), with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_STA_UNSYNC = 0x40


def clock_synchronised() -> bool | None:
    """Ask the kernel whether something keeps its clock right; None where it cannot be asked."""
    timex = _Timex()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else not timex.status & _STA_UNSYNC


def clock_check() -> Check:
    """Say whether the clock is kept right: calling hours and records depend on it."""
    synchronised = clock_synchronised()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if synchronised:
        return Check("clock", Level.OK, f"The clock is kept by NTP; it is {now} UTC.")
    why = "The kernel cannot be asked" if synchronised is None else "Nothing tells the kernel"
    sentence = f"{why} whether the clock is kept right; it shows {now} UTC."
    remedy = "If that is wrong, install chrony or enable systemd-timesyncd"
    return Check("clock", Level.WARN, sentence, remedy)


def lab_check() -> Check:
    """Say whether the programs of the demo's telephone network are there."""
    missing = [name for name in LAB_PROGRAMS if shutil.which(name) is None]
    if missing:
        sentence = f"For the demo and the tests only: {', '.join(missing)} not installed."
        return Check("lab", Level.WARN, sentence, "make setup")
    return Check("lab", Level.OK, "The programs for the demo and the tests are installed.")
