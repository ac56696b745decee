"""What becomes of a lead after a call: when it is called again, at which number, or why never.

The agent's word (disposition) counts before what we believed (verdict) before what the network did
(outcome). Every way a call can end has one key, and a campaign may set its own rule for any key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.errors import UserError
from campaigns.model import (
    CampaignSettings,
    Disposition,
    DoneReason,
    EndedBy,
    Outcome,
    RetryRule,
    Verdict,
)

_MIN_S = 60.0
_HOUR_S = 3600.0
_DAY_S = 86_400.0

DEFAULTS: dict[str, RetryRule] = {
    "busy": RetryRule(delay_s=5 * _MIN_S),
    "no_answer": RetryRule(delay_s=3 * _HOUR_S),
    "unavailable": RetryRule(delay_s=_HOUR_S),
    "declined": RetryRule(delay_s=_DAY_S),
    "blocked": RetryRule(delay_s=_DAY_S),
    "trunk_fault": RetryRule(delay_s=_MIN_S),
    "cancelled": RetryRule(delay_s=_MIN_S),
    "interrupted": RetryRule(delay_s=10 * _MIN_S),
    "machine": RetryRule(delay_s=4 * _HOUR_S),
    # A fax or a dead-number tone heard twice is believed; once may be a mistake of screening.
    "fax": RetryRule(delay_s=_DAY_S, attempts=2),
    "tone": RetryRule(delay_s=_DAY_S, attempts=2),
    "silence": RetryRule(delay_s=4 * _HOUR_S),
    "abandoned": RetryRule(delay_s=_DAY_S),
    "hung_up": RetryRule(delay_s=4 * _HOUR_S),
    "callback": RetryRule(delay_s=_DAY_S),
    "wrong_person": RetryRule(delay_s=4 * _HOUR_S),
    "nobody_there": RetryRule(delay_s=3 * _HOUR_S),
}
"""Every key a campaign may override, with what happens when it does not."""

_UNCHARGED = frozenset({Outcome.TRUNK_FAULT, Outcome.CANCELLED, Outcome.REFUSED})

_DISPOSED = {
    Disposition.SALE: DoneReason.DISPOSITION,
    Disposition.INTERESTED: DoneReason.DISPOSITION,
    Disposition.NOT_INTERESTED: DoneReason.DISPOSITION,
    Disposition.DO_NOT_CALL: DoneReason.SUPPRESSED,
}
_DISPOSITION_KEYS = {
    Disposition.CALLBACK: "callback",
    Disposition.WRONG_PERSON: "wrong_person",
    Disposition.MACHINE: "machine",
    Disposition.NOBODY_THERE: "nobody_there",
}
_VERDICT_KEYS = {
    Verdict.MACHINE: "machine",
    Verdict.FAX: "fax",
    Verdict.TONE: "tone",
    Verdict.SILENCE: "silence",
    Verdict.NO_AUDIO: "silence",
}
_OUTCOME_KEYS = {
    Outcome.BUSY: "busy",
    Outcome.NO_ANSWER: "no_answer",
    Outcome.UNAVAILABLE: "unavailable",
    Outcome.DECLINED: "declined",
    Outcome.BLOCKED: "blocked",
    Outcome.TRUNK_FAULT: "trunk_fault",
    Outcome.CANCELLED: "cancelled",
    Outcome.INTERRUPTED: "interrupted",
}
# Which endings say "try the person's other number next".
_ROTATE = frozenset({"no_answer", "unavailable", "blocked", "wrong_person", "nobody_there"})
# Which endings, believed often enough, condemn the number and not the lead.
_CONDEMN = frozenset({"fax", "tone"})


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended; `joined` says an agent and the person were on the line together."""

    outcome: Outcome
    verdict: Verdict | None = None
    disposition: Disposition | None = None
    joined: bool = False
    ended_by: EndedBy | None = None


@dataclass(frozen=True, slots=True)
class LeadPast:
    """What came before, this attempt not counted.

    `charged` counts attempts against the lead's limit; `endings` counts earlier endings by key, the
    key is `key_of`; `position` is the number just dialed, `positions` those of the lead that no
    earlier call has shown to be dead.
    """

    charged: int = 0
    endings: Mapping[str, int] | None = None
    position: int = 0
    positions: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class CallAgain:
    """Call the lead again, not before `at`, at the number in `position`."""

    at: datetime
    position: int
    charged: bool


@dataclass(frozen=True, slots=True)
class NeverAgain:
    """The lead is done; `suppress` says its number goes on the seller's do-not-call list."""

    reason: DoneReason
    charged: bool
    suppress: bool = False


def is_charged(outcome: Outcome) -> bool:
    """Say whether an attempt with this outcome counts against the lead's attempt limit.

    Trunk faults, our own cancellations and refusals at our own trunk are not the lead's doing.
    """
    return outcome not in _UNCHARGED


def key_of(ending: Ending) -> str | None:
    """Return the retry key of an ending, None when no retry rule applies (reached, dead number)."""
    if ending.disposition is not None and ending.disposition is not Disposition.NONE:
        return _DISPOSITION_KEYS.get(ending.disposition)
    if ending.outcome is not Outcome.ANSWERED:
        return _OUTCOME_KEYS.get(ending.outcome)
    if ending.joined:
        return None
    if ending.verdict in _VERDICT_KEYS:
        return _VERDICT_KEYS[ending.verdict]
    return "hung_up" if ending.ended_by is EndedBy.THEM else "abandoned"


def after(
    ending: Ending, *, past: LeadPast, settings: CampaignSettings, now: datetime
) -> CallAgain | NeverAgain:
    """Return what becomes of the lead after this ending."""
    charged = is_charged(ending.outcome)
    if ending.disposition in _DISPOSED:
        reason = _DISPOSED[ending.disposition]
        return NeverAgain(reason, charged, suppress=reason is DoneReason.SUPPRESSED)
    if ending.disposition is Disposition.WRONG_NUMBER or ending.outcome in {
        Outcome.INVALID_NUMBER,
        Outcome.REFUSED,
    }:
        return _without_this_number(ending, past, settings, now=now, charged=charged)
    key = key_of(ending)
    if key is None:
        return NeverAgain(DoneReason.REACHED, charged)
    rule = settings.retry.get(key, DEFAULTS[key])
    seen = (past.endings or {}).get(key, 0) + 1
    if rule.attempts is not None and seen >= rule.attempts:
        if key in _CONDEMN:
            return _without_this_number(ending, past, settings, now=now, charged=charged)
        return NeverAgain(DoneReason.ATTEMPTS_EXHAUSTED, charged)
    if charged and past.charged + 1 >= settings.max_attempts:
        return NeverAgain(DoneReason.ATTEMPTS_EXHAUSTED, charged)
    other = next_position(past.positions, past.position) if key in _ROTATE else None
    at = now + timedelta(seconds=rule.delay_s)
    return CallAgain(at, past.position if other is None else other, charged)


def next_position(positions: Iterable[int], current: int) -> int | None:
    """Return the position after *current*, going round; None if there is no other."""
    others = [position for position in positions if position != current]
    later = [position for position in others if position > current]
    return min(later or others, default=None)


def _without_this_number(
    ending: Ending,
    past: LeadPast,
    settings: CampaignSettings,
    *,
    now: datetime,
    charged: bool,
) -> CallAgain | NeverAgain:
    """Go on with the next number, or end the lead when this was the last one."""
    position = next_position(past.positions, past.position)
    if position is None:
        refused = ending.outcome is Outcome.REFUSED
        return NeverAgain(DoneReason.REFUSED if refused else DoneReason.INVALID_NUMBER, charged)
    if charged and past.charged + 1 >= settings.max_attempts:
        return NeverAgain(DoneReason.ATTEMPTS_EXHAUSTED, charged)
    return CallAgain(now + timedelta(seconds=_MIN_S), position, charged)


def check_rules(rules: Mapping[str, RetryRule]) -> None:
    """Raise `UserError` if a campaign overrides an ending that does not exist."""
    unknown = sorted(set(rules) - set(DEFAULTS))
    if unknown:
        known = ", ".join(sorted(DEFAULTS))
        raise UserError(f"There is no retry rule {unknown[0]!r}: choose among {known}.")
