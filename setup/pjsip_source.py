"""Where PJSIP's source comes from: Debian's `asterisk` source package, or a tarball the user names.

Debian unstable carries the PJSIP release its Asterisk is built with as the component
`orig-Xpjproject`. It is fetched with an apt configuration of its own, so the machine's package
lists and sources stay as they are, and apt checks the archive's signature and every checksum.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from setup.progress import SetupError, run, say, stage

# sha256 of each tarball this project has been tested with -> its PJSIP version.
TESTED = {
    "6860c2f7604b4eee75f38151a9ef69774eb3f0c5286fc1d14bc1db2dc5a9e8aa": "2.17",
}
COMPONENT = "orig-Xpjproject"
SUITE = "sid"
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
# Suites whose keyring package leads from an old Debian key to the ones that sign unstable today.
KEYRING_SUITES = ("oldstable", "stable", "testing")
DOWNLOAD_TIMEOUT_S = 120
BY_HAND = "name a PJSIP tarball instead: make pjsua2 PJSUA2='--source FILE-OR-URL'"


@dataclass(frozen=True)
class Tarball:
    """A PJSIP source archive on this machine."""

    path: Path
    sha256: str

    @property
    def tested_version(self) -> str | None:
        """The version of a tarball this project was tested with, None for any other."""
        return TESTED.get(self.sha256)


@dataclass(frozen=True)
class Index:
    """One line of `apt-get indextargets`: a repository this machine already uses."""

    address: str
    label: str
    signed_by: str


def sha256_of(path: Path) -> str:
    """Return the file's checksum in hexadecimal."""
    with path.open("rb") as tarball:
        return hashlib.file_digest(tarball, "sha256").hexdigest()


def parse_indexes(text: str) -> list[Index]:
    """Read the lines `address|label|signed-by` that `list_indexes` asks apt for."""
    rows = [line.split("|", 2) for line in text.splitlines()]
    return [Index(row[0].strip().rstrip("/"), row[1], row[2]) for row in rows if len(row) == 3]


def list_indexes() -> list[Index]:
    """Ask apt which repositories this machine uses."""
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)|$(LABEL)|$(SIGNED_BY)",
        "Created-By: Packages",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        message = f"apt is not usable on this machine; {BY_HAND}"
        raise SetupError(message) from exc
    return parse_indexes(answer.stdout)


def debian_index(indexes: list[Index]) -> Index:
    """Pick the Debian archive among *indexes*: by its label, else by the path every mirror has.

    The label is only known once the machine has fetched its package lists.
    """
    for index in indexes:
        if index.label == "Debian":
            return index
    for index in indexes:
        if re.search(r"/debian$", index.address):
            return index
    message = f"no Debian archive among this machine's apt sources; {BY_HAND}"
    raise SetupError(message)


class Apt:
    """An apt of our own in *folder*: one source line, its own lists and cache."""

    def __init__(self, folder: Path, log: Path) -> None:
        """Lay out the folders apt insists on."""
        self.folder = folder
        self.log = log
        for needed in ("lists/partial", "cache/archives/partial", "files"):
            (folder / needed).mkdir(parents=True, exist_ok=True)
        # apt drops root for downloads, and that user has to reach the folder.
        for reachable in (folder, *folder.rglob("*")):
            reachable.chmod(0o755)

    def use(self, kind: str, index: Index, suite: str, keyring: Path) -> None:
        """Fetch the lists of one suite, its signature checked against *keyring*."""
        # A folder per suite: apt would keep the lists of the one before.
        shutil.rmtree(self.folder / "lists")
        (self.folder / "lists/partial").mkdir(parents=True)
        line = f"{kind} [signed-by={keyring}] {index.address} {suite} main\n"
        (self.folder / "sources.list").write_text(line, encoding="utf-8")
        # Without this option apt reports a bad signature as a warning and exits with 0.
        self.run("-o", "APT::Update::Error-Mode=any", "update")

    def run(self, *arguments: str) -> None:
        """Run apt-get in the folder `files`; raise `SetupError` when it fails."""
        options = (
            f"Dir::Etc::sourcelist={self.folder}/sources.list",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={self.folder}/lists",
            f"Dir::Cache={self.folder}/cache",
            "Acquire::Languages=none",
            # Mirrors that lag, and clocks that are off, do no harm: every file is signed for and
            # the tarball is compared with the checksum of a tested one.
            "Acquire::Check-Valid-Until=false",
            "Acquire::Check-Date=false",
            "Acquire::Retries=3",
        )
        flags = [flag for option in options for flag in ("-o", option)]
        env = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        run(
            ["apt-get", "-q", *flags, *arguments],
            log=self.log,
            cwd=self.folder / "files",
            env=env,
            timeout_s=DOWNLOAD_TIMEOUT_S,
        )


def machine_keyring(index: Index) -> Path:
    """Return the keyring this machine trusts for its Debian archive."""
    named = Path(index.signed_by) if index.signed_by.startswith("/") else None
    for candidate in (named, *KEYRINGS):
        if candidate is not None and candidate.is_file():
            return candidate
    message = f"Debian's keyring is missing (package debian-archive-keyring); {BY_HAND}"
    raise SetupError(message)


def newer_keyrings(apt: Apt, index: Index, keyring: Path) -> list[Path]:
    """Follow Debian's own chain of trust from *keyring* to the keys of newer releases.

    Each release is signed by the keys of the one before it too, so its keyring package can be
    verified with what we have, and then verifies the next release. Oldest first.
    """
    found: list[Path] = []
    for suite in KEYRING_SUITES:
        trusted = found[-1] if found else keyring
        try:
            apt.use("deb", index, suite, trusted)
            apt.run("download", "debian-archive-keyring")
        except SetupError:
            continue
        package = max((apt.folder / "files").glob("debian-archive-keyring_*.deb"))
        unpacked = apt.folder / f"keyring-{suite}"
        run(["dpkg-deb", "-x", str(package), str(unpacked)], log=apt.log)
        package.unlink()
        found += [
            unpacked / known.relative_to("/")
            for known in KEYRINGS
            if (unpacked / known.relative_to("/")).is_file()
        ][:1]
    return found


def from_debian(destination: Path, log: Path) -> Tarball:
    """Fetch the PJSIP tarball of Debian unstable into the folder *destination*."""
    index = debian_index(list_indexes())
    keyring = machine_keyring(index)
    with stage("source: PJSIP from Debian's archive"), tempfile.TemporaryDirectory() as temporary:
        apt = Apt(Path(temporary), log)
        try:
            apt.use("deb-src", index, SUITE, keyring)
        except SetupError as refused:
            # Unstable may be signed by a key younger than this machine's keyring.
            unknown_key = "GPG error" in str(refused)
            newer = newer_keyrings(apt, index, keyring) if unknown_key else []
            if not newer:
                failure = "verified" if unknown_key else "fetched"
                message = f"Debian's archive could not be {failure}; {BY_HAND}\n{refused}"
                raise SetupError(message) from refused
            apt.use("deb-src", index, SUITE, newer[-1])
        apt.run("source", "--download-only", "asterisk")
        found = sorted((apt.folder / "files").glob(f"*.{COMPONENT}.tar.*"))
        if not found:
            message = f"Debian's asterisk package no longer carries PJSIP's source; {BY_HAND}"
            raise SetupError(message)
        return keep(found[0], destination)


def from_user(named: str, destination: Path) -> Tarball:
    """Take the tarball the user named, a file or an http(s) address."""
    if not re.match(r"https?://", named):
        path = Path(named).expanduser()
        if not path.is_file():
            message = f"there is no file {named}"
            raise SetupError(message)
        return keep(path, destination)
    with stage("source: PJSIP from the address given"), tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / (named.rstrip("/").rsplit("/", 1)[-1] or "pjproject.tar.gz")
        try:
            with (
                urllib.request.urlopen(named, timeout=DOWNLOAD_TIMEOUT_S) as answer,  # noqa: S310 - http(s) only, checked above
                path.open("wb") as output,
            ):
                shutil.copyfileobj(answer, output)
        except OSError as exc:
            message = f"{named} could not be fetched: {exc}"
            raise SetupError(message) from exc
        return keep(path, destination)


def keep(path: Path, destination: Path) -> Tarball:
    """Copy the tarball under its checksum, so that a rebuild needs no network."""
    sha256 = sha256_of(path)
    suffix = "".join(re.findall(r"\.(?:tar|tgz|gz|bz2|xz|zip)", path.name)[-2:]) or ".tar"
    kept = destination / f"{sha256}{suffix}"
    destination.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        partial = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copyfile(path, partial)
        partial.replace(kept)
    return Tarball(kept, sha256)


def kept_tarball(destination: Path) -> Tarball | None:
    """Return the newest tested tarball of an earlier build, None when there is none."""
    for sha256 in reversed(TESTED):
        for path in destination.glob(f"{sha256}*"):
            if sha256_of(path) == sha256:
                return Tarball(path, sha256)
            say(f"  {path} is damaged and gets fetched again")
            path.unlink()
    return None
