"""Schemathesis tries every operation with what the description allows and with what it doesn't."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from fakes.admin import Lasting, Site, opened, some_keys
from mohist.base import RandomIds, SystemClock
from mohist.gateway.server import ServerSettings, serve

# Valid in shape, and refused for what is there: a key that is revoked, an `if-match` of something else.
REFUSED_FOR_WHAT_IS_THERE = ["2xx", "404", "409", "412"]


def config(key: str, **phases: int) -> SchemathesisConfig:
    """What is tried: `examples`, `coverage` of every bound, `fuzzing` and `stateful` with so many examples each."""
    said: dict[str, Any] = {
        name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")
    }
    for name in {"fuzzing", "stateful"} & set(phases):
        said[name]["generation"] = {"max-examples": phases[name]}
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {key}"},
            "generation": {"database": "none", "deterministic": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": REFUSED_FOR_WHAT_IS_THERE}},
            "phases": said,
        }
    )


def tried(schema: Any) -> tuple[int, list[str]]:
    """How many requests were made, and what was wrong with them."""
    count, wrong = 0, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError | events.NonFatalError):
            wrong.append(str(event))
        if isinstance(event, events.ScenarioFinished):
            count += len(event.recorder.interactions)
            wrong += [
                f"{event.recorder.cases[case_id].value.operation.label}: {check.failure_info.failure}"
                for case_id, checks in event.recorder.checks.items()
                for check in checks
                if check.failure_info is not None
            ]
    return count, wrong


def in_process(site: Site, without: str = "", **phases: int) -> tuple[int, list[str]]:
    key = site.keys["admin"]
    headers = {"Authorization": f"Bearer {key}"}
    settings = config(key, **phases)
    schema = schemathesis.openapi.from_asgi("/admin/v1/openapi.json", site.app, config=settings, headers=headers)
    return tried(schema.exclude(path=without) if without else schema)


@pytest.fixture
def at_home(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Site]]:
    """Opens a site whose admin key is one for ever, since it may well be revoked here."""
    with contextlib.ExitStack() as stack:

        def at(kind: str) -> Site:
            address = request.getfixturevalue("new_address")(kind)
            keys = some_keys(address)
            # Each operation is tried without a key, which is more than a minute takes of guesses.
            gate = Lasting(keys["admin"])
            return stack.enter_context(opened(address, keys, gate, vain_per_minute=100_000))

        yield at


def test_it_holds_to_its_description_at_every_bound(at_home: Callable[[str], Site]) -> None:
    # The filters of calls are those of usage, and are half of all bounds.
    count, wrong = in_process(at_home("sqlite"), without="/admin/v1/calls", coverage=1)
    assert wrong == []
    assert count > 1000


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_it_holds_to_it_by_chance_and_in_sequence(at_home: Callable[[str], Site], kind: str) -> None:
    count, wrong = in_process(at_home(kind), examples=1, fuzzing=2, stateful=1)
    assert wrong == []
    assert count > 40


@contextlib.contextmanager
def listening(site: Site) -> Iterator[str]:
    """The site behind the gateway's own server, in a thread; its URL."""
    urls: list[str] = []
    ready = threading.Event()
    loop: list[asyncio.AbstractEventLoop] = []
    task: list[asyncio.Task[None]] = []

    async def main() -> None:
        loop.append(asyncio.get_running_loop())
        task.append(asyncio.ensure_future(run()))
        with contextlib.suppress(asyncio.CancelledError):
            await task[0]

    async def run() -> None:
        def began(url: str) -> None:
            urls.append(url)
            ready.set()

        clock = SystemClock()
        prices = site.desk.prices
        settings = ServerSettings(drain_s=1)
        await serve(
            settings, site.keeper, site.router, prices, clock, RandomIds(clock), began, beside=site.entrance.beside
        )

    thread = threading.Thread(target=anyio.run, args=(main,))
    thread.start()
    try:
        assert ready.wait(60)
        yield urls[0]
    finally:
        loop[0].call_soon_threadsafe(task[0].cancel)
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.enable_socket
def test_it_does_so_through_the_gateways_own_server(at_home: Callable[[str], Site]) -> None:
    site = at_home("sqlite")
    key = site.keys["admin"]
    with listening(site) as url:
        schema = schemathesis.openapi.from_url(
            f"{url}/admin/v1/openapi.json",
            config=config(key, examples=1, fuzzing=2),
            headers={"Authorization": f"Bearer {key}"},
        )
        count, wrong = tried(schema)
    assert wrong == []
    assert count > 40
