"""Runs the bodies of segments in this process, each in an event loop of its own, and ends them when they must end.

    run(key): begin in the journal ─> body, step by step ─> its result
                  body raises ──────> that error, which the engine records
                  cancelled ────────> Cancelled  ┐ nothing is recorded; BaseExceptions, so that neither a body
                  lost, handed back > HandedBack ┘ nor an engine takes them for a failure

A body that is cut off is cancelled, which ends the sandboxes that it holds; `stopped` is called for whatever else it left.
"""

from __future__ import annotations

import inspect
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Literal, TypeVar, cast

import anyio
from anyio import CancelScope, from_thread, to_thread
from anyio.lowlevel import EventLoopToken, current_token

from mohist.delivery.book import Book
from mohist.delivery.engine.contract import Body, Cancelled, Ended, HandedBack, Json, Segments, parted
from mohist.delivery.engine.journal import Journal, Run, encoded
from mohist.delivery.errors import BookError, EngineError, LostError

T = TypeVar("T")
Cause = Literal["", "cancelled", "lost", "stopping"]

IDLE_LIMIT: Final = 20
"""A segment that was begun so often and never recorded a step ends its workers, and is not begun again."""
WATCH_S: Final = 1.0
PATIENCE_S: Final = 30.0
"""How long an effect waits for a book whose database is away."""
_LOOK_S: Final = 0.05
_PAUSE_S: Final = 0.2
_LOG: Final = logging.getLogger(__name__)


def nothing(_: str) -> None:
    """What is done where nobody watches."""


class Runner:
    """The bodies that run in this process.

    Args:
        segments: the bodies.
        journal: where steps are recorded; closed by whoever opened it.
        book: where effects are recorded.
        owner: executor id.
        stopped: called in a thread with a segment's key after its body was ended from outside, before anybody is told.
        at: called with the name of each boundary as it is passed, `what:key:step`; for tests that end the process there.
        watch_s: how often a running body asks whether it is still its worker's.
    """

    def __init__(
        self,
        segments: Segments,
        journal: Journal,
        book: Book,
        owner: str,
        *,
        stopped: Callable[[str], None] = nothing,
        at: Callable[[str], None] = nothing,
        watch_s: float = WATCH_S,
    ) -> None:
        self._segments = segments
        self._journal = journal
        self._book = book
        self._owner = owner
        self._stopped = stopped
        self.at = at
        self._watch_s = watch_s
        self._guard = threading.Lock()
        self._running: dict[str, list[_Running]] = {}
        self.holding = True
        """False: this worker's slot is not its own just now; nothing begins here."""
        self.stopping = False

    @property
    def barred(self) -> bool:
        """Whether nothing may begin here, neither a segment nor a step of one."""
        return self.stopping or not self.holding

    @property
    def keys(self) -> Sequence[str]:
        """Segments whose bodies run here."""
        with self._guard:
            return list(self._running)

    def run(self, key: str) -> Json:
        """Runs a segment's body to its end; blocks, and so belongs in a thread.

        Raises:
            EngineError: there is no such segment, or it has ended too many workers.
            Cancelled, HandedBack: it was ended from outside.
        """
        if self.barred:
            raise HandedBack
        try:
            segment, delivery_id, turn = parted(key)
            body = self._segments[segment]
        except (ValueError, KeyError):
            raise EngineError(f"There is no segment {key!r}.", audience="bug") from None
        running = _Running(key)
        # Known before it is begun: whoever looks for work that nobody does finds that it is done here.
        with self._guard:
            self._running.setdefault(key, []).append(running)
        try:
            self.at(f"begin:{key}:")
            run = self._journal.begin(key, self._owner)
            if run.cancelled:
                raise Cancelled
            if run.idle > IDLE_LIMIT:
                raise EngineError(
                    f"Segment {key!r} was begun {IDLE_LIMIT} times and never got further.", audience="bug"
                )
            self.at(f"begun:{key}:")
            return anyio.run(self._main, running, run, body, delivery_id, turn)
        except Ended:
            self._stopped(key)
            raise
        except BookError as error:
            # Not the body's failure: the database was away for longer than anybody waits. Begun again, it goes on.
            _LOG.warning("Segment %s is handed back: %s", key, error)
            self._stopped(key)
            raise HandedBack from error
        finally:
            with self._guard:
                self._running[key].remove(running)
                if not self._running[key]:
                    del self._running[key]

    def end(self, cause: Cause, keys: Sequence[str] | None = None) -> None:
        """Cancels bodies, all of them where none are named; does not wait."""
        with self._guard:
            found = [one for key, ones in self._running.items() if keys is None or key in keys for one in ones]
        for running in found:
            running.end(cause)

    def stop(self, grace_s: float) -> None:
        """Takes nothing on any more; a step under way may end within the grace, then its body is cancelled."""
        self.stopping = True
        self.wait(grace_s)
        self.end("stopping")
        # A body that holds out against its cancellation (a plain function that blocks) is left to the process's end.
        self.wait(max(grace_s, 1.0))

    def wait(self, limit_s: float) -> bool:
        """Waits until nothing runs here; whether that is so."""
        until_s = time.monotonic() + limit_s
        while self.keys:
            if time.monotonic() >= until_s:
                return False
            time.sleep(_LOOK_S)
        return True

    async def _main(self, running: _Running, run: Run, body: Body, delivery_id: str, turn: int) -> Json:
        steps = Steps(running.key, run, self._journal, self._book, self)
        result: Json = None
        try:
            async with anyio.create_task_group() as group:
                running.open(group.cancel_scope)
                group.start_soon(self._watch, running, run)
                result = await called(partial(body, steps, delivery_id, turn))
                running.shut()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as several:
            # What a body raises while it is being cancelled is no failure of its own.
            if not running.cause:
                raise _foremost(several) from None
        finally:
            running.shut()
        if running.cause == "cancelled":
            raise Cancelled
        if running.cause:
            raise HandedBack
        self.at(f"end:{running.key}:")
        return json.loads(encoded(result, f"Segment {running.key!r}"))

    async def _watch(self, running: _Running, run: Run) -> None:
        while True:
            await anyio.sleep(self._watch_s)
            # Where the database is away this waits too; what the body wants to record then waits beside it.
            standing = await to_thread.run_sync(self._journal.standing, running.key, run.epoch, abandon_on_cancel=True)
            if standing.cancelled or not standing.held:
                running.end("cancelled" if standing.cancelled else "lost")
                return


class _Running:
    """One body that runs."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.cause: Cause = ""
        self._guard = threading.Lock()
        self._scope: CancelScope | None = None
        self._token: EventLoopToken | None = None
        self._over = False

    def open(self, scope: CancelScope) -> None:
        """In its loop: from here on it can be ended."""
        with self._guard:
            self._scope, self._token = scope, current_token()
            if self.cause:
                scope.cancel()

    def shut(self) -> None:
        """It has ended by itself; whoever wants to end it comes too late."""
        with self._guard:
            self._over = True

    def end(self, cause: Cause) -> None:
        """From any thread: its body is cancelled. The first cause counts."""
        with self._guard:
            if self._over or self.cause:
                return
            self.cause = cause
            scope, token = self._scope, self._token
        if scope is None or token is None:
            return
        try:
            current_token()
        except RuntimeError:
            # The loop may just have gone: then it has ended.
            with suppress(anyio.RunFinishedError, RuntimeError):
                from_thread.run_sync(scope.cancel, token=token)
        else:
            scope.cancel()


class Steps:
    """`contract.StepRunner` over the journal and the book."""

    def __init__(self, key: str, run: Run, journal: Journal, book: Book, runner: Runner) -> None:
        self.key = key
        self._run = run
        self._journal = journal
        self._book = book
        self._runner = runner
        self._names: set[str] = set()

    async def __call__(self, name: str, fn: Callable[[], Awaitable[T] | T]) -> T:
        if name in self._names:
            raise EngineError(f"Segment {self.key!r} has two steps {name!r}.", audience="bug")
        self._names.add(name)
        if name in self._run.steps:
            return cast("T", json.loads(self._run.steps[name]))
        if self._runner.barred:
            raise HandedBack
        await self.guard()
        self._runner.at(f"before:{self.key}:{name}")
        result = encoded(await called(fn), f"Step {name!r} of {self.key!r}")
        self._runner.at(f"after:{self.key}:{name}")
        # What was done is recorded, whoever wants to end it meanwhile.
        with CancelScope(shield=True):
            try:
                await to_thread.run_sync(self._journal.record, self.key, self._run.epoch, name, result)
            except LostError:
                raise HandedBack from None
        self._runner.at(f"recorded:{self.key}:{name}")
        return cast("T", json.loads(result))

    async def effect(self, key: str, kind: str, fn: Callable[[bool], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        await self.guard()
        begun = await _patiently(self._book.begun, key)
        known = await _patiently(self._book.effect, key, kind)
        if known is not None:
            return known
        self._runner.at(f"intended:{self.key}:{key}")
        await self.guard()
        result = await fn(begun)
        self._runner.at(f"effected:{self.key}:{key}")
        with CancelScope(shield=True):
            await _patiently(self._book.done, key, result)
        return result

    async def guard(self) -> None:
        if not self._runner.holding:
            raise HandedBack
        standing = await to_thread.run_sync(self._journal.standing, self.key, self._run.epoch, abandon_on_cancel=True)
        if not standing.held:
            raise HandedBack

    async def signals(self, name: str) -> Sequence[Json]:
        return await to_thread.run_sync(self._journal.signals, self.key, name, abandon_on_cancel=True)


async def _patiently(ask: Callable[..., T], *args: Any) -> T:
    """What the book says; a database that is away is waited for a while. Its calls may be made twice."""
    with anyio.move_on_after(PATIENCE_S):
        while True:
            try:
                return await to_thread.run_sync(ask, *args)
            except BookError:
                await anyio.sleep(_PAUSE_S)
    return await to_thread.run_sync(ask, *args)


async def called(fn: Callable[[], Awaitable[T] | T]) -> T:
    """What a plain function or one that must be awaited gives; a plain one runs in a thread."""
    if inspect.iscoroutinefunction(fn):
        return cast("T", await fn())
    given = await to_thread.run_sync(fn)
    # A lambda that makes a coroutine has only made it; it runs here.
    return await given if inspect.isawaitable(given) else given


def _foremost(several: BaseExceptionGroup) -> BaseException:
    """The one error that tells what became of a body: an end from outside before a failure."""
    leaves = _leaves(several)
    return next((leaf for leaf in leaves if isinstance(leaf, Ended)), leaves[0])


def _leaves(error: BaseException) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]
