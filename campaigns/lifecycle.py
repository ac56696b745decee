"""The transition tables, and nothing else. An illegal move is one typed error.

Each column of an attempt that moves has a table of its own (design §5), so that connect-first
screening, early reservation or an announcement after a reservation are combinations, not states.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from campaigns.model import AgentState, AttemptState, CampaignState, Reservation, Screening

S = TypeVar("S", bound=StrEnum)
Table = Mapping[S, frozenset[S]]

ATTEMPT: Table[AttemptState] = {
    AttemptState.CLAIMED: frozenset({AttemptState.DIALING, AttemptState.ENDED}),
    AttemptState.DIALING: frozenset(
        {AttemptState.RINGING, AttemptState.ANSWERED, AttemptState.ENDED}
    ),
    AttemptState.RINGING: frozenset({AttemptState.ANSWERED, AttemptState.ENDED}),
    AttemptState.ANSWERED: frozenset(
        {
            AttemptState.BRIDGED,
            AttemptState.ANNOUNCING,
            AttemptState.LEAVING_MESSAGE,
            AttemptState.ENDED,
        }
    ),
    AttemptState.BRIDGED: frozenset(
        {AttemptState.ANNOUNCING, AttemptState.LEAVING_MESSAGE, AttemptState.ENDED}
    ),
    AttemptState.ANNOUNCING: frozenset({AttemptState.BRIDGED, AttemptState.ENDED}),
    AttemptState.LEAVING_MESSAGE: frozenset({AttemptState.BRIDGED, AttemptState.ENDED}),
    AttemptState.ENDED: frozenset(),
}

_VERDICTS = frozenset(
    {
        Screening.PERSON,
        Screening.MACHINE,
        Screening.FAX,
        Screening.TONE,
        Screening.SILENCE,
        Screening.NO_AUDIO,
        Screening.NOT_SURE,
    }
)

SCREENING: Table[Screening] = {
    Screening.NONE: frozenset({Screening.LISTENING}),
    Screening.LISTENING: _VERDICTS,
    Screening.PERSON: frozenset({Screening.MACHINE, Screening.FAX, Screening.TONE}),
    Screening.NOT_SURE: _VERDICTS - {Screening.NOT_SURE},
    Screening.SILENCE: _VERDICTS - {Screening.SILENCE},
    Screening.NO_AUDIO: _VERDICTS - {Screening.NO_AUDIO},
    Screening.MACHINE: frozenset(),
    Screening.FAX: frozenset(),
    Screening.TONE: frozenset(),
}

RESERVATION: Table[Reservation] = {
    Reservation.NONE: frozenset({Reservation.RESERVED}),
    Reservation.RESERVED: frozenset({Reservation.JOINED, Reservation.RELEASED}),
    Reservation.JOINED: frozenset({Reservation.RELEASED}),
    Reservation.RELEASED: frozenset({Reservation.RESERVED}),
}

AGENT: Table[AgentState] = {
    AgentState.OFFLINE: frozenset({AgentState.PAUSED, AgentState.READY}),
    AgentState.PAUSED: frozenset({AgentState.READY, AgentState.OFFLINE}),
    AgentState.READY: frozenset({AgentState.PAUSED, AgentState.RESERVED, AgentState.OFFLINE}),
    AgentState.RESERVED: frozenset(
        {AgentState.TALKING, AgentState.READY, AgentState.PAUSED, AgentState.OFFLINE}
    ),
    AgentState.TALKING: frozenset({AgentState.WRAP_UP, AgentState.PAUSED, AgentState.OFFLINE}),
    AgentState.WRAP_UP: frozenset({AgentState.READY, AgentState.PAUSED, AgentState.OFFLINE}),
}

CAMPAIGN: Table[CampaignState] = {
    CampaignState.DRAFT: frozenset({CampaignState.RUNNING}),
    CampaignState.RUNNING: frozenset({CampaignState.PAUSED, CampaignState.STOPPING}),
    CampaignState.PAUSED: frozenset({CampaignState.RUNNING, CampaignState.STOPPING}),
    CampaignState.STOPPING: frozenset({CampaignState.STOPPED, CampaignState.RUNNING}),
    CampaignState.STOPPED: frozenset({CampaignState.RUNNING}),
}


class CallEventKind(StrEnum):
    """What a row of `call_event` says happened."""

    CLAIMED = "claimed"
    DIALING = "dialing"
    EARLY_MEDIA = "early_media"
    RINGING = "ringing"
    ANSWERED = "answered"
    VERDICT = "verdict"
    RESERVED = "reserved"
    ORDERED = "ordered"
    NO_AGENT = "no_agent"
    JOINED = "joined"
    AGENT_LOST = "agent_lost"
    ANNOUNCING = "announcing"
    ANNOUNCED = "announced"
    OPTED_OUT = "opted_out"
    CANCELLED = "cancelled"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    RETURNED = "returned"
    CLOSED = "closed"
    DISPOSED = "disposed"


class IllegalTransition(Exception):
    """A state was asked to move where its table does not allow."""

    def __init__(self, old: StrEnum, new: StrEnum) -> None:
        super().__init__(f"{type(old).__name__} cannot go from {old} to {new}")
        self.old = old
        self.new = new


def predecessors(table: Table[S], new: S) -> tuple[S, ...]:
    """Return the states from which *new* may be reached: the guard of its UPDATE statement."""
    return tuple(old for old, allowed in table.items() if new in allowed)


def check(table: Table[S], old: S, new: S) -> S:
    """Return *new* if the table allows it from *old*, else raise `IllegalTransition`."""
    if new not in table[old]:
        raise IllegalTransition(old, new)
    return new
