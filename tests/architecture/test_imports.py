"""The import direction of the house, as a failing test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_import_contracts_are_kept() -> None:
    """
    No module imports against the contracts of pyproject.toml.
    """
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert 0 == result.returncode, result.stdout + result.stderr


def test_pacers_do_not_know_the_simulator() -> None:
    """
    The simulator imports the pacers; no pacer imports the simulator.
    """
    graph = grimp.build_graph("pacing", cache_dir=None)
    inside = "pacing.simulation"
    pacers = {name for name in graph.modules if not f"{name}.".startswith(f"{inside}.")}

    wrong = {
        f"{name} -> {imported}"
        for name in pacers
        for imported in graph.find_modules_directly_imported_by(name)
        if f"{imported}.".startswith(f"{inside}.")
    }

    assert set() == wrong


@pytest.mark.parametrize("package", ["pacing", "campaigns", "dialer", "siplab"])
def test_imports_run_in_no_circle(package: str) -> None:
    """
    Importing a module never needs that module first.
    """
    graph = grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=True)
    circles = [
        f"{name} -> {imported}"
        for name in graph.modules
        for imported in graph.find_modules_directly_imported_by(name)
        if graph.chain_exists(importer=imported, imported=name)
        # A package's front door naming its rooms is no circle.
        and not imported.startswith(f"{name}.")
        and not name.startswith(f"{imported}.")
    ]

    assert [] == circles
