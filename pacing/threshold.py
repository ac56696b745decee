"""The loss threshold: what one more call may risk, from what each window can still afford.

Maximising connected calls with abandoned <= alpha * answered makes a call worth starting while the
probability that its person finds no agent is under a threshold (a constrained Markov decision
problem; the value of the state hardly moves it). The threshold is set by what is left to spend:

    rate  r = clip(min(alpha + (alpha H - A) / L, (lambda H - A - 1) / T), 0, 3 alpha)
    theta   = clip(r / kappa, 1e-4, 0.6)

for each accounting window (H people answered, A abandoned, target alpha, limit lambda), and the
smallest theta counts. kappa, learned online, is how many people are lost per unit of threshold.

The first rate evens a surplus or a deficit out over L answered calls: as many as were counted so
far, and for a deficit no more than the window will still bring. A surplus does not look at the
forecast, because that grows with the team: one more agent would then lower the threshold.

The second rations what is left under the limit, x = lambda H - A. Once x falls under one person,
the law leaves one call per agent until 1 / lambda more people have been answered, which costs far
more talk than a person's risk is worth: 33 answers at 27 % occupancy instead of 86 % where one in
twenty calls is answered. Spending x - 1 over the next T = 200 answers keeps x around
1 + alpha T, seven people, three standard deviations away from that cliff, and with few answers
counted lets it grow first. (Of reserves of 0 to 2 people and T of 50 to 250, this one lost least
in all S scenarios; the optimum is flat.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pacing.compiling import kernel
from pacing.durations import Floats
from pacing.guard import ABANDONED, ANSWERED, LIMIT, PPM, TARGET, Windows

PRIOR_LOSS_RATE = 0.5
_LEAST, _MOST = 1e-4, 0.6
_SHORTEST = 50.0
_CLIFF = 1.0
_RATION = 200.0
_LOSS_RATE_RANGE = (0.05, 10.0)


class Threshold(NamedTuple):
    """The loss probability up to which a call may start, and how it came about.

    `rates` and `thetas` follow the order of the snapshot's windows.
    """

    theta: float
    kappa: float
    rates: Floats
    thetas: Floats


@kernel
def set_threshold(windows: Windows, observed_kappa: float, answers_per_s: float) -> Threshold:
    """Return the threshold now, with *answers_per_s* people expected per second of dialing."""
    kappa = min(max(observed_kappa, _LOSS_RATE_RANGE[0]), _LOSS_RATE_RANGE[1])
    rates = np.empty(windows.remaining_s.size)
    for i in range(rates.size):
        rates[i] = affordable(
            windows.counts[i, ANSWERED],
            windows.counts[i, ABANDONED],
            windows.counts[i, LIMIT] / PPM,
            windows.counts[i, TARGET] / PPM,
            windows.remaining_s[i] * answers_per_s,
        )
    thetas = np.minimum(np.maximum(rates / kappa, _LEAST), _MOST)
    theta = thetas.min() if thetas.size > 0 else _LEAST
    return Threshold(theta, kappa, rates, thetas)


@kernel
def affordable(
    answered: int, abandoned: int, limit: float, target: float, answers_ahead: float
) -> float:
    """Return the share of coming answered calls that a window may lose."""
    target = min(target, limit)
    surplus = target * answered - abandoned
    horizon = float(answered)
    if surplus < 0:
        horizon = min(horizon, answers_ahead)
    even = target + surplus / max(horizon, _SHORTEST)
    rationed = (limit * answered - abandoned - _CLIFF) / _RATION
    return min(max(min(even, rationed), 0.0), 3 * target)
