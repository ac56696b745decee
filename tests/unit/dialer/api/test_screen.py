"""What a screen is told: only what changed, the person before the state, each end once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from campaigns.model import AgentState, Disposition, EndedBy, Outcome, new_id
from dialer.api.screen import AgentView, Call, Screen

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
AGENT = new_id()
SESSION = new_id()


def view(state: AgentState = AgentState.READY, call: Call | None = None, **facts: Any) -> AgentView:
    """Return a logged-in agent in *state*."""
    values: dict[str, Any] = {"since": NOW, "session_id": SESSION, **facts}
    return AgentView(NOW, AGENT, "anna", "Anna", ("Spring",), state=state, call=call, **values)


def call(**facts: Any) -> Call:
    """Return a call just answered, the agent held for it."""
    values: dict[str, Any] = {
        "attempt_id": new_id(),
        "campaign": "Spring",
        "script": "Hello",
        "lead_name": "Ann",
        "fields": {"city": "Oakland"},
        "number": "+14155550123",
        "region": "US",
        "zones": ("America/Los_Angeles",),
        "notes": (),
        "answered_at": NOW,
        "joined_at": None,
        "ended_at": None,
        "outcome": None,
        "ended_by": None,
        "disposition": None,
        **facts,
    }
    return Call(**values)


def kinds(screen: Screen, picture: AgentView) -> list[str]:
    """Return the types of the messages for *picture*."""
    return [message["type"] for message in screen.next_messages(picture)]


def test_nothing_new_says_nothing() -> None:
    """
    The same picture a second later is not sent again, although its time has moved on.
    """
    screen = Screen()
    screen.next_messages(view())

    later = replace(view(), at=NOW + timedelta(seconds=1))

    assert [] == screen.next_messages(later)


def test_call_comes_before_the_state_and_ends_before_it() -> None:
    """
    Held, joined, ended: each step is told once, the call's message ahead of the state's.
    """
    screen = Screen()
    screen.next_messages(view())
    held = call()
    joined = replace(held, joined_at=NOW + timedelta(seconds=1))
    over = replace(
        joined,
        ended_at=NOW + timedelta(seconds=61),
        outcome=Outcome.ANSWERED,
        ended_by=EndedBy.THEM,
    )

    assert ["call", "state"] == kinds(screen, view(AgentState.RESERVED, held))
    assert ["call", "state"] == kinds(screen, view(AgentState.TALKING, joined))
    assert [] == kinds(screen, view(AgentState.TALKING, joined))
    messages = screen.next_messages(view(AgentState.WRAP_UP, over))

    assert ["call_ended", "state"] == [message["type"] for message in messages]
    assert 60.0 == messages[0]["talk_s"]
    assert ["state"] == kinds(screen, view(AgentState.READY))


def test_screen_opened_in_wrap_up_shows_the_finished_call() -> None:
    """
    A page reloaded in wrap-up still knows whom the disposition is about.
    """
    over = call(joined_at=NOW, ended_at=NOW, outcome=Outcome.ANSWERED, ended_by=EndedBy.US)

    assert ["call", "call_ended", "state"] == kinds(Screen(), view(AgentState.WRAP_UP, over))


def test_call_that_vanishes_is_ended() -> None:
    """
    A call whose end was never seen, because the next picture came first, is ended all the same.
    """
    screen = Screen()
    screen.next_messages(view(AgentState.TALKING, call(joined_at=NOW)))

    assert ["call_ended", "state"] == kinds(screen, view(AgentState.READY))


def test_next_call_right_after_the_last() -> None:
    """
    When one call follows another between two pictures, the first is ended before the second shows.
    """
    screen = Screen()
    screen.next_messages(view(AgentState.TALKING, call(joined_at=NOW)))
    second = call(joined_at=NOW)

    messages = screen.next_messages(view(AgentState.TALKING, second))

    assert ["call_ended", "call"] == [message["type"] for message in messages]
    assert str(second.attempt_id) == messages[1]["attempt_id"]


def test_disposition_is_confirmed_on_the_call() -> None:
    """
    A disposition taken by the server comes back with the call.
    """
    screen = Screen()
    talking = call(joined_at=NOW)
    screen.next_messages(view(AgentState.TALKING, talking))

    (message,) = screen.next_messages(
        view(AgentState.TALKING, replace(talking, disposition=Disposition.SALE))
    )

    assert ("call", "sale") == (message["type"], message["disposition"])


def test_call_never_joined_has_no_talk_time() -> None:
    """
    A caller who hung up before the two heard each other gives no talk time.
    """
    screen = Screen()
    held = call()
    screen.next_messages(view(AgentState.RESERVED, held))

    ended = replace(held, ended_at=NOW, outcome=Outcome.ANSWERED, ended_by=EndedBy.THEM)
    messages = screen.next_messages(view(AgentState.READY, ended))

    assert messages[0]["talk_s"] is None
