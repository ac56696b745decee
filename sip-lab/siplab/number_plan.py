"""The number plan of the lab: what happens when a number is dialed.

The last two digits decide, in every range reserved for fiction, so a list of leads can be read by
eye: 00-29 are people, 30-44 voicemail, 45-51 busy, 52-82 nobody answers, 83-99 the rest. The five
Australian numbers reserved for fiction have entries of their own. Everything that varies from one
number to the next (ring time, talk time, voice) is a hash of the number: the same number behaves
the same today and tomorrow, in every run and on every machine.

Errors: ``UnknownNumberError`` (a number outside the reserved ranges).
"""

import enum
import random
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


class UnknownNumberError(ValueError):
    """The number is in none of the ranges reserved for fiction, so the lab does not serve it."""


class Behaviour(enum.StrEnum):
    """What the far end of a call does."""

    PERSON = "person"
    PERSON_BUSINESS = "person_business"
    PERSON_EARLY_MEDIA = "person_early_media"
    PERSON_HANGS_UP_EARLY = "person_hangs_up_early"
    PERSON_BYE_AT_ONCE = "person_bye_at_once"
    PERSON_REFERS = "person_refers"
    PERSON_HOLDS = "person_holds"
    VOICEMAIL = "voicemail"
    VOICEMAIL_SHORT_WORD = "voicemail_short_word"
    BUSY = "busy"
    BUSY_EVERYWHERE = "busy_everywhere"
    BUSY_CAUSE_17 = "busy_cause_17"
    NO_ANSWER = "no_answer"
    NO_ANSWER_480 = "no_answer_480"
    ANSWER_CROSSING_CANCEL = "answer_crossing_cancel"
    INVALID = "invalid"
    INCOMPLETE = "incomplete"
    NOT_IN_SERVICE = "not_in_service"
    FAX_ANSWERS = "fax_answers"
    FAX_CALLS = "fax_calls"
    SIT = "sit"
    SILENCE = "silence"
    NO_RTP = "no_rtp"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"
    BLOCKED_603 = "blocked_603"
    BLOCKED_607 = "blocked_607"
    BLOCKED_608 = "blocked_608"
    CONGESTION = "congestion"
    CONGESTION_CAUSE_34 = "congestion_cause_34"
    REDIRECT = "redirect"
    MUTE = "mute"


PEOPLE = frozenset(
    {
        Behaviour.PERSON,
        Behaviour.PERSON_BUSINESS,
        Behaviour.PERSON_EARLY_MEDIA,
        Behaviour.PERSON_HANGS_UP_EARLY,
        Behaviour.PERSON_BYE_AT_ONCE,
        Behaviour.PERSON_REFERS,
        Behaviour.PERSON_HOLDS,
        Behaviour.ANSWER_CROSSING_CANCEL,
    }
)
"""Behaviours where a person is on the line once the call is answered."""

MACHINES = frozenset(
    {
        Behaviour.VOICEMAIL,
        Behaviour.VOICEMAIL_SHORT_WORD,
        Behaviour.FAX_ANSWERS,
        Behaviour.FAX_CALLS,
        Behaviour.SIT,
    }
)
"""Behaviours that answer the call with a machine."""

NASTY = frozenset(
    {
        Behaviour.ANSWER_CROSSING_CANCEL,
        Behaviour.CONGESTION,
        Behaviour.CONGESTION_CAUSE_34,
        Behaviour.MUTE,
        Behaviour.NO_RTP,
        Behaviour.PERSON_BYE_AT_ONCE,
        Behaviour.PERSON_HOLDS,
        Behaviour.PERSON_REFERS,
        Behaviour.REDIRECT,
    }
)
"""Behaviours no ordinary campaign meets: trunk faults, fraud attempts, races."""

_PLAN: tuple[tuple[range, Behaviour], ...] = (
    (range(23), Behaviour.PERSON),
    (range(23, 25), Behaviour.PERSON_BUSINESS),
    (range(25, 27), Behaviour.PERSON_EARLY_MEDIA),
    (range(27, 28), Behaviour.PERSON_HANGS_UP_EARLY),
    (range(28, 29), Behaviour.PERSON_REFERS),
    (range(29, 30), Behaviour.PERSON_HOLDS),
    (range(30, 44), Behaviour.VOICEMAIL),
    (range(44, 45), Behaviour.VOICEMAIL_SHORT_WORD),
    (range(45, 50), Behaviour.BUSY),
    (range(50, 51), Behaviour.BUSY_EVERYWHERE),
    (range(51, 52), Behaviour.BUSY_CAUSE_17),
    (range(52, 80), Behaviour.NO_ANSWER),
    (range(80, 82), Behaviour.NO_ANSWER_480),
    (range(82, 83), Behaviour.ANSWER_CROSSING_CANCEL),
    (range(83, 84), Behaviour.INVALID),
    (range(84, 85), Behaviour.INCOMPLETE),
    (range(85, 86), Behaviour.NOT_IN_SERVICE),
    (range(86, 87), Behaviour.FAX_ANSWERS),
    (range(87, 88), Behaviour.SIT),
    (range(88, 89), Behaviour.SILENCE),
    (range(89, 90), Behaviour.DECLINED),
    (range(90, 91), Behaviour.UNAVAILABLE),
    (range(91, 92), Behaviour.BLOCKED_603),
    (range(92, 93), Behaviour.BLOCKED_607),
    (range(93, 94), Behaviour.BLOCKED_608),
    (range(94, 95), Behaviour.PERSON_BYE_AT_ONCE),
    (range(95, 96), Behaviour.NO_RTP),
    (range(96, 97), Behaviour.CONGESTION),
    (range(97, 98), Behaviour.CONGESTION_CAUSE_34),
    (range(98, 99), Behaviour.REDIRECT),
    (range(99, 100), Behaviour.MUTE),
)

BY_LAST_TWO: Mapping[int, Behaviour] = MappingProxyType(
    {digits: behaviour for span, behaviour in _PLAN for digits in span}
)
"""The number plan: the last two digits dialed to what happens."""

AUSTRALIA: Mapping[str, Behaviour] = MappingProxyType(
    {
        "+61491570156": Behaviour.PERSON,
        "+61491570157": Behaviour.VOICEMAIL,
        "+61491570158": Behaviour.NO_ANSWER,
        "+61491570159": Behaviour.BUSY,
        "+61491570110": Behaviour.FAX_CALLS,
    }
)
"""The five Australian numbers reserved for fiction, whose digits cannot be chosen."""

DEMO_MIX: Mapping[Behaviour, float] = MappingProxyType(
    {
        behaviour: float(count)
        for behaviour in Behaviour
        if behaviour not in NASTY
        and (count := sum(1 for planned in BY_LAST_TWO.values() if planned is behaviour))
    }
)
"""The plan's own shares without the nasty ones: what a plausible campaign meets."""

# Area codes in several time zones; NPA-555-0100 to 0199 is reserved for fiction in each of them.
_AREA_CODES = {
    "US": "202 206 208 212 213 214 305 312 313 404 415 503 505 512 602 612 615 617 702 713 801 808"
    " 816 901 907",
    "CA": "204 403 416 514 604 613 902 709",
}
_RESERVED = re.compile(
    r"\+(?:1[2-9]\d{2}55501\d{2}|442079460\d{3}|3319900\d{4}|493023125\d{3}|61491570(?:15[6-9]|110))"
)


def behaviour_of(e164: str) -> Behaviour:
    """Return what the carrier does with *e164*; UnknownNumberError outside the reserved ranges."""
    if not _RESERVED.fullmatch(e164):
        message = "the number is not in a range reserved for fiction, so the lab does not serve it"
        raise UnknownNumberError(message)
    return AUSTRALIA.get(e164) or BY_LAST_TWO[int(e164[-2:])]


def is_reserved(e164: str) -> bool:
    """Tell whether the lab serves *e164* ('+' and digits)."""
    return _RESERVED.fullmatch(e164) is not None


def spread(number: str, salt: str) -> float:
    """Return a number in [0, 1) that depends on nothing but *number* and *salt*."""
    return zlib.crc32(f"{salt}/{number}".encode()) / 2**32


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the stages of one call last at the far end, in seconds."""

    post_dial: float
    ring: float
    talk: float


def timing_of(number: str, *, ring: float, talk: float) -> Timing:
    """Return the stages of a call to *number* around the mean *ring* and *talk* times.

    Ring times spread from a half to one and a half times the mean, talk times are skewed as real
    ones are: from 0.4 to about 3 times the mean, whose average is the mean.
    """
    quantile = spread(number, "talk")
    return Timing(
        post_dial=(0.05 + 0.3 * spread(number, "post-dial")) * min(1.0, ring / 4),
        ring=ring * (0.5 + spread(number, "ring")),
        # 0.4 + q³ x 2.4 averages 1.0 over q in [0, 1)
        talk=talk * (0.4 + 2.4 * quantile**3),
    )


def _ranges(country: str) -> list[str]:
    """Return the prefixes to which two digits are added to make a reserved number."""
    match country:
        case "US" | "CA":
            return [f"+1{area}55501" for area in _AREA_CODES[country].split()]
        case "GB":
            return [f"+442079460{digit}" for digit in range(10)]
        case "FR":
            return [f"+331990{digits:03d}" for digits in range(100)]
        case "DE":
            return [f"+493023125{digit}" for digit in range(10)]
        case _:
            message = f"no range reserved for fiction is known for {country!r}: use {COUNTRIES}"
            raise ValueError(message)


COUNTRIES = ("US", "CA", "GB", "FR", "DE", "AU")


def plan_numbers(country: str) -> Iterator[str]:
    """Yield every number of *country* in the plan, in order."""
    if country == "AU":
        yield from sorted(AUSTRALIA)
        return
    for prefix in _ranges(country):
        for digits in range(100):
            yield f"{prefix}{digits:02d}"


def numbers(
    seed: int,
    count: int,
    countries: Sequence[str] = COUNTRIES,
    mix: Mapping[Behaviour, float] | None = None,
) -> list[str]:
    """Return *count* different numbers, behaviours drawn by *mix* (default: ``DEMO_MIX``).

    The countries share the list evenly as far as their ranges reach (Australia has five numbers).
    """
    weights = dict(DEMO_MIX if mix is None else mix)
    source = random.Random(seed)
    pools: dict[Behaviour, dict[str, list[str]]] = {behaviour: {} for behaviour in weights}
    for country in countries:
        for number in plan_numbers(country):
            behaviour = behaviour_of(number)
            if behaviour in pools:
                pools[behaviour].setdefault(country, []).append(number)
    for by_country in pools.values():
        for pool in by_country.values():
            source.shuffle(pool)
    chosen: list[str] = []
    while len(chosen) < count:
        open_behaviours = [b for b in weights if pools[b] and weights[b] > 0]
        if not open_behaviours:
            message = f"only {len(chosen)} numbers of this mix exist in {', '.join(countries)}"
            raise ValueError(message)
        drawn = source.choices(open_behaviours, [weights[b] for b in open_behaviours])[0]
        country = source.choice(sorted(pools[drawn]))
        chosen.append(pools[drawn][country].pop())
        if not pools[drawn][country]:
            del pools[drawn][country]
    return chosen
