"""What the gate's checks say against one call, collected into one verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from campaigns.model import Allow, Deny, DoneReason
from campaigns.rules.rule_ids import Rule

# When to ask again about something only people can change: settings, trunks, the running state.
SETTING_S = 3600.0
SOON_S = 30.0
DAY_S = 86_400.0


@dataclass(slots=True)
class Refusals:
    """Collects refusals; the lead waits for the longest of them, a final one ends it.

    Rules in `waived` refuse nothing.
    """

    waived: frozenset[Rule] = frozenset()
    rules: list[Rule] = field(default_factory=list)
    final: DoneReason | None = None
    wait_s: float = 0.0

    def for_good(self, rule: Rule, reason: DoneReason) -> None:
        """Refuse for ever."""
        if rule in self.waived:
            return
        self.rules.append(rule)
        # Suppression beats everything (GATE-3): it is the reason that must be on record.
        if self.final is None or reason is DoneReason.SUPPRESSED:
            self.final = reason

    def until(self, rule: Rule, wait_s: float) -> None:
        """Refuse for now; ask again in *wait_s* seconds."""
        if rule in self.waived:
            return
        self.rules.append(rule)
        self.wait_s = max(self.wait_s, wait_s)

    def verdict(self) -> Allow | Deny:
        """Return what all of it comes to."""
        if not self.rules:
            return Allow()
        ask_again_s = None if self.final is not None else max(self.wait_s, 1.0)
        return Deny(tuple(self.rules), self.final, ask_again_s)
