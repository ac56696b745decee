"""The measuring itself: CPU of processes, first frames of a tone, calls and their answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from benchmarks import machine, testbed
from benchmarks.audio import Talk, matched
from benchmarks.far_ends import TONE_HZ, first_tone
from siplab import g711
from siplab.ear import FRAME_S, Ear

BEGIN = 1_700_000_000.0


def _heard(*frequencies: int, peak: int = 8000) -> Ear:
    """Return an ear that heard a frame of each frequency in turn, 0 for silence."""
    ear = Ear(keep_audio_s=10.0)
    moments = np.arange(160) / 8000
    for number, frequency in enumerate(frequencies):
        samples = peak * np.sin(2 * np.pi * frequency * moments)
        packet = bytes([0x80, 0, number >> 8, number & 0xFF]) + bytes(8)
        payload = g711.mulaw(samples.astype(np.int16))
        ear.hear(BEGIN + number * FRAME_S, packet + payload, None)
    return ear


def test_the_customers_voice_is_told_from_the_tone_of_the_join() -> None:
    """
    The first frame with the customer's tone counts; silence and other tones before it do not.
    """
    ear = _heard(0, 880, 880, 300, 967, TONE_HZ, TONE_HZ)

    assert first_tone(ear, BEGIN) == pytest.approx(BEGIN + 5 * FRAME_S)


def test_what_was_heard_before_the_answer_does_not_count() -> None:
    """
    Only frames that arrived after the moment asked for are looked at.
    """
    ear = _heard(TONE_HZ, TONE_HZ, 0, 0, TONE_HZ)

    assert first_tone(ear, BEGIN + 1.5 * FRAME_S) == pytest.approx(BEGIN + 4 * FRAME_S)


def test_a_phone_that_heard_no_customer_says_so() -> None:
    """
    Without a frame of the tone there is no moment to report.
    """
    assert first_tone(_heard(0, 880, 300), BEGIN) is None
    assert first_tone(Ear(keep_audio_s=1.0), BEGIN) is None


def test_answers_belong_to_calls_in_their_order() -> None:
    """
    The second answer at a number is that of its second call, whoever was first at another number.
    """
    at = datetime(2026, 3, 4, tzinfo=UTC)
    ended = [
        ("+1", at + timedelta(seconds=9), "agent3"),
        ("+2", at + timedelta(seconds=5), "agent2"),
        ("+1", at, "agent1"),
    ]
    answers = [("+1", 20.0), ("+2", 15.0), ("+1", 10.0)]

    assert {Talk("+1", 10.0, "agent1"), Talk("+2", 15.0, "agent2"), Talk("+1", 20.0, "agent3")} == (
        set(matched(ended, answers))
    )


def test_cpu_is_that_of_the_process() -> None:
    """
    The figure grows with what the process computes, and only with that.
    """
    before = machine.cpu_s(os.getpid())
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    used = machine.cpu_s(os.getpid()) - before

    assert 0.2 <= used <= 5.0


def test_cpu_of_a_tree_counts_its_children() -> None:
    """
    What children compute is their parent's, those that have ended included.
    """
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 30
        while machine.tree_cpu_s(running.pid) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
        used = machine.tree_cpu_s(running.pid)
        running.communicate("\n")

    assert used >= 0.3


def test_the_machine_is_described_in_one_line() -> None:
    """
    Cores, memory, versions and load stand in one line, the given versions among them.
    """
    text = machine.description("Postgres 18.4")

    assert f"{os.cpu_count()} cores" in text
    assert "Postgres 18.4, load " in text
    assert "\n" not in text


def test_numbers_to_dial_are_fiction_and_different() -> None:
    """
    Nothing a benchmark dials could be anybody's telephone.
    """
    numbers = testbed.numbers(30_000)

    assert 30_000 == len(set(numbers))
    assert all(number[5:10] == "55501" for number in numbers)
