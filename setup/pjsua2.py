"""Build the pjsua2 wheel once, cache it, and install it into the virtual environment.

Wheels on PyPI are compiled for four calls; PJSIP is meant to be built with one's own settings
(`pjsip/config_site.h`) and takes about a minute a core. The result lives outside the repository in
`$XDG_CACHE_HOME/overdial/pjsua2/<key>/`, keyed by PJSIP's version, everything that shapes the
build, and the Python it is for. `python -m setup.pjsua2 --help` lists the options.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from setup.pjsip_source import TESTED, Tarball, from_debian, from_user, kept_tarball
from setup.progress import SetupError, cache_home, fail, fresh_log, run, say, stage

HERE = Path(__file__).resolve().parent
CONFIG_SITE = HERE / "pjsip" / "config_site.h"
PATCHES = sorted((HERE / "pjsip" / "patches").glob("*.patch"))
SETUP_PY = HERE / "pjsip" / "wheel_setup.py"

COMPILER_FLAGS = "-O2 -g0 -DNDEBUG -fPIC"
# The SWIG wrapper is one file of 160,000 lines: at -O2 it takes longer than all of PJSIP.
WRAPPER_FLAGS = "-O1 -g0 -DNDEBUG -fPIC -fno-strict-aliasing"
# Debian strips what it has as packages of their own, hence the external libraries.
CONFIGURE = (
    "--enable-epoll",
    "--with-external-srtp",
    "--with-external-gsm",
    "--with-external-speex",
    "--enable-libsamplerate",
    "--disable-resample",
    "--disable-ilbc-codec",
    "--disable-g7221-codec",
    "--disable-opencore-amr",
    "--disable-silk",
    "--disable-bcg729",
    "--disable-lyra",
    "--disable-libwebrtc",
    "--disable-speex-aec",
    "--disable-sound",
    "--disable-video",
    "--disable-sdl",
    "--disable-ffmpeg",
    "--disable-v4l2",
    "--disable-openh264",
    "--disable-vpx",
    "--disable-libyuv",
    "--disable-upnp",
)
SWIG = ("-c++", "-threads", "-w312", "-python")
INCLUDES = ("pjlib", "pjlib-util", "pjnath", "pjmedia", "pjsip")
# Stripped from Debian's tarball although PJSIP's makefile names it; it would be empty here anyway.
STRIPPED = Path("pjmedia/src/pjmedia-audiodev/bdimad_dev.c")


def recipe_hash() -> str:
    """Return a short hash of everything of ours that shapes the build."""
    recipe = hashlib.sha256()
    for part in (COMPILER_FLAGS, WRAPPER_FLAGS, *CONFIGURE, *SWIG):
        recipe.update(f"{part}\0".encode())
    for path in (CONFIG_SITE, SETUP_PY, *PATCHES):
        recipe.update(path.read_bytes())
    return recipe.hexdigest()[:8]


def python_tag() -> str:
    """Return what ties a compiled module to this Python and this machine."""
    tag = sysconfig.get_config_var("SOABI") or f"{sys.implementation.cache_tag}"
    libc = "".join(platform.libc_ver())
    return f"{tag}-{libc}"


def wheel_version(pjsip: str) -> str:
    """Return the wheel's version: the local part tells our build from anyone else's."""
    return f"{pjsip}+overdial.{recipe_hash()}"


def wheel_folder(cache: Path, pjsip: str) -> Path:
    """Return the cache folder of one build."""
    return cache / f"{pjsip}-{recipe_hash()}-{python_tag()}"


def cached_wheel(cache: Path) -> Path | None:
    """Return the newest cached wheel for this recipe and this Python, None if there is none."""
    wheels = cache.glob(f"*-{recipe_hash()}-{python_tag()}/*.whl")
    return max(wheels, key=lambda wheel: version_key(wheel.parent.name), default=None)


def version_key(text: str) -> tuple[int, ...]:
    """Order `2.9…` before `2.17…`."""
    return tuple(int(part) for part in re.findall(r"\d+", text.split("-", 1)[0]))


@contextlib.contextmanager
def only_builder(cache: Path) -> Iterator[None]:
    """Let one process build at a time; the others wait and then find the wheel."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with stage("waiting for another build of pjsua2"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpack(tarball: Tarball, into: Path, log: Path) -> Path:
    """Unpack the source and return its top folder."""
    into.mkdir()
    try:
        run(["tar", "--no-same-owner", "-xf", str(tarball.path), "-C", str(into)], log=log)
    except SetupError as exc:
        message = f"{tarball.path} is not a readable tarball"
        raise SetupError(message) from exc
    tops = [path.parent for path in into.glob("**/version.mak")]
    if not tops:
        message = f"{tarball.path} holds no PJSIP source (no version.mak in it)"
        raise SetupError(message)
    return min(tops, key=lambda path: len(path.parts))


def source_version(source: Path) -> str:
    """Read PJSIP's version from its version.mak."""
    text = (source / "version.mak").read_text(encoding="utf-8")
    parts = dict(re.findall(r"PJ_VERSION_(MAJOR|MINOR|REV)\s*:=[ \t]*(\d*)", text))
    numbers = (parts.get("MAJOR", ""), parts.get("MINOR", ""), parts.get("REV", ""))
    return ".".join(number for number in numbers if number)


def prepare(source: Path, log: Path, *, tested: bool) -> None:
    """Put our settings and patches into the source tree.

    A patch that no longer fits stops the build of a tested version; on any other it is left out
    with a warning, because the rest is still worth having.
    """
    shutil.copyfile(CONFIG_SITE, source / "pjlib/include/pj/config_site.h")
    if not (source / STRIPPED).exists():
        (source / STRIPPED).touch()
    for patch in PATCHES:
        apply = ["patch", "-p1", "--forward", "--batch", "-i", str(patch)]
        try:
            run([*apply, "--dry-run"], log=log, cwd=source)
        except SetupError:
            if tested:
                raise
            say(f"\n  warning: {patch.name} does not fit this PJSIP and is left out")
        else:
            run(apply, log=log, cwd=source)


def compile_wrapper(source: Path, log: Path) -> Path:
    """Generate the Python wrapper with SWIG, compile it and return the object file."""
    folder = source / "pjsip-apps/src/swig/python"
    includes = [f"-I{source}/{part}/include" for part in INCLUDES]
    wrapper = folder / "pjsua2_wrap.cpp"
    run(["swig", *includes, *SWIG, "-o", str(wrapper), "../pjsua2.i"], log=log, cwd=folder)
    flags = make_tokens(folder, "cflags")
    python = Path(sysconfig.get_path("include"))
    if not (python / "Python.h").is_file():
        message = f"this Python has no C headers ({python}); install its -dev package"
        raise SetupError(message)
    compiled = wrapper.with_suffix(".o")
    command = ["g++", *flags, *WRAPPER_FLAGS.split(), f"-I{python}", "-c", str(wrapper)]
    run([*command, "-o", str(compiled)], log=log, cwd=folder)
    return compiled


def make_tokens(folder: Path, target: str) -> list[str]:
    """Ask PJSIP's own makefiles for compiler or linker arguments."""
    answer = subprocess.run(
        ["make", "--no-print-directory", "-f", "helper.mak", target],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if answer.returncode != 0:
        message = f"PJSIP's helper.mak has no usable target {target}"
        raise SetupError(message)
    return answer.stdout.split()


def compile_all(source: Path, log: Path, jobs: int) -> Path:
    """Compile PJSIP's libraries and the wrapper side by side; return the wrapper's object file.

    The wrapper only needs headers, and it is one long compilation: started together, both are
    done in half their sum on two cores.
    """
    env = os.environ | {"CFLAGS": COMPILER_FLAGS, "CXXFLAGS": COMPILER_FLAGS}
    with stage("configure"):
        run(["./aconfigure", *CONFIGURE], log=log, cwd=source, env=env)
    with stage(f"compile ({jobs} jobs)"), concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrapper = pool.submit(compile_wrapper, source, log.with_suffix(".wrapper.log"))
        run(["make", f"-j{jobs}", "lib"], log=log, cwd=source)
        return wrapper.result()


def package(source: Path, wrapper: Path, pjsip: str, log: Path) -> Path:
    """Link the module and pack it; return the wheel inside the source tree."""
    folder = source / "pjsip-apps/src/swig/python"
    shutil.copyfile(SETUP_PY, folder / "setup.py")
    link = [*make_tokens(folder, "ldflags"), *(f"-l{x}" for x in make_tokens(folder, "libs"))]
    env = os.environ | {
        "PJSUA2_VERSION": wheel_version(pjsip),
        "PJSUA2_WRAPPER": str(wrapper),
        "PJSUA2_LINK": "\n".join(link),
    }
    with stage("link and pack"):
        run([sys.executable, "setup.py", "-q", "bdist_wheel"], log=log, cwd=folder, env=env)
    return next((folder / "dist").glob("*.whl"))


def build(tarball: Tarball, cache: Path, jobs: int) -> Path:
    """Build a wheel from *tarball* and return its place in the cache."""
    started = time.monotonic()
    # On failure the folder stays, for its log.
    workplace = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    log = workplace / "build.log"
    with stage("unpack and patch"):
        source = unpack(tarball, workplace / "source", log)
        pjsip = source_version(source)
        if tarball.tested_version is None:
            tested = ", ".join(sorted(set(TESTED.values())))
            say(f"\n  warning: PJSIP {pjsip} is not the tarball tested here (tested: {tested})")
        prepare(source, log, tested=tarball.tested_version is not None)
    wrapper = compile_all(source, log, jobs)
    wheel = package(source, wrapper, pjsip, log)
    folder = wheel_folder(cache, pjsip)
    folder.mkdir(exist_ok=True)
    kept = folder / wheel.name
    shutil.copyfile(wheel, kept.with_suffix(".partial"))
    kept.with_suffix(".partial").replace(kept)
    shutil.rmtree(workplace)
    say(f"  pjsua2 {wheel_version(pjsip)} built in {time.monotonic() - started:.0f} s")
    return kept


def installed_version() -> str | None:
    """Return the version of the pjsua2 this Python has, None if it has none."""
    try:
        return importlib.metadata.version("pjsua2")
    except importlib.metadata.PackageNotFoundError:
        return None


def install(wheel: Path, log: Path) -> None:
    """Install *wheel* into the Python that runs this, and see that it loads."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    with stage("install"):
        run([*pip, "--force-reinstall", str(wheel)], log=log)
        run([sys.executable, "-c", "import pjsua2; pjsua2.EpConfig()"], log=log)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m setup.pjsua2", description=__doc__)
    parser.add_argument("--source", metavar="FILE-OR-URL", help="build this PJSIP tarball")
    parser.add_argument("--rebuild", action="store_true", help="build even if a wheel is cached")
    parser.add_argument("--no-install", action="store_true", help="only fill the cache")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2))
    return parser.parse_args()


def ensure(options: argparse.Namespace) -> None:
    """Bring the environment to a pjsua2 of our own, doing only what is missing."""
    cache = cache_home() / "pjsua2"
    asked = options.rebuild or options.source or options.no_install
    if not asked and (installed_version() or "").endswith(f"+overdial.{recipe_hash()}"):
        return
    wheel = None if options.rebuild or options.source else cached_wheel(cache)
    if wheel is None:
        say("pjsua2: building the SIP stack (once; about two minutes)")
        with only_builder(cache):
            # Another process may have built it while this one waited.
            wheel = None if options.rebuild or options.source else cached_wheel(cache)
            if wheel is None:
                wheel = build(fetch(options, cache), cache, options.jobs)
    if not options.no_install:
        install(wheel, fresh_log("pjsua2-install"))


def fetch(options: argparse.Namespace, cache: Path) -> Tarball:
    """Return the tarball to build from: named by the user, kept from before, or Debian's."""
    sources = cache / "sources"
    if options.source:
        return from_user(options.source, sources)
    return kept_tarball(sources) or from_debian(sources, fresh_log("pjsip-source"))


def main() -> None:
    """Build and install pjsua2 as the command line says."""
    options = arguments()
    try:
        ensure(options)
    except SetupError as error:
        fail(error)


if __name__ == "__main__":
    main()
