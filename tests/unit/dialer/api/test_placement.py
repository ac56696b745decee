"""Where an agent's phone is called from: with the colleagues while there is room."""

from __future__ import annotations

from campaigns.model import new_id
from dialer.api.placement import CALLS_PER_AGENT, choose

FIRST, SECOND, THIRD = new_id(), new_id(), new_id()


def test_no_line_process() -> None:
    """
    Without a line process there is no place.
    """
    assert choose([]) is None


def test_colleagues_stay_together() -> None:
    """
    The process with most colleagues is taken, although another is emptier.
    """
    assert SECOND == choose([(FIRST, 100, 0, 0), (SECOND, 100, 5, 5), (THIRD, 100, 3, 1)])


def test_strangers_are_spread() -> None:
    """
    Without colleagues anywhere the process with fewest agents is taken.
    """
    assert THIRD == choose([(FIRST, 100, 4, 0), (SECOND, 100, 5, 0), (THIRD, 100, 1, 0)])


def test_full_process_is_passed_over() -> None:
    """
    A process without room for an agent and the calls that come along is not taken.
    """
    full = (FIRST, 5 * CALLS_PER_AGENT, 5, 5)

    assert SECOND == choose([full, (SECOND, 100, 0, 0)])


def test_least_crowded_when_nothing_has_room() -> None:
    """
    When all are full an agent may still log in, where it is least crowded.
    """
    assert SECOND == choose([(FIRST, 4, 3, 3), (SECOND, 4, 1, 0)])
