"""What becomes of a lead after each way a call can end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

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
from campaigns.rules.retry import (
    DEFAULTS,
    CallAgain,
    Ending,
    LeadPast,
    NeverAgain,
    after,
    check_rules,
    is_charged,
    key_of,
    next_position,
)

NOW = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)
SETTINGS = CampaignSettings(max_attempts=5)
NEW = LeadPast()


def judge(
    ending: Ending, past: LeadPast = NEW, settings: CampaignSettings = SETTINGS
) -> CallAgain | NeverAgain:
    """Return what becomes of the lead now."""
    return after(ending, past=past, settings=settings, now=NOW)


@pytest.mark.parametrize(
    ("ending", "delay", "charged"),
    [
        (Ending(Outcome.BUSY), timedelta(minutes=5), True),
        (Ending(Outcome.NO_ANSWER), timedelta(hours=3), True),
        (Ending(Outcome.UNAVAILABLE), timedelta(hours=1), True),
        (Ending(Outcome.DECLINED), timedelta(days=1), True),
        (Ending(Outcome.BLOCKED), timedelta(days=1), True),
        (Ending(Outcome.INTERRUPTED), timedelta(minutes=10), True),
        (Ending(Outcome.TRUNK_FAULT), timedelta(minutes=1), False),
        (Ending(Outcome.CANCELLED), timedelta(minutes=1), False),
        (Ending(Outcome.ANSWERED, Verdict.MACHINE), timedelta(hours=4), True),
        (Ending(Outcome.ANSWERED, Verdict.SILENCE), timedelta(hours=4), True),
        (Ending(Outcome.ANSWERED, Verdict.FAX), timedelta(days=1), True),
        (Ending(Outcome.ANSWERED, Verdict.PERSON), timedelta(days=1), True),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, ended_by=EndedBy.THEM),
            timedelta(hours=4),
            True,
        ),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.CALLBACK, joined=True),
            timedelta(days=1),
            True,
        ),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.MACHINE, joined=True),
            timedelta(hours=4),
            True,
        ),
    ],
)
def test_delay_until_the_next_call(ending: Ending, delay: timedelta, *, charged: bool) -> None:
    """
    Each ending has its own wait, and trunk faults and our own cancellations are not the lead's.
    """
    assert CallAgain(NOW + delay, 0, charged) == judge(ending)


@pytest.mark.parametrize(
    ("ending", "reason", "suppress"),
    [
        (Ending(Outcome.ANSWERED, Verdict.PERSON, joined=True), DoneReason.REACHED, False),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.NONE, joined=True),
            DoneReason.REACHED,
            False,
        ),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.SALE, joined=True),
            DoneReason.DISPOSITION,
            False,
        ),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.DO_NOT_CALL, joined=True),
            DoneReason.SUPPRESSED,
            True,
        ),
        (
            Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.WRONG_NUMBER, joined=True),
            DoneReason.INVALID_NUMBER,
            False,
        ),
        (Ending(Outcome.INVALID_NUMBER), DoneReason.INVALID_NUMBER, False),
        (Ending(Outcome.REFUSED), DoneReason.REFUSED, False),
    ],
)
def test_lead_is_done(ending: Ending, reason: DoneReason, *, suppress: bool) -> None:
    """
    A talk, an agent's last word and a dead number end a lead with one number.
    """
    found = judge(ending)

    assert isinstance(found, NeverAgain)
    assert (reason, suppress) == (found.reason, found.suppress)


def test_last_attempt_ends_the_lead() -> None:
    """
    The attempt that reaches the limit is the last; one that is not charged never is.
    """
    past = LeadPast(charged=4)

    assert NeverAgain(DoneReason.ATTEMPTS_EXHAUSTED, charged=True) == judge(
        Ending(Outcome.BUSY), past
    )
    assert isinstance(judge(Ending(Outcome.TRUNK_FAULT), LeadPast(charged=9)), CallAgain)


def test_campaign_overrides_one_ending() -> None:
    """
    A campaign's own rule replaces the default of that ending only.
    """
    settings = CampaignSettings(retry={"busy": RetryRule(delay_s=60, attempts=2)})

    first = judge(Ending(Outcome.BUSY), settings=settings)
    second = judge(Ending(Outcome.BUSY), LeadPast(1, {"busy": 1}), settings)
    other = judge(Ending(Outcome.NO_ANSWER), LeadPast(1, {"busy": 1}), settings)

    assert CallAgain(NOW + timedelta(seconds=60), 0, charged=True) == first
    assert NeverAgain(DoneReason.ATTEMPTS_EXHAUSTED, charged=True) == second
    assert CallAgain(NOW + timedelta(hours=3), 0, charged=True) == other


def test_override_of_nothing_is_refused() -> None:
    """
    A misspelt ending is an error that names those there are.
    """
    with pytest.raises(UserError, match=r"no retry rule 'buzy'.*busy"):
        check_rules({"buzy": RetryRule(delay_s=1)})


def test_dead_number_gives_way_to_the_next() -> None:
    """
    A lead with another number is called there in a minute, and done when all are dead.
    """
    found = judge(Ending(Outcome.INVALID_NUMBER), LeadPast(position=0, positions=(0, 1, 2)))
    last = judge(Ending(Outcome.INVALID_NUMBER), LeadPast(position=2, positions=(2,)))

    assert CallAgain(NOW + timedelta(minutes=1), 1, charged=True) == found
    assert NeverAgain(DoneReason.INVALID_NUMBER, charged=True) == last


def test_unanswered_number_is_followed_by_the_other_one() -> None:
    """
    No answer tries the person's other number next time; busy says somebody is there.
    """
    past = LeadPast(position=1, positions=(0, 1))

    unanswered = judge(Ending(Outcome.NO_ANSWER), past)
    busy = judge(Ending(Outcome.BUSY), past)

    assert isinstance(unanswered, CallAgain)
    assert isinstance(busy, CallAgain)
    assert (0, 1) == (unanswered.position, busy.position)


def test_second_fax_is_believed() -> None:
    """
    Screening may err once about a fax; the second time the number counts as dead.
    """
    fax = Ending(Outcome.ANSWERED, Verdict.FAX)

    assert isinstance(judge(fax), CallAgain)
    assert NeverAgain(DoneReason.INVALID_NUMBER, charged=True) == judge(
        fax, LeadPast(1, {"fax": 1})
    )


def test_agent_outranks_screening_outranks_network() -> None:
    """
    The key of an ending is the agent's word, else the verdict, else the network's.
    """
    assert "machine" == key_of(
        Ending(Outcome.ANSWERED, Verdict.PERSON, Disposition.MACHINE, joined=True)
    )
    assert "machine" == key_of(Ending(Outcome.ANSWERED, Verdict.MACHINE))
    assert "busy" == key_of(Ending(Outcome.BUSY, Verdict.OFF))
    assert None is key_of(Ending(Outcome.ANSWERED, Verdict.MACHINE, joined=True))


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_future(outcome: Outcome) -> None:
    """
    No outcome leaves a lead without a next step, and only three are free of charge.
    """
    found = judge(Ending(outcome))

    assert is_charged(outcome) is found.charged
    free = {Outcome.TRUNK_FAULT, Outcome.CANCELLED, Outcome.REFUSED}
    assert (outcome in free) is not found.charged


def test_positions_go_round() -> None:
    """
    Numbers follow each other in order and begin again; a single one has no other.
    """
    assert [1, 2, 0] == [next_position((0, 1, 2), at) for at in (0, 1, 2)]
    assert None is next_position((0,), 0)


def test_every_default_key_can_happen() -> None:
    """
    No retry rule stands for an ending that cannot occur.
    """
    endings = [
        Ending(outcome, verdict, disposition, joined=joined, ended_by=ended_by)
        for outcome in Outcome
        for verdict in (None, *Verdict)
        for disposition in (None, *Disposition)
        for joined in (False, True)
        for ended_by in (None, *EndedBy)
    ]

    assert set(DEFAULTS) == {key_of(ending) for ending in endings} - {None}
