"""Log lines: constant events, facts as keys, no telephone number readable."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from dialer import logs
from dialer.config import LogFormat, LogLevel


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Return what is logged as JSON; logging is as before afterwards."""
    stream = io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    logs.configure(level=LogLevel.INFO, log_format=LogFormat.JSON, stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = handlers, level


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+12025550143", "+1********43"),
        ("+442079460018", "+44********18"),
        ("+61491570156", "+61*******56"),
        ("+351211234567", "+351*******67"),
    ],
)
def test_a_number_keeps_country_code_and_two_digits(number: str, masked: str) -> None:
    """
    Enough of a number stays to tell calls apart, not enough to call it.
    """
    assert masked == logs.mask_number(number)


def test_numbers_are_masked_wherever_they_hide(lines: io.StringIO) -> None:
    """
    Values, nested values, SIP URIs and exception texts are masked before they are written.
    """
    log = structlog.get_logger()

    def fail() -> None:
        raise ValueError("cannot dial +12025550143")

    try:
        fail()
    except ValueError:
        log.exception(
            "call_failed", uri="sip:12025550143@127.0.0.1:5060", detail={"to": ["+442079460018"]}
        )

    written = lines.getvalue()
    event = json.loads(written)

    assert "5550143" not in written
    assert "79460018" not in written
    assert "sip:1********43@127.0.0.1:5060" == event["uri"]
    assert "call_failed" == event["event"]


def test_other_numbers_are_left_alone(lines: io.StringIO) -> None:
    """
    Times, ids and counts are not telephone numbers.
    """
    structlog.get_logger().info("paced", calls=12025550143, port="127.0.0.1:50600000", n="12345678")

    event = json.loads(lines.getvalue())

    assert (12025550143, "127.0.0.1:50600000", "12345678") == (
        event["calls"],
        event["port"],
        event["n"],
    )


def test_the_standard_logger_is_masked_too(lines: io.StringIO) -> None:
    """
    What a library logs goes through the same mask.
    """
    logging.getLogger("library").warning("refused %s", "+12025550143")

    assert "WARNING library: refused +1********43\n" == lines.getvalue()


def test_debug_lines_are_dropped_at_info(lines: io.StringIO) -> None:
    """
    A level filters before anything is formatted.
    """
    structlog.get_logger().debug("paced")

    assert "" == lines.getvalue()
