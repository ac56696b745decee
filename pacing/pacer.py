"""How many calls to start now: the mode's own rule, then the guard, then the caps.

`decide` is a function of its argument: production, the simulator and the replay of a stored
decision call it with the same `Snapshot` and get the same `Decision`. Its `bound` names the limit
that decided; at a tie the rule in force is named, not the cap that happens to equal it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import assert_never

from pacing.census import Census, take_census, whole
from pacing.guard import Restraint, WindowStanding, restraint, stand
from pacing.predictive import Outlook, look_ahead
from pacing.types import Bound, Decision, GuardMode, Mode, Snapshot

Evidence = dict[str, float | int | str | list[float] | None]


@dataclass(frozen=True, slots=True)
class Limit:
    """One upper bound on the calls to start now."""

    bound: Bound
    calls: int


def decide(snapshot: Snapshot) -> Decision:
    """Return how many calls to start now, which limit decided it, and the numbers behind it."""
    census = take_census(snapshot)
    standings = tuple(stand(window) for window in snapshot.windows)
    evidence = _circumstances(snapshot, census, standings)
    if not census.anyone:
        return Decision(0, Bound.NO_AGENTS, evidence)
    caps = _caps(snapshot, census)
    evidence |= {f"cap_{cap.bound.value}": cap.calls for cap in caps}
    # One beyond the tightest cap is far enough to tell which limit decides.
    most = max(census.one_to_one, min(ceil(census.enrolled), *(cap.calls + 1 for cap in caps)))

    outlook: Outlook | None = None
    match snapshot.policy.mode:
        case Mode.PREVIEW:  # agents start their own calls
            rule = Limit(Bound.AGENTS, 0)
        case Mode.PROGRESSIVE:
            rule = Limit(Bound.AGENTS, census.one_to_one)
        case Mode.POWER:
            spare = max(0.0, census.ready - census.waiting)
            wanted = Limit(Bound.RATIO, whole(snapshot.policy.ratio * spare) - census.pending)
            if snapshot.policy.guard is GuardMode.PREDICTIVE:
                most = max(most, min(wanted.calls, *(cap.calls + 1 for cap in caps)))
                outlook = look_ahead(snapshot, most=most)
            rule = _guarded(wanted, snapshot, census, standings, outlook, most, evidence)
        case Mode.PREDICTIVE:
            outlook = look_ahead(snapshot, most=most)
            calls = outlook.calls_within_threshold(least=census.one_to_one, most=most)
            at_most_one_each = calls >= ceil(census.enrolled)
            wanted = Limit(Bound.AGENTS if at_most_one_each else Bound.LOSS_THRESHOLD, calls)
            rule = _guarded(wanted, snapshot, census, standings, outlook, most, evidence)
        case mode:
            assert_never(mode)

    # min() keeps the first of equals: the rule in force before the caps.
    deciding = min((rule, *caps), key=lambda limit: limit.calls)
    originate = max(0, deciding.calls)
    if outlook is not None:
        evidence |= _expectations(outlook, originate, deciding.bound)
    return Decision(originate, deciding.bound, evidence)


def _guarded(
    wanted: Limit,
    snapshot: Snapshot,
    census: Census,
    standings: tuple[WindowStanding, ...],
    outlook: Outlook | None,
    most: int,
    evidence: Evidence,
) -> Limit:
    """Lower *wanted* to what the guard allows, asking about *most* calls; never raise it."""
    evidence["wanted"] = wanted.calls
    held_back: Restraint | None = restraint(snapshot, standings)
    if held_back is not None:
        evidence["cap_guard"] = census.one_to_one
        evidence["guard"] = held_back.reason
        return Limit(held_back.bound, min(wanted.calls, census.one_to_one))
    if wanted.calls <= census.one_to_one:
        return wanted
    room = min(standing.headroom for standing in standings)
    if outlook is None or snapshot.policy.guard is GuardMode.ABSOLUTE:
        # Every call beyond the ready agents is taken as lost (compliance PACE-2).
        spare = whole(census.ready) - census.waiting - census.pending
        allowed = max(census.one_to_one, room + spare)
    else:
        allowed = outlook.calls_within_headroom(
            room, least=census.one_to_one, most=min(wanted.calls, most)
        )
    evidence["cap_guard"] = allowed
    return wanted if wanted.calls <= allowed else Limit(Bound.GUARD, allowed)


def _caps(snapshot: Snapshot, census: Census) -> tuple[Limit, ...]:
    """Return the caps that no rule may exceed."""
    lines = whole(snapshot.policy.max_lines_per_agent * census.enrolled)
    channels = sum(max(0, trunk.channels) for trunk in snapshot.trunks)
    startable = sum(max(0, min(trunk.channels, trunk.calls_now)) for trunk in snapshot.trunks)
    return (
        Limit(Bound.LINES_PER_AGENT, max(0, lines - census.in_flight)),
        Limit(Bound.TRUNK_ROOM, channels),
        Limit(Bound.CALLS_PER_SECOND, startable),
        Limit(Bound.LIST, max(0, snapshot.callable_leads)),
    )


def _circumstances(
    snapshot: Snapshot, census: Census, standings: tuple[WindowStanding, ...]
) -> Evidence:
    """Return the evidence every decision carries."""
    return {
        "mode": snapshot.policy.mode.value,
        "agents": census.enrolled,
        "ready": census.ready,
        "pending": census.pending,
        "waiting": census.waiting,
        "windows": "; ".join(str(standing) for standing in standings),
        "window_names": ", ".join(standing.window.name for standing in standings),
        "window_answered": [standing.window.answered for standing in standings],
        "window_abandoned": [standing.window.abandoned for standing in standings],
        "window_headroom": [standing.headroom for standing in standings],
        "held": ", ".join(standing.window.name for standing in standings if standing.held),
    }


def _expectations(outlook: Outlook, originate: int, bound: Bound) -> Evidence:
    """Return what the model expects; lists run over the moments in `moments_s`."""
    last = outlook.loss(originate - 1) if originate > 0 else 0.0
    theta = outlook.threshold.theta
    return {
        "p_hat": outlook.answers.p,
        "p_doubt": outlook.answers.doubt,
        "moments_s": outlook.moments_s.tolist(),
        "expected_answers": (outlook.expected_answers + originate * outlook.net.per_call).tolist(),
        "expected_free": outlook.expected_free.tolist(),
        "loss_last_call": last,
        "loss_next_call": outlook.loss(originate),
        "losses_at_most": outlook.loss_quantile(originate),
        "theta": theta,
        # What the calls of this decision really risk: less than theta when another limit decided.
        "theta_at_dial": theta if bound is Bound.LOSS_THRESHOLD else min(theta, last),
        "kappa": outlook.threshold.kappa,
        "window_rate": list(outlook.threshold.rates),
        "window_theta": list(outlook.threshold.thetas),
        "talk_mean_s": outlook.supply.talk.mean_s(),
        "wrap_up_mean_s": outlook.supply.wrap_up.mean_s(),
    }
