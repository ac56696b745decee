"""The abandonment ledger: H and A per accounting window, derived from the attempts themselves.

Hours that are over become aggregates (`close_hours`), which can be checked against the attempts at
any time (`recount`); the hour in progress is counted live. Seeded history of a lab campaign lies in
rows of its own, labelled as such wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from campaigns.errors import UserError
from campaigns.model import ScreeningMode
from campaigns.rules import abandonment, false_positives, profiles
from campaigns.rules.profiles import WindowKind
from campaigns.rules.zones import zones_of_region
from campaigns.stores import closings, corrections
from pacing import WindowCount

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

_HOUR = timedelta(hours=1)
_THIRTY_DAYS = timedelta(days=30)
# From the claim, the partition key, to the answer: far longer than any phone may ring, and short
# enough that whichever index the planner takes, it reads hardly more than what is counted.
LONGEST_RING = timedelta(minutes=15)

WINDOW_NAMES = {
    WindowKind.CALENDAR_DAY: "today",
    WindowKind.CALENDAR_MONTH: "this month",
    WindowKind.TUMBLING_30D: "30 days from the start",
    WindowKind.ROLLING_30D: "the last 30 days",
    WindowKind.CAMPAIGN: "the whole campaign",
}


@dataclass(frozen=True, slots=True)
class Span:
    """From when a window counts, and until when it is this window; None when it rolls along."""

    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerWindow:
    """One accounting window now; the seeded parts are included in the totals.

    `estimated_false_positives`, in both totals too, are people that screening is reckoned to have
    taken for machines, where a law wants them counted.
    """

    kind: WindowKind
    span: Span
    answered_by_person: int
    abandoned: int
    seeded_answered: int
    seeded_abandoned: int
    estimated_false_positives: int
    limit_ppm: int
    target_ppm: int

    @property
    def name(self) -> str:
        """Return what people call this window."""
        return WINDOW_NAMES[self.kind]

    def as_count(self, *, now: datetime, held: bool) -> WindowCount:
        """Return the window as the pacer sees it.

        The Italian limit is a ratio to successful calls, those not abandoned (Garante, 2014).
        """
        ends_at = self.span.ends_at
        answered = self.answered_by_person
        if self.kind is WindowKind.CAMPAIGN:
            answered -= self.abandoned
        return WindowCount(
            name=self.name,
            answered=answered,
            abandoned=self.abandoned,
            limit_ppm=self.limit_ppm,
            target_ppm=self.target_ppm,
            remaining_s=None if ends_at is None else (ends_at - now).total_seconds(),
            held=held,
        )


def span_of(kind: WindowKind, *, now: datetime, started_at: datetime, zone: str) -> Span:
    """Return the window of *kind* that *now* lies in.

    Calendar windows follow the local clock of *zone*; the tumbling one is anchored at the
    campaign's start (16 CFR 310.4(b)(4)(i): each successive 30-day period).
    """
    match kind:
        case WindowKind.CALENDAR_DAY:
            today = now.astimezone(ZoneInfo(zone)).date()
            return Span(_midnight(today, zone), _midnight(today + timedelta(days=1), zone))
        case WindowKind.CALENDAR_MONTH:
            first = now.astimezone(ZoneInfo(zone)).date().replace(day=1)
            following = (first + timedelta(days=32)).replace(day=1)
            return Span(_midnight(first, zone), _midnight(following, zone))
        case WindowKind.TUMBLING_30D:
            periods = max(0, (now - started_at) // _THIRTY_DAYS)
            starts_at = started_at + periods * _THIRTY_DAYS
            return Span(starts_at, starts_at + _THIRTY_DAYS)
        case WindowKind.ROLLING_30D:
            return Span(now - _THIRTY_DAYS, None)
        case WindowKind.CAMPAIGN:
            return Span(started_at, None)


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def home_zone(campaign: CampaignRow) -> str:
    """Return the zone whose calendar a campaign's day follows: its first region's first."""
    for region in sorted(campaign.regions):
        zones = zones_of_region(region)
        if zones:
            return min(zones)
    return "UTC"


COUNTS = """
-- Closed hours from their aggregates, the rest from the attempts: each call counts once.
SELECT w.n, corrected.answered AS corrected_answered, corrected.abandoned AS corrected_abandoned,
       closed.answered, closed.abandoned, closed.seeded_answered, closed.seeded_abandoned,
       live.answered AS live_answered, live.abandoned AS live_abandoned,
       head.answered AS head_answered, head.abandoned AS head_abandoned
FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS w(starts_at, first_hour, n)
CROSS JOIN (
    SELECT max(hour) + interval '1 hour' AS at
    FROM abandonment_hour
    WHERE campaign_id = $1 AND origin = 'measured'
) through
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(h.answered_by_person) FILTER (WHERE h.origin = 'measured'), 0) AS answered,
           COALESCE(sum(h.abandoned) FILTER (WHERE h.origin = 'measured'), 0) AS abandoned,
           COALESCE(sum(h.answered_by_person) FILTER (WHERE h.origin = 'seeded'), 0)
               AS seeded_answered,
           COALESCE(sum(h.abandoned) FILTER (WHERE h.origin = 'seeded'), 0) AS seeded_abandoned
    FROM abandonment_hour h
    WHERE h.campaign_id = $1 AND h.hour >= w.first_hour
) closed
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(k.answered_by_person), 0) AS answered,
           COALESCE(sum(k.abandoned), 0) AS abandoned
    FROM abandonment_correction k
    WHERE k.campaign_id = $1 AND k.answered_at >= w.starts_at
) corrected
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE a.answered_by_person) AS answered,
           count(*) FILTER (WHERE a.abandoned) AS abandoned
    FROM attempt a
    WHERE a.campaign_id = $1
      AND a.answered_at >= greatest(w.starts_at, through.at)
      AND a.claimed_at >= greatest(w.starts_at, through.at) - $4::interval
) live
CROSS JOIN LATERAL (
    -- The part of an hour before the first whole one, where a local day begins within an hour.
    SELECT count(*) FILTER (WHERE a.answered_by_person) AS answered,
           count(*) FILTER (WHERE a.abandoned) AS abandoned
    FROM attempt a
    WHERE a.campaign_id = $1
      AND a.answered_at >= w.starts_at
      AND a.answered_at < least(w.first_hour, COALESCE(through.at, '-infinity'))
      AND a.claimed_at >= w.starts_at - $4::interval
) head
ORDER BY w.n
"""

_LIVE = """
-- Calls in progress or not closed yet that somebody answered.
SELECT a.timers, a.answered_at, a.greeting_ended_at, a.joined_at, a.ended_at, a.ended_by,
       a.verdict, a.disposition,
       a.screening = 'listening' AND a.timers->>'clock' = 'greeting_end' AS greeting_goes_on
FROM live_attempt a
WHERE a.campaign_id = $1 AND a.answered_at IS NOT NULL
"""


async def window_counts(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> tuple[LedgerWindow, ...]:
    """Return H and A of each window of the campaign's profile; nothing for an unknown profile.

    Call it in a repeatable-read transaction: an attempt that closes between its two statements
    would count twice. A call still up counts from the moment its agent heard it or its time ran
    out.
    """
    profile = campaign.profile
    if profile is None:
        return ()
    zone = home_zone(campaign)
    spans = [
        span_of(kind, now=now, started_at=campaign.started_at or now, zone=zone)
        for kind in profile.windows
    ]
    rows = await connection.fetch(
        COUNTS,
        campaign.id,
        [span.starts_at for span in spans],
        [
            _first_hour(kind, span, started_at=campaign.started_at or now)
            for kind, span in zip(profile.windows, spans, strict=True)
        ],
        LONGEST_RING,
    )
    wrong_ppm = await _false_positive_ppm(connection, campaign, now=now)
    unclosed = await _unclosed(connection, campaign.id, now=now)
    found = []
    for kind, span, row in zip(profile.windows, spans, rows, strict=True):
        inside = [count for at, count in unclosed if at >= span.starts_at]
        answered = (
            row["answered"]
            + row["seeded_answered"]
            + row["live_answered"]
            + row["head_answered"]
            + row["corrected_answered"]
            + sum(count.answered_by_person for count in inside)
        )
        # People screening has hung up on count as reached and abandoned (Ofcom; compliance §2.1).
        wrong = false_positives.estimated(answered, wrong_ppm)
        found.append(
            LedgerWindow(
                kind=kind,
                span=span,
                answered_by_person=answered + wrong,
                abandoned=row["abandoned"]
                + row["seeded_abandoned"]
                + row["live_abandoned"]
                + row["head_abandoned"]
                + row["corrected_abandoned"]
                + sum(count.abandoned for count in inside)
                + wrong,
                seeded_answered=row["seeded_answered"],
                seeded_abandoned=row["seeded_abandoned"],
                estimated_false_positives=wrong,
                limit_ppm=profile.limit_ppm,
                target_ppm=profiles.effective_target_ppm(profile, campaign.settings),
            )
        )
    return tuple(found)


async def _false_positive_ppm(
    connection: Connection, campaign: CampaignRow, *, now: datetime
) -> int:
    """Return the rate to reckon with: none where screening hangs up on nobody or needs no proof."""
    profile = campaign.profile
    if profile is None or profile.amd_hang_up or campaign.settings.screening is ScreeningMode.OFF:
        return 0
    evidence = await corrections.evidence_of(connection, campaign.id, now=now)
    return 0 if evidence is None else evidence.upper_bound_ppm


def _first_hour(kind: WindowKind, span: Span, *, started_at: datetime) -> datetime:
    """Return the first hour whose aggregate counts as a whole.

    A campaign's own start and a rolling edge take in the hour they fall in: nothing was called
    before the one, and the other may well be an hour generous to the people called.
    """
    hour = _floor(span.starts_at)
    is_own_start = kind in (WindowKind.TUMBLING_30D, WindowKind.CAMPAIGN) and (
        span.starts_at <= started_at
    )
    if is_own_start or kind is WindowKind.ROLLING_30D or hour == span.starts_at:
        return hour
    return hour + _HOUR


def _floor(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


async def _unclosed(
    connection: Connection, campaign_id: UUID, *, now: datetime
) -> list[tuple[datetime, abandonment.Count]]:
    found = []
    for row in await connection.fetch(_LIVE, campaign_id):
        call = closings.answered_call(row, now=now)
        limit = abandonment.deadline(call)
        is_decided = call.joined_at is not None or row["ended_at"] is not None
        # While screening listens, the greeting the clock waits for may still be going on.
        is_late = limit is not None and limit <= now and not row["greeting_goes_on"]
        if is_decided or is_late:
            found.append((row["answered_at"], abandonment.count(call)))
    return found


async def seed(
    connection: Connection,
    campaign: CampaignRow,
    *,
    answered_by_person: int,
    abandoned: int,
    hour: datetime,
) -> None:
    """Give a lab campaign a history that no call stands behind; raises `UserError` for others."""
    if campaign.profile is None or not campaign.profile.lab_only:
        raise UserError(
            f"Campaign {campaign.name!r} calls under a law: only profile 'lab' may have a seeded "
            "history."
        )
    await connection.execute(
        "INSERT INTO abandonment_hour (campaign_id, hour, origin, answered_by_person, abandoned)"
        " VALUES ($1, $2, 'seeded', $3, $4)"
        " ON CONFLICT (campaign_id, hour, origin)"
        " DO UPDATE SET answered_by_person = $3, abandoned = $4",
        campaign.id,
        _floor(hour),
        answered_by_person,
        abandoned,
    )


async def close_hours(connection: Connection, campaign_id: UUID, *, now: datetime) -> int:
    """Turn the hours that are over, and whose calls are all closed, into aggregates.

    Hours close in order, empty ones too, so that the last one says how far the ledger is closed.
    Returns how many were closed.
    """
    async with connection.transaction():
        held = await connection.fetchrow(
            "SELECT started_at FROM campaign WHERE id = $1 FOR UPDATE", campaign_id
        )
        if held is None or held["started_at"] is None:
            return 0
        first = await connection.fetchval(
            "SELECT max(hour) + interval '1 hour' FROM abandonment_hour"
            " WHERE campaign_id = $1 AND origin = 'measured'",
            campaign_id,
        ) or _floor(held["started_at"])
        oldest_open = await connection.fetchval(
            "SELECT min(COALESCE(answered_at, claimed_at)) FROM live_attempt"
            " WHERE campaign_id = $1",
            campaign_id,
        )
        end = _floor(now if oldest_open is None else min(now, oldest_open))
        if end <= first:
            return 0
        hours = await connection.fetch(
            """
            -- A call belongs to the hour it was answered in.
            INSERT INTO abandonment_hour (campaign_id, hour, answered_by_person, abandoned)
            SELECT $1, h.hour, count(a.id) FILTER (WHERE a.answered_by_person),
                   count(a.id) FILTER (WHERE a.abandoned)
            FROM generate_series($2::timestamptz, $3::timestamptz - interval '1 hour',
                                 interval '1 hour') AS h(hour)
            LEFT JOIN attempt a ON a.campaign_id = $1
                AND a.answered_at >= h.hour AND a.answered_at < h.hour + interval '1 hour'
                AND a.claimed_at >= $2::timestamptz - $4::interval
            GROUP BY h.hour
            ON CONFLICT (campaign_id, hour, origin) DO NOTHING
            RETURNING hour
            """,
            campaign_id,
            first,
            end,
            LONGEST_RING,
        )
        return len(hours)


@dataclass(frozen=True, slots=True)
class WrongHour:
    """A closed hour whose aggregate is not what its attempts say: (H, A) stored and recounted."""

    hour: datetime
    stored: tuple[int, int]
    recounted: tuple[int, int]


async def recount(
    connection: Connection, campaign_id: UUID, *, since: datetime
) -> Sequence[WrongHour]:
    """Recount every closed hour from *since* on; return those that do not agree (PACE-7)."""
    rows = await connection.fetch(
        """
        SELECT h.hour, h.answered_by_person, h.abandoned,
               count(a.id) FILTER (WHERE a.answered_by_person) AS answered_again,
               count(a.id) FILTER (WHERE a.abandoned) AS abandoned_again
        FROM abandonment_hour h
        LEFT JOIN attempt a ON a.campaign_id = h.campaign_id
            AND a.answered_at >= h.hour AND a.answered_at < h.hour + interval '1 hour'
            AND a.claimed_at >= $2::timestamptz - $3::interval
        WHERE h.campaign_id = $1 AND h.origin = 'measured' AND h.hour >= $2
        GROUP BY h.hour, h.answered_by_person, h.abandoned
        ORDER BY h.hour
        """,
        campaign_id,
        since,
        LONGEST_RING,
    )
    return [
        WrongHour(row["hour"], stored, recounted)
        for row in rows
        if (stored := (row["answered_by_person"], row["abandoned"]))
        != (recounted := (row["answered_again"], row["abandoned_again"]))
    ]
