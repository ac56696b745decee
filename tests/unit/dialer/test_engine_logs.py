"""Log lines: constant events, facts as keys, no telephone number readable."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
    logging.captureWarnings(False)  # noqa: FBT003 - the only way to say it
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


def test_libraries_write_lines_like_ours(lines: io.StringIO) -> None:
    """
    What a library logs is one JSON line with level, time and logger; numbers in it are masked.
    """
    error = ConnectionError("no route to +442079460018")
    logging.getLogger("asyncio").error("refused %s", "+12025550143", exc_info=error)

    (line,) = lines.getvalue().splitlines()
    event = json.loads(line)

    assert ("library_logged", "asyncio", "error", "refused +1********43") == (
        event["event"],
        event["logger"],
        event["level"],
        event["message"],
    )
    assert "timestamp" in event
    assert event["exception"].endswith("no route to +44********18")


def test_log_file_stays_within_its_size(tmp_path: Path) -> None:
    """
    Old lines move aside and every line is kept once, as long as the files suffice.
    """
    path = tmp_path / "logs" / "engine.log"
    file = logs.RotatedFile(path, most_bytes=200, kept=60)
    log = structlog.wrap_logger(structlog.PrintLogger(file))  # type: ignore[arg-type]

    for index in range(50):
        log.msg("paced", index=index)
    file.close()

    files = sorted(path.parent.iterdir())
    kept = [line for one in files for line in one.read_text().splitlines()]
    assert len(files) > 5
    assert all(one.stat().st_size <= 200 for one in files)
    assert 50 == len(set(kept)) == len(kept)


def test_what_is_printed_follows_into_the_new_file(tmp_path: Path) -> None:
    """
    Standard error of a part of the service counts for the size and moves on with its log.
    """
    path = tmp_path / "lines-0.log"
    program = (
        "import os, pathlib, sys; from dialer.logs import RotatedFile\n"
        f"log = RotatedFile(pathlib.Path({str(path)!r}), most_bytes=100, kept=3)\n"
        "os.write(2, b'x' * 90 + b'\\n'); log.write('second line, in a new file\\n')\n"
        "log.flush(); os.write(2, b'third')\n"
    )
    with path.open("ab") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, stderr=out, check=True)

    assert "second line, in a new file\nthird" == path.read_text()
    assert "x" * 90 + "\n" == path.with_name("lines-0.log.1").read_text()


def test_debug_lines_are_dropped_at_info(lines: io.StringIO) -> None:
    """
    A level filters before anything is formatted.
    """
    structlog.get_logger().debug("paced")

    assert "" == lines.getvalue()
