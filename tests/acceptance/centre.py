"""A whole call centre of real processes for acceptance tests: every one of them can be killed.

The lab plays the carrier and the phones; lines, engine and API are children of the test, each with
its own pid; agents work through the real WebSocket. `accounts` then says what became of every lead
and every call, beside what the carrier logged.
"""

from __future__ import annotations

import asyncio
import csv
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import asyncpg

from campaigns.lead_import import import_leads, plan_import
from campaigns.model import PhoneKind, TrunkKind
from campaigns.stores import agents, campaigns, database, ledger, trunks
from campaigns.stores.agents import NewAgent
from campaigns.stores.campaigns import NewCampaign
from campaigns.stores.trunks import NewTrunk
from dialer import embedded
from pacing import Mode
from siplab.carrier import Carrier, Pace
from siplab.number_plan import numbers
from siplab.phones import PhoneBank
from tests.laboratory import DialerProcess, eventually, free_rtp_range, free_sip_port

if TYPE_CHECKING:
    from types import TracebackType

    from campaigns.stores.database import Pool

CAMPAIGN = "spring"
COUNTRIES = ("US", "GB", "FR", "DE")
PACE = Pace(ring=1.0, talk=4.0)
# What a full machine may take for a whole campaign of this size.
CAMPAIGN_WITHIN_S = 240.0


@dataclass(slots=True)
class Centre:
    """The processes and rows of one small campaign; `async with` starts and ends all of it."""

    folder: Path
    leads: int = 18
    agent_count: int = 3
    seed: int = 11
    line_processes: int = 1
    pace: Pace = PACE
    dsn: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[DialerProcess] = field(default_factory=list)
    engine: DialerProcess = field(init=False)
    api: DialerProcess = field(init=False)
    robots: DialerProcess = field(init=False)
    carrier: Carrier = field(init=False)
    phones: PhoneBank = field(init=False)
    pool: Pool = field(init=False)
    numbers: list[str] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        """Start Postgres and the lab; the service is started by the test."""
        try:
            await self._set_up()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _set_up(self) -> None:
        self.folder.chmod(0o755)
        for parent in self.folder.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o055)
        self.dsn, _ = embedded.start(self.folder / "postgres")
        self._stack.callback(embedded.stop, self.folder / "postgres")
        await database.migrate(self.dsn)
        self.pool = await database.open_pool(self.dsn, size=3)
        self._stack.push_async_callback(self._close_pool)
        self.carrier = await self._stack.enter_async_context(
            Carrier(self.folder / "carrier", pace=self.pace)
        )
        self.phones = await self._stack.enter_async_context(PhoneBank(self.agent_count))
        low, high = free_rtp_range(400)
        self.environment = {
            "DIALER_DATABASE_URL": self.dsn,
            "DIALER_DATA": str(self.folder),
            "DIALER_SIP_PORT": str(free_sip_port()),
            "DIALER_API_PORT": str(free_sip_port()),
            "DIALER_RTP_LOW": str(low),
            "DIALER_RTP_HIGH": str(high),
            "DIALER_LINES": str(self.line_processes),
            "DIALER_DRAIN_S": "1",
        }
        self.engine = self.child("engine")
        self.api = self.child("api")
        self.lines = [
            self.child("lines", "--index", str(index)) for index in range(self.line_processes)
        ]
        await self._prepare()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process by its pid."""
        await self._stack.aclose()

    async def _close_pool(self) -> None:
        self.pool.terminate()

    def child(self, *arguments: str) -> DialerProcess:
        """Return a `dialer` child that ends with the centre; start it yourself."""
        name = "-".join(argument.strip("-") for argument in arguments[:3])
        made = DialerProcess(arguments, self.environment, self.folder / f"{name}.log")
        self._stack.push_async_callback(made.kill)
        return made

    async def _prepare(self) -> None:
        async with self.pool.acquire() as connection:
            await trunks.add(
                connection,
                NewTrunk(
                    name="lab",
                    kind=TrunkKind.LAB,
                    host="127.0.0.1",
                    port=self.carrier.port,
                    caller_ids=("+12125550199",),
                    channels=30,
                    calls_per_second=10,
                ),
            )
            campaign = await campaigns.create(
                connection,
                NewCampaign(
                    name=CAMPAIGN,
                    seller="Example Energy",
                    profile="lab",
                    regions=COUNTRIES,
                    mode=Mode.PREDICTIVE,
                    settings=campaigns.parse_settings(
                        {"max_attempts": 2, "wrap_up_limit_s": 5, "ring_timeout_s": 16}
                    ),
                ),
            )
            await campaigns.attach_trunk(connection, CAMPAIGN, "lab")
            now = await connection.fetchval("SELECT clock_timestamp()")
            await ledger.seed(connection, campaign, answered_by_person=1500, abandoned=30, hour=now)
        await self._import()
        for phone in self.phones:
            async with self.pool.acquire() as connection:
                await agents.add(
                    connection,
                    NewAgent(
                        name=phone.name, phone_kind=PhoneKind.SIP_URI, phone_address=phone.uri
                    ),
                )
                await agents.assign(connection, phone.name, [CAMPAIGN])

    async def _import(self) -> None:
        self.numbers = list(numbers(self.seed, self.leads, COUNTRIES))
        path = self.folder / "leads.csv"
        with path.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("name", "phone"))
            writer.writerows((f"Lead {i}", number) for i, number in enumerate(self.numbers))
        report = await import_leads(self.pool, plan_import(path), campaign=CAMPAIGN)
        assert self.leads == report.accepted

    # Running ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start lines, engine, API and the agents, then the campaign."""
        for child in (*self.lines, self.engine, self.api):
            await child.start()
        await self.agents_at_work()
        await self.begin()

    async def agents_at_work(self) -> None:
        """Log every agent in and wait until they are ready."""
        await eventually(self._api_answers, "the API and the line processes register")
        names = [phone.name for phone in self.phones]
        self.robots = self.child(
            "agents", "simulate", *names, "--auto", "--seed", "3", "--wrap-up", "0.5"
        )
        await self.robots.start()

        async def ready() -> bool:
            count: int = await self.pool.fetchval(
                "SELECT count(*) FROM agent_session WHERE state IN ('ready', 'talking')"
            )
            return count == len(names)

        await eventually(ready, "every agent is ready")

    async def _api_answers(self) -> bool:
        kinds = await self.pool.fetch(
            "SELECT DISTINCT kind FROM process"
            " WHERE ended_at IS NULL AND lease_until > clock_timestamp()"
        )
        return {"api", "engine", "lines"} <= {row["kind"] for row in kinds}

    async def begin(self) -> None:
        """Start the campaign."""
        async with self.pool.acquire() as connection:
            await campaigns.start(connection, CAMPAIGN)
        await self.pool.execute("SELECT pg_notify('engine', '')")

    async def stop(self) -> None:
        """Stop the campaign and wait until nothing of it is in flight."""
        async with self.pool.acquire() as connection:
            await campaigns.stop(connection, CAMPAIGN)
        await self.pool.execute("SELECT pg_notify('engine', '')")

        async def stopped() -> bool:
            return bool(await self.pool.fetchval("SELECT state = 'stopped' FROM campaign"))

        await eventually(stopped, "the campaign is stopped", within_s=CAMPAIGN_WITHIN_S)

    async def until_called(self) -> None:
        """Wait until every lead was called at least once or is done, and nothing is in flight."""

        async def done() -> bool:
            row = await self.query_one(
                """
                SELECT (SELECT count(*) FROM live_attempt) AS live,
                       (SELECT count(*) FROM lead l
                        WHERE l.state = 'open'
                          AND NOT EXISTS (SELECT FROM attempt a WHERE a.lead_id = l.id)) AS fresh
                """
            )
            return bool(row["live"] == 0 and row["fresh"] == 0)

        await eventually(done, "every lead was called", within_s=CAMPAIGN_WITHIN_S)

    async def until_bridged(self, count: int = 1) -> None:
        """Wait until at least *count* conversations go on."""

        async def there() -> bool:
            found: int = await self.pool.fetchval(
                "SELECT count(*) FROM live_attempt WHERE state = 'bridged'"
            )
            return found >= count

        await eventually(there, f"{count} conversations go on", within_s=CAMPAIGN_WITHIN_S)

    async def query_one(self, sql: str, *values: Any) -> asyncpg.Record:
        """Return one row; waits while Postgres is away."""
        while True:
            try:
                row = await self.pool.fetchrow(sql, *values)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.2)
                continue
            assert row is not None
            return row

    # What must hold afterwards ----------------------------------------------------------------

    async def check_books(self) -> None:
        """Nothing lost, nothing doubled, nothing stuck, and the carrier agrees call by call."""
        rows = await self.pool.fetch(
            "SELECT id, lead_id, dialed_number, outcome, dialing_at FROM attempt"
        )
        carried = {call.call_id: call for call in self.carrier.calls()}
        ours = {str(row["id"]): row for row in rows}

        assert set(carried) <= set(ours), "the carrier saw a call we have no record of"
        answered_there = {i for i, call in carried.items() if call.answered_at is not None}
        answered_here = {
            i for i, row in ours.items() if row["outcome"] in {"answered", "interrupted"}
        }
        assert answered_there <= answered_here
        assert 0 == await self.pool.fetchval("SELECT count(*) FROM live_attempt")
        assert 0 == await self.pool.fetchval("SELECT count(*) FROM lead WHERE state = 'in_call'")
        assert 0 == await self.pool.fetchval(
            "SELECT count(*) FROM agent_session WHERE state IN ('reserved', 'talking', 'wrap_up')"
        )

        async def quiet() -> bool:
            return not self.carrier.live_calls()

        await eventually(quiet, "no call is left up at the carrier")

    async def calls_per_number(self) -> dict[str, int]:
        """Return how often the carrier saw each number."""
        counts: dict[str, int] = {}
        for call in self.carrier.calls():
            counts[call.dialed] = counts.get(call.dialed, 0) + 1
        return counts

    async def charged_per_number(self) -> dict[str, int]:
        """Return how many attempts of each number were dialed, by our records."""
        rows = await self.pool.fetch(
            "SELECT dialed_number, count(*) AS n FROM attempt"
            " WHERE dialing_at IS NOT NULL GROUP BY dialed_number"
        )
        return {row["dialed_number"]: row["n"] for row in rows}

    async def process_ids(self, kind: str) -> list[UUID]:
        """Return the live processes of a kind."""
        rows = await self.pool.fetch(
            "SELECT id FROM process WHERE kind = $1::process_kind AND ended_at IS NULL", kind
        )
        return [row["id"] for row in rows]
