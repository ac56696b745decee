"""Logs: one line per event to standard output, pretty on a terminal and JSON off it.

Event names are past-tense constants, facts are keys. Telephone numbers are personal data: whatever
slips into a value or an exception is masked before it is written, country code and the last two
digits kept. The canonical lines are `attempt_ended`, one per call attempt, and `paced`, one per
decision.

What libraries write to the standard library's logging becomes lines of the same form: event
`library_logged`, with the logger's name. A process that is given a log file keeps it within its
size by itself.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Protocol, TextIO

import structlog

from campaigns.errors import UserError
from dialer.config import Config, LogFormat, LogLevel

# E.164 with its plus, as we write numbers; also inside SIP URIs and quoted text.
_NUMBER = re.compile(r"(?<![\w.])\+[1-9]\d{6,14}(?!\d)")
# The same digits without a plus, where a trunk's format drops it: `sip:12025550143@host`.
_SIP_USER = re.compile(r"(?<=sip:)\d{7,15}(?=@)|(?<=sips:)\d{7,15}(?=@)|(?<=tel:)\d{7,15}")
# Country codes have one to three digits; +1 and +7 are the only ones of one digit, and the list
# of those with two is closed (ITU-T E.164 Annex D).
_TWO_DIGITS = re.compile(r"2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
_KEPT = 2


def mask_number(number: str) -> str:
    """Return a telephone number with country code and the last two digits readable."""
    plus, digits = ("+", number[1:]) if number.startswith("+") else ("", number)
    if digits[:1] in {"1", "7"}:
        code = digits[:1]
    elif _TWO_DIGITS.match(digits):
        code = digits[:2]
    else:
        code = digits[:3]
    hidden = max(0, len(digits) - len(code) - _KEPT)
    return f"{plus}{code}{'*' * hidden}{digits[-_KEPT:]}"


def mask_text(text: str) -> str:
    """Return *text* with every telephone number in it masked."""
    masked = _NUMBER.sub(lambda match: mask_number(match[0]), text)
    return _SIP_USER.sub(lambda match: mask_number(match[0]), masked)


def mask(value: Any) -> Any:
    """Return *value* with the telephone numbers in its texts masked, whatever their depth."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {key: mask(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(inner) for inner in value]
    return value


def mask_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask a whole event; a structlog processor, to stand after exceptions became text."""
    return {key: mask(value) for key, value in event.items()}


class Stream(Protocol):
    """Where lines go: a text stream, or a file that keeps within its size."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> None:
        """Have it out."""

    def isatty(self) -> bool:
        """Say whether a person reads along."""


class RotatedFile:
    """A log file of at most *most_bytes*; *kept* older ones stay beside it: FILE.1 and so on.

    Standard output and error follow into the new file if they led into the old one, so that what
    Python and the SIP stack print themselves is kept, and within bounds, too.
    """

    def __init__(self, path: Path, *, most_bytes: int, kept: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = RotatingFileHandler(path, backupCount=kept, encoding="utf-8")
        self._most_bytes = most_bytes
        self._is_line_begun = False

    def write(self, text: str, /) -> int:
        """Write text; a new file is begun between lines only."""
        self._handler.acquire()
        try:
            if not self._is_line_begun and self._is_full(len(text)):
                followers = [fd for fd in (1, 2) if _leads_into(fd, self._file.fileno())]
                self._handler.doRollover()
                for fd in followers:
                    os.dup2(self._file.fileno(), fd)
            self._is_line_begun = not text.endswith("\n")
            return self._file.write(text)
        finally:
            self._handler.release()

    def _is_full(self, more: int) -> bool:
        # What was printed past us counts, so the file itself is asked.
        size = os.fstat(self._file.fileno()).st_size
        return size > 0 and size + more > self._most_bytes

    @property
    def _file(self) -> TextIO:
        if self._handler.stream is None:
            raise ValueError("the log file is closed")
        return self._handler.stream

    def flush(self) -> None:
        """Have it written."""
        self._handler.flush()

    def isatty(self) -> bool:
        """Say that nobody reads along."""
        return False

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


def _leads_into(fd: int, file: int) -> bool:
    try:
        return os.path.sameopenfile(fd, file)
    except OSError:
        return False


def configure_from(config: Config) -> None:
    """Set logging up for a part of the service, as its settings say."""
    stream = None
    if config.log_file is not None:
        try:
            stream = RotatedFile(
                config.log_file, most_bytes=int(config.log_file_mb * 1e6), kept=config.log_files
            )
        except OSError as error:
            raise UserError(
                f"DIALER_LOG_FILE {config.log_file} cannot be written ({error.strerror}): name a "
                "file this user can write to, or leave it out for standard output."
            ) from None
    configure(level=config.log, log_format=config.log_format, stream=stream)


def configure(
    *,
    level: LogLevel = LogLevel.INFO,
    log_format: LogFormat = LogFormat.AUTO,
    stream: Stream | None = None,
) -> None:
    """Set logging up for this process; call it once, before the first line is written."""
    out: Any = stream or sys.stdout
    pretty = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and out.isatty())
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if pretty
        else structlog.processors.JSONRenderer(default=str)
    )
    begin: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        # People read local time to the second, programs RFC 3339 in UTC.
        structlog.processors.TimeStamper(
            fmt="%Y-%m-%d %H:%M:%S" if pretty else "iso", utc=not pretty
        ),
    ]
    finish: list[structlog.typing.Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_event,
        last,
    ]
    structlog.configure(
        processors=[*begin, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard logger are heard from warnings on, in the same form.
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_as_event, *begin],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)  # noqa: FBT003 - the only way to say it


def _as_event(
    _logger: logging.Logger | None, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Turn a library's sentence into our form: a constant event, the sentence as a value."""
    event["message"] = event["event"]
    event["event"] = "library_logged"
    event["logger"] = event["_record"].name
    return event
