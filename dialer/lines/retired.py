"""Ended calls, kept until they can be destroyed without harm to others.

PJSIP uses the slots of ended calls again, and the destructor of pjsua2's Call hangs up whatever
call has its slot by then, and takes that call's callbacks away (PJSIP 2.17, `Call::~Call`). Python
would run it at any moment: with the last reference, or when the garbage collector finds a circle.
So this holds a reference of its own and lets go when nobody else has one and nobody has the slot.
"""

from __future__ import annotations

import sys
import time
from collections import deque

import pjsua2 as pj

# PJSIP may still speak of a call this long after it ended (amd reference, pitfall 11).
KEEP_S = 3.0
# The queue's, a local name's and the argument's own.
_OUR_REFERENCES = 3


class Retired:
    """The ended calls of one endpoint."""

    def __init__(self, *, keep_s: float = KEEP_S) -> None:
        self._keep_s = keep_s
        self._calls: deque[tuple[float, pj.Call]] = deque()

    def __len__(self) -> int:
        """Return how many calls are kept."""
        return len(self._calls)

    def add(self, call: pj.Call) -> None:
        """Keep an ended call; nothing but this may refer to it for long."""
        self._calls.append((time.monotonic() + self._keep_s, call))

    def sweep(self) -> None:
        """Let go of what is due and harmless; call it a few times a second."""
        now = time.monotonic()
        while self._calls and self._calls[0][0] <= now:
            # Still in the queue while it is judged, so that the count of references holds.
            _, call = self._calls[0]
            is_harmless = sys.getrefcount(call) <= _OUR_REFERENCES and _has_no_heir(call)
            self._calls.popleft()
            if not is_harmless:
                self._calls.append((now + self._keep_s, call))
            del call

    def release(self) -> None:
        """Let go of all of them, before PJSIP is shut down and when no call is up any more.

        A destructor that runs later speaks of a slot there no longer is: a build with assertions,
        such as the wheel on PyPI, aborts the process for it.
        """
        self._calls.clear()


def _has_no_heir(call: pj.Call) -> bool:
    """Say whether no other call has the slot of an ended one."""
    slot = call.getId()
    if slot < 0:
        return True
    holder = pj.Call.lookup(slot)
    if holder is None:
        # A call that has just come in has no object yet.
        return not call.isActive()
    return holder is call
