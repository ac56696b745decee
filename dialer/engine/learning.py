"""What a campaign has learned from its calls, kept up to date while they happen.

A ring is learned from when it ends and not when the attempt closes: answered calls close minutes
after unanswered ones, and an estimate fed at the close would see too few answers and over-dial.
What was learned from calls still open is remembered with the model, so that a successor learns from
each call once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import Outcome, Verdict
from pacing import Histogram, History
from pacing.estimators import Learner, LearnerStateError, RingEnd

if TYPE_CHECKING:
    from campaigns.stores.closings import ClosedAttempt
    from campaigns.stores.database import Connection
    from campaigns.stores.snapshots import LiveCall

VERSION = 1
REBUILD_FROM = 5000
# These say nothing about the people called: a broken trunk is no list that nobody answers.
_SAYS_NOTHING = frozenset(
    {Outcome.TRUNK_FAULT, Outcome.CANCELLED, Outcome.REFUSED, Outcome.INTERRUPTED}
)
_NO_PERSON = frozenset({Verdict.MACHINE, Verdict.FAX, Verdict.TONE})
# Answered calls until decided otherwise: half of the weight of this many calls, all people.
_PRIOR_ANSWERED = 10.0
_KEEP_ANSWERED = 0.995
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Resolved:
    """A closed attempt, as far as learning from it goes."""

    attempt_id: UUID
    outcome: Outcome
    verdict: Verdict | None
    dialing_at: datetime | None
    answered_at: datetime | None
    reserved_at: datetime | None
    joined_at: datetime | None
    ended_at: datetime
    closed_at: datetime
    answered_by_person: bool
    abandoned: bool
    theta_at_dial: float | None


class CampaignModel:
    """One campaign's learner, fed from its live and closed attempts."""

    def __init__(self, learner: Learner | None = None) -> None:
        self.learner = learner or Learner()
        self.changed = False
        # learned from already, of attempts not closed yet
        self._rings: set[UUID] = set()
        self._talks: set[UUID] = set()
        # of answered calls, how many needed an agent
        self._answered = _PRIOR_ANSWERED
        self._needed_agent = _PRIOR_ANSWERED
        self._history: History | None = None

    @property
    def person_share(self) -> float:
        """Return the share of answered calls that turn out to need an agent."""
        return self._needed_agent / self._answered

    def history(self) -> History:
        """Return what was learned, rounded to what matters: it is stored with every decision."""
        if self._history is None:
            self._history = _rounded(self.learner.history())
        return self._history

    def dialed(self, calls: int, theta_at_dial: float | None) -> None:
        """Learn that *calls* were started by one decision."""
        if calls > 0:
            self.learner.observe_dialed(calls, theta_at_dial or 0.0)
            self._touch()

    def see(self, calls: Sequence[LiveCall]) -> None:
        """Learn from calls that are not closed yet: rings and talks that are over."""
        in_flight = sum(call.answered_at is None and call.ended_at is None for call in calls)
        for call in calls:
            self._ring(call, in_flight=in_flight)
            self._talk(call)

    def closed(self, calls: Iterable[Resolved]) -> None:
        """Learn what only the close says: how the call counts, and the wrap-up after it."""
        for call in calls:
            self._ring(call, in_flight=0)
            self._talk(call)
            if call.joined_at is not None and call.outcome is not Outcome.INTERRUPTED:
                self.learner.observe_wrap_up((call.closed_at - call.ended_at).total_seconds())
            if call.answered_by_person:
                self.learner.observe_answered(
                    abandoned=call.abandoned, theta_at_dial=call.theta_at_dial
                )
            self._rings.discard(call.attempt_id)
            self._talks.discard(call.attempt_id)
            self._touch()

    def _ring(self, call: LiveCall | Resolved, *, in_flight: int) -> None:
        end, over_at = ring_end(call), call.answered_at or call.ended_at
        if end is None or over_at is None or call.dialing_at is None:
            return
        if call.attempt_id in self._rings:
            return
        self._rings.add(call.attempt_id)
        ring_s = (over_at - call.dialing_at).total_seconds()
        self.learner.observe_end(end, ring_s, in_flight=in_flight)
        if call.answered_at is not None:
            self._answered = self._answered * _KEEP_ANSWERED + 1
            self._needed_agent = self._needed_agent * _KEEP_ANSWERED + (end is RingEnd.LIVE)
        self._touch()

    def _talk(self, call: LiveCall | Resolved) -> None:
        if call.joined_at is None or call.ended_at is None or call.attempt_id in self._talks:
            return
        self._talks.add(call.attempt_id)
        self.learner.observe_talk(
            (call.ended_at - call.joined_at).total_seconds(),
            ended=call.outcome is not Outcome.INTERRUPTED,
        )
        self._touch()

    def _touch(self) -> None:
        self.changed = True
        self._history = None

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON, to be read by `from_json`."""
        return {
            "learner": json.loads(self.learner.to_json()),
            "rings": [str(attempt) for attempt in self._rings],
            "talks": [str(attempt) for attempt in self._talks],
            "answered": self._answered,
            "needed_agent": self._needed_agent,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> CampaignModel:
        """Return the saved model; LearnerStateError if this version cannot read it."""
        try:
            model = cls(Learner.from_json(json.dumps(given["learner"])))
            model._rings = {UUID(attempt) for attempt in given["rings"]}
            model._talks = {UUID(attempt) for attempt in given["talks"]}
            model._answered = float(given["answered"])
            model._needed_agent = float(given["needed_agent"])
        except (KeyError, TypeError, ValueError) as error:
            raise LearnerStateError(f"the saved model is incomplete: {error}") from error
        return model


def ring_end(call: LiveCall | Resolved) -> RingEnd | None:
    """Return how a call's ringing ended, None while that is open or means nothing.

    Live means that the call needed an agent: a person, or what we could not tell from one.
    """
    if call.answered_at is None:
        if call.outcome is None or call.outcome in _SAYS_NOTHING:
            return None
        return RingEnd.NOT_LIVE
    if call.joined_at is not None or call.reserved_at is not None:
        return RingEnd.LIVE
    if call.verdict in _NO_PERSON:
        return RingEnd.NOT_LIVE
    is_decided = call.verdict is not None or call.outcome is not None
    return RingEnd.LIVE if is_decided else None


def resolved(call: ClosedAttempt) -> Resolved:
    """Return what a closed attempt teaches."""
    return Resolved(
        attempt_id=call.attempt_id,
        outcome=call.outcome,
        verdict=call.verdict,
        dialing_at=call.dialing_at,
        answered_at=call.answered_at,
        reserved_at=call.reserved_at,
        joined_at=call.joined_at,
        ended_at=call.ended_at,
        closed_at=call.closed_at,
        answered_by_person=call.count.answered_by_person,
        abandoned=call.count.abandoned,
        theta_at_dial=None,
    )


async def load(connection: Connection, campaign_id: UUID) -> CampaignModel:
    """Return the campaign's model: saved and brought up to date, or rebuilt from its attempts."""
    saved = await connection.fetchrow(
        "SELECT saved_at, version, model FROM campaign_model WHERE campaign_id = $1", campaign_id
    )
    if saved is not None and saved["version"] == VERSION:
        try:
            model = CampaignModel.from_json(saved["model"])
        except LearnerStateError:
            return await _rebuilt(connection, campaign_id)
        await _catch_up(connection, campaign_id, model, since=saved["saved_at"])
        return model
    return await _rebuilt(connection, campaign_id)


async def save(
    connection: Connection, campaign_id: UUID, model: CampaignModel, *, at: datetime
) -> None:
    """Keep the model for the next holder of the lease; call it in a transaction that holds it."""
    await connection.execute(
        "INSERT INTO campaign_model (campaign_id, saved_at, version, model) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (campaign_id) DO UPDATE SET saved_at = $2, version = $3, model = $4",
        campaign_id,
        at,
        VERSION,
        model.to_json(),
    )
    model.changed = False


_RECORDS = """
    -- Attempts with the threshold of the decision that started them.
    SELECT a.id, a.claimed_at, a.outcome, a.verdict, a.dialing_at, a.answered_at, a.reserved_at,
           a.joined_at, a.ended_at, a.closed_at, a.answered_by_person, a.abandoned,
           (SELECT (d.evidence->>'theta_at_dial')::float8
            FROM decision d
            WHERE d.campaign_id = a.campaign_id AND d.decided_at = a.claimed_at
            LIMIT 1) AS theta
    FROM attempt a
"""


async def _rebuilt(connection: Connection, campaign_id: UUID) -> CampaignModel:
    rows = await connection.fetch(
        f"{_RECORDS} WHERE a.campaign_id = $1 ORDER BY a.claimed_at DESC LIMIT $2",
        campaign_id,
        REBUILD_FROM,
    )
    model = CampaignModel()
    _relearn(model, reversed(rows), dialed_after=None)
    return model


async def _catch_up(
    connection: Connection, campaign_id: UUID, model: CampaignModel, *, since: datetime
) -> None:
    """Learn from the attempts that closed after the model was saved."""
    rows = await connection.fetch(
        f"{_RECORDS} WHERE a.campaign_id = $1 AND a.closed_at > $2 AND a.claimed_at > $3"
        " ORDER BY a.closed_at",
        campaign_id,
        since,
        since - timedelta(days=1),
    )
    _relearn(model, rows, dialed_after=since)


def _relearn(model: CampaignModel, rows: Iterable[Any], *, dialed_after: datetime | None) -> None:
    """Learn from closed attempts' rows what the model has not learned from them before."""
    for row in rows:
        is_new = dialed_after is None or row["claimed_at"] > dialed_after
        if row["theta"] is not None and is_new:
            model.dialed(1, row["theta"])
        model.closed(
            [
                Resolved(
                    attempt_id=row["id"],
                    outcome=Outcome(row["outcome"]),
                    verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
                    dialing_at=row["dialing_at"],
                    answered_at=row["answered_at"],
                    reserved_at=row["reserved_at"],
                    joined_at=row["joined_at"],
                    ended_at=row["ended_at"],
                    closed_at=row["closed_at"],
                    answered_by_person=row["answered_by_person"],
                    abandoned=row["abandoned"],
                    theta_at_dial=row["theta"],
                )
            ]
        )


def _rounded(history: History) -> History:
    def rounded(histogram: Histogram | None) -> Histogram | None:
        if histogram is None:
            return None
        return Histogram(
            histogram.width_s,
            tuple(round(value, _DIGITS) for value in histogram.events),
            tuple(round(value, _DIGITS) for value in histogram.exposed),
        )

    return replace(
        history,
        ring_live=rounded(history.ring_live),
        ring_other=rounded(history.ring_other),
        talk=rounded(history.talk),
        wrap_up=rounded(history.wrap_up),
    )
