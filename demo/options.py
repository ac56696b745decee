"""How large and how fast a demo is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from siplab.plan_table import Pace


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; `minutes` caps the calling."""

    agents: int
    leads: int
    seed: int
    minutes: float
    fast: bool
    keep: bool
    picture: Path | None = None

    @property
    def tempo(self) -> Tempo:
        """Return the demo's speed."""
        return _FAST if self.fast else _USUAL


@dataclass(frozen=True, slots=True)
class Tempo:
    """Times in seconds of one demo: so short that many calls fit into a few minutes."""

    pace: Pace
    ring_timeout_s: float
    wrap_up_s: float
    busy_again_s: float
    look_every_s: float
    leads: int
    minutes: float


_USUAL = Tempo(
    pace=Pace(ring=1.6, talk=5.5, voicemail=8.0, silence=6.0),
    ring_timeout_s=16.0,
    wrap_up_s=1.0,
    busy_again_s=20.0,
    look_every_s=0.5,
    leads=300,
    minutes=8.0,
)
_FAST = Tempo(
    pace=Pace(ring=1.5, talk=5.0, voicemail=8.0, silence=6.0),
    # The profile allows no less than its minimum ring of 15 s and a second for the network.
    ring_timeout_s=15.0,
    wrap_up_s=1.0,
    busy_again_s=10.0,
    look_every_s=0.5,
    leads=50,
    minutes=4.0,
)
USUAL_LEADS, FAST_LEADS = _USUAL.leads, _FAST.leads
USUAL_MINUTES, FAST_MINUTES = _USUAL.minutes, _FAST.minutes


def options(
    *,
    agents: int,
    leads: int | None,
    seed: int,
    minutes: float | None,
    fast: bool,
    keep: bool,
    picture: Path | None,
) -> Options:
    """Return the options with what was not said filled in."""
    tempo = _FAST if fast else _USUAL
    return Options(
        agents=agents,
        leads=tempo.leads if leads is None else leads,
        seed=seed,
        minutes=tempo.minutes if minutes is None else minutes,
        fast=fast,
        keep=keep,
        picture=picture,
    )
