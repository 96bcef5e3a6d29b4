"""What the two halves of the gateway say to each other.

The data plane (door, route, upstream) carries bytes; the control plane (key, budget, usage) decides and
remembers. Between them only these values pass, and every method of `Gatekeeper` is synchronous and
touches memory only: no database is on the path of a call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from mohist.base import light_dataclass
from mohist.provider.message import Usage

Dialect = Literal["openai-chat", "openai-responses", "anthropic-messages"]

Role = Literal["caller", "auditor", "admin"]
"""What a key may do: call models, read the admin API, change things by it."""

RefusalKind = Literal["auth", "scope", "budget", "rate", "unavailable", "bad_request", "too_large", "guard", "policy"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is not made, told to the client in its own dialect."""

    kind: RefusalKind
    status: int
    message: str
    """For the person behind the client: which budget, how much, until when, what to do. Never a secret."""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    key_id: str
    user: str
    project: str = ""
    team: str = ""
    roles: tuple[Role, ...] = ("caller",)
    tool: str = ""
    """The tool and version that the key was made for; empty: for none in particular."""
    repository: str = ""
    """What that tool's project is called; empty: not known."""


@light_dataclass(frozen=True, slots=True)
class Reservation:
    """Room kept free in every budget that a call counts against, until it is settled."""

    reservation_id: int
    principal: Principal
    model: str
    amount_microusd: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Whether there is room is for the database to say, where other processes use the same budgets."""

    over: Callable[[], Awaitable[Reservation | Refusal]]
    """Waits for it, once; a few milliseconds, two seconds at most. May be cancelled."""


@light_dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished call, as usage knows it."""

    call_id: str
    started_at_ms: int
    dialect: Dialect
    client: str
    """Name and version of the client from its headers, e.g. `claude-cli/2.1.330`; empty when unknown."""
    session_id: str
    model_asked: str
    model_served: str
    upstream: str
    """Name of the route's upstream that answered; empty when none did."""
    status: int
    verdict: str
    """`allowed`, or the refusal's kind."""
    usage: Usage | None
    """None: the upstream said nothing of usage."""
    cost_microusd: int | None
    """None: no price is known. Lacks what `unpriced` names."""
    price_row: str
    """Which price row billed it: `SOURCE DATE`; empty when unknown."""
    duration_ms: int
    first_byte_ms: int | None
    attempts: int
    """Upstreams tried."""
    cancelled: bool = False
    """The client went away before the end."""
    rule: str = ""
    """Ids of the policy's rules that let the call go on or refused it, comma-separated; empty where no policy is."""
    region: str = ""
    """Where the call was served: as the answer says, or as the upstream is configured."""
    service_tier: str = ""
    """As the answer names it."""
    web_searches: int = 0
    """Searches that the vendor ran."""
    provider: str = ""
    """Who was called, by the catalogue's name; empty for an upstream of one's own."""
    list_cost_microusd: int | None = None
    """What it would have cost without a contract; None: not known."""
    unpriced: str = ""
    """What was used and has no known price, comma-separated."""


class Gatekeeper(Protocol):
    """The control plane as the data plane sees it."""

    def identify(self, secret: str) -> Principal | Refusal:
        """Who holds this virtual key; a revoked or expired one is refused within a second of the fact."""
        ...

    def holds(self, principal: Principal) -> Refusal | None:
        """Why a call under way may not go on, such as a key revoked meanwhile; None when it may.

        Asked a few times a second for every call. Not being able to look is no reason to end one.
        """
        ...

    def lists(self, principal: Principal, dialect: Dialect, model: str) -> bool:
        """Whether the model is among those that this caller's key may be used for."""
        ...

    def reserve(
        self,
        principal: Principal,
        dialect: Dialect,
        model: str,
        client: str,
        prompt_tokens: int,
        max_output_tokens: int,
    ) -> Reservation | Refusal | Wait:
        """Room for one call in all budgets and rate limits, or which of them has none; `Wait` where memory can't tell."""
        ...

    def settle(self, reservation: Reservation, record: CallRecord) -> None:
        """Replaces the reservation by what the call really cost and puts the record on its way to disk."""
        ...

    def refused(self, principal: Principal | None, record: CallRecord) -> None:
        """Puts a call that was not made on its way to disk."""
        ...
