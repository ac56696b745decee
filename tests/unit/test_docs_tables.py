"""The handbook's tables and diagrams against the enums and tables of the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaigns import lifecycle
from campaigns.model import (
    AgentState,
    AttemptState,
    CampaignState,
    Disposition,
    DoneReason,
    Outcome,
    PhoneKind,
    Verdict,
)
from campaigns.rules import profiles

if TYPE_CHECKING:
    from enum import StrEnum

ROOT = Path(__file__).resolve().parents[2]


def diagram(table: Mapping[StrEnum, frozenset[StrEnum]]) -> str:
    """Return a table of transitions as a Mermaid diagram, in the table's own order."""
    order = list(table)
    lines = ["```mermaid", "stateDiagram-v2"]
    for old in order:
        lines += [f"    {old} --> {new}" for new in order if new in table[old]]
    return "\n".join([*lines, "```"])


@pytest.mark.parametrize("name", ["ATTEMPT", "SCREENING", "RESERVATION", "AGENT", "CAMPAIGN"])
def test_diagrams_are_the_tables(name: str) -> None:
    """
    Each diagram of docs/explanation/architecture.md is its table of campaigns/lifecycle.py.
    """
    text = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- lifecycle: {name} -->\n\n(```mermaid.*?```)", text, re.DOTALL)

    assert shown is not None
    assert diagram(getattr(lifecycle, name)) == shown[1]


@pytest.mark.parametrize(
    "values",
    [AttemptState, CampaignState, AgentState, Outcome, Verdict, Disposition, DoneReason, PhoneKind],
)
def test_glossary_has_every_value(values: type[StrEnum]) -> None:
    """
    The glossary names every state, outcome, verdict and disposition there is.
    """
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")

    assert [] == [str(value) for value in values if f"`{value}`" not in text]


def test_readme_names_every_profile() -> None:
    """
    README says which legal profiles there are.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [] == [name for name in profiles.PROFILES if f"`{name}`" not in text]


def test_changelog_has_an_unreleased_section() -> None:
    """
    CHANGELOG.md says what changed for users, newest first.
    """
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert "## [Unreleased]" == re.findall(r"^## .*$", text, re.MULTILINE)[0]
