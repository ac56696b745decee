"""The agent protocol's messages: what an agent's screen may say, and what it is told.

The reference for people who write a desk of their own is docs/reference/agent-websocket.md.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from campaigns.model import Disposition

# An agent's message is small: anything larger is a mistake or an attack.
LONGEST_MESSAGE = 8192
LONGEST_NOTE = 2000
LONGEST_REASON = 80


class Close(IntEnum):
    """Why the server closed the socket (RFC 6455 §7.4.2: 4000-4999 are the application's)."""

    GOING_AWAY = 1001
    TRY_LATER = 1013
    UNREADABLE = 4400
    BAD_TOKEN = 4401
    HELLO_TIMEOUT = 4408
    REPLACED = 4409
    TOO_MANY = 4429


class Problem(StrEnum):
    """What an `error` message is about; programs match on it, people read its sentence."""

    UNREADABLE = "unreadable"
    BAD_TOKEN = "bad_token"  # noqa: S105 - a name, no secret
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    NOT_LOGGED_IN = "not_logged_in"
    NOT_NOW = "not_now"
    NO_CALL = "no_call"
    NO_LINE_PROCESS = "no_line_process"
    REFUSED = "refused"
    DATABASE_AWAY = "database_away"
    REPLACED = "replaced"


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hello(_Said):
    """The first message: who speaks."""

    type: Literal["hello"]
    token: str = Field(min_length=1, max_length=512)


class LogIn(_Said):
    """Call my phone and keep the line open; I start paused."""

    type: Literal["log_in"]


class Ready(_Said):
    """Give me calls."""

    type: Literal["ready"]


class Pause(_Said):
    """Give me no calls; in mid-call it takes effect after the call."""

    type: Literal["pause"]
    reason: str = Field(default="break", min_length=1, max_length=LONGEST_REASON)


class Dispose(_Said):
    """What came of the call; in wrap-up it also makes me ready.

    `attempt_id` says which call, so that a key pressed late never lands on the next one. `call_at`
    promises the person a call at that time, by me if `mine`, else by whoever is free.
    """

    type: Literal["dispose"]
    disposition: Disposition
    attempt_id: UUID | None = None
    note: str | None = Field(default=None, max_length=LONGEST_NOTE)
    call_at: AwareDatetime | None = None
    mine: bool = False


class Dial(_Said):
    """Call the lead I am shown (preview)."""

    type: Literal["dial"]
    attempt_id: UUID


class Skip(_Said):
    """Show me another lead; this one comes again later (preview)."""

    type: Literal["skip"]
    attempt_id: UUID
    reason: str = Field(default="not now", min_length=1, max_length=LONGEST_REASON)


class HangUp(_Said):
    """End the customer's leg; my own line stays open. A phone that rings has its minimum first."""

    type: Literal["hang_up"]


class LogOut(_Said):
    """Close my line; in mid-call after the call."""

    type: Literal["log_out"]


class Ping(_Said):
    """Are you there? Answered by pong."""

    type: Literal["ping"]


Said = Annotated[
    Hello | LogIn | Ready | Pause | Dial | Skip | Dispose | HangUp | LogOut | Ping,
    Field(discriminator="type"),
]
_SAID: TypeAdapter[Said] = TypeAdapter(Said)
KINDS = (
    "hello",
    "log_in",
    "ready",
    "pause",
    "dial",
    "skip",
    "dispose",
    "hang_up",
    "log_out",
    "ping",
)


class Unreadable(Exception):
    """A message that is no JSON object of a known type; the text says what is wrong with it."""


def read(text: str) -> Said:
    """Return the message in *text*; raises `Unreadable` with a sentence for a desk's author."""
    try:
        return _SAID.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Unreadable(_what_is_wrong(first["type"], first["loc"], first["msg"])) from None


def _what_is_wrong(kind: str, where: tuple[int | str, ...], message: str) -> str:
    if kind == "json_invalid":
        return "The message is not JSON."
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        return f"The message needs a type, one of {', '.join(KINDS)}."
    if where and where[-1] == "disposition":
        return f"disposition must be one of {', '.join(Disposition)}."
    if len(where) < 2:
        return "The message must be a JSON object."
    return f"{'.'.join(str(part) for part in where[1:])}: {message}."


def error_message(problem: Problem, sentence: str) -> dict[str, Any]:
    """Return the `error` message."""
    return {"type": "error", "code": problem.value, "message": sentence}
