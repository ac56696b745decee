"""What a simulation found, in sentences a supervisor would say."""

from __future__ import annotations

from collections.abc import Sequence

from dialer.simulation.fit import Happened
from dialer.simulation.quantities import clock_words
from dialer.simulation.runs import Result
from pacing.simulation import Row

PROGRESSIVE = "progressive"


def minutes(share: float) -> float:
    """Return a share of time as minutes of an hour."""
    return 60.0 * share


def main_sentence(row: Row, agents: int) -> str:
    """Return what one pacer means for one agent's hour and for the people called."""
    low, high = row.occupancy_ci
    return (
        f"With {agents} agents ({row.pacer}) expect {minutes(row.occupancy):.0f} minutes of talk "
        f"and wrap-up an hour from each: occupancy {_percent(row.occupancy)} "
        f"({_percent(low)} to {_percent(high)}), {row.connects_per_agent_hour:.1f} conversations "
        f"an agent-hour, {row.dials_per_live:.1f} calls for each person who answers."
    )


def limit_sentence(row: Row, limit: float) -> str:
    """Return how a pacer kept the limit."""
    over = int(row.days_over_limit)
    kept = f"none of {row.days} simulated days" if not over else f"{over} of {row.days} days"
    return (
        f"{_percent(row.abandonment, 2)} of the people who answered were abandoned; "
        f"{kept} passed the limit of {_percent(limit)} (worst day {_percent(row.worst_day, 2)})."
    )


def next_agent_sentence(row: Row, more: Row, agents: int) -> str:
    """Return what one agent more brings, in minutes of conversation an hour of the whole floor."""
    adds = minutes((agents + 1) * more.occupancy - agents * row.occupancy)
    calls = (agents + 1) * more.connects_per_agent_hour - agents * row.connects_per_agent_hour
    return (
        f"{_ordinal(agents + 1)} agent adds {adds:.0f} minutes of talk and wrap-up an hour, "
        f"{calls:.0f} conversations."
    )


def gain_sentence(row: Row, progressive: Row, agents: int) -> str:
    """Return what a pacer brings over one call per idle agent."""
    gain = minutes(row.occupancy - progressive.occupancy)
    if gain <= 0:
        return (
            f"That is no more than calling one person for each idle agent ({PROGRESSIVE}) brings."
        )
    worth = agents * (row.occupancy / max(progressive.occupancy, 1e-9) - 1)
    return (
        f"That is {gain:.1f} minutes an hour more from each than one call per idle agent "
        f"({PROGRESSIVE}), as much as {worth:.1f} more agents would bring."
    )


def list_sentence(row: Row, leads: int, starts_at_s: float) -> str:
    """Return when the list is finished."""
    if row.finished_s is None:
        return f"{row.pacer}: the list of {leads:,} leads is not finished on the simulated day."
    at = clock_words(starts_at_s + row.finished_s)
    return (
        f"{row.pacer}: the list of {leads:,} leads, begun at {clock_words(starts_at_s)}, is "
        f"finished at {at} on a usual day."
    )


def staffing_sentence(agents: int | None, share: float, leads: int, by_s: float, most: int) -> str:
    """Return how many agents it takes."""
    by = clock_words(by_s)
    if agents is None:
        return f"Not even {most:,} agents are through {leads:,} leads by {by}."
    who = "1 agent is" if agents == 1 else f"{agents} agents are"
    return f"{who} through {leads:,} leads by {by} on {_percent(share, 0)} of the days."


def happened_sentence(happened: Happened, row: Row) -> str:
    """Return what a simulated row would have done beside what happened."""
    parts = []
    if happened.occupancy is not None:
        change = minutes(row.occupancy - happened.occupancy)
        parts.append(
            f"{abs(change):.1f} minutes an hour {'more' if change >= 0 else 'less'} from each agent"
        )
    points = 100 * (row.abandonment - happened.abandonment)
    parts.append(f"{abs(points):.2f} points {'more' if points >= 0 else 'less'} abandonment")
    return f"{row.pacer} would have brought {' and '.join(parts)} than what happened."


def bound_sentence(occupancy: float, row: Row, *, is_twin: bool) -> str:
    """Return how far a row is from the best any pacer could do."""
    gap = 100 * (occupancy - row.occupancy)
    of = "of its memoryless twin" if is_twin else "of this scenario"
    return (
        f"No pacer can do better than {_percent(occupancy)} {of} over a long time; {row.pacer} is "
        f"{abs(gap):.1f} points {'below' if gap >= 0 else 'above'}."
    )


def sweep_sentences(results: Sequence[Result], pacer: str) -> list[str]:
    """Return what each swept option does from its first value to its last, the others at theirs."""
    start = results[0].point.at
    told = []
    for key in start:
        along = [
            result
            for result in results
            if all(result.point.at[other] == start[other] for other in start if other != key)
        ]
        first, last = along[0].row(pacer), along[-1].row(pacer)
        if first is None or last is None:
            continue
        told.append(
            f"{pacer}: from {_at(key, start[key])} to {_at(key, along[-1].point.at[key])} each "
            f"agent's talk and wrap-up go from {minutes(first.occupancy):.0f} to "
            f"{minutes(last.occupancy):.0f} minutes an hour."
        )
    return told


def _at(key: str, value: float) -> str:
    name = key.replace("_", " ")
    if key in {"answer_rate", "target", "limit"}:
        return f"{name} {_percent(value)}"
    return f"{name} {value:g}"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _ordinal(number: int) -> str:
    word = "An" if number in {8, 11, 18} or 80 <= number < 90 else "A"
    if 10 <= number % 100 <= 20:
        return f"{word} {number}th"
    return f"{word} {number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
