"""An engine that is open only while there is something to run: where all deliveries wait for people, nothing of it is there.

    shut ── asked anything ──> open ── nothing to run for a while ──> shut

An engine that is open asks its database several times a second. One that is shut has no slot either; whoever has work in
hand is seen by the book's word, which opens every worker's engine, so a dead one's segments are taken over as ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mohist.delivery.engine.contract import Engine, Json, SegmentStatus
from mohist.delivery.errors import EngineError
from mohist.delivery.state import SegmentName

REST_S: Final = 20.0
"""How long nothing was to run until it shuts: opening it costs about half a second of a core."""


class DozingEngine:
    """Fills `Engine`. Opened at once, so that what can't be opened is told at the start.

    Args:
        make: opens the engine.
        rest_s: see `REST_S`.
        now_s: a monotonic clock.

    Raises:
        EngineError: it can't be opened; also from everything that is asked later.
    """

    def __init__(
        self, make: Callable[[], Engine], *, rest_s: float = REST_S, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._rest_s = rest_s
        self._now_s = now_s
        self._guard = threading.Lock()
        self._closed = False
        self._used_s = now_s()
        self._engine: Engine | None = make()
        self._executor_id = self._engine.executor_id

    @property
    def executor_id(self) -> str:
        """Of the slot that it has, or had last."""
        return self._executor_id

    @property
    def is_open(self) -> bool:
        return self._engine is not None

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        with self._guard:
            return self._woken().start(segment, delivery_id, turn)

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None:
        with self._guard:
            self._woken().signal(key, name, value, signal_id)

    def cancel(self, key: str) -> None:
        with self._guard:
            self._woken().cancel(key)

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        with self._guard:
            return self._woken().status(keys)

    def recover(self, executor_id: str) -> Sequence[str]:
        with self._guard:
            return self._woken().recover(executor_id)

    def rest(self) -> None:
        """Nothing is to run now; said again and again, it shuts."""
        with self._guard:
            if self._engine is not None and self._now_s() - self._used_s >= self._rest_s:
                # Nothing runs here, or the book would say so.
                self._engine.close(0.0)
                self._engine = None

    def close(self, grace_s: float = 10.0) -> None:
        with self._guard:
            self._closed = True
            if self._engine is not None:
                self._engine.close(grace_s)
                self._engine = None

    def _woken(self) -> Engine:
        if self._closed:
            raise EngineError("The engine is closed.", audience="bug")
        self._used_s = self._now_s()
        if self._engine is None:
            self._engine = self._make()
            self._executor_id = self._engine.executor_id
        return self._engine
