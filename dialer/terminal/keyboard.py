"""Single key presses from a terminal, one at a time, without waiting for Enter."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator

from campaigns.errors import UserError

ESCAPE = "\x1b"
ENTER = "\r"
BACKSPACE = "\x7f"
CTRL_C = "\x03"


@contextlib.contextmanager
def keys() -> Iterator[asyncio.Queue[str]]:
    """Yield a queue of key presses; the terminal is put back as it was, whatever happens.

    Sequences of special keys (arrows and the like) are dropped. Raises `UserError` off a terminal.
    """
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor) or not sys.stdout.isatty():
        raise UserError(
            "The terminal desk needs a terminal: run it in one, or use the WebSocket "
            "(docs/reference/agent-websocket.md)."
        )
    pressed: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    # A key may arrive as several bytes.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def read() -> None:
        raw = os.read(descriptor, 64)
        if not raw:
            loop.remove_reader(descriptor)
            pressed.put_nowait(CTRL_C)
            return
        for key in split(decoder.decode(raw)):
            pressed.put_nowait(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield pressed
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def split(text: str) -> list[str]:
    """Return the keys in what one read gave: a sequence that begins with Escape is no key of ours.

    >>> split("r1")
    ['r', '1']
    """
    if text.startswith(ESCAPE) and len(text) > 1:
        return []
    return [ENTER if key == "\n" else BACKSPACE if key == "\b" else key for key in text]
