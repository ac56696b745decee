"""Agents without a person, for demos and tests: always ready, dial previews, seeded dispositions.

Lab only. Many of them run in one process, each on a socket of its own, so that the server sees what
it would see from people.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from campaigns.model import AgentState, Disposition
from dialer.terminal.client import AgentClient

# What agents say, in hundredths; `callback` and the rest keep the retry rules honest.
SAID = {
    Disposition.NOT_INTERESTED: 46,
    Disposition.INTERESTED: 18,
    Disposition.SALE: 14,
    Disposition.CALLBACK: 10,
    Disposition.WRONG_PERSON: 7,
    Disposition.DO_NOT_CALL: 5,
}
# A phone that did not answer is called again after this long, in seconds.
LOG_IN_AGAIN_S = 3.0


@dataclass(slots=True)
class AutoAgent:
    """One agent that logs in, goes ready, and disposes of each call after a short wrap-up."""

    name: str
    client: AgentClient
    rng: random.Random
    wrap_up_s: float
    calls: int = 0
    said: Counter[Disposition] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _handled: str | None = None
    _decided: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop*, then log out and return once the server has let the agent go."""
        self.client.on_change = self._changed.set
        async with asyncio.TaskGroup() as group:
            line = group.create_task(self.client.run(), name=f"line-{self.name}")
            stopping = group.create_task(stop.wait(), name=f"stop-{self.name}")
            try:
                while not stop.is_set():
                    await self._turn()
                    await self._next_change(stopping)
                await self._leave()
            finally:
                line.cancel()
                stopping.cancel()

    async def _turn(self) -> None:
        standing = self.client.standing
        if standing is None or not self.client.connected:
            return
        if self.client.problem:
            self.problems.append(self.client.problem)
            self.client.problem = None
        match standing.state:
            case AgentState.OFFLINE if not standing.logged_in:
                await self.client.say("log_in")
                await asyncio.sleep(LOG_IN_AGAIN_S / 6)
            case AgentState.OFFLINE if standing.reason is not None:
                await asyncio.sleep(LOG_IN_AGAIN_S)
                await self.client.say("log_in")
            case AgentState.PAUSED:
                await self.client.say("ready")
            case AgentState.WRAP_UP:
                await self._wrap_up()
            case AgentState.RESERVED:
                await self._decide()
            case _:
                pass

    async def _decide(self) -> None:
        """Dial the lead shown in preview; other calls come by themselves."""
        call = self.client.call
        if call is None or call.preview_until is None or call.attempt_id == self._decided:
            return
        self._decided = call.attempt_id
        await self.client.decide("dial")

    async def _wrap_up(self) -> None:
        call = self.client.call
        if call is None or call.attempt_id == self._handled:
            return
        self._handled = call.attempt_id
        self.calls += 1
        await asyncio.sleep(self.wrap_up_s * self.rng.uniform(0.5, 1.5))
        said = self.rng.choices(list(SAID), weights=list(SAID.values()))[0]
        if await self.client.dispose(said):
            self.said[said] += 1

    async def _next_change(self, stopping: asyncio.Task[bool]) -> None:
        changed = asyncio.create_task(self._changed.wait(), name=f"change-{self.name}")
        try:
            await asyncio.wait(
                {changed, stopping}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
        self._changed.clear()

    async def _leave(self) -> None:
        """Log out; a call in progress is finished first."""
        await self.client.say("log_out")
        while self.client.standing is not None and self.client.standing.logged_in:
            if self.client.standing.state is AgentState.WRAP_UP:
                await self._wrap_up()
            self._changed.clear()
            await self._changed.wait()


async def work(
    url: str,
    tokens: Mapping[str, str],
    *,
    seed: int,
    wrap_up_s: float,
    stop: asyncio.Event,
    patience_s: float = 30.0,
) -> list[AutoAgent]:
    """Run one agent per token until *stop*; return them with what they did.

    After *stop* they get *patience_s* to finish their calls and log out. Raises `UserError` when
    the server refuses a token.
    """
    agents = [
        AutoAgent(name, AgentClient(url, token), _rng(seed, name), wrap_up_s)
        for name, token in tokens.items()
    ]
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(agent.run(stop), name=f"agent-{agent.name}") for agent in agents
        ]
        await stop.wait()
        _, late = await asyncio.wait(running, timeout=patience_s)
        for task in late:
            task.cancel()
    return agents


def _rng(seed: int, name: str) -> random.Random:
    """Return an agent's own generator, so that adding an agent changes nobody else's answers."""
    return random.Random(f"{seed}:{name}")  # noqa: S311 - seeded on purpose, not a secret
