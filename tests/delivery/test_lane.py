"""Each hook has a lane of its own, over real HTTP: what is dead, slow or refuses holds up no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence

import anyio
import pytest

from fakes.book import FakeBook
from fakes.clock import FakeClock
from fakes.upstream import Reply, Upstream
from mohist.delivery.lane import HELD_MS, KEPT_MS, REFUSALS, WAITS_S, Notifier
from mohist.delivery.notify import Hook
from mohist.delivery.state import Delivery

pytestmark = pytest.mark.enable_socket


def book_with_notes(clock: FakeClock, kinds: Sequence[str]) -> FakeBook:
    book = FakeBook(clock.now_ms)
    book.create(
        Delivery(
            "d-1", "/srv/shop", "Ship free", "text", "ann", "a" * 40, "main", "mohist/d-1", "waiting", "merge", 1, 1, 1
        )
    )
    for kind in kinds:
        book.note("d-1", kind, f"{kind} happened")
    return book


def notifier(book: FakeBook, clock: FakeClock, *urls: str) -> Notifier:
    return Notifier(book, clock, tuple(Hook(f"h{number}", "json", url) for number, url in enumerate(urls)), 0)


def kinds(upstream: Upstream) -> list[str]:
    return [request.json["kind"] for request in upstream.requests]


def away() -> Iterable[Reply]:
    return [Reply(b"", status=503) for _ in range(99)]


async def until(upstream: Upstream, count: int) -> None:
    with anyio.fail_after(30):
        while len(upstream.requests) < count:  # noqa: ASYNC110 (a server tells of no change)
            await anyio.sleep(0.01)


async def test_each_note_is_sent_once_however_often_and_by_whoever_it_is_asked(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate", "stage", "done"])
    async with Upstream([Reply(b"ok") for _ in range(9)]) as upstream:
        one, two = notifier(book, clock, upstream.url), notifier(book, clock, upstream.url)
        async with anyio.create_task_group() as group:
            for each in (one, two):
                group.start_soon(each.round)
        for _ in range(3):
            clock.advance(WAITS_S[0])
            for each in (one, two, notifier(book, clock, upstream.url)):
                await each.round()
        assert kinds(upstream) == ["gate", "done"]


async def test_one_that_never_answers_holds_up_no_other(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate"])
    silent = Reply(b"x", stall_at=0)
    async with Upstream([silent] * 9) as dead, Upstream([Reply(b"ok") for _ in range(9)]) as alive:
        both = notifier(book, clock, dead.url, alive.url)
        async with anyio.create_task_group() as group:
            group.start_soon(both.run)
            await until(dead, 1)
            await until(alive, 1)
            for kind in ("deploy", "done"):
                book.note("d-1", kind, "more")
            await until(alive, 3)
            assert kinds(alive) == ["gate", "deploy", "done"]
            assert kinds(dead) == ["gate"]
            group.cancel_scope.cancel()


async def test_one_that_trickles_is_as_dead_as_one_that_is_silent(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mohist.delivery.lane.TIMEOUT_S", 0.3)

    gone = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        one = notifier(book_with_notes(clock, ["gate"]), clock, url)
        with anyio.fail_after(60):
            assert await one.round() == 0
            assert one.lanes[0].failures == 1
            await gone.wait()
    finally:
        server.close()


async def test_a_receiver_that_is_away_gets_everything_in_order_and_with_the_same_ids_once_it_is_back(
    clock: FakeClock,
) -> None:
    book = book_with_notes(clock, ["gate", "failed"])
    async with Upstream([*[Reply(b"", status=503) for _ in range(3)], *[Reply(b"ok") for _ in range(9)]]) as upstream:
        one = notifier(book, clock, upstream.url)
        for tried in range(3):
            assert await one.round() == 0
            assert len(upstream.requests) == tried + 1
            assert await one.round() == 0, "it rests"
            assert len(upstream.requests) == tried + 1
            clock.advance(WAITS_S[tried])
        assert await one.round() == 2
        assert kinds(upstream) == ["gate"] * 4 + ["failed"]
        assert len({request.headers["x-mohist-event"] for request in upstream.requests[:4]}) == 1


async def test_its_lane_waits_longer_each_time_and_gives_up_what_is_a_day_old(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["failed"])
    async with Upstream(away()) as upstream:
        one = notifier(book, clock, upstream.url)
        for wait_s in (*WAITS_S, WAITS_S[-1]):
            await one.round()
            asked = len(upstream.requests)
            clock.advance(wait_s - 0.5)
            await one.round()
            assert len(upstream.requests) == asked
            clock.advance(0.5)
        clock.advance(KEPT_MS / 1000)
        asked = len(upstream.requests)
        assert await one.round() == 0
        assert len(upstream.requests) == asked
        assert not one.lanes[0].pending


async def test_a_note_that_is_refused_is_given_up_and_the_next_one_goes_out(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate", "done"])
    refusals = [Reply(b"", status=400) for _ in range(REFUSALS)]
    async with Upstream([*refusals, *[Reply(b"ok") for _ in range(9)]]) as upstream:
        one = notifier(book, clock, upstream.url)
        for _ in range(REFUSALS + 1):
            await one.round()
            clock.advance(WAITS_S[-1])
        assert Counter(kinds(upstream)) == {"gate": REFUSALS, "done": 1}


async def test_what_a_dead_process_had_is_sent_by_another_with_the_same_id(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate", "done"])
    assert book.seize("d-1/notify/h0/2", "notify", HELD_MS) == "mine", "and then it was killed"
    async with Upstream([Reply(b"ok") for _ in range(9)]) as upstream:
        other = notifier(book, clock, upstream.url)
        assert await other.round() == 0, "what follows does not overtake it"
        clock.advance(HELD_MS / 1000)
        assert await other.round() == 2
        assert [request.headers["x-mohist-event"] for request in upstream.requests] == ["d-1/2", "d-1/3"]


async def test_what_is_noted_after_the_clock_was_set_back_is_told(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate"])
    async with Upstream([Reply(b"ok") for _ in range(9)]) as upstream:
        one = notifier(book, clock, upstream.url)
        assert await one.round() == 1
        clock._start_ms -= 3_600_000
        book.note("d-1", "done", "back")
        assert await one.round() == 1


async def test_only_the_delivery_that_is_named_is_told_of(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate"])
    async with Upstream([Reply(b"ok")]) as upstream:
        assert await notifier(book, clock, upstream.url).round("d-2") == 0
        assert await notifier(book, clock, upstream.url).round("d-1") == 1
