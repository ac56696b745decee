"""Which line process calls an agent's phone.

A campaign's agent legs share as few line processes as fit, because its calls start where its agents
are (design §2): the process that already holds most of this agent's colleagues is preferred while
it has room for the leg and the calls that come with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


# Lines an agent leg brings along: itself, the call on it, and a few ringing ahead.
CALLS_PER_AGENT = 4

_CHOICES = """
SELECT p.id, p.capacity,
       count(DISTINCT s.id) AS legs,
       count(DISTINCT s.id) FILTER (WHERE mine.agent_id IS NOT NULL) AS colleagues
FROM process p
LEFT JOIN agent_session s ON s.process_id = p.id AND s.agent_id <> $1
LEFT JOIN agent_campaign theirs ON theirs.agent_id = s.agent_id
LEFT JOIN agent_campaign mine ON mine.campaign_id = theirs.campaign_id AND mine.agent_id = $1
WHERE p.kind = 'lines'
  AND p.ended_at IS NULL
  AND NOT p.draining
  AND p.lease_until > clock_timestamp()
GROUP BY p.id, p.capacity
ORDER BY p.id
"""


async def line_process_for(pool: Pool, agent_id: UUID) -> UUID | None:
    """Return the line process for this agent's phone leg, None when none is running."""
    rows = await pool.fetch(_CHOICES, agent_id)
    return choose([(row["id"], row["capacity"], row["legs"], row["colleagues"]) for row in rows])


def choose(processes: list[tuple[UUID, int, int, int]]) -> UUID | None:
    """Return the best of (id, capacity, agent legs, colleagues' legs).

    Among those with room, most colleagues, then fewest legs; without any room, the least crowded:
    an agent who cannot work at once may still log in.
    """
    if not processes:
        return None

    def room(process: tuple[UUID, int, int, int]) -> int:
        _, capacity, legs, _ = process
        return capacity - legs * CALLS_PER_AGENT

    fitting = [process for process in processes if room(process) >= CALLS_PER_AGENT]
    if fitting:
        return max(fitting, key=lambda process: (process[3], -process[2]))[0]
    return max(processes, key=room)[0]
