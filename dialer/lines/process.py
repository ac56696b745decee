"""A line process: one pjsua2 endpoint, its calls, its agents' phones, and its row in Postgres.

Everything runs on one asyncio loop in one thread. Calls come as rows (`claimed` attempts addressed
to this process) and leave as rows; what cannot be written at once waits, while the legal timers of
the calls go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pjsua2 as pj
import structlog

from campaigns.errors import LeaseLost, UserError
from campaigns.model import Outcome, ProcessKind
from campaigns.stores import attempts, database, line_commands, trunks
from campaigns.stores.line_commands import CommandKind, LineCommand
from dialer import logs, metrics
from dialer.lines import accounts, announcement, gauges
from dialer.lines.announcement import Announcer
from dialer.lines.customer import CustomerCall
from dialer.lines.desk import Desk
from dialer.lines.endpoint import Endpoint, Network
from dialer.lines.leg import Leg
from dialer.lines.successor import Successor
from dialer.lines.tie_line import TieLines
from dialer.lines.writer import Writer
from dialer.notify import Channel, Hint, Listener, Notifier
from dialer.processes import Endpoints, Process
from dialer.screening import STEP_S, Screener
from dialer.supervision import DATABASE_AWAY, Outage, Supervisor, supervised

if TYPE_CHECKING:
    from campaigns.stores.attempts import DialOrder
    from campaigns.stores.database import Pool
    from campaigns.stores.reservations import ReservedAgent
    from campaigns.stores.trunks import TrunkRow
    from dialer.config import Config
    from dialer.lines.accounts import Account
    from dialer.lines.agents import AgentLeg
    from dialer.lines.tie_line import FarAgent

log = structlog.get_logger(__name__)

TAKE_EVERY_S = 0.25
COMMANDS_EVERY_S = 0.5
WATCH_EVERY_S = 0.5
EXPECTED_EVERY_S = 2.0
TRUNKS_EVERY_S = 10.0
# At most this many INVITEs leave in one turn, so that a burst does not starve answered calls.
BURST = 25
# PyPI's pjsua2 wheels are compiled for four calls.
SMALL_CAPACITY = 4
HANG_UP_WITHIN_S = 6.0
POOL_SIZE = 8


class LineProcess:
    """The process as its calls and its desk see it. Implements `Lines` and `Switchboard`."""

    def __init__(self, config: Config, pool: Pool, endpoint: Endpoint, process: Process) -> None:
        self.config = config
        self.endpoint = endpoint
        self.process = process
        self.notifier = Notifier(config.database_url or "")
        self.agent_free = asyncio.Event()
        self.screener = Screener()
        self.writer = Writer(
            pool, process.id, process.clock, self.notifier, on_orphan=self._orphaned
        )
        self.desk = Desk(self, pool, process.id, self.notifier, lambda: self._local)
        self.tie_lines = TieLines(self, pool, process.id, lambda: self._local)
        self.calls: dict[UUID, CustomerCall] = {}
        self._pool = pool
        self._announcer = Announcer()
        self._announcements: dict[str, Path] = {}
        self._preparing: set[str] = set()
        self._local = accounts.local_account(endpoint, self._incoming)
        self._trunks: dict[UUID, tuple[TrunkRow, Account, float]] = {}
        self._work = asyncio.Event()
        self._commanded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        # Set while the answer to a claim is awaited: a row may be dialing that we know nothing of.
        self._answer_lost = False

    # Lines and Switchboard --------------------------------------------------------------------

    def agent_leg(self, session_id: UUID) -> AgentLeg | None:
        """Return the agent's phone leg if it is in this process."""
        return self.desk.agents.get(session_id)

    async def far_agent(
        self, attempt_id: UUID, agent: ReservedAgent, token: str, *, within_s: float
    ) -> FarAgent | None:
        """Return the agent of another line process, reached; None if it cannot be in time."""
        return await self.tie_lines.reach(attempt_id, agent, token, within_s=within_s)

    def _incoming(self, account: Account, prm: pj.OnIncomingCallParam) -> bool:
        return self.tie_lines.incoming(account, prm) or self.desk.incoming(account, prm)

    def announce(self, call: CustomerCall) -> float | None:
        """Start the announcement towards the call; return its length in seconds."""
        path = self._announcements.get(call.timers.announcement or announcement.DEFAULT_TEXT)
        if path is None or call.leg is None:
            return None
        return self._announcer.play(call.leg, path)

    def call_over(self, call: CustomerCall) -> None:
        """Forget the call."""
        self.calls.pop(call.order.attempt_id, None)
        if call.leg is not None:
            self._announcer.stop(call.leg)
            self.retire(call.leg)

    def retire(self, leg: Leg) -> None:
        """Keep an ended leg until it can be destroyed without harm."""
        leg.forget()
        self.endpoint.retired.add(leg)

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a named task; a failure is logged and concerns one call only."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task_failed", task=task.get_name(), exc_info=task.exception())

    async def trunk_route(self, trunk_id: UUID, number: str) -> accounts.Route:
        """Return how a telephone number is called through a trunk; raises `accounts.Refused`."""
        trunk, account = await self._trunk(trunk_id)
        caller_id = trunk.caller_ids[0] if trunk.caller_ids else ""
        return accounts.route(trunk, account, number, caller_id)

    async def trunk_peer(self, trunk_id: UUID) -> tuple[Account, str, str]:
        """Return account, "host:port" and transport of a trunk."""
        trunk, account = await self._trunk(trunk_id)
        return account, f"{trunk.host}:{trunk.port}", trunk.transport.value

    async def _trunk(self, trunk_id: UUID) -> tuple[TrunkRow, Account]:
        known = self._trunks.get(trunk_id)
        now = time.monotonic()
        if known is not None and now - known[2] < TRUNKS_EVERY_S:
            return known[0], known[1]
        async with self._pool.acquire() as connection:
            row = await trunks.by_id(connection, trunk_id)
        if row is None:
            raise accounts.Refused("the trunk is not there any more")
        if known is None or not _same_account(known[0], row):
            account = accounts.trunk_account(row, self.endpoint, self._incoming)
        else:
            account = known[1]
        self._trunks[trunk_id] = (row, account, now)
        return row, account

    # Loops ------------------------------------------------------------------------------------

    def hear(self, hint: Hint) -> None:
        """Wake what a hint may concern."""
        if hint.channel is Channel.AGENTS:
            self.agent_free.set()
            return
        if hint.payload in {"", str(self.process.id)}:
            self._work.set()
            self._commanded.set()

    async def take_calls(self) -> None:
        """Take claimed attempts addressed to this process and dial them."""
        self._work.clear()
        legs = len(self.calls) + len(self.desk.agents) + len(self.tie_lines)
        room = self.endpoint.capacity - legs
        if self._draining or room <= 0 or not self.process.holds_lease:
            return
        async with self._pool.acquire() as connection:
            if self._answer_lost:
                await attempts.end_unknown(
                    connection, self.process.id, self.calls, at=self.writer.now()
                )
                self.notifier.post(Channel.ENGINE)
            self._answer_lost = True
            orders = await attempts.take_claimed(
                connection, self.process.id, at=self.writer.now(), limit=min(room, BURST)
            )
            self._answer_lost = False
        for order in orders:
            await self._begin(order)
            # Answered calls go before new ones.
            await asyncio.sleep(0)
        if len(orders) == BURST:
            self._work.set()

    async def _begin(self, order: DialOrder) -> None:
        call = CustomerCall(order, self)
        self.calls[order.attempt_id] = call
        self.writer.started(order)
        try:
            trunk, account = await self._trunk(order.trunk_id)
            route = accounts.route(trunk, account, order.dialed_number, order.caller_id)
            leg = Leg(account, call, transport=route.transport)
        except accounts.Refused as refused:
            log.warning("call_refused", attempt=str(order.attempt_id), rule=str(refused))
            call.refuse(Outcome.REFUSED, str(refused))
            return
        except (UserError, pj.Error) as error:
            why = error.reason if isinstance(error, pj.Error) else str(error)
            call.refuse(Outcome.TRUNK_FAULT, f"the trunk cannot be used: {why}")
            return
        call.start(leg, route)
        wanted = order.timers.announcement or announcement.DEFAULT_TEXT
        if wanted not in self._announcements and wanted not in self._preparing:
            self._preparing.add(wanted)
            self.spawn("announcement", self.prepare_announcement(wanted))

    async def prepare_announcement(self, wanted: str) -> None:
        """Have an announcement ready before anybody can need it; a failure is tried again."""
        try:
            path = await announcement.prepare(wanted, self.config.data / "announcements")
            announcement.length_s(path)
        except UserError as error:
            log.error("announcement_unusable", why=str(error))  # noqa: TRY400 - a sentence, no trace
        else:
            self._announcements[wanted] = path
        finally:
            self._preparing.discard(wanted)

    async def obey(self) -> None:
        """Carry out the commands addressed to this process."""
        self._commanded.clear()
        async with self._pool.acquire() as connection:
            commands = await line_commands.take(connection, self.process.id)
        for command in commands:
            await self._obey(command)

    async def _obey(self, command: LineCommand) -> None:
        call = self.calls.get(command.attempt_id) if command.attempt_id else None
        reason = str(command.detail.get("reason", ""))
        match command.kind:
            case CommandKind.CALL_AGENT if command.agent_session_id is not None:
                resume = bool(command.detail.get("resume"))
                self.spawn(
                    f"call-agent-{command.agent_session_id}",
                    self.desk.call(command.agent_session_id, resume=resume),
                )
            case CommandKind.RELEASE_AGENT if command.agent_session_id is not None:
                self.desk.release(command.agent_session_id)
            case CommandKind.HANG_UP if call is not None:
                call.give_up(reason or "hung up by the agent")
            case CommandKind.CANCEL if call is not None:
                call.cancel(reason or "cancelled")
            case CommandKind.RELOAD:
                self._trunks.clear()
            case _:
                log.info("command_too_late", kind=command.kind.value)

    async def screen(self) -> None:
        """Let every screened call act on what was heard since the last step."""
        while True:
            began = time.monotonic()
            if len(self.screener):
                self.screener.step()
                for call in tuple(self.calls.values()):
                    if call.screened is not None:
                        call.consider()
            await asyncio.sleep(max(0.01, STEP_S - (time.monotonic() - began)))

    async def watch(self) -> None:
        """Notice silent phones, and let go of legs that ended a while ago."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            self.desk.watch()
            self.tie_lines.watch()
            self._measure()
            self.endpoint.retired.sweep()

    def _measure(self) -> None:
        heard = self.screener.listener.counts()
        gauges.calls.set(len(self.calls))
        gauges.agent_legs.set(sum(agent.is_up for agent in self.desk.agents.values()))
        gauges.screened.set(len(self.screener))
        gauges.backlog.set(self.writer.backlog)
        gauges.frames_received.set(heard.frames_received)
        gauges.frames_expected.set(heard.frames_expected)

    def _orphaned(self, attempt_id: UUID) -> None:
        """End a call whose row somebody else has closed or taken over."""
        call = self.calls.get(attempt_id)
        if call is not None:
            log.warning("call_taken_over", attempt=str(attempt_id))
            call.hang_up("taken over by another process")

    # Life -------------------------------------------------------------------------------------

    async def run(self, supervisor: Supervisor) -> None:
        """Run until the supervisor stops; then let conversations finish for `drain_s`."""
        dsn = self.config.database_url or ""
        listener = Listener(dsn, (Channel.LINES, Channel.AGENTS), self.hear)
        successor = Successor(self._pool, self.process, self.notifier)
        await self.prepare_announcement(announcement.DEFAULT_TEXT)
        background = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("heartbeat", self._beat(supervisor)),
                ("writer", self.writer.run()),
                ("notifier", self.notifier.run()),
                ("listener", listener.run()),
                ("screening", self.screen()),
                ("watch", self.watch()),
                ("take", self._repeat(self.take_calls, self._work, TAKE_EVERY_S)),
                ("commands", self._repeat(self.obey, self._commanded, COMMANDS_EVERY_S)),
                ("expected", self._repeat(self.desk.refresh_expected, None, EXPECTED_EVERY_S)),
                ("successor", self._repeat(successor.turn, None, 0.5)),
            )
        ]
        background.append(self.endpoint.poll_forever(lambda: None))
        for task in background:
            task.add_done_callback(lambda ended: _stop_on_failure(ended, supervisor))
        if self.endpoint.capacity <= SMALL_CAPACITY:
            log.warning(
                "sip_stack_small",
                calls=self.endpoint.capacity,
                remedy="this build of pjsua2 holds no more; run `make pjsua2` for one that does",
            )
        log.info(
            "lines_started",
            process=str(self.process.id),
            sip_port=self.endpoint.sip_port(),
            capacity=self.endpoint.capacity,
        )
        await supervisor.stopping.wait()
        await self._drain()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)

    async def _beat(self, supervisor: Supervisor) -> None:
        try:
            await self.process.run()
        except LeaseLost:
            # Somebody has ended our calls for us: nothing here may act any more.
            for call in tuple(self.calls.values()):
                call.hang_up("this line process was taken over")
            supervisor.stop("taken over")

    async def _repeat(self, turn: Any, wake: asyncio.Event | None, every_s: float) -> None:
        outage = Outage()
        while True:
            try:
                await turn()
            except DATABASE_AWAY as error:
                await asyncio.sleep(outage.began(error))
                continue
            outage.ended()
            if wake is None:
                await asyncio.sleep(every_s)
                continue
            try:
                async with asyncio.timeout(every_s):
                    await wake.wait()
            except TimeoutError:
                continue

    async def _drain(self) -> None:
        self._draining = True
        try:
            await self.process.drain()
        except DATABASE_AWAY:
            log.warning("drain_unannounced")
        await self._until_empty(
            self.config.drain_s, lambda: not (self.calls or self.tie_lines.customers)
        )
        for call in tuple(self.calls.values()):
            call.hang_up("shutdown")
        for agent in tuple(self.desk.agents.values()):
            agent.hang_up()
        await self._until_empty(
            HANG_UP_WITHIN_S,
            lambda: not (self.calls or self.desk.agents or len(self.tie_lines) or self._tasks),
        )
        try:
            await self.writer.flush()
            await self.process.end()
        except DATABASE_AWAY:
            log.warning("shutdown_unwritten", backlog=self.writer.backlog)
        self.screener.close()

    async def ready(self) -> str | None:
        """Return why this process cannot carry calls, None when it can."""
        if self._draining:
            return "The line process is shutting down."
        if not self.process.holds_lease:
            return "Postgres has not confirmed this line process for some seconds."
        return None

    async def _until_empty(self, within_s: float, is_empty: Callable[[], bool]) -> None:
        until = time.monotonic() + within_s
        while not is_empty() and time.monotonic() < until:  # noqa: ASYNC110 - many small causes
            await asyncio.sleep(0.05)


def _stop_on_failure(task: asyncio.Task[Any], supervisor: Supervisor) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("line_process_failed", task=task.get_name(), exc_info=task.exception())
        supervisor.stop("failure")


def _same_account(old: TrunkRow, new: TrunkRow) -> bool:
    def account(row: TrunkRow) -> tuple[object, ...]:
        return row.host, row.port, row.transport, row.username, row.password, row.settings

    return account(old) == account(new)


def network(config: Config, index: int) -> Network:
    """Return where the line process number *index* of this host speaks."""
    low, high = config.rtp_range(index)
    port = config.line_sip_port(index)
    return Network(
        bind_address=str(config.bind_address),
        public_address=str(config.public_address or ""),
        sip_port=port,
        tls_port=port + 1,
        rtp_low=low,
        rtp_high=high,
        tls_certificate=str(config.tls_certificate or ""),
        tls_key=str(config.tls_key or ""),
        tls_authorities=str(config.tls_ca or ""),
    )


def _reached_at(config: Config) -> str | None:
    """Return where other line processes reach this one; None if nobody has said so."""
    if not config.bind_address.is_unspecified:
        return str(config.bind_address)
    return str(config.public_address) if config.public_address else None


async def run(config: Config, index: int = 0) -> None:
    """Run one line process until SIGTERM or SIGINT; raises `UserError` when a port is taken."""
    dsn = config.database_url
    if dsn is None:
        raise UserError("A line process needs DIALER_DATABASE_URL.")
    logs.configure_from(config)
    config.check_files()
    pool = await database.open_pool(dsn, size=POOL_SIZE)
    endpoint = Endpoint(network(config, index), wanted_calls=config.max_calls or 1000)
    try:
        endpoint.start()
        process = Process(pool, ProcessKind.LINES)
        lines = LineProcess(config, pool, endpoint, process)
        async with metrics.served(lines.ready, port=config.line_metrics_port(index)) as address:
            process.endpoints = Endpoints(
                address=address,
                sip_address=_reached_at(config),
                sip_port=endpoint.sip_port(),
                rtp_low=endpoint.network.rtp_low,
                rtp_high=endpoint.network.rtp_high,
                capacity=endpoint.capacity,
            )
            await process.register()
            async with supervised() as supervisor:
                supervisor.spawn("lines", lines.run(supervisor))
    finally:
        await pool.close()
        await endpoint.stop()
