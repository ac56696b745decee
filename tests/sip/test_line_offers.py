"""What a line process offers: each trunk its own codecs, whatever other trunks ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siplab.phones import PhoneBank

if TYPE_CHECKING:
    from tests.laboratory import Laboratory

PEOPLE = ("+12025550101", "+12025550102", "+12025550103")


async def _offered(lab: Laboratory, bank: PhoneBank, number: str) -> list[str]:
    """Call *number*; return the encoding names of the INVITE's audio in order, but for events."""
    bank[number].refuses_with = "486 Busy Here"
    await lab.until(await lab.dial(number), "ended")
    invite = bank[number].invite
    assert invite is not None
    static = {"0": "PCMU", "8": "PCMA"}
    lines = invite.body.splitlines()
    names = static | {
        line.removeprefix("a=rtpmap:").split(" ")[0]: line.split(" ")[1].split("/")[0]
        for line in lines
        if line.startswith("a=rtpmap:")
    }
    (audio,) = [line for line in lines if line.startswith("m=audio ")]
    offered = [names[kind] for kind in audio.split(" ")[3:]]
    return [name for name in offered if name != "telephone-event"]


async def test_each_trunk_is_offered_its_own_codecs(lab: Laboratory) -> None:
    """
    G.711 alone by default, also after a trunk with more codecs in an order of its own.
    """
    async with PhoneBank(names=PEOPLE) as bank:
        await lab.trunk_to(bank.port)
        before = await _offered(lab, bank, PEOPLE[0])
        plain = lab.world.trunk_id
        lab.world.trunk_id = await lab.second_trunk(
            bank.port, settings={"codecs": ["GSM", "PCMA"], "ptime_ms": 40}
        )
        special = await _offered(lab, bank, PEOPLE[1])
        lab.world.trunk_id = plain
        after = await _offered(lab, bank, PEOPLE[2])

    assert ["PCMU", "PCMA"] == before
    assert ["GSM", "PCMA"] == special
    assert before == after
