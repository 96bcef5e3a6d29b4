"""What a run's fence decides, and what it writes down of that."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from mohist.agent.record import Reached, User
from mohist.app.errors import ConfigError
from mohist.app.outlet import MAX_PLACES, Outlet, refusals
from mohist.app.reach import places
from mohist.policy import builtin_rules, parse_rules
from mohist.sandbox import Asked, Attempt, Dial, Refuse

HOSTS = ("pypi.org", "*.example.com:8443")


class Book:
    """Where it is written down, and what is told."""

    def __init__(self) -> None:
        self.rows: list[Reached] = []
        self.told: list[str] = []


def outlet(book: Book, *hosts: str, private: tuple[str, ...] = (), against: str = "") -> Outlet:
    return Outlet(hosts, private, lambda host: "no" if host == against else "", book.told.append)


def over(asked: Asked, outcome: str = "through", code: str = "", sent: int = 0, received: int = 0) -> Attempt:
    return Attempt(0, asked, outcome, code, f"because {code}", "", sent, received)  # type: ignore[arg-type]


def connect(host: str, port: int = 443) -> Asked:
    return Asked("connect", host, port)


async def test_what_is_let_through_is_written_down_before_and_counted_after() -> None:
    book, asked = Book(), connect("pypi.org")
    way = outlet(book, *HOSTS)
    async with way.open(book.rows.append):
        assert isinstance(way.decide(asked), Dial)
        assert book.rows == [Reached("pypi.org", 443, "asked")]
        way.record(over(asked, sent=10, received=200))
        way.decide(asked)
        way.record(over(asked, sent=5, received=1))
        way.decide(asked)
        way.record(over(asked, "failed", "timeout"))
        assert len(book.rows) == 1
    assert book.rows[1:] == [
        Reached("pypi.org", 443, "failed", "timeout", 1),
        Reached("pypi.org", 443, "through", "", 2, 15, 201),
    ]
    assert book.told == []
    (place,) = places(book.rows)
    assert (place.outcome, place.attempts, place.refused, place.sent_bytes, place.received_bytes) == (
        "through",
        3,
        0,
        15,
        201,
    )


async def test_what_is_refused_is_told_once_and_counted() -> None:
    book, asked = Book(), connect("evil.example")
    way = outlet(book, *HOSTS)
    async with way.open(book.rows.append):
        for _ in range(3):
            decision = way.decide(asked)
            assert isinstance(decision, Refuse)
            way.record(over(asked, "refused", decision.code, 1, 235))
    assert book.rows == [
        Reached("evil.example", 443, "refused", "not-listed"),
        Reached("evil.example", 443, "refused", "not-listed", 3),
    ]
    assert book.told == ["network: evil.example:443 refused: because not-listed --allow evil.example:443 lets it."]


@pytest.mark.parametrize(
    ("asked", "through"),
    [
        (connect("pypi.org", 80), True),
        (connect("pypi.org", 22), False),
        (connect("a.example.com", 8443), True),
        (connect("a.example.com"), False),
        (connect("example.com", 8443), False),
        (connect("mirror.corp", 443), True),
        (connect("pypi.org.evil.example"), False),
        (Asked("name", "pypi.org", 0), True),
        (Asked("name", "evil.example", 0), False),
        (Asked("other", "10.0.0.1", 53), False),
    ],
)
async def test_only_what_was_named_is_let_through(asked: Asked, through: bool) -> None:
    book = Book()
    way = outlet(book, *HOSTS, private=("mirror.corp",))
    async with way.open(book.rows.append):
        decision = way.decide(asked)
    assert isinstance(decision, Dial) == through
    if isinstance(decision, Dial):
        assert decision.private == (asked.host == "mirror.corp")


async def test_a_name_alone_and_the_trees_own_loopback_are_nothing_to_write_down() -> None:
    book = Book()
    way = outlet(book, *HOSTS)
    async with way.open(book.rows.append):
        way.decide(Asked("name", "pypi.org", 0))
        way.record(over(Asked("name", "pypi.org", 0), "served"))
        way.record(over(Asked("other", "127.0.0.1", 5432), "refused", "port"))
    assert (book.rows, book.told) == ([], [])


async def test_names_that_are_made_up_fill_no_disk() -> None:
    book = Book()
    way = outlet(book, "*.example.com:443")
    async with way.open(book.rows.append):
        for number in range(MAX_PLACES + 5):
            decision = way.decide(connect(f"n{number}.example.com"))
            assert isinstance(decision, Dial) == (number < MAX_PLACES)
            if isinstance(decision, Refuse):
                way.record(over(connect(f"n{number}.example.com"), "refused", decision.code))
        assert len(book.rows) == MAX_PLACES
    assert book.rows[MAX_PLACES:] == [Reached("(others)", 0, "refused", "places", 5)]


async def test_what_can_not_be_written_down_is_not_let_through() -> None:
    def full(_: Reached) -> None:
        raise OSError(28, "No space left on device")

    way = outlet(Book(), *HOSTS)
    async with way.open(full):
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                way.decide(connect("pypi.org"))


async def test_policy_keeps_from_a_host_that_was_named() -> None:
    book = Book()
    way = outlet(book, *HOSTS, against="pypi.org")
    async with way.open(book.rows.append):
        assert way.decide(connect("pypi.org")) == Refuse("policy", "no")
        await anyio.lowlevel.checkpoint()
    assert book.rows == []


@pytest.mark.parametrize(
    ("decision", "host", "refused"),
    [
        ("deny", "a.example", True),
        ("ask", "a.example", True),
        ("allow", "a.example", False),
        ("deny", "b.example", False),
    ],
)
@pytest.mark.parametrize("mode", ["plan", "auto", "full"])
def test_a_rule_that_speaks_of_a_host_has_to_allow_it(
    tmp_path: Path, decision: str, host: str, mode: str, refused: bool
) -> None:
    text = f'[[rule]]\nid = "r"\nhost = ["{host}"]\ndecision = "{decision}"\nreason = "it says so"\nmatch = ["{host}"]\nno_match = ["c.example"]\n'
    rules = builtin_rules().plus(parse_rules(text, layer="user", origin="here"))
    said = refusals(rules, mode, tmp_path)("a.example")  # type: ignore[arg-type]
    assert bool(said) == refused
    if refused:
        assert ("it says so" in said) or (mode == "plan" and "only looks" in said)


def test_a_killed_process_leaves_what_it_let_through_uncounted() -> None:
    (place,) = places([User("x"), Reached("pypi.org", 443, "asked")])
    assert (place.outcome, place.attempts) == ("asked", 0)


def test_what_was_let_through_and_then_refused_for_its_address_counts_as_refused() -> None:
    rows = [Reached("a", 443, "asked"), Reached("a", 443, "refused", "private-address")]
    (place,) = places([*rows, Reached("a", 443, "refused", "private-address", 6)])
    assert (place.outcome, place.attempts, place.refused) == ("refused", 6, 6)
    # A later process that was killed leaves it open again.
    (place,) = places([*rows, Reached("a", 443, "refused", "private-address", 6), rows[0]])
    assert place.outcome == "asked"


def test_the_most_open_comes_first() -> None:
    rows = [
        Reached("c", 443, "refused", "not-listed", 1),
        Reached("b", 443, "asked"),
        Reached("b", 443, "failed", "timeout", 2),
        Reached("a", 443, "asked"),
        Reached("a", 443, "through", "", 1, 1, 1),
        Reached("a", 443, "refused", "policy", 1),
    ]
    said = [(place.host, place.outcome, place.attempts, place.refused) for place in places(rows)]
    assert said == [("a", "through", 2, 1), ("b", "failed", 2, 0), ("c", "refused", 1, 1)]


def test_what_names_no_host_is_told() -> None:
    with pytest.raises(ConfigError, match="names no host"):
        outlet(Book(), "no host")
