"""Ended legs are destroyed without harm to the calls that have their slots by then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_slot_used_again_keeps_its_call() -> None:
    """
    A conversation in the slot of an ended call goes on when that call's object goes.
    """
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sip.retired_program"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr
    found = json.loads(finished.stdout.splitlines()[-1])

    assert {
        "same_slot": True,
        "went_as_meant": True,
        "kept_while_in_use": 1,
        "still_up": True,
        "left": 0,
    } == found
