"""Made-up pages of the two books for tests: one call of ours, the same call of the carrier's."""

from datetime import UTC, datetime, timedelta
from typing import Any

from campaigns.model import CallTimers, EndedBy, Outcome, Verdict
from demo.books import OurCall
from siplab.books import CarrierCall
from siplab.number_plan import Behaviour

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NUMBER = "+12125550101"


def at(seconds: float) -> datetime:
    """Return a moment of the call."""
    return START + timedelta(seconds=seconds)


def ours(call_id: str = "c1", **changes: Any) -> OurCall:
    """Return our record of a person who answered after 3 s and spoke to an agent until 20 s."""
    facts: dict[str, Any] = {
        "attempt_id": call_id,
        "number": NUMBER,
        "timers": CallTimers(),
        "outcome": Outcome.ANSWERED,
        "sip_code": 200,
        "ended_by": EndedBy.THEM,
        "end_reason": None,
        "verdict": Verdict.PERSON,
        "disposition": None,
        "answered_by_person": True,
        "abandoned": False,
        "dialing_at": at(0),
        "answered_at": at(3),
        "greeting_ended_at": at(4),
        "joined_at": at(4.5),
        "message_started_at": None,
        "ended_at": at(20),
    }
    return OurCall(**(facts | changes))


def theirs(call_id: str = "c1", **changes: Any) -> CarrierCall:
    """Return the carrier's record of the same call."""
    start = START.timestamp()
    facts: dict[str, Any] = {
        "call_id": call_id,
        "dialed": NUMBER,
        "behaviour": Behaviour.PERSON,
        "invited_at": start,
        "ringing_at": start + 1,
        "answered_at": start + 3,
        "ended_at": start + 20,
        "ended_by": "carrier",
        "status": 200,
    }
    return CarrierCall(**(facts | changes))


def ours_rang_out(call_id: str = "c2", **changes: Any) -> OurCall:
    """Return our record of a call nobody answered, given up after 18 s."""
    facts: dict[str, Any] = {
        "outcome": Outcome.NO_ANSWER,
        "sip_code": 487,
        "ended_by": EndedBy.US,
        "verdict": None,
        "answered_by_person": False,
        "answered_at": None,
        "greeting_ended_at": None,
        "joined_at": None,
        "ended_at": at(18),
    }
    return ours(call_id, **(facts | changes))


def theirs_rang_out(call_id: str = "c2", **changes: Any) -> CarrierCall:
    """Return the carrier's record of the same call."""
    start = START.timestamp()
    facts: dict[str, Any] = {
        "behaviour": Behaviour.NO_ANSWER,
        "answered_at": None,
        "cancelled_at": start + 18,
        "ended_at": start + 18,
        "ended_by": "caller",
        "status": 487,
    }
    return theirs(call_id, **(facts | changes))
