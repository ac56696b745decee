"""The count distribution behind the rule, against plain convolution."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pacing import kernel
from pacing.net_demand import NetDemand, at_least, net_demand, waves

Floats = NDArray[np.float64]


def net_of(  # numbers in the order of the kernel's own
    demand: Floats, supply: Floats, per_call: Floats, *, doubt: float = 0.0, most: int
) -> NetDemand:
    """Return X of these probabilities, (moments, variables) each."""
    return net_demand(demand, supply, per_call, doubt, most, waves())


def convolved(demand: Floats, supply: Floats, new: int, q: float) -> tuple[Floats, int]:
    """Return the distribution of X for one moment and its lowest value, by convolution."""
    chances = np.ones(1)
    for p in (*demand, *[q] * new):
        chances = np.convolve(chances, [1 - p, p])
    for p in supply:
        chances = np.convolve(chances, [p, 1 - p])
    return chances, -len(supply)


@pytest.mark.parametrize("seed", range(6))
def test_tail_equals_convolution(seed: int) -> None:
    """
    Tail probabilities agree with the exact Poisson-binomial to four digits.
    """
    rng = np.random.default_rng(seed)
    demand, supply = rng.random((2, 17)) ** 2, rng.random((2, 23)) ** 2
    q = rng.random(2)
    net = net_of(demand, supply, q, doubt=0.0, most=12)

    for new in (0, 1, 7, 12):
        for moment in range(2):
            chances, lowest = convolved(demand[moment], supply[moment], new, q[moment])
            expected = [chances[max(0, x - lowest) :].sum() for x in range(-25, 31)]
            got = [at_least(net, x, new)[moment] for x in range(-25, 31)]
            assert expected == pytest.approx(got, abs=1e-4)


def test_certain_and_impossible_events() -> None:
    """
    Probabilities of exactly 0, 1/2 and 1 are handled like all others.
    """
    demand = np.array([[1.0, 1.0, 0.5, 0.0]])
    net = net_of(demand, np.array([[1.0]]), np.array([0.5]), doubt=0.0, most=2)

    assert 1.0 == pytest.approx(at_least(net, 1, 0)[0], abs=1e-9)
    assert 0.5 == pytest.approx(at_least(net, 2, 0)[0], abs=1e-4)
    assert 0.75 == pytest.approx(at_least(net, 2, 1)[0], abs=1e-4)
    assert 0.0 == pytest.approx(at_least(net, 5, 2)[0], abs=1e-9)


def test_probabilities_a_hair_outside_their_range() -> None:
    """
    Rounding errors of a model, 1 + 1e-15 or -1e-17, are no reason to fail.
    """
    above, below = np.array([[1.0 + 1e-15]]), np.array([[-1e-17]])
    net = net_of(above, below, np.array([1.0 + 1e-15]), doubt=0.0, most=1)

    assert 1.0 == pytest.approx(at_least(net, 2, 1)[0])


def test_nobody_and_nothing() -> None:
    """
    Without calls and agents the difference is surely zero.
    """
    nothing = np.empty((3, 0))
    net = net_of(nothing, nothing, np.zeros(3), doubt=0.0, most=1)

    assert [1.0] * 3 == pytest.approx(at_least(net, 0, 0))
    assert [0.0] * 3 == pytest.approx(at_least(net, 1, 0))
    assert 0 == kernel.loss_quantile(net, 0, 0)


def test_quantile_is_where_the_tail_falls_under_one_in_a_thousand() -> None:
    """
    The quantile is the smallest count passed with a probability of at most 0.1 %.
    """
    rng = np.random.default_rng(3)
    net = net_of(rng.random((4, 30)), rng.random((4, 20)), rng.random(4), doubt=0.1, most=9)
    quantile = kernel.loss_quantile(net, 0, 5)

    assert at_least(net, quantile + 1, 5).max() <= 0.001
    assert at_least(net, quantile, 5).max() > 0.001


def test_doubt_about_the_answer_rate_widens_the_distribution() -> None:
    """
    If the answer rate may be wrong, many answers at once are likelier, few are too.
    """
    demand, supply = np.full((1, 100), 0.3), np.empty((1, 0))
    sure = net_of(demand, supply, np.array([0.3]), doubt=0.0, most=1)
    unsure = net_of(demand, supply, np.array([0.3]), doubt=0.3, most=1)

    assert at_least(unsure, 40, 0)[0] > 5 * at_least(sure, 40, 0)[0]
    assert at_least(unsure, 20, 0)[0] < at_least(sure, 20, 0)[0]


def test_large_team() -> None:
    """
    Thousands of agents and calls cost no accuracy: the tail is still the exact one.
    """
    rng = np.random.default_rng(5)
    demand, supply = rng.random((1, 3000)) * 0.3, rng.random((1, 2000)) * 0.2
    net = net_of(demand, supply, np.array([0.2]), doubt=0.0, most=500)
    chances, lowest = convolved(demand[0], supply[0], 0, 0.2)
    middle = round(float(demand.sum() - supply.sum()))

    for x in (middle - 60, middle, middle + 25, middle + 60):
        assert chances[x - lowest :].sum() == pytest.approx(at_least(net, x, 0)[0], abs=1e-4)
