"""A snapshot as the arrays the kernel works on."""

from __future__ import annotations

import numpy as np

from pacing.answer_rate import DEFAULT_ANSWER_RATE
from pacing.durations import Duration, Tallies, Tally, prior_of, tally_of
from pacing.guard import Windows
from pacing.kernel import Calls, Learned, Settings
from pacing.supply import Staff
from pacing.threshold import PRIOR_LOSS_RATE
from pacing.types import (
    AgentStage,
    Bound,
    GuardMode,
    History,
    Mode,
    Policy,
    Snapshot,
    WindowCount,
)

_STAGE = {stage: number for number, stage in enumerate(AgentStage)}
_MODE = {mode: number for number, mode in enumerate(Mode)}
_BOUND = {bound: number for number, bound in enumerate(Bound)}
_DAY_S = 86_400.0


def read_staff(snapshot: Snapshot) -> Staff:
    """Return the agents; who is paused or leaving has no share."""
    staff, paused = snapshot.agents, AgentStage.PAUSED
    return Staff(
        np.array([_STAGE[agent.stage] for agent in staff], dtype=np.int64),
        np.array([agent.elapsed_s for agent in staff], dtype=np.float64),
        np.array(
            [0.0 if agent.leaving or agent.stage is paused else agent.share for agent in staff],
            dtype=np.float64,
        ),
    )


def read_calls(snapshot: Snapshot) -> Calls:
    """Return the calls nobody has joined yet."""
    pending, waiting = snapshot.pending, snapshot.waiting
    return Calls(
        np.array([call.elapsed_s for call in pending], dtype=np.float64),
        np.array([not call.has_agent for call in pending], dtype=np.bool_),
        np.array(
            [call.person_probability for call in waiting if not call.has_agent], dtype=np.float64
        ),
        len(pending) + len(waiting),
    )


def read_windows(windows: tuple[WindowCount, ...], shift_s: float | None) -> Windows:
    """Return the accounting windows; the shift ends a window of at most a day."""
    return Windows(
        np.array(
            [(w.answered, w.abandoned, w.limit_ppm, w.target_ppm) for w in windows], dtype=np.int64
        ).reshape(-1, 4),
        np.array([_time_left_s(window, shift_s) for window in windows], dtype=np.float64),
        np.array([window.held for window in windows], dtype=np.bool_),
    )


def read_history(history: History, policy: Policy) -> Learned:
    """Return what was learned, and what stands in for it in a campaign's first minutes."""
    tallies = Tallies(
        tally_of(Duration.RING_LIVE, history.ring_live),
        tally_of(Duration.RING_OTHER, history.ring_other),
        tally_of(Duration.TALK, history.talk),
        tally_of(Duration.WRAP_UP, history.wrap_up),
    )
    prior, kappa = history.answer_rate_prior, history.loss_rate
    return Learned(
        float(history.live),
        float(history.not_live),
        DEFAULT_ANSWER_RATE if prior is None else float(prior),
        PRIOR_LOSS_RATE if kappa is None else float(kappa),
        tallies,
        priors_for(tallies, policy.ring_timeout_s),
    )


def priors_for(tallies: Tallies, ring_timeout_s: float) -> Tallies:
    """Return the priors that match *tallies* bin by bin."""

    def prior(duration: Duration, tally: Tally) -> Tally:
        return prior_of(duration, tally.width_s, tally.events.size, ring_timeout_s)

    return Tallies(
        prior(Duration.RING_LIVE, tallies.ring_live),
        prior(Duration.RING_OTHER, tallies.ring_other),
        prior(Duration.TALK, tallies.talk),
        prior(Duration.WRAP_UP, tallies.wrap_up),
    )


def read_settings(snapshot: Snapshot, restraint: Bound | None) -> Settings:
    """Return the policy and the caps of this instant; *restraint* forbids over-dialing."""
    policy = snapshot.policy
    return Settings(
        _MODE[policy.mode],
        float(policy.ratio),
        float(policy.max_lines_per_agent),
        policy.guard is GuardMode.ABSOLUTE,
        -1 if restraint is None else _BOUND[restraint],
        float(policy.connect_limit_s),
        snapshot.callable_leads,
        sum(max(0, trunk.channels) for trunk in snapshot.trunks),
        sum(max(0, min(trunk.channels, trunk.calls_now)) for trunk in snapshot.trunks),
    )


def _time_left_s(window: WindowCount, shift_s: float | None) -> float:
    """Return the dialing time left in *window*."""
    if window.remaining_s is None:
        return float("inf")
    if window.remaining_s <= _DAY_S and shift_s is not None:
        return min(window.remaining_s, shift_s)
    return window.remaining_s
