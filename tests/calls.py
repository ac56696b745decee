"""Rows that tests of the engine and its stores start from: a campaign with agents, leads, trunks.

Only what the tests need to exist; everything a test is about goes through the real stores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from campaigns.model import AgentState, AttemptState, CallTimers, new_id
from campaigns.stores import campaigns
from campaigns.stores.leases import Lease

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection, Pool

NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)


_AREAS = (201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224)


def number(index: int) -> str:
    """Return a US number reserved for fiction, distinct for each *index* up to 1,800."""
    return f"+1{_AREAS[index // 100]}5550{100 + index % 100}"


@dataclass(slots=True)
class World:
    """A database with one line process, one lab trunk and one campaign; more can be added."""

    db: Pool
    process_id: UUID = field(default_factory=new_id)
    trunk_id: UUID = field(default_factory=new_id)
    campaign_id: UUID = field(default_factory=new_id)
    list_id: UUID = field(default_factory=new_id)
    leads: int = 0
    agents: int = 0

    async def build(self, **campaign: Any) -> World:
        """Insert the first rows, and make room for events of the tests' own time."""
        await self.db.execute("SELECT ensure_partitions($1)", NOW)
        await self.add_process(self.process_id)
        await self.add_trunk(self.trunk_id)
        await self.db.execute(
            "INSERT INTO lead_list (id, name) VALUES ($1, 'list')",
            self.list_id,
        )
        await self.add_campaign(self.campaign_id, **campaign)
        return self

    async def add_process(
        self, process_id: UUID | None = None, *, kind: str = "lines", lease_s: float = 600
    ) -> UUID:
        """Insert a process whose lease runs for *lease_s* more seconds."""
        process_id = process_id or new_id()
        await self.db.execute(
            "INSERT INTO process (id, kind, host, pid, capacity, lease_until)"
            " VALUES ($1, $2, 'elsewhere', 1, 1000,"
            " clock_timestamp() + make_interval(secs => $3))",
            process_id,
            kind,
            float(lease_s),
        )
        return process_id

    async def add_trunk(self, trunk_id: UUID | None = None, **columns: Any) -> UUID:
        """Insert a lab trunk that can take a great deal."""
        trunk_id = trunk_id or new_id()
        values = {
            "name": f"trunk {trunk_id}",
            "kind": "lab",
            "host": "127.0.0.1",
            "channels": 1000,
            "calls_per_second": 1000.0,
            "calls_per_day": 1_000_000,
            "minutes_per_day": 1_000_000,
            "tokens": 1000.0,
            "tokens_at": NOW,
            "resumed_at": NOW - timedelta(days=1),
        } | columns
        await self._insert("trunk", id=trunk_id, **values)
        await self._insert("caller_id", id=new_id(), trunk_id=trunk_id, number="+12025550100")
        return trunk_id

    async def add_campaign(self, campaign_id: UUID | None = None, **columns: Any) -> UUID:
        """Insert a running campaign on the list and the first trunk."""
        campaign_id = campaign_id or new_id()
        values = {
            "name": f"campaign {campaign_id}",
            "seller": "Seller",
            "state": "running",
            "mode": "progressive",
            "profile": "lab",
            "regions": ["US"],
            "started_at": NOW - timedelta(hours=1),
        } | columns
        await self._insert("campaign", id=campaign_id, **values)
        await self._insert("campaign_trunk", campaign_id=campaign_id, trunk_id=self.trunk_id)
        await self._insert("campaign_list", campaign_id=campaign_id, list_id=self.list_id)
        return campaign_id

    async def add_leads(self, count: int) -> list[UUID]:
        """Insert open leads with one US number each."""
        ids = [new_id() for _ in range(count)]
        first, self.leads = self.leads, self.leads + count
        subjects = [new_id() for _ in ids]
        await self.db.execute("INSERT INTO subject (id) SELECT unnest($1::uuid[])", subjects)
        await self.db.execute(
            "INSERT INTO lead (id, list_id, subject_id)"
            " SELECT l.id, $1, l.subject FROM unnest($2::uuid[], $3::uuid[]) AS l(id, subject)",
            self.list_id,
            ids,
            subjects,
        )
        await self.db.execute(
            "INSERT INTO lead_number (id, lead_id, position, number, region, zones)"
            " SELECT n.id, n.lead, 0, n.number, 'US', ARRAY['America/New_York']"
            " FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n(id, lead, number)",
            [new_id() for _ in ids],
            ids,
            [number(first + index) for index in range(count)],
        )
        return ids

    async def add_agent(
        self, *, state: AgentState = AgentState.READY, since: datetime = NOW, **columns: Any
    ) -> UUID:
        """Insert a logged-in agent of the campaign; return the session. `priority` may be given."""
        self.agents += 1
        agent_id, session_id = new_id(), new_id()
        await self._insert(
            "agent",
            id=agent_id,
            name=f"agent {self.agents}",
            phone_kind="sip_uri",
            phone_address="sip:agent@127.0.0.1",
            token_hash="x",
        )
        await self._insert(
            "agent_campaign",
            agent_id=agent_id,
            campaign_id=columns.pop("campaign_id", self.campaign_id),
            priority=columns.pop("priority", 1),
        )
        values = {"process_id": self.process_id, "state": state, "state_since": since} | columns
        await self._insert("agent_session", id=session_id, agent_id=agent_id, **values)
        return session_id

    async def add_call(
        self, *, state: AttemptState = AttemptState.CLAIMED, at: datetime = NOW, **columns: Any
    ) -> UUID:
        """Insert a live attempt of a new lead, in *state*, all its times *at*."""
        (lead_id,) = await self.add_leads(1)
        await self.db.execute("UPDATE lead SET state = 'in_call' WHERE id = $1", lead_id)
        number_row = await self.db.fetchrow(
            "SELECT id, number FROM lead_number WHERE lead_id = $1", lead_id
        )
        assert number_row is not None
        attempt_id = new_id()
        values = {
            "campaign_id": self.campaign_id,
            "lead_id": lead_id,
            "lead_number_id": number_row["id"],
            "dialed_number": number_row["number"],
            "region": "US",
            "mode": "progressive",
            "epoch": 0,
            "process_id": self.process_id,
            "trunk_id": self.trunk_id,
            "caller_id": "+12025550100",
            "timers": CallTimers().model_dump(mode="json"),
            "state": state,
            "claimed_at": at,
        }
        order = list(AttemptState)
        for passed, column in (
            (AttemptState.DIALING, "dialing_at"),
            (AttemptState.RINGING, "ringing_at"),
            (AttemptState.ANSWERED, "answered_at"),
        ):
            if state is not AttemptState.ENDED and order.index(state) >= order.index(passed):
                values[column] = at
        await self._insert("live_attempt", id=attempt_id, **(values | columns))
        return attempt_id

    async def add_preview(
        self, session_id: UUID, *, at: datetime = NOW, limit_s: float = 60, **columns: Any
    ) -> UUID:
        """Insert a claim that is shown to a ready agent, undecided."""
        session = await self.session(session_id)
        values = {
            "mode": "preview",
            "preview_until": at + timedelta(seconds=limit_s),
            "reservation": "reserved",
            "agent_session_id": session_id,
            "agent_id": session["agent_id"],
        }
        attempt_id = await self.add_call(at=at, **(values | columns))
        await self.db.execute(
            "UPDATE agent_session SET state = 'reserved', attempt_id = $2 WHERE id = $1",
            session_id,
            attempt_id,
        )
        return attempt_id

    async def add_lease(self, campaign_id: UUID | None = None) -> Lease:
        """Have an engine hold the campaign, for ten minutes."""
        holder = await self.add_process(kind="engine")
        epoch = await self.db.fetchval(
            "UPDATE campaign SET lease_holder = $2, lease_epoch = lease_epoch + 1,"
            " lease_until = clock_timestamp() + interval '10 minutes'"
            " WHERE id = $1 RETURNING lease_epoch",
            campaign_id or self.campaign_id,
            holder,
        )
        return Lease(campaign_id or self.campaign_id, holder, epoch)

    async def campaign(self, campaign_id: UUID | None = None) -> CampaignRow:
        """Return the campaign as stored."""
        async with self.db.acquire() as connection:
            found = await campaigns.by_id(connection, campaign_id or self.campaign_id)
        assert found is not None
        return found

    async def call(self, attempt_id: UUID) -> dict[str, Any]:
        """Return the live attempt's row, empty when it is gone."""
        row = await self.db.fetchrow("SELECT * FROM live_attempt WHERE id = $1", attempt_id)
        return dict(row) if row else {}

    async def session(self, session_id: UUID) -> dict[str, Any]:
        """Return the session's row, empty after the log-out."""
        row = await self.db.fetchrow("SELECT * FROM agent_session WHERE id = $1", session_id)
        return dict(row) if row else {}

    async def kinds(self, attempt_id: UUID) -> list[str]:
        """Return the kinds of the attempt's events in the order they happened."""
        rows = await self.db.fetch(
            "SELECT kind FROM call_event WHERE attempt_id = $1 ORDER BY happened_at, id", attempt_id
        )
        return [row["kind"] for row in rows]

    async def agent_states(self, session_id: UUID) -> list[str]:
        """Return the states the session's events tell, in order."""
        rows = await self.db.fetch(
            "SELECT state FROM agent_event WHERE session_id = $1 ORDER BY happened_at, id",
            session_id,
        )
        return [row["state"] for row in rows]

    async def _insert(self, table: str, **columns: Any) -> None:
        names = ", ".join(columns)
        marks = ", ".join(f"${index + 1}" for index in range(len(columns)))
        await self.db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - a test's own columns
            *columns.values(),
        )


def later(seconds: float, start: datetime = NOW) -> datetime:
    """Return the time *seconds* after *start*."""
    return start + timedelta(seconds=seconds)


async def explain(connection: Connection, statement: str, *arguments: Any) -> str:
    """Return the plan Postgres runs, with the rows it really touched."""
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}", *arguments)
    return "\n".join(row[0] for row in rows)
