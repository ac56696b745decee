"""What pydantic found wrong, as one sentence in a user's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

# By pydantic's error type; {…} are filled from its context.
_WORDS = {
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "int_type": "it must be a whole number",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "finite_number": "it must be a number",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "string_type": "it must be text",
    "string_pattern_mismatch": "it holds characters that cannot stand there",
    "string_too_long": "it is longer than {max_length} characters",
    "string_too_short": "it is shorter than {min_length} characters",
    "tuple_type": "it must be a list, such as [0, 1]",
    "list_type": "it must be a list, such as [0, 1]",
    "dict_type": "it must be a table of keys and values",
    "model_type": "it must be a table of keys and values",
    "greater_than_equal": "it must be {ge} or more",
    "greater_than": "it must be more than {gt}",
    "less_than_equal": "it must be {le} or less",
    "less_than": "it must be less than {lt}",
    "enum": "it must be {expected}",
    "literal_error": "it must be {expected}",
    "missing": "it is missing",
}


def first_complaint(error: ValidationError) -> str:
    """Return the first thing wrong: which field, what it was, what it may be."""
    found = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        return f"there is no setting {field!r}; check its spelling."
    given = f" is {found['input']!r}" if found["loc"] and _is_plain(found["input"]) else ""
    message = _words(found["type"], found.get("ctx", {}), found["msg"], found["input"])
    return f"{field}{given}: {message}." if field else f"{message}."


def _words(kind: str, context: dict[str, Any], message: str, given: object) -> str:
    if str(given).strip().lower() in {"nan", "inf", "-inf"}:
        return "it must be a number"
    if kind in _WORDS:
        plain = {key: f"{v:g}" if isinstance(v, float) else v for key, v in context.items()}
        return _WORDS[kind].format(**plain)
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= 40)
