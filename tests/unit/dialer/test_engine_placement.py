"""Where calls start: on the line process with agents to spare, through the trunk in turn."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from campaigns.model import TrunkKind
from campaigns.stores.snapshots import LineRoom
from campaigns.stores.trunk_room import DayUse, Room
from dialer.engine import placement

P1, P2, T1, T2 = (UUID(int=value) for value in range(1, 5))


def line(process_id: UUID, **facts: int) -> LineRoom:
    """Return a line process with room and two ready agents."""
    return LineRoom(process_id, **({"free": 100, "agents": 2, "ready": 2, "in_flight": 0} | facts))


def trunk(trunk_id: UUID, **facts: Any) -> Room:
    """Return a lab trunk with room for many calls."""
    values: dict[str, Any] = {
        "name": f"trunk {trunk_id.int}",
        "kind": TrunkKind.LAB,
        "regions": None,
        "caller_ids": ("+12025550100",),
        "priority": 1,
        "weight": 1,
        "channels": 100,
        "in_use": 0,
        "live_minutes": 0,
        "tokens": 100.0,
        "calls_per_second": 100.0,
        "calls_per_day": 10_000,
        "minutes_per_day": 10_000,
        "suspended_until": None,
        "suspended_reason": None,
        "today": DayUse(),
    }
    return Room(trunk_id=trunk_id, **(values | facts))


def processes(count: int, *lines: LineRoom) -> Counter[UUID]:
    """Return how many of *count* calls start on each process."""
    return Counter(slot.process_id for slot in placement.slots(count, lines, [trunk(T1)]))


def trunks(count: int, *rooms: Room) -> Counter[UUID]:
    """Return how many of *count* calls go through each trunk."""
    return Counter(slot.trunk_id for slot in placement.slots(count, [line(P1)], rooms))


def test_calls_start_where_agents_wait() -> None:
    """
    A process with more ready agents not yet spoken for gets the calls first.
    """
    assert {P1: 2} == processes(2, line(P1, ready=3, agents=3), line(P2, ready=1, agents=1))


def test_calls_spread_by_agents_once_all_are_spoken_for() -> None:
    """
    Calls beyond the ready agents are shared in proportion to the agents there.
    """
    placed = processes(12, line(P1, ready=0, agents=4), line(P2, ready=0, agents=2))

    assert {P1: 8, P2: 4} == placed


def test_no_call_starts_where_no_agent_is() -> None:
    """
    A line process without agents gets none while those with agents have room, nor if none has any.
    """
    assert {P2: 3} == processes(3, line(P1, agents=0, ready=0), line(P2))
    assert {} == processes(3, line(P1, agents=0, ready=0))


def test_a_process_without_agents_helps_out() -> None:
    """
    What those with agents have no room for starts elsewhere, and is joined over a tie line.
    """
    assert {P1: 2, P2: 1} == processes(3, line(P1, agents=0, ready=0), line(P2, free=1))


def test_a_full_process_is_full() -> None:
    """
    Capacity bounds the calls of a process; what fits nowhere does not start.
    """
    assert {P1: 1, P2: 2} == processes(9, line(P1, free=1), line(P2, free=2))


def test_trunks_are_used_by_priority() -> None:
    """
    The second trunk gets only what the first has no room for.
    """
    assert {T1: 3, T2: 2} == trunks(5, trunk(T1, tokens=3.0), trunk(T2, priority=2))


def test_trunks_of_equal_priority_share_by_weight() -> None:
    """
    Calls up on each trunk stay in proportion to the weights, earlier calls counted.
    """
    assert {T1: 6, T2: 3} == trunks(9, trunk(T1, weight=2), trunk(T2, weight=1))
    assert {T2: 3} == trunks(3, trunk(T1, in_use=5), trunk(T2))


def test_trunks_that_dial_different_numbers_all_offer_theirs() -> None:
    """
    Which trunk a number needs only the claim knows, so each dialect has as many slots as calls.
    """
    offered = trunks(2, trunk(T1, regions=frozenset({"US"})), trunk(T2, regions=frozenset({"GB"})))

    assert {T1: 2, T2: 2} == offered


def test_caller_ids_take_turns() -> None:
    """
    A trunk's caller ids are used one after the other, going on where the day's calls stand.
    """
    room = trunk(T1, caller_ids=("+12025550100", "+12025550101"), today=DayUse(calls=1))

    shown = [slot.caller_id for slot in placement.slots(3, [line(P1)], [room])]

    assert ["+12025550101", "+12025550100", "+12025550101"] == shown


def test_a_suspended_trunk_or_one_without_caller_id_offers_nothing() -> None:
    """
    No slot comes from a trunk that must rest or cannot say who calls.
    """
    assert {} == trunks(2, trunk(T1, caller_ids=()))
