"""What a pacer sees and what it answers.

A `Snapshot` is everything known about one campaign at one instant; a `Decision` is how many calls
to start now and why. Both are plain values: production, the simulator and a replay of a stored
decision pass the same objects. Times are seconds. No phone number ever enters this package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    """How calls are started for agents."""

    PREVIEW = "preview"
    PROGRESSIVE = "progressive"
    POWER = "power"
    PREDICTIVE = "predictive"


class GuardMode(StrEnum):
    """How the abandonment guard treats calls already in flight.

    `PREDICTIVE` allows over-dialing while the losses so far plus the 99.9 % quantile of losses
    among calls in flight stay inside the limit; `ABSOLUTE` assumes every call in flight is lost
    (compliance PACE-2).
    """

    PREDICTIVE = "predictive"
    ABSOLUTE = "absolute"


class AgentStage(StrEnum):
    """Where one logged-in agent stands."""

    READY = "ready"
    RESERVED = "reserved"
    TALKING = "talking"
    WRAP_UP = "wrap_up"
    PAUSED = "paused"


class Bound(StrEnum):
    """The limit that decided a `Decision`; exactly one per decision."""

    NO_AGENTS = "no_agents"
    AGENTS = "agents"
    RATIO = "ratio"
    LOSS_THRESHOLD = "loss_threshold"
    GUARD = "guard"
    LAW = "law"
    STALE = "stale"
    LINES_PER_AGENT = "lines_per_agent"
    TRUNK_ROOM = "trunk_room"
    CALLS_PER_SECOND = "calls_per_second"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class AgentView:
    """One logged-in agent.

    `elapsed_s` counts since the stage began. `leaving` says the agent has announced a pause or a
    log-out and takes no call after this one. An agent shared by k campaigns appears in each of
    their snapshots with `share` = 1/k when idle, so that the shares of all snapshots add up to one.
    """

    stage: AgentStage
    elapsed_s: float
    leaving: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call attempt that nobody has answered yet; `elapsed_s` since it was claimed or dialed.

    `has_agent` says an agent is already reserved for it, so it needs none of the ready ones.
    """

    elapsed_s: float
    trunk: str = ""
    has_agent: bool = False


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """An answered call not yet joined to an agent; `elapsed_s` since the answer.

    `has_agent` says an agent is already reserved for it, so it needs none of the ready ones.
    """

    elapsed_s: float
    person_probability: float = 1.0
    has_agent: bool = False


@dataclass(frozen=True, slots=True)
class TrunkRoom:
    """What one trunk can take now: free channels, and calls its calls-per-second cap allows now."""

    trunk: str
    channels: int
    calls_now: int


@dataclass(frozen=True, slots=True)
class WindowCount:
    """Abandonment so far in one accounting window.

    `answered` (H) counts calls answered by a person, `abandoned` (A) those among them not given to
    an agent in time. `limit_ppm` and `target_ppm` are parts per million (3 % = 30_000), integers
    because a legal comparison must not depend on floats. `remaining_s` is the time left in the
    window, None when it has no end. `held` carries the guard's hysteresis from one decision to the
    next: true when the previous decision listed this window in `evidence["held"]`.
    """

    name: str
    answered: int
    abandoned: int
    limit_ppm: int
    target_ppm: int
    remaining_s: float | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """Events and exposure per bin of `width_s` seconds, enough to read hazards with censoring.

    `events[i]` ended in bin i, `exposed[i]` were still running when bin i began.
    """

    width_s: float
    events: tuple[float, ...]
    exposed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What the campaign has learned, as sufficient statistics (recent events weigh more).

    `live` and `not_live` are discounted counts of resolved attempts; the histograms are ring time
    to a live answer, ring time to any other end, talk time, wrap-up time. `loss_rate` is kappa:
    people lost per unit of loss threshold in force when they were dialed (None: not known yet).
    `answer_rate_prior` is what the list or an earlier campaign suggests. `estimators.Learner`
    produces all of it.
    """

    live: float = 0.0
    not_live: float = 0.0
    ring_live: Histogram | None = None
    ring_other: Histogram | None = None
    talk: Histogram | None = None
    wrap_up: Histogram | None = None
    dialed: int = 0
    loss_rate: float | None = None
    answer_rate_prior: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The campaign's own pacing settings."""

    mode: Mode = Mode.PROGRESSIVE
    ratio: float = 1.0
    max_lines_per_agent: float = 8.0
    guard: GuardMode = GuardMode.PREDICTIVE
    connect_limit_s: float = 2.0
    ring_timeout_s: float = 22.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One campaign at one instant, read in one database view.

    `callable_leads` bounds how many attempts could be claimed now. `over_dialing_forbidden` names
    the rule when law or settings force one call per idle agent. `age_s` is how old the counts are;
    `clock_skew_s` how far this host's clock is from the database's.
    """

    at_s: float
    agents: tuple[AgentView, ...] = ()
    pending: tuple[PendingCall, ...] = ()
    waiting: tuple[WaitingCall, ...] = ()
    trunks: tuple[TrunkRoom, ...] = ()
    windows: tuple[WindowCount, ...] = ()
    callable_leads: int = 0
    history: History = field(default_factory=History)
    policy: Policy = field(default_factory=Policy)
    remaining_shift_s: float | None = None
    over_dialing_forbidden: str | None = None
    age_s: float = 0.0
    clock_skew_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """How many calls to start now, which limit decided it, and the numbers behind it.

    `evidence` holds JSON values only, so a stored decision can be read and compared.
    """

    originate: int
    bound: Bound
    evidence: dict[str, float | int | str | list[float] | None]
