"""Logs: one line per event to standard output, pretty on a terminal and JSON off it.

Event names are past-tense constants, facts are keys. Telephone numbers are personal data: whatever
slips into a value or an exception is masked before it is written, country code and the last two
digits kept. The canonical lines are `attempt_ended`, one per call attempt, and `paced`, one per
decision.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from dialer.config import LogFormat, LogLevel

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


def configure(
    *,
    level: LogLevel = LogLevel.INFO,
    log_format: LogFormat = LogFormat.AUTO,
    stream: TextIO | None = None,
) -> None:
    """Set logging up for this process; call it once, before the first line is written."""
    out = stream or sys.stdout
    pretty = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and out.isatty())
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if pretty
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            mask_event,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard logger are heard from warnings on, through the same mask.
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Masked("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _Masked(logging.Formatter):
    """Formats a record of the standard library and masks it."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_text(super().format(record))
