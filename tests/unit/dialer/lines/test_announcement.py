"""The message for people no agent can be given to: spoken once, kept, never half-made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from campaigns.errors import UserError
from dialer.lines import announcement

if TYPE_CHECKING:
    from pathlib import Path


async def test_text_is_spoken_once_by_many_at_once(tmp_path: Path) -> None:
    """Several calls or processes that want the same text at once all get the same whole file."""
    made = await asyncio.gather(
        *(announcement.prepare("Nobody is free. Goodbye.", tmp_path) for _ in range(4))
    )

    assert 1 == len(set(made))
    assert announcement.length_s(made[0]) > 1.0
    assert [made[0]] == _kept(tmp_path)


async def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A named file that does not exist is one clear sentence."""
    with pytest.raises(UserError, match="is not there"):
        await announcement.prepare(str(tmp_path / "missing.wav"), tmp_path)


def test_file_that_is_no_wav(tmp_path: Path) -> None:
    """A file that is not audio is refused before anybody could hear it."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"not audio")

    with pytest.raises(UserError, match="not a WAV file"):
        announcement.length_s(path)


def _kept(folder: Path) -> list[Path]:
    return list(folder.iterdir())
