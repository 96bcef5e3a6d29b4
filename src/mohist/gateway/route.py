"""Which upstreams serve a model, in which order, and which of them are well.

The table is a frozen value, built from the configuration and swapped as a whole. The router beside it holds
what changes: circuits, sessions, the budget of retries. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal
from zlib import crc32

from mohist.base import Clock
from mohist.gateway.call import Dialect
from mohist.gateway.home import Homes
from mohist.gateway.translate.option import Options

FAILURES_TO_OPEN = 3
"""Failures in a row after which an upstream is left alone for a while."""
OPEN_S = 5.0
MAX_OPEN_S = 120.0
MAX_REST_S = 300.0
"""An upstream that asks by `retry-after` to be left alone for longer is tried again after this."""
MAX_ATTEMPTS = 4
RETRIES_KEPT = 500.0
RETRIES_PER_CALL = 0.5
"""What a call adds to the budget of retries, so that an outage of everything does not double the load for long."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One endpoint that can serve a route."""

    name: str
    """Unique in the table; what usage and health call it."""
    dialect: Dialect
    base_url: str
    """Version included, e.g. `https://api.openai.com/v1`; for Anthropic's dialect `/v1` is added where none stands."""
    key: Callable[[], str]
    """The secret at call time; empty: none is sent."""
    model: str = ""
    """What the upstream calls the model; empty: as the client asked."""
    account: str = ""
    """Who pays at the vendor. Caches and thinking blocks can be bound to it."""
    region: str = ""
    """Where it serves, e.g. `eu`; prices and rules may hang on it."""
    provider: str = ""
    """The catalogue's name of who serves it; empty for one's own."""
    weight: int = 1
    """Share of new sessions, where the route spreads them."""
    bearer: bool | None = None
    """How the key is shown; None: as the dialect's vendor wants it."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with each call, in the place of the client's of the same names; names in lower case."""
    own: bool = False
    """The caller's own account: what it is told of it, the caller may know, redirects and a refused key included."""
    replay: str = ""
    """Path of a recording that answers in its place; empty: none does."""
    ask_usage: bool = True
    """Chat streams are asked for their usage where the client doesn't; False for a server that refuses the field."""
    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 120.0
    """Of a stream. An answer that is not streamed may be silent for `idle_timeout_s`."""
    idle_timeout_s: float = 600.0
    data_class: str = ""
    """The class of data that it is cleared for, in words of your own."""
    self_hosted: bool = False
    """It runs on your own machines."""
    options: Options = field(default_factory=Options)
    """What it can do, where a call is translated for it."""

    @property
    def payer(self) -> str:
        """The account; an upstream that names none is an account of its own."""
        return self.account or self.name


@dataclass(frozen=True, slots=True)
class Route:
    """The upstreams of one model name."""

    model: str
    """A name, or a glob such as `claude-*`."""
    upstreams: tuple[Upstream, ...]
    """In the order in which they are tried."""
    spread: bool = False
    """New sessions are spread by weight instead of all going to the first."""
    names: tuple[str, ...] = ()
    """Names that a glob matches and that clients are to be shown."""

    @property
    def is_glob(self) -> bool:
        """Whether it serves more names than one."""
        return is_glob(self.model)


class RouteTable:
    """All routes. An exact name wins over a glob, an earlier glob over a later one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact = {route.model: route for route in reversed(self.routes)}
        self._globs = tuple(route for route in self.routes if route.is_glob)

    def find(self, model: str) -> Route | None:
        """The route of a model; None when there is none."""
        if (route := self._exact.get(model)) is not None and not is_glob(model):
            return route
        return next((route for route in self._globs if fnmatchcase(model, route.model)), None)

    def names(self, anthropic: bool) -> list[str]:
        """The model names that can be listed for a caller of either vendor's dialects; of globs, those they name."""
        listed = dict.fromkeys(
            name for route in self.routes for name in (route.names if route.is_glob else (route.model,))
        )
        return [
            name
            for name in listed
            if (route := self.find(name)) is not None
            and any((upstream.dialect == "anthropic-messages") == anthropic for upstream in route.upstreams)
        ]


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    rest_until_s: float = 0.0
    """Asked for by the upstream itself, and kept to even when nobody else is left."""
    open_until_s: float = 0.0
    open_s: float = OPEN_S
    probing: bool = False


class Router:
    """What the table does not know: who is well, which session went where.

    Args:
        table: may be replaced at any time; calls under way keep the upstreams they have.
        clock: monotonic time.
    """

    def __init__(self, table: RouteTable, clock: Clock) -> None:
        self.table = table
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}
        self.homes = Homes()
        self._retries = RETRIES_KEPT
        self._turn = 0

    def order(self, route: Route, dialect: Dialect, session_id: str, *, translated: bool = True) -> list[Upstream]:
        """The upstreams to try for one call, best first: the session's own, then its account's, then others.

        Within an account those that speak the call's dialect come first, and without `translated` there are no others.
        Those with an open circuit come last, so that a call is only refused when nobody answers. Those that
        asked for rest come last too; the caller leaves them out.
        """
        self._retries = min(RETRIES_KEPT, self._retries + RETRIES_PER_CALL)
        able = _nearest_first(route.upstreams, dialect, translated=translated)
        if not able:
            return []
        home = self.homes.get(session_id)
        first = None
        if home is not None:
            first = next((upstream for upstream in able if upstream.name == home.upstream), None)
        if first is None:
            first = self._draw(able, session_id) if route.spread else able[0]
        others = [upstream for upstream in able if upstream is not first]
        ordered = [first, *sorted(others, key=lambda upstream: upstream.payer != first.payer)]
        if self._circuits:
            now_s = self._clock.monotonic_s()
            ordered.sort(key=lambda upstream: not self._is_well(upstream.name, now_s))
        return ordered[:MAX_ATTEMPTS]

    def may_retry(self) -> bool:
        """Takes one retry from the budget; False when it is spent."""
        if self._retries < 1:
            return False
        self._retries -= 1
        return True

    def succeeded(self, upstream: Upstream) -> None:
        """An answer began."""
        self._circuits.pop(upstream.name, None)

    def failed(self, upstream: Upstream, retry_after_s: float | None = None) -> None:
        """No answer, or an error that another upstream may not have."""
        now_s = self._clock.monotonic_s()
        circuit = self._circuits.setdefault(upstream.name, _Circuit())
        circuit.failures += 1
        circuit.probing = False
        if retry_after_s is not None:
            circuit.rest_until_s = max(circuit.rest_until_s, now_s + min(retry_after_s, MAX_REST_S))
        if circuit.failures >= FAILURES_TO_OPEN and circuit.open_until_s <= now_s:
            circuit.open_until_s = now_s + circuit.open_s
            circuit.open_s = min(MAX_OPEN_S, circuit.open_s * 2)

    def gave_up(self, upstream: Upstream) -> None:
        """The caller went away before the upstream answered: says nothing about it."""
        if (circuit := self._circuits.get(upstream.name)) is not None:
            circuit.probing = False

    def rest_s(self, upstream: Upstream) -> float:
        """Seconds for which the upstream asked to be left alone; 0 when it may be called."""
        circuit = self._circuits.get(upstream.name)
        return 0.0 if circuit is None else max(0.0, circuit.rest_until_s - self._clock.monotonic_s())

    def state(self, name: str) -> Literal["closed", "open", "resting", "probing"]:
        """How the circuit of an upstream stands: closed when it is called, probing when one call tries it again."""
        circuit = self._circuits.get(name)
        if circuit is None:
            return "closed"
        now_s = self._clock.monotonic_s()
        if circuit.probing:
            return "probing"
        if now_s < circuit.rest_until_s:
            return "resting"
        return "open" if now_s < circuit.open_until_s else "closed"

    def began(self, upstream: Upstream) -> None:
        """The upstream is being tried; one whose circuit was open is tried by one call at a time."""
        circuit = self._circuits.get(upstream.name)
        if circuit is not None and circuit.open_until_s:
            circuit.probing = True

    def _is_well(self, name: str, now_s: float) -> bool:
        circuit = self._circuits.get(name)
        return circuit is None or (now_s >= max(circuit.open_until_s, circuit.rest_until_s) and not circuit.probing)

    def _draw(self, able: list[Upstream], session_id: str) -> Upstream:
        self._turn += 1
        total = sum(max(0, upstream.weight) for upstream in able)
        if total == 0:
            return able[0]
        point = (crc32(session_id.encode()) if session_id else self._turn) % total
        for upstream in able:
            point -= max(0, upstream.weight)
            if point < 0:
                return upstream
        return able[-1]


def _nearest_first(upstreams: Iterable[Upstream], dialect: Dialect, *, translated: bool) -> list[Upstream]:
    """In the route's order, but within an account those of the call's own dialect before those that need translation."""
    able = [upstream for upstream in upstreams if translated or upstream.dialect == dialect]
    if len(able) < 2:
        return able
    place = {upstream.payer: number for number, upstream in reversed(list(enumerate(able)))}
    return sorted(able, key=lambda upstream: (place[upstream.payer], upstream.dialect != dialect))


def is_glob(model: str) -> bool:
    """Whether the name stands for more than one."""
    return any(sign in model for sign in "*?[")
