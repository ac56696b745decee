"""How results are shown: a table for people, the same values as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_WIDE = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal; wide enough not to cut cells when piped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else _WIDE, highlight=False, soft_wrap=False
    )


def plain(value: Any) -> Any:
    """Return *value* as what JSON can hold: RFC 3339 times in UTC, seconds, ids as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def print_json(value: object) -> None:
    """Print one JSON value and a newline."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def cell(value: object) -> str:
    """Return a value as a table shows it: nothing for None, local time to the second, JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return json.dumps(plain(value), ensure_ascii=False) if value else ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(cell(item) for item in value)
    return str(value)


def table(
    rows: Sequence[Mapping[str, object]],
    columns: Mapping[str, str],
    *,
    as_json: bool,
    title: str | None = None,
    empty: str = "Nothing here yet.",
) -> None:
    """Print *rows*; *columns* maps keys to headings, and JSON keeps every key there is."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        typer.echo(empty)
        return
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for key, heading in columns.items():
        number = all(isinstance(row.get(key), int | float) for row in rows)
        shown.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell(row.get(key)) for key in columns))
    console().print(shown, markup=False)


def facts(values: Mapping[str, object], *, as_json: bool, title: str | None = None) -> None:
    """Print one thing's values below each other, or as one JSON object."""
    if as_json:
        print_json(values)
        return
    shown = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for key, value in values.items():
        shown.add_row(key.replace("_", " "), cell(value))
    console().print(shown, markup=False)
