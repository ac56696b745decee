"""Every Python module parses, stays readable in size, and has a purpose written at its top."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("pacing", "campaigns", "dialer", "sip-lab", "benchmarks", "demo", "setup", "tests")
MOST_LINES = 700
MODULES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_parses(module: Path) -> None:
    """
    A module is valid Python of the oldest supported version.
    """
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"), feature_version=(3, 11))

    assert isinstance(tree, ast.Module)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_is_small_enough_to_read(module: Path) -> None:
    """
    No module grows past 700 lines; past 400 it is time to divide it.
    """
    lines = (ROOT / module).read_text(encoding="utf-8").count("\n")

    assert lines <= MOST_LINES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_importing_starts_nothing(module: Path) -> None:
    """
    A module's top level only defines: no statement there starts tasks, threads or processes.
    """
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    calls = [
        ast.unparse(node.value.func)
        for node in tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    forbidden = ("asyncio.run", "signal.signal", "atexit.register", "logging.basicConfig", "print")

    assert [] == [call for call in calls if call in forbidden]


def test_repository_names_no_machine() -> None:
    """
    No tracked text holds an absolute path into the home or the working folder of one machine.
    """
    listed = subprocess.run(
        ["git", "grep", "-lIE", r"(^|[^[:alnum:]_.-])/(root|work)/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    allowed = {"tests/architecture/test_modules.py"}

    assert set() == set(listed.stdout.split()) - allowed
