"""The nouns of the trade as values: enums that mirror the schema, and the settings they carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import uuid_utils.compat
from pydantic import BaseModel, ConfigDict, Field

from pacing import GuardMode

Seconds = Annotated[float, Field(ge=0, le=86_400)]


def new_id() -> uuid_utils.compat.UUID:
    """Return a UUIDv7: unique anywhere, and ordered by time so that indexes stay dense."""
    return uuid_utils.compat.uuid7()


class CampaignState(StrEnum):
    """Where a campaign stands; `stopping` lets calls in flight end."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"


class LeadState(StrEnum):
    """Open to be called, in a call now, or done for good."""

    OPEN = "open"
    IN_CALL = "in_call"
    DONE = "done"


class DoneReason(StrEnum):
    """Why a lead will not be called again."""

    REACHED = "reached"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    INVALID_NUMBER = "invalid_number"
    SUPPRESSED = "suppressed"
    REFUSED = "refused"
    DISPOSITION = "disposition"


class AttemptState(StrEnum):
    """Life of a call attempt (design §5)."""

    CLAIMED = "claimed"
    DIALING = "dialing"
    RINGING = "ringing"
    ANSWERED = "answered"
    BRIDGED = "bridged"
    ANNOUNCING = "announcing"
    LEAVING_MESSAGE = "leaving_message"
    ENDED = "ended"


class Screening(StrEnum):
    """What call screening holds at this moment."""

    NONE = "none"
    LISTENING = "listening"
    PERSON = "person"
    MACHINE = "machine"
    FAX = "fax"
    TONE = "tone"
    SILENCE = "silence"
    NO_AUDIO = "no_audio"
    NOT_SURE = "not_sure"


class Reservation(StrEnum):
    """Whether an agent is held for, or joined to, the call."""

    NONE = "none"
    RESERVED = "reserved"
    JOINED = "joined"
    RELEASED = "released"


class Outcome(StrEnum):
    """What the network did."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    UNAVAILABLE = "unavailable"
    INVALID_NUMBER = "invalid_number"
    DECLINED = "declined"
    BLOCKED = "blocked"
    TRUNK_FAULT = "trunk_fault"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


class Verdict(StrEnum):
    """What we believe answered."""

    OFF = "off"
    PERSON = "person"
    MACHINE = "machine"
    FAX = "fax"
    TONE = "tone"
    SILENCE = "silence"
    NO_AUDIO = "no_audio"
    NOT_SURE = "not_sure"


class Disposition(StrEnum):
    """What the agent says came of it."""

    NONE = "none"
    SALE = "sale"
    INTERESTED = "interested"
    NOT_INTERESTED = "not_interested"
    CALLBACK = "callback"
    WRONG_PERSON = "wrong_person"
    WRONG_NUMBER = "wrong_number"
    DO_NOT_CALL = "do_not_call"
    MACHINE = "machine"
    NOBODY_THERE = "nobody_there"


class EndedBy(StrEnum):
    """Who ended the call; `network` when the trunk or carrier did."""

    THEM = "them"
    US = "us"
    NETWORK = "network"


class AgentState(StrEnum):
    """Where a logged-in agent stands; `offline` while the phone leg is not up."""

    OFFLINE = "offline"
    PAUSED = "paused"
    READY = "ready"
    RESERVED = "reserved"
    TALKING = "talking"
    WRAP_UP = "wrap_up"


class PhoneKind(StrEnum):
    """How an agent's phone is reached."""

    SIP_URI = "sip_uri"
    EXTENSION = "extension"
    TELEPHONE = "telephone"
    CALL_IN = "call_in"


class TrunkKind(StrEnum):
    """A lab trunk speaks to loopback and dials numbers reserved for fiction; a real one never."""

    LAB = "lab"
    REAL = "real"


class Transport(StrEnum):
    """SIP transport of a trunk or phone."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Clock(StrEnum):
    """Where the connect limit of a legal profile starts."""

    ANSWER = "answer"
    GREETING_END = "greeting_end"


class ScreeningMode(StrEnum):
    """Off joins the agent at answer; on screens first, or meanwhile where the clock demands it."""

    OFF = "off"
    ON = "on"


class PreviewEnd(StrEnum):
    """What becomes of a preview whose time limit passes."""

    SKIP = "skip"
    DIAL = "dial"


class ProcessKind(StrEnum):
    """The four kinds of process."""

    SERVE = "serve"
    API = "api"
    ENGINE = "engine"
    LINES = "lines"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CallTimers(_Frozen):
    """What a line process needs to hold the law on its own; travels with the dial command.

    Seconds. `ring_min_s` counts from the first 180/183 (RING-1, RING-2); `connect_limit_s` from
    `clock`; `join_by_s` is when an agent is joined whatever the verdict, counted from answer, None
    where the clock starts at the end of the greeting. `hang_up_machines` is false where the law
    wants evidence first (AMD-1): then a machine verdict changes nothing, an agent hears the call.
    `opt_out_key` pressed during the announcement puts the number on the seller's do-not-call list.
    """

    ring_timeout_s: float = 22.0
    ring_min_s: float = 15.0
    connect_limit_s: float = 2.0
    clock: Clock = Clock.GREETING_END
    join_by_s: float | None = None
    screening: ScreeningMode = ScreeningMode.ON
    hang_up_machines: bool = True
    announcement: str | None = None
    opt_out_key: str = "9"
    max_call_s: float = 3600.0
    wrap_up_limit_s: float = 30.0


class RetryRule(_Frozen):
    """Wait `delay_s` after this outcome or verdict; `attempts` of it at most, None for no limit."""

    delay_s: Seconds
    attempts: int | None = None


class CampaignSettings(_Frozen):
    """A campaign's policy; stored as JSON with a version, so that no change needs a migration."""

    ratio: float = Field(default=1.0, ge=1, le=10)
    max_lines_per_agent: float = Field(default=5.0, ge=1, le=20)
    guard: GuardMode = GuardMode.PREDICTIVE
    target_abandonment: float | None = Field(default=None, gt=0, le=0.05)
    wrap_up_limit_s: float = Field(default=30.0, ge=0, le=3600)
    ring_timeout_s: float = Field(default=22.0, ge=15, le=60)
    max_attempts: int = Field(default=5, ge=1, le=50)
    max_call_s: float = Field(default=3600.0, ge=10, le=14_400)
    screening: ScreeningMode = ScreeningMode.ON
    announcement: str | None = None
    preview_time_s: float = Field(default=60.0, ge=5, le=3600)
    preview_end: PreviewEnd = PreviewEnd.SKIP
    preview_skip_delay_s: Seconds = 600.0
    # The key that, during the announcement, means "do not call me again" (TCPA-3).
    opt_out_key: str = Field(default="9", pattern=r"^[0-9*#]$")
    retry: dict[str, RetryRule] = Field(default_factory=dict)
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    # Calls a number or person may get in a span (8h, 24h, 7d, 30d), beside what the law allows.
    calls: dict[str, int] = Field(default_factory=dict)
    script: str = ""


@dataclass(frozen=True, slots=True)
class Allow:
    """The gate lets this call go."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The gate refuses: by which rules, whether for good, and else from when to ask again."""

    rules: tuple[str, ...]
    final: DoneReason | None
    ask_again_s: float | None
