"""National do-not-call registries and number services: what was loaded, when, and of which date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.rules import registries
from campaigns.stores.consents import release_numbers

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

_KINDS = ("litigator", "reassigned")
_ANSWERS = ("yes", "no", "no_data")


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """One load of a registry; `version_at` is the registry's own date of the file."""

    registry: str
    version_at: datetime
    loaded_at: datetime
    loaded_by: str
    account: str
    file: str
    sha256: str
    numbers: int


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is known of a file before it is loaded."""

    registry: str
    version_at: datetime
    file: str
    sha256: str
    loaded_by: str
    account: str = ""


async def load(connection: Connection, new: NewVersion, numbers: Iterable[str]) -> int:
    """Replace a registry's numbers by *numbers* (E.164); return how many there are.

    One transaction: calls are judged by the old version until the new one is whole. Raises
    `UserError` for an unknown registry, an older version than the one in use, or an empty file.
    """
    if new.registry not in registries.table():
        known = ", ".join(registries.table())
        raise UserError(f"There is no registry {new.registry!r}: choose one of {known}.")
    wanted = sorted(set(numbers))
    if not wanted:
        raise UserError(
            f"{new.file} holds no number: an empty registry would allow every call. "
            "Nothing was changed."
        )
    async with connection.transaction():
        newest = await connection.fetchval(
            "SELECT max(version_at) FROM registry_version WHERE registry = $1", new.registry
        )
        if newest is not None and newest > new.version_at:
            raise UserError(
                f"{new.registry} is loaded in a version of {newest:%Y-%m-%d %H:%M} UTC, newer than "
                "this file's: nothing was changed."
            )
        await connection.execute("DELETE FROM registry_number WHERE registry = $1", new.registry)
        await connection.copy_records_to_table(
            "registry_number",
            records=[(new.registry, number) for number in wanted],
            columns=("registry", "number"),
            timeout=3600,
        )
        await connection.execute(
            "INSERT INTO registry_version (id, registry, version_at, loaded_by, account, file,"
            " sha256, numbers) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            new_id(),
            new.registry,
            new.version_at,
            new.loaded_by,
            new.account,
            new.file,
            new.sha256,
            len(wanted),
        )
    return len(wanted)


async def versions(connection: Connection, *, newest_only: bool = True) -> list[RegistryVersion]:
    """Return the registries' versions in use, or every load there ever was, newest first."""
    rows = await connection.fetch(
        """
        SELECT v.registry, v.version_at, v.loaded_at, v.loaded_by, v.account, v.file, v.sha256,
               v.numbers
        FROM registry_version v
        WHERE NOT $1 OR v.id = (SELECT n.id FROM registry_version n WHERE n.registry = v.registry
                                ORDER BY n.loaded_at DESC, n.id DESC LIMIT 1)
        ORDER BY v.loaded_at DESC, v.id DESC
        """,
        newest_only,
    )
    return [RegistryVersion(**dict(row)) for row in rows]


async def screen(
    connection: Connection,
    answers: Sequence[tuple[str, str]],
    *,
    kind: str,
    checked_at: datetime,
    source: str,
) -> int:
    """Record a service's answers, (E.164 number, yes|no|no_data), about litigators or reassignment.

    Returns how many said yes. Raises `UserError` for an unknown kind or answer.
    """
    if kind not in _KINDS:
        raise UserError(f"There is no screening {kind!r}: choose one of {', '.join(_KINDS)}.")
    wrong = next((answer for _, answer in answers if answer not in _ANSWERS), None)
    if wrong is not None:
        raise UserError(f"{wrong!r} is no answer: use one of {', '.join(_ANSWERS)}.")
    async with connection.transaction():
        await connection.executemany(
            "INSERT INTO number_screening (id, number, kind, answer, checked_at, source)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            [(new_id(), number, kind, answer, checked_at, source) for number, answer in answers],
        )
        await release_numbers(connection, [number for number, _ in answers])
    return sum(answer == "yes" for _, answer in answers)
