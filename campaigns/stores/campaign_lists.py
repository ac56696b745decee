"""Which lists a campaign calls: attached in an order, resting, or taken away again.

A call in flight belongs to its lead, not to the list's place in the campaign: it goes on, and its
lead's future is settled, whatever happens to the list meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from campaigns.errors import UserError
from campaigns.stores import campaigns, leads

if TYPE_CHECKING:
    from campaigns.stores.database import Connection
    from campaigns.stores.leads import ListRow


async def attach(
    connection: Connection, campaign_id: UUID, name: str, *, priority: int = 1
) -> ListRow:
    """Let the campaign call the list *name*, or call it again; raises `UserError`."""
    found = await named(connection, name)
    await campaigns.attach_list(connection, campaign_id, found.id, priority=priority)
    return found


async def detach(connection: Connection, campaign_id: UUID, name: str) -> ListRow:
    """Have the campaign call the list *name* no longer; raises `UserError` if it does not."""
    found = await named(connection, name, campaign_id)
    await connection.execute(
        "DELETE FROM campaign_list WHERE campaign_id = $1 AND list_id = $2", campaign_id, found.id
    )
    return found


async def activate(
    connection: Connection, campaign_id: UUID, name: str, *, active: bool
) -> ListRow:
    """Let the campaign's list *name* rest in its place, or be called again; raises `UserError`."""
    found = await named(connection, name, campaign_id)
    await connection.execute(
        "UPDATE campaign_list SET active = $3 WHERE campaign_id = $1 AND list_id = $2",
        campaign_id,
        found.id,
        active,
    )
    return found


async def named(connection: Connection, name: str, campaign_id: UUID | None = None) -> ListRow:
    """Return the list *name*, among a campaign's if one is given; raises `UserError`.

    Of several lists of one name none is meant for certain, so that is refused too.
    """
    known = [row for row in await leads.lists(connection, campaign_id) if row.name == name]
    if len(known) == 1:
        return known[0]
    if known:
        raise UserError(
            f"{len(known)} lists are named {name!r}, so which one is meant is unclear: "
            "nothing was changed."
        )
    if campaign_id is None:
        raise UserError(f"There is no list {name!r}: `dialer leads lists` names them all.")
    raise UserError(
        f"The campaign has no list {name!r}: `dialer campaign lists NAME` shows those it has."
    )
