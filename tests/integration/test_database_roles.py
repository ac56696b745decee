"""A role of Postgres that may read and write rows and nothing more runs the service."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from campaigns.errors import DatabaseError
from campaigns.stores import campaigns, database
from campaigns.stores.campaigns import NewCampaign

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "own-postgres.md"


def _grants() -> str:
    """Return the statements the page tells an operator to run, its second block of SQL."""
    blocks: list[str] = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return blocks[1]


@pytest.fixture
async def role(dsn: str) -> AsyncIterator[str]:
    """Yield the name of a role that can log in and nothing else."""
    name = f"app_{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(dsn)
    await owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'tested'")
    try:
        yield name
    finally:
        await owner.execute(f"DROP OWNED BY {name}")
        await owner.execute(f"DROP ROLE {name}")
        await owner.close()


def _as(dsn: str, role: str) -> str:
    return re.sub(r"//[^@]*@", f"//{role}:tested@", dsn)


async def test_role_with_the_documented_grants(dsn: str, role: str) -> None:
    """
    With the grants of docs/howto/own-postgres.md the service works and makes its partitions.
    """
    owner = await asyncpg.connect(dsn)
    await owner.execute(_grants().replace("overdial_app", role))
    await owner.close()

    assert [] == await database.migrate(_as(dsn, role))
    pool = await database.open_pool(_as(dsn, role), size=2)
    ahead = datetime.now(UTC) + timedelta(days=100)
    async with pool.acquire() as connection:
        new = NewCampaign(name="Spring", seller="Acme", profile="us-tsr", regions=["US"])
        made = await campaigns.create(connection, new)
        await connection.execute("SELECT ensure_partitions($1)", ahead)
        dropped = await connection.fetchval("SELECT drop_old_decisions($1)", ahead)
    await pool.close()

    assert "Spring" == made.name
    assert 0 < dropped


async def test_gate_4_only_the_compliance_role_signs_waivers(dsn: str, role: str) -> None:
    """
    GATE-4: with the documented grants the service reads waivers and cannot sign one.
    """
    officer = f"{role}_law"
    blocks = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    [third] = [block for block in blocks if "overdial_compliance" in block]
    sign = (
        "INSERT INTO waiver_event (id, campaign_id, rule, kind, signed_by, reason, until)"
        " SELECT gen_random_uuid(), id, 'TCPA-7', 'signed', 'Counsel', 'test', current_date"
        " FROM campaign"
    )
    owner = await database.connect(dsn)
    try:
        await campaigns.create(owner, NewCampaign("Spring", "Acme", "us-tsr", ["US"]))
        await owner.execute(_grants().replace("overdial_app", role))
        statements = third.replace("overdial_app", role).replace("overdial_compliance", officer)
        await owner.execute(statements.replace("change me three", "tested"))
        service = await asyncpg.connect(_as(dsn, role))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(sign)
        read = await service.fetchval("SELECT count(*) FROM waiver_event")
        await service.close()
        law = await asyncpg.connect(_as(dsn, officer))
        signed = await law.execute(sign)
        await law.close()
    finally:
        await owner.execute(f"DROP OWNED BY {officer}")
        await owner.execute(f"DROP ROLE {officer}")
        await owner.close()

    assert (0, "INSERT 0 1") == (read, signed)


async def test_role_that_may_not_make_tables(cluster: str, dsn: str, role: str) -> None:
    """
    A role that may not change an old schema is told who may, in one sentence.
    """
    name = f"empty_{role}"
    admin = await asyncpg.connect(cluster)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        with pytest.raises(DatabaseError, match="may not make tables"):
            await database.migrate(_as(re.sub(r"test_\w+", name, dsn), role))
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
