"""What every test gets: a category from its folder, a time limit, an environment of its own.

A test's category is the folder it lives in (`tests/unit/…` is a unit test), so it cannot be
forgotten or contradicted; categories and their meaning are listed in pyproject.toml.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Fixtures that several categories share.
pytest_plugins = ["tests.postgres"]

TESTS = Path(__file__).parent

# Seconds before a hanging test is ended: generous, since machines differ and real wires are slow.
TIME_LIMITS_S = {
    "unit": 30,
    "architecture": 120,
    "property": 300,
    "simulation": 300,
    "integration": 120,
    "migration": 120,
    "sip": 180,
    "acceptance": 420,
}

# Examples are counted, never timed: a shared machine's pauses are no counterexamples.
UNHURRIED = (HealthCheck.too_slow,)
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=UNHURRIED)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=UNHURRIED,
)
settings.register_profile(
    "night", max_examples=20_000, deadline=None, suppress_health_check=UNHURRIED
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def category_of(path: Path) -> str:
    """Return the folder of tests/ that *path* is in, the test's category."""
    return path.relative_to(TESTS).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its category and that category's time limit."""
    for item in items:
        if not item.path.is_relative_to(TESTS):
            continue
        category = category_of(item.path)
        if category not in TIME_LIMITS_S:
            known = ", ".join(TIME_LIMITS_S)
            message = f"{item.path} is in no category folder; move it to one of: {known}"
            raise pytest.UsageError(message)
        item.add_marker(category)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIME_LIMITS_S[category]))


@pytest.fixture(autouse=True)
def _environment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own settings, so that a test sees the same everywhere."""
    for name in [name for name in os.environ if name.startswith("DIALER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
