"""Screening on real calls: what the taps hear, what is decided, what agents notice of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(scenario: str, folder: Path) -> dict[str, Any]:
    """Run one scenario of the program beside this file and return what it found."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sip.screening_program", scenario, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


def test_tap_hears_its_own_call_only(tmp_path: Path) -> None:
    """
    A tap hears its call from where it was put on or restarted, and nothing of the call before.
    """
    found = run("taps", tmp_path)

    assert [[1000.0], [1500.0], [600.0]] == found["heard"]
    assert (0, 1) == (found["pooled"], found["attached"])


def test_screening_audio_has_no_name(tmp_path: Path) -> None:
    """
    What is heard lies in memory without a name: nobody else opens it, and no crash leaves it.
    """
    assert ["/memfd:screening (deleted)"] == run("taps", tmp_path)["files"]


def test_each_kind_of_far_end(tmp_path: Path) -> None:
    """
    Through SIP and RTP people reach an agent, machines are hung up, doubts go to an agent.
    """
    assert {
        "person": ["join", "person"],
        "person_early_media": ["join", "person"],
        "voicemail": ["hang_up", "machine"],
        "fax": ["hang_up", "fax"],
        "sit": ["hang_up", "tone"],
        "silence": ["join", "silence"],
        "no_rtp": ["join", "no_audio"],
    } == run("verdicts", tmp_path)


def test_agents_beside_screened_calls(tmp_path: Path) -> None:
    """
    While taps come and go agents get a frame for each tick of the clock, and none is lost.
    """
    found = run("bystanders", tmp_path)

    assert 0 == found["lost"]
    assert 12 == found["attached"]
    assert found["recorders"] < 24
    for frames in found["agents"]:
        assert frames >= 0.95 * found["tap"]
        assert found["tap"] > 10
