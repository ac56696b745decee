"""How many calls to start now: the mode's own rule, then the guard, then the caps.

`decide` is a function of its argument: production, the simulator and the replay of a stored
decision call it with the same `Snapshot` and get the same `Decision`. Its `bound` names the limit
that decided; at a tie the rule in force is named, not the cap that happens to equal it. What it
computes is in `kernel.py`; here a snapshot goes in and the evidence comes out.
"""

from __future__ import annotations

from pacing import kernel
from pacing.durations import mean_s
from pacing.guard import Restraint, WindowStanding, restraint, stand
from pacing.kernel import Census, Choice, Outlook
from pacing.net_demand import waves
from pacing.reading import (
    read_calls,
    read_history,
    read_settings,
    read_staff,
    read_windows,
)
from pacing.types import Bound, Decision, Mode, Snapshot

Evidence = dict[str, float | int | str | list[float] | None]

_BOUNDS = tuple(Bound)
_CAPS = (Bound.LINES_PER_AGENT, Bound.TRUNK_ROOM, Bound.CALLS_PER_SECOND, Bound.LIST)


def decide(snapshot: Snapshot) -> Decision:
    """Return how many calls to start now, which limit decided it, and the numbers behind it."""
    staff, calls = read_staff(snapshot), read_calls(snapshot)
    census = kernel.take_census(staff, calls)
    standings = tuple(stand(window) for window in snapshot.windows)
    held_back = restraint(snapshot, standings)
    forbidden = held_back.bound if held_back is not None else None
    settings = read_settings(snapshot, forbidden)
    evidence = _circumstances(snapshot, census, standings)
    if not (staff.share > 0.0).any():
        return Decision(0, Bound.NO_AGENTS, evidence)
    limits = kernel.caps(settings, census, calls)
    evidence |= {f"cap_{cap.value}": int(n) for cap, n in zip(_CAPS, limits, strict=True)}
    if snapshot.policy.mode in (Mode.PREVIEW, Mode.PROGRESSIVE):
        choice = kernel.choose_one_to_one(settings, census, limits)
        return Decision(int(choice.calls), _BOUNDS[choice.bound], evidence)

    most = kernel.most_worth_asking(settings, census, limits)
    windows = read_windows(snapshot.windows, snapshot.remaining_shift_s)
    learned = read_history(snapshot.history, snapshot.policy)
    outlook = kernel.look_ahead(staff, calls, windows, learned, settings, most, waves())
    choice = kernel.choose(settings, census, limits, windows, outlook, most)
    evidence |= _restraints(choice, held_back) | _expectations(outlook, choice)
    return Decision(int(choice.calls), _BOUNDS[choice.bound], evidence)


def _circumstances(
    snapshot: Snapshot, census: Census, standings: tuple[WindowStanding, ...]
) -> Evidence:
    """Return the evidence every decision carries."""
    return {
        "mode": snapshot.policy.mode.value,
        "agents": float(census.enrolled),
        "ready": float(census.ready),
        "pending": census.pending,
        "waiting": census.waiting,
        "windows": "; ".join(str(standing) for standing in standings),
        "window_names": ", ".join(standing.window.name for standing in standings),
        "window_answered": [standing.window.answered for standing in standings],
        "window_abandoned": [standing.window.abandoned for standing in standings],
        "window_headroom": [standing.headroom for standing in standings],
        "held": ", ".join(standing.window.name for standing in standings if standing.held),
    }


def _restraints(choice: Choice, held_back: Restraint | None) -> Evidence:
    """Return what the mode wanted and what the guard made of it."""
    told: Evidence = {"wanted": int(choice.wanted)}
    if choice.allowed >= 0:
        told["cap_guard"] = int(choice.allowed)
    if held_back is not None:
        told["guard"] = held_back.reason
    return told


def _expectations(outlook: Outlook, choice: Choice) -> Evidence:
    """Return what the model expects; lists run over the moments in `moments_s`."""
    net, supply, threshold = outlook.net, outlook.supply, outlook.threshold
    return {
        "p_hat": float(outlook.answers.p),
        "p_doubt": float(outlook.answers.doubt),
        "moments_s": outlook.moments_s.tolist(),
        "expected_answers": (net.answers + choice.calls * net.per_call).tolist(),
        "expected_free": (supply.ready_now + net.answers - net.mean).tolist(),
        "loss_last_call": kernel.loss(outlook, choice.calls - 1) if choice.calls > 0 else 0.0,
        "loss_next_call": kernel.loss(outlook, choice.calls),
        "losses_at_most": int(kernel.loss_quantile(net, supply.ready_now, choice.calls)),
        "theta": float(threshold.theta),
        "theta_at_dial": float(choice.theta_at_dial),
        "kappa": float(threshold.kappa),
        "window_rate": threshold.rates.tolist(),
        "window_theta": threshold.thetas.tolist(),
        "talk_mean_s": mean_s(supply.talk),
        "wrap_up_mean_s": mean_s(supply.wrap_up),
    }
