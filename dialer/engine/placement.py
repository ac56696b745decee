"""Which line process and which trunk each new call gets: pure, from rows the snapshot brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.stores.claims import Slot

if TYPE_CHECKING:
    from campaigns.stores.snapshots import LineRoom
    from campaigns.stores.trunk_room import Room


def slots(count: int, lines: Sequence[LineRoom], rooms: Sequence[Room]) -> list[Slot]:
    """Return up to *count* places for calls, the best trunk first.

    A call starts where agents are that it may be given to: where ready agents are not yet spoken
    for, then where the fewest calls come on an agent. Trunks are used up in the order of priority,
    equals by weight. Fewer slots come back when lines or trunks have no more room.

    More slots than *count* may be offered when trunks differ in what they may dial, so that the
    claim can choose; it takes one per call.
    """
    places = _places(count, lines)
    offered = _trunks(len(places), rooms)
    return [
        Slot(
            process_id=process_id,
            trunk_id=room.trunk_id,
            trunk_kind=room.kind,
            caller_id=room.caller_ids[
                (room.today.calls + room.in_use + nth) % len(room.caller_ids)
            ],
            regions=room.regions,
        )
        for process_id, (room, nth) in zip(_repeated(places, len(offered)), offered, strict=False)
    ]


def _places(count: int, lines: Sequence[LineRoom]) -> list[UUID]:
    """Return the line process of each call; fewer when all are full.

    Where agents are, a person hears one at once; a process without any stands in when those are
    full, and joins over a tie line. Where there is no agent at all nothing starts.
    """
    placed: Counter[UUID] = Counter()
    found: list[UUID] = []
    staffed = [line for line in lines if line.agents > 0]
    others = [line for line in lines if line.agents <= 0] if staffed else []
    while len(found) < count:
        open_ones = [line for line in staffed if placed[line.process_id] < line.free]
        open_ones = open_ones or [line for line in others if placed[line.process_id] < line.free]
        if not open_ones:
            break
        best = min(open_ones, key=lambda line: _crowding(line, placed[line.process_id]))
        placed[best.process_id] += 1
        found.append(best.process_id)
    return found


def _crowding(line: LineRoom, placed: int) -> tuple[int, float, UUID]:
    calls = line.in_flight + placed
    return (-max(0, line.ready - calls), (calls + 1) / max(1, line.agents), line.process_id)


def _trunks(count: int, rooms: Sequence[Room]) -> list[tuple[Room, int]]:
    """Return a trunk for each call with the number of the call on it, *count* of each dialect.

    Trunks that may dial different numbers (kind, regions) cannot stand in for each other: which is
    needed only the claim knows, so each group offers its own.
    """
    groups: dict[tuple[object, ...], list[Room]] = {}
    for room in rooms:
        groups.setdefault((room.kind, room.regions), []).append(room)
    found: list[tuple[Room, int]] = []
    for group in groups.values():
        found += _of_group(count, group)
    return sorted(found, key=lambda taken: _turn(*taken))


def _of_group(count: int, group: Sequence[Room]) -> list[tuple[Room, int]]:
    taken: Counter[UUID] = Counter()
    found: list[tuple[Room, int]] = []
    while len(found) < count:
        open_ones = [room for room in group if taken[room.trunk_id] < room.calls_now]
        if not open_ones:
            break
        best = min(open_ones, key=lambda room: _turn(room, taken[room.trunk_id]))
        found.append((best, taken[best.trunk_id]))
        taken[best.trunk_id] += 1
    return found


def _turn(room: Room, nth: int) -> tuple[int, float, UUID]:
    """Return when it is this trunk's turn: by priority, then by load in proportion to weight."""
    return (room.priority, (room.in_use + nth + 1) / room.weight, room.trunk_id)


def _repeated(places: Sequence[UUID], length: int) -> list[UUID]:
    """Return *places* over and over: each dialect's slots start on the same line processes."""
    return [places[index % len(places)] for index in range(length)] if places else []
