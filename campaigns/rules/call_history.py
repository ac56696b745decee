"""The gate's checks on what a number and a person have had already: frequency, debts, recalls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from campaigns.rules.gate_checks import Case, state_calls
from campaigns.rules.refusals import SETTING_S, SOON_S, Refusals
from campaigns.rules.rule_ids import Rule
from campaigns.rules.us_states import SPANS_S
from pacing import Mode

_FREQUENCY_RULES = {
    SPANS_S["8h"]: Rule.FREQUENCY_8H,
    SPANS_S["24h"]: Rule.FREQUENCY,
    SPANS_S["7d"]: Rule.FREQUENCY_7D,
    SPANS_S["30d"]: Rule.FREQUENCY_30D,
}
_WEEK = timedelta(days=7)


def frequency(case: Case, refusals: Refusals) -> None:
    """Refuse one call too many in a rolling span, whatever campaign and caller id made the others.

    Law, state and campaign each have limits; the lowest of a span binds (ST-3).
    """
    law = case.campaign.profile
    limits: dict[int, int] = {}
    for table in ({} if law is None else law.calls, state_calls(case), case.campaign.calls):
        for span_s, calls in table.items():
            limits[span_s] = min(calls, limits.get(span_s, calls))
    for span_s, limit in sorted(limits.items()):
        rule = _FREQUENCY_RULES[span_s]
        if case.facts.dialed_at is None:
            refusals.until(rule, SOON_S)
            continue
        span = timedelta(seconds=span_s)
        recent = sorted(at for at in case.facts.dialed_at if at > case.now - span)
        if len(recent) >= limit:
            # Free again once all but limit - 1 of them are older than the span.
            free = recent[len(recent) - limit] + span
            refusals.until(rule, (free - case.now).total_seconds())


def debt(case: Case, refusals: Refusals) -> None:
    """Hold Regulation F: seven calls in seven days, seven days of quiet after a conversation.

    Days are the person's own calendar days, in every zone they may be in; the day of a call or a
    conversation counts as the first (12 CFR 1006.14(b)(2)).
    """
    law = case.campaign.profile
    if law is None:
        return
    calls, talked = case.facts.debt_dialed_at, case.facts.conversation_at
    if law.debt_calls_7d is not None:
        if calls is None:
            refusals.until(Rule.DEBT_CALLS, SOON_S)
        else:
            free = _after_week(calls, law.debt_calls_7d, case)
            if free is not None and free > case.now:
                refusals.until(Rule.DEBT_CALLS, (free - case.now).total_seconds())
    if law.debt_quiet_days is not None and talked is not None:
        free = _days_after(talked, law.debt_quiet_days, case)
        if free > case.now:
            refusals.until(Rule.DEBT_QUIET, (free - case.now).total_seconds())
    if law.debt_gap_s is not None and calls:
        free = max(calls) + timedelta(seconds=law.debt_gap_s)
        if free > case.now:
            refusals.until(Rule.DEBT_GAP, (free - case.now).total_seconds())


def _after_week(calls: Sequence[datetime], limit: int, case: Case) -> datetime | None:
    """Return when a week holds fewer than *limit* calls again; None if it does already."""
    if len(calls) < limit:
        return None
    # With the newest `limit` calls in one week, the oldest of them must leave it.
    return _days_after(sorted(calls)[len(calls) - limit], 7, case)


def _days_after(at: datetime, days: int, case: Case) -> datetime:
    """Return the local midnight that begins the day *days* after the day of *at*, the latest."""
    return max(
        _midnight(at.astimezone(ZoneInfo(zone)).date() + timedelta(days=days), zone)
        for zone in case.lead.zones or ("UTC",)
    )


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def refusal(case: Case, refusals: Refusals) -> None:
    """Leave a person alone for a while after a refusal to the same seller."""
    law, at = case.campaign.profile, case.facts.refused_at
    if law is None or law.refusal_block_days is None or at is None:
        return
    free = at + timedelta(days=law.refusal_block_days)
    if free > case.now:
        refusals.until(Rule.REFUSAL, (free - case.now).total_seconds())


def recall(case: Case, refusals: Refusals) -> None:
    """Leave a number alone after an abandoned call (RECALL-1), then ask for an agent first.

    An agent already on the line cannot abandon: preview is free of both.
    """
    law, at = case.campaign.profile, case.facts.abandoned_at
    if law is None or law.recall_block_s is None or at is None:
        return
    if case.campaign.mode is Mode.PREVIEW:
        return
    free = at + timedelta(seconds=law.recall_block_s)
    if free > case.now:
        refusals.until(Rule.RECALL, (free - case.now).total_seconds())
    elif law.recall_needs_agent:
        refusals.until(Rule.RECALL_AGENT, SETTING_S)


def machine_recall(case: Case, refusals: Refusals) -> None:
    """Leave a number alone after a machine verdict, which may have been a person (UK-5)."""
    law, at = case.campaign.profile, case.facts.machine_at
    if law is None or law.machine_recall_s is None or at is None:
        return
    free = at + timedelta(seconds=law.machine_recall_s)
    if case.campaign.mode is not Mode.PREVIEW and free > case.now:
        refusals.until(Rule.MACHINE_RECALL, (free - case.now).total_seconds())
