"""One-shot timers of a call: monotonic, so that a step of the clock moves none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """One-shot timers of a leg, cancelled together; monotonic, so a clock step moves none."""

    def __init__(self) -> None:
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        """Run *action* in *delay_s* seconds, replacing the timer of that name."""
        self.clear(name)
        loop = asyncio.get_running_loop()
        self._handles[name] = loop.call_later(max(0.0, delay_s), action)

    def clear(self, name: str) -> None:
        """Forget the timer of that name, if there is one."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def clear_all(self) -> None:
        """Forget every timer."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
