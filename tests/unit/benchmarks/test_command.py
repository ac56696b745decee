"""`python -m benchmarks`: what is run, how it ends, and what misuse says."""

from __future__ import annotations

import importlib.util
import json
import textwrap
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as command
from benchmarks.program import Options
from benchmarks.registry import BENCHMARKS, Benchmark

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a module that children can run as `made_up_benchmark`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "made_up_benchmark.py"


MADE_UP = Benchmark("made_up", "made_up_benchmark", "nothing", quick_limit_s=30.0)


def test_an_unknown_name_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A name that is none lists those there are, and ends with 2.
    """
    assert 2 == command.main(["lightspeed"])
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: there is no benchmark lightspeed: choose from lines, ")
    assert 1 == len(said.splitlines())


def test_every_registered_module_is_there() -> None:
    """
    Each benchmark of the list can be run.
    """
    assert [] == [each for each in BENCHMARKS if importlib.util.find_spec(each.module) is None]


def test_a_report_is_passed_on_under_its_public_command(module: Path) -> None:
    """
    The report of a child names the command that a person would give.
    """
    module.write_text(
        textwrap.dedent("""\
            import json, sys
            print(json.dumps({"benchmark": "x", "command": "private", "seed": 7, "machine": "m",
                              "metrics": {"a": 1, "args": len(sys.argv)}, "targets": {}}))
        """)
    )
    report = command.run(MADE_UP, Options(quick=True, seed=7))

    assert report is not None
    assert "python -m benchmarks made_up --quick --seed 7" == report.command
    assert 5 == report.metrics["args"]


@pytest.mark.parametrize("text", ["print('no json')", "raise SystemExit(3)", ""])
def test_a_benchmark_without_a_report_gives_none(
    module: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A benchmark that fails is told by name, and is no reason to stop the others.
    """
    module.write_text(text)

    assert command.run(MADE_UP, Options(quick=True)) is None
    assert "made_up gave no result" in capsys.readouterr().err


def test_a_benchmark_that_never_ends_is_ended(
    module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A run beyond its limit is asked to end, given time for it, and told as having no result.
    """
    module.write_text(
        textwrap.dedent("""\
            import pathlib, signal, sys, time
            def end(*_):
                pathlib.Path(__file__).with_suffix(".ended").write_text("in order")
                sys.exit(0)
            signal.signal(signal.SIGTERM, end)
            time.sleep(300)
        """)
    )
    slow = Benchmark("slow", MADE_UP.module, "nothing", quick_limit_s=2.0)

    assert command.run(slow, Options(quick=True)) is None
    assert "in order" == module.with_suffix(".ended").read_text()
    assert "took longer than 2 s" in capsys.readouterr().err


def test_json_is_one_object_for_each_benchmark(
    module: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    With --json standard output holds one object a line, and the exit code the verdict.
    """
    module.write_text(
        textwrap.dedent("""\
            import json
            print(json.dumps({"benchmark": "x", "command": "y", "seed": 1, "machine": "m",
                              "metrics": {"a": 1}, "targets": {"a": [">=", 2]}}))
        """)
    )
    monkeypatch.setattr(command, "BENCHMARKS", (MADE_UP,))
    monkeypatch.setattr(command, "find", lambda name: MADE_UP if name == "made_up" else None)

    assert 1 == command.main(["made_up", "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    assert {"a": [">=", 2]} == json.loads(line)["targets"]
