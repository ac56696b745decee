"""What a benchmark found beside what it had to reach: one JSON object, or a table (design §8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

_WIDTH = 34


class Relation(StrEnum):
    """Which way a target is met."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric has to reach."""

    relation: Relation
    value: float

    def is_met(self, measured: float) -> bool:
        """Say whether *measured* reaches it; exactly at the target counts."""
        if self.relation is Relation.AT_MOST:
            return measured <= self.value
        return measured >= self.value


def at_least(value: float) -> Target:
    """Return the target that a metric is *value* or more."""
    return Target(Relation.AT_LEAST, value)


def at_most(value: float) -> Target:
    """Return the target that a metric is *value* or less."""
    return Target(Relation.AT_MOST, value)


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one benchmark; `command` repeats it."""

    benchmark: str
    command: str
    seed: int
    machine: str
    metrics: Mapping[str, float]
    targets: Mapping[str, Target]

    @property
    def is_met(self) -> bool:
        """Say whether every target is met; a metric that was not measured misses its target."""
        return not self.missed

    @property
    def missed(self) -> list[str]:
        """Return the metrics that miss their targets."""
        return [
            name
            for name, target in self.targets.items()
            if name not in self.metrics or not target.is_met(self.metrics[name])
        ]

    def to_json(self) -> str:
        """Return the one object of design §8, on one line."""
        return json.dumps(
            {
                "benchmark": self.benchmark,
                "command": self.command,
                "seed": self.seed,
                "machine": self.machine,
                "metrics": {name: rounded(value) for name, value in self.metrics.items()},
                "targets": {
                    name: [target.relation.value, float(target.value)]
                    for name, target in self.targets.items()
                },
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the report that *text* holds; raises `ValueError` for anything else."""
        try:
            held: dict[str, Any] = json.loads(text)
            return cls(
                benchmark=str(held["benchmark"]),
                command=str(held["command"]),
                seed=int(held["seed"]),
                machine=str(held["machine"]),
                metrics={str(name): float(value) for name, value in held["metrics"].items()},
                targets={
                    str(name): Target(Relation(relation), float(value))
                    for name, (relation, value) in held["targets"].items()
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no report of a benchmark: {error!r}") from None

    def to_table(self) -> str:
        """Return the report for people: metrics with a target first, each with its verdict."""
        lines = [f"{self.benchmark}   seed {self.seed}   {self.command}", f"  {self.machine}"]
        for name, target in self.targets.items():
            wanted = f"{target.relation} {target.value:g}"
            if name not in self.metrics:
                lines.append(f"  {name:{_WIDTH}} {'-':>12}   {wanted:>9}   NOT MEASURED")
                continue
            verdict = "met" if target.is_met(self.metrics[name]) else "MISSED"
            lines.append(
                f"  {name:{_WIDTH}} {_shown(self.metrics[name])}   {wanted:>9}   {verdict}"
            )
        for name, value in self.metrics.items():
            if name not in self.targets:
                lines.append(f"  {name:{_WIDTH}} {_shown(value)}")
        return "\n".join(lines)


def rounded(value: float) -> float:
    """Return *value* with four significant digits, and never fewer than its whole part."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")


def _shown(value: float) -> str:
    return f"{rounded(value):>12,.10g}"
