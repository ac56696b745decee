"""Which numbers an import has met, and on which line: a million of them in sixteen megabytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Lines = NDArray[np.int32]


@dataclass(slots=True)
class SeenNumbers:
    """Numbers as integers, kept in sorted runs of which each is at least twice the next.

    A set of Python integers would take six times the memory.
    """

    _runs: list[tuple[Numbers, Lines]] = field(default_factory=list)

    def meet(self, numbers: Numbers, lines: Lines) -> Lines:
        """Take in rows in the file's order; return the line that had each number first, or zero."""
        earlier = np.zeros(len(numbers), dtype=np.int32)
        if not len(numbers):
            return earlier
        order = np.argsort(numbers, kind="stable")
        ordered, ordered_lines = numbers[order], lines[order]
        begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        group = np.cumsum(begins) - 1
        firsts, first_lines = ordered[begins], ordered_lines[begins]
        before = self._lines_of(firsts)
        told = np.where(before[group] > 0, before[group], first_lines[group])
        repeated = ~begins | (before[group] > 0)
        earlier[order] = np.where(repeated, told, 0)
        fresh = before == 0
        self._add(firsts[fresh], first_lines[fresh])
        return earlier

    def _lines_of(self, numbers: Numbers) -> Lines:
        """Return the line of each number met before, zero for the others."""
        found = np.zeros(len(numbers), dtype=np.int32)
        for held, lines in self._runs:
            at = np.searchsorted(held, numbers)
            at[at == len(held)] = 0
            hit = held[at] == numbers
            found[hit] = lines[at[hit]]
        return found

    def _add(self, numbers: Numbers, lines: Lines) -> None:
        if not len(numbers):
            return
        while self._runs and len(self._runs[-1][0]) < 2 * len(numbers):
            held, held_lines = self._runs.pop()
            numbers, lines = np.concatenate((held, numbers)), np.concatenate((held_lines, lines))
            order = np.argsort(numbers, kind="stable")
            numbers, lines = numbers[order], lines[order]
        self._runs.append((numbers, lines))
