"""Two books about the same calls: what Overdial wrote down, and what the carrier logged.

The INVITE's Call-ID is the attempt's id, so every call is found in both. `compare` is pure: rows
in, differences out; nothing in it knows how either side came by its figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from campaigns.model import CallTimers, Disposition, EndedBy, Outcome, Verdict
from campaigns.rules import abandonment
from campaigns.rules.abandonment import AnsweredCall
from siplab.books import CarrierCall
from siplab.number_plan import MACHINES, PEOPLE, Behaviour

# Who the carrier says ended a call, in our words: a refusal is the other party's or the network's.
_ENDED_BY = {
    "caller": frozenset({EndedBy.US}),
    "carrier": frozenset({EndedBy.THEM, EndedBy.NETWORK}),
}
_GIVEN_UP = 487
# The two clocks are one machine's, but a line process hears of a ringing phone a moment later.
_RING_SLACK_S = 0.25


@dataclass(frozen=True, slots=True)
class OurCall:
    """One closed attempt as Overdial recorded it."""

    attempt_id: str
    number: str
    timers: CallTimers
    outcome: Outcome
    sip_code: int | None
    ended_by: EndedBy | None
    end_reason: str | None
    verdict: Verdict | None
    disposition: Disposition | None
    answered_by_person: bool
    abandoned: bool
    dialing_at: datetime | None
    answered_at: datetime | None
    greeting_ended_at: datetime | None
    joined_at: datetime | None
    message_started_at: datetime | None
    ended_at: datetime

    @property
    def answered_call(self) -> AnsweredCall:
        """Return what the abandonment rule needs to know."""
        return AnsweredCall(
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            clock=self.timers.clock,
            connect_limit_s=self.timers.connect_limit_s,
            greeting_ended_at=self.greeting_ended_at,
            joined_at=self.joined_at,
            ended_by=self.ended_by,
            verdict=self.verdict,
            disposition=self.disposition,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing the two books do not agree on, about one call."""

    call_id: str
    what: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        """Say it in one line; ids, never numbers."""
        return f"call {self.call_id}: {self.what}: we say {self.ours}, the carrier {self.theirs}"


@dataclass(frozen=True, slots=True)
class Row:
    """How often a final answer stands in each book; `status` None: no answer at all."""

    status: int | None
    ours: int
    theirs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of comparing every call."""

    compared: int
    differences: tuple[Difference, ...]
    totals: tuple[Row, ...]

    @property
    def agree(self) -> bool:
        """Whether the two books say the same about every call."""
        return not self.differences


def compare(ours: Sequence[OurCall], theirs: Sequence[CarrierCall]) -> Comparison:
    """Return every difference, call by call and both ways, in the order of the calls."""
    by_id = {call.call_id: call for call in theirs}
    known = {call.attempt_id for call in ours}
    differences: list[Difference] = []
    for call in ours:
        seen = by_id.get(call.attempt_id)
        if seen is not None:
            differences += _about_one(call, seen)
        elif must_have_left(call):
            what = call.outcome.value
            differences.append(Difference(call.attempt_id, "is it a call", what, "never saw it"))
    differences += [
        Difference(call.call_id, "is it a call", "never made it", f"answered {call.status}")
        for call in theirs
        if call.call_id not in known
    ]
    return Comparison(
        compared=len(known & by_id.keys()),
        differences=tuple(differences),
        totals=_totals(ours, theirs),
    )


def must_have_left(call: OurCall) -> bool:
    """Say whether an INVITE must have reached the carrier: not when our own trunk refused it."""
    return call.dialing_at is not None and not (
        call.outcome is Outcome.REFUSED and call.sip_code is None
    )


def _about_one(ours: OurCall, theirs: CarrierCall) -> Iterable[Difference]:
    def differ(what: str, we_say: object, they_say: object) -> Difference:
        return Difference(ours.attempt_id, what, str(we_say), str(they_say))

    if digits(ours.number) != digits(theirs.dialed):
        yield differ("number dialed", masked(ours.number), masked(theirs.dialed))
    if (ours.answered_at is not None) != theirs.is_answered:
        yield differ("answered", _yes(ours.answered_at is not None), _yes(theirs.is_answered))
    if status_class(ours.sip_code) != status_class(theirs.status):
        yield differ("final answer", ours.sip_code or "none", theirs.status or "none")
    if theirs.is_live:
        yield differ("is it over", "yes", "still up")
    elif ours.ended_by not in _may_have_ended(theirs):
        yield differ("ended by", ours.ended_by or "unknown", theirs.ended_by or "nobody")


def _may_have_ended(call: CarrierCall) -> frozenset[EndedBy]:
    """Return who may have ended a call; where the BYEs of both crossed, each side is right."""
    if call.byes_crossed:
        return frozenset().union(*_ENDED_BY.values())
    return _ENDED_BY.get(call.ended_by or "", frozenset())


def status_class(code: int | None) -> int | None:
    """Return 2 for 200, 4 for 486, …; a call given up, 487, is a class of its own.

    >>> status_class(603)
    6
    """
    return code if code in {None, _GIVEN_UP} else int(code or 0) // 100


def digits(number: str) -> str:
    """Return a number without its +, as some trunks dial it."""
    return number.lstrip("+")


def masked(number: str) -> str:
    """Return a number that names nobody: its first three characters and its last two."""
    return f"{number[:3]}…{number[-2:]}"


def _yes(fact: bool) -> str:  # noqa: FBT001 - it turns a fact into a word
    return "yes" if fact else "no"


def _totals(ours: Sequence[OurCall], theirs: Sequence[CarrierCall]) -> tuple[Row, ...]:
    we = Counter(call.sip_code for call in ours if must_have_left(call))
    they = Counter(call.status for call in theirs)
    return tuple(
        Row(status, we[status], they[status])
        for status in sorted(we.keys() | they.keys(), key=lambda status: status or 0)
    )


# What the law and the list ask, judged by the carrier's log -------------------------------------


@dataclass(frozen=True, slots=True)
class People:
    """What became of everybody who picked up the phone, by the carrier's number plan.

    `late` names the attempts that broke the profile's limit; `taken_for_machines` were hung up on
    by a mistake of screening.
    """

    answered: int
    joined: int
    announced: int
    hung_up_first: int
    taken_for_machines: int
    late: tuple[str, ...]


def people_served(ours: Sequence[OurCall], theirs: Sequence[CarrierCall]) -> People:
    """Return whether each person the carrier put through was given an agent or the message."""
    by_id = {call.attempt_id: call for call in ours}
    counts: Counter[str] = Counter()
    late: list[str] = []
    for seen in theirs:
        call = by_id.get(seen.call_id)
        if call is None or not seen.is_answered or seen.behaviour not in PEOPLE:
            continue
        counts["answered"] += 1
        what = _served(call)
        counts[what] += 1
        if what == "late":
            late.append(call.attempt_id)
    return People(
        answered=counts["answered"],
        joined=counts["joined"],
        announced=counts["announced"],
        hung_up_first=counts["hung_up_first"],
        taken_for_machines=counts["machine"],
        late=tuple(late),
    )


def _served(call: OurCall) -> str:
    limit = abandonment.deadline(call.answered_call)
    if limit is None:
        return "hung_up_first"
    if call.joined_at is not None:
        return "joined" if call.joined_at <= limit else "late"
    if call.message_started_at is not None:
        return "announced" if call.message_started_at <= limit else "late"
    if call.ended_by is EndedBy.THEM and call.ended_at <= limit:
        return "hung_up_first"
    if call.verdict in {Verdict.MACHINE, Verdict.FAX, Verdict.TONE}:
        return "machine"
    return "late"


FAX_AND_TONES = frozenset({Behaviour.FAX_ANSWERS, Behaviour.FAX_CALLS, Behaviour.SIT})
# What really answered, in the order shown.
ANSWERERS = ("person", "voicemail", "fax or tone", "silence")


def answerer(behaviour: Behaviour | None) -> str:
    """Return what answers a call that behaves so."""
    if behaviour in PEOPLE:
        return "person"
    if behaviour in FAX_AND_TONES:
        return "fax or tone"
    return "voicemail" if behaviour in MACHINES else "silence"


@dataclass(frozen=True, slots=True)
class Screened:
    """Answered calls by what really answered and by our verdict; `heard` says what we believed."""

    counts: Mapping[str, Mapping[str, int]]

    def of(self, who: str, *verdicts: str) -> int:
        """Return how many calls answered by *who* got one of *verdicts*."""
        row = self.counts.get(who, {})
        return sum(row.get(verdict, 0) for verdict in verdicts)

    @property
    def people_lost(self) -> int:
        """Return how many people were taken for a machine."""
        return self.of("person", Verdict.MACHINE, Verdict.FAX, Verdict.TONE)

    @property
    def machines_passed(self) -> int:
        """Return how many machines were not recognised before an agent was given to them."""
        return sum(
            self.of(who, *(verdict for verdict in Verdict if verdict not in _SCREENED_OUT))
            for who in ("voicemail", "fax or tone")
        )

    @property
    def machines(self) -> int:
        """Return how many machines answered."""
        return sum(sum(self.counts.get(who, {}).values()) for who in ("voicemail", "fax or tone"))


_SCREENED_OUT = frozenset({Verdict.MACHINE, Verdict.FAX, Verdict.TONE})


def screened(ours: Sequence[OurCall], theirs: Sequence[CarrierCall]) -> Screened:
    """Return the verdicts on every answered call beside what the number plan says it was."""
    by_id = {call.attempt_id: call for call in ours}
    counts: dict[str, Counter[str]] = {}
    for seen in theirs:
        call = by_id.get(seen.call_id)
        if call is not None and seen.is_answered:
            verdict = call.verdict.value if call.verdict is not None else "none yet"
            counts.setdefault(answerer(seen.behaviour), Counter())[verdict] += 1
    return Screened(counts)


def given_up_early(theirs: Sequence[CarrierCall], *, ring_min_s: float) -> list[str]:
    """Return the calls we cancelled before they had rung for *ring_min_s* at the carrier."""
    return [
        call.call_id
        for call in theirs
        if call.cancelled_at is not None
        and call.ringing_at is not None
        and call.cancelled_at - call.ringing_at < ring_min_s - _RING_SLACK_S
    ]


def called_against_will(theirs: Sequence[CarrierCall], unwanted: Iterable[str]) -> list[str]:
    """Return the calls to numbers on the do-not-call list."""
    refused = {digits(number) for number in unwanted}
    return [call.call_id for call in theirs if digits(call.dialed) in refused]


def not_on_the_list(theirs: Sequence[CarrierCall], numbers: Iterable[str]) -> list[str]:
    """Return the calls to numbers that were in no file."""
    listed = {digits(number) for number in numbers}
    return [call.call_id for call in theirs if digits(call.dialed) not in listed]


def unfinished(theirs: Sequence[CarrierCall]) -> list[str]:
    """Return the calls the carrier still has up, or that still wait for its final answer."""
    return [call.call_id for call in theirs if call.is_live or call.is_pending]
