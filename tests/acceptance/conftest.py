"""What the tests on whole services share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.laboratory import forked

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def nursery() -> Iterator[None]:
    """Have the `dialer` processes of these tests forked, not started from nothing."""
    with forked():
        yield
