"""How likely a machine is speaking, from the timing of what it said: a logistic regression.

People answer short and then wait; machines talk on. The weights in ``timing_model.json`` were
fitted by ``python -m benchmarks.screening_fit`` on synthetic speech and say so; a deployment fits
its own on labelled calls.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = (
    "speech_s",
    "gap_s",
    "segments",
    "first_s",
    "current_s",
    "longest_s",
    "longest_gap_s",
)
"""What the model looks at, in the order of its table's columns; all of it causal."""

_HINGES: Final[dict[str, tuple[float, ...]]] = {
    "speech_s": (0.5, 1.0, 1.5, 2.2, 3.0, 4.0),
    "gap_s": (0.2, 0.4, 0.7),
    "segments": (1.0, 2.0, 4.0),
    "current_s": (0.8, 1.6, 2.6),
    "longest_s": (0.8, 1.6, 2.6),
    "longest_gap_s": (0.4, 0.8),
}
_CAPS = np.array([6.0, 1.5, 6.0, 4.0, 4.0, 4.0, 2.0])


@dataclass(frozen=True, slots=True)
class TimingModel:
    """Weights over `expand`, and where they come from."""

    version: str
    weights: NDArray[np.float64]
    bias: float

    def machine(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log odds of "machine" for rows of `FEATURES`."""
        return np.asarray(expand(table) @ self.weights + self.bias)


def expand(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of `FEATURES` as piecewise linear terms: the value, and what is past a hinge."""
    capped = np.minimum(table, _CAPS)
    terms = [capped]
    for name, hinges in _HINGES.items():
        column = capped[:, FEATURES.index(name)]
        terms.append(np.maximum(column[:, None] - np.array(hinges), 0.0))
    return np.concatenate(terms, axis=1)


@cache
def default_model() -> TimingModel:
    """Return the model that ships with the package."""
    text = resources.files("dialer.screening").joinpath("timing_model.json").read_text("utf-8")
    stored = json.loads(text)
    return TimingModel(stored["version"], np.array(stored["weights"]), float(stored["bias"]))
