"""Sends notes to hooks, each hook in a lane of its own, so that one that is dead or slow holds up no other.

The notes are the outbox and the book's effects say what was sent, under `delivery/notify/HOOK/NUMBER`: of several processes one
has a note for a while, and only when it died another sends it. One that dies between the receiver's answer and its own record
sends again: receivers tell by the same id.

    sent ────────────── the next note
    away (no answer, 5xx, 408, 429, 401, 403, 404, …): the lane waits, longer each time; a note is given up after a day
    refused (400, 413, 422, a code in a 200): this note is at fault; three times, then it is given up
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
import httpx2
from anyio import to_thread

from mohist.base import Clock, MohistError
from mohist.delivery.book import Book, Seized
from mohist.delivery.notify import Hook, Letter, Verdict, judged, letter
from mohist.delivery.state import Note

WAITS_S: Final = (1.0, 4.0, 15.0, 60.0, 300.0)
"""Of a lane whose receiver is away, by how often it was in a row; the last one again and again."""
KEPT_MS: Final = 24 * 3_600_000
"""A note that could not be sent for so long is given up; workers look back as far."""
REFUSALS: Final = 3
TIMEOUT_S: Final = 10.0
"""For a whole answer: a receiver that sends a byte now and then is as dead as one that sends none."""
HELD_MS: Final = 60_000
"""A process that has a note for longer than this is taken for dead."""
MOST_PENDING: Final = 10_000
"""Notes that a lane keeps; of more the oldest are given up."""
ROUND_S: Final = 1.0
OVERLAP_MS: Final = 120_000
"""How far a round looks back behind the newest note: clocks of other machines may be behind."""
_ANSWER_BYTES: Final = 64 * 1024
_LOG: Final = logging.getLogger(__name__)
Mark = tuple[str, int]
"""Delivery and number of a note."""


@dataclass(slots=True)
class Lane:
    """What one hook is still to be told.

    Args:
        hook: the receiver.
        book: says what was sent.
        clock: for signatures and waits.
    """

    hook: Hook
    book: Book
    clock: Clock
    pending: dict[Mark, Note] = field(default_factory=dict)
    over: dict[Mark, int] = field(default_factory=dict)
    """Notes that are sent or given up, and when they were taken."""
    rests_until_s: float = 0.0
    """On the clock that never goes back."""
    failures: int = 0
    """In a row."""
    refusals: dict[Mark, int] = field(default_factory=dict)
    held_until_ms: dict[Mark, int] = field(default_factory=dict)

    def take(self, news: Sequence[tuple[str, Note]], only: str) -> None:
        """Takes in what is new; of one delivery, where one is named."""
        for delivery_id, note in news:
            mark = (delivery_id, note.number)
            if note.kind in self.hook.kinds and only in ("", delivery_id) and mark not in self.over:
                self.pending[mark] = note
        oldest_ms = news[-1][1].at_ms - 2 * OVERLAP_MS if news else 0
        self.over = {mark: at_ms for mark, at_ms in self.over.items() if at_ms >= oldest_ms}
        for mark in list(self.pending)[: max(0, len(self.pending) - MOST_PENDING)]:
            self._give_up(mark, "too many wait")

    async def round(self, client: httpx2.AsyncClient) -> int:
        """Sends what is pending, in order, until the receiver is away; how many went out."""
        sent = 0
        for mark, note in list(self.pending.items()):
            if self.clock.monotonic_s() < self.rests_until_s:
                break
            if self.clock.now_ms() - note.at_ms > KEPT_MS:
                self._give_up(mark, "it is a day old")
                continue
            key = f"{mark[0]}/notify/{self.hook.name}/{note.number}"
            match await self._seize(mark, key):
                case "done":
                    self._over(mark, note)
                case "mine":
                    verdict = await self._tell(client, mark, note, key)
                    sent += verdict.kind == "sent"
                    if verdict.kind != "sent":
                        self._put_off(mark, verdict)
                        break
                case "held":
                    # Another process is at it, or died at it; what follows waits its turn.
                    self.rests_until_s = self.clock.monotonic_s() + WAITS_S[0]
        return sent

    async def _seize(self, mark: Mark, key: str) -> Seized:
        """Takes a note, where this process has it not, or not for long enough to send it."""
        now_ms = self.clock.now_ms()
        if now_ms <= self.held_until_ms.get(mark, 0) - TIMEOUT_S * 2_000:
            return "mine"
        seized = await to_thread.run_sync(self.book.seize, key, "notify", HELD_MS)
        if seized == "mine":
            self.held_until_ms[mark] = now_ms + HELD_MS
        return seized

    async def _tell(self, client: httpx2.AsyncClient, mark: Mark, note: Note, key: str) -> Verdict:
        delivery = await to_thread.run_sync(self.book.get, mark[0])
        verdict = await self._post(client, letter(self.hook, delivery, note, self.clock.now_ms()))
        if verdict.kind == "sent":
            await to_thread.run_sync(self.book.done, key, {"at_ms": self.clock.now_ms()})
            self._over(mark, note)
            self.failures = 0
        return verdict

    async def _post(self, client: httpx2.AsyncClient, sent: Letter) -> Verdict:
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with client.stream("POST", sent.url, content=sent.body, headers=dict(sent.headers)) as answer:
                    body = b""
                    async for part in answer.aiter_bytes():
                        body += part
                        if len(body) > _ANSWER_BYTES:
                            break
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError):
            return Verdict("away")
        return judged(self.hook, answer.status_code, body, answer.headers.get("retry-after", ""))

    def _put_off(self, mark: Mark, verdict: Verdict) -> None:
        wait_s = WAITS_S[min(self.failures, len(WAITS_S) - 1)]
        self.failures += 1
        if verdict.kind == "refused":
            self.refusals[mark] = self.refusals.get(mark, 0) + 1
            if self.refusals[mark] >= REFUSALS:
                self.failures = 0
                self._give_up(mark, "the receiver refuses it")
                return
        elif self.failures == len(WAITS_S):
            _LOG.warning("Hook %r takes nothing; what it is to be told is kept for a day.", self.hook.name)
        self.rests_until_s = self.clock.monotonic_s() + max(verdict.after_s, wait_s)

    def _over(self, mark: Mark, note: Note) -> None:
        self.pending.pop(mark, None)
        self.refusals.pop(mark, None)
        self.held_until_ms.pop(mark, None)
        self.over[mark] = note.at_ms

    def _give_up(self, mark: Mark, why: str) -> None:
        _LOG.warning("Hook %r was not told note %d of %s: %s.", self.hook.name, mark[1], mark[0], why)
        self._over(mark, self.pending[mark])


@dataclass(slots=True)
class Notifier:
    """All lanes of a process.

    Args:
        book: notes are its outbox.
        clock: for signatures and waits.
        hooks: receivers.
        since_ms: what was noted before is not told.
    """

    book: Book
    clock: Clock
    hooks: tuple[Hook, ...]
    since_ms: int
    looked: bool = False
    lanes: tuple[Lane, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = tuple(Lane(hook, self.book, self.clock) for hook in self.hooks)

    async def run(self, only: str = "") -> None:
        """Sends until it is cancelled. Where the book is away it goes on asking.

        Args:
            only: the one delivery that is told of; empty: all.
        """
        if not self.lanes:
            return
        async with httpx2.AsyncClient(follow_redirects=False) as client, anyio.create_task_group() as group:
            for lane in self.lanes:
                group.start_soon(self._drive, lane, client)
            while True:
                try:
                    await self.look(only)
                except MohistError as error:
                    _LOG.warning("What hooks are to be told could not be read: %s", error)
                await anyio.sleep(ROUND_S)

    async def round(self, only: str = "") -> int:
        """Sends what is to be sent now, all lanes at once; how many notes went out."""
        if not self.lanes:
            return 0
        sent = 0

        async def go(lane: Lane) -> None:
            nonlocal sent
            sent += await lane.round(client)

        await self.look(only)
        async with httpx2.AsyncClient(follow_redirects=False) as client, anyio.create_task_group() as group:
            for lane in self.lanes:
                group.start_soon(go, lane)
        return sent

    async def look(self, only: str = "") -> None:
        """Takes in what is new."""
        # Where the clock was set back, what is noted now is older than what was noted last.
        self.since_ms = min(self.since_ms, self.clock.now_ms() - OVERLAP_MS) if self.looked else self.since_ms
        self.looked = True
        news = await to_thread.run_sync(self.book.news, self.since_ms)
        for lane in self.lanes:
            lane.take(news, only)
        if news:
            self.since_ms = max(self.since_ms, news[-1][1].at_ms - OVERLAP_MS)

    async def _drive(self, lane: Lane, client: httpx2.AsyncClient) -> None:
        while True:
            try:
                await lane.round(client)
            except MohistError as error:
                _LOG.warning("Hook %r could not be told: %s", lane.hook.name, error)
            await anyio.sleep(ROUND_S / 4)
