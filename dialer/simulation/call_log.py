"""Any dialer's call log as a campaign's past: columns and words guessed, shown, and overridable.

A row is a call. Only when it began is needed; what else there is makes the fit better. Times are
local ones of a zone the user names, durations are seconds or `h:mm:ss`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from campaigns.csv_files import Table, open_table
from campaigns.errors import UserError
from dialer.simulation.past import ANSWERED_BY_PERSON, AtWork, CallEnd, Past, PastCall

MOST_CALLS = 2_000_000
# An agent without a call for this long had left.
AWAY_S = 900.0
_SHOWN = 3
_WORST_SHARE = 0.2

# Column names dialers use, folded to lower-case letters and digits; the first that is there counts.
_WORDS: dict[str, tuple[str, ...]] = {
    "started": (
        "started", "startedat", "start", "starttime", "callstart", "calldate", "dialedat", "dialed",
        "dialingat", "claimedat", "calltime", "begin", "datetime", "timestamp", "date", "time",
        "startepoch", "eventtime", "beginn", "startzeit",
    ),
    "answered": ("answered", "answeredat", "answertime", "answer", "answeredtime", "connectedat"),
    "joined": ("joined", "joinedat", "bridgedat", "agentat", "transferredat"),
    "ended": ("ended", "endedat", "end", "endtime", "callend", "hangupat", "endepoch", "ende"),
    "ring_s": ("rings", "ring", "ringtime", "ringseconds", "ringsec", "dialtime", "dialsec"),
    "talk_s": (
        "talks", "talk", "talktime", "talksec", "talkseconds", "billsec", "conversation",
        "gespraechsdauer",
    ),
    "length_s": ("lengths", "length", "lengthinsec", "duration", "durationsec", "dauer"),
    "wrap_up_s": (
        "wrapups", "wrapup", "wraps", "wrap", "wraptime", "wrapsec", "acw", "acwtime",
        "aftercallwork", "disposec", "dispo", "nachbearbeitung",
    ),
    "outcome": (
        "outcome", "status", "result", "disposition", "dialstatus", "callstatus", "calloutcome",
        "ergebnis",
    ),
    "verdict": ("verdict", "amdresult", "amd", "amdstatus"),
    "abandoned": ("abandoned", "isabandoned", "dropped"),
    "agent": (
        "agent", "agentname", "agentid", "user", "username", "operator", "rep", "mitarbeiter",
    ),
}  # fmt: skip
ROLES = tuple(_WORDS)

# Words for outcomes, folded to capitals; dialers' codes among them (VICIdial's system statuses).
_ENDS: dict[CallEnd, frozenset[str]] = {
    CallEnd.ABANDONED: frozenset(
        {"DROP", "XDROP", "PDROP", "DROPPED", "ABANDONED", "ABANDON", "NUISANCE", "NO AGENT"}
    ),
    CallEnd.MACHINE: frozenset(
        {"A", "AA", "AM", "AL", "AFAX", "FAX", "MACHINE", "VOICEMAIL", "ANSWERING MACHINE", "VM",
         "TONE", "AMD", "AFTHRS"}
    ),
    CallEnd.NO_ANSWER: frozenset(
        {"NA", "N", "NO ANSWER", "NOANSWER", "NO_ANSWER", "NEW", "TIMEOUT", "CANCEL", "CANCELLED",
         "RING", "UNANSWERED"}
    ),
    CallEnd.FAILED: frozenset(
        {"B", "AB", "BUSY", "DC", "ADC", "ADCT", "DISCONNECTED", "CONGESTION", "CHANUNAVAIL",
         "FAILED", "FAILURE", "INVALID", "INVALID NUMBER", "INVALID_NUMBER", "UNAVAILABLE",
         "DECLINED", "BLOCKED", "TRUNK_FAULT", "TRUNK FAULT", "REFUSED", "INTERRUPTED", "ERI",
         "LRERR", "SIT", "DNCL", "DNCC"}
    ),
    CallEnd.PERSON: frozenset(
        {"PERSON", "HUMAN", "LIVE", "ANSWERED BY PERSON", "SALE", "NI", "DNC", "CALLBK", "CBHOLD",
         "NP", "XFER", "CONTACT", "CONNECTED", "JOINED", "SOLD", "NOT INTERESTED", "CALLBACK",
         "WRONG NUMBER", "INTERESTED", "NOT_INTERESTED"}
    ),
}  # fmt: skip
# What an answered call was is for other columns to say.
_UNDECIDED = frozenset({"ANSWERED", "ANSWER", "COMPLETED", "COMPLETE", "OK", ""})
# "Agents" that are the dialer itself.
_NOBODY = frozenset({"", "VDAD", "VDCL", "SYSTEM", "NONE", "NULL", "\\N", "DIALER"})


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Which column means what, by its index; `headers` are the file's own names."""

    headers: tuple[str, ...]
    roles: Mapping[str, int]

    def told(self) -> str:
        """Say what was understood, as it would be written to say it oneself."""
        pairs = ", ".join(f"{role}={self.headers[at]}" for role, at in self.roles.items())
        return f"Columns: {pairs}."


def parse_mapping(texts: Sequence[str]) -> dict[str, str]:
    """Return `started=call_date,agent=user` as meaning → column; raises `UserError`."""
    found: dict[str, str] = {}
    for part in (piece.strip() for text in texts for piece in text.split(",") if piece.strip()):
        role, mark, column = (piece.strip() for piece in part.partition("="))
        if not mark:
            raise UserError(f"--map {part!r}: write it as MEANING=COLUMN, e.g. started=call_date.")
        if role not in ROLES:
            raise UserError(f"--map {part!r}: a column can mean {', '.join(ROLES)}.")
        found[role] = column
    return found


def parse_ends(texts: Sequence[str]) -> dict[str, CallEnd]:
    """Return `person=SALE,NI` (one meaning each) as word → end; raises `UserError`."""
    found: dict[str, CallEnd] = {}
    for text in texts:
        name, mark, words = text.partition("=")
        if not mark or name.strip() not in set(CallEnd):
            raise UserError(
                f"--outcome {text!r}: write it as MEANING=WORD,WORD; the meanings are "
                f"{', '.join(CallEnd)}."
            )
        for word in words.split(","):
            found[_capitals(word)] = CallEnd(name.strip())
    return found


def choose(table: Table, mapping: Mapping[str, str]) -> LogColumns:
    """Return which column means what: guessed from the names, then as *mapping* says."""
    headers = table.header
    folded = [_folded(header) for header in headers]
    roles: dict[str, int] = {}
    for role, words in _WORDS.items():
        at = next((folded.index(word) for word in words if word in folded), None)
        if at is not None and at not in roles.values():
            roles[role] = at
    for role, column in mapping.items():
        if not column:
            roles.pop(role, None)
            continue
        if column in headers:
            roles[role] = headers.index(column)
        elif column.isdigit() and 1 <= int(column) <= len(headers):
            roles[role] = int(column) - 1
        else:
            raise UserError(
                f"--map {role}={column}: {table.path.name} has no column {column!r}; it has "
                f"{', '.join(headers)}."
            )
    if "started" not in roles:
        raise UserError(
            f"{table.path.name} has no column that says when a call began: name it with --map "
            f"started=COLUMN; the columns are {', '.join(headers)}."
        )
    return LogColumns(headers, {role: roles[role] for role in ROLES if role in roles})


def read(
    path: Path, *, mapping: Mapping[str, str], ends: Mapping[str, CallEnd], zone: tzinfo
) -> Past:
    """Return the past a log file tells; raises `UserError` with one sentence for a useless one."""
    table = open_table(path)
    columns = choose(table, mapping)
    rows = _Rows(columns, ends, zone)
    calls: list[PastCall] = []
    with table.reader() as reader:
        for record in reader:
            if len(calls) >= MOST_CALLS:
                raise UserError(
                    f"{path.name} has more than {MOST_CALLS:,} calls: give a shorter span of it."
                )
            call = None if record.broken is not None else rows.call(record.cells)
            if call is not None:
                calls.append(call)
    if not calls:
        raise UserError(_nothing_usable(path, columns, rows))
    if rows.unread > _WORST_SHARE * (rows.unread + len(calls)):
        raise UserError(_nothing_usable(path, columns, rows))
    calls.sort(key=lambda call: call.started_at)
    told = [columns.told(), *rows.told()]
    if rows.unread:
        told.append(f"{rows.unread} rows without a usable start were left out.")
    return Past(path.name, calls, at_work_of(calls), tuple(told))


def at_work_of(calls: Iterable[PastCall]) -> list[AtWork]:
    """Return when each agent was at work, from their calls: until none came for `AWAY_S`."""
    by_agent: dict[str, list[tuple[datetime, datetime]]] = {}
    for call in calls:
        if call.agent is not None and call.end in ANSWERED_BY_PERSON:
            busy_s = (call.talk_s or 0.0) + (call.wrap_up_s or 0.0)
            since = call.started_at + timedelta(seconds=call.ring_s or 0.0)
            by_agent.setdefault(call.agent, []).append((since, since + timedelta(seconds=busy_s)))
    found: list[AtWork] = []
    for agent, stretches in by_agent.items():
        stretches.sort()
        since, until = stretches[0]
        for start, end in stretches[1:]:
            if (start - until).total_seconds() > AWAY_S:
                found.append(AtWork(agent, since, until))
                since = start
            until = max(until, end)
        found.append(AtWork(agent, since, until))
    return found


class _Rows:
    """Turns rows into calls and remembers how it understood them."""

    def __init__(self, columns: LogColumns, ends: Mapping[str, CallEnd], zone: tzinfo) -> None:
        self._roles = columns.roles
        self._ends = ends
        self._zone = zone
        self._words: dict[CallEnd, Counter[str]] = {end: Counter() for end in CallEnd}
        self.unread = 0
        self.example = ""

    def call(self, cells: Sequence[str]) -> PastCall | None:
        """Return the row as a call; None, counted, for one without a usable start."""
        cell = {
            role: cells[at].strip() if at < len(cells) else "" for role, at in self._roles.items()
        }
        started = _moment(cell["started"], self._zone)
        if started is None:
            self.unread += 1
            self.example = self.example or cell["started"]
            return None
        answered = _moment(cell.get("answered", ""), self._zone)
        joined = _moment(cell.get("joined", ""), self._zone) or answered
        ended = _moment(cell.get("ended", ""), self._zone)
        talk_s = _duration(cell.get("talk_s", ""))
        agent = cell.get("agent", "")
        agent_name = None if agent.upper() in _NOBODY else agent
        length_s = _duration(cell.get("length_s", ""))
        end = self._end(cell, was_answered=answered is not None, talk_s=talk_s, agent=agent_name)
        if talk_s is None and end is CallEnd.PERSON:
            talk_s = _between(joined, ended) or length_s
        ring_s = _duration(cell.get("ring_s", ""))
        if ring_s is None:
            over = answered or (None if end in ANSWERED_BY_PERSON else ended)
            ring_s = _between(started, over)
        if ring_s is None and end not in ANSWERED_BY_PERSON:
            ring_s = length_s
        return PastCall(
            started_at=started,
            end=end,
            ring_s=ring_s,
            talk_s=talk_s if end is CallEnd.PERSON else None,
            wrap_up_s=_duration(cell.get("wrap_up_s", "")) if end is CallEnd.PERSON else None,
            agent=agent_name if end is CallEnd.PERSON else None,
        )

    def _end(
        self,
        cell: Mapping[str, str],
        *,
        was_answered: bool,
        talk_s: float | None,
        agent: str | None,
    ) -> CallEnd:
        words = [_capitals(cell[role]) for role in ("outcome", "verdict") if role in cell]
        end = self._end_of_words(words)
        if _is_true(cell.get("abandoned", "")):
            end = CallEnd.ABANDONED
        if end is None:
            # No word we know: whoever spoke with an agent was a person.
            answered = was_answered or any(word in {"ANSWERED", "ANSWER"} for word in words)
            if talk_s or agent is not None:
                end = CallEnd.PERSON
            elif answered:
                end = CallEnd.ABANDONED if "agent" in self._roles else CallEnd.PERSON
            else:
                end = CallEnd.NO_ANSWER
        self._words[end][words[0] if words else ""] += 1
        return end

    def _end_of_words(self, words: Sequence[str]) -> CallEnd | None:
        """Return what the words say; the second one, a screening's, only of answered calls."""
        for word in reversed(words):
            if word in self._ends:
                return self._ends[word]
        for word in reversed(words):
            if word in _UNDECIDED:
                continue
            for end, known in _ENDS.items():
                if word in known:
                    return end
        return None

    def told(self) -> list[str]:
        """Say how the words were understood."""
        parts = []
        for end, words in self._words.items():
            total = sum(words.values())
            if total:
                few = ", ".join(word or "(no word)" for word, _ in words.most_common(_SHOWN))
                more = ", …" if len(words) > _SHOWN else ""
                parts.append(f"{total} {end.value.replace('_', ' ')} ({few}{more})")
        return [f"Calls: {'; '.join(parts)}. --outcome changes what a word means."]


def _is_true(text: str) -> bool:
    return text.strip().casefold() in {"true", "t", "yes", "y", "1"}


def _nothing_usable(path: Path, columns: LogColumns, rows: _Rows) -> str:
    column = columns.headers[columns.roles["started"]]
    example = f", such as {rows.example!r}" if rows.example else ""
    return (
        f"{path.name}: column {column!r} does not say when calls began{example}: name the right "
        "one with --map started=COLUMN; times look like 2026-11-21 09:00:00 or seconds since 1970."
    )


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.casefold())


def _capitals(text: str) -> str:
    return text.strip().upper()


_FORMATS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M")
_EPOCH = (1e8, 1e11)


def _moment(text: str, zone: tzinfo) -> datetime | None:
    """Return a time written in ISO form, as seconds since 1970, or as spreadsheets write it."""
    if not text or text.startswith("0000"):
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or re.fullmatch(r"\d+(\.\d+)?", text):
        given = _epoch(text)
    if given is None:
        for form in _FORMATS:
            try:
                given = datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes below
                break
            except ValueError:
                continue
    if given is None:
        return None
    return (given.replace(tzinfo=zone) if given.tzinfo is None else given).astimezone(UTC)


def _epoch(text: str) -> datetime | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    low, high = _EPOCH
    return datetime.fromtimestamp(seconds, UTC) if low < seconds < high else None


def _duration(text: str) -> float | None:
    """Return seconds written as a number or as `h:mm:ss`; None for neither and for negative."""
    if not text:
        return None
    try:
        seconds = 0.0
        for part in text.split(":"):
            seconds = 60 * seconds + float(part)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def _between(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()
