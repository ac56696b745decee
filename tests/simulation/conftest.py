"""Simulated days in tests run uncompiled, also where numba is: a minute of compiling helps none."""

from __future__ import annotations

import pytest

from pacing.simulation import day


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have days played as the code stands; a test of compiled functions asks for them."""
    monkeypatch.setattr(day, "is_possible", lambda: False)
