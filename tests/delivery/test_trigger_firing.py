"""A firing's key exists once, whoever claims it and however often, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from fakes.clock import FakeClock
from mohist.delivery.state import Delivery
from mohist.delivery.store import Store
from mohist.delivery.trigger.firing import Claim, Firing, Firings
from mohist.gateway.address import Address

KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
NewAddress = Callable[[str], Address]


def firing(key: str = "k", delivery_id: str = "dlv-1", trigger: str = "nightly@1") -> Firing:
    return Firing(trigger, key, delivery_id, "Ship free", "text", "claimed", "", 0, 1)


def delivery(delivery_id: str, status: str = "working") -> Delivery:
    return Delivery(
        delivery_id, "/srv/shop", "Ship free", "text", "ann", "a" * 40, "main", "b", status, "plan", 1, 1, 1  # type: ignore[arg-type]
    )  # fmt: skip


def race(*bodies: Callable[[], object]) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(len(bodies))

    def run(body: Callable[[], object]) -> None:
        start.wait(60)
        try:
            body()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def claimed_at_once(workers: Sequence[Firings], keys: Sequence[str], most_open: int) -> list[Claim]:
    """Each worker claims its key, all at the same moment, each for a delivery of its own."""
    claims: list[Claim] = []

    def claim(worker: Firings, key: str, number: int) -> None:
        claims.append(worker.claim(firing(key, f"dlv-{key}-{number}"), most_open))

    race(*(partial(claim, worker, key, n) for n, (worker, key) in enumerate(zip(workers, keys, strict=True))))
    return claims


@KINDS
def test_of_workers_that_claim_the_same_at_once_one_has_it(
    kind: str, new_address: NewAddress, clock: FakeClock
) -> None:
    address = new_address(kind)
    workers = [Firings(address, clock) for _ in range(4)]
    for day in range(5):
        claims = claimed_at_once(workers, [f"2027-01-0{day + 1}"] * 4, 99)
        assert [claim.is_new for claim in claims].count(True) == 1
        assert len({claim.firing.delivery_id for claim in claims if claim.firing}) == 1, "all are told the same"
    assert len(workers[0].newest("nightly@1", 99)) == 5
    for worker in workers:
        worker.close()


@KINDS
def test_no_more_are_under_way_than_may_be_even_when_all_claim_at_once(
    kind: str, new_address: NewAddress, clock: FakeClock
) -> None:
    address = new_address(kind)
    workers = [Firings(address, clock) for _ in range(4)]
    claims = claimed_at_once(workers, ["k0", "k1", "k2", "k3"], 2)
    assert [claim.firing is None for claim in claims].count(True) == 2
    for worker in workers:
        worker.close()


@KINDS
def test_a_delivery_counts_until_it_is_over(kind: str, new_address: NewAddress, clock: FakeClock) -> None:
    address = new_address(kind)
    firings, store = Firings(address, clock), Store(address, clock)
    first = firings.claim(firing("a", "dlv-1"), 1).firing
    assert first is not None
    assert firings.claim(firing("b", "dlv-2"), 1).firing is None
    store.create(delivery("dlv-1"))
    firings.settle(first, "begun")
    assert firings.under_way("nightly@1") == 1
    assert firings.claim(firing("b", "dlv-2"), 1).firing is None
    store.change("dlv-1", lambda was: replace(was, status="failed"))
    assert firings.under_way("nightly@1") == 0
    assert firings.claim(firing("b", "dlv-2"), 1).is_new
    assert firings.claim(firing("a", "dlv-3"), 9).firing == replace(first, status="begun"), "what is over stays known"
    store.close()
    firings.close()


@KINDS
def test_a_held_firing_is_anothers_only_once_its_time_is_up(
    kind: str, new_address: NewAddress, clock: FakeClock
) -> None:
    address = new_address(kind)
    mine, other = Firings(address, clock), Firings(address, clock)
    mine.claim(firing(), 1)
    (seen,) = other.waiting(["nightly@1"])
    assert mine.hold(mine.waiting(["nightly@1"])[0], clock.now_ms() + 60_000)
    assert not other.hold(seen, clock.now_ms() + 60_000), "it was read before"
    assert other.waiting(["nightly@1"]) == []
    clock.advance(60)
    (seen,) = other.waiting(["nightly@1"])
    assert other.hold(seen, clock.now_ms() + 60_000)
    assert seen.tries == 1
    other.settle(seen, "begun")
    mine.settle(seen, "failed", "too late")
    assert other.of("nightly@1", "k") == replace(seen, status="begun", held_until_ms=0, tries=2)
    assert other.waiting(["another@2"]) == []
    mine.close()
    other.close()


@KINDS
def test_a_schedule_is_looked_through_from_when_it_was_first_there(
    kind: str, new_address: NewAddress, clock: FakeClock
) -> None:
    address = new_address(kind)
    firings = Firings(address, clock)
    began_ms = clock.now_ms()
    assert firings.looked("nightly@1", "0 2 * * * UTC") == began_ms
    clock.advance(100)
    assert firings.looked("nightly@1", "0 2 * * * UTC") == began_ms
    firings.claim(firing(), 1, "0 2 * * * UTC")
    assert firings.looked("nightly@1", "0 2 * * * UTC") == clock.now_ms()
    assert firings.looked("nightly@1", "0 3 * * * UTC") == clock.now_ms(), "a changed one begins now"
    firings.tell("nightly@1", "left out")
    assert firings.told("nightly@1") == ("left out", clock.now_ms())
    assert firings.told("another@2") == ("", 0)
    firings.close()
