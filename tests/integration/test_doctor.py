"""`dialer doctor` against a real Postgres."""

from __future__ import annotations

import asyncpg

from dialer import doctor
from dialer.config import Config
from dialer.machine import Level


async def test_migrated_database_is_in_order(dsn: str) -> None:
    """
    A reachable Postgres with this program's schema gives three good checks.
    """
    found = await doctor.postgres_checks(dsn, Config(database_url=dsn))

    assert ["postgres", "schema", "clock skew"] == [check.name for check in found]
    assert {Level.OK} == {check.level for check in found}, found


async def test_database_of_a_newer_program(dsn: str) -> None:
    """
    A schema this program does not know is refused with the way out.
    """
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO schema_migration (version, name, checksum) VALUES (9999, 'later', 'x')"
    )
    await connection.close()

    _, schema, _ = await doctor.postgres_checks(dsn, Config(database_url=dsn))

    assert Level.BAD is schema.level
    assert "9999" in schema.sentence
    assert "Upgrade" in (schema.remedy or "")
