"""The handbook against the product: whatever command, setting or file it names exists."""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from prometheus_client import Counter, Gauge, Histogram

from campaigns.model import CampaignSettings
from demo.command import app as demo_app
from dialer import metrics
from dialer.api import desk as api_desk
from dialer.cli import app
from dialer.config import Config
from dialer.lines import gauges
from dialer.trunk_section import TrunkSection
from siplab.__main__ import main as siplab

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
UNITS = sorted(ROOT.glob("docs/howto/systemd/*.service"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

# Variables the service does not read as settings: where they come in is docs/reference/
# configuration.md, "Two more variables are read by commands only".
_OTHER_VARIABLES = {"DIALER_CONFIG", "DIALER_AGENT_TOKEN"}
# Gauges of prometheus_client's histograms and counters carry these.
_SERIES = ("_bucket", "_count", "_sum", "_total", "_created")


class Line(NamedTuple):
    """A piece of a page that says something checkable, and where it stands."""

    page: Path
    number: int
    text: str

    def __str__(self) -> str:
        """Return page and line as an editor opens it."""
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def _code(page: Path) -> Iterator[Line]:
    """Yield the lines of code blocks, continued ones joined, and the code within sentences."""
    fenced, kept, start = False, "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            start = number if not kept else start
            kept += line.strip()
            if kept.endswith("\\"):
                kept = kept[:-1]
                continue
            yield Line(page, start, kept)
            kept = ""
        else:
            yield from (Line(page, number, code) for code in re.findall(r"`([^`]+)`", line))


def _pages() -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


# Commands --------------------------------------------------------------------------------------


# Typer's own copy of click has no public types.
@cache
def _tree() -> Any:
    return typer.main.get_command(app)


_PROGRAM = re.compile(r"(?:^|[\s;|&(=])(?:[\w./-]*/)?dialer\s+([^/].*)$")


def _calls(line: Line) -> list[str]:
    """Return the words after `dialer` of each call in a line of code."""
    text = re.sub(r"\s#\s.*$", "", line.text)
    found = []
    for part in re.split(r"\s(?:\|\||&&|\|)\s|;\s", text):
        match = _PROGRAM.search(part.strip())
        if match and not part.strip().startswith("# "):
            found.append(match[1].rstrip(";"))
    return found


def _complaint(call: str) -> str | None:
    """Return what is wrong with one call of the program, None when it could be made."""
    try:
        words = [word for word in shlex.split(call) if word not in {"…", "...", "&"}]
    except ValueError:
        words = call.split()
    command = _tree()
    while words:
        if command.context_settings.get("ignore_unknown_options"):
            # The rest is for another program.
            return None
        word = words.pop(0)
        options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            known = options | {"--help", "-h"}
            if name not in known:
                return f"{command.name} has no option {name}"
            if not equals and _takes_a_value(command, name) and words:
                words.pop(0)
        elif hasattr(command, "commands"):
            if "|" in word or word.isupper() or word.startswith("<"):
                return None
            inner = command.commands.get(word.rstrip(".,:;`"))
            if inner is None:
                return f"{command.name} has no command {word}"
            command = inner
    return None


def _takes_a_value(command: Any, name: str) -> bool:
    found = [option for option in command.params if name in option.opts]
    return bool(found) and not found[0].is_flag


@pytest.mark.parametrize("page", _pages())
def test_commands_in_the_docs(page: Path) -> None:
    """
    Every `dialer` command and option that a page names exists.
    """
    wrong = [
        f"{line}: {complaint} (in `{call}`)"
        for line in _code(page)
        for call in _calls(line)
        if (complaint := _complaint(call))
    ]

    assert [] == wrong


def test_options_of_the_demo() -> None:
    """
    Every option of `make demo` and `python -m demo` that a page names exists.
    """
    known = {name for p in typer.main.get_command(demo_app).params for name in p.opts}
    named = {
        (str(line), option)
        for page in PAGES
        for line in _code(page)
        if re.search(r"DEMO=|-m demo", line.text)
        for option in re.findall(r"(?<!\w)--[a-z-]+", line.text)
    }

    assert set() == {one for one in named if one[1] not in known}


@pytest.mark.parametrize("page", _pages())
def test_make_targets_in_the_docs(page: Path) -> None:
    """
    Every `make` target that a page names is in the Makefile.
    """
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    named = {
        (str(line), target)
        for line in _code(page)
        for target in re.findall(r"^(?:sudo )?make ([a-z0-9-]+)", line.text)
    }

    assert set() == {one for one in named if one[1] not in targets}


@pytest.mark.parametrize("page", _pages())
def test_lab_commands_in_the_docs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Every part of the lab and each of its options that a page names exists.
    """
    wrong = []
    for line in _code(page):
        match = re.search(r"-m siplab ([a-z-]+)([^|>&]*)", line.text)
        if match is None or match[1] == "probe":
            continue
        with pytest.raises(SystemExit):
            siplab([match[1], "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        wrong += [
            f"{line}: {match[1]} has no option {option}"
            for option in re.findall(r"(?<!\w)--[a-z-]+", match[2])
            if option not in known
        ]

    assert [] == wrong


# Settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", _pages())
def test_variables_in_the_docs(page: Path) -> None:
    """
    Every DIALER_ variable that a page names is a setting, a key of the one trunk, or documented.
    """
    settings = {f"DIALER_{name.upper()}" for name in Config.model_fields} - {"DIALER_TRUNK"}
    keys = {field.alias or name for name, field in TrunkSection.model_fields.items()}
    known = settings | _OTHER_VARIABLES | {f"DIALER_TRUNK_{key.upper()}" for key in keys}
    named = set(re.findall(r"\bDIALER_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))

    assert set() == named - known


@pytest.mark.parametrize("page", _pages())
def test_settings_files_in_the_docs(page: Path) -> None:
    """
    Every settings file that a page shows can be read by the service.
    """
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        values = tomllib.loads(block)
        # Certificates are looked for on this machine.
        values |= {key: __file__ for key in values if key.startswith("tls_")}

        assert Config(**values).trunk is not None


@pytest.mark.parametrize("page", _pages())
def test_campaign_settings_in_the_docs(page: Path) -> None:
    """
    Every --set of a campaign that a page shows names a setting with a value it takes.
    """
    for line in _code(page):
        if "campaign" not in line.text:
            continue
        for key, value in re.findall(r"--set '?([a-z_.]+)=([^\s']+)", line.text):
            if key.startswith("retry."):
                _, outcome, part = key.split(".")
                CampaignSettings.model_validate(
                    {"retry": {outcome: {"delay_s": 1, part: int(value)}}}
                )
            else:
                assert key in CampaignSettings.model_fields, str(line)


# Units, metrics, links -------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [pytest.param(unit, id=unit.name) for unit in UNITS])
def test_systemd_units(unit: Path) -> None:
    """
    Every unit starts a command that exists and leaves a shutdown its time.
    """
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    service = parser["Service"]
    call = service["ExecStart"].partition("/dialer ")[2].replace("%i", "0")
    drain_s = Config.model_fields["drain_s"].default

    assert _complaint(call) is None
    assert "exec" == service["Type"]
    assert drain_s + 15 < int(service["TimeoutStopSec"])
    assert "always" == service["Restart"]


@pytest.mark.parametrize("page", _pages())
def test_metrics_in_the_docs(page: Path) -> None:
    """
    Every metric that a page names is one the service shows.
    """
    named = {name for line in _code(page) for name in re.findall(r"\bdialer_[a-z_]+\b", line.text)}

    assert set() == {_without_series(name) for name in named} - _metrics()


def test_every_metric_is_documented() -> None:
    """
    docs/howto/metrics.md names every metric the service shows.
    """
    text = (ROOT / "docs/howto/metrics.md").read_text(encoding="utf-8")

    assert [] == sorted(name for name in _metrics() if name not in text)


def _metrics() -> set[str]:
    """Return the metrics of every process, without what the client library adds to their names."""
    modules = (metrics, gauges, api_desk)
    kinds = (Counter, Gauge, Histogram)
    shown = [value for module in modules for value in vars(module).values()]
    return {
        family.name for value in shown if isinstance(value, kinds) for family in value.collect()
    }


def _without_series(name: str) -> str:
    for end in _SERIES:
        if name.endswith(end):
            return name.removesuffix(end)
    return name


def _anchor(heading: str) -> str:
    """Return the anchor of a heading as forges make it."""
    plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", _pages())
def test_links_in_the_docs(page: Path) -> None:
    """
    Every relative link leads to a file, and its anchor to a heading of that page.
    """
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and there.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", _without_code(there), re.MULTILINE)
            if anchor not in map(_anchor, headings):
                wrong.append(f"{target}: no such heading")

    assert [] == wrong


@pytest.mark.parametrize("page", _pages())
def test_files_named_in_the_docs(page: Path) -> None:
    """
    Every file of the repository that a page names in code exists.
    """
    own = r"\b((?:dialer|campaigns|pacing|sip-lab|setup|demo|benchmarks|tests|docs)/[\w./-]*\w)"
    named = {
        name
        for code in re.findall(r"`([^`\s]+)`", _without_code(page))
        for name in re.findall(f"^{own}", code)
    }

    assert set() == {name for name in named if not (ROOT / name).exists()}


def test_every_page_is_in_the_index() -> None:
    """
    Every page of the handbook can be reached from docs/README.md.
    """
    seen: set[Path] = set()
    queue = [ROOT / "docs/README.md"]
    while queue:
        page = queue.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)\s#]+\.md)[^)]*\)", page.read_text(encoding="utf-8"))
        queue += [(page.parent / target).resolve() for target in targets]

    assert set() == {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - seen
