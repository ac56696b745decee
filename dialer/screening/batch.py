"""All screened calls of a line process, looked at together every tenth of a second.

Used by the one thread that talks to pjsua2: `begin` when a call's audio is there (early media or
answer), `restart` at the answer, `step` every `STEP_S`, `end` when the verdict has been acted upon
and late evidence no longer matters, or the call is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dialer.screening.detector import NOTHING_HEARD, DetectorBank, Posterior
from dialer.screening.listening import AudioSource, Listener, Tap

STEP_S: Final = 0.1


@dataclass(eq=False, slots=True)
class Screened:
    """One call under screening."""

    tap: Tap
    stream: int
    posterior: Posterior = NOTHING_HEARD


class Screener:
    """The taps and the detectors of a process."""

    def __init__(
        self, *, listener: Listener | None = None, bank: DetectorBank | None = None
    ) -> None:
        self.listener = listener or Listener()
        self.bank = bank or DetectorBank()
        self._calls: dict[int, Screened] = {}

    def __len__(self) -> int:
        """Return how many calls are under screening."""
        return len(self._calls)

    def begin(self, source: AudioSource) -> Screened:
        """Start to listen. Raises `pjsua2.Error` if no tap can be put on."""
        tap = self.listener.attach(source)
        call = Screened(tap, self.bank.open())
        self._calls[call.stream] = call
        return call

    def restart(self, call: Screened) -> None:
        """Forget what was heard before the answer."""
        call.tap.restart()
        self.bank.restart(call.stream)
        call.posterior = NOTHING_HEARD

    def end(self, call: Screened) -> None:
        """Stop listening and forget the audio; harmless twice."""
        if self._calls.get(call.stream) is not call:
            return
        del self._calls[call.stream]
        self.listener.detach(call.tap)
        self.bank.close(call.stream)

    def step(self) -> list[Screened]:
        """Hear what is new on every call; return those whose state changed."""
        audio = {stream: call.tap.read() for stream, call in self._calls.items()}
        changed = []
        for stream, posterior in self.bank.feed(audio).items():
            call = self._calls[stream]
            if call.posterior.state is not posterior.state:
                changed.append(call)
            call.posterior = posterior
        return changed

    def close(self) -> None:
        """End every call and give the recorders back."""
        for call in tuple(self._calls.values()):
            self.end(call)
        self.listener.close()
