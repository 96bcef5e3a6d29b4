"""A developer with a fresh home for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from developer import Developer, Endpoint, Scripted


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
