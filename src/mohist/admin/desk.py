"""What the operations work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from mohist.base import Clock, IdSource
from mohist.gateway.address import Address
from mohist.gateway.call import Principal, Refusal
from mohist.gateway.change import Author, Enter
from mohist.gateway.database import Session
from mohist.gateway.register import RegisterStore
from mohist.gateway.route import Router
from mohist.gateway.store import Store
from mohist.gateway.tally import Prices
from mohist.gateway.warden import Warden

WHO: Final = "mohist.principal"
"""Where a request's scope says who makes it."""
DESK: Final = "mohist.desk"
"""Where it says what it is about."""


class Gate(Protocol):
    """What is needed of the control plane."""

    @property
    def trouble(self) -> str: ...

    @property
    def backlog(self) -> int: ...

    def identify(self, secret: str) -> Principal | Refusal: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """The gateway that is looked after."""

    address: Address = field(repr=False)
    gate: Gate
    router: Router
    prices: Prices
    warden: Warden
    clock: Clock
    ids: IdSource
    enter: Enter | None = None
    """Enters changes in the ledger; None: there is none."""

    def reading(self) -> Session:
        """The database, to be closed."""
        return Session(self.address)

    def writing(self, who: Principal) -> Store:
        """The database for changes that are put down to `who`; to be closed."""
        return Store(self.address, author=self._author(who), enter=self.enter)

    def register(self, who: Principal) -> RegisterStore:
        """The same with the software register."""
        return RegisterStore(self.address, author=self._author(who), enter=self.enter)

    def _author(self, who: Principal) -> Author:
        return Author(who.user, who.key_id, "api", self.clock)
