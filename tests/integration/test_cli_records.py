"""Imports, exports, records and reports from the shell, as a list manager uses them."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.shell import Shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shell(
    dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """Return commands on this test's own database with the campaign Spring, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("DIALER_DATA", str(tmp_path / "data"))
    made = Shell(dsn, capsys)
    made.ok("trunk", "add", "lab", "--host", "127.0.0.1", "--kind", "lab", "--caller-id",
            "+14155550100")  # fmt: skip
    made.ok("campaign", "create", "Spring", "--seller", "Acme", "--profile", "lab", "--region",
            "US", "--trunk", "lab")  # fmt: skip
    return made


def test_list_goes_in_out_and_back(shell: Shell, tmp_path: Path) -> None:
    """
    A mapping is saved and used again, rejects and leads come out as CSV, and an import is undone.
    """
    path = tmp_path / "leads.csv"
    path.write_text("who,nr\nAnn,415-555-0123\nBob,nonsense\n")
    options = ("--campaign", "Spring", "--json")

    first = shell.ok("leads", "import", str(path), *options, "--map", "phone=nr,name=who",
                 "--country", "US", "--save-template", "crm", "--dry-run").json  # fmt: skip
    second = shell.ok("leads", "import", str(path), *options, "--template", "crm").json
    rejects = shell.ok("leads", "rejects", second["import_id"]).out
    leads = shell.ok("leads", "export", "Spring").out
    history = shell.ok("leads", "imports", "--json").json
    shell.ok("leads", "undo", second["import_id"])
    after = shell.ok("leads", "imports", "--json").json

    assert (True, 1, 1) == (first["dry_run"], first["accepted"], first["rejected"])
    assert (1, 1) == (second["accepted"], second["rejected"])
    assert "3,not a valid telephone number,Bob,nonsense" in rejects
    assert ",Ann,+14155550123,US," in leads
    assert [("done", 2, 1)] == [
        (one["state"], one["rows_read"], one["accepted"]) for one in history
    ]
    assert ["undone"] == [one["state"] for one in after]
    assert "crm" in shell.ok("leads", "templates").out


def test_records_and_reports_of_a_quiet_campaign(shell: Shell, tmp_path: Path) -> None:
    """
    Before the first call every report and record command has its answer, and none is a trace.
    """
    path = tmp_path / "leads.csv"
    path.write_text("name,phone\nAnn,+14155550123\n")
    shell.ok("leads", "import", str(path), "--campaign", "Spring")
    package, chart = tmp_path / "evidence.zip", tmp_path / "kpis.png"

    figures = shell.ok("report", "kpis", "--by", "list", "--json").json
    held = shell.ok("records", "person", "+14155550123").json
    shell.ok("records", "evidence", "Spring", "--out", str(package))
    shell.ok("report", "kpis", "--by", "list", "--png", str(chart), "--figure", "penetration")
    erased = shell.ok("records", "erase", "+14155550123", "--yes").out

    assert (0.0, None) == (
        figures["parts"][0]["figures"]["penetration"],
        figures["parts"][0]["figures"]["conversion"],
    )
    assert ["Ann"] == [lead["name"] for lead in held["held"]["leads"]]
    assert "manifest.json" in zipfile.ZipFile(package).namelist()
    assert b"\x89PNG" == chart.read_bytes()[:4]
    assert "1 leads are empty now" in erased
    assert "0 records, and nothing is missing" in shell.ok("records", "check").out
    assert "kept for 1 year," in shell.ok("records", "retention").out
    assert "No day is sealed yet." in shell.ok("records", "verify").out
    assert "Every day that is over" in shell.ok("records", "seal").out
    assert "No agent was logged in" in shell.ok("report", "timesheets").out
    assert "Calls & Co" in shell.ok("records", "organisation", "Calls & Co").out


MISTAKES = (
    (("leads", "undo", "x"), "no import"),
    (("leads", "import", "x.csv", "--campaign", "Spring", "--template", "y"), "no import templ"),
    (("records", "erase", "+14155550123"), "--yes"),
    (("report", "kpis", "--target", "speed=3"), "There is no figure"),
    (("report", "kpis", "--zone", "Mars"), "no time zone"),
    (("report", "timesheets", "--since", "1h", "--until", "2h"), "ends before"),
    (("leads", "export", "Spring", "--out", "/nowhere/x.csv"), "cannot be written"),
)


def test_mistakes_are_one_sentence(shell: Shell) -> None:
    """
    Whatever is asked wrongly is one sentence that says what to do, and exit code 2.
    """
    for arguments, said in MISTAKES:
        result = shell(*arguments)

        assert 2 == result.code
        assert said in result.err
        assert 1 == len(result.err.strip().splitlines())
