"""The end of the demo: the books, and whether they balance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from campaigns.model import Verdict
from demo import books
from demo.books import Comparison, OurCall, People, Screened
from demo.people import LeadFile
from demo.records import Standing
from dialer.report import CampaignReport
from siplab.books import CarrierCall

MOST_SHOWN = 15

_ANSWERS = {
    None: "no final answer",
    200: "200 answered",
    404: "404 no such number",
    480: "480 not available",
    484: "484 number incomplete",
    486: "486 busy",
    487: "487 rang out, we gave up",
    600: "600 busy everywhere",
    603: "603 declined or blocked",
    607: "607 unwanted",
    608: "608 rejected",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and whether it was kept; `broken` names the calls that break it."""

    promise: str
    broken: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether nothing breaks the promise."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the two sides wrote down, when everything is over."""

    ours: Sequence[OurCall]
    theirs: Sequence[CarrierCall]
    standing: Standing
    report: CampaignReport
    file: LeadFile
    stopped: bool
    was_cut_short: bool
    ring_min_s: float


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of looking into the books."""

    comparison: Comparison
    checks: tuple[Check, ...]
    people: People
    screened: Screened

    @property
    def balances(self) -> bool:
        """Whether the books agree and every promise was kept."""
        return self.comparison.agree and all(check.is_kept for check in self.checks)


def verify(evidence: Evidence) -> Verification:
    """Compare the books and check every promise the demo makes."""
    people = books.people_served(evidence.ours, evidence.theirs)
    return Verification(
        comparison=books.compare(evidence.ours, evidence.theirs),
        checks=tuple(_checks(evidence, people)),
        people=people,
        screened=books.screened(evidence.ours, evidence.theirs),
    )


def _checks(evidence: Evidence, people: People) -> Iterable[Check]:
    standing, theirs, report = evidence.standing, evidence.theirs, evidence.report
    yield Check(
        f"The report counts {report.dialed} calls dialed and {_answered(report)} answered; "
        "so does the carrier",
        tuple(_report_differences(report, theirs)),
    )
    yield Check(
        f"Every lead is final or has its next time"
        f"{', the rest is left for later' if evidence.was_cut_short else ''}: "
        f"{_standings(standing)}",
        tuple(_open_leads(evidence)),
    )
    yield Check(
        "The campaign is stopped, no attempt is open and no agent is held",
        tuple(_still_open(evidence)),
    )
    yield Check("No call is left up at the carrier", tuple(books.unfinished(theirs)))
    yield Check(
        f"Each of the {people.answered} people who picked up was joined to an agent "
        f"({people.joined}) or heard the announcement ({people.announced}) within the limit, "
        f"or hung up first ({people.hung_up_first})"
        + (
            f"; {people.taken_for_machines} were taken for machines, see below"
            if people.taken_for_machines
            else ""
        ),
        people.late,
    )
    yield Check(
        f"None of the {len(evidence.file.suppressed)} people who asked not to be called was called",
        tuple(books.called_against_will(theirs, evidence.file.suppressed)),
    )
    yield Check(
        "Nobody was called who is not on the list",
        tuple(books.not_on_the_list(theirs, evidence.file.numbers)),
    )
    yield Check(
        f"No phone was given up before it had rung for {evidence.ring_min_s:.0f} s",
        tuple(books.given_up_early(theirs, ring_min_s=evidence.ring_min_s)),
    )


def _answered(report: CampaignReport) -> int:
    return report.outcomes.get("answered", 0)


def _report_differences(report: CampaignReport, theirs: Sequence[CarrierCall]) -> Iterable[str]:
    answered = sum(1 for call in theirs if call.is_answered)
    if report.dialed != len(theirs):
        yield f"the carrier counts {len(theirs)} calls"
    if _answered(report) != answered:
        yield f"the carrier counts {answered} answered"


def _standings(standing: Standing) -> str:
    order = ("final", "waiting for a retry", "held by a rule", "due again", "never called")
    return ", ".join(f"{standing.leads[name]} {name}" for name in order if standing.leads.get(name))


def _open_leads(evidence: Evidence) -> Iterable[str]:
    standing = evidence.standing
    if standing.lost:
        yield f"{standing.lost} leads are still in a call"
    if standing.left and not evidence.was_cut_short:
        yield f"{standing.left} leads could be called now"


def _still_open(evidence: Evidence) -> Iterable[str]:
    if not evidence.stopped:
        yield "the campaign did not stop in time"
    if evidence.standing.live_attempts:
        yield f"{evidence.standing.live_attempts} attempts are open"
    if evidence.standing.held_agents:
        yield f"{evidence.standing.held_agents} agents are held by a call"


# On the screen -----------------------------------------------------------------------------------


def show(console: Console, found: Verification) -> None:
    """Print the books, the promises and the screening, then the one sentence that counts."""
    console.print()
    console.print(Rule("The books: our records beside the carrier's own log", style="bold"))
    console.print()
    console.print(_totals(found.comparison))
    console.print()
    for check in found.checks:
        mark = Text("✓ ", "green") if check.is_kept else Text("✗ ", "bold red")
        console.print(mark + Text(check.promise, "" if check.is_kept else "bold red"))
        _list(console, check.broken)
    console.print()
    console.print(_screening(found.screened))
    console.print(_mistakes(found.screened), style="dim")
    console.print()
    _list(console, [str(difference) for difference in found.comparison.differences])
    console.print(sentence(found))


def sentence(found: Verification) -> Text:
    """Return the result in one sentence."""
    comparison = found.comparison
    if found.balances:
        return Text(
            f"{comparison.compared} calls compared with the carrier's own log: all agree.",
            "bold green",
        )
    wrong = len(comparison.differences)
    broken = sum(1 for check in found.checks if not check.is_kept)
    return Text(
        f"The books do NOT balance: {comparison.compared} calls compared with the carrier's own "
        f"log, {wrong} differences, {broken} of {len(found.checks)} promises broken.",
        "bold red",
    )


def _list(console: Console, lines: Sequence[str]) -> None:
    for line in lines[:MOST_SHOWN]:
        console.print(Text(f"    {line}", "red"))
    if len(lines) > MOST_SHOWN:
        console.print(Text(f"    … and {len(lines) - MOST_SHOWN} more", "red"))


def _totals(comparison: Comparison) -> Table:
    rows = Table(box=None, pad_edge=False, header_style="dim")
    rows.add_column("final answer")
    rows.add_column("we wrote down", justify="right")
    rows.add_column("the carrier logged", justify="right")
    for row in comparison.totals:
        style = "" if row.ours == row.theirs else "bold red"
        rows.add_row(
            _ANSWERS.get(row.status, str(row.status)), str(row.ours), str(row.theirs), style=style
        )
    rows.add_row(
        "all calls",
        str(sum(row.ours for row in comparison.totals)),
        str(sum(row.theirs for row in comparison.totals)),
        style="bold",
    )
    return rows


_COLUMNS: dict[str, tuple[str, ...]] = {
    "person": (Verdict.PERSON,),
    "machine": (Verdict.MACHINE,),
    "fax or tone": (Verdict.FAX, Verdict.TONE),
    "silence": (Verdict.SILENCE, Verdict.NO_AUDIO),
    "not sure": (Verdict.NOT_SURE, Verdict.OFF),
    "none yet": ("none yet",),
}


def _screening(found: Screened) -> Table:
    rows = Table(
        title="Screening: who really answered, by the number plan, and what we heard",
        title_justify="left",
        title_style="",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    rows.add_column("answered by")
    for heading in _COLUMNS:
        rows.add_column(heading, justify="right")
    for who in books.ANSWERERS:
        if who in found.counts:
            rows.add_row(
                who,
                *(str(found.of(who, *verdicts) or "·") for verdicts in _COLUMNS.values()),
            )
    return rows


def _mistakes(found: Screened) -> str:
    return (
        f"Mistakes: {found.people_lost} people taken for machines; {found.machines_passed} of "
        f"{found.machines} machines given to an agent. Who hangs up at once leaves no verdict."
    )
