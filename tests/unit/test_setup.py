"""Set-up: which archive is asked, which build is taken from the cache, what a failure says."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from setup import pjsip_source, pjsua2, venv
from setup.progress import SetupError, run, stage

INDEXES = """\
https://example.invalid/python|Other|
http://mirror.invalid/debian-security/|Debian-Security|/usr/share/keyrings/a.gpg
http://mirror.invalid/debian/|Debian|/usr/share/keyrings/b.gpg
"""


def tarball_with(path: Path, files: dict[str, str]) -> pjsip_source.Tarball:
    """Write a tarball of *files*, name to text."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return pjsip_source.Tarball(path, pjsip_source.sha256_of(path))


def test_debian_is_chosen_among_several_archives() -> None:
    """
    Other vendors' archives and Debian's security archive are passed over.
    """
    index = pjsip_source.debian_index(pjsip_source.parse_indexes(INDEXES))

    assert "http://mirror.invalid/debian" == index.address
    assert "/usr/share/keyrings/b.gpg" == index.signed_by


def test_debian_is_known_by_its_path_before_lists_are_fetched() -> None:
    """
    On a machine that never fetched its package lists, apt knows no labels yet.
    """
    text = INDEXES.replace("Debian-Security", "").replace("|Debian|", "||").replace("Other", "")

    index = pjsip_source.debian_index(pjsip_source.parse_indexes(text))

    assert "http://mirror.invalid/debian" == index.address


def test_machine_without_debian_is_told_what_to_do() -> None:
    """
    Elsewhere the message names the option that takes a tarball.
    """
    with pytest.raises(SetupError, match="--source"):
        pjsip_source.debian_index([])


def test_cached_wheels_are_ordered_by_number() -> None:
    """
    2.17 is newer than 2.9.
    """
    assert pjsua2.version_key("2.17-abc") > pjsua2.version_key("2.9-abc")


def test_wheel_is_taken_from_the_cache_only_for_this_recipe(tmp_path: Path) -> None:
    """
    A wheel built with other settings or for another Python is not used.
    """
    other = tmp_path / f"2.17-00000000-{pjsua2.python_tag()}"
    own = pjsua2.wheel_folder(tmp_path, "2.17")
    for folder in (other, own):
        folder.mkdir()
        (folder / "pjsua2-2.17+overdial.x-cp311-cp311-linux_x86_64.whl").touch()

    found = pjsua2.cached_wheel(tmp_path)

    assert found is not None
    assert own == found.parent


def test_cached_source_is_verified_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A tarball that was damaged in the cache is removed and fetched again, with a word about it.
    """
    sound = tmp_path / "sound.tar"
    sound.write_bytes(b"source")
    sha256 = pjsip_source.sha256_of(sound)
    monkeypatch.setattr(pjsip_source, "TESTED", {sha256: "9.9"})
    kept = pjsip_source.keep(sound, tmp_path / "sources")

    assert kept == pjsip_source.kept_tarball(tmp_path / "sources")
    assert "9.9" == kept.tested_version

    kept.path.write_bytes(b"sour")

    assert pjsip_source.kept_tarball(tmp_path / "sources") is None
    assert "damaged" in capsys.readouterr().out


def test_tarball_of_something_else_is_refused(tmp_path: Path) -> None:
    """
    An archive without PJSIP in it, and a file that is no archive, are each one sentence.
    """
    foreign = tarball_with(tmp_path / "foreign.tar.gz", {"x/README": "hello"})
    broken = pjsip_source.Tarball(tmp_path / "broken.tar", "0")
    broken.path.write_bytes(b"not a tarball")

    with pytest.raises(SetupError, match="holds no PJSIP source"):
        pjsua2.unpack(foreign, tmp_path / "a", tmp_path / "log")
    with pytest.raises(SetupError, match="not a readable tarball"):
        pjsua2.unpack(broken, tmp_path / "b", tmp_path / "log")


def test_source_version_is_read_from_the_tree(tmp_path: Path) -> None:
    """
    The version comes from PJSIP's own version.mak, with and without a revision.
    """
    text = "export PJ_VERSION_MAJOR  := 2\nexport PJ_VERSION_MINOR  := 17\nexport PJ_VERSION_REV"
    tarball = tarball_with(tmp_path / "a.tar.gz", {"pj/version.mak": f"{text}    :=\n"})

    source = pjsua2.unpack(tarball, tmp_path / "a", tmp_path / "log")

    assert "2.17" == pjsua2.source_version(source)
    (source / "version.mak").write_text(f"{text} := 1\n", encoding="utf-8")
    assert "2.17.1" == pjsua2.source_version(source)


def test_missing_file_named_by_the_user(tmp_path: Path) -> None:
    """
    A tarball that is not there is named in the message.
    """
    with pytest.raises(SetupError, match=r"there is no file .*none\.tar"):
        pjsip_source.from_user(str(tmp_path / "none.tar"), tmp_path)


def test_failing_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """
    The message holds the log's place and its last lines.
    """
    log = tmp_path / "build.log"

    with pytest.raises(SetupError, match="the reason") as failure:
        run([sys.executable, "-c", "raise SystemExit('the reason')"], log=log)

    assert str(log) in str(failure.value)


def test_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """
    A step that never ends becomes a sentence.
    """
    with pytest.raises(SetupError, match="did not finish"):
        run(["sleep", "60"], log=tmp_path / "log", timeout_s=0.1)


def test_stage_says_when_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """
    One line per stage, also for the one that failed.
    """

    def compile_badly() -> None:
        with stage("compile"):
            raise SetupError("no")

    with pytest.raises(SetupError):
        compile_badly()

    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("  compile … failed after ")


def test_stamp_that_is_no_json_means_a_new_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A broken stamp is no reason to fail: set-up starts over.
    """
    monkeypatch.setattr(venv, "STAMP", tmp_path / "stamp.json")
    venv.STAMP.write_text("{", encoding="utf-8")

    assert {} == venv.read_stamp()


def test_setup_needs_nothing_installed() -> None:
    """
    Set-up runs before any dependency is there: its modules import with the standard library alone.
    """
    modules = "setup.pjsua2, setup.venv, setup.pjsip_source, setup.progress"
    root = Path(pjsua2.__file__).parents[1]
    finished = subprocess.run(
        [sys.executable, "-S", "-c", f"import {modules}"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert 0 == finished.returncode, finished.stderr


def test_lock_names_no_place_and_pins_every_hash() -> None:
    """
    The lock file installs anywhere: no index address in it, and each package with its hashes.
    """
    text = venv.LOCK.read_text(encoding="utf-8")
    packages = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]

    assert "://" not in text
    assert packages
    assert all(line.endswith("\\") for line in packages)


def test_system_packages_are_found_installed() -> None:
    """
    On a machine that has every package the script says nothing and succeeds.
    """
    script = venv.ROOT / "setup" / "packages.sh"
    finished = subprocess.run([script], capture_output=True, text=True, timeout=30, check=False)

    assert (0, "", "") == (finished.returncode, finished.stdout, finished.stderr)
