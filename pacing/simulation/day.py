"""One simulated day under one pacer, and what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pacing.answer_rate import DEFAULT_ANSWER_RATE
from pacing.compiling import compiled, is_possible
from pacing.durations import Floats, Tallies
from pacing.guard import Windows
from pacing.net_demand import waves
from pacing.observations import State, fresh_state
from pacing.reading import priors_for
from pacing.simulation import driving
from pacing.simulation import floor as books
from pacing.simulation.baselines import begin_day, fresh_memory
from pacing.simulation.driving import Pacer
from pacing.simulation.floor import Floor, Integers
from pacing.simulation.luck import new_floor
from pacing.simulation.pacers import PacerSpec
from pacing.simulation.scenario import PPM, Scenario
from pacing.types import Bound, GuardMode, Mode

F = TypeVar("F", bound=Callable[..., Any])

_UNLIMITED = 1_000_000
_MINUTES_PER_SLOT = 5
_MODES = tuple(Mode)
_BOUNDS = tuple(Bound)


@dataclass(frozen=True, slots=True)
class Slot:
    """Five minutes of a day; busy and staffed are agent-seconds."""

    start_s: float
    dialed: int
    answered: int
    abandoned: int
    busy_s: float
    staffed_s: float


@dataclass(frozen=True, slots=True)
class Day:
    """What one day came to: times in seconds, sums after the warm-up only.

    `misjudged` counts people whom the screening took for machines, `worst_hour` and `first_hour`
    are (abandoned, answered) of the worst 60 minutes in a row and of the first. `windows` is
    (abandoned, answered) of each window when the day was over. `finished_s` is when the last call
    of the list was over. `bounds` says how often which limit decided, for production's pacer.
    """

    dialed: int
    answered: int
    abandoned: int
    connected: int
    misjudged: int
    busy_s: float
    staffed_s: float
    most_in_flight: int
    worst_hour: tuple[int, int]
    first_hour: tuple[int, int]
    windows: tuple[tuple[int, int], ...]
    over_limit: bool
    finished_s: float | None
    timeline: tuple[Slot, ...]
    bounds: dict[Bound, int] = field(default_factory=dict)

    @property
    def occupancy(self) -> float:
        """Return talk and wrap-up time per staffed time, breaks not included."""
        return self.busy_s / self.staffed_s if self.staffed_s > 0 else 0.0

    @property
    def abandonment(self) -> float:
        """Return abandoned per answered calls."""
        return self.abandoned / max(1, self.answered)


@dataclass(slots=True)
class Carried:
    """What outlives a day: (answered, abandoned) of the windows, learning, another's level."""

    windows: Integers
    held: list[bool]
    state: State
    priors: Tallies
    memory: Floats


def play_days(
    scenario: Scenario,
    spec: PacerSpec,
    *,
    seed: int,
    replication: int,
    days: int,
    fast: bool | None = None,
) -> list[list[Day]]:
    """Return the consecutive days of one replication, one list per campaign.

    *fast* says whether to play them compiled, None wherever numba is; the days are the same.
    """
    is_fast = is_possible() if fast is None else fast
    states = [fresh(scenario, spec) for _ in range(scenario.campaigns)]
    played: list[list[Day]] = [[] for _ in states]
    for day in range(days):
        floors = [
            new_floor(scenario, (seed, replication, day, campaign))
            for campaign in range(scenario.campaigns)
        ]
        for state in states:
            _begin(scenario, state)
        bounds = _play(scenario, spec, floors, states, fast=is_fast)
        for at, floor in enumerate(floors):
            states[at].windows += floor.counts[[books.ANSWERED, books.ABANDONED]]
            played[at].append(_result(scenario, floor, states[at], bounds[at]))
    return played


def fresh(scenario: Scenario, spec: PacerSpec) -> Carried:
    """Return what stands at the beginning of a replication's first day."""
    state = fresh_state()
    return Carried(
        windows=np.array([(w.answered, w.abandoned) for w in scenario.windows], dtype=np.int64),
        held=[False] * len(scenario.windows),
        state=state,
        priors=priors_for(state.tallies, scenario.ring_timeout_s),
        memory=fresh_memory(spec.options(scenario)),
    )


def new_trunk(scenario: Scenario) -> Floats:
    """Return the trunk at the start of a day, full of tokens."""
    rate = float(scenario.calls_per_s or _UNLIMITED)
    return np.array([scenario.channels or _UNLIMITED, rate, max(1.0, rate), 0.0, 0.0])


def new_pacer(scenario: Scenario, spec: PacerSpec, carried: Carried) -> Pacer:
    """Return production's pacer at the start of a day."""
    plans = scenario.windows
    limits = np.array([(w.limit_ppm, w.target_ppm) for w in plans], dtype=np.int64)
    lengths_s = np.array([np.inf if w.length_s is None else w.length_s for w in plans])
    policy = spec.policy(scenario)
    return Pacer(
        state=carried.state,
        priors=carried.priors,
        prior_rate=DEFAULT_ANSWER_RATE,
        windows=Windows(
            np.concatenate((carried.windows, limits), axis=1), lengths_s, np.array(carried.held)
        ),
        lengths_s=lengths_s,
        bounds=np.zeros(len(_BOUNDS), np.int64),
        mode=_MODES.index(policy.mode),
        ratio=float(policy.ratio),
        max_lines=float(policy.max_lines_per_agent),
        is_absolute=policy.guard is GuardMode.ABSOLUTE,
        connect_limit_s=float(policy.connect_limit_s),
        waves=waves(),
    )


def function(plain: F, *, fast: bool) -> F:
    """Return a function of the simulator as numba's, or as it stands.

    Functions are compiled one by one when first needed: it takes numba a minute for the pacer,
    and some seconds for the rest.
    """
    return compiled(plain) if fast else plain


def _begin(scenario: Scenario, carried: Carried) -> None:
    begin_day(carried.memory)
    for at, window in enumerate(scenario.windows):
        if not window.carried:
            carried.windows[at] = window.answered, window.abandoned
            carried.held[at] = False


def _play(
    scenario: Scenario,
    spec: PacerSpec,
    floors: list[Floor],
    states: list[Carried],
    *,
    fast: bool,
) -> list[dict[Bound, int]]:
    trunk = new_trunk(scenario)
    tick_s, lines = scenario.tick_s, scenario.max_lines_per_agent
    if spec.mode is None:
        options = spec.options(scenario)
        if len(floors) == 1:
            play = function(driving.play_baseline, fast=fast)
            play(floors[0], trunk, options, states[0].memory, lines, tick_s)
        else:
            rule_tick = function(driving.baseline_tick, fast=fast)
            _take_turns(
                scenario,
                floors,
                trunk,
                lambda at: rule_tick(floors[at], trunk, options, states[at].memory, lines),
                fast=fast,
            )
        return [{} for _ in floors]
    pacers = [new_pacer(scenario, spec, state) for state in states]
    counts_only = spec.mode in (Mode.PREVIEW, Mode.PROGRESSIVE)
    if counts_only and len(floors) == 1:
        function(driving.play_one_to_one, fast=fast)(floors[0], trunk, pacers[0], tick_s)
    elif len(floors) == 1:
        function(driving.play_pacer, fast=fast)(floors[0], trunk, pacers[0], tick_s)
    elif counts_only:
        one_tick = function(driving.one_to_one_tick, fast=fast)
        _take_turns(
            scenario,
            floors,
            trunk,
            lambda at: one_tick(floors[at], trunk, pacers[at]),
            fast=fast,
        )
    else:
        tick = function(driving.pacer_tick, fast=fast)
        _take_turns(
            scenario, floors, trunk, lambda at: tick(floors[at], trunk, pacers[at]), fast=fast
        )
    for state, pacer in zip(states, pacers, strict=True):
        state.held = pacer.windows.held.tolist()
    return [
        {_BOUNDS[at]: times for at, times in enumerate(pacer.bounds.tolist()) if times}
        for pacer in pacers
    ]


def _take_turns(
    scenario: Scenario,
    floors: list[Floor],
    trunk: Floats,
    tick_of: Callable[[int], object],
    *,
    fast: bool,
) -> None:
    """Play campaigns that share a trunk; they take turns at being asked first."""
    advance, settle_books = function(books.advance, fast=fast), books.settle_books
    tick = 0
    while tick * scenario.tick_s < scenario.day_s:
        for turn in range(len(floors)):
            at = (tick + turn) % len(floors)
            advance(floors[at], tick * scenario.tick_s)
            if len(floors) > 1:
                trunk[driving.OTHERS] = sum(
                    books.lines_in_use(floor) for floor in floors if floor is not floors[at]
                )
            tick_of(at)
        tick += 1
    for floor in floors:
        advance(floor, scenario.day_s)
        settle_books(floor)


def _result(scenario: Scenario, floor: Floor, carried: Carried, bounds: dict[Bound, int]) -> Day:
    counted = floor.minutes[int(scenario.warm_up_s // books.MINUTE_S) :].sum(axis=0).tolist()
    dialed, answered, abandoned = (int(count) for count in counted[: books.BOOK_BUSY])
    finished_s = float(floor.reals[books.FINISHED_S])
    windows = [(lost, total) for total, lost in carried.windows.tolist()]
    return Day(
        dialed=dialed,
        answered=answered,
        abandoned=abandoned,
        connected=answered - abandoned,
        misjudged=int(floor.counts[books.MISJUDGED]),
        busy_s=counted[books.BOOK_BUSY],
        staffed_s=counted[books.BOOK_STAFFED],
        most_in_flight=int(floor.counts[books.MOST_IN_FLIGHT]),
        worst_hour=_worst_hour(floor),
        first_hour=_hour(floor, 0),
        windows=tuple(windows),
        over_limit=any(
            lost * PPM > window.limit_ppm * total
            for window, (lost, total) in zip(scenario.windows, windows, strict=True)
        ),
        finished_s=finished_s if finished_s >= 0 else None,
        timeline=_timeline(floor),
        bounds=bounds,
    )


def _timeline(floor: Floor) -> tuple[Slot, ...]:
    minutes = floor.minutes
    slots = []
    for first in range(0, len(minutes), _MINUTES_PER_SLOT):
        sums = minutes[first : first + _MINUTES_PER_SLOT].sum(axis=0).tolist()
        dialed, answered, abandoned, busy_s, staffed_s = sums
        calls = int(dialed), int(answered), int(abandoned)
        slots.append(Slot(first * books.MINUTE_S, *calls, busy_s, staffed_s))
    return tuple(slots)


def _hour(floor: Floor, first: int) -> tuple[int, int]:
    hour = floor.minutes[first : first + 60]
    return int(hour[:, books.BOOK_ABANDONED].sum()), int(hour[:, books.BOOK_ANSWERED].sum())


def _worst_hour(floor: Floor) -> tuple[int, int]:
    """Return (abandoned, answered) of the 60 minutes in a row with the highest share."""
    totals = np.concatenate((np.zeros((1, books.BOOK_COLUMNS)), np.cumsum(floor.minutes, axis=0)))
    length = min(60, len(totals) - 1)
    hours = totals[length:] - totals[:-length]
    abandoned, answered = hours[:, books.BOOK_ABANDONED], hours[:, books.BOOK_ANSWERED]
    worst = int(np.argmax(abandoned / np.maximum(answered, 1)))
    return int(abandoned[worst]), int(answered[worst])
