"""Bars for reports, drawn to PNG by matplotlib, an optional extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from campaigns.errors import UserError
from dialer.kpis import Unit

if TYPE_CHECKING:
    from pathlib import Path

_BAR_IN = 0.35
_MARGIN_IN = 1.6
_WIDE_IN = 9.0
# Told apart without colour too: each state has a hatch of its own.
_HATCHES = ("", "//", "..", "\\\\", "xx")


def bars(path: Path, values: Mapping[str, float | None], *, title: str, unit: Unit) -> None:
    """Draw one bar for each part; a figure that cannot be known has none. Raises `UserError`."""
    figure, axes = _figure(len(values))
    factor = 100.0 if unit is Unit.SHARE else 1.0
    heights = [0.0 if value is None else factor * value for value in values.values()]
    drawn = axes.barh(list(values), heights, color="#2b6cb0")
    axes.bar_label(
        drawn,
        labels=["-" if v is None else f"{factor * v:.1f}" for v in values.values()],
        padding=3,
    )
    axes.set_xlabel({Unit.SHARE: "per cent", Unit.SECONDS: "seconds", Unit.NUMBER: ""}[unit])
    _save(figure, axes, path, title)


def stacks(
    path: Path,
    values: Mapping[str, Mapping[str, float]],
    *,
    parts: Sequence[str],
    title: str,
) -> None:
    """Draw seconds as hours, a bar for each name made of its parts in order. Raises `UserError`."""
    figure, axes = _figure(len(values))
    left = [0.0] * len(values)
    for place, part in enumerate(parts):
        hours = [spent.get(part, 0.0) / 3600 for spent in values.values()]
        label = part.replace("_", "-")
        axes.barh(
            list(values), hours, left=left, label=label, hatch=_HATCHES[place % len(_HATCHES)]
        )
        left = [before + more for before, more in zip(left, hours, strict=True)]
    axes.set_xlabel("hours")
    axes.legend(loc="best", fontsize="small")
    _save(figure, axes, path, title)


def _figure(count: int) -> tuple[Any, Any]:
    if not count:
        raise UserError("There is nothing to draw in that period.")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise UserError(
            "Drawing needs matplotlib: install overdial with its extra `plot`, or use --csv."
        ) from None
    figure = Figure(figsize=(_WIDE_IN, _MARGIN_IN + _BAR_IN * count), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, axes: Any, path: Path, title: str) -> None:
    axes.set_title(title, fontsize="medium", loc="left")
    axes.invert_yaxis()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
