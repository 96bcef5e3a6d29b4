"""What a cancelled delivery left outside is taken back: half deploys first, then its request, then its branch.

Each step looks before it acts and may be done again, so whoever comes after a kill begins anew and finds what is done.
One that can't be done keeps none of the others from being done: it is told, with why. What somebody else put there (a
commit on its branch, a merge) is left, and told as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mohist.base import MohistError
from mohist.delivery.deploy import OPEN
from mohist.delivery.errors import ForgeAwayError
from mohist.delivery.forge.contract import Forge, Request
from mohist.delivery.landing import HomeHarbour, Shore
from mohist.delivery.request import Harbour, is_ours, request_key
from mohist.delivery.ship import Ship
from mohist.delivery.stage import Context, ask
from mohist.delivery.state import Facts
from mohist.sandbox import AwayError, MovedError

Piers = Callable[[], tuple[Harbour | None, Forge | None]]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What became of what was outside, a sentence each."""

    done: tuple[str, ...] = ()
    """Taken back now."""
    left: tuple[str, ...] = ()
    """Stays, and should: it is somebody else's by now, or serves."""
    stuck: tuple[str, ...] = ()
    """Should be gone and can't be: a person must."""
    later: tuple[str, ...] = ()
    """The other side does not answer; to be tried again."""
    after_s: float = 0.0
    """It asked to be left alone for so long."""


def reaches_out(facts: Facts) -> bool:
    """Whether anything of a delivery may be outside of its own folder."""
    return bool(facts.releases) or _landed(facts)


async def withdraw(context: Context, ship: Ship, shore: Shore, piers: Piers, because: str) -> Withdrawn:
    """Takes back what a cancelled delivery left outside.

    Args:
        context: of the delivery.
        ship: its environments.
        shore: its ground.
        piers: where its branch lives (None: in the user's repository), and its forge; asked for only where a merge began.
        because: who cancelled it, and why; one line for people, also at the forge.
    """
    facts = await context.facts()
    told = await _released(context, ship, facts, because)
    if not _landed(facts):
        return told
    try:
        harbour, forge = piers()
    except MohistError as error:
        return _joined(told, Withdrawn(stuck=(f"{facts.delivery.branch}, if it was pushed: {error}",)))
    pier = _Pier(context, shore, harbour or HomeHarbour(shore), forge, because)
    closed = await _tried(pier.close)
    told = _joined(told, closed)
    # Without its branch a forge closes a request by itself, and nobody reads why.
    for step in (pier.look,) if closed.later else (pier.remove, pier.look):
        told = _joined(told, await _tried(step))
    return told


def _landed(facts: Facts) -> bool:
    return any(row.stage == "merge" and row.began_at_ms for row in facts.stages)


async def _released(context: Context, ship: Ship, facts: Facts, because: str) -> Withdrawn:
    left, done, stuck = [], [], []
    for row in facts.releases:
        if row.status == "committed":
            left.append(f"{row.environment}: {row.release_id} serves, and stays")
        elif row.status == "failed":
            stuck.append(f"{row.environment}: {row.release_id}: {row.detail}")
    for row in await ship.abandon(context, because) if any(row.status in OPEN for row in facts.releases) else ():
        if row.status == "rolled-back":
            serves = f"{row.previous} serves" if row.previous else "nothing was there before"
            done.append(f"{row.environment}: {row.release_id} was taken back ({serves})")
        else:
            stuck.append(f"{row.environment}: {row.release_id} is {row.status}: {row.detail}")
    return Withdrawn(tuple(done), tuple(left), tuple(stuck))


@dataclass(frozen=True, slots=True)
class _Pier:
    context: Context
    shore: Shore
    harbour: Harbour
    forge: Forge | None
    because: str

    async def close(self) -> Withdrawn:
        """The request, if there is one; also one whose making was not recorded any more."""
        delivery = (await self.context.facts()).delivery
        key = request_key(delivery)
        if self.forge is None or not await ask(self.context.book.begun, key):
            return Withdrawn()
        known = await ask(self.context.book.effect, key, "request")
        number = int(known["number"]) if known else 0
        if not number:
            found = await self.forge.find(delivery.branch, delivery.base_branch, delivery.delivery_id)
            if found is None:
                return Withdrawn()
            number = found.number
        before = (await self.forge.request(number)).request.state
        told = " ".join(f"Delivery {delivery.delivery_id} was {self.because}".split())
        now = await self.forge.close(number, f"{delivery.delivery_id}/closed", told)
        if now.state == "merged":
            return await self._merged(now)
        return Withdrawn(done=(f"{now.url} is closed",)) if before == "open" else Withdrawn()

    async def remove(self) -> Withdrawn:
        """Its own branch, by lease; one that holds somebody's commits stays."""
        delivery = (await self.context.facts()).delivery
        at = await self.harbour.tip(delivery.branch)
        if not at:
            return Withdrawn()
        if not await is_ours(self.context, self.shore, delivery, at):
            return Withdrawn(left=(f"{delivery.branch} holds {at[:12]}, which somebody else pushed",))
        try:
            await self.harbour.remove(delivery.branch, at)
        except MovedError:
            return Withdrawn(later=(f"{delivery.branch} moved at the same time",))
        return Withdrawn(done=(f"{delivery.branch} is removed; it stood on {at[:12]}",))

    async def look(self) -> Withdrawn:
        """A merge that was begun and not recorded any more: what the base holds, is not taken back by a cancel."""
        delivery = (await self.context.facts()).delivery
        if not delivery.commit or delivery.merged or not delivery.base_branch:
            return Withdrawn()
        tip = await self.harbour.tip(delivery.base_branch)
        if not tip or not await self.shore.contains(tip, delivery.commit):
            return Withdrawn()
        return await self._holds(delivery.commit)

    async def _merged(self, request: Request) -> Withdrawn:
        told = await self._holds(request.merged) if request.merged else Withdrawn()
        return _joined(Withdrawn(left=(f"{request.url} was merged before",)), told)

    async def _holds(self, merged: str) -> Withdrawn:
        context = self.context
        row = await ask(
            context.book.change,
            context.delivery_id,
            lambda delivery: dataclasses.replace(delivery, merged=delivery.merged or merged),
        )
        return Withdrawn(left=(f"{row.base_branch} holds the change already: {row.merged[:12]}; revert it there",))


async def _tried(step: Callable[[], Awaitable[Withdrawn]]) -> Withdrawn:
    try:
        return await step()
    except ForgeAwayError as error:
        return Withdrawn(later=(error.what,), after_s=error.retry_after_s)
    except AwayError as error:
        return Withdrawn(later=(error.what,))
    except MohistError as error:
        return Withdrawn(stuck=(str(error),))


def _joined(one: Withdrawn, other: Withdrawn) -> Withdrawn:
    return Withdrawn(
        one.done + other.done,
        one.left + other.left,
        one.stuck + other.stuck,
        one.later + other.later,
        max(one.after_s, other.after_s),
    )
