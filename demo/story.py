"""The demo from the first line to the last: set up, call, stop, compare, clean up."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import traceback
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from campaigns.errors import UserError
from campaigns.rules import profiles
from campaigns.stores import campaigns, database, ledger
from demo import books, closing, people, records, service, watching
from demo.options import Options
from demo.people import LeadFile
from demo.shell import Shell
from dialer.board import read_board
from dialer.report import read_report
from siplab.carrier import Carrier, CarrierError
from siplab.phones import Phone, PhoneBank

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

CAMPAIGN = "spring"
SELLER = "Example Energy"
TRUNK = "lab"
CALLER_ID = "+12125550199"
PROFILE = "lab"
AGENTS_LOG = "agents.log"

# A history that no call stands behind: without it the guard allows one call per free agent until
# some hundred people have answered, and a demo of three minutes would end before that.
SEEDED_ANSWERED = 1_500
SEEDED_ABANDONED = 34

AGENTS_READY_WITHIN_S = 45.0
AGENTS_LEAVE_WITHIN_S = 40.0
QUIET_WITHIN_S = 10.0
# The carrier ends by itself this long after the last call should have ended, come what may.
_SPARE_LIFE_S = 900
_CHANNELS_PER_AGENT = 8
_COMMANDS_AT_ONCE = 3


@dataclass(slots=True)
class Stage:
    """What the demo runs on, once it is up."""

    options: Options
    console: Console
    shell: Shell
    pool: Pool
    serve: asyncio.subprocess.Process
    carrier: Carrier
    phones: PhoneBank
    file: LeadFile

    def check(self) -> None:
        """Raise `UserError` when the service or the carrier is gone."""
        if self.serve.returncode is not None:
            raise UserError(f"`dialer serve` ended: {self.shell.last_line(service.SERVE_LOG)}")
        if self.carrier.pid is None:
            raise UserError("The lab's carrier ended by itself: see carrier/ in the folder.")


async def tell(options: Options, console: Console) -> int:
    """Run the demo; return its exit code, 0 only if the books balance."""
    folder = _new_folder()
    failed = True
    try:
        async with AsyncExitStack() as stack:
            failed = not await _play(await _set_stage(stack, folder, options, console))
            console.print("Ending the service and the lab …", style="dim")
    except (UserError, CarrierError) as error:
        console.print(Text(str(error), "bold red"))
    except asyncio.CancelledError:
        failed = False
        raise
    except Exception as error:  # noqa: BLE001 - one line on the screen, the rest in the folder
        (folder / "demo.log").write_text("".join(traceback.format_exception(error)))
        console.print(
            Text(f"Something unexpected went wrong ({type(error).__name__}).", "bold red")
        )
    finally:
        _leave(folder, options, console, failed=failed)
    return 1 if failed else 0


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="overdial-demo-"))
    # The embedded Postgres gives up root's rights and must still get in.
    folder.chmod(0o755)
    return folder


def _leave(folder: Path, options: Options, console: Console, *, failed: bool) -> None:
    if options.keep and (folder / "postgres").exists():
        console.print(f"Kept, with its Postgres, which commands start when they need it: {folder}")
        console.print(f"  export DIALER_DATA={folder}", soft_wrap=True)
        console.print(f"  .venv/bin/dialer report attempts {CAMPAIGN}")
        console.print(f"When done: rm -r {folder}", style="dim", soft_wrap=True)
    elif failed:
        console.print(f"Logs and the carrier's books are in {folder}", soft_wrap=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


async def _set_stage(
    stack: AsyncExitStack, folder: Path, options: Options, console: Console
) -> Stage:
    names = people.agent_names(options.agents)
    file = await asyncio.to_thread(
        people.write_leads, folder, rows=options.leads, seed=options.seed
    )
    _say(
        console,
        f"Overdial demo: {options.leads} made-up leads, {options.agents} agents, and a telephone "
        "network in a box. Nothing leaves this machine.",
    )
    life_s = round(60 * options.minutes) + _SPARE_LIFE_S
    carrier = await stack.enter_async_context(
        Carrier(folder / "carrier", pace=options.tempo.pace, life_s=life_s)
    )
    phones = await stack.enter_async_context(PhoneBank(names=names))
    console.print(
        f"The lab is up: a carrier at {carrier.uri} and {len(phones)} agents' phones.", style="dim"
    )
    shell = Shell(folder, service.settings(folder), console)
    shell.echo("serve")
    serve = await stack.enter_async_context(service.served(shell))
    dsn = await asyncio.to_thread(service.dsn_of, folder)
    shell.environment = {**shell.environment, "DIALER_DATABASE_URL": dsn}
    console.print(f"  Ready, with its own Postgres in {folder / 'postgres'}", style="dim")
    pool = await database.open_pool(dsn, size=3)
    stack.push_async_callback(pool.close)
    return Stage(options, console, shell, pool, serve, carrier, phones, file)


async def _play(stage: Stage) -> bool:
    options, console = stage.options, stage.console
    await _prepare(stage)
    async with stage.shell.background(
        *_simulated(stage), log=AGENTS_LOG, grace_s=AGENTS_LEAVE_WITHIN_S
    ) as agents:
        await _until_ready(stage, agents)
        await _seed_history(stage)
        await stage.shell.run("campaign", "start", CAMPAIGN)
        _say(console, "Calling. The same board: `dialer campaign watch`.")
        finished = await watching.until_done(
            stage.pool,
            CAMPAIGN,
            console,
            every_s=options.tempo.look_every_s,
            minutes=options.minutes,
            check=stage.check,
            picture=options.picture,
        )
        if finished:
            console.print("Nobody is left to call now, and no call is in flight.")
        else:
            console.print(f"The time is up ({options.minutes:g} minutes of calling).")
        await stage.shell.run("campaign", "stop", CAMPAIGN)
        stopped = await watching.until_stopped(
            stage.pool, CAMPAIGN, every_s=options.tempo.look_every_s, check=stage.check
        )
    await _until_quiet(stage)
    await stage.shell.show("report", "campaign", CAMPAIGN)
    found = closing.verify(await _evidence(stage, stopped=stopped, finished=finished))
    closing.show(console, found)
    return found.balances


async def _prepare(stage: Stage) -> None:
    """Do what a user would do before the first call, with the commands a user has."""
    shell, options = stage.shell, stage.options
    channels = max(10, _CHANNELS_PER_AGENT * options.agents)
    _say(stage.console, "A trunk, a campaign, the numbers not to call, the list:")
    await shell.run(
        "trunk", "add", TRUNK, "--kind", "lab", "--host", "127.0.0.1",
        "--port", str(stage.carrier.port), "--caller-id", CALLER_ID,
        "--channels", str(channels), "--calls-per-second", str(2 * options.agents),
    )  # fmt: skip
    regions = [word for region in people.REGIONS for word in ("--region", region)]
    await shell.run(
        "campaign", "create", CAMPAIGN, "--seller", SELLER, "--profile", PROFILE,
        "--mode", "predictive", "--trunk", TRUNK, *regions,
        "--set", f"ring_timeout_s={options.tempo.ring_timeout_s:g}",
        "--set", f"retry.busy.delay_s={options.tempo.busy_again_s:g}",
        "--set", "max_attempts=2",
    )  # fmt: skip
    await shell.run("dnc", "import", stage.file.do_not_call.name, "--seller", SELLER)
    await shell.run(
        "leads", "import", stage.file.leads.name, "--campaign", CAMPAIGN, lines=20, after="Import"
    )
    await shell.run("dnc", "add", stage.file.suppressed[-1], "--seller", SELLER, lines=2)
    _say(stage.console, f"{options.agents} agents, each with a phone that stays off the hook:")
    first, *others = stage.phones
    await shell.run("agents", "add", first.name, "--phone", first.uri, lines=0)
    await shell.run("agents", "assign", first.name, CAMPAIGN, lines=0)
    # The same in one command each, a few at a time: every command is a Python of its own.
    gate = asyncio.Semaphore(_COMMANDS_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for phone in others:
            group.create_task(_add_agent(shell, phone, gate), name=f"add-{phone.name}")
    if others:
        names = ", ".join(phone.name for phone in others)
        stage.console.print(f"  … and the same for {names}", style="dim", soft_wrap=True)


async def _add_agent(shell: Shell, phone: Phone, gate: asyncio.Semaphore) -> None:
    async with gate:
        words = ("agents", "add", phone.name, "--phone", phone.uri, "--campaign", CAMPAIGN)
        await shell.run(*words, quiet=True)


def _simulated(stage: Stage) -> tuple[str, ...]:
    names = [phone.name for phone in stage.phones]
    return (
        "agents", "simulate", *names, "--auto", "--seed", str(stage.options.seed),
        "--wrap-up", f"{stage.options.tempo.wrap_up_s:g}",
    )  # fmt: skip


async def _until_ready(stage: Stage, agents: asyncio.subprocess.Process) -> None:
    stage.shell.echo(*_simulated(stage))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(AGENTS_READY_WITHIN_S):
            while True:
                stage.check()
                if agents.returncode is not None:
                    said = stage.shell.last_line(AGENTS_LOG)
                    raise UserError(f"The agents could not log in: {said}")
                ready = await stage.pool.fetchval(
                    "SELECT count(*) FROM agent_session WHERE state = 'ready'"
                )
                if ready == len(stage.phones):
                    stage.console.print(
                        f"  All {ready} phones were called, answered, and stay up.", style="dim"
                    )
                    return
                await asyncio.sleep(0.1)
    raise UserError(
        f"Not every agent was ready after {AGENTS_READY_WITHIN_S:.0f} s: "
        f"{stage.shell.last_line(AGENTS_LOG)}"
    )


async def _seed_history(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        campaign = await campaigns.get(connection, CAMPAIGN)
        now = await connection.fetchval("SELECT clock_timestamp()")
        # Should the hour end before the start does, the history must not lie before it.
        await ledger.seed(
            connection,
            campaign,
            answered_by_person=SEEDED_ANSWERED,
            abandoned=SEEDED_ABANDONED,
            hour=now + timedelta(minutes=1),
        )
    _say(
        stage.console,
        f"SEEDED, NOT REAL: the campaign is given a history of {SEEDED_ANSWERED:,} answered calls, "
        f"{SEEDED_ABANDONED} of them abandoned, so that the abandonment guard is past its warm-up. "
        "It is marked as seeded everywhere and in no figure of the report.",
    )


async def _until_quiet(stage: Stage) -> None:
    """Give the last BYEs a moment; what is then still up at the carrier is reported."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(QUIET_WITHIN_S):
            while books.unfinished(stage.carrier.calls()):  # noqa: ASYNC110 - it is a file
                await asyncio.sleep(0.2)


async def _evidence(stage: Stage, *, stopped: bool, finished: bool) -> closing.Evidence:
    board = await read_board(stage.pool, CAMPAIGN)
    return closing.Evidence(
        ours=await records.read_calls(stage.pool, board.campaign_id),
        theirs=await asyncio.to_thread(stage.carrier.calls),
        standing=await records.read_standing(stage.pool, board.campaign_id),
        report=await read_report(stage.pool, CAMPAIGN),
        file=stage.file,
        stopped=stopped,
        was_cut_short=not finished,
        ring_min_s=profiles.get(PROFILE).ring_min_s,
    )


def _say(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold cyan"))
