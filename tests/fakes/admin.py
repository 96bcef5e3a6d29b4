"""A gateway with its admin API, as its administrator sees it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastapi import FastAPI

from fakes.asgi import Heard, ask
from mohist.admin.application import build
from mohist.admin.desk import Desk, Gate
from mohist.admin.entrance import VAIN_PER_MINUTE, Entrance
from mohist.base import RandomIds, SystemClock
from mohist.gateway.address import Address
from mohist.gateway.asgi import reply
from mohist.gateway.call import Principal, Refusal, Role
from mohist.gateway.keeper import Keeper
from mohist.gateway.key import Key, new_secret, secret_hash
from mohist.gateway.route import Route, Router, RouteTable, Upstream
from mohist.gateway.store import Store
from mohist.gateway.warden import Warden
from mohist.policy import load_rulebook
from mohist.provider.price import PriceRow, Tier
from mohist.provider.tariff import Contract, tariff

UPSTREAM_SECRET = "sk-" + secrets.token_hex(24)
LISTED = PriceRow((Tier(0, 1_000_000, 100_000, 1_250_000, 2_000_000, 4_000_000),), "list", "2026-01-01")
AGREED = Contract(PriceRow((Tier(0, 500_000),), "contract A-1", "2026-01-01", "contract"), "vendor", "m", "2026-01-01")
RULES = """\
default = "allow"

[[rule]]
id = "no-abroad"
reason = "Data of the core team stays here."
cedar = 'forbid (principal, action, resource) when { principal in Team::"core" && resource.region != "eu" };'
examples = [
  {expect = "deny", team = "core", upstream = {region = "us"}},
  {expect = "allow", team = "core", upstream = {region = "eu"}},
]
"""
NAMES = ("caller", "auditor", "admin", "revoked", "expired", "both")


@dataclass
class Site:
    """A gateway as its administrator sees it."""

    address: Address
    keeper: Keeper
    router: Router
    warden: Warden
    desk: Desk
    entrance: Entrance
    keys: dict[str, str]
    """Secret by what the key is: one of `NAMES`, or `none`, `unknown`."""

    async def ask(self, method: str, path: str, *, key: str = "admin", **more: Any) -> Heard:
        """A request to `/admin/v1`, or to a whole path that begins elsewhere."""
        whole = path if path.startswith("/admin") else f"/admin/v1{path}"
        return await ask(self.app, method, whole, key=self.keys.get(key, key), **more)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.entrance.beside(passed_on)(scope, receive, send)


async def passed_on(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["type"] == "http"  # what has no lifespan says so by an error
    await reply(send, 200, b'"passed on"')


def some_keys(address: Address) -> dict[str, str]:
    """Puts a key of each kind into the database; their secrets by `NAMES`."""
    roles: dict[str, tuple[Role, ...]] = {"caller": ("caller",), "auditor": ("auditor",), "both": ("admin", "caller")}
    now_ms = SystemClock().now_ms()
    keys = {"none": "", "unknown": new_secret()}
    with Store(address) as store:
        for name in NAMES:
            keys[name] = new_secret()
            ends_ms = now_ms - 1 if name == "expired" else None
            role = roles.get(name, ("admin",))
            key = Key(f"key-{name}", name, created_at_ms=now_ms - 60_000, expires_at_ms=ends_ms, roles=role)
            store.add_key(key, secret_hash(keys[name]))
        store.revoke_key("key-revoked", now_ms)
    return keys


@cache
def application() -> FastAPI:
    """The API, made once for all tests: it holds nothing of theirs."""
    return build()


class Lasting:
    """A control plane that knows one key for ever, whatever becomes of it in the database."""

    trouble, backlog = "", 0

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def identify(self, secret: str) -> Principal | Refusal:
        if secret == self._secret:
            return Principal("key-admin", "admin", roles=("admin",))
        return Refusal("auth", 401, "This key is not known here.")


@contextmanager
def opened(
    address: Address, keys: dict[str, str], gate: Gate | None = None, vain_per_minute: int = VAIN_PER_MINUTE
) -> Iterator[Site]:
    """A running gateway on a database; `gate` says who may come in instead of its keeper."""
    clock = SystemClock()
    keeper = Keeper(address, lambda _model, _usage: 1, clock, poll_s=0.02)
    urls = "https://ann:secret@models.example.com/v1?token=secret", "https://eu.example.com/v1"
    ends = (
        Upstream("far", "openai-chat", urls[0], lambda: UPSTREAM_SECRET, provider="vendor", region="us"),
        Upstream("near", "openai-chat", urls[1], lambda: UPSTREAM_SECRET, model="m-eu", region="eu"),
    )
    router = Router(RouteTable([Route("m", ends), Route("other-*", ends[1:])]), clock)
    warden = Warden()
    warden.take(load_rulebook(RULES, "gateway-policy.toml"), clock.now_ms())

    def prices(upstream: Upstream, model: str) -> Any:
        return tariff(LISTED, [AGREED], provider=upstream.provider, model=model, region=upstream.region)

    desk = Desk(address, gate or keeper, router, prices, warden, clock, RandomIds(clock))
    with keeper:
        yield Site(
            address, keeper, router, warden, desk, Entrance(desk, application, vain_per_minute=vain_per_minute), keys
        )


def until(fact: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Waits for `fact`, asked again and again."""
    end_s = time.monotonic() + limit_s
    while not fact():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def knows(site: Site, secret: str) -> bool:
    """Whether the running gateway takes this key."""
    return isinstance(site.keeper.identify(secret), Principal)
