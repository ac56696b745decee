"""The loss threshold: what one more call may risk, from what each window can still afford.

Maximising connected calls with abandoned <= alpha * answered makes a call worth starting while the
probability that its person finds no agent is under a threshold (a constrained Markov decision
problem; the value of the state hardly moves it). The threshold is set by what is left to spend:

    rate  r = clip(alpha + (alpha * H - A) / L, 0, 3 alpha)
    theta   = clip(r / kappa, 1e-4, 0.6)

for each accounting window, and the smallest theta counts. kappa, learned online, is how many people
are lost per unit of threshold. L is the number of answered calls over which a surplus or
a deficit is evened out: as many as were counted so far, and for a deficit no more than the window
will still bring. A surplus does not look at the forecast, because that grows with the
team: one more agent would then lower the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

from pacing.guard import PPM
from pacing.types import History, Snapshot, WindowCount

PRIOR_LOSS_RATE = 0.5
_LEAST, _MOST = 1e-4, 0.6
_SHORTEST = 50.0
_RESERVE = 3.0
_LOSS_RATE_RANGE = (0.05, 10.0)
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """The loss probability up to which a call may start, and how it came about.

    `rates` and `thetas` follow the order of the snapshot's windows.
    """

    theta: float
    kappa: float
    rates: tuple[float, ...]
    thetas: tuple[float, ...]


def set_threshold(snapshot: Snapshot, *, agents: float, cycle_s: float) -> Threshold:
    """Return the threshold now, with *agents* whose talk and wrap-up last *cycle_s* on average."""
    kappa = loss_rate(snapshot.history)
    per_s = agents / max(cycle_s, 1.0)
    rates = tuple(
        _affordable(window, answers_ahead=_time_left_s(window, snapshot.remaining_shift_s) * per_s)
        for window in snapshot.windows
    )
    thetas = tuple(min(max(rate / kappa, _LEAST), _MOST) for rate in rates)
    return Threshold(min(thetas, default=_LEAST), kappa, rates, thetas)


def loss_rate(history: History) -> float:
    """Return kappa: abandoned calls per unit of threshold."""
    observed = PRIOR_LOSS_RATE if history.loss_rate is None else history.loss_rate
    low, high = _LOSS_RATE_RANGE
    return min(max(observed, low), high)


def _affordable(window: WindowCount, *, answers_ahead: float) -> float:
    """Return the share of coming answered calls that *window* may lose."""
    limit = window.limit_ppm / PPM
    target = min(window.target_ppm / PPM, limit)
    surplus = target * window.answered - window.abandoned
    horizon = float(window.answered)
    if surplus < 0:
        horizon = min(horizon, answers_ahead)
    correction = surplus / max(horizon, _SHORTEST)
    reserve = limit * window.answered - window.abandoned - _RESERVE
    rate = target + min(correction, reserve / _SHORTEST)
    return min(max(rate, 0.0), 3 * target)


def _time_left_s(window: WindowCount, shift_s: float | None) -> float:
    """Return the dialing time left in *window*; the shift ends a window of at most a day."""
    if window.remaining_s is None:
        return float("inf")
    if window.remaining_s <= _DAY_S and shift_s is not None:
        return min(window.remaining_s, shift_s)
    return window.remaining_s
