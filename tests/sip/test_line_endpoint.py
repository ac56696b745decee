"""The loop that polls PJSIP: woken by its sockets, and quiet when there is nothing to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Return what a process with an endpoint of its own saw; PJSIP allows one in a process."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sip.endpoint_program"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr
    seen: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return seen


def test_idle_loop_turns_no_oftener_than_its_timers_need(found: dict[str, Any]) -> None:
    """
    With nothing to do the loop looks in at most fifty times a second.
    """
    assert found["idle_turns_per_s"] <= 60


def test_a_packet_wakes_the_loop(found: dict[str, Any]) -> None:
    """
    Requests are answered while the loop would otherwise sleep for minutes.
    """
    assert [200] * 5 == found["answers"]


def test_without_epoll_the_loop_polls(found: dict[str, Any]) -> None:
    """
    A build of PJSIP without epoll has its requests answered all the same.
    """
    assert [200] * 5 == found["answers_blind"]
