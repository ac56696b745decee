"""What is wrong with the settings, in one sentence: the key, its value and what it permits."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

    Fields = Mapping[str, FieldInfo]

_NEAR = 0.6
# Never shown: a connection string may hold a password.
_SECRET = frozenset({"database_url"})
_IN_TRUNK = 3  # ("trunk", index, key)


def sentence(
    error: ValidationError,
    *,
    settings: Fields,
    trunk_settings: Fields,
    from_environment: Mapping[str, Any],
    path: Path | None,
) -> str:
    """Return one sentence about the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    where = tuple(first["loc"])
    if not where:
        text = str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
        return f"Impossible settings: {text}."
    key = str(where[0])
    in_trunk = key == "trunk" and len(where) >= _IN_TRUNK
    last = str(where[2]) if in_trunk else key
    if key in from_environment:
        name = f"DIALER_{'TRUNK_' if in_trunk else ''}{last.upper()}"
    else:
        name = f"trunk.{last}" if in_trunk else last
        name += f" in {path}" if path is not None else ""
    fields = trunk_settings if in_trunk else settings
    if first["type"] == "extra_forbidden":
        return f"{name} is not a setting{_suggestion(last, fields)}"
    if first["type"] == "missing":
        return f"{name} is missing: it must be {_permitted(fields, last) or 'given'}."
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return f"{name} {first['input'].get('name', '')}: {first['ctx']['error']}."
    if first["type"] == "value_error":
        return f"{name} cannot be {first['input']!r}: {first['ctx']['error']}."
    shown = "what it is" if last in _SECRET else repr(first["input"])
    permitted = _permitted(fields, last) or first["msg"].removeprefix("Input should be ")
    return f"{name} cannot be {shown}: it must be {permitted}."


def _suggestion(key: str, fields: Fields) -> str:
    names = [field.alias or name for name, field in fields.items()]
    near = difflib.get_close_matches(key, names, n=1, cutoff=_NEAR)
    return f": did you mean {near[0]}?" if near else f": there are {', '.join(names)}."


def _permitted(fields: Fields, key: str) -> str | None:
    for name, field in fields.items():
        if key in (name, field.alias) and field.examples:
            return str(field.examples[0])
    return None
