"""What a worker does about triggers: claims what is due, dropped or asked for over HTTP, and begins its deliveries.

Claiming and beginning are apart: a claim is one row, made at once; beginning reads repositories and forges, and is tried again
by whoever is alive. Both may be done by any number of workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import anyio
from anyio import from_thread, to_thread

from mohist.app.deliver import Asked, account_name, begin
from mohist.app.office import Office
from mohist.app.ruling import COMPANY_FILE, USER_FILE, read_text
from mohist.app.work import press_on, work
from mohist.base import ExitCode, MohistError
from mohist.delivery.errors import DeliveryError, RuleError, UnknownDeliveryError
from mohist.delivery.stage import ask
from mohist.delivery.store import delivery_address
from mohist.delivery.trigger.door import Ear, HookDoor
from mohist.delivery.trigger.drop import DropFolder, Dropped
from mohist.delivery.trigger.firing import Firing, Firings
from mohist.delivery.trigger.listener import listen
from mohist.delivery.trigger.setting import (
    Cron,
    Drop,
    Listening,
    Trigger,
    TriggerFile,
    Webhook,
    load_triggers,
    secrets_of,
)

ROUND_S: Final = 1.0
HELD_MS: Final = 120_000
"""A worker that takes longer to begin a delivery is taken for dead. Who takes over begins the same delivery."""
WAITS_S: Final = (60.0, 300.0, 900.0, 3_600.0)
"""Between tries to begin one; after the last it has failed."""
_LOG: Final = logging.getLogger(__name__)


def read_triggers(office: Office) -> TriggerFile:
    """What the company's and the user's file say; of one name the company's, and its place to listen.

    Raises:
        RuleError: a file is not as it must be, or the user's names a requester who may not be named there.
    """
    triggers: dict[str, Trigger] = {}
    listening: Listening | None = None
    user_file = office.paths.home / USER_FILE
    for path in (user_file, COMPANY_FILE):
        read = load_triggers(read_text(path), str(path))
        triggers |= {trigger.name: trigger for trigger in read.triggers}
        listening = read.listening or listening
        if path == user_file and not office.is_file:
            _check_names(read.triggers)
    return TriggerFile(tuple(triggers.values()), listening)


def _check_names(triggers: Sequence[Trigger]) -> None:
    """Where others share the tables, a user's trigger asks in the user's name: else it would be a way round four eyes."""
    own = account_name()
    for trigger in triggers:
        if trigger.requester != own:
            raise RuleError(
                f"{trigger.origin}: trigger {trigger.name!r} asks in the name of {trigger.requester!r}; it is {own!r}'s.",
                f"Others are named in {COMPANY_FILE}: these deliveries are kept in a database that others use.",
            )


def open_firings(office: Office) -> Firings:
    """The firings, on a connection of their own."""
    return Firings(delivery_address(office.paths.home, office.variables), office.clock)


@dataclass(frozen=True, slots=True)
class TriggerState:
    """A trigger, and what became of it so far."""

    trigger: Trigger
    waits_for: str
    next_at_ms: int
    """0: at no time of its own."""
    last: Firing | None
    under_way: int
    told: str
    told_at_ms: int


def look_at_triggers(office: Office) -> tuple[list[TriggerState], str]:
    """All triggers, and where webhooks are listened for (empty: nowhere). Needs no secret.

    Raises:
        RuleError: a file is not as it must be.
    """
    read = read_triggers(office)
    firings = open_firings(office)
    try:
        states = [_state(office, firings, trigger) for trigger in read.triggers]
    finally:
        firings.close()
    at = read.listening
    return states, f"http://{at.host}:{at.port}" if at else ""


def _state(office: Office, firings: Firings, trigger: Trigger) -> TriggerState:
    how = trigger.how
    next_at_ms = 0
    if isinstance(how, Cron):
        waits_for = str(how.schedule)
        next_at_ms = how.schedule.next(office.clock.now_ms())
    elif isinstance(how, Webhook):
        waits_for = f"a request signed as {how.scheme} does"
    else:
        waits_for = f"files in {how.folder}"
    last = firings.newest(trigger.ident)
    told, told_at_ms = firings.told(trigger.ident)
    under_way = firings.under_way(trigger.ident)
    return TriggerState(trigger, waits_for, next_at_ms, last[0] if last else None, under_way, told, told_at_ms)


async def work_with_triggers(office: Office, told: Callable[[str], None]) -> None:
    """Works on whatever is to be done, and begins what triggers ask for, until a signal comes.

    Raises:
        RuleError: a trigger is not as it must be, or its secret is not there.
    """
    read = await to_thread.run_sync(read_triggers, office)
    if not read.triggers:
        await work(office, told)
        return
    firings = await to_thread.run_sync(open_firings, office)
    try:
        triggers = Triggers(office, read, firings)
        ears = triggers.ears(office.env)
        if ears and not read.listening:
            told("webhooks are configured, and nothing listens for them: [webhooks] listen = …")

        async def beside(stop: anyio.Event) -> None:
            await triggers.run(stop, ears, lambda url: told(f"takes webhooks at {url}/hooks/NAME"))

        told(f"heeds {len(read.triggers)} trigger(s): {', '.join(trigger.name for trigger in read.triggers)}")
        await work(office, told, beside)
    finally:
        await to_thread.run_sync(firings.close)


@dataclass(slots=True)
class Triggers:
    """All triggers at work in one process.

    Args:
        office: what deliveries are made of.
        read: the triggers.
        firings: their record.
    """

    office: Office
    read: TriggerFile
    firings: Firings
    _looked: dict[str, int] = field(default_factory=dict)
    """Up to when each schedule was looked through, by the trigger's name."""
    _next: dict[str, int] = field(default_factory=dict)
    _folders: dict[str, DropFolder] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
    _woken: anyio.Event = field(default_factory=anyio.Event)

    async def run(self, stop: anyio.Event, ears: Mapping[str, Ear], ready: Callable[[str], None]) -> None:
        """Works until `stop` is set.

        Args:
            stop: ends it.
            ears: what `ears` gave.
            ready: told where webhooks are listened for.
        """
        async with anyio.create_task_group() as group:
            if ears and self.read.listening:
                door = HookDoor(ears, self.read.listening, self.firings, self.office.clock, self.office.ids, self._wake)
                group.start_soon(listen, door, self.read.listening, ready)
            group.start_soon(self._beginning, stop)
            while not stop.is_set():
                await to_thread.run_sync(self.look)
                with anyio.move_on_after(ROUND_S):
                    await stop.wait()
            group.cancel_scope.cancel()

    def ears(self, env: Mapping[str, str]) -> dict[str, Ear]:
        """The webhooks, with their secrets.

        Raises:
            RuleError: a secret is not there.
        """
        hooks = [trigger for trigger in self.read.triggers if isinstance(trigger.how, Webhook)]
        return {trigger.name: Ear(trigger, secrets_of(trigger, env)) for trigger in hooks}

    def look(self) -> None:
        """Claims what is due and what was dropped. What goes wrong with one trigger is told, and holds up no other."""
        for trigger in self.read.triggers:
            try:
                if isinstance(trigger.how, Cron):
                    self._look_at_time(trigger, trigger.how)
                elif isinstance(trigger.how, Drop):
                    self._look_at_folder(trigger, trigger.how)
            except (MohistError, OSError) as error:
                self._say(trigger, str(error))

    async def begin_waiting(self) -> int:
        """Begins what is claimed and nobody is at; how many deliveries it began."""
        known = {trigger.ident: trigger for trigger in self.read.triggers}
        waiting = await ask(self.firings.waiting, list(known))
        return sum([await self._begin(known[firing.trigger], firing) for firing in waiting])

    def _look_at_time(self, trigger: Trigger, how: Cron) -> None:
        now_ms, schedule = self.office.clock.now_ms(), str(how.schedule)
        if trigger.name not in self._looked:
            self._looked[trigger.name] = self.firings.looked(trigger.ident, schedule)
        after_ms = self._looked[trigger.name]
        if now_ms < after_ms:
            # The clock was set back. What was claimed stays claimed, by its key; the rest is due when it is due.
            self._next.pop(trigger.name, None)
            self._looked[trigger.name] = now_ms
            return
        if now_ms < self._next.get(trigger.name, 0):
            return
        due_ms = how.schedule.newest(after_ms, now_ms)
        if due_ms is not None:
            self._due(trigger, how, due_ms, now_ms)
        self._looked[trigger.name] = now_ms
        self._next[trigger.name] = how.schedule.next(now_ms)

    def _due(self, trigger: Trigger, how: Cron, due_ms: int, now_ms: int) -> None:
        late_ms, schedule, at = now_ms - due_ms, str(how.schedule), _at(due_ms)
        let_go = late_ms > how.missed_within_s * 1000 or (how.missed == "skip" and late_ms > ON_TIME_MS)
        if let_go:
            self.firings.look(trigger.ident, schedule)
            self._say(trigger, f"{at} was missed and let go")
            return
        assert trigger.requirement is not None
        firing = self._firing(trigger, at, trigger.requirement.text, f"schedule {trigger.name} {at}", due_ms)
        claim = self.firings.claim(firing, trigger.most_open, schedule)
        if claim.firing is None:
            self._say(trigger, f"{at} was left out: {trigger.most_open} of its deliveries are under way")
        elif claim.is_new:
            self._wake_from_thread()

    def _look_at_folder(self, trigger: Trigger, how: Drop) -> None:
        if trigger.name not in self._folders:
            self._folders[trigger.name] = DropFolder(how, trigger.requirement, self.office.clock, self.office.ids)
        folder = self._folders[trigger.name]
        room = trigger.most_open - self.firings.under_way(trigger.ident)
        for one in folder.taken(room):
            self._record(trigger, folder, one)
        if folder.left:
            told = "; ".join(f"{name!r} is left alone: {why}" for name, why in folder.left.items())
            self._say(trigger, told[:500])

    def _record(self, trigger: Trigger, folder: DropFolder, one: Dropped) -> None:
        if not any(char.isalnum() for char in one.requirement):
            one = replace(one, why_not=one.why_not or "it says nothing")
        if one.why_not:
            folder.finish(one, {"status": "refused", "why": one.why_not})
            self._say(trigger, f"{one.name!r} was refused: {one.why_not}")
            return
        firing = self._firing(trigger, f"file:{one.delivery_id}", one.requirement, f"file {one.name}")
        claim = self.firings.claim(replace(firing, delivery_id=one.delivery_id), trigger.most_open)
        if claim.firing is None:
            return  # another worker took the room that was left; it stays taken, and is recorded in its turn
        folder.finish(one, {"status": "accepted", "delivery": one.delivery_id})
        self._wake_from_thread()

    def _firing(self, trigger: Trigger, key: str, requirement: str, source: str, due_ms: int = 0) -> Firing:
        delivery_id = self.office.ids.new("dlv")
        now_ms = self.office.clock.now_ms()
        return Firing(trigger.ident, key, delivery_id, requirement, source, "claimed", "", due_ms, now_ms)

    async def _beginning(self, stop: anyio.Event) -> None:
        while not stop.is_set():
            try:
                await self.begin_waiting()
            except MohistError as error:
                _LOG.warning("What triggers claimed could not be begun: %s", error)
            with anyio.move_on_after(ROUND_S * 2):
                await self._woken.wait()
            self._woken = anyio.Event()

    async def _begin(self, trigger: Trigger, firing: Firing) -> bool:
        if not await ask(self.firings.hold, firing, self.office.clock.now_ms() + HELD_MS):
            return False
        try:
            if not await ask(self._is_there, firing.delivery_id):
                await ask(self._enter, firing)
                await self._make(trigger, firing)
        except MohistError as error:
            # Where it is there now, another worker made it meanwhile.
            if not await ask(self._is_there, firing.delivery_id):
                await self._not_begun(trigger, firing, error)
                return False
        # Whoever made it may have died before its first segment was asked for; where one is, this changes nothing.
        await to_thread.run_sync(press_on, self.office, firing.delivery_id)
        await ask(self.firings.settle, firing, "begun")
        return True

    async def _make(self, trigger: Trigger, firing: Firing) -> None:
        asked = Asked(
            firing.requirement, firing.source, trigger.repository, trigger.base, trigger.bound, dict(trigger.options)
        )
        await begin(self.office, asked, trigger.requester, firing.delivery_id)

    async def _not_begun(self, trigger: Trigger, firing: Firing, error: MohistError) -> None:
        # What was asked for can't be; another model or repository may be there next time.
        lasting = isinstance(error, DeliveryError) and error.exit_code == ExitCode.USAGE
        if lasting or firing.tries >= len(WAITS_S):
            status = "refused" if lasting else "failed"
            await ask(self._enter, firing, status)
            await ask(self.firings.settle, firing, status, str(error))
            if isinstance(trigger.how, Drop):
                folder = self._folders.get(trigger.name)
                told = {"status": status, "delivery": "", "why": error.what}
                if folder is not None:
                    await to_thread.run_sync(folder.tell, firing.source.removeprefix("file "), told)
        else:
            again_ms = self.office.clock.now_ms() + round(WAITS_S[firing.tries] * 1000)
            await ask(self.firings.settle, firing, "claimed", str(error), again_ms)
        _LOG.warning("Trigger %r could not begin %s: %s", trigger.name, firing.delivery_id, error)

    def _enter(self, firing: Firing, status: str = "") -> None:
        """In the ledger, where there is one: that it was set off, or what it came to.

        Raises:
            LedgerError: it can't be entered; nothing is begun by it yet.
        """
        chronicle = self.office.book.chronicle
        if chronicle is not None and status:
            chronicle.not_begun(firing.delivery_id, firing.trigger, status, firing.tries)
        elif chronicle is not None:
            chronicle.fired(firing.delivery_id, firing.trigger, firing.key, firing.due_at_ms, firing.claimed_at_ms)

    def _is_there(self, delivery_id: str) -> bool:
        try:
            self.office.book.facts(delivery_id)
        except UnknownDeliveryError:
            return False
        return True

    def _say(self, trigger: Trigger, words: str) -> None:
        """Tells something of a trigger once, to whoever reads the log and `deliver triggers`."""
        if self._said.get(trigger.name) == words:
            return
        self._said[trigger.name] = words
        _LOG.warning("Trigger %r: %s", trigger.name, words)
        try:
            self.firings.tell(trigger.ident, words)
        except MohistError as error:
            _LOG.warning("What was told of trigger %r could not be kept: %s", trigger.name, error)

    def _wake(self) -> None:
        self._woken.set()

    def _wake_from_thread(self) -> None:
        try:
            from_thread.run_sync(self._wake)
        except RuntimeError:
            return  # looked by hand, without a loop


ON_TIME_MS: Final = 60_000
"""What is claimed later than this was missed: a worker looks each second, and may be busy or restarted in between."""


def _at(due_ms: int) -> str:
    return datetime.fromtimestamp(due_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
