"""What one agent's screen shows, and the messages that turn its last picture into the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from campaigns.model import AgentState, Disposition, EndedBy, Outcome, PhoneKind


@dataclass(frozen=True, slots=True)
class Call:
    """The call an agent is reserved for, talks on or wraps up, with the lead it reached.

    `preview_until` is when the agent's time to decide about a preview is up, None once decided.
    """

    attempt_id: UUID
    campaign: str
    script: str
    lead_name: str
    fields: Mapping[str, Any]
    number: str
    region: str
    zones: tuple[str, ...]
    notes: tuple[Mapping[str, Any], ...]
    answered_at: datetime | None
    joined_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    ended_by: EndedBy | None
    disposition: Disposition | None
    is_preview: bool = False
    preview_until: datetime | None = None
    dialing_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent as Postgres has them at `at`; without a session the agent is logged out."""

    at: datetime
    agent_id: UUID
    name: str
    display_name: str
    campaigns: tuple[str, ...]
    phone_kind: PhoneKind = PhoneKind.SIP_URI
    session_id: UUID | None = None
    state: AgentState = AgentState.OFFLINE
    since: datetime | None = None
    reason: str | None = None
    pause_requested: str | None = None
    log_out_requested: bool = False
    wrap_up_until: datetime | None = None
    call: Call | None = None


@dataclass(slots=True)
class Screen:
    """The last picture sent; `next_messages` says what has to be sent for a new one.

    The call comes before the state when it begins, so that no screen shows "talking" without the
    person; its end comes before the state too, so that wrap-up starts with a finished call.
    """

    _state: dict[str, Any] | None = None
    _call: Call | None = None
    _ended: set[UUID] = field(default_factory=set)

    def next_messages(self, view: AgentView) -> list[dict[str, Any]]:
        """Return the messages for *view*, oldest first; none when nothing changed."""
        messages = self._call_messages(view.call)
        state = state_message(view)
        shown = {key: value for key, value in state.items() if key != "now"}
        if shown != self._state:
            self._state = shown
            messages.append(state)
        return messages

    def _call_messages(self, call: Call | None) -> list[dict[str, Any]]:
        messages = []
        before = self._call
        if before is not None and (call is None or call.attempt_id != before.attempt_id):
            if before.attempt_id not in self._ended:
                messages.append(call_ended_message(before))
            self._ended.clear()
            self._call = None
        if call is None:
            return messages
        if self._call is None or _picture(self._call) != _picture(call):
            messages.append(call_message(call))
        self._call = call
        if call.ended_at is not None and call.attempt_id not in self._ended:
            self._ended.add(call.attempt_id)
            messages.append(call_ended_message(call))
        return messages


def _picture(call: Call) -> tuple[object, ...]:
    shown = call.attempt_id, call.answered_at, call.joined_at, call.disposition
    return (*shown, call.preview_until, call.dialing_at if call.is_preview else None)


def state_message(view: AgentView) -> dict[str, Any]:
    """Return the `state` message; `now` lets a screen whose clock is wrong still count right."""
    return {
        "type": "state",
        "now": _time(view.at),
        "agent": view.name,
        "display_name": view.display_name,
        "campaigns": list(view.campaigns),
        "phone": view.phone_kind.value,
        "logged_in": view.session_id is not None,
        "state": view.state.value,
        "since": _time(view.since),
        "reason": view.reason,
        "pause_requested": view.pause_requested,
        "log_out_requested": view.log_out_requested,
        "wrap_up_until": _time(view.wrap_up_until),
    }


def call_message(call: Call) -> dict[str, Any]:
    """Return the `call` message: who is on the line. `joined_at` is null while being joined.

    In preview it is who will be: `preview_until` is null once the call was ordered or skipped.
    """
    return {
        "type": "call",
        "attempt_id": str(call.attempt_id),
        "campaign": call.campaign,
        "script": call.script,
        "lead": {
            "name": call.lead_name,
            "number": call.number,
            "region": call.region,
            "zones": list(call.zones),
            "fields": dict(call.fields),
            "notes": [dict(note) for note in call.notes],
        },
        "preview": call.is_preview,
        "preview_until": _time(call.preview_until),
        "dialing_at": _time(call.dialing_at),
        "answered_at": _time(call.answered_at),
        "joined_at": _time(call.joined_at),
        "disposition": call.disposition,
    }


def call_ended_message(call: Call) -> dict[str, Any]:
    """Return the `call_ended` message; a call that was never joined has `talk_s` null."""
    talk_s = None
    if call.joined_at is not None and call.ended_at is not None:
        talk_s = round((call.ended_at - call.joined_at).total_seconds(), 1)
    return {
        "type": "call_ended",
        "attempt_id": str(call.attempt_id),
        "ended_at": _time(call.ended_at),
        "outcome": call.outcome,
        "ended_by": call.ended_by,
        "talk_s": talk_s,
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
