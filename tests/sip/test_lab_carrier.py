"""The lab's carrier: what a caller meets on the wire, and what the carrier's books say of it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from siplab import books, probe
from siplab.books import CarrierCall
from siplab.carrier import BusyCarrier, Carrier, CarrierError, Codec, Credentials, Pace, Transport
from siplab.number_plan import Behaviour
from siplab.phones import Line, Phone, PhoneBank, PhoneError, RefusedError, Wish
from siplab.sdp import Direction

PACE = Pace(ring=0.6, talk=2.0, voicemail=9.0, silence=4.0)
PATIENCE_S = 30.0


@pytest.fixture
async def carrier(tmp_path: Path) -> AsyncIterator[Carrier]:
    """Return a running carrier with short calls."""
    async with Carrier(tmp_path / "carrier", pace=PACE) as running:
        yield running


@pytest.fixture
async def bank() -> AsyncIterator[PhoneBank]:
    """Return phones that keep what they hear."""
    async with PhoneBank(8, keep_audio_s=20) as phones:
        yield phones


@pytest.fixture
def phone(bank: PhoneBank) -> Phone:
    """Return one of the phones."""
    return bank["agent1"]


def uri(carrier: Carrier, number: str) -> str:
    """Return what to dial to reach *number* through *carrier*."""
    return f"sip:{number}@{carrier.address}:{carrier.port}"


async def refusal(phone: Phone, target: str, wish: Wish | None = None) -> RefusedError:
    """Call *target*, which does not answer, and return how it was refused."""
    with pytest.raises(RefusedError) as refused:
        await phone.call(target, wish)
    return refused.value


async def entry(
    carrier: Carrier, number: str, satisfies: Callable[[CarrierCall], bool] = lambda _: True
) -> CarrierCall:
    """Wait until the books have a call to *number* that *satisfies*, and return it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for call in carrier.calls():
                if call.dialed == number and satisfies(call):
                    return call
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "status", "header"),
    [
        ("+12125550145", 486, ("server", "siplab")),
        ("+442079460050", 600, ("server", "siplab")),
        ("+33199000051", 480, ("reason", "Q.850;cause=17")),
        ("+493023125083", 404, ("server", "siplab")),
        ("+12125550184", 484, ("server", "siplab")),
        ("+12125550190", 480, ("server", "siplab")),
        ("+12125550191", 603, ("server", "siplab")),
        ("+12125550192", 607, ("server", "siplab")),
        ("+12125550193", 608, ("server", "siplab")),
        ("+12125550196", 503, ("retry-after", "5")),
        ("+12125550197", 503, ("reason", "Q.850;cause=34")),
        ("+12125550198", 302, ("contact", "<sip:+12025550100@127.0.0.1:9>")),
    ],
)
async def test_refusals_before_ringing(
    carrier: Carrier, phone: Phone, number: str, status: int, header: tuple[str, str]
) -> None:
    """
    Busy, invalid, blocked, congested and moved numbers say so at once, with their own header.
    """
    refused = await refusal(phone, uri(carrier, number))

    assert status == refused.status
    assert header[1] == refused.answer.header(header[0])
    assert [100] == phone.progress.provisional
    entered = await entry(carrier, number, lambda call: not call.is_pending)
    assert (status, "carrier") == (entered.status, entered.ended_by)
    assert not entered.is_answered


@pytest.mark.parametrize(("number", "status"), [("+12125550180", 480), ("+12125550189", 603)])
async def test_refusals_after_ringing(
    carrier: Carrier, phone: Phone, number: str, status: int
) -> None:
    """
    Nobody picks up, or somebody rejects the call: the phone rang first.
    """
    refused = await refusal(phone, uri(carrier, number))

    assert status == refused.status
    assert [100, 180] == phone.progress.provisional
    entered = await entry(carrier, number, lambda call: not call.is_pending)
    assert entered.ringing_at is not None


async def test_network_block_is_told_by_its_phrase(carrier: Carrier, phone: Phone) -> None:
    """
    603 "Network Blocked" differs from a person's 603 in nothing but its phrase.
    """
    assert "Network Blocked" == (await refusal(phone, uri(carrier, "+12125550191"))).answer.reason


async def test_person_says_hello_and_hangs_up_after_the_talk(
    carrier: Carrier, phone: Phone
) -> None:
    """
    A person answers after ringing, speaks soon, and ends the call with a BYE the books know.
    """
    await phone.call(uri(carrier, "+12125550103"))
    answered = phone.answered_at or 0.0

    assert [100, 180] == phone.progress.provisional
    assert await phone.until_loud(answered, timeout_s=PATIENCE_S) > answered
    assert [await entry(carrier, "+12125550103")] == carrier.live_calls()
    await phone.until(Line.IDLE, timeout_s=PATIENCE_S)
    entered = await entry(carrier, "+12125550103", lambda call: bool(call.responses))
    assert ("carrier", [("BYE", 200)]) == (entered.ended_by, entered.responses)
    assert (Behaviour.PERSON, "agent1") == (entered.behaviour, entered.caller)
    assert [] == carrier.live_calls()


async def test_caller_hangs_up_first(carrier: Carrier, phone: Phone) -> None:
    """
    The caller's BYE is answered and entered as the caller's.
    """
    await phone.call(uri(carrier, "+12125550103"))

    assert 200 == await phone.hang_up()
    entered = await entry(carrier, "+12125550103", lambda call: call.ended_at is not None)
    assert "caller" == entered.ended_by


@pytest.mark.parametrize("number", ["+12125550127", "+12125550194"])
async def test_person_who_hangs_up_at_once(carrier: Carrier, phone: Phone, number: str) -> None:
    """
    Some answer and hang up within the second, some in the moment they answer.
    """
    await phone.call(uri(carrier, number))
    await phone.until(Line.IDLE, timeout_s=PATIENCE_S)

    entered = await entry(carrier, number, lambda call: call.ended_at is not None)
    assert "carrier" == entered.ended_by
    assert entered.is_answered


async def test_nobody_answers_until_the_caller_gives_up(carrier: Carrier, phone: Phone) -> None:
    """
    A number that nobody answers rings until CANCEL, and the books say when that came.
    """
    refused = await refusal(phone, uri(carrier, "+12125550152"), Wish(give_up_after=1.0))

    assert 487 == refused.status
    entered = await entry(carrier, "+12125550152", lambda call: not call.is_pending)
    assert (487, "caller") == (entered.status, entered.ended_by)
    assert entered.cancelled_at is not None
    assert entered.ringing_at is not None
    assert entered.cancelled_at > entered.ringing_at


async def test_answer_crosses_cancel(carrier: Carrier, phone: Phone) -> None:
    """
    One number answers in the moment it is cancelled: the caller has a call it gave up.
    """
    answer = await phone.call(uri(carrier, "+12125550182"), Wish(give_up_after=1.0))

    assert 200 == answer.status
    assert phone.progress.cancelled
    entered = await entry(carrier, "+12125550182", lambda call: call.acknowledged_at is not None)
    assert entered.is_live
    assert 200 == await phone.hang_up()


async def test_early_media_rings_in_band_before_the_person(carrier: Carrier, phone: Phone) -> None:
    """
    183 with ringback is heard before the answer, and is no answer.
    """
    calling = asyncio.create_task(phone.call(uri(carrier, "+12125550125")))
    await phone.until_loud(0.0, timeout_s=PATIENCE_S)

    assert Line.CALLING is phone.line
    assert [100, 183] == phone.progress.provisional
    await calling
    assert await phone.until_loud(phone.answered_at or 0.0, timeout_s=PATIENCE_S)


async def test_announcement_before_the_refusal(tmp_path: Path, phone: Phone) -> None:
    """
    "Not in service" is said in early media, and only then comes 404.
    """
    async with Carrier(tmp_path, pace=PACE) as carrier:
        refused = await refusal(phone, uri(carrier, "+12125550185"))

    assert 404 == refused.status
    assert phone.progress.early_media
    assert phone.ear.first_loud_after(0.0) is not None
    assert phone.ear.total > 100


async def test_machines_sound_like_machines(carrier: Carrier, bank: PhoneBank) -> None:
    """
    Voicemail speaks for seconds, a fax answers with 2100 Hz and calls with 1100 Hz.
    """
    voicemail, answering, calling, sit = (bank[f"agent{n}"] for n in range(1, 5))
    await asyncio.gather(
        voicemail.call(uri(carrier, "+12125550130")),
        answering.call(uri(carrier, "+12125550186")),
        calling.call(uri(carrier, "+61491570110")),
        sit.call(uri(carrier, "+12125550187")),
    )
    await asyncio.sleep(3.0)
    ced, cng = answering.ear.frequency(), calling.ear.frequency()
    started = await voicemail.until_loud(0.0, timeout_s=PATIENCE_S)

    assert 2090 <= ced <= 2110
    assert 1090 <= cng <= 1110
    assert await sit.until_loud(0.0, timeout_s=PATIENCE_S)
    await asyncio.sleep(max(0.0, started + 5.0 - time.time()))
    assert voicemail.ear.mean_level(started, started + 5.0) > 300


async def test_silence_and_no_rtp_differ(carrier: Carrier, bank: PhoneBank) -> None:
    """
    A silent answer still sends RTP; a line without RTP sends none.
    """
    silent, dead = bank["agent1"], bank["agent2"]
    await asyncio.gather(
        silent.call(uri(carrier, "+12125550188")), dead.call(uri(carrier, "+12125550195"))
    )
    await asyncio.sleep(1.5)

    assert silent.ear.total > 0
    assert silent.ear.first_loud_after(0.0) is None
    assert 0 == dead.ear.total


async def test_far_end_tries_to_transfer_the_call(carrier: Carrier, phone: Phone) -> None:
    """
    A REFER from the far end gets what the caller answers, and the books show it.
    """
    await phone.call(uri(carrier, "+12125550128"))

    entered = await entry(carrier, "+12125550128", lambda call: bool(call.responses))
    assert ("REFER", 603) == entered.responses[0]
    assert phone.is_up


async def test_far_end_holds_and_resumes(carrier: Carrier, phone: Phone) -> None:
    """
    A re-INVITE puts the caller on hold, another takes it off again.
    """
    await phone.call(uri(carrier, "+12125550129"))
    seen = {phone.direction}
    async with asyncio.timeout(PATIENCE_S):
        while len(seen) < 2 or phone.direction is not Direction.SENDRECV:
            await asyncio.sleep(0.02)
            seen.add(phone.direction)

    assert {Direction.SENDRECV, Direction.RECVONLY} == seen


async def test_far_end_may_not_hold(carrier: Carrier, phone: Phone) -> None:
    """
    A refused re-INVITE is acknowledged by the carrier, so the refusal is not repeated.
    """
    phone.refuses_holds_with = "488 Not Acceptable Here"
    await phone.call(uri(carrier, "+12125550129"))
    await entry(carrier, "+12125550129", lambda call: ("INVITE", 488) in call.responses)
    await phone.until(Line.IDLE, timeout_s=PATIENCE_S)
    wire = (carrier.folder / "wire-1.log").read_text()

    assert 1 == wire.count("SIP/2.0 488")


async def test_caller_holds(carrier: Carrier, phone: Phone) -> None:
    """
    The carrier answers the caller's own re-INVITE and the call goes on.
    """
    await phone.call(uri(carrier, "+12125550103"))
    await phone.hold()

    assert Direction.SENDONLY is phone.direction
    await phone.resume()
    assert phone.is_up
    assert 200 == await phone.hang_up()


async def test_mute_carrier_says_nothing_at_all(carrier: Carrier, phone: Phone) -> None:
    """
    The number for trunk timeouts gets not even 100 Trying; OPTIONS is answered meanwhile.
    """
    with pytest.raises(PhoneError, match="no final answer to INVITE"):
        await phone.call(uri(carrier, "+12125550199"), Wish(timeout_s=3.0))

    assert [] == phone.progress.provisional
    assert (await entry(carrier, "+12125550199")).is_pending
    assert 200 == (await probe.options(carrier.address, carrier.port)).status


async def test_number_outside_the_plan_is_refused_and_booked(
    carrier: Carrier, phone: Phone
) -> None:
    """
    The lab carries calls to reserved numbers only, and its books show any other.
    """
    refused = await refusal(phone, uri(carrier, "+12025551234"))

    assert 404 == refused.status
    assert (await entry(carrier, "+12025551234", lambda c: not c.is_pending)).behaviour is None


async def test_requests_outside_any_call(carrier: Carrier) -> None:
    """
    A BYE or CANCEL to nowhere is answered and does not disturb the carrier.
    """
    host, port = carrier.address, carrier.port

    assert 481 == (await probe.request("BYE", host, port, user="x")).status
    assert 481 == (await probe.request("CANCEL", host, port, user="x")).status
    assert 486 == (await probe.stray_invite(host, port, user="+12125550145")).status


@pytest.mark.parametrize(
    ("challenge", "wrong_wish"),
    [(401, Wish("overdial", "guess")), (407, Wish("somebody", "s3cret"))],
)
async def test_carrier_that_wants_a_password(
    tmp_path: Path, phone: Phone, challenge: int, wrong_wish: Wish
) -> None:
    """
    With credentials set, calls go through with the right ones and get 403 with wrong ones.
    """
    wanted = Credentials("overdial", "s3cret", challenge=challenge)
    async with Carrier(tmp_path, pace=PACE, credentials=wanted) as carrier:
        await phone.call(uri(carrier, "+12125550103"), Wish("overdial", "s3cret"))
        assert phone.progress.challenged
        await phone.hang_up()

        wrong = await refusal(phone, uri(carrier, "+12125550103"), wrong_wish)
        assert 403 == wrong.status

        none = await refusal(phone, uri(carrier, "+12125550103"))
        assert challenge == none.status
        entered = carrier.calls()[0]
        assert (200, True) == (entered.status, entered.challenged)


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
async def test_carrier_over_streams(tmp_path: Path, transport: Transport) -> None:
    """
    The same network answers over TCP and TLS.
    """
    async with Carrier(tmp_path, pace=PACE, transport=transport) as carrier:
        host, port = carrier.address, carrier.port
        busy = await probe.stray_invite(host, port, user="+12125550145", transport=transport.value)
        person = await probe.stray_invite(
            host, port, user="+12125550103", transport=transport.value
        )

        assert (486, 200) == (busy.status, person.status)
        await entry(carrier, "+12125550145", lambda call: call.status == 486)
        await entry(carrier, "+12125550103", lambda call: call.ended_by == "caller")


async def test_carrier_speaks_a_law(tmp_path: Path, phone: Phone) -> None:
    """
    A carrier set to A-law answers with it and is heard.
    """
    async with Carrier(tmp_path, pace=PACE, codec=Codec.PCMA) as carrier:
        answer = await phone.call(uri(carrier, "+12125550103"))

        assert "a=rtpmap:8 PCMA/8000" in answer.body
        assert await phone.until_loud(phone.answered_at or 0.0, timeout_s=PATIENCE_S)


async def test_trunk_registers(carrier: Carrier, tmp_path: Path) -> None:
    """
    A trunk may register for as long as it likes; with credentials set it is challenged first.
    """
    wish = ("expires", "120")
    granted = await probe.request("REGISTER", carrier.address, carrier.port, wish)
    async with Carrier(tmp_path / "strict", credentials=Credentials("overdial", "pw")) as strict:
        challenged = await probe.request("REGISTER", strict.address, strict.port, wish)

    assert (200, "120") == (granted.status, granted.message.header("expires"))
    assert granted.message.header("contact")
    assert 401 == challenged.status
    assert [200] == [status for _, status in books.registrations(carrier.folder)]


async def test_bye_from_another_port(carrier: Carrier) -> None:
    """
    Whoever takes over from a crashed dialer can end its calls from a port of its own.
    """
    bank = PhoneBank(1)
    await bank.start()
    orphan = bank["agent1"]
    await orphan.call(uri(carrier, "+442079460003"))
    assert orphan.call_up is not None
    dialog = orphan.call_up.dialog
    await entry(carrier, "+442079460003", lambda call: call.is_live)
    await bank.vanish()
    ended = await probe.request(
        "BYE",
        carrier.address,
        carrier.port,
        user="carrier",
        call_id=dialog.call_id,
        to_tag=dialog.remote_tag,
    )

    assert 200 == ended.status
    await entry(carrier, "+442079460003", lambda call: call.ended_by == "caller")
    assert [] == carrier.live_calls()


async def test_carrier_vanishes_and_comes_back(carrier: Carrier, bank: PhoneBank) -> None:
    """
    A killed carrier leaves its books readable; a restarted one carries them on.
    """
    up, later = bank["agent1"], bank["agent2"]
    await up.call(uri(carrier, "+12125550103"))
    await entry(carrier, "+12125550103", lambda call: call.acknowledged_at is not None)
    await carrier.kill()

    assert 1 == len(carrier.live_calls())
    with pytest.raises(probe.NoResponseError):
        await probe.options(carrier.address, carrier.port, timeout_s=0.7)
    await carrier.start()
    refused = await refusal(later, uri(carrier, "+12125550145"))
    assert 486 == refused.status
    assert 481 == await up.hang_up()
    await entry(carrier, "+12125550103", lambda call: call.ended_by == "caller")
    assert ["+12125550103", "+12125550145"] == [call.dialed for call in carrier.calls()]
    assert [] == carrier.live_calls()


async def test_books_survive_the_end_of_the_carrier(tmp_path: Path, phone: Phone) -> None:
    """
    After SIGTERM the books are as complete as they were while it ran.
    """
    async with Carrier(tmp_path, pace=PACE) as carrier:
        pid = carrier.pid
        for number in [f"+121255501{digits}" for digits in (45, 46, 47)]:
            await refusal(phone, uri(carrier, number))
            await entry(carrier, number, lambda call: not call.is_pending)
        before = carrier.calls()

    assert before == books.read(tmp_path)
    assert {486: 3} == books.count_by_status(before)
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_port_in_use_is_one_clear_sentence(carrier: Carrier, tmp_path: Path) -> None:
    """
    A second carrier on a taken port does not start and says which port.
    """
    second = Carrier(tmp_path / "second", port=carrier.port)

    with pytest.raises(
        CarrierError, match=f"port {carrier.port} .* cannot be used: Address already in use"
    ):
        await second.start()
    assert second.pid is None


async def test_busy_carrier_for_load(tmp_path: Path) -> None:
    """
    The carrier for load refuses every call, whatever the number, many at once.
    """
    async with BusyCarrier(tmp_path) as carrier:
        answers = await asyncio.gather(
            *(
                probe.stray_invite("127.0.0.1", carrier.port, user=f"+1212555{n:04d}")
                for n in range(100, 200)
            )
        )

    assert {486} == {answer.status for answer in answers}


async def test_many_calls_at_once(carrier: Carrier) -> None:
    """
    Dozens of simultaneous calls each get the behaviour of their own number, and the books agree.
    """
    people = [f"+120255501{n:02d}" for n in range(23)]
    busy = [f"+120255501{n}" for n in range(45, 50)] * 3
    async with PhoneBank(len(people) + len(busy)) as bank:
        phones = list(bank)
        calls = [
            phone.call(uri(carrier, number))
            for phone, number in zip(phones, people + busy, strict=True)
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        answered = [result for result in results if not isinstance(result, BaseException)]

        assert len(people) == len(answered)
        with contextlib.suppress(TimeoutError):
            await asyncio.gather(*(p.until(Line.IDLE, timeout_s=PATIENCE_S) for p in phones))
        assert {200: len(people), 486: len(busy)} == books.count_by_status(carrier.calls())
        assert [] == carrier.live_calls()
