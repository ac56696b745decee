"""What to do with a posterior: wait, join the agent, or hang up. Pure; the law's clock included.

Order of the rules: a person is joined; a call is hung up only on strong evidence and where the
campaign allows it; nobody who spoke waits past the deadline; whatever stays unclear is joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from campaigns.model import CallTimers, Clock, Screening, ScreeningMode, Verdict
from dialer.screening.detector import Posterior


class Move(StrEnum):
    """What the line process does now."""

    WAIT = "wait"
    JOIN = "join"
    HANG_UP = "hang_up"


class Reason(StrEnum):
    """Why; stored with the verdict."""

    LISTENING = "listening"
    SCREENING_OFF = "screening_off"
    PERSON = "person"
    MACHINE = "machine"
    FAX = "fax"
    TONE = "tone"
    NOT_WORTH_IT = "machine_but_not_sure_enough"
    HANG_UP_NOT_ALLOWED = "machine_but_hang_up_not_allowed"
    UNCLEAR = "unclear"
    SILENCE = "silence"
    NO_AUDIO = "no_audio"
    ANSWER_DEADLINE = "answer_deadline"
    SPEECH_END_DEADLINE = "speech_end_deadline"
    LISTENED_LONG_ENOUGH = "listened_long_enough"


@dataclass(frozen=True, slots=True)
class ScreeningRules:
    """What a campaign and its legal profile make of a verdict.

    `hang_up_machines` False is shadow mode: machines are recognised, recorded and joined.
    `cost_of_losing_a_person` is in units of the agent's time a machine wastes: at 50, hanging up
    takes odds above 50:1. Seconds elsewhere.
    """

    hang_up_machines: bool = True
    cost_of_losing_a_person: float = 50.0
    join_after_speech_s: float = 1.5
    bridging_margin_s: float = 0.5
    listen_limit_s: float = 8.0
    late_window_s: float = 6.0
    recall_from_machines: bool = False


DEFAULT_RULES: Final = ScreeningRules()


@dataclass(frozen=True, slots=True)
class Action:
    """The move, the verdict to record with it, and why.

    `reserve_agent`: a person is likely and the first pause is here, so an agent can be held now.
    """

    move: Move
    verdict: Verdict
    reason: Reason
    reserve_agent: bool = False


def decide(
    posterior: Posterior,
    timers: CallTimers,
    *,
    since_answer_s: float,
    rules: ScreeningRules = DEFAULT_RULES,
    media_packets: int | None = None,
) -> Action:
    """Return what to do *since_answer_s* (monotonic) after the answer, before any agent is joined.

    *media_packets* counts what the far end has sent, None if unknown: with 0, silence is no audio.
    """
    if timers.screening is ScreeningMode.OFF:
        return Action(Move.JOIN, Verdict.OFF, Reason.SCREENING_OFF)
    certain = _on_verdict(posterior, rules)
    if certain is not None and certain.move is not Move.WAIT:
        return _without_audio(certain, media_packets)
    verdict = certain.verdict if certain else Verdict.NOT_SURE
    overdue = _overdue(posterior, timers, since_answer_s=since_answer_s, rules=rules)
    if overdue is not None:
        if posterior.speech_s == 0:
            verdict = Verdict.SILENCE
        return _without_audio(Action(Move.JOIN, verdict, overdue), media_packets)
    reserve = posterior.greeting_end_s is not None and posterior.p_machine < 0.6
    return Action(Move.WAIT, verdict, Reason.LISTENING, reserve_agent=reserve)


def late_evidence(
    posterior: Posterior, joined_as: Verdict, *, since_join_s: float, rules: ScreeningRules
) -> Verdict | None:
    """Return what the call turned out to be after it was joined, None if nothing new.

    The caller records it; it ends the agent's call only where `recall_from_machines` says so.
    """
    if since_join_s > rules.late_window_s or not _is_strong(posterior, rules):
        return None
    found = Verdict(posterior.state.value)
    return None if found is joined_as else found


def is_listening_over(*, since_join_s: float, rules: ScreeningRules = DEFAULT_RULES) -> bool:
    """Tell whether a joined call is no longer worth tapping."""
    return since_join_s > rules.late_window_s


def _on_verdict(posterior: Posterior, rules: ScreeningRules) -> Action | None:
    """Return the action a finished verdict asks for, None while listening."""
    match posterior.state:
        case Screening.PERSON:
            return Action(Move.JOIN, Verdict.PERSON, Reason.PERSON)
        case Screening.MACHINE:
            if not rules.hang_up_machines:
                return Action(Move.JOIN, Verdict.MACHINE, Reason.HANG_UP_NOT_ALLOWED)
            if not _is_strong(posterior, rules):
                return Action(Move.JOIN, Verdict.MACHINE, Reason.NOT_WORTH_IT)
            return Action(Move.HANG_UP, Verdict.MACHINE, Reason.MACHINE)
        case Screening.FAX:
            return Action(Move.HANG_UP, Verdict.FAX, Reason.FAX)
        case Screening.TONE:
            return Action(Move.HANG_UP, Verdict.TONE, Reason.TONE)
        case Screening.SILENCE:
            return Action(Move.JOIN, Verdict.SILENCE, Reason.SILENCE)
        case Screening.NO_AUDIO:
            return Action(Move.JOIN, Verdict.NO_AUDIO, Reason.NO_AUDIO)
        case Screening.NOT_SURE:
            return Action(Move.JOIN, Verdict.NOT_SURE, Reason.UNCLEAR)
        case _:
            return None


def _is_strong(posterior: Posterior, rules: ScreeningRules) -> bool:
    """Tell whether hanging up costs less than joining, in expectation."""
    if posterior.state in {Screening.FAX, Screening.TONE}:
        return True
    odds = posterior.p_machine / max(1e-9, 1.0 - posterior.p_machine)
    return posterior.state is Screening.MACHINE and odds >= rules.cost_of_losing_a_person


def _overdue(
    posterior: Posterior, timers: CallTimers, *, since_answer_s: float, rules: ScreeningRules
) -> Reason | None:
    """Return which deadline has passed.

    Times of the stream lag the clock when audio is lost; the comparison is with the clock, so lost
    audio can only make the join earlier.
    """
    limit = timers.connect_limit_s - rules.bridging_margin_s
    if timers.join_by_s is not None and since_answer_s >= timers.join_by_s:
        return Reason.ANSWER_DEADLINE
    # Where nobody has spoken no greeting can have ended: the ledger counts from the answer then.
    counts_from_answer = timers.clock is Clock.ANSWER or posterior.speech_s == 0
    if counts_from_answer and since_answer_s >= limit:
        return Reason.ANSWER_DEADLINE
    if posterior.greeting_end_s is not None:
        since_speech_s = since_answer_s - posterior.greeting_end_s
        if since_speech_s >= min(rules.join_after_speech_s, limit):
            return Reason.SPEECH_END_DEADLINE
    if since_answer_s >= rules.listen_limit_s:
        return Reason.LISTENED_LONG_ENOUGH
    return None


def _without_audio(action: Action, media_packets: int | None) -> Action:
    if action.verdict is Verdict.SILENCE and media_packets == 0:
        return Action(action.move, Verdict.NO_AUDIO, Reason.NO_AUDIO)
    return action
