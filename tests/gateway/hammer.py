"""A process that makes calls until its budget is used up: HOME URL SECRET NAME. Run by tests; prints what it settled.

It says `ready` and waits for a line; then each line is how many of its calls are safe in the journal, the last one `done`.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from gateway_call import price, record

from mohist.base import SystemClock
from mohist.gateway.address import home_address
from mohist.gateway.call import Principal, Refusal, Wait
from mohist.gateway.keeper import Keeper

TASKS = 8
RESERVED = 150
"""Of each call; it costs between a third of that and all of it."""


class Hammer:
    def __init__(self, keeper: Keeper, secret: str, name: str) -> None:
        self.keeper, self.secret, self.name = keeper, secret, name
        self.chance = random.Random(name)
        self.settled = 0

    async def strike(self) -> None:
        while True:
            who = self.keeper.identify(self.secret)
            assert isinstance(who, Principal), who
            answer = self.keeper.reserve(who, "openai-chat", "m", "", 100, 50)
            if isinstance(answer, Wait):
                answer = await answer.over()
            if isinstance(answer, Refusal):
                assert answer.kind == "budget", answer
                return
            await asyncio.sleep(self.chance.random() / 500)
            self.settled += 1
            cost = self.chance.randint(RESERVED // 3, RESERVED)
            self.keeper.settle(answer, record(f"{self.name}-{self.settled}", cost_microusd=cost))

    async def tell(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            count = self.settled
            assert self.keeper.flush(30)
            print(count, flush=True)


async def main(home: str, url: str, secret: str, name: str) -> None:
    keeper = Keeper(home_address(Path(home), {}, url), price, SystemClock(), poll_s=0.05)
    keeper.start()
    hammer = Hammer(keeper, secret, name)
    print("ready", flush=True)
    sys.stdin.readline()
    telling = asyncio.ensure_future(hammer.tell())
    await asyncio.gather(*(hammer.strike() for _ in range(TASKS)))
    telling.cancel()
    keeper.stop()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
