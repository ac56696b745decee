"""The carrier's books: what it saw, call by call, read from what SIPp wrote.

Two files per SIPp process, both written line by line while it runs: ``wire-N.log`` has one line
per SIP message sent or received (so it also shows what no scenario foresaw), ``calls-N.log`` one
line per call with the caller and the behaviour looked up. A restarted carrier opens the next N;
the books are the union.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from siplab.number_plan import Behaviour

WIRE = "wire-{}.log"
CALLS = "calls-{}.log"

_URI_USER = re.compile(r"sips?:([^@>;]+)@")
_STATUS = re.compile(r"SIP/2\.0 (\d{3})")
_FIELDS_OF_A_WIRE_LINE = 7


@dataclass(slots=True)
class CarrierCall:
    """One call as the carrier saw it; times are seconds since the epoch by the carrier's clock."""

    call_id: str
    dialed: str
    caller: str = ""
    """User part of From, empty until the carrier has looked the number up."""
    behaviour: Behaviour | None = None
    """None if the number is outside the plan."""
    invited_at: float = 0.0
    ringing_at: float | None = None
    """First 180 or 183."""
    cancelled_at: float | None = None
    """First CANCEL received."""
    answered_at: float | None = None
    """200 to the INVITE."""
    acknowledged_at: float | None = None
    ended_at: float | None = None
    """BYE either way, or the final answer of a call not answered."""
    ended_by: str | None = None
    """``caller`` (BYE or CANCEL received) or ``carrier`` (BYE or a refusal sent)."""
    byes_crossed: bool = False
    """Both sides sent a BYE before either had the other's; `ended_by` names the first one here."""
    status: int | None = None
    """Final status of the INVITE, None while there is none; a 401 or 407 challenge is not final."""
    challenged: bool = False
    responses: list[tuple[str, int]] = field(default_factory=list)
    """What the caller answered to the carrier's own requests: ('REFER', 603), ('BYE', 200), …"""

    @property
    def is_answered(self) -> bool:
        """Tell whether the carrier answered the call."""
        return self.answered_at is not None

    @property
    def is_live(self) -> bool:
        """Tell whether the call is up: answered, and no BYE either way."""
        return self.answered_at is not None and self.ended_at is None

    @property
    def is_pending(self) -> bool:
        """Tell whether the INVITE still waits for its final answer."""
        return self.status is None


class Books:
    """The books of one folder, read on from where they were read last."""

    def __init__(self, folder: Path) -> None:
        """Open nothing yet; the files may not exist."""
        self.folder = folder
        self._calls: dict[str, CarrierCall] = {}
        self._read_to: dict[Path, int] = {}
        self._descriptions: dict[str, list[str]] = {}

    def calls(self) -> list[CarrierCall]:
        """Return all calls so far, oldest first; they are this object's own and grow with it."""
        for number in _runs(self.folder):
            for line in self._new_lines(self.folder / WIRE.format(number)):
                _note(self._calls, line)
            for line in self._new_lines(self.folder / CALLS.format(number)):
                parts = line.split("\t")
                if len(parts) >= 5 and parts[0] == "call":
                    self._descriptions[parts[1]] = parts
        # The description of a call can be read before its first message.
        for call_id in self._descriptions.keys() & self._calls.keys():
            _describe(self._calls[call_id], self._descriptions.pop(call_id))
        return sorted(self._calls.values(), key=lambda call: call.invited_at)

    def _new_lines(self, path: Path) -> Iterator[str]:
        """Yield the complete lines added since the last time."""
        try:
            with path.open("rb") as book:
                book.seek(self._read_to.get(path, 0))
                for line in book:
                    if not line.endswith(b"\n"):
                        return
                    self._read_to[path] = self._read_to.get(path, 0) + len(line)
                    yield line.decode("utf-8", "replace").rstrip("\n")
        except FileNotFoundError:
            return


def read(folder: Path) -> list[CarrierCall]:
    """Return all calls in *folder*'s books, oldest first."""
    return Books(folder).calls()


def registrations(folder: Path) -> list[tuple[float, int]]:
    """Return when the carrier answered each REGISTER and with which status, oldest first."""
    answers: list[tuple[float, int]] = []
    for number in _runs(folder):
        text = (folder / WIRE.format(number)).read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            parts = line.split("\t")
            if len(parts) >= _FIELDS_OF_A_WIRE_LINE and parts[5].endswith(" REGISTER"):
                status = _STATUS.match(parts[6])
                if status is not None:
                    answers.append((float(parts[2]), int(status.group(1))))
    return answers


def live_calls(folder: Path) -> list[CarrierCall]:
    """Return the calls that are up now: answered, and no BYE sent or received."""
    return [call for call in read(folder) if call.is_live]


def count_by_status(calls: Iterable[CarrierCall]) -> dict[int | None, int]:
    """Return how many calls ended with each final status (None: no final answer yet)."""
    counts: dict[int | None, int] = {}
    for call in calls:
        counts[call.status] = counts.get(call.status, 0) + 1
    return counts


def _runs(folder: Path) -> list[int]:
    """Return the numbers of the carrier's runs in *folder*, in order."""
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("wire-*.log"))


def _note(calls: dict[str, CarrierCall], line: str) -> None:
    """Enter one SIP message: date, time, epoch, S or R, Call-ID, CSeq:n METHOD, first line."""
    parts = line.split("\t")
    if len(parts) < _FIELDS_OF_A_WIRE_LINE:
        return
    epoch, direction, call_id, cseq, first = parts[2], parts[3], parts[4], parts[5], parts[6]
    at, method, received = float(epoch), cseq.rpartition(" ")[2], direction == "R"
    call = calls.get(call_id)
    if call is None:
        if method != "INVITE" or not received:
            return
        dialed = _URI_USER.search(first)
        call = calls[call_id] = CarrierCall(call_id, dialed.group(1) if dialed else "")
        call.invited_at = at
    status = _STATUS.match(first)
    if status is None:
        _note_request(call, method, at, received=received)
    elif received:
        response = (method, int(status.group(1)))
        if response[1] >= 200 and response not in call.responses:
            call.responses.append(response)
    elif method == "INVITE" and call.acknowledged_at is None:
        _note_answer(call, int(status.group(1)), at)


def _note_request(call: CarrierCall, method: str, at: float, *, received: bool) -> None:
    match method:
        case "CANCEL" if received:
            call.cancelled_at = call.cancelled_at or at
        case "ACK" if received and call.answered_at is not None:
            call.acknowledged_at = call.acknowledged_at or at
        case "BYE" if call.ended_at is None:
            call.ended_at = at
            call.ended_by = "caller" if received else "carrier"
        case "BYE" if (call.ended_by == "caller") != received:
            call.byes_crossed = True
        case _:
            pass


def _note_answer(call: CarrierCall, status: int, at: float) -> None:
    """Enter a response the carrier sent to the INVITE that began the call."""
    if status in (180, 183):
        call.ringing_at = call.ringing_at or at
    elif status in (401, 407):
        call.challenged = True
    elif status >= 300:
        if call.status is None:
            call.status, call.ended_at = status, at
            call.ended_by = "carrier" if call.cancelled_at is None else "caller"
    elif status >= 200 and call.status is None:
        call.status, call.answered_at = status, at


def _describe(call: CarrierCall, parts: list[str]) -> None:
    """Enter who called and which behaviour was chosen: call, Call-ID, dialed, which, From."""
    call.behaviour = Behaviour(parts[3]) if parts[3] in _BEHAVIOURS else None
    caller = _URI_USER.search(parts[4])
    call.caller = caller.group(1) if caller else ""


_BEHAVIOURS = frozenset(behaviour.value for behaviour in Behaviour)
