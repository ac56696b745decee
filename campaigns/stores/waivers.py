"""Waivers: one rule lifted for one campaign until a day, signed by name; nothing is ever edited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from campaigns.errors import UserError
from campaigns.model import new_id
from campaigns.rules.gate import RULE_TEXT, WAIVABLE, Rule
from campaigns.stores import campaigns, leads

if TYPE_CHECKING:
    from campaigns.stores.database import Connection

LONGEST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Waiver:
    """The latest word on one rule of a campaign; `until` is None once it is withdrawn."""

    campaign: str
    rule: str
    signed_by: str
    reason: str
    until: date | None
    signed_at: datetime


async def sign(
    connection: Connection, campaign: str, rule: str, *, by: str, reason: str, until: date
) -> None:
    """Lift *rule* for *campaign* through the day *until*; raises `UserError` when that cannot be.

    Not every rule can be lifted: `campaigns.rules.rule_ids.WAIVABLE` are those whose binding force
    is for counsel to judge.
    """
    wanted = _waivable(rule)
    if not by.strip() or not reason.strip():
        raise UserError("A waiver needs the name of who signs it and the reason.")
    row = await campaigns.get(connection, campaign)
    today: date = await connection.fetchval("SELECT clock_timestamp()::date")
    if not 0 <= (until - today).days <= LONGEST_DAYS:
        raise UserError(
            f"A waiver ends on a day from today to a year ahead: {until} is none of them."
        )
    async with connection.transaction():
        await _write(connection, row.id, wanted, "signed", by=by, reason=reason, until=until)
        await leads.release_held(connection, row.id)


async def withdraw(
    connection: Connection, campaign: str, rule: str, *, by: str, reason: str
) -> None:
    """End a waiver at once; raises `UserError` if there is none to end."""
    wanted = _waivable(rule)
    if not by.strip() or not reason.strip():
        raise UserError("Withdrawing a waiver needs the name of who does it and the reason.")
    row = await campaigns.get(connection, campaign)
    known = [w for w in await of_campaign(connection, campaign) if w.rule == wanted]
    if not known or known[0].until is None:
        raise UserError(f"Campaign {campaign!r} has no waiver of {wanted}: nothing was changed.")
    await _write(connection, row.id, wanted, "withdrawn", by=by, reason=reason, until=None)


async def of_campaign(connection: Connection, campaign: str) -> list[Waiver]:
    """Return the latest event about each rule that was ever waived for a campaign."""
    row = await campaigns.get(connection, campaign)
    rows = await connection.fetch(
        "SELECT DISTINCT ON (w.rule) w.rule, w.signed_by, w.reason, w.until, w.signed_at"
        " FROM waiver_event w WHERE w.campaign_id = $1"
        " ORDER BY w.rule, w.signed_at DESC, w.id DESC",
        row.id,
    )
    return [Waiver(campaign=campaign, **dict(found)) for found in rows]


def _waivable(rule: str) -> Rule:
    if rule in set(Rule) and Rule(rule) in WAIVABLE:
        return Rule(rule)
    known = ", ".join(sorted(WAIVABLE))
    what = f"{rule} ({RULE_TEXT[Rule(rule)]})" if rule in set(Rule) else repr(rule)
    raise UserError(f"No waiver can lift {what}: only {known}.")


async def _write(
    connection: Connection,
    campaign_id: object,
    rule: Rule,
    kind: str,
    *,
    by: str,
    reason: str,
    until: date | None,
) -> None:
    await connection.execute(
        "INSERT INTO waiver_event (id, campaign_id, rule, kind, signed_by, reason, until)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new_id(),
        campaign_id,
        rule,
        kind,
        by.strip(),
        reason.strip(),
        until,
    )
