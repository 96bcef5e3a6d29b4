"""A laboratory without processes: made-up clients talk to a model in memory, on a clock that is moved by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from fakes.client.made_up import CLIENTS, talk
from mohist.vet.behaviour.script import Script, answer
from mohist.vet.behaviour.surroundings import Surroundings
from mohist.vet.behaviour.wire import encode
from mohist.vet.difference.factor import Assignment, Factor
from mohist.vet.difference.sent import Sent
from mohist.vet.difference.trial import Trial

START_S = 1_790_000_000.0
RUN_S = 7.3
"""Between the beginnings of two runs."""
NOISE_MS = 3.0
"""What the machine adds to each wait, on average."""


class MemoryLaboratory:
    """Fills `Laboratory`.

    Args:
        name: of the made-up client.
        factors: what is varied.
        seed: of everything that varies by itself.
    """

    def __init__(self, name: str, factors: Sequence[Factor], seed: int) -> None:
        self._kind = CLIENTS[name]
        self._factors = tuple(factors)
        self._random = random.Random(seed)
        self.assignments: list[Assignment] = []

    async def run(self, assignment: Assignment) -> Trial:
        self.assignments.append(assignment)
        around = Surroundings(self._factors, assignment)
        real_s = START_S + RUN_S * len(self.assignments)
        facts = around.facts(real_s, real_s + 1)
        if date := around.value("date"):
            # What a set clock would show; the made-up client is told the time and does not ask.
            from datetime import UTC, datetime

            day_s = datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() + 37_230
            facts = type(facts)(facts.words, facts.zone, day_s, day_s + 1, facts.shown)
        client = self._kind(
            around.env | {"BASE_URL": around.base_url},
            facts.started_s,
            around.remote,
            "/work/shop",
            self._random.random,
        )
        sent: list[Sent] = []
        steps = talk(client)
        request: Any = next(steps)
        at_ms = 0.0
        while request is not None:
            pause_s, headers, body = request
            wait_ms = pause_s * 1000 + self._random.expovariate(1 / NOISE_MS)
            at_ms += wait_ms
            lines = (("Host", " " + around.endpoint), *((name, " " + value) for name, value in headers))
            sent.append(
                Sent(at_ms, wait_ms, around.endpoint, 80, "POST", "/v1/messages", "HTTP/1.1", tuple(lines), body)
            )
            said = answer("anthropic-messages", body, Script("/work/shop/README.md"))
            assert said is not None
            try:
                request = steps.send(encode("anthropic-messages", said))
            except StopIteration:
                request = None
        return Trial(len(self.assignments), assignment, facts, tuple(sent))
