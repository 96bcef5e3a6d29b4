"""Calls as the data plane makes them."""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mohist.gateway.address import Address
from mohist.gateway.budget import Budget
from mohist.gateway.call import CallRecord, Principal, Refusal, Reservation, Wait
from mohist.gateway.keeper import Keeper
from mohist.gateway.key import Key, new_secret, secret_hash
from mohist.gateway.store import Store, database_path
from mohist.provider.message import Usage

NOW_MS = 1_700_000_000_000
RECORD = CallRecord(
    call_id="call-1",
    started_at_ms=NOW_MS,
    dialect="anthropic-messages",
    client="claude-cli/2.1",
    session_id="session-1",
    model_asked="sonnet",
    model_served="claude-sonnet",
    upstream="first",
    status=200,
    verdict="allowed",
    usage=Usage(100, 20, 30, 50),
    cost_microusd=700,
    price_row="vendor 2026-11-01",
    duration_ms=1_200,
    first_byte_ms=300,
    attempts=1,
)


def record(call_id: str = "call-1", **changes: Any) -> CallRecord:
    return dataclasses.replace(RECORD, call_id=call_id, **changes)


def price(model: str, usage: Usage) -> int | None:
    """One millionth of a dollar a token, and nothing known of the model `unpriced`."""
    return None if model == "unpriced" else usage.prompt_tokens + usage.output_tokens


def until(fact: Callable[[], bool], limit_s: float = 60.0) -> float:
    """Waits for `fact`; seconds it took."""
    start_s = time.monotonic()
    while not fact():
        assert time.monotonic() - start_s < limit_s
        time.sleep(0.005)
    return time.monotonic() - start_s


def add_key(database: Address | Path, key: Key, *budgets: Budget) -> str:
    """Stores `key` in a database, or in that of a home; its secret."""
    secret = new_secret()
    with Store(database_path(database) if isinstance(database, Path) else database) as store:
        store.add_key(key, secret_hash(secret), budgets)
    return secret


def reserve(
    keeper: Keeper, secret: str, model: str = "m", prompt: int = 100, output: int = 50
) -> Reservation | Refusal:
    """Identifies and reserves, as for one call."""
    principal = keeper.identify(secret)
    if isinstance(principal, Refusal):
        return principal
    assert isinstance(principal, Principal)
    answer = keeper.reserve(principal, "anthropic-messages", model, "claude-cli/2.1", prompt, output)
    return over(answer) if isinstance(answer, Wait) else answer


def over(wait: Wait) -> Reservation | Refusal:
    """Waits on a loop of its own."""

    async def waiting() -> Reservation | Refusal:
        return await wait.over()

    return asyncio.run(waiting())


def kind(answer: object) -> str:
    return answer.kind if isinstance(answer, Refusal) else "passes"


def spends(database: Address | Path) -> dict[str, tuple[int, int]]:
    """What each kind of subject was charged."""
    with Store(database_path(database) if isinstance(database, Path) else database) as store:
        return {spend.subject: (spend.microusd, spend.tokens) for spend in store.spends()}


def spent(database: Address, key_id: str) -> tuple[int, int]:
    """What one key was charged."""
    with Store(database) as store:
        mine = [spend for spend in store.spends() if (spend.subject, spend.name) == ("key", key_id)]
    return sum(spend.microusd for spend in mine), sum(spend.tokens for spend in mine)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
