"""The pictures of a simulation: frontier, day, sensitivity; as a PNG file or on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.errors import UserError
from dialer.simulation.quantities import clock_words
from dialer.simulation.runs import Result
from pacing.simulation import timeline

if TYPE_CHECKING:
    from pacing.simulation import Row

PICTURES = (".png", ".svg", ".pdf")
_TERMINAL_WIDTH, _TERMINAL_HEIGHT = 78, 18
_LABELLED = 12
_SIGNS = "*o+x#@%&"


@dataclass(frozen=True, slots=True)
class Spot:
    """One pacer somewhere: abandonment and occupancy in per cent, with a confidence interval."""

    label: str
    abandonment: float
    occupancy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Course:
    """One pacer over the day: hours since midnight, occupancy and abandonment in per cent."""

    label: str
    hours: tuple[float, ...]
    occupancy: tuple[float, ...]
    abandonment: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Swing:
    """What a change of one assumption does: occupancy in per cent below and above."""

    label: str
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Occupancy in per cent over the values of a swept option, for one pacer."""

    label: str
    option: str
    values: tuple[float, ...]
    occupancy: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Everything that is drawn; `limit` in per cent, `base` the occupancy swings start from."""

    title: str
    limit: float
    spots: tuple[Spot, ...]
    frontier: tuple[Spot, ...]
    courses: tuple[Course, ...]
    curves: tuple[Curve, ...]
    swings: tuple[Swing, ...]
    base: float


def spot(label: str, row: Row) -> Spot:
    """Return a row as a spot."""
    low, high = row.occupancy_ci
    return Spot(label, 100 * row.abandonment, 100 * row.occupancy, 100 * low, 100 * high)


def spots_of(results: Sequence[Result]) -> tuple[Spot, ...]:
    """Return every row as a spot, named by its pacer and its place in a sweep."""
    return tuple(
        spot(" ".join([row.pacer, *_places(result.point.at)]), row)
        for result in results
        for row in result.rows
    )


def courses_of(result: Result, starts_at_s: float) -> tuple[Course, ...]:
    """Return the day of each pacer at one point, the mean over the simulated days."""
    found = []
    for row in result.rows:
        slots = [slot for slot in timeline(result.study.days[row.pacer]) if slot.staffed_s > 0]
        found.append(
            Course(
                row.pacer,
                tuple((starts_at_s + slot.start_s) / 3600 for slot in slots),
                tuple(100 * slot.busy_s / slot.staffed_s for slot in slots),
                tuple(100 * slot.abandoned / max(1, slot.answered) for slot in slots),
            )
        )
    return tuple(found)


def curves_of(results: Sequence[Result]) -> tuple[Curve, ...]:
    """Return occupancy over the first swept option, other sweeps at their first value."""
    keys = list(results[0].point.at)
    if not keys:
        return ()
    first, others = keys[0], keys[1:]
    start = {key: results[0].point.at[key] for key in others}
    along = [r for r in results if all(r.point.at[key] == start[key] for key in others)]
    return tuple(
        Curve(
            row.pacer,
            first,
            tuple(result.point.at[first] for result in along),
            tuple(100 * result.rows[index].occupancy for result in along),
        )
        for index, row in enumerate(results[0].rows)
    )


def check_file(path: Path) -> None:
    """Raise `UserError` unless a picture can be written to *path*, before anything is simulated."""
    if path.suffix.lower() not in PICTURES:
        raise UserError(f"--plot {path}: the name must end in {', '.join(PICTURES)}.")
    if not path.resolve().parent.is_dir():
        raise UserError(f"--plot {path}: there is no folder {path.resolve().parent}.")
    if find_spec("matplotlib") is None:
        raise UserError(
            "--plot needs matplotlib: install it with pip install 'overdial[plot]', or use --chart "
            "for charts on the terminal."
        )


def save(pictures: Pictures, path: Path) -> None:
    """Draw everything into one file; raises `UserError` when it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra, loaded only to draw
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(15, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(pictures.title)
    left, middle, right = figure.subplots(1, 3)
    _draw_frontier(left, pictures)
    _draw_day(middle, pictures)
    _draw_sensitivity(right, pictures)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None


def _draw_frontier(axes: Any, pictures: Pictures) -> None:
    axes.set_title("Occupancy against abandonment")
    axes.set_xlabel("abandoned, % of people who answer")
    axes.set_ylabel("occupancy, %")
    axes.axvline(pictures.limit, color="firebrick", linestyle=":", label="limit")
    if pictures.frontier:
        axes.plot(
            [one.abandonment for one in pictures.frontier],
            [one.occupancy for one in pictures.frontier],
            color="tab:blue",
            alpha=0.5,
            marker=".",
            label=pictures.frontier[0].label,
        )
    for index, one in enumerate(pictures.spots):
        axes.errorbar(
            one.abandonment,
            one.occupancy,
            yerr=[[max(0.0, one.occupancy - one.low)], [max(0.0, one.high - one.occupancy)]],
            fmt="o",
            capsize=3,
            label=one.label if index < _LABELLED else None,
        )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_day(axes: Any, pictures: Pictures) -> None:
    axes.set_title("The day")
    axes.set_xlabel("hour")
    axes.set_ylabel("occupancy, % (dashed: abandonment, % of those who answer)")
    for course in pictures.courses:
        (line,) = axes.plot(course.hours, course.occupancy, label=course.label)
        axes.plot(course.hours, course.abandonment, linestyle="--", color=line.get_color())
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_sensitivity(axes: Any, pictures: Pictures) -> None:
    axes.set_title("Sensitivity")
    if pictures.curves:
        for curve in pictures.curves:
            axes.plot(curve.values, curve.occupancy, marker="o", label=curve.label)
        axes.set_xlabel(pictures.curves[0].option.replace("_", " "))
        axes.set_ylabel("occupancy, %")
        axes.legend(fontsize=8)
    else:
        for place, swing in enumerate(pictures.swings):
            ends = sorted((swing.lower, swing.upper))
            axes.barh(place, ends[1] - ends[0], left=ends[0], color="tab:blue", alpha=0.6)
        axes.set_yticks(range(len(pictures.swings)), [swing.label for swing in pictures.swings])
        axes.axvline(pictures.base, color="black", linewidth=1)
        axes.set_xlabel("occupancy, %, when one assumption is 20 % lower or higher")
    axes.grid(alpha=0.3)


def on_terminal(pictures: Pictures, *, colours: bool) -> str:
    """Return the same as text, each pacer with a sign of its own."""
    parts = [
        _chart(
            "Occupancy against abandonment",
            ("abandoned, % of people who answer", "occupancy, %"),
            [
                _Trace(
                    pictures.frontier[0].label if pictures.frontier else "",
                    [one.abandonment for one in pictures.frontier],
                    [one.occupancy for one in pictures.frontier],
                    joined=True,
                ),
                *(
                    _Trace(one.label, [one.abandonment], [one.occupancy])
                    for one in pictures.spots[:_LABELLED]
                ),
            ],
            colours=colours,
        ),
        _chart(
            f"The day, {clock_words(3600 * pictures.courses[0].hours[0])} on",
            ("hour", "occupancy, %"),
            [_Trace(one.label, one.hours, one.occupancy, joined=True) for one in pictures.courses],
            colours=colours,
        ),
    ]
    if pictures.curves:
        option = pictures.curves[0].option.replace("_", " ")
        parts.append(
            _chart(
                "Sensitivity",
                (option, "occupancy, %"),
                [
                    _Trace(one.label, one.values, one.occupancy, joined=True)
                    for one in pictures.curves
                ],
                colours=colours,
            )
        )
    elif pictures.swings:
        lines = [f"Sensitivity: occupancy {pictures.base:.1f} %, when one assumption changes"]
        lines += [
            f"  {swing.label:<24} {swing.lower:5.1f} % … {swing.upper:5.1f} %"
            for swing in pictures.swings
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class _Trace:
    label: str
    x: Sequence[float]
    y: Sequence[float]
    joined: bool = False


def _chart(title: str, axes: tuple[str, str], traces: Sequence[_Trace], *, colours: bool) -> str:
    import plotext  # noqa: PLC0415 - only when charts are asked for

    figure = plotext.figure
    figure.clear()
    figure.plot_size(_TERMINAL_WIDTH, _TERMINAL_HEIGHT)
    figure.title(title)
    figure.label(axes[0], 0)
    figure.label(axes[1], 1)
    signs = cycle(_SIGNS)
    for trace in traces:
        if trace.x:
            signal = figure.signal(list(trace.x), list(trace.y), marker=next(signs))
            figure.draw(signal.lines(trace.joined).label(trace.label))
    text: str = figure.build().string(colorless=not colours)
    return text


def _places(at: Mapping[str, float]) -> list[str]:
    return [f"{key.replace('_', ' ')} {value:g}" for key, value in at.items()]
