"""The `dialer` command as people run it: in this process for speed, in its own for what matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dialer import cli

if TYPE_CHECKING:
    import pytest

PROGRAM = [sys.executable, "-m", "dialer"]
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return standard output as JSON."""
        return json.loads(self.out)


@dataclass(slots=True)
class Shell:
    """Runs commands against one database."""

    dsn: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Result:
        """Run a command in this process."""
        self.capsys.readouterr()
        try:
            cli.main(["--database-url", self.dsn, *words])
        except SystemExit as left:
            code = left.code
        else:
            code = 0
        said = self.capsys.readouterr()
        return Result(int(code or 0), said.out, said.err)

    def ok(self, *words: str) -> Result:
        """Run a command that must succeed."""
        result = self(*words)
        assert 0 == result.code, f"{words}: {result.err}{result.out}"
        return result


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return an environment without the developer's settings, with its data in *folder*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DIALER_")}
    return {**kept, "DIALER_DATA": str(folder), "COLUMNS": "160", **variables}


def run(folder: Path, *words: str, **variables: str) -> Result:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [*PROGRAM, *words],
        env=environment(folder, **variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)
