"""Bring `.venv` in line with requirements.lock and the projects of this repository.

A stamp inside the environment remembers what was installed from which inputs, so a second run
looks at three checksums and does nothing. A running environment is updated in place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sys
from pathlib import Path

from setup.progress import SetupError, fail, fresh_log, run, say, stage

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "overdial-setup.json"
LOCK = ROOT / "requirements.lock"
# The service, and the lab as a project of its own; each is installed editable.
PROJECTS = {"overdial": ROOT, "sip-lab": ROOT / "sip-lab"}
OLDEST = (3, 11)


def fingerprint(*paths: Path) -> str:
    """Return one checksum over the contents of *paths* and this Python's version."""
    total = hashlib.sha256(platform.python_version().encode())
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()


def read_stamp() -> dict[str, str]:
    """Return what the environment was made from; empty when there is none or it is broken."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and PYTHON.exists() else {}


def write_stamp(stamp: dict[str, str]) -> None:
    """Remember what has been done so far; each step writes it, so an abort loses only one."""
    partial = STAMP.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    partial.replace(STAMP)


def pip(*arguments: str) -> None:
    """Run the environment's pip, its output kept in a log."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*command, *arguments], log=fresh_log("venv"), cwd=ROOT)


def ensure_environment(stamp: dict[str, str]) -> dict[str, str]:
    """Make the virtual environment unless one of this very Python is there."""
    wanted = f"{platform.python_version()} {ROOT}"
    if stamp.get("python") == wanted:
        return stamp
    with stage(f"virtual environment, Python {platform.python_version()}"):
        # A Python of another version leaves packages behind that do not load in this one.
        clear = ["--clear"] if (VENV / "bin").exists() else []
        run([sys.executable, "-m", "venv", *clear, str(VENV)], log=fresh_log("venv"))
    fresh = {"python": wanted}
    write_stamp(fresh)
    return fresh


def ensure_dependencies(stamp: dict[str, str]) -> None:
    """Install the pinned dependencies, each verified by its hash."""
    wanted = fingerprint(LOCK)
    if stamp.get("lock") == wanted:
        return
    with stage("pinned dependencies"):
        pip("--require-hashes", "--only-binary", ":all:", "-r", str(LOCK))
    stamp["lock"] = wanted
    write_stamp(stamp)


def ensure_projects(stamp: dict[str, str]) -> None:
    """Install this repository's own projects so that imports come from the working tree."""
    for name, project in PROJECTS.items():
        settings = project / "pyproject.toml"
        if not settings.exists():
            continue
        wanted = fingerprint(settings)
        if stamp.get(f"project {name}") == wanted:
            continue
        with stage(f"editable install of {name}"):
            pip("--no-deps", "--no-build-isolation", "--no-index", "--editable", str(project))
        stamp[f"project {name}"] = wanted
        write_stamp(stamp)


def main() -> None:
    """Do whatever is missing, one process at a time."""
    if sys.version_info[:2] < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        fail(SetupError(f"Python {oldest} or newer is needed, this is {platform.python_version()}"))
    with LOCK.open("rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            stamp = read_stamp()
            if not stamp:
                say("virtual environment: .venv")
            stamp = ensure_environment(stamp)
            ensure_dependencies(stamp)
            ensure_projects(stamp)
        except SetupError as error:
            fail(error)


if __name__ == "__main__":
    main()
