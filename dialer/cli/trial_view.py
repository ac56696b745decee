"""What a test call found: every leg, and which one has no audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dialer.cli import output, session

if TYPE_CHECKING:
    from dialer.lines.trial import Trial

# A test call that takes longer than this has been forgotten by somebody.
LONGEST_S = 90.0


def show(trial: Trial, *, as_json: bool) -> None:
    """Print what a test call found; exit code 1 unless both directions carried audio."""
    if as_json:
        output.print_json(trial)
    else:
        output.table(
            [
                {"leg": leg.name, "packets": leg.packets, "audio": leg.has_audio}
                for leg in trial.legs
            ],
            {"leg": "Audio", "packets": "RTP packets", "audio": "Heard"},
            as_json=False,
            empty="No leg came up.",
        )
        typer.echo(trial.said)
    if not trial.ok:
        session.note("The test failed.")
        raise typer.Exit(session.BROKEN)
