"""A campaign from the shell: made, filled, staffed, started, watched, stopped; JSON everywhere."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer

from campaigns.stores.agents import hash_token
from dialer import cli
from tests.shell import PATIENCE_S, PROGRAM, Shell, environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shell(
    dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """Return commands on this test's own database, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("DIALER_DATA", str(tmp_path / "data"))
    return Shell(dsn, capsys)


@pytest.fixture
def campaign(shell: Shell, tmp_path: Path) -> str:
    """Return a campaign with a trunk, two leads and an agent, not started."""
    shell.ok("trunk", "add", "lab", "--host", "127.0.0.1", "--kind", "lab", "--caller-id",
             "+14155550100")  # fmt: skip
    shell.ok("campaign", "create", "Spring", "--seller", "Acme", "--profile", "lab", "--region",
             "US", "--trunk", "lab")  # fmt: skip
    path = tmp_path / "leads.csv"
    path.write_text("name,phone,city\nAnn,+14155550123,Oakland\nBob,+14155550124,Reno\n")
    shell.ok("leads", "import", str(path), "--campaign", "Spring")
    shell.ok("agents", "add", "anna", "--phone", "sip:anna@127.0.0.1:6000", "--campaign", "Spring")
    return "Spring"


def fetch(dsn: str, query: str, *arguments: Any) -> Any:
    """Return one value from the database."""

    async def ask() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_campaign_from_nothing_to_running(shell: Shell, campaign: str) -> None:
    """
    With trunk, list and agent in place the campaign starts, pauses, resumes and stops.
    """
    states = [
        shell.ok("campaign", verb, campaign, "--json").json["state"]
        for verb in ("start", "pause", "start", "stop")
    ]

    assert ["running", "paused", "running", "stopping"] == states


def test_campaign_that_lacks_something_does_not_start(shell: Shell) -> None:
    """
    A campaign without list or trunk is refused with everything that is missing, and stays a draft.
    """
    shell.ok("campaign", "create", "Bare", "--seller", "Acme", "--profile", "lab", "--region", "US")

    refused = shell("campaign", "start", "Bare")

    assert 2 == refused.code
    assert "it has no list" in refused.err
    assert "no trunk is attached" in refused.err
    assert "draft" == shell.ok("campaign", "status", "Bare", "--json").json["state"]


def test_settings_are_changed_one_by_one(shell: Shell, campaign: str) -> None:
    """
    `campaign set` changes what is given and keeps the rest.
    """
    shell.ok("campaign", "set", campaign, "--set", "max_attempts=2")
    shell.ok("campaign", "set", campaign, "--set", "retry.busy.delay_s=60", "--mode", "predictive")

    found = shell.ok("campaign", "status", campaign, "--json").json

    assert "predictive" == found["mode"]
    assert 2 == found["settings"]["max_attempts"]
    assert 60 == found["settings"]["retry"]["busy"]["delay_s"]


def test_emergency_stop_cancels_what_rings(shell: Shell, campaign: str, dsn: str) -> None:
    """
    `campaign stop --now` orders ringing calls cancelled and returns claims that were not dialed.
    """
    shell.ok("campaign", "start", campaign)
    process = fetch(
        dsn,
        "INSERT INTO process (id, kind, host, pid, capacity, lease_until)"
        " VALUES (gen_random_uuid(), 'lines', 'elsewhere', 1, 10, clock_timestamp() + '1 h')"
        " RETURNING id",
    )
    for lead, state in (("Ann", "ringing"), ("Bob", "claimed")):
        fetch(
            dsn,
            "INSERT INTO live_attempt (id, campaign_id, lead_id, lead_number_id, dialed_number,"
            " region, mode, epoch, process_id, trunk_id, caller_id, timers, state, claimed_at)"
            " SELECT gen_random_uuid(), c.id, l.id, n.id, n.number, 'US', 'progressive', 0, $1,"
            " t.id, '+14155550100', '{}', $3::attempt_state, clock_timestamp()"
            " FROM campaign c, trunk t, lead l JOIN lead_number n ON n.lead_id = l.id"
            " WHERE l.name = $2 RETURNING id",
            process,
            lead,
            state,
        )
    fetch(dsn, "UPDATE lead SET state = 'in_call' RETURNING id")

    stopped = shell.ok("campaign", "stop", campaign, "--now", "--json").json

    assert ("stopping", 1, 1) == (stopped["state"], stopped["cancelling"], stopped["returned"])
    assert 1 == fetch(dsn, "SELECT count(*) FROM line_command WHERE kind = 'cancel'")
    assert "open" == fetch(dsn, "SELECT state::text FROM lead WHERE name = 'Bob'")


def test_import_shows_mapping_report_and_rejects(shell: Shell, tmp_path: Path) -> None:
    """
    The import shows what columns mean, counts what it took, and writes down what it did not.
    """
    shell.ok("campaign", "create", "Spring", "--seller", "Acme", "--profile", "lab", "--region",
             "DE")  # fmt: skip
    path = tmp_path / "liste.csv"
    path.write_text(
        "Kunde;Telefon;Ort\nAnna;030 23125001;Berlin\nBert;12;Bonn\nCara;+493023125001;Kiel\n",
        encoding="cp1252",
    )

    tried = shell.ok("leads", "import", str(path), "--campaign", "Spring", "--country", "DE",
                     "--dry-run")  # fmt: skip
    lists_after_dry_run = shell.ok("leads", "lists", "--json").json
    done = shell.ok("leads", "import", str(path), "--campaign", "Spring", "--country", "DE")

    assert re.search(r"Telefon\s+phone\s+030 23125001", done.out)
    assert re.search(r"Ort\s+kept\s+Berlin", done.out)
    assert re.search(r"accepted\s+1\b", done.out)
    assert re.search(r"duplicate in the file\s+1\b", done.out)
    assert "1 leads are on list liste of Spring." in done.out
    assert "Dry run: nothing was written." in tried.out
    assert [] == lists_after_dry_run
    text = (tmp_path / "liste.rejects.csv").read_text(encoding="utf-8")
    rejects = list(csv.DictReader(text.splitlines()))
    assert ["3", "4"] == [row["line"] for row in rejects]


def test_import_takes_an_explicit_mapping(shell: Shell, tmp_path: Path, dsn: str) -> None:
    """
    `--map` overrides the guess by column name or number.
    """
    shell.ok("campaign", "create", "Spring", "--seller", "Acme", "--profile", "lab", "--region",
             "US")  # fmt: skip
    path = tmp_path / "odd.csv"
    path.write_text("a,b,c\n+14155550123,Ann,+14155550199\n", encoding="utf-8")

    shell.ok("leads", "import", str(path), "--campaign", "Spring", "--map", "phone=3", "--map",
             "name=b")  # fmt: skip

    assert "+14155550199" == fetch(dsn, "SELECT number FROM lead_number")
    assert "Ann" == fetch(dsn, "SELECT name FROM lead")


def test_why_a_campaign_makes_no_calls(shell: Shell, campaign: str) -> None:
    """
    `campaign why` says in one line each what keeps calls from being made.
    """
    draft = shell.ok("campaign", "why", campaign).out.splitlines()
    shell.ok("campaign", "start", campaign)
    running = shell.ok("campaign", "why", campaign, "--json").json

    assert draft[0].startswith("The campaign is not started yet (draft): start it with")
    assert "no_engine" == running[0]["cause"]
    assert {"no_line_process", "no_agent"} <= {reason["cause"] for reason in running}


def test_why_a_number_is_not_called(shell: Shell, campaign: str) -> None:
    """
    `leads why` names each rule that holds a number, and says so when it becomes suppressed.
    """
    shell.ok("campaign", "start", campaign)
    free = shell.ok("leads", "why", "+14155550123").out
    shell.ok("dnc", "add", "+14155550123")
    held = shell.ok("leads", "why", "+14155550123").out
    unknown = shell.ok("leads", "why", "+14155550177").out

    assert "nothing holds it" in free
    assert "On the do-not-call list for every seller." in held
    assert "DNC: the person is on the do-not-call list" in held
    assert "No campaign has this number" in unknown


def test_do_not_call_list(shell: Shell, campaign: str, tmp_path: Path) -> None:
    """
    Numbers are added by hand and by file, listed, and taken off again.
    """
    path = tmp_path / "dnc.txt"
    path.write_text("+14155550123  # asked on the phone\n\n4155550150\n", encoding="utf-8-sig")

    by_file = shell.ok("dnc", "import", str(path), "--country", "US", "--json").json
    by_hand = shell.ok("dnc", "add", "+14155550151", "--seller", "Acme", "--json").json
    shell.ok("dnc", "remove", "+14155550150")
    left = shell.ok("dnc", "list", "--json").json

    assert (2, 1) == (by_file["added"], by_file["leads_done"])
    assert 1 == by_hand["added"]
    assert {("+14155550123", "*"), ("+14155550151", "Acme")} == {
        (row["number"], row["seller"]) for row in left
    }
    assert campaign == "Spring"


def test_token_is_shown_once_and_stored_as_a_hash(shell: Shell, campaign: str, dsn: str) -> None:
    """
    A new token voids the old one, and the database holds only its hash.
    """
    token = shell.ok("agents", "token", "anna", "--json").json["token"]

    stored = fetch(dsn, "SELECT token_hash FROM agent WHERE name = 'anna'")

    assert hash_token(token) == stored
    assert token not in shell.ok("agents", "list", "--json").out
    assert campaign == "Spring"


def test_agents_campaigns_and_priorities(shell: Shell, campaign: str) -> None:
    """
    Agents are assigned to several campaigns with priorities, and taken away again.
    """
    shell.ok("campaign", "create", "Autumn", "--seller", "Acme", "--profile", "lab", "--region",
             "US")  # fmt: skip

    shell.ok("agents", "assign", "anna", "Autumn", "--priority", "2")
    both = shell.ok("agents", "list", "--json").json[0]["campaigns"]
    shell.ok("agents", "unassign", "anna", campaign)
    one = shell.ok("agents", "list", "--json").json[0]["campaigns"]

    assert ["Spring", "Autumn (priority 2)"] == both
    assert ["Autumn (priority 2)"] == one


def test_simulated_agents_are_refused_for_real_campaigns(shell: Shell, campaign: str) -> None:
    """
    Nobody can play an agent whose campaign calls real people.
    """
    shell.ok("campaign", "create", "Real", "--seller", "Acme", "--profile", "us-tsr", "--region",
             "US")  # fmt: skip
    shell.ok("agents", "assign", "anna", "Real")

    refused = shell("agents", "simulate", "anna", "--auto")

    assert 2 == refused.code
    assert "'Real', which calls real people" in refused.err
    assert campaign == "Spring"


def test_trunks_from_the_settings_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    """
    `trunk sync` brings [[trunk]] sections into the database; the password is never shown.
    """
    path = tmp_path / "dialer.toml"
    path.write_text(
        'bind_address = "192.0.2.10"\n[[trunk]]\nname = "carrier"\nhost = "sip.example.net"\n'
        'username = "acme"\npassword_env = "CARRIER_PASSWORD"\nregister = true\n'
        'caller_ids = ["+14155550100"]\nnumber_format = "digits"\nchannels = 60\n'
    )
    monkeypatch.setenv("CARRIER_PASSWORD", "hush-hush")

    synced = shell.ok("--config", str(path), "trunk", "sync", "--json")
    listed = shell.ok("trunk", "list", "--json")

    (trunk,) = listed.json
    assert ("carrier", "real", 60, True) == (
        trunk["name"],
        trunk["kind"],
        trunk["channels"],
        trunk["has_password"],
    )
    assert {"number_format": "digits", "register": True} == trunk["settings"]
    assert "hush-hush" not in synced.out + listed.out
    assert "hush-hush" == fetch(dsn, "SELECT password FROM trunk")


def test_trunk_is_changed_in_place(shell: Shell, campaign: str) -> None:
    """
    `trunk set` changes what is given and keeps dialect, caller ids and the rest.
    """
    shell.ok("trunk", "set", "lab", "--channels", "7", "--set", "ptime_ms=30")
    shell.ok("trunk", "set", "lab", "--disable")

    (trunk,) = shell.ok("trunk", "list", "--json").json

    assert (7, "disabled", ["+14155550100"], {"ptime_ms": 30}) == (
        trunk["channels"],
        trunk["state"],
        trunk["caller_ids"],
        trunk["settings"],
    )
    assert campaign == "Spring"


def test_attempts_are_exported_with_masked_numbers(
    shell: Shell, campaign: str, tmp_path: Path
) -> None:
    """
    The attempts report works before the first call, as table, JSON and CSV.
    """
    out = tmp_path / "attempts.csv"

    table = shell.ok("report", "attempts", campaign)
    as_json = shell.ok("report", "attempts", campaign, "--json")
    shell.ok("report", "attempts", campaign, "--csv", str(out))

    assert "No attempt is closed in that period." in table.out
    assert [] == as_json.json
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("campaign", "list"),
        ("campaign", "status", "Spring"),
        ("campaign", "why", "Spring"),
        ("campaign", "watch", "Spring"),
        ("campaign", "report", "Spring"),
        ("report", "campaign", "Spring", "--since", "24h"),
        ("report", "abandonment", "Spring"),
        ("report", "attempts", "Spring"),
        ("agents", "list"),
        ("trunk", "list"),
        ("dnc", "list"),
        ("leads", "lists"),
        ("leads", "lists", "--campaign", "Spring"),
        ("leads", "why", "+14155550123"),
        ("migrate",),
    ],
)
def test_every_table_is_also_json(shell: Shell, campaign: str, words: tuple[str, ...]) -> None:
    """
    With --json standard output is one JSON value and nothing else; without it, something to read.
    """
    assert json.loads(shell.ok(*words, "--json").out) is not None
    assert shell.ok(*words).out.strip()
    assert campaign == "Spring"


# Terminal ----------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pseudo-terminal."""
    outer, inner = pty.openpty()
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


def test_watch_is_left_with_ctrl_c(
    shell: Shell, campaign: str, tmp_path: Path, dsn: str, terminal: tuple[int, int]
) -> None:
    """
    The live board draws on a terminal until Ctrl-C and ends with exit code 0 and the last board.
    """
    outer, inner = terminal
    process = subprocess.Popen(
        [*PROGRAM, "campaign", "watch", campaign, "--every", "0.2"],
        env=environment(tmp_path, DIALER_DATABASE_URL=dsn, TERM="xterm", LINES="50"),
        cwd=tmp_path,
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    try:
        drawn = read_until(outer, "Abandonment")
        process.send_signal(signal.SIGINT)
        drawn += read_until(outer, "Outcomes of 0 attempts", after=process)
        code = process.wait(PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()

    assert 0 == code, drawn
    assert "Traceback" not in drawn
    assert 0 == shell("campaign", "list").code


def read_until(descriptor: int, word: str, *, after: subprocess.Popen[bytes] | None = None) -> str:
    """Return what a terminal drew up to *word*; with *after*, until that process has ended too."""
    drawn = ""
    deadline = time.monotonic() + PATIENCE_S
    os.set_blocking(descriptor, False)
    while word not in drawn or (after is not None and after.poll() is None):
        if time.monotonic() > deadline:
            raise AssertionError(f"{word} was never drawn: {drawn[-2000:]}")
        try:
            drawn += os.read(descriptor, 65_536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.02)
    return drawn


# Documentation -----------------------------------------------------------------------------------


def commands() -> list[str]:
    """Return every command there is, as it is typed."""
    found = []

    def walk(app: typer.Typer, words: list[str]) -> None:
        for command in app.registered_commands:
            name = command.name or (command.callback.__name__ if command.callback else "")
            if not command.hidden:
                found.append(" ".join([*words, name]))
        for group in app.registered_groups:
            if group.typer_instance is not None:
                walk(group.typer_instance, [*words, str(group.name)])

    walk(cli.app, ["dialer"])
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command: str) -> None:
    """
    docs/reference/cli.md has a line for every command.
    """
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")

    assert f"`{command}" in text


@pytest.mark.parametrize("command", commands())
def test_every_command_helps(shell: Shell, command: str) -> None:
    """
    Every command explains itself with --help, without settings or a database.
    """
    words = command.split()[1:]

    helped = shell.ok(*words, "--help")

    assert f"Usage: {command}" in helped.out


def test_list_rests_leaves_and_comes_back(shell: Shell, campaign: str) -> None:
    """
    A campaign's list can be paused in its place, taken away, and called again.
    """
    (mine,) = shell.ok("campaign", "lists", campaign, "--json").json
    shell.ok("campaign", "pause-list", campaign, mine["name"])
    (paused,) = shell.ok("campaign", "lists", campaign, "--json").json
    assert (True, False) == (mine["active"], paused["active"])

    shell.ok("campaign", "resume-list", campaign, mine["name"])
    shell.ok("campaign", "unassign-list", campaign, mine["name"])
    assert [] == shell.ok("campaign", "lists", campaign, "--json").json
    again = shell("campaign", "pause-list", campaign, mine["name"])
    assert (2, True) == (again.code, "The campaign has no list" in again.err)

    shell.ok("campaign", "assign-list", campaign, mine["name"], "--priority", "3")
    (back,) = shell.ok("campaign", "lists", campaign, "--json").json
    assert (2, 3, True) == (back["leads"], back["priority"], back["active"])
