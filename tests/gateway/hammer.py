"""A process that makes calls until its budget is used up: HOME URL SECRET NAME. Run by tests; prints what it settled.

It says `ready` and waits for a line; then each line is how many of its calls are safe in the journal, the last one `done`.
Without a secret it is a run of ann's, whose calls pass its own gateway; that says only when it is done.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from gateway_call import price, record

from fakes.gateway import PATIENCE_S
from mohist.base import SystemClock
from mohist.gateway import keeper as patience
from mohist.gateway.address import URL_VARIABLE, home_address
from mohist.gateway.call import Gatekeeper, Principal, Refusal, Reservation, Wait
from mohist.gateway.keeper import Keeper
from mohist.gateway.resident import Resident

TASKS = 8
RESERVED = 150
"""Of each call; it costs between a third of that and all of it."""


class Hammer:
    def __init__(self, keeper: Gatekeeper, secret: str, name: str) -> None:
        self.keeper, self.secret, self.name = keeper, secret, name
        self.chance = random.Random(name)
        self.settled = 0

    async def strike(self) -> None:
        while (held := await self.room()) is not None:
            await asyncio.sleep(self.chance.random() / 500)
            self.settled += 1
            cost = self.chance.randint(RESERVED // 3, RESERVED)
            self.keeper.settle(held, record(f"{self.name}-{self.settled}", cost_microusd=cost))

    async def room(self) -> Reservation | None:
        """For one call; None: the budget is used up."""
        who = self.keeper.identify(self.secret)
        assert isinstance(who, Principal), who
        answer = self.keeper.reserve(who, "openai-chat", "m", "", 100, 50)
        if isinstance(answer, Wait):
            answer = await answer.over()
        if isinstance(answer, Refusal):
            assert answer.kind == "budget", answer
            return None
        return answer

    async def all(self) -> None:
        await asyncio.gather(*(self.strike() for _ in range(TASKS)))


async def main(home: str, url: str, secret: str, name: str) -> None:
    patience.WAIT_S = PATIENCE_S
    keeper: Keeper | Resident
    if secret:
        keeper = Keeper(home_address(Path(home), {}, url), price, SystemClock(), poll_s=0.05)
    else:
        ann = Principal("local", "ann")
        keeper = Resident(Path(home), {URL_VARIABLE: url}, ann, lambda usage: price("m", usage), SystemClock())
    keeper.start()
    hammer = Hammer(keeper, secret, name)
    print("ready", flush=True)
    sys.stdin.readline()
    striking = asyncio.ensure_future(hammer.all())
    while isinstance(keeper, Keeper) and not striking.done():
        await asyncio.sleep(0.02)
        count = hammer.settled
        assert keeper.flush(30)
        print(count, flush=True)
    await striking
    keeper.stop()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
