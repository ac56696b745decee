"""Numbers as an analyst writes them: one, a list, a range; shares with or without a per cent sign.

Every mistake is a `UserError` that names the option, the text, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from math import floor, isfinite

from campaigns.errors import UserError

MOST_STEPS = 50


@dataclass(frozen=True, slots=True)
class Quantity:
    """What an option takes: `option` as written, a range of good values, and a kind of number."""

    option: str
    least: float
    most: float
    unit: str = ""
    is_share: bool = False
    is_whole: bool = False

    def shown(self, value: float) -> str:
        """Return a value as people read it."""
        if self.is_share:
            return f"{100 * value:.4g} %"
        return f"{value:,.0f}{self.unit}" if self.is_whole else f"{value:g}{self.unit}"


AGENTS = Quantity("--agents", 1, 10_000, is_whole=True)
ANSWER_RATE = Quantity("--answer-rate", 0.001, 1, is_share=True)
TALK = Quantity("--talk", 1, 7200, " s")
WRAP_UP = Quantity("--wrap", 0, 3600, " s")
RING = Quantity("--ring", 1, 120, " s")
TARGET = Quantity("--target", 0.0001, 0.5, is_share=True)
LIMIT = Quantity("--limit", 0.0001, 0.5, is_share=True)
HOURS = Quantity("--hours", 0.05, 24, " h")
LEADS = Quantity("--leads", 1, 10_000_000, is_whole=True)
REPLICATIONS = Quantity("--replications", 1, 10_000, is_whole=True)
DAYS = Quantity("--days", 1, 60, is_whole=True)


def values(text: str, quantity: Quantity) -> list[float]:
    """Return what *text* lists: `20`, `5,10,20`, or `5:50:5` (from, to, step; both ends)."""
    found: list[float] = []
    for part in text.split(","):
        pieces = part.split(":")
        match len(pieces):
            case 1:
                found.append(one(pieces[0], quantity))
            case 3:
                found += _range(part, quantity)
            case _:
                raise UserError(
                    f"{quantity.option} {text!r}: a range is FROM:TO:STEP, such as "
                    f"{_example(quantity)}."
                )
    if len(found) > MOST_STEPS:
        raise UserError(
            f"{quantity.option} {text!r} are {len(found)} values: at most {MOST_STEPS} are "
            "simulated in one run, so take a larger step."
        )
    return list(dict.fromkeys(found))


def one(text: str, quantity: Quantity) -> float:
    """Return the one number *text* is."""
    number = _number(text, quantity)
    _check(number, text, quantity)
    return number


def _range(text: str, quantity: Quantity) -> list[float]:
    start, end, step = (_number(piece, quantity) for piece in text.split(":"))
    if not step > 0 or end < start:
        raise UserError(
            f"{quantity.option} {text!r}: the step must be above 0 and the end not below the "
            f"start, such as {_example(quantity)}."
        )
    _check(start, text, quantity)
    _check(end, text, quantity)
    count = floor((end - start) / step + 1e-9) + 1
    if count > MOST_STEPS:
        raise UserError(
            f"{quantity.option} {text!r} are {count:,} values: at most {MOST_STEPS} are simulated "
            "in one run, so take a larger step."
        )
    return [round(start + index * step, 9) for index in range(count)]


def _number(text: str, quantity: Quantity) -> float:
    written = text.strip()
    per_cent = re.fullmatch(r"(.+?)\s*%", written) if quantity.is_share else None
    try:
        number = float(per_cent[1] if per_cent else written)
    except ValueError:
        kind = "a whole number" if quantity.is_whole else "a number"
        hint = ", such as 0.25 or 25%" if quantity.is_share else ""
        raise UserError(f"{quantity.option} {text!r} is not {kind}{hint}.") from None
    return number / 100 if per_cent else number


def _check(number: float, text: str, quantity: Quantity) -> None:
    if not isfinite(number) or not quantity.least <= number <= quantity.most:
        raise UserError(
            f"{quantity.option} {text!r} is out of range: from {quantity.shown(quantity.least)} to "
            f"{quantity.shown(quantity.most)}."
        )
    if quantity.is_whole and number != int(number):
        raise UserError(f"{quantity.option} {text!r} is not a whole number.")


def _example(quantity: Quantity) -> str:
    if quantity.is_share:
        return "0.05:0.4:0.05"
    return "5:50:5" if quantity.is_whole else "30:180:30"


def clock_time(text: str, option: str) -> float:
    """Return a time of day as seconds since midnight."""
    try:
        at = time.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is no time of day: write it as 17:00.") from None
    return at.hour * 3600.0 + at.minute * 60.0 + at.second


def clock_words(seconds: float) -> str:
    """Return seconds since midnight as 17:05; a later day is said."""
    day, rest = divmod(round(seconds / 60) * 60, 86_400)
    at = f"{int(rest) // 3600:02d}:{int(rest) % 3600 // 60:02d}"
    return at if not day else f"{at} (+{int(day)} day{'s' if day > 1 else ''})"


def pacer_names(texts: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the pacers named in comma-separated *texts*; options after a colon have commas too."""
    found: list[str] = []
    for part in (piece.strip() for text in texts for piece in text.split(",")):
        if not part:
            continue
        is_name = part.partition(":")[0] in known
        if found and not is_name and ":" in found[-1]:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return list(dict.fromkeys(found))
