"""What this process may put on each budget: the slices that it holds of them, and what calls took out of those.

Pure and in memory. A `Pot` is one budget in one of its periods. Order of use: `Pots.limit` as often as budgets change; for
each call `lack`, and when it says nothing, `hold`, then one `Hold.settle`, then one `Pots.saved` when the database knows
what the call cost. Who speaks with the database calls `Pot.propose`, writes what it says, and then `Pot.confirm`.
The caller makes each step alone.

At any moment, for money and for tokens: held + unsaved <= room, but for the one call that crosses a limit and for calls
that cost more than was held for them. The database counts at least `room` against the budget, so whatever other
processes do, this one can spend what it has room for. A slice becomes smaller here before it does there, and larger
there before it does here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mohist.gateway.budget import Budget, Period, Subject, period_start, subjects_of, unpriced, used_up
from mohist.gateway.call import Principal

Place = tuple[str, str, Period, int]
"""Subject, name, period and its first day."""
Pair = tuple[int, int]
"""Money (microusd) and tokens."""

_NONE: Final[Pair] = (0, 0)
_MOST_FOUND: Final = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of a place, without what this process has of it."""

    spent: Pair = _NONE
    others: Pair = _NONE
    """Of the budget in other processes' hands."""
    slack: Pair = _NONE
    """Part of `others` that they had no use for when they last wrote."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the database shall count against a place for this process."""

    place: Place
    taken: Pair
    slack: Pair


class Side:
    """Money or tokens of a pot."""

    __slots__ = ("coming", "cross", "held", "limit", "others", "room", "slack", "spent", "unsaved")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.unsaved = 0
        """Spent, and not yet in the database's sums."""
        self.room = 0
        self.cross = 0
        """How far one call may go beyond `room`: the one that crosses the limit."""
        self.coming: Pair = _NONE
        """Room and cross once the database has it."""
        self.spent = 0
        self.others = 0
        self.slack = 0

    def fits(self, need: int) -> bool:
        free = self.room - self.unsaved - self.held
        return need <= free or (self.cross > 0 and need <= free + self.cross)

    def hold(self, amount: int) -> None:
        if self.cross and amount > self.room - self.unsaved - self.held:
            self.cross = 0
        self.held += amount

    def share(self, needs: Sequence[int], spent: int, others: int, processes: int) -> Pair:
        """Room and cross that this process should have.

        A part of what is left, which shrinks as that does, so that others find some too; all that waiting calls need; and
        once less is left than one of them needs, the rest and what it goes beyond. What is handed out never passes the
        limit, but for that.
        """
        cap = self.limit - spent - others
        used = self.unsaved + self.held
        left = cap - used
        if left <= 0:
            return cap, 0
        first = next((need for need in needs if not need <= self.room - used), 0)
        if first > left:
            return cap, first - left
        free, part = self.room - used, left // (processes + 1)
        if first:
            return used + min(left, max(sum(needs), part)), 0
        if free < part // 2 or free > part + part // 4:
            return used + part, 0
        return self.room, 0


class Pot:
    """One budget in one period, as this process sees it."""

    __slots__ = ("budget", "empty", "sides", "start", "touched_s", "written")

    def __init__(self, budget: Budget, start: int) -> None:
        self.budget = budget
        self.start = start
        limits = (budget.limit_microusd, budget.limit_tokens)
        money, tokens = (None if limit is None else Side(limit) for limit in limits)
        self.sides = (money, tokens)
        self.empty = False
        """At the last look nothing was left, and nobody had any free."""
        self.touched_s = 0.0
        self.written: Row | None = None
        """As the database has it; None: perhaps not at all."""

    @property
    def place(self) -> Place:
        return self.budget.subject, self.budget.name, self.budget.period, self.start

    @property
    def idle(self) -> bool:
        """Nothing is held, and the database knows all that was spent."""
        return all(side is None or not (side.held or side.unsaved) for side in self.sides)

    def lacks(self, needs: Pair) -> bool:
        """Whether a call finds no room here; written out, since every call passes through."""
        money, tokens = self.sides
        # A call that costs nothing passes too only while something is left.
        if money is not None:
            need, free = needs[0] or 1, money.room - money.unsaved - money.held
            if need > free and (not money.cross or need > free + money.cross):
                return True
        if tokens is not None:
            need, free = needs[1] or 1, tokens.room - tokens.unsaved - tokens.held
            return need > free and (not tokens.cross or need > free + tokens.cross)
        return False

    def propose(self, known: Known, processes: int, waiting: Sequence[Pair], *, look: bool = False) -> Row | None:
        """What to write, None where the database has it; what is given back is given back at once.

        With `look` nothing changes but what is known.
        """
        taken, slack = [0, 0], [0, 0]
        empty = False
        for index, side in enumerate(self.sides):
            if side is None:
                continue
            spent, others = known.spent[index], known.others[index]
            side.spent, side.others, side.slack = spent, others, known.slack[index]
            room, cross = side.share([need[index] or 1 for need in waiting], spent, others, processes)
            used = side.held + side.unsaved
            empty = empty or (side.limit - spent - others - used <= 0 and side.slack <= 0)
            if not look:
                side.coming = room, cross
                side.cross = 0
                side.room = min(side.room, room)
            taken[index] = max(room, used, 0) + cross
            slack[index] = max(room - used, 0) + cross
        self.empty = empty
        row = Row(self.place, (taken[0], taken[1]), (slack[0], slack[1]))
        # What is free here changes with every call; it is worth telling only when others look for some.
        short = any(
            side is not None and side.limit <= side.spent + side.others + taken[index]
            for index, side in enumerate(self.sides)
        )
        before = self.written
        same = before is not None and before.taken == row.taken and (not short or before.slack == row.slack)
        return None if same else row

    def confirm(self, row: Row | None) -> None:
        """The database has what was proposed."""
        if row is not None:
            self.written = row
        for side in self.sides:
            if side is not None:
                side.room, side.cross = side.coming

    def forget(self) -> None:
        """The database counts nothing for this process any more: what is free is lost."""
        self.written = None
        for side in self.sides:
            if side is not None:
                side.room, side.cross = min(side.room, side.held + side.unsaved), 0


class Hold:
    """Room held for one call; it counts on the UTC day the call began, however long it takes."""

    __slots__ = ("amounts", "day", "ended", "open", "pots", "principal")

    def __init__(self, principal: Principal, day: int, amounts: Pair) -> None:
        self.principal = principal
        self.day = day
        self.amounts = amounts
        """Held, then spent."""
        self.open = True
        self.ended = False
        """It was settled."""
        self.pots: list[Pot] = []

    def put_on(self, pot: Pot) -> None:
        self.pots.append(pot)
        amounts = self.amounts
        money, tokens = pot.sides
        if self.ended:
            if money is not None:
                money.unsaved += amounts[0]
            if tokens is not None:
                tokens.unsaved += amounts[1]
        elif self.open:
            if money is not None:
                money.hold(amounts[0])
            if tokens is not None:
                tokens.hold(amounts[1])

    def release(self) -> None:
        """Gives the room back before the call is settled: it is taken for lost."""
        if self.open:
            self._give_back()

    def settle(self, amount_microusd: int, tokens: int) -> None:
        """Replaces what was held by what was used; once."""
        if self.open:
            self._give_back()
        self.ended = True
        self.amounts = (amount_microusd, tokens)
        for pot in self.pots:
            money, counted = pot.sides
            if money is not None:
                money.unsaved += amount_microusd
            if counted is not None:
                counted.unsaved += tokens

    def _give_back(self) -> None:
        self.open = False
        amounts = self.amounts
        for pot in self.pots:
            pot.empty = False
            money, tokens = pot.sides
            if money is not None:
                money.held -= amounts[0]
            if tokens is not None:
                tokens.held -= amounts[1]


class Pots:
    """All budgets in use, and the calls that count on them."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[Subject, str], tuple[Budget, ...]] = {}
        self._current: dict[tuple[Subject, str], list[Pot]] = {}
        self._all: set[Pot] = set()
        self._live: set[Hold] = set()
        self._retired: list[Place] = []
        self._found: dict[Principal, tuple[int, list[Pot]]] = {}
        """What `of` found, by day."""

    def limit(self, budgets: Iterable[Budget]) -> None:
        """Replaces all budgets; what calls hold counts on new ones too."""
        grouped: dict[tuple[Subject, str], tuple[Budget, ...]] = {}
        for budget in budgets:
            place = (budget.subject, budget.name)
            grouped[place] = (*grouped.get(place, ()), budget)
        before, self._budgets = self._budgets, grouped
        self._found.clear()
        for place, pots in list(self._current.items()):
            if grouped.get(place) != before.get(place):
                del self._current[place]
                for pot in pots:
                    for hold in self._live:
                        if pot in hold.pots:
                            hold.pots.remove(pot)
                    self._all.discard(pot)
                    self._retired.append(pot.place)
        for hold in list(self._live):
            self.of(hold.principal, hold.day)

    def lack(
        self, principal: Principal, day: int, model: str, amount_microusd: int | None, tokens: int, now_s: float
    ) -> str | list[Pot]:
        """Which budget has no room for one more call, for people; or the pots to be filled; empty when all have room.

        Args:
            principal: who calls.
            day: the UTC day, counted from the epoch.
            model: for the message alone.
            amount_microusd: the call's largest cost; None: no price is known.
            tokens: the most it may use.
            now_s: monotonic time.
        """
        if not self._budgets:
            return ""
        needs = (amount_microusd or 0, tokens)
        lacking = []
        for pot in self.of(principal, day):
            pot.touched_s = now_s
            if amount_microusd is None and pot.sides[0] is not None and not pot.budget.allow_unpriced:
                return unpriced(pot.budget, model)
            if pot.lacks(needs):
                if pot.empty:
                    return self.refusal(pot, day, needs)
                lacking.append(pot)
        return lacking or ""

    def refusal(self, pot: Pot, day: int, needs: Pair) -> str:
        """What to tell who has no room in this pot."""
        for index, (side, need) in enumerate(zip(pot.sides, needs, strict=True)):
            if side is not None and not side.fits(need or 1):
                spent, held = side.spent + side.unsaved, side.held + max(side.others - side.slack, 0)
                return used_up(pot.budget, day, spent, held, side.limit, money=index == 0)
        return ""

    def hold(self, principal: Principal, day: int, amount_microusd: int, tokens: int) -> Hold:
        """Keeps room free in all budgets the call counts on."""
        hold = Hold(principal, day, (amount_microusd, tokens))
        if self._budgets:
            for pot in self.of(principal, day):
                hold.put_on(pot)
        self._live.add(hold)
        return hold

    def saved(self, holds: Iterable[Hold]) -> None:
        """The database knows what these calls cost, and counts it no longer against this process's slices."""
        holds = list(holds)
        moved = moving(holds)
        for hold in holds:
            self._live.discard(hold)
            for pot in hold.pots:
                for index, side in enumerate(pot.sides):
                    if side is not None:
                        amount = hold.amounts[index]
                        side.unsaved -= amount
                        side.room -= amount
                        side.spent += amount
        for row, pot in moved:
            pot.written = row

    def drop(self, hold: Hold) -> None:
        """A call that is not made after all."""
        hold.release()
        self._live.discard(hold)

    def all(self) -> list[Pot]:
        return list(self._all)

    def take_retired(self) -> list[Place]:
        """The places of budgets that were changed or removed since the last time."""
        retired, self._retired = self._retired, []
        return retired

    def remove(self, pot: Pot) -> None:
        """Forgets a pot that is idle."""
        self._all.discard(pot)
        self._found.clear()
        place = (pot.budget.subject, pot.budget.name)
        if pot in self._current.get(place, ()):
            del self._current[place]

    def of(self, principal: Principal, day: int) -> list[Pot]:
        """The pots a call of today counts on; a pot's period only ever moves forward.

        A clock that is set back must not open yesterday's budget again.
        """
        known = self._found.get(principal)
        if known is not None and known[0] == day:
            return known[1]
        found: list[Pot] = []
        for place in subjects_of(principal):
            budgets = self._budgets.get(place)
            if budgets is None:
                continue
            pots = self._current.get(place)
            if pots is None:
                pots = self._current[place] = [
                    self._make(budget, period_start(budget.period, day)) for budget in budgets
                ]
            else:
                for index, pot in enumerate(pots):
                    start = period_start(pot.budget.period, day)
                    if start > pot.start:
                        pots[index] = self._make(pot.budget, start)
            found += pots
        if len(self._found) >= _MOST_FOUND:
            self._found.clear()
        self._found[principal] = (day, found)
        return found

    def _make(self, budget: Budget, start: int) -> Pot:
        for pot in self._all:
            if pot.start == start and pot.budget == budget:
                return pot
        pot = Pot(budget, start)
        self._all.add(pot)
        place = (budget.subject, budget.name)
        for hold in self._live:
            if period_start(budget.period, hold.day) == start and place in subjects_of(hold.principal):
                hold.put_on(pot)
        return pot


def moving(holds: Iterable[Hold]) -> list[tuple[Row, Pot]]:
    """What is left of the slices once what these settled calls cost is counted as spent."""
    charges: dict[Pot, Pair] = {}
    for hold in holds:
        for pot in hold.pots:
            microusd, tokens = charges.get(pot, _NONE)
            charges[pot] = (microusd + hold.amounts[0], tokens + hold.amounts[1])
    rows = []
    for pot, (microusd, tokens) in charges.items():
        if pot.written is not None:
            taken = pot.written.taken
            left = (max(taken[0] - microusd, 0), max(taken[1] - tokens, 0))
            rows.append((Row(pot.place, left, pot.written.slack), pot))
    return rows
