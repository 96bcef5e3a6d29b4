"""A developer with a fresh home for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from delivering import SHOP, Cast, Open, Shop
from developer import Developer, Endpoint, Scripted

from mohist.delivery.target.probe import ProbeSpec
from mohist.delivery.target.process import ProcessTarget


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Developer]:
    """A developer with a repository of one commit."""
    developer = Developer(tmp_path)
    developer.make_repo()
    try:
        yield developer
    finally:
        developer.end()


@pytest.fixture
def upstream() -> Iterator[Callable[..., Endpoint]]:
    """Starts an endpoint that gives these answers, one after the other."""
    with ExitStack() as held:

        def start(*replies: Scripted) -> Endpoint:
            return held.enter_context(Endpoint(replies))

        yield start


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a shop: its files, its rules, and who plays the roles."""
    held: list[Shop] = []

    def make(files: dict[str, str] | None = None, rules: str = "", **cast: object) -> Shop:
        dev = Developer(tmp_path)
        dev.make_repo((files or SHOP) | ({".mohist/deliver.toml": rules} if rules else {}))
        dev.git("branch", "release")
        played = Cast(**cast)  # type: ignore[arg-type]
        endpoint = Endpoint(itertools.repeat(played, 200))
        endpoint.__enter__()
        held.append(Shop(dev, endpoint, played))
        return held[-1]

    try:
        yield make
    finally:
        for one in held:
            one.dev.end()
            one.endpoint.__exit__()
            for home in one.dev.home.glob("targets/*/*"):
                anyio.run(ProcessTarget(home, "", "", ProbeSpec()).end)
