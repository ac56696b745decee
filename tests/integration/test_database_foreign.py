"""A database that is somebody else's."""

from __future__ import annotations

import asyncpg
import pytest

from campaigns.errors import DatabaseError
from campaigns.stores import database


async def test_database_of_another_program(cluster: str) -> None:
    """
    Where another program has a table of our name nothing is changed, and one sentence says so.
    """
    name = "foreign_tables"
    admin = await asyncpg.connect(cluster)
    await admin.execute(f"CREATE DATABASE {name}")
    head, _, query = cluster.partition("?")
    dsn = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    try:
        theirs = await asyncpg.connect(dsn)
        await theirs.execute("CREATE TABLE campaign (id integer)")
        with pytest.raises(DatabaseError, match="another program"):
            await database.migrate(dsn)
        left = await theirs.fetchval("SELECT to_regclass('schema_migration')")
        await theirs.close()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()

    assert left is None
