"""Files a command writes: readable by their owner only, `-` for standard output."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from campaigns.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def is_here(path: Path) -> bool:
    """Say whether *path* means standard output."""
    return str(path) == "-"


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """Yield the file to write to; raises `UserError` when it cannot be written."""
    if is_here(path):
        yield sys.stdout
        return
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
        with path.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
