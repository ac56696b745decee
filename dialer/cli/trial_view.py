"""What a test call found: every leg, and which one has no audio."""

from __future__ import annotations

import dataclasses
from typing import Any

import typer

from dialer.cli import output

# A test call that takes longer than this has been forgotten by somebody.
LONGEST_S = 90.0


def show(result: Any, *, as_json: bool) -> None:
    """Print a trial's result; exit code 1 when the call failed or a leg has no audio."""
    values = output.plain(result)
    if as_json:
        output.print_json(values)
    else:
        legs = values.pop("legs", [])
        if legs:
            columns = {key: key.replace("_", " ") for key in legs[0]}
            output.table(legs, columns, as_json=False)
        output.facts(values, as_json=False)
    is_good = values.get("ok", True) if isinstance(values, dict) else True
    if not is_good:
        raise typer.Exit(1)


def is_result(value: object) -> bool:
    """Whether *value* is what a trial returns: a dataclass instance."""
    return dataclasses.is_dataclass(value)
