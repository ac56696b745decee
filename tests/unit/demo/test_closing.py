"""What the demo says at its end, and when it says that the books balance."""

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from campaigns.model import EndedBy, Verdict
from demo import closing
from demo.closing import Evidence
from demo.people import LeadFile
from demo.records import Standing
from dialer.report import Abandonment, CampaignReport, LeadReport, Spread
from siplab.number_plan import Behaviour
from tests.unit.demo.ledger_pages import NUMBER, START, ours, ours_rang_out, theirs, theirs_rang_out

AGREE = "2 calls compared with the carrier's own log: all agree."
UNWANTED = "+442079460199"


def report_of(**changes: Any) -> CampaignReport:
    """Return a report of two calls, one of them answered."""
    nothing = Spread(0, None, None, None)
    facts: dict[str, Any] = {
        "campaign_id": UUID(int=1),
        "campaign": "spring",
        "state": "stopped",
        "mode": "predictive",
        "profile": "lab",
        "since": START,
        "until": START + timedelta(minutes=3),
        "attempts": 2,
        "dialed": 2,
        "charged": 2,
        "still_open": 0,
        "outcomes": {"answered": 1, "no_answer": 1},
        "verdicts": {"person": 1},
        "dispositions": {},
        "trunks": {"lab": 2},
        "joined": 1,
        "announced": 0,
        "returned_machines": 0,
        "abandonment": Abandonment(1, 0, 1500, 40, 30_000),
        "answer_to_agent": nothing,
        "connect_time": nothing,
        "ring_time": nothing,
        "talk_time": nothing,
        "agents": (),
        "leads": LeadReport(total=3, attempted=2, open=1, in_call=0, done={"reached": 1}),
    }
    return CampaignReport(**(facts | changes))


EVIDENCE = Evidence(
    ours=[ours(), ours_rang_out()],
    theirs=[theirs(), theirs_rang_out()],
    standing=Standing({"final": 2, "waiting for a retry": 1}, live_attempts=0, held_agents=0),
    report=report_of(),
    file=LeadFile(Path("leads.csv"), Path("no.txt"), 3, 0, 0, (NUMBER, UNWANTED), (UNWANTED,)),
    stopped=True,
    was_cut_short=False,
    ring_min_s=15.0,
)


def said(evidence: Evidence) -> str:
    """Return everything the demo prints about its books."""
    console = Console(file=io.StringIO(), width=200)
    closing.show(console, closing.verify(evidence))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_books_that_balance() -> None:
    """
    Agreeing books and kept promises make the sentence, with the number of calls compared.
    """
    assert closing.verify(EVIDENCE).balances
    assert AGREE in said(EVIDENCE)
    assert "✗" not in said(EVIDENCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"report": report_of(dialed=3)},
        {"report": report_of(outcomes={"answered": 2})},
        {"standing": Standing({"final": 2, "in a call": 1}, live_attempts=0, held_agents=0)},
        {"standing": Standing({"final": 2, "never called": 1}, live_attempts=0, held_agents=0)},
        {"standing": Standing({"final": 3}, live_attempts=1, held_agents=0)},
        {"standing": Standing({"final": 3}, live_attempts=0, held_agents=1)},
        {"stopped": False},
        {"ours": [ours(joined_at=None), ours_rang_out()]},
        {"ours": [ours(ended_by=EndedBy.US), ours_rang_out()]},
        {"ours": [ours()]},
        {"theirs": [theirs()]},
        {"theirs": [theirs(), theirs_rang_out(cancelled_at=START.timestamp() + 10)]},
        {"file": replace(EVIDENCE.file, suppressed=(NUMBER,))},
        {"file": replace(EVIDENCE.file, numbers=(UNWANTED,))},
    ],
)
def test_books_that_do_not_balance(changes: dict[str, Any]) -> None:
    """
    One difference or one broken promise is enough to say so, and to say what it is.
    """
    evidence = replace(EVIDENCE, **changes)

    assert not closing.verify(evidence).balances
    assert "all agree" not in said(evidence)
    assert "do NOT balance" in said(evidence)


def test_a_demo_cut_short() -> None:
    """
    When the time ran out, leads not called yet are no fault.
    """
    standing = Standing({"final": 1, "never called": 2}, live_attempts=0, held_agents=0)

    assert closing.verify(replace(EVIDENCE, standing=standing, was_cut_short=True)).balances


def test_a_mistake_of_screening_is_told() -> None:
    """
    A person taken for a machine is counted in the open; it is a mistake, not a wrong record.
    """
    evidence = replace(
        EVIDENCE,
        ours=[
            ours(joined_at=None, ended_by=EndedBy.US, verdict=Verdict.MACHINE),
            ours_rang_out(),
        ],
        theirs=[theirs(ended_by="caller", behaviour=Behaviour.PERSON), theirs_rang_out()],
    )

    assert closing.verify(evidence).balances
    assert "1 people taken for machines" in said(evidence)


def test_many_differences() -> None:
    """
    A long list of differences is cut and says how long it is.
    """
    evidence = replace(EVIDENCE, ours=[], report=report_of(dialed=40))
    many = replace(
        evidence, theirs=[theirs(f"c{index}", behaviour=Behaviour.BUSY) for index in range(40)]
    )

    assert f"and {40 - closing.MOST_SHOWN} more" in said(many)
