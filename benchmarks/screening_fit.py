"""Fit the timing model of call screening, and say how it does on voices it never heard.

    python -m benchmarks.screening_fit [--seed N] [--takes N] [--write]

Synthetic speech only: the figures compare versions of the detector with each other. They are no
promise about live traffic.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

import dialer.screening
from benchmarks.screening_clips import Clip, clips
from benchmarks.screening_texts import TO_FIT, TO_JUDGE, VOICES_TO_FIT, VOICES_TO_JUDGE
from campaigns.model import Screening
from dialer.screening.detector import DetectorBank, Posterior
from dialer.screening.timing_model import FEATURES, TimingModel, expand

_STEP_BYTES = 1600  # 100 ms
_RIDGE = 0.02
_AFTER_S, _UPTO_S, _LATER_WEIGHT = 1.0, 10.0, 0.3

Table = NDArray[np.float64]


def main() -> int:
    """Fit on one half, judge by the other, print both, and store the weights if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screening_fit", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--takes", type=int, default=6, help="calls made of each text")
    parser.add_argument("--write", action="store_true", help="store the weights in the package")
    options = parser.parse_args()
    heard = list(clips(TO_FIT, VOICES_TO_FIT, seed=options.seed, takes=options.takes))
    table, labels, weights = examples(heard)
    model = fit(table, labels, weights, version=f"synthetic-{options.seed}")
    unheard = list(clips(TO_JUDGE, VOICES_TO_JUDGE, seed=options.seed + 1, takes=options.takes))
    for name, judged in (("fitted on", heard), ("never heard", unheard)):
        print(name, json.dumps(verdicts(judged, model), indent=1))
    if options.write:
        stored = {
            "version": model.version,
            "made_by": f"python -m benchmarks.screening_fit --seed {options.seed}"
            f" --takes {options.takes} --write",
            "made_from": f"{len(heard)} synthetic calls, espeak-ng, no live traffic",
            "features": FEATURES,
            "bias": round(model.bias, 4),
            "weights": [round(weight, 4) for weight in model.weights.tolist()],
        }
        package = Path(dialer.screening.__file__).parent
        (package / "timing_model.json").write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    return 0


def course(heard: Sequence[Clip], model: TimingModel | None = None) -> list[list[Posterior]]:
    """Return what is believed about each call after each 100 ms, all calls heard side by side."""
    bank = DetectorBank(len(heard), model=model)
    streams = {bank.open(): clip.pcm for clip in heard}
    believed: dict[int, list[Posterior]] = {stream: [] for stream in streams}
    for at in range(0, max(len(clip.pcm) for clip in heard), _STEP_BYTES):
        audio = {s: pcm[at : at + _STEP_BYTES] for s, pcm in streams.items() if at < len(pcm)}
        for stream, posterior in bank.feed(audio).items():
            believed[stream].append(posterior)
    return [believed[stream] for stream in streams]


def examples(heard: Sequence[Clip]) -> tuple[Table, Table, Table]:
    """Return feature rows from the first speech on, their labels and weights.

    Each call weighs the same however long it is, and so do the two classes.
    """
    rows: list[list[float]] = []
    labels: list[float] = []
    weights: list[float] = []
    persons = sum(clip.is_person for clip in heard)
    for clip, believed in zip(heard, course(heard), strict=True):
        told = [
            p for p in believed if p.speech_s > 0 and p.heard_s <= clip.speech_start_s + _UPTO_S
        ]
        rows += [[posterior.features[name] for name in FEATURES] for posterior in told]
        labels += [0.0 if clip.is_person else 1.0] * len(told)
        share = persons if clip.is_person else len(heard) - persons
        # What follows the greeting tells late evidence from a person's next words.
        upto = clip.greeting_end_s + _AFTER_S
        own = np.array([1.0 if p.heard_s <= upto else _LATER_WEIGHT for p in told])
        weights += (own / max(1.0, own.sum()) / share).tolist()
    return np.array(rows), np.array(labels), np.array(weights)


def fit(table: Table, labels: Table, weights: Table, *, version: str) -> TimingModel:
    """Return the logistic regression of *labels* on the expanded *table*, ridge on scaled terms."""
    terms = expand(table)
    scale = terms.std(axis=0) + 1e-6
    scaled = terms / scale
    weights = weights / weights.sum()

    def loss(point: Table) -> tuple[float, Table]:
        logit = scaled @ point[:-1] + point[-1]
        p = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        cost = -(weights * (labels * np.log(p + 1e-12) + (1 - labels) * np.log(1 - p + 1e-12)))
        slope = weights * (p - labels)
        ridge = np.append(2 * _RIDGE * 0.01 * point[:-1], 0.0)
        gradient = np.append(scaled.T @ slope, slope.sum()) + ridge
        return float(cost.sum() + _RIDGE * 0.01 * point[:-1] @ point[:-1]), gradient

    start = np.zeros(scaled.shape[1] + 1)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    return TimingModel(version, found.x[:-1] / scale, float(found.x[-1]))


def verdicts(heard: Sequence[Clip], model: TimingModel) -> dict[str, object]:
    """Return error rates and times of the first verdict, and of machines found late."""
    counted: dict[str, Counter[str]] = {}
    person_after, machine_after, found_late, wrongly_late = [], [], 0, 0
    for clip, believed in zip(heard, course(heard, model), strict=True):
        first, last = _first_and_last(believed)
        counted.setdefault(clip.kind, Counter())[first.state.value] += 1
        if clip.is_person:
            person_after.append(first.heard_s - clip.greeting_end_s)
            wrongly_late += first.state is not last.state and last.state is Screening.MACHINE
        elif first.state is Screening.MACHINE:
            machine_after.append(first.heard_s - clip.speech_start_s)
        else:
            found_late += last.state is Screening.MACHINE
    people = sum(clip.is_person for clip in heard)
    machines = len(heard) - people
    lost = sum(c[Screening.MACHINE] for kind, c in counted.items() if kind.startswith("person"))
    missed = machines - sum(
        c[Screening.MACHINE] for kind, c in counted.items() if kind.startswith("machine")
    )
    return {
        "person_to_machine": lost / people,
        "person_to_machine_late": wrongly_late / people,
        "machine_to_person": missed / machines,
        "machine_to_person_after_late_evidence": (missed - found_late) / machines,
        "person_verdict_after_greeting_s": _quantiles(person_after),
        "machine_verdict_after_onset_s": _quantiles(machine_after),
        "counts": {kind: dict(counts) for kind, counts in counted.items()},
    }


def _first_and_last(believed: Sequence[Posterior]) -> tuple[Posterior, Posterior]:
    """Return the first verdict and what is believed 6 s later."""
    first = next((posterior for posterior in believed if posterior.is_final), believed[-1])
    last = [posterior for posterior in believed if posterior.heard_s <= first.heard_s + 6.0]
    return first, last[-1]


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {f"p{q}": round(float(np.percentile(seconds, q)), 2) for q in (50, 90, 95, 99)}


if __name__ == "__main__":
    sys.exit(main())
