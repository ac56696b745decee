"""`dialer doctor`: what it says about the SIP stack, the machine and an unreachable database."""

from __future__ import annotations

import importlib.metadata
import resource
import socket
from pathlib import Path

import pytest

from dialer import doctor, machine
from dialer.config import Config
from dialer.doctor import SipStack
from dialer.machine import Check, Level

OWN = SipStack("pjsua2", "2.17+overdial.0123abcd", "2.17", 1000, "OpenSSL 3.0.17 1 Jul 2025")
PLAIN = SipStack("pjsua2-python", "2.15.1", "2.15.1", 4, "OpenSSL 1.0.2k-fips  26 Jan 2017")


def free_port() -> int:
    """Return a TCP port nobody holds right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def test_own_build_is_recognised() -> None:
    """
    The pjsua2 of this environment is named with its PJSIP version, its room and its TLS library.
    """
    stack = await doctor.probe_sip_stack()

    assert isinstance(stack, SipStack), stack
    assert importlib.metadata.version("pjsua2") == stack.version
    assert 1000 == stack.calls
    assert stack.pjsip.startswith("2.")
    assert stack.tls is not None
    assert stack.tls.startswith("OpenSSL 3")
    assert Level.OK is doctor.sip_stack_check(stack).level
    assert Level.OK is doctor.capacity_check(stack).level
    assert Level.OK is doctor.tls_check(stack).level


def test_plain_wheel_is_usable_with_a_warning() -> None:
    """
    On the wheel from PyPI every line says what is short and that `make pjsua2` is the way out.
    """
    found = [doctor.sip_stack_check(PLAIN), doctor.capacity_check(PLAIN), doctor.tls_check(PLAIN)]

    assert {Level.WARN} == {check.level for check in found}
    assert all("make pjsua2" in (check.remedy or "") for check in found)
    assert "4 calls" in found[1].sentence
    assert "OpenSSL 1.0.2k" in found[2].sentence


def test_build_without_tls_is_named() -> None:
    """
    A PJSIP without TLS gets a warning that says what does not work.
    """
    check = doctor.tls_check(SipStack("pjsua2", "2.17", "2.17", 1000, None))

    assert Level.WARN is check.level
    assert "no TLS" in check.sentence


@pytest.mark.parametrize(
    ("shipped", "applied", "level"),
    [
        ({1, 2}, {1, 2}, Level.OK),
        ({1, 2}, set(), Level.WARN),
        ({1, 2}, {1}, Level.BAD),
        ({1}, {1, 2}, Level.BAD),
    ],
)
def test_schema_is_compared_with_the_program(
    shipped: set[int], applied: set[int], level: Level
) -> None:
    """
    An older and a newer schema are both refused, an empty database only wants migrating.
    """
    assert level is doctor.schema_check(shipped, applied).level


def test_clock_skew_over_half_a_second_is_a_warning() -> None:
    """
    Beyond 500 ms to Postgres the check says that campaigns dial one line per free agent.
    """
    assert Level.OK is doctor.skew_check(-0.499).level
    assert Level.WARN is doctor.skew_check(-0.501).level
    assert "one line per free agent" in doctor.skew_check(0.6).sentence


async def test_unreachable_database_is_one_sentence() -> None:
    """
    A Postgres that does not answer is one bad check that names the place and no password.
    """
    dsn = f"postgresql://someone:secret@127.0.0.1:{free_port()}/overdial"

    [check] = await doctor.postgres_checks(dsn, Config(database_url=dsn))

    assert Level.BAD is check.level
    assert "127.0.0.1" in check.sentence
    assert "secret" not in check.sentence
    assert check.remedy


async def test_embedded_database_that_does_not_run_yet(tmp_path: Path) -> None:
    """
    Without a DSN the folder of the embedded Postgres is named, and when it gets made.
    """
    folder = tmp_path / "postgres"

    [check] = await doctor.postgres_checks(None, Config(data=tmp_path))

    assert Level.OK is check.level
    assert f"{folder} gets made" in check.sentence


def test_stale_pid_file_is_no_running_database(tmp_path: Path) -> None:
    """
    What a killed Postgres leaves behind is not taken for a running one.
    """
    (tmp_path / "postmaster.pid").write_text(f"{2**22 + 1}\n/x\n0\n5432\n/tmp\n\n", "utf-8")

    assert doctor.embedded_dsn(tmp_path) is None


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_port_in_use_is_found(kind: socket.SocketKind) -> None:
    """
    A SIP port another program holds is a bad check that names the port.
    """
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        config = Config.model_construct(sip_port=port, rtp_low=10_000, rtp_high=19_999)

        sip, _ = machine.port_checks(config, 100)

    assert Level.BAD is sip.level
    assert str(port) in sip.sentence


def test_free_ports_are_in_order() -> None:
    """
    Ports nobody holds give a good check.
    """
    config = Config.model_construct(sip_port=free_port(), lines=1)

    sip, _ = machine.port_checks(config, 100)

    assert Level.OK is sip.level, sip.sentence


def test_address_of_another_machine() -> None:
    """
    A bind address this machine does not have is said to be that.
    """
    problem = machine.bind_problem("192.0.2.1", 5060, socket.SOCK_DGRAM)

    assert "192.0.2.1 is no address of this machine" == problem


def test_rtp_range_among_outgoing_ports_is_a_warning() -> None:
    """
    RTP ports the kernel also gives to other programs may be taken when a call needs them.
    """
    config = Config(rtp_low=30_000, rtp_high=39_999)

    assert Level.WARN is machine.rtp_check(config, 100, (32_768, 60_999)).level
    assert Level.OK is machine.rtp_check(config, 100, (50_000, 60_999)).level


def test_rtp_range_with_too_little_room_is_a_warning() -> None:
    """
    A range that holds fewer calls than a line process says how many it holds.
    """
    check = machine.rtp_check(Config(rtp_low=10_000, rtp_high=10_199), 1000, (32_768, 60_999))

    assert Level.WARN is check.level
    assert "room for 100 calls" in check.sentence


@pytest.mark.parametrize(
    ("limits", "level"),
    [
        ((1024, 1024), Level.WARN),
        ((1024, 524_288), Level.OK),
        ((1024, resource.RLIM_INFINITY), Level.OK),
        ((1_048_576, 1_048_576), Level.OK),
    ],
)
def test_file_limit_is_judged_by_its_hard_value(limits: tuple[int, int], level: Level) -> None:
    """
    Only the hard limit is in the way: a line process raises its own soft one.
    """
    assert level is machine.file_limit_check(1000, limits).level


def test_low_file_limit_says_how_many_calls_fit() -> None:
    """
    The warning about files names the calls they are enough for and the limit to set.
    """
    check = machine.file_limit_check(1000, (1024, 1024))

    assert "about 192 calls" in check.sentence
    assert "LimitNOFILE=4256" in (check.remedy or "")


def test_missing_shared_memory(tmp_path: Path) -> None:
    """
    Without a memory file system the check says that screening suffers.
    """
    assert Level.WARN is machine.shared_memory_check(tmp_path / "none").level


def test_data_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    """
    Room is measured where the folder will be made.
    """
    check = machine.disk_check(tmp_path / "not" / "there")

    assert "free for data" in check.sentence


@pytest.mark.parametrize(
    ("release", "year", "level"),
    [
        ("2025b", 2026, Level.OK),
        ("2026.2", 2026, Level.OK),
        ("2024a", 2026, Level.WARN),
        ("unknown", 2026, Level.OK),
    ],
)
def test_time_zones_two_years_behind_are_old(release: str, year: int, level: Level) -> None:
    """
    A release from before last year is out of date.
    """
    assert level is machine.tzdata_check((release, "the system"), year=year).level


def test_time_zone_release_is_known() -> None:
    """
    The release of the zones Python really reads is found.
    """
    found = machine.tzdata_release()

    assert found is not None
    assert found[0].startswith("20")


def test_kernel_answers_about_its_clock() -> None:
    """
    Asking whether the clock is kept needs no privilege and changes nothing.
    """
    assert machine.clock_synchronised() in {True, False, None}
    assert machine.clock_check().level in {Level.OK, Level.WARN}


async def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    """
    One run answers for each thing the service needs, and names a way out of each problem.
    """
    found = await doctor.run_doctor(None, Config(data=tmp_path, sip_port=free_port()))

    expected = "python, sip stack, capacity, tls, postgres, sip ports, rtp ports, file limit, "
    expected += "shared memory, disk, time zones, clock, lab"
    assert expected == ", ".join(check.name for check in found)
    assert all(check.sentence.endswith(".") for check in found)
    assert all(check.remedy for check in found if check.level is not Level.OK)


async def test_impossible_settings_are_a_check_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Settings that do not fit together do not keep the doctor from looking at the rest.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALER_RTP_LOW", "20000")
    monkeypatch.setenv("DIALER_RTP_HIGH", "19000")

    found = await doctor.run_doctor(None)

    assert "settings" == found[0].name
    assert Level.BAD is found[0].level
    assert {"sip stack", "postgres", "disk"} <= {check.name for check in found}


def test_exit_code_tells_bad_from_warned() -> None:
    """
    Warnings leave with 0, anything that does not work with 1.
    """
    warned = Check("a", Level.WARN, "It is slow.", "Wait")
    broken = Check("b", Level.BAD, "It is broken.", "Mend it")

    assert 0 == doctor.exit_code([warned])
    assert 1 == doctor.exit_code([warned, broken])
