"""The lab's agent phones: they answer, stay up, hear and can be made to misbehave."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from siplab import probe
from siplab.phone_control import obey, obey_socket
from siplab.phones import CallError, Line, PhoneBank, PhoneError, RefusedError, Wish
from siplab.sdp import Direction

PATIENCE_S = 30.0


@pytest.fixture
async def bank() -> AsyncIterator[PhoneBank]:
    """Return four phones that keep what they hear."""
    async with PhoneBank(4, keep_audio_s=20) as phones:
        yield phones


async def test_both_sides_hear_each_others_tone(bank: PhoneBank) -> None:
    """
    Two phones in a call hear all the other sends, each the other's own tone.
    """
    caller, called = bank["agent1"], bank["agent2"]
    await caller.call(called.uri)
    await asyncio.sleep(2.0)

    # A packet may be under way, and the first few come before the caller knows it is answered.
    assert called.packets_sent - 10 <= caller.ear.total <= called.packets_sent
    assert caller.packets_sent - 10 <= called.ear.total <= caller.packets_sent
    assert round(caller.ear.frequency()) == pytest.approx(called.tone_hz, abs=2)
    assert round(called.ear.frequency()) == pytest.approx(caller.tone_hz, abs=2)
    assert (0, 0) == (caller.ear.lost, called.ear.lost)


async def test_no_two_phones_of_a_team_sound_alike() -> None:
    """
    The tone tells who is heard.
    """
    async with PhoneBank(40) as bank:
        assert 40 == len({phone.tone_hz for phone in bank})


async def test_digits_arrive_in_order(bank: PhoneBank) -> None:
    """
    A PIN pressed at one phone is read at the other, each digit once.
    """
    caller, called = bank["agent1"], bank["agent2"]
    await caller.call(called.uri)
    await caller.press("0429#")
    await asyncio.sleep(0.2)

    assert "0429#" == "".join(digit for _, digit in called.ear.digits)


async def test_hold_and_resume(bank: PhoneBank) -> None:
    """
    A phone that holds the call goes on sending but is sent nothing until it resumes.
    """
    caller, called = bank["agent1"], bank["agent2"]
    await caller.call(called.uri)
    await called.hold()

    assert (Direction.RECVONLY, Direction.SENDONLY) == (caller.direction, called.direction)
    await asyncio.sleep(0.1)
    held = time.time()
    await asyncio.sleep(0.5)
    assert 0 == called.ear.delivery(held, time.time()).received
    assert caller.ear.delivery(held, time.time()).received > 10
    await called.resume()
    resumed = time.time()
    await asyncio.sleep(0.5)
    assert called.ear.first_after(resumed) is not None


async def test_phone_goes_silent_and_the_call_stays_up(bank: PhoneBank) -> None:
    """
    A phone whose network is pulled sends no RTP, and its call does not end by that.
    """
    caller, called = bank["agent1"], bank["agent2"]
    await caller.call(called.uri)
    await asyncio.sleep(0.3)
    called.go_silent()
    await asyncio.sleep(0.1)
    silent_from = time.time()
    await asyncio.sleep(0.5)

    assert 0 == caller.ear.delivery(silent_from, time.time()).received
    assert len(caller.ear.gaps(silent_from, time.time(), longer_than=0.4)) == 1
    assert called.is_up
    called.speak_again()
    await asyncio.sleep(0.3)
    assert caller.ear.first_after(silent_from + 0.5) is not None


async def test_hanging_up_ends_both_sides(bank: PhoneBank) -> None:
    """
    Either side's BYE lays the other phone down, which can take a new call then.
    """
    caller, called = bank["agent1"], bank["agent2"]
    await caller.call(called.uri)
    assert 200 == await called.hang_up()
    await caller.until(Line.IDLE)

    await called.call(caller.uri)
    assert 200 == await called.hang_up()
    await caller.until(Line.IDLE)
    assert (1, 1) == (called.calls, caller.calls)


async def test_phone_refuses(bank: PhoneBank) -> None:
    """
    A phone set to refuse does so with the status asked for; a taken one is busy.
    """
    caller, called, third = bank["agent1"], bank["agent2"], bank["agent3"]
    called.refuses_with = "603 Decline"
    with pytest.raises(RefusedError) as refused:
        await caller.call(called.uri)
    assert 603 == refused.value.status

    await caller.call(third.uri)
    with pytest.raises(RefusedError) as taken:
        await called.call(third.uri)
    assert 486 == taken.value.status


async def test_phone_that_nobody_picks_up(bank: PhoneBank) -> None:
    """
    An ignored phone rings until the caller gives up, and is free afterwards.
    """
    caller, called = bank["agent1"], bank["agent2"]
    called.answers = False
    with pytest.raises(RefusedError) as given_up:
        await caller.call(called.uri, Wish(give_up_after=0.5))

    assert 487 == given_up.value.status
    await called.until(Line.IDLE)
    assert ["invited", "cancelled"] == [
        event.what for event in bank.history if event.phone == called.name
    ]


async def test_phone_rings_before_it_answers(bank: PhoneBank) -> None:
    """
    A ringing time is kept before the phone is picked up.
    """
    caller, called = bank["agent1"], bank["agent2"]
    called.answer_after = 0.5
    started = time.time()
    await caller.call(called.uri)

    assert [180] == caller.progress.provisional
    assert time.time() - started >= 0.5


async def test_customers_can_be_phones_too(bank: PhoneBank) -> None:
    """
    A bank named by telephone numbers stands in for a carrier, with speech instead of tones.
    """
    async with PhoneBank(names=["+12125550101"], keep_audio_s=10) as customers:
        customer = customers["+12125550101"]
        customer.sound = "person_en1"
        await bank["agent1"].call(customer.uri)

        assert await bank["agent1"].until_loud(0.0, timeout_s=PATIENCE_S)
        assert customer.uri == f"sip:+12125550101@127.0.0.1:{customers.port}"


async def test_power_cut_leaves_the_other_side_up(bank: PhoneBank) -> None:
    """
    Phones that vanish send no BYE: the other side notices by the missing audio only.
    """
    other = PhoneBank(1, prefix="gone")
    await other.start()
    await bank["agent1"].call(other["gone1"].uri)
    await other.vanish()
    await asyncio.sleep(0.2)
    cut = time.time()
    await asyncio.sleep(0.5)

    assert bank["agent1"].is_up
    assert 0 == bank["agent1"].ear.delivery(cut, time.time()).received
    assert 0 == await bank["agent1"].hang_up()


async def test_asking_a_phone_without_a_call(bank: PhoneBank) -> None:
    """
    Hanging up, holding or pressing needs a call, and says so.
    """
    for ask in (bank["agent1"].hang_up(), bank["agent1"].hold(), bank["agent1"].press("1")):
        with pytest.raises(PhoneError, match="agent1 has no call"):
            await ask


async def test_strangers_at_the_phones_port(bank: PhoneBank) -> None:
    """
    Unknown names, transfers and requests to no call get the statuses RFC 3261 wants.
    """
    host, port = bank.host, bank.port

    assert 200 == (await probe.options(host, port)).status
    assert 404 == (await probe.stray_invite(host, port, user="nobody")).status
    assert 200 == (await probe.stray_invite(host, port, user="agent1")).status
    assert 603 == (await probe.refer(host, port, user="agent1")).status
    gone = await probe.request("BYE", host, port, user="agent1", to_tag="x")
    assert 481 == gone.status
    await bank["agent1"].until(Line.IDLE)


async def test_probe_of_nobody_times_out(bank: PhoneBank) -> None:
    """
    A probe that nothing answers ends in one clear error.
    """
    port = bank.port
    await bank.vanish()

    with pytest.raises(probe.NoResponseError, match="no final response to OPTIONS within 1 s"):
        await probe.options("127.0.0.1", port, timeout_s=1.0)


async def test_hundred_phones_at_once() -> None:
    """
    A hundred phones in fifty calls lose no packet of each other's audio.
    """
    async with PhoneBank(100) as bank:
        phones = list(bank)
        await asyncio.gather(
            *(a.call(b.uri) for a, b in zip(phones[:50], phones[50:], strict=True))
        )
        await asyncio.sleep(2.0)

        assert 100 == sum(phone.is_up for phone in bank)
        assert 0 == sum(phone.ear.lost for phone in bank)
        assert min(phone.ear.total for phone in bank) > 10


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not a command"),
        ('{"do": "explode"}', "not a command"),
        ('{"do": "hang_up", "phone": "agent99"}', "not a command"),
        ('{"do": "hang_up", "phone": "agent1"}', "agent1 has no call"),
        ('{"do": "press", "phone": "agent1"}', "not a command"),
        ("[]", "not a command"),
    ],
)
async def test_bad_command_is_answered(bank: PhoneBank, line: str, complaint: str) -> None:
    """
    A command that makes no sense is answered with the reason and harms nothing.
    """
    answer = await obey(bank, line)

    assert answer["ok"] is False
    assert complaint in str(answer["error"])


async def test_commands_over_the_socket(bank: PhoneBank, tmp_path: Path) -> None:
    """
    A script can drive phones line by line over a UNIX socket only its user may open.
    """
    path = tmp_path / "phones.sock"
    async with obey_socket(bank, path):
        reader, writer = await asyncio.open_unix_connection(path)
        answers = []
        for command in (
            {"do": "call", "phone": "agent1", "to": bank["agent2"].uri, "pin": "12"},
            {"do": "report", "phone": "agent2"},
            {"do": "hang_up", "phone": "agent1"},
        ):
            writer.write(json.dumps(command).encode() + b"\n")
            answers.append(json.loads(await reader.readline()))
        writer.close()
        await writer.wait_closed()
        assert 0o600 == path.stat().st_mode & 0o777

    assert [True, True, True] == [answer["ok"] for answer in answers]
    assert ("up", "12") == (answers[1]["phones"][0]["line"], answers[1]["phones"][0]["digits"])
    assert not path.exists()


async def test_phones_as_a_program() -> None:
    """
    The command line starts phones, obeys its standard input and ends on SIGTERM with code 0.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "siplab", "phones", "--count", "2"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        assert 2 == len(ready["uris"])
        process.stdin.write(b'{"do": "report"}\n')
        report = json.loads(await process.stdout.readline())
        assert ["idle", "idle"] == [phone["line"] for phone in report["phones"]]
        process.terminate()
        assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_call_error_is_one_family() -> None:
    """
    One except clause catches whatever goes wrong with a call.
    """
    assert issubclass(PhoneError, CallError)
    assert issubclass(RefusedError, CallError)
