"""Whether the simulator tells what a real campaign does: one through the lab, against its forecast.

A predictive campaign runs through `dialer serve`, a SIPp carrier and agents' phones with RTP, all
on this machine. Afterwards the scenario is fitted to the campaign's own rows, as `dialer simulate
--from-campaign` does, and simulated some hundred times: occupancy and abandonment of the real run
must lie inside the 99 % prediction interval. What the lab itself costs is reported apart.

    python -m benchmarks campaign [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import asyncio
import csv
import io
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks import machine
from benchmarks.program import Found, Options, main, progress
from benchmarks.report import at_least, at_most
from campaigns.errors import UserError
from campaigns.stores import campaigns, database, ledger
from demo import people, service
from demo.shell import Shell
from dialer.simulation import campaign_past
from dialer.simulation.campaign_past import Span
from dialer.simulation.fit import Fitted, fit
from dialer.simulation.prediction import Interval, prediction_interval
from pacing.simulation import parse_pacer, simulate
from siplab import number_plan
from siplab.carrier import Carrier, Pace
from siplab.phones import PhoneBank

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

NAME = "campaign"
TARGETS = {
    "occupancy_inside": at_least(1),
    "abandonment_inside": at_least(1),
    "lost_leads": at_most(0),
}
TALK_S = 20.0
WRAP_UP_S = 3.0
RING_S = 6.0
SIMULATED = 400
# A legal window that is under way: without it the guard allows one call per agent for long.
SEEDED_ANSWERED, SEEDED_ABANDONED = 1500, 34
READY_WITHIN_S = 120.0
QUIET_WITHIN_S = 90.0
_CHANNELS_PER_AGENT = 8
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Size:
    """How many agents, for how long, on a list how long."""

    agents: int
    minutes: float
    leads: int


SIZES = {False: Size(20, 10.0, 3000), True: Size(8, 2.5, 500)}


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs: the carrier and the phones are the lab, the rest is Overdial."""

    shell: Shell
    pool: Pool
    serve: asyncio.subprocess.Process
    carrier: Carrier
    phones: PhoneBank
    folder: Path

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds spent so far, the lab's apart; the phones live in this process."""
        pid_file = self.folder / "postgres" / "postmaster.pid"
        postmaster = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
        lab = time.process_time()
        if self.carrier.pid is not None:
            lab += machine.cpu_s(self.carrier.pid)
        return {
            "dialer": machine.tree_cpu_s(self.serve.pid),
            "postgres": machine.tree_cpu_s(postmaster),
            "lab": lab,
        }


async def measure(options: Options) -> Found:
    """Run the campaign, then simulate it."""
    size = SIZES[options.quick]
    folder = await asyncio.to_thread(_new_folder)
    try:
        async with AsyncExitStack() as stack:
            stage = await _set_up(stack, folder, size, options.seed)
            span, cores = await _run(stage, size, options.seed)
            fitted = await _fitted(stage.pool, span)
            lost = await _lost(stage.pool)
        progress(f"simulating {SIMULATED} such campaigns")
        metrics = await asyncio.to_thread(_compare, fitted, options.seed)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return Found({**metrics, "lost_leads": float(lost), **cores})


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="overdial-bench-"))
    # Run as root, Postgres changes to a user of its own, who has to get in.
    folder.chmod(0o755)
    return folder


async def _set_up(stack: AsyncExitStack, folder: Path, size: Size, seed: int) -> Stage:
    progress(f"a carrier, {size.agents} phones, the service, {size.leads} leads")
    pace = Pace(ring=RING_S, talk=TALK_S, voicemail=8.0, silence=6.0)
    life_s = round(60 * size.minutes) + 900
    carrier = await stack.enter_async_context(Carrier(folder / "carrier", pace=pace, life_s=life_s))
    names = people.agent_names(size.agents)
    phones = await stack.enter_async_context(PhoneBank(names=names))
    shell = Shell(folder, service.settings(folder), Console(file=io.StringIO()))
    serve = await stack.enter_async_context(service.served(shell))
    dsn = await asyncio.to_thread(service.dsn_of, folder)
    shell.environment = {**shell.environment, "DIALER_DATABASE_URL": dsn}
    pool = await database.open_pool(dsn, size=3)
    stack.push_async_callback(pool.close)
    stage = Stage(shell, pool, serve, carrier, phones, folder)
    await _prepare(stage, size, seed)
    return stage


async def _prepare(stage: Stage, size: Size, seed: int) -> None:
    run = stage.shell.run
    await run(
        "trunk", "add", "lab", "--kind", "lab", "--host", "127.0.0.1",
        "--port", str(stage.carrier.port), "--caller-id", "+12125550199",
        "--channels", str(_CHANNELS_PER_AGENT * size.agents),
        "--calls-per-second", str(2 * size.agents), quiet=True,
    )  # fmt: skip
    regions = [word for region in number_plan.COUNTRIES for word in ("--region", region)]
    await run(
        "campaign", "create", NAME, "--seller", "Example Energy", "--profile", "lab",
        "--mode", "predictive", "--trunk", "lab", *regions,
        "--set", "ring_timeout_s=20", "--set", "max_attempts=1", quiet=True,
    )  # fmt: skip
    path = stage.folder / "leads.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("name", "phone", "country"))
        for index, number in enumerate(
            number_plan.numbers(seed, size.leads, number_plan.COUNTRIES)
        ):
            writer.writerow((f"Lead {index}", number, people.region_of(number)))
    await run("leads", "import", path.name, "--campaign", NAME, quiet=True)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def add(name: str, uri: str) -> None:
        async with gate:
            await run("agents", "add", name, "--phone", uri, "--campaign", NAME, quiet=True)

    async with asyncio.TaskGroup() as group:
        for phone in stage.phones:
            group.create_task(add(phone.name, phone.uri), name=f"add-{phone.name}")


async def _run(stage: Stage, size: Size, seed: int) -> tuple[Span, dict[str, float]]:
    """Call for the time there is; return the span, and the cores used meanwhile."""
    names = [phone.name for phone in stage.phones]
    words = ("agents", "simulate", *names, "--auto", "--seed", str(seed), "--wrap-up",
             f"{WRAP_UP_S:g}")  # fmt: skip
    async with stage.shell.background(*words, log="agents.log", grace_s=40.0):
        await _until(
            stage.pool,
            "SELECT count(*) = $1 FROM agent_session WHERE state = 'ready'",
            size.agents,
            within_s=READY_WITHIN_S,
        )
        async with stage.pool.acquire() as connection:
            row = await campaigns.get(connection, NAME)
            await ledger.seed(
                connection,
                row,
                answered_by_person=SEEDED_ANSWERED,
                abandoned=SEEDED_ABANDONED,
                # Should the hour end before the start does, the history must not lie before it.
                hour=datetime.now(UTC) + timedelta(minutes=1),
            )
        await stage.shell.run("campaign", "start", NAME, quiet=True)
        progress(f"calling for {size.minutes:g} minutes")
        before, began = stage.cpu_s(), time.monotonic()
        since = datetime.now(UTC)
        await asyncio.sleep(60 * size.minutes)
        until = datetime.now(UTC)
        after, lasted_s = stage.cpu_s(), time.monotonic() - began
        await stage.shell.run("campaign", "stop", NAME, quiet=True)
        # Every call has its record, every agent the last word.
        await _until(
            stage.pool,
            "SELECT count(*) = $1 FROM live_attempt",
            0,
            within_s=QUIET_WITHIN_S,
        )
    cores = {f"{name}_cores": (after[name] - before[name]) / lasted_s for name in before}
    return Span(since, until), cores


async def _until(pool: Pool, question: str, count: int, *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not await pool.fetchval(question, count):  # noqa: ASYNC110 - rows send no events
            await asyncio.sleep(0.2)


async def _fitted(pool: Pool, span: Span) -> Fitted:
    async with pool.acquire() as connection:
        row = await campaigns.get(connection, NAME)
        past, rules = await campaign_past.read(connection, row, span)
    try:
        return fit(past, rules=rules, zone=UTC)
    except UserError as error:
        raise AssertionError(f"the campaign cannot be fitted to: {error}") from error


async def _lost(pool: Pool) -> int:
    return int(
        await pool.fetchval(
            "SELECT count(*) FROM lead l WHERE l.state = 'in_call'"
            " AND NOT EXISTS (SELECT FROM live_attempt a WHERE a.lead_id = l.id)"
        )
    )


def _compare(fitted: Fitted, seed: int) -> dict[str, float]:
    """Return what was and what was to be expected."""
    scenario = replace(fitted.scenario, warm_up_s=0.0)
    study = simulate(scenario, [parse_pacer("predictive")], replications=SIMULATED, seed=seed)
    (days,) = study.days.values()
    happened = fitted.happened
    occupancy = happened.occupancy or 0.0
    expected = prediction_interval([day.occupancy for day in days])
    lost = prediction_interval([day.abandonment for day in days])
    return {
        "occupancy": occupancy,
        **_bounds("occupancy", expected),
        "occupancy_inside": float(occupancy in expected),
        "abandonment": happened.abandonment,
        **_bounds("abandonment", lost),
        "abandonment_inside": float(happened.abandonment in lost),
        "dialed": float(happened.dialed),
        "answered": float(happened.answered),
        "abandoned": float(happened.abandoned),
        "agents": float(fitted.most_agents),
        "answer_rate": scenario.mean_answer_rate,
        "talk_s": scenario.talk.mean_s,
        "wrap_up_s": scenario.wrap_up.mean_s,
    }


def _bounds(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_expected_low": interval.low, f"{name}_expected_high": interval.high}


if __name__ == "__main__":
    sys.exit(main("campaign", measure, TARGETS))
