"""Everything a person can get wrong gives one clear sentence, exit code 2, and no stack trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from campaigns.stores import campaigns
from tests.shell import PATIENCE_S, PROGRAM, Result, Shell, environment, run


@pytest.fixture
def shell(
    dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """Return commands on this test's own database."""
    monkeypatch.setenv("DIALER_DATA", str(tmp_path / "data"))
    return Shell(dsn, capsys)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port of loopback that another program holds."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_one_sentence(result: Result, *words: str) -> None:
    """Check that a run failed as misuse, with one line that holds *words*."""
    assert 2 == result.code, result
    lines = [line for line in result.err.splitlines() if line]
    assert 1 == len(lines), result.err
    assert "Traceback" not in result.err
    for word in words:
        assert word in lines[0]


def other_database(dsn: str, name: str) -> str:
    """Return *dsn* with another database's name."""
    head, _, query = dsn.partition("?")
    base = head.rsplit("/", 1)[0]
    return f"{base}/{name}?{query}" if query else f"{base}/{name}"


# Postgres ----------------------------------------------------------------------------------------


def test_unreachable_postgres(tmp_path: Path, closed_port: int) -> None:
    """
    A Postgres that is not there is named without its password.
    """
    dsn = f"postgresql://me:hush@127.0.0.1:{closed_port}/overdial"

    result = run(tmp_path, "campaign", "list", DIALER_DATABASE_URL=dsn)

    assert_one_sentence(result, f"127.0.0.1:{closed_port}/overdial cannot be reached")
    assert "hush" not in result.err


def test_wrong_dsn(tmp_path: Path) -> None:
    """
    What is no Postgres address is refused with the form of one.
    """
    result = run(tmp_path, "campaign", "list", DIALER_DATABASE_URL="mysql:nonsense")

    assert_one_sentence(result, "postgresql://user:password@host:port/database")


def test_database_that_does_not_exist(tmp_path: Path, dsn: str) -> None:
    """
    A database that does not exist is a sentence.
    """
    missing = other_database(dsn, "no_such_database")

    result = run(tmp_path, "campaign", "list", DIALER_DATABASE_URL=missing)

    assert_one_sentence(result, "There is no such database", "DIALER_DATABASE_URL")


async def test_old_schema(tmp_path: Path, dsn: str) -> None:
    """
    A database without the current schema asks for `dialer migrate`, and after it all is well.
    """
    admin = await asyncpg.connect(dsn)
    await admin.execute("CREATE DATABASE old_one")
    await admin.close()
    old = other_database(dsn, "old_one")
    try:
        before = run(tmp_path, "campaign", "list", DIALER_DATABASE_URL=old)
        applied = run(tmp_path, "migrate", "--json", DIALER_DATABASE_URL=old)
        again = run(tmp_path, "migrate", DIALER_DATABASE_URL=old)
        after = run(tmp_path, "campaign", "list", DIALER_DATABASE_URL=old)
    finally:
        admin = await asyncpg.connect(dsn)
        await admin.execute("DROP DATABASE old_one WITH (FORCE)")
        await admin.close()

    assert_one_sentence(before, "schema 0", "run `dialer migrate`")
    assert (0, 1) == (applied.code, applied.json[0]["version"])
    assert "already at this program's schema" in again.out
    assert 0 == after.code


async def test_schema_of_a_newer_program(tmp_path: Path, dsn: str) -> None:
    """
    A database that a newer program made is left alone.
    """
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO schema_migration (version, name, checksum) VALUES (9999, 'later', 'x')"
    )
    await connection.close()

    result = run(tmp_path, "engine", DIALER_DATABASE_URL=dsn)

    assert_one_sentence(result, "newer than this program", "upgrade Overdial")


def test_data_folder_that_cannot_be(tmp_path: Path) -> None:
    """
    An embedded Postgres that has no place to live says which place it tried.
    """
    (tmp_path / "file").write_text("in the way")

    result = run(tmp_path, "campaign", "list", DIALER_DATA=str(tmp_path / "file" / "data"))

    assert_one_sentence(result, "embedded Postgres in", "DIALER_DATABASE_URL")


# Settings and ports ------------------------------------------------------------------------------


def test_impossible_settings(tmp_path: Path) -> None:
    """
    A setting that cannot be is named before anything starts.
    """
    result = run(tmp_path, "serve", DIALER_SIP_PORT="99999")

    assert_one_sentence(result, "DIALER_SIP_PORT cannot be '99999'", "1 to 65535")


def test_missing_settings_file(tmp_path: Path) -> None:
    """
    A settings file that is not there is a sentence.
    """
    result = run(tmp_path, "--config", "nowhere.toml", "campaign", "list")

    assert_one_sentence(result, "There is no settings file nowhere.toml")


def test_api_port_in_use(tmp_path: Path, dsn: str, taken_port: int) -> None:
    """
    A port that another program holds is named, with the setting that changes it.
    """
    result = run(tmp_path, "api", DIALER_DATABASE_URL=dsn, DIALER_API_PORT=str(taken_port))

    assert_one_sentence(result, f"Port {taken_port}", "DIALER_API_PORT")


# Words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("campain",), "No such command 'campain'. Did you mean 'campaign'"),
        (("campaign", "create"), "Missing argument 'NAME'"),
        (("campaign", "create", "A", "--selller", "x"), "No such option: --selller"),
        (("campaign", "start", "Nowhere"), "There is no campaign 'Nowhere'"),
        (("campaign", "stop", "Nowhere", "--now"), "Campaign 'Nowhere' is not running"),
        (("campaign", "watch", "Nowhere"), "There is no campaign named 'Nowhere'"),
        (("campaign", "report", "Nowhere"), "There is no campaign named 'Nowhere'"),
        (("report", "attempts", "Nowhere"), "There is no campaign 'Nowhere'"),
        (("campaign", "assign-list", "Nowhere", "L"), "There is no campaign 'Nowhere'"),
        (("agents", "assign", "nobody", "C"), "There is no agent 'nobody'"),
        (("agents", "log-out", "nobody"), "There is no agent 'nobody'"),
        (("agents", "simulate", "nobody"), "say --auto"),
        (("agents", "add", "anna", "--phone", "201"), "called through a trunk"),
        (("agents", "add", "anna", "--phone", "sip:<x>"), "A SIP phone's address looks like"),
        (("trunk", "remove", "nowhere"), "There is no trunk 'nowhere'"),
        (("trunk", "sync"), "The settings name no trunk"),
        (("trunk", "add", "t", "--host", "h", "--set", "prefix"), "write it as KEY=VALUE"),
        (("trunk", "add", "t", "--host", "h", "--set", "prefixx=9"), "no setting 'prefixx'"),
        (("dnc", "add", "5550123"), "no telephone number"),
        (("dnc", "remove", "+14155550123"), "not on the list"),
        (("dnc", "import", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("leads", "import", "nowhere.csv", "--campaign", "C"), "nowhere.csv"),
        (("leads", "why", "12"), "no telephone number"),
        (("leads", "remove-list", "nowhere"), "There is no list 'nowhere'"),
    ],
)
def test_mistyped_word(shell: Shell, words: tuple[str, ...], sentence: str) -> None:
    """
    A wrong name, option or value is answered with one sentence that says what to do.
    """
    assert_one_sentence(shell(*words), sentence)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("max_attempts=0", "max_attempts"),
        ("max_atempts=3", "max_atempts"),
        ("ring_timeout_s=5", "ring_timeout_s"),
        ("retry.bussy.delay_s=60", "bussy"),
        ("ratio", "write it as KEY=VALUE"),
        ("ratio.x=1", "is no setting that has parts"),
    ],
)
def test_impossible_campaign_setting(shell: Shell, setting: str, sentence: str) -> None:
    """
    An impossible campaign setting is named, and no campaign is made.
    """
    create = ("campaign", "create", "C", "--seller", "S", "--profile", "lab", "--region", "US")

    assert_one_sentence(shell(*create, "--set", setting), sentence)
    assert [] == shell.ok("campaign", "list", "--json").json


def test_campaign_with_an_unknown_trunk_is_not_made(shell: Shell) -> None:
    """
    A campaign whose trunk does not exist is not half made.
    """
    create = ("campaign", "create", "C", "--seller", "S", "--profile", "lab", "--region", "US")

    assert_one_sentence(shell(*create, "--trunk", "nowhere"), "There is no trunk 'nowhere'")
    assert [] == shell.ok("campaign", "list", "--json").json


def test_numbers_are_not_repeated_in_errors(shell: Shell) -> None:
    """
    A number that was refused does not appear in the sentence: it is personal data.
    """
    result = shell("dnc", "add", "4155550123")

    assert "4155550123" not in result.err


def test_dnc_file_with_a_bad_line_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    """
    A do-not-call file is taken whole or not at all, and the bad line is named.
    """
    path = tmp_path / "dnc.txt"
    path.write_text("+14155550123\n# a remark\nnonsense\n", encoding="utf-8")

    assert_one_sentence(shell("dnc", "import", str(path)), "dnc.txt, line 3")
    assert [] == shell.ok("dnc", "list", "--json").json


# Ends --------------------------------------------------------------------------------------------


def test_unexpected_error_is_one_line_and_a_log(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A defect of ours shows one line that says where the details are, and they are there.
    """

    async def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("DIALER_DATA", str(tmp_path))
    monkeypatch.setattr(campaigns, "all_campaigns", fail)

    result = shell("campaign", "list")

    log = tmp_path / "logs" / "errors.log"
    assert 1 == result.code
    (line,) = result.err.splitlines()
    assert f"unexpected went wrong (ZeroDivisionError): the details are in {log};" in line
    assert "ZeroDivisionError" in log.read_text(encoding="utf-8")
    assert 0o600 == log.stat().st_mode & 0o777


@pytest.mark.parametrize("caught", [signal.SIGINT, signal.SIGTERM])
def test_api_ends_cleanly(
    tmp_path: Path, dsn: str, closed_port: int, caught: signal.Signals
) -> None:
    """
    Ctrl-C or SIGTERM ends the API with exit code 0 and without a stack trace.
    """
    process = subprocess.Popen(
        [*PROGRAM, "api"],
        env=environment(
            tmp_path, DIALER_DATABASE_URL=dsn, DIALER_API_PORT=str(closed_port), DIALER_LOG="error"
        ),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_port(closed_port)
        process.send_signal(caught)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()

    assert 0 == process.returncode, said
    assert "Traceback" not in said


def wait_for_port(port: int) -> None:
    """Return when somebody listens on *port* of loopback."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")


def test_reader_that_leaves_early(tmp_path: Path, dsn: str) -> None:
    """
    `dialer … | head` ends without a complaint about the closed pipe.
    """
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*PROGRAM, "report", "--help"],
            env=environment(tmp_path, DIALER_DATABASE_URL=dsn),
            cwd=tmp_path,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    finally:
        os.close(writer)

    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# Lists -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.csv", b"", "empty"),
        ("nul.csv", b"name,phone\nAnn,+1415\x005550123\n", "NUL"),
        ("header.csv", b"name,phone\n", "no row below it"),
        ("words.csv", b"name,city\nAnn,Oakland\n", "looks like telephone numbers"),
        ("national.csv", b"name,phone\nAnn,4155550123\n", "--country"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "picture.csv"),
    ],
)
def test_file_that_is_no_list(
    shell: Shell, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    """
    A file that cannot be a list is refused with the reason, and nothing is written.
    """
    shell.ok("campaign", "create", "C", "--seller", "S", "--profile", "lab", "--region", "US")
    path = tmp_path / name
    path.write_bytes(content)

    assert_one_sentence(shell("leads", "import", str(path), "--campaign", "C"), sentence)
    assert [] == shell.ok("leads", "lists", "--json").json
    assert [name] == [left.name for left in tmp_path.iterdir() if left.suffix == ".csv"]


@pytest.mark.parametrize(
    "words",
    [
        ("--map", "phone"),
        ("--map", "telephone=phone"),
        ("--map", "phone=nowhere"),
        ("--country", "Atlantis"),
        ("--campaign", "Nowhere"),
        ("--rejects", "no/such/folder/rejects.csv"),
    ],
)
def test_impossible_import(shell: Shell, tmp_path: Path, words: tuple[str, ...]) -> None:
    """
    A mapping, country, campaign or rejects file that cannot be is a sentence; nothing is written.
    """
    shell.ok("campaign", "create", "C", "--seller", "S", "--profile", "lab", "--region", "US")
    path = tmp_path / "leads.csv"
    path.write_text("name,phone\nAnn,+14155550123\n", encoding="utf-8")
    campaign = () if "--campaign" in words else ("--campaign", "C")

    assert_one_sentence(shell("leads", "import", str(path), *campaign, *words))
    assert [] == shell.ok("leads", "lists", "--json").json
