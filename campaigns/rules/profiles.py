"""Legal profiles: the numbers a regulator's text puts on a dialer, as data with a date.

A table of them: docs/reference/rules.md. A profile is not legal advice and says
on which day its values were taken; whoever runs a campaign answers for choosing the right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from campaigns.errors import UserError
from campaigns.model import CallTimers, CampaignSettings, Clock, ScreeningMode
from campaigns.rules.calling_hours import ALWAYS, WeeklyHours

# An agent is joined this long after answer where the clock starts at answer: it leaves half a
# second of the two-second limit for the join itself.
JOIN_BY_S = 1.5
# After the minimum ring, the time a signal needs to cross the network before we may give up.
_RING_SLACK_S = 1.0


class WindowKind(StrEnum):
    """Over which calls an abandonment rate is counted."""

    CALENDAR_DAY = "calendar_day"
    CALENDAR_MONTH = "calendar_month"
    TUMBLING_30D = "tumbling_30d"
    ROLLING_30D = "rolling_30d"


@dataclass(frozen=True, slots=True)
class Profile:
    """One regulator's rules.

    `limit_ppm` and `target_ppm` are parts per million of calls answered by a person; the worst of
    `windows` decides. `recall_block_s` holds a number after an abandoned call, `machine_recall_s`
    after a machine verdict; both yield to preview, where an agent is on the line beforehand.
    `attempts_24h` counts calls to one number in any 24 hours, whatever campaign made them.
    `announcement` lists what the recorded message must say where over-dialing is allowed at all.
    """

    name: str
    title: str
    as_of: date
    source: str
    limit_ppm: int
    target_ppm: int
    windows: tuple[WindowKind, ...]
    ring_min_s: float
    connect_limit_s: float
    clock: Clock
    hours: WeeklyHours
    announcement: tuple[str, ...]
    amd_hang_up: bool = True
    lab_only: bool = False
    attempts_24h: int | None = None
    recall_block_s: float | None = None
    machine_recall_s: float | None = None
    dnc_max_age_days: int | None = None
    retention_years: int = 6


def _hours(*, weekdays: tuple[int, int], saturday: tuple[int, int] | None) -> WeeklyHours:
    """Return weekly hours in minutes; Sunday is closed."""
    saturdays = () if saturday is None else (saturday,)
    return WeeklyHours(((weekdays,),) * 5 + (saturdays, ()))


_DAY_S = 86_400.0
_AS_OF = date(2026, 11, 21)

_US_TSR = Profile(
    name="us-tsr",
    title="United States, FTC Telemarketing Sales Rule",
    as_of=_AS_OF,
    source="16 CFR 310.4(b)(1)(iv), (b)(4), (c)",
    limit_ppm=30_000,
    target_ppm=28_500,
    windows=(WindowKind.TUMBLING_30D,),
    ring_min_s=15.0,
    connect_limit_s=2.0,
    clock=Clock.GREETING_END,
    hours=WeeklyHours.every_day((8 * 60, 21 * 60)),
    announcement=("seller_name", "seller_phone"),
    dnc_max_age_days=31,
    retention_years=5,
)

_US_TCPA = Profile(
    name="us-tcpa",
    title="United States, FCC Telephone Consumer Protection Act rules",
    as_of=_AS_OF,
    source="47 CFR 64.1200(a)(6), (a)(7), (c)(1); repeal of (a)(6) and (a)(7) proposed 28 Oct 2025",
    limit_ppm=30_000,
    target_ppm=28_500,
    windows=(WindowKind.TUMBLING_30D,),
    ring_min_s=15.0,
    connect_limit_s=2.0,
    clock=Clock.GREETING_END,
    hours=WeeklyHours.every_day((8 * 60, 21 * 60)),
    announcement=("telemarketing_purpose", "seller_name", "dnc_phone", "dtmf_optout"),
    dnc_max_age_days=31,
    retention_years=5,
)

_UK_OFCOM = Profile(
    name="uk-ofcom",
    title="United Kingdom, Ofcom persistent misuse statement",
    as_of=_AS_OF,
    source="Ofcom statement of 20 Dec 2016 (no safe level; 3 % is the industry's ceiling)",
    limit_ppm=30_000,
    target_ppm=10_000,
    windows=(WindowKind.CALENDAR_DAY,),
    ring_min_s=15.0,
    connect_limit_s=2.0,
    clock=Clock.ANSWER,
    hours=_hours(weekdays=(8 * 60, 21 * 60), saturday=(9 * 60, 20 * 60)),
    announcement=("org_name", "optout_phone"),
    # Off until the campaign holds evidence of the false-positive rate (AMD-1).
    amd_hang_up=False,
    recall_block_s=3 * _DAY_S,
    machine_recall_s=_DAY_S,
    dnc_max_age_days=28,
    retention_years=6,
)

_CA_CRTC = Profile(
    name="ca-crtc",
    title="Canada, CRTC Unsolicited Telecommunications Rules",
    as_of=_AS_OF,
    source="CRTC Unsolicited Telecommunications Rules, Part IV",
    limit_ppm=50_000,
    target_ppm=47_500,
    windows=(WindowKind.CALENDAR_MONTH,),
    ring_min_s=15.0,
    connect_limit_s=2.0,
    clock=Clock.GREETING_END,
    hours=WeeklyHours((((9 * 60, 21 * 60 + 30),),) * 5 + (((10 * 60, 18 * 60),),) * 2),
    announcement=("org_name", "org_phone"),
    dnc_max_age_days=31,
    retention_years=4,
)

_STRICT = Profile(
    name="strict-default",
    title="The strictest value of every rule we know",
    as_of=_AS_OF,
    source="a design decision, no regulator's text",
    limit_ppm=30_000,
    target_ppm=20_000,
    windows=(WindowKind.CALENDAR_DAY, WindowKind.TUMBLING_30D, WindowKind.ROLLING_30D),
    ring_min_s=15.0,
    connect_limit_s=2.0,
    clock=Clock.ANSWER,
    hours=_hours(weekdays=(9 * 60, 20 * 60), saturday=(9 * 60, 20 * 60)),
    announcement=("org_name", "optout_phone"),
    amd_hang_up=False,
    attempts_24h=3,
    recall_block_s=3 * _DAY_S,
    dnc_max_age_days=7,
    retention_years=6,
)

_LAB = Profile(
    name="lab",
    title="Demos and tests: always open, lab trunks and numbers reserved for fiction only",
    as_of=_AS_OF,
    source="no law; no telephone of a real person can be reached under it",
    limit_ppm=30_000,
    target_ppm=28_500,
    windows=(WindowKind.TUMBLING_30D,),
    ring_min_s=15.0,
    connect_limit_s=2.0,
    clock=Clock.GREETING_END,
    hours=ALWAYS,
    announcement=(),
    lab_only=True,
    retention_years=0,
)

PROFILES: dict[str, Profile] = {
    profile.name: profile for profile in (_LAB, _US_TSR, _US_TCPA, _UK_OFCOM, _CA_CRTC, _STRICT)
}


def get(name: str) -> Profile:
    """Return the profile *name*; raises `UserError` that lists those there are."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        raise UserError(f"There is no profile {name!r}: choose one of {known}.") from None


# Who called and that nobody could be given, nothing else (compliance MSG-1, TCPA-3).
DEFAULT_ANNOUNCEMENT = (
    "Hello. You were called on behalf of {seller}. We are sorry that nobody is free to speak to "
    "you just now. We will not keep you any longer. Goodbye."
)


def call_timers(settings: CampaignSettings, profile: Profile, *, seller: str = "") -> CallTimers:
    """Return what the line process must hold for one call: the campaign's wishes inside the law.

    In an announcement's text `{seller}` stands for the one on whose behalf it is called.
    """
    announcement = settings.announcement or DEFAULT_ANNOUNCEMENT
    return CallTimers(
        ring_timeout_s=max(settings.ring_timeout_s, profile.ring_min_s + _RING_SLACK_S),
        ring_min_s=profile.ring_min_s,
        connect_limit_s=profile.connect_limit_s,
        clock=profile.clock,
        join_by_s=JOIN_BY_S if profile.clock is Clock.ANSWER else None,
        screening=settings.screening,
        hang_up_machines=profile.amd_hang_up and settings.screening is ScreeningMode.ON,
        announcement=announcement.replace("{seller}", seller),
        max_call_s=settings.max_call_s,
        wrap_up_limit_s=settings.wrap_up_limit_s,
    )


def effective_hours(profile: Profile, settings: CampaignSettings) -> WeeklyHours:
    """Return the profile's hours on the campaign's weekdays."""
    return profile.hours.only(settings.weekdays)


def effective_target_ppm(profile: Profile, settings: CampaignSettings) -> int:
    """Return the abandonment target: the campaign's own where it is stricter than the profile's."""
    if settings.target_abandonment is None:
        return profile.target_ppm
    return min(profile.target_ppm, round(settings.target_abandonment * 1_000_000))
