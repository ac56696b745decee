"""The reference page lists what the code enforces."""

from __future__ import annotations

from pathlib import Path

from campaigns.rules.gate import Rule
from campaigns.rules.profiles import PROFILES
from campaigns.rules.retry import DEFAULTS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "rules.md"


def test_every_rule_profile_and_retry_key_is_on_the_page() -> None:
    """
    No rule, profile or retry key exists without its line in the reference.
    """
    text = PAGE.read_text(encoding="utf-8")
    names = [*map(str, Rule), *PROFILES, *DEFAULTS]

    assert [] == [name for name in names if f"`{name}`" not in text]
