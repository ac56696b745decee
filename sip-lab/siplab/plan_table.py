"""The carrier's table: for each number of the plan, the way its call takes and how long it lasts.

Written as a SIPp injection file with an index on the last six digits dialed, which tell all the
reserved ranges apart whatever prefix a trunk puts before the number.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from siplab import number_plan, speech
from siplab.number_plan import Behaviour

KEY_DIGITS = 6
"""How many of the last digits dialed find the row."""


class Route(enum.IntEnum):
    """The ways through the scenario."""

    ANSWER = 1
    REJECT = 2
    RING_THEN_REJECT = 3
    RING_FOREVER = 4
    CROSS = 5
    EARLY_MEDIA_ANSWER = 6
    EARLY_MEDIA_REJECT = 7
    REFER = 8
    HOLD = 9
    NO_RTP = 10
    MUTE = 11
    Q850_REJECT = 12


@dataclass(frozen=True, slots=True)
class Pace:
    """Mean stages of a call in seconds; each number varies around them in its own fixed way."""

    ring: float = 4.0
    talk: float = 8.0
    voicemail: float = 40.0
    """How long a voicemail records before it hangs up."""
    silence: float = 20.0
    """How long an answered call without a voice stays up."""


@dataclass(frozen=True, slots=True)
class Course:
    """How one behaviour runs: its route, what it answers, what it plays."""

    route: Route
    status: str = "200 OK"
    """Final answer of the routes that refuse: code and phrase."""
    cause: int = 0
    header: str = "Server: siplab"
    sounds: tuple[str, ...] = ("silence",)

    @property
    def code(self) -> int:
        """Return the status code."""
        return int(self.status[:3])


_NO_SERVICE = "not_in_service"
_VOICEMAILS = tuple(speech.names("voicemail"))
_PEOPLE = tuple(speech.names("person"))

COURSES: dict[Behaviour, Course] = {
    Behaviour.PERSON: Course(Route.ANSWER, sounds=_PEOPLE),
    Behaviour.PERSON_BUSINESS: Course(Route.ANSWER, sounds=tuple(speech.names("business"))),
    Behaviour.PERSON_EARLY_MEDIA: Course(Route.EARLY_MEDIA_ANSWER, sounds=_PEOPLE),
    Behaviour.PERSON_HANGS_UP_EARLY: Course(Route.ANSWER, sounds=_PEOPLE),
    Behaviour.PERSON_BYE_AT_ONCE: Course(Route.ANSWER, sounds=_PEOPLE),
    Behaviour.PERSON_REFERS: Course(Route.REFER, sounds=_PEOPLE),
    Behaviour.PERSON_HOLDS: Course(Route.HOLD, sounds=_PEOPLE),
    Behaviour.VOICEMAIL: Course(Route.ANSWER, sounds=_VOICEMAILS),
    Behaviour.VOICEMAIL_SHORT_WORD: Course(Route.ANSWER, sounds=("voicemail_short_word",)),
    Behaviour.BUSY: Course(Route.REJECT, "486 Busy Here"),
    Behaviour.BUSY_EVERYWHERE: Course(Route.REJECT, "600 Busy Everywhere"),
    Behaviour.BUSY_CAUSE_17: Course(Route.Q850_REJECT, "480 Temporarily Unavailable", cause=17),
    Behaviour.NO_ANSWER: Course(Route.RING_FOREVER, "480 Temporarily Unavailable"),
    Behaviour.NO_ANSWER_480: Course(Route.RING_THEN_REJECT, "480 Temporarily Unavailable"),
    Behaviour.ANSWER_CROSSING_CANCEL: Course(Route.CROSS, "480 Gone", sounds=_PEOPLE),
    Behaviour.INVALID: Course(Route.REJECT, "404 Not Found"),
    Behaviour.INCOMPLETE: Course(Route.REJECT, "484 Address Incomplete"),
    Behaviour.NOT_IN_SERVICE: Course(
        Route.EARLY_MEDIA_REJECT, "404 Not Found", sounds=(_NO_SERVICE,)
    ),
    Behaviour.FAX_ANSWERS: Course(Route.ANSWER, sounds=("fax_ced",)),
    Behaviour.FAX_CALLS: Course(Route.ANSWER, sounds=("fax_cng",)),
    Behaviour.SIT: Course(Route.ANSWER, sounds=("sit",)),
    Behaviour.SILENCE: Course(Route.ANSWER),
    Behaviour.NO_RTP: Course(Route.NO_RTP),
    Behaviour.DECLINED: Course(Route.RING_THEN_REJECT, "603 Decline"),
    Behaviour.UNAVAILABLE: Course(Route.REJECT, "480 Temporarily Unavailable"),
    Behaviour.BLOCKED_603: Course(Route.REJECT, "603 Network Blocked"),
    Behaviour.BLOCKED_607: Course(Route.REJECT, "607 Unwanted"),
    Behaviour.BLOCKED_608: Course(Route.REJECT, "608 Rejected"),
    Behaviour.CONGESTION: Course(Route.REJECT, "503 Service Unavailable", header="Retry-After: 5"),
    Behaviour.CONGESTION_CAUSE_34: Course(Route.Q850_REJECT, "503 Service Unavailable", cause=34),
    Behaviour.REDIRECT: Course(
        # Loopback port 9 is "discard": whoever follows the redirection reaches nobody.
        Route.REJECT,
        "302 Moved Temporarily",
        header="Contact: <sip:+12025550100@127.0.0.1:9>",
    ),
    Behaviour.MUTE: Course(Route.MUTE),
}
"""The course of every behaviour."""

SOUNDS: tuple[str, ...] = tuple(
    sorted({name for course in COURSES.values() for name in course.sounds})
)
"""Every sound a call can play, in the order the scenario numbers them."""


def write(path: Path, pace: Pace) -> None:
    """Write the table for every number of the plan to *path*."""
    lines = [
        "SEQUENTIAL",
        ";".join(("none", *["0"] * 4, "404", "0", "X: 0", "0", "none", "Not Found")),
    ]
    seen: set[str] = set()
    for number in _all_numbers():
        key = number[-KEY_DIGITS:]
        if key not in seen:
            seen.add(key)
            lines.append(_row(key, number, pace))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _all_numbers() -> Iterator[str]:
    for country in number_plan.COUNTRIES:
        yield from number_plan.plan_numbers(country)


def _row(key: str, number: str, pace: Pace) -> str:
    """Return one line: key, route, ring, post-dial and talk in ms, answer, sound, behaviour."""
    behaviour = number_plan.behaviour_of(number)
    course = COURSES[behaviour]
    # The key, not the number: all area codes share a row, and so their timing.
    timing = number_plan.timing_of(key, ring=pace.ring, talk=pace.talk)
    ring, talk = timing.ring, timing.talk
    match behaviour:
        case Behaviour.NO_ANSWER | Behaviour.ANSWER_CROSSING_CANCEL:
            ring = 120.0
        case Behaviour.NO_ANSWER_480:
            ring = 3 * pace.ring
        case Behaviour.NOT_IN_SERVICE:
            ring = 9.0
        case Behaviour.PERSON_HANGS_UP_EARLY:
            talk = 1.0
        case Behaviour.PERSON_BYE_AT_ONCE:
            talk = 0.0
        case Behaviour.VOICEMAIL | Behaviour.VOICEMAIL_SHORT_WORD:
            talk = pace.voicemail
        case Behaviour.SILENCE | Behaviour.NO_RTP | Behaviour.SIT:
            talk = pace.silence
        case Behaviour.FAX_ANSWERS | Behaviour.FAX_CALLS:
            talk = pace.silence
        case _:
            pass
    sounds = _of_language(number, course.sounds)
    sound = sounds[int(number_plan.spread(key, "voice") * len(sounds))]
    fields = (
        key,
        int(course.route),
        round(ring * 1000),
        round(timing.post_dial * 1000),
        round(talk * 1000),
        course.code,
        course.cause,
        course.header,
        SOUNDS.index(sound) + 1,
        behaviour.value,
        course.status[4:],
    )
    return ";".join(str(field) for field in fields)


def _of_language(number: str, sounds: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sounds in the language of the number's country, all of them if it has none."""
    if len(sounds) == 1:
        return sounds
    language = {"+49": "de", "+33": "fr"}.get(number[:3], "en")
    return tuple(s for s in sounds if s.partition("_")[2].startswith(language)) or sounds
