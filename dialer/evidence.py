"""The evidence package of a campaign: one ZIP whose figures can be worked out from its rows.

Compliance §9 LOG-2: attempts and events raw, the ledger and the rate derived from them with the ids
behind numerator and denominator, the profile in force with its version, the announcement, registry
versions with their hashes, waivers, day seals, and a manifest with the SHA-256 of every file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from campaigns.errors import UserError
from campaigns.stores import exports, records

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

_TABLES = (
    "attempts", "events", "dispositions", "ledger", "waivers", "registries", "seals", "imports",
)  # fmt: skip
_ANSWERED = """
SELECT id, abandoned FROM attempt
WHERE campaign_id = $1 AND claimed_at >= $2 AND claimed_at < $3 AND answered_by_person
ORDER BY claimed_at, id
"""


async def write_package(
    connection: Connection, campaign: CampaignRow, path: Path, *, since: datetime, until: datetime
) -> dict[str, int]:
    """Write the package to *path* and return how many rows each table has; raises `UserError`.

    All of it is read in one transaction. The file is readable by its owner only: it holds telephone
    numbers.
    """
    period = {"campaign_id": campaign.id, "since": since, "until": until}
    draft = path.with_name(f".{path.name}.draft")
    sums: dict[str, str] = {}
    rows: dict[str, int] = {}
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as package:
            draft.chmod(0o600)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                for name in _TABLES:
                    with _Entry(package, f"{name}.csv", sums) as out:
                        rows[name] = await exports.write(connection, name, out, **period)
                with _Entry(package, "abandonment.json", sums) as out:
                    out.write(_as_json(await _abandonment(connection, campaign, since, until)))
                checked, gaps = await records.gaps(connection, since=since, until=until)
                with _Entry(package, "completeness.json", sums) as out:
                    found = [dataclasses.asdict(gap) for gap in gaps]
                    out.write(_as_json({"records": checked, "gaps": found}))
                with _Entry(package, "campaign.json", sums) as out:
                    out.write(_as_json(_terms(campaign)))
            manifest = {
                "campaign": campaign.name,
                "since": since,
                "until": until,
                "made_at": datetime.now(UTC),
                "rows": rows,
                "sha256": sums,
            }
            package.writestr("manifest.json", _as_json(manifest))
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        draft.unlink(missing_ok=True)
    return rows


class _Entry:
    """A text file inside the package, whose SHA-256 is noted when it is complete."""

    def __init__(self, package: zipfile.ZipFile, name: str, sums: dict[str, str]) -> None:
        self._name, self._sums = name, sums
        self._out = package.open(name, "w", force_zip64=True)
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._sums[self._name] = self._digest.hexdigest()

    def write(self, text: str, /) -> None:
        data = text.encode()
        self._digest.update(data)
        self._out.write(data)


async def _abandonment(
    connection: Connection, campaign: CampaignRow, since: datetime, until: datetime
) -> Mapping[str, Any]:
    """Return the rate of the period with the ids of the calls behind it."""
    answered = await connection.fetch(_ANSWERED, campaign.id, since, until)
    abandoned = [row["id"] for row in answered if row["abandoned"]]
    return {
        "definition": "abandoned / answered by a person, over closed attempts of the period",
        "numerator": len(abandoned),
        "denominator": len(answered),
        "abandoned_attempts": abandoned,
        "answered_attempts": [row["id"] for row in answered],
    }


def _terms(campaign: CampaignRow) -> Mapping[str, Any]:
    announcement = campaign.settings.announcement or ""
    return {
        "campaign": campaign.name,
        "seller": campaign.seller,
        "purpose": campaign.purpose,
        "mode": campaign.mode,
        "regions": sorted(campaign.regions),
        "profile": None if campaign.profile is None else dataclasses.asdict(campaign.profile),
        "announcement": announcement,
        "announcement_sha256": hashlib.sha256(announcement.encode()).hexdigest(),
        "settings": campaign.settings.model_dump(mode="json"),
    }


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
