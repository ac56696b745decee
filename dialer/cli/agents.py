"""`dialer agents`: people, their phones, and a desk on a terminal."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.errors import UserError
from campaigns.model import PhoneKind
from campaigns.rules import profiles
from campaigns.stores import agents, sessions
from campaigns.stores.agents import AgentRow, NewAgent
from dialer.cli import output, session, trial_view
from dialer.notify import Channel

if TYPE_CHECKING:
    from campaigns.stores.database import Pool

app = typer.Typer(no_args_is_help=True, help="People, their phones, and a desk on a terminal.")

TOKEN_VARIABLE = "DIALER_AGENT_TOKEN"  # noqa: S105 - the name of a variable

Name = Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")]
Campaigns = Annotated[
    list[str], typer.Argument(metavar="CAMPAIGN...", help="One or several campaigns.")
]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where the API answers; default this machine."),
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    phone: Annotated[
        str,
        typer.Option(
            help="sip:anna@192.0.2.10, an extension such as 201, a telephone number with +, "
            "or the IP address the agent calls in from."
        ),
    ],
    *,
    kind: Annotated[
        PhoneKind | None, typer.Option(help="What --phone is, should it be taken for another.")
    ] = None,
    display_name: Annotated[str, typer.Option(help="Name shown on screens.")] = "",
    trunk: Annotated[
        str | None, typer.Option(help="Trunk an extension or telephone is called through.")
    ] = None,
    pin_env: Annotated[
        str | None,
        typer.Option(help="Environment variable with the PIN of an agent who calls in."),
    ] = None,
    campaign: Annotated[
        list[str] | None, typer.Option("--campaign", help="Campaign to work for; repeat for more.")
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Add an agent and print the token for the agent's desk: it is shown only now."""
    phone_kind = kind or guess_kind(phone)
    new = NewAgent(
        name=name,
        phone_kind=phone_kind,
        phone_address=phone,
        display_name=display_name,
        trunk=trunk,
        pin=_pin(pin_env, phone_kind),
    )

    async def work(pool: Pool) -> tuple[AgentRow, str]:
        async with pool.acquire() as connection, connection.transaction():
            row, token = await agents.add(connection, new)
            if campaign:
                row = await agents.assign(connection, row.name, campaign)
        return row, token

    row, token = session.of(context).run(work)
    output.facts({**_facts(row), "token": token}, as_json=as_json, title=f"Agent {row.name} added")
    if not as_json:
        session.note("Keep the token: it is stored only as a hash and cannot be shown again.")


def guess_kind(phone: str) -> PhoneKind:
    """Return what kind of phone an address looks like.

    >>> guess_kind("201").value
    'extension'
    """
    if phone.startswith(("sip:", "sips:")):
        return PhoneKind.SIP_URI
    if phone.startswith("+"):
        return PhoneKind.TELEPHONE
    try:
        ipaddress.ip_address(phone)
    except ValueError:
        return PhoneKind.EXTENSION
    return PhoneKind.CALL_IN


@app.command("list")
def list_(context: typer.Context, *, as_json: output.AsJson = False) -> None:
    """List all agents with their phones, campaigns and present state."""

    async def work(pool: Pool) -> list[dict[str, object]]:
        async with pool.acquire() as connection:
            return [_facts(row) for row in await agents.list_agents(connection)]

    output.table(
        session.of(context).run(work),
        {
            "name": "Agent",
            "state": "State",
            "since": "Since",
            "reason": "Reason",
            "phone": "Phone",
            "kind": "Kind",
            "trunk": "Trunk",
            "campaigns": "Campaigns",
        },
        as_json=as_json,
        empty="There is no agent yet: add one with `dialer agents add`.",
    )


@app.command()
def assign(
    context: typer.Context,
    name: Name,
    campaigns: Campaigns,
    *,
    priority: Annotated[int, typer.Option(min=1, help="Lower is served first.")] = 1,
    as_json: output.AsJson = False,
) -> None:
    """Let an agent work for campaigns, besides those there are."""

    async def work(pool: Pool) -> AgentRow:
        async with pool.acquire() as connection:
            row = await agents.assign(connection, name, campaigns, priority=priority)
        await session.wake(pool, Channel.ENGINE)
        return row

    output.facts(_facts(session.of(context).run(work)), as_json=as_json)


@app.command()
def unassign(
    context: typer.Context, name: Name, campaigns: Campaigns, *, as_json: output.AsJson = False
) -> None:
    """Take campaigns away from an agent; a call in progress goes on."""

    async def work(pool: Pool) -> AgentRow:
        async with pool.acquire() as connection:
            row = await agents.unassign(connection, name, campaigns)
        await session.wake(pool, Channel.ENGINE)
        return row

    output.facts(_facts(session.of(context).run(work)), as_json=as_json)


@app.command()
def token(context: typer.Context, name: Name, *, as_json: output.AsJson = False) -> None:
    """Make a new token for an agent's desk; the old one is void at once."""

    async def work(pool: Pool) -> str:
        async with pool.acquire() as connection:
            return await agents.renew_token(connection, name)

    new = session.of(context).run(work)
    output.facts({"name": name, "token": new}, as_json=as_json)


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove an agent who never took a call; unassign others instead."""

    async def work(pool: Pool) -> None:
        async with pool.acquire() as connection:
            await agents.remove(connection, name)

    session.of(context).run(work)
    typer.echo(f"Agent {name} is removed.")


@app.command("log-out")
def log_out(context: typer.Context, name: Name) -> None:
    """Log an agent out: now, or after the call in progress."""

    async def work(pool: Pool) -> bool:
        async with pool.acquire() as connection:
            row = await agents.get(connection, name)
            if row.session_id is None:
                raise UserError(f"Agent {name!r} is not logged in.")
            at = await connection.fetchval("SELECT clock_timestamp()")
            held_by = await connection.fetchval(
                "SELECT process_id FROM agent_session WHERE id = $1", row.session_id
            )
            left = await sessions.log_out(connection, row.session_id, at=at)
        await session.wake(pool, Channel.AGENTS, row.session_id)
        await session.wake(pool, Channel.ENGINE)
        if held_by is not None:
            await session.wake(pool, Channel.LINES, held_by)
        return left is None

    done = session.of(context).run(work)
    typer.echo(f"Agent {name} is logged out{'' if done else ' after the call in progress'}.")


@app.command("test")
def try_out(context: typer.Context, name: Name, *, as_json: output.AsJson = False) -> None:
    """Call an agent's phone, echo its audio back, and name the leg that has no RTP."""
    from dialer.lines import trial

    current = session.of(context)
    config = current.with_dsn()

    async def work(pool: Pool) -> trial.Trial:
        async with asyncio.timeout(trial_view.LONGEST_S):
            return await trial.test_agent(config, pool, name)

    trial_view.show(current.run(work), as_json=as_json)


@app.command()
def login(
    context: typer.Context,
    *,
    token_file: Annotated[
        typer.FileText | None,
        typer.Option(help=f"File with the token; default {TOKEN_VARIABLE}, or asked for."),
    ] = None,
    url: Url = None,
) -> None:
    """Work as an agent on this terminal: your phone rings once and stays open for the shift."""
    from dialer.terminal import desk

    secret = token_file.read().strip() if token_file else os.environ.get(TOKEN_VARIABLE, "")
    if not secret:
        secret = typer.prompt("Token", hide_input=True).strip()
    asyncio.run(desk.work(url or session.of(context).config.api_url, secret))


@app.command(hidden=True)
def simulate(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Agents to play.")],
    *,
    auto: Annotated[bool, typer.Option("--auto", help="Say that nobody will be there.")] = False,
    seed: Annotated[int, typer.Option(help="Decides what they say.")] = 1,
    wrap_up: Annotated[float, typer.Option(min=0, max=600, help="Mean wrap-up, seconds.")] = 3.0,
    url: Url = None,
) -> None:
    """LAB ONLY: play agents that are always ready. Makes them new tokens. Ctrl-C logs them out."""
    from dialer.terminal import auto as robots

    if not auto:
        raise UserError("Nobody would answer the calls: say --auto if that is what you want.")
    current = session.of(context)
    tokens = current.run(lambda pool: lab_tokens(pool, names))

    async def play() -> list[robots.AutoAgent]:
        stop = asyncio.Event()
        for caught in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(caught, stop.set)
        return await robots.work(
            url or current.config.api_url, tokens, seed=seed, wrap_up_s=wrap_up, stop=stop
        )

    for agent in asyncio.run(play()):
        typer.echo(f"{agent.name}: {agent.calls} calls")


async def lab_tokens(pool: Pool, names: list[str]) -> dict[str, str]:
    """Return new tokens for agents who work for lab campaigns only; raises `UserError`."""
    tokens = {}
    async with pool.acquire() as connection, connection.transaction():
        for name in names:
            agent = await agents.get(connection, name)
            real = await connection.fetch(
                "SELECT c.name, c.profile FROM agent_campaign m"
                " JOIN campaign c ON c.id = m.campaign_id WHERE m.agent_id = $1",
                agent.id,
            )
            for row in real:
                if not profiles.get(row["profile"]).lab_only:
                    raise UserError(
                        f"Agent {name!r} works for campaign {row['name']!r}, which calls real "
                        "people: only lab campaigns may have agents that nobody is."
                    )
            tokens[name] = await agents.renew_token(connection, name)
    return tokens


def _facts(row: AgentRow) -> dict[str, object]:
    return {
        "name": row.name,
        "display_name": row.display_name,
        "state": row.state.value,
        "since": row.since,
        "reason": row.reason,
        "phone": row.phone_address,
        "kind": row.phone_kind.value,
        "trunk": row.trunk,
        "campaigns": [
            one.campaign if one.priority == 1 else f"{one.campaign} (priority {one.priority})"
            for one in row.assignments
        ],
    }


def _pin(variable: str | None, kind: PhoneKind) -> str | None:
    """Return the PIN from the environment, or ask for it: never from the command line."""
    if variable is not None:
        value = os.environ.get(variable)
        if not value:
            raise UserError(f"--pin-env names {variable}, which is not set: put the PIN into it.")
        return value
    if kind is PhoneKind.CALL_IN:
        return str(typer.prompt("PIN the agent enters", hide_input=True, confirmation_prompt=True))
    return None
