"""What the engine expected of the calls it started lately, beside what came of them.

Every decision that started calls says how likely a person is to answer, and what share of those it
expected to lose: kappa (losses per unit of the loss threshold) times the threshold at dialing. Only
calls old enough to be over are counted, so both sides speak of the same calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

SPAN = timedelta(minutes=5)
# Ringing, screening and the wait for an agent are over by then.
SETTLED = timedelta(seconds=45)
# Talks that began this long before the span may still fill it.
LONGEST_TALK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure expected and observed; None where nobody could say."""

    expected: float | None
    observed: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The calls of `minutes` of dialing: how many were started, and what of them.

    `answered` and `lost` are counts, the others shares; `occupancy` is of the agents the engine
    counted, wrap-up included.
    """

    minutes: float
    calls: int
    answer_rate: Pair
    answered: Pair
    lost: Pair
    abandonment: Pair
    occupancy: Pair


# Decisions that started calls, with what they expected of them.
_EXPECTED = """
SELECT sum(claimed)::float8 AS calls,
       (sum(claimed) FILTER (WHERE evidence ? 'p_hat'))::float8 AS foreseen,
       sum(claimed * (evidence->>'p_hat')::float8) AS answered,
       sum(claimed * (evidence->>'p_hat')::float8 * (evidence->>'kappa')::float8
           * (evidence->>'theta_at_dial')::float8) AS lost,
       avg((evidence->>'talk_mean_s')::float8 + (evidence->>'wrap_up_mean_s')::float8)
           AS handling_s,
       min(decided_at) AS first, max(decided_at) AS last
FROM decision
WHERE campaign_id = $1 AND decided_at > $2 AND decided_at <= $3 AND claimed > 0
"""

# Agents counted by the engine, on average over its decisions.
_AGENTS = """
SELECT avg((evidence->>'agents')::float8)
FROM decision
WHERE campaign_id = $1 AND decided_at > $2 AND decided_at <= $3
"""

# What came of the calls started in the same span, closed or not.
_OBSERVED = """
SELECT count(*) AS calls,
       count(*) FILTER (WHERE answered) AS answered,
       count(*) FILTER (WHERE abandoned) AS lost
FROM (
    SELECT answered_by_person AS answered, abandoned
    FROM attempt
    WHERE campaign_id = $1 AND claimed_at > $2 AND claimed_at <= $3
    UNION ALL
    SELECT joined_at IS NOT NULL, false
    FROM live_attempt
    WHERE campaign_id = $1 AND claimed_at > $2 AND claimed_at <= $3
) a
"""

# Agents' seconds of talk and wrap-up inside the span.
_BUSY = """
SELECT sum(extract(epoch FROM least(until, $3) - greatest(joined_at, $2)))::float8
FROM (
    SELECT joined_at, closed_at AS until
    FROM attempt
    WHERE campaign_id = $1 AND claimed_at > $4 AND claimed_at <= $3
      AND joined_at < $3 AND closed_at > $2
    UNION ALL
    SELECT joined_at, $3
    FROM live_attempt
    WHERE campaign_id = $1 AND joined_at < $3
) a
"""


async def read_forecast(
    connection: Connection, campaign_id: UUID, *, at: datetime, since: datetime
) -> Forecast | None:
    """Return expected against observed for the span that ends `SETTLED` before *at*.

    None when no call was started in it. Call it in one read transaction.
    """
    end = at - SETTLED
    start = max(since, end - SPAN)
    if start >= end:
        return None
    expected = await connection.fetchrow(_EXPECTED, campaign_id, start, end)
    if expected is None or not expected["calls"]:
        return None
    observed = await connection.fetchrow(_OBSERVED, campaign_id, start, end)
    agents = await connection.fetchval(_AGENTS, campaign_id, start, end)
    busy_s = await connection.fetchval(_BUSY, campaign_id, start, end, start - LONGEST_TALK)
    calls = observed["calls"] if observed else 0
    answered = observed["answered"] if observed else 0
    lost = observed["lost"] if observed else 0
    foreseen, will_answer = expected["foreseen"], expected["answered"]
    will_lose, handling_s = expected["lost"], expected["handling_s"]
    seconds = (end - start).total_seconds()
    staffed_s = (agents or 0.0) * seconds
    load = None
    if staffed_s and will_answer is not None and handling_s is not None:
        load = min(1.0, (will_answer - (will_lose or 0.0)) * handling_s / staffed_s)
    return Forecast(
        minutes=seconds / 60,
        calls=calls,
        answer_rate=Pair(_share(will_answer, foreseen), _share(answered, calls)),
        answered=Pair(will_answer, float(answered)),
        lost=Pair(will_lose, float(lost)),
        abandonment=Pair(_share(will_lose, will_answer), _share(lost, answered)),
        occupancy=Pair(load, _share(busy_s or 0.0, staffed_s)),
    )


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
