"""Trunks of the settings file into the trunk table, and line processes told to look again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from campaigns.model import ProcessKind
from campaigns.stores import line_commands, trunks
from campaigns.stores.line_commands import CommandKind
from campaigns.stores.trunks import NewTrunk, TrunkRow
from dialer import processes
from dialer.notify import Channel
from dialer.trunk_section import TrunkSection

if TYPE_CHECKING:
    from campaigns.stores.database import Pool


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync did: the trunks as they are now, and those of the table no file names."""

    trunks: tuple[TrunkRow, ...]
    others: tuple[str, ...]


def new_trunk(section: TrunkSection) -> NewTrunk:
    """Return the section as the store takes it; raises `UserError` when its password is missing."""
    return NewTrunk(
        name=section.name,
        kind=section.kind,
        host=section.host,
        port=section.port,
        transport=section.transport,
        username=section.username,
        password=section.password(),
        settings=section.settings,
        caller_ids=section.caller_ids,
        enabled=section.enabled,
        priority=section.priority,
        weight=section.weight,
        channels=section.channels,
        calls_per_second=section.calls_per_second,
        calls_per_day=section.calls_per_day,
        minutes_per_day=section.minutes_per_day,
    )


async def sync(pool: Pool, sections: Sequence[TrunkSection]) -> Synced:
    """Make the trunks of *sections* what they say, all or none; others are left as they are."""
    wanted = [new_trunk(section) for section in sections]
    async with pool.acquire() as connection, connection.transaction():
        made = [await trunks.put(connection, new) for new in wanted]
        known = await trunks.list_trunks(connection)
    if made:
        await reload_lines(pool)
    names = {trunk.name for trunk in made}
    return Synced(tuple(made), tuple(row.name for row in known if row.name not in names))


async def reload_lines(pool: Pool) -> None:
    """Have every line process read the trunks again."""
    for process in await processes.alive(pool, ProcessKind.LINES):
        async with pool.acquire() as connection:
            await line_commands.send(connection, process.id, CommandKind.RELOAD)
        await pool.execute("SELECT pg_notify($1, $2)", Channel.LINES.value, str(process.id))
